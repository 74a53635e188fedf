"""Accounts: a key at a provider, with its quotas, its breaker and its time-outs."""

from collections.abc import Iterator
from typing import Any, Final, Literal
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from .references import flaw_of_header, flaw_of_key, flaw_of_url
from .strict import Strict, flawless, mistake

Kind = Literal["openai", "azure", "anthropic", "gemini", "embedded"]

DEFAULT_URLS: Final = {
    "openai": "https://api.openai.com/v1",
    "anthropic": "https://api.anthropic.com/v1",
    "gemini": "https://generativelanguage.googleapis.com/v1beta",
}


class Limits(Strict):
    """What an account may use; what is left out is not limited. A quota of 0 is refused: nothing could go."""

    rpm: int | None = Field(default=None, gt=0, description="requests in any window")
    tpm: int | None = Field(default=None, gt=0, description="tokens (input and output) in any window")
    concurrency: int | None = Field(default=None, gt=0, description="calls in flight at once")
    window_s: float = Field(default=60.0, gt=0, le=86_400, description="length of the sliding window, seconds")
    guard_s: float | None = Field(
        default=None,
        ge=0,
        description="most a request may take to reach the provider; default window_s / 40, at least 0.5 s",
    )
    learn: bool = Field(
        default=True,
        description="heed the quotas that replies tell of, and find them by trial where nothing is said; never above "
        "what is written here",
    )


class BreakerSettings(Strict):
    """When an account is left alone: after `failures` in a row, or that share of the last `window` calls."""

    failures: int = Field(default=5, gt=0, description="failures in a row that open the breaker")
    rate: float = Field(default=0.5, gt=0, le=1, description="share of failures in `window` that opens it")
    window: int = Field(default=20, gt=0, description="calls that the share is taken of")
    open_s: float = Field(default=15.0, gt=0, description="first pause, seconds; doubles with each failed probe")
    open_max_s: float = Field(default=120.0, gt=0, description="longest pause, s")


class Timeouts(Strict):
    """Seconds until an attempt is given up."""

    connect_s: float = Field(default=5.0, gt=0, description="until a connection stands, seconds")
    total_s: float = Field(default=120.0, gt=0, description="until the whole answer is there, seconds")
    first_s: float | None = Field(
        default=None, gt=0, description="until a stream's first words, seconds; default: as total_s"
    )
    gap_s: float = Field(default=30.0, gt=0, description="between two pieces of a stream, seconds")


class Account(Strict):
    """One key at one provider, with its own quotas and its own breaker."""

    kind: Kind = Field(
        default="openai",
        description="wire format; `openai` for every server that speaks it, `embedded` answers on this machine, needs "
        "no key and costs nothing",
    )
    base_url: str = Field(
        default="https://api.openai.com/v1",
        description="where the provider listens, up to and with /v1 (azure: https://NAME.openai.azure.com); may hold "
        "references `${X}`; default: the provider's own",
    )
    api_version: str = Field(default="2024-10-21", description="azure only: the API's version")
    private: bool | None = Field(
        default=None,
        description="what must not leave may go here; default: true for the embedded one and for a server on this "
        "machine's loopback interface",
    )
    api_key: str | None = Field(
        default=None,
        description="a reference (`${X}`, `env.X`, `os.environ/X`), never the secret; null for none",
    )
    organization: str | None = Field(default=None, description="organization to bill; may be a reference")
    headers: dict[str, str] = Field(
        default_factory=dict, description="sent with each request; values may hold references `${X}`"
    )
    limits: Limits = Field(default=Limits(), description="quotas of this account")
    breaker: BreakerSettings = Field(default=BreakerSettings(), description="when the account is left alone")
    timeouts: Timeouts = Field(default=Timeouts(), description="when an attempt is given up")

    @model_validator(mode="before")
    @classmethod
    def _url_of_the_kind(cls, value: Any) -> Any:
        if isinstance(value, dict) and "base_url" not in value:
            kind = value.get("kind", "openai")
            if kind == "azure":
                raise mistake("is missing: write https://NAME.openai.azure.com", "base_url")
            if isinstance(kind, str) and kind not in ("openai", "embedded") and kind in DEFAULT_URLS:
                return {**value, "base_url": DEFAULT_URLS[kind]}
        return value

    @field_validator("api_key")
    @classmethod
    def _key_is_a_reference(cls, value: str | None) -> str | None:
        return value if value is None else flawless(value, flaw_of_key(value))

    @field_validator("base_url")
    @classmethod
    def _url_is_one(cls, value: str) -> str:
        return flawless(value, flaw_of_url(value))

    @field_validator("headers")
    @classmethod
    def _headers_are_safe(cls, value: dict[str, str]) -> dict[str, str]:
        for name, text in value.items():
            flaw = flaw_of_header(name, text)
            if flaw:
                raise mistake(flaw, name)
        return value

    @property
    def is_private(self) -> bool:
        """True when what must not leave may go to this account."""
        if self.private is not None:
            return self.private
        host = urlsplit(self.base_url).hostname or ""
        return self.kind == "embedded" or host in ("localhost", "::1") or host.startswith("127.")

    def texts(self) -> Iterator[tuple[str, str]]:
        """The texts that may hold references, each with its key (`api_key`, `headers.X-Team`, …)."""
        if self.kind == "embedded":
            return
        yield "base_url", self.base_url
        if self.api_key is not None:
            yield "api_key", self.api_key
        if self.organization is not None:
            yield "organization", self.organization
        for name, text in self.headers.items():
            yield f"headers.{name}", text
