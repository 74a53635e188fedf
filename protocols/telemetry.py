"""Where spans and metrics are sent, what is kept of a trace, and when somebody is alarmed: settings.

They travel in the configuration like everything else, so that each process of a cluster knows them for each job.
Headers hold references to the environment, never secrets.
"""

from typing import Literal

from pydantic import Field, field_validator

from .references import flaw_of_header, flaw_of_url
from .strict import Strict, flawless, mistake

Protocol = Literal["http/protobuf", "grpc"]
Content = Literal["none", "redacted", "full"]


class Telemetry(Strict):
    """What is told to a collector of traces and metrics (OTLP). Without an endpoint nothing leaves."""

    endpoint: str | None = Field(
        default=None,
        description="the collector: http://HOST:4318 for http/protobuf, http://HOST:4317 for grpc; "
        "default: OTEL_EXPORTER_OTLP_ENDPOINT",
    )
    protocol: Protocol = Field(default="http/protobuf", description="OTLP over HTTP or over gRPC")
    headers: dict[str, str] = Field(
        default_factory=dict, description="sent with each export; values may hold references `${X}`"
    )
    timeout_s: float = Field(default=10.0, gt=0, description="an export that takes longer has failed, s")
    sample: float = Field(
        default=1.0,
        ge=0,
        le=1,
        description="share of items whose spans are kept; jobs, failures, hedges and the slow are kept in any case",
    )
    slow_s: float | None = Field(
        default=None, gt=0, description="items that take longer are kept, s; default: the slowest 1 %, as observed"
    )
    content: Content = Field(
        default="none", description="prompts and answers in spans: none, redacted of personal data and keys, or full"
    )
    content_chars: int = Field(default=8_000, gt=0, description="the most of a prompt or answer that is kept")
    traces: bool = Field(default=True, description="spans are sent")
    metrics: bool = Field(default=True, description="metrics are sent")
    metrics_every_s: float = Field(default=60.0, gt=0, description="how often metrics are sent, s")
    service: str = Field(default="understudy", description="service.name of the resource")
    resource: dict[str, str] = Field(default_factory=dict, description="more attributes of the resource")

    @field_validator("endpoint")
    @classmethod
    def _endpoint_is_one(cls, value: str | None) -> str | None:
        return value if value is None else flawless(value, flaw_of_url(value))

    @field_validator("headers")
    @classmethod
    def _headers_are_safe(cls, value: dict[str, str]) -> dict[str, str]:
        for name, text in value.items():
            flaw = flaw_of_header(name, text)
            if flaw:
                raise mistake(flaw, name)
        return value


class Alerts(Strict):
    """When somebody is alarmed. Each looks at what happened in the window; null switches it off.

    An alarm that was given is taken back when its figure has been on the right side of `clear` times its threshold for
    a whole window: a figure that trembles around its threshold alarms once.
    """

    window_s: float = Field(default=300.0, gt=0, description="what is looked at, s")
    every_s: float = Field(default=15.0, gt=0, description="how often, s")
    at_least: int = Field(default=20, gt=0, description="calls in the window before anything is said of them")
    clear: float = Field(default=0.9, gt=0, le=1, description="share of a threshold below which an alarm ends")
    p95_s: float | None = Field(default=5.0, gt=0, description="p95 latency of calls, s")
    errors: float | None = Field(default=0.01, ge=0, le=1, description="share of calls that fail")
    fallbacks: float | None = Field(default=0.05, ge=0, le=1, description="share of calls another model answered")
    cost_factor: float | None = Field(
        default=1.2, gt=0, description="what the day will have cost as it goes on, over its budget (`budgets.day`)"
    )
    token_factor: float | None = Field(
        default=3.0, gt=1, description="tokens a call over what they were in the hour before"
    )
    quality: float | None = Field(default=0.7, ge=0, le=1, description="mean quality, where answers are judged")
    webhook: str | None = Field(
        default=None, description="is sent each alarm as JSON by POST; may hold references `${X}`"
    )

    @field_validator("webhook")
    @classmethod
    def _webhook_is_a_url(cls, value: str | None) -> str | None:
        return value if value is None else flawless(value, flaw_of_url(value))
