"""What a simulated provider is told: quotas, latency, faults, outages, answers, models, keys."""

from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    model_validator,
)

FaultKind = Literal[
    "error_500",
    "error_503",
    "drop",
    "malformed",
    "cut",
    "timeout",
    "overloaded",
    "stall",
    "stream_error",
    "filtered",
    "schema_mismatch",
    "context",
    "auth",
    "not_found",
    "bad_request",
    "refused_429",
    "insufficient_quota",
]
OutageKind = FaultKind
RetryAfterForm = Literal["seconds", "ms", "date"]
Rate = Annotated[float, Field(ge=0.0, le=1.0)]
Price = Annotated[Decimal, Field(ge=0)]


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class Quota(_Model):
    """Limits of one key, or of one key on one model. None is no limit.

    ``rpm`` requests and ``tpm`` tokens are what any window of ``window_s`` seconds may hold; with the default
    of 60 s they are per minute. A shorter window plays the same minute faster: the numbers are *not* scaled.
    """

    rpm: NonNegativeInt | None = None
    tpm: NonNegativeInt | None = None
    concurrency: NonNegativeInt | None = None
    window_s: PositiveFloat = 60.0


class Latency(_Model):
    """Log-normal time to the reply: ``median_s * exp(sigma * z)``, times ``tail_factor`` at ``tail_rate``.

    ``per_output_token_s`` is added for each completion token. With ``median_s`` and ``per_output_token_s`` 0
    the reply leaves in the same turn of the loop, with no timer.
    """

    median_s: NonNegativeFloat = 0.0
    sigma: NonNegativeFloat = 0.0
    tail_rate: Rate = 0.0
    tail_factor: PositiveFloat = 1.0
    per_output_token_s: NonNegativeFloat = 0.0


class Faults(_Model):
    """Share of the accepted requests that fail in each way; the shares add up to 1 at most.

    With part of an answer: ``malformed`` is a 200 whose JSON is broken, ``cut`` closes after the share
    ``cut_at`` of a body or of a stream's events, ``stall`` sends a stream's first events and is silent then,
    ``stream_error`` sends ``cut_at`` of them and an error event (both are met by a reply that does not stream as
    ``timeout`` and ``error_500``), ``filtered`` withholds the answer as ``filtered_as`` says, by a finish
    reason or by an error (Gemini: a blockReason), ``schema_mismatch`` breaks the schema asked for, unless none was
    or the user has spoken again after an assistant.

    Without: ``error_500``, ``error_503``, ``overloaded`` (529 at Anthropic, else 503), ``drop`` closes the socket
    with no reply, ``timeout`` never answers (until the client leaves, or ``Settings.timeout_cap_s``).

    Refusals, which cost no quota: ``context`` (too long), ``auth`` (the key was revoked), ``not_found`` (the
    model), ``bad_request``, ``refused_429`` (with a Retry-After of ``refused_after_s``), ``insufficient_quota``.
    """

    error_500: Rate = 0.0
    error_503: Rate = 0.0
    drop: Rate = 0.0
    malformed: Rate = 0.0
    cut: Rate = 0.0
    timeout: Rate = 0.0
    overloaded: Rate = 0.0
    stall: Rate = 0.0
    stream_error: Rate = 0.0
    filtered: Rate = 0.0
    schema_mismatch: Rate = 0.0
    context: Rate = 0.0
    auth: Rate = 0.0
    not_found: Rate = 0.0
    bad_request: Rate = 0.0
    refused_429: Rate = 0.0
    insufficient_quota: Rate = 0.0
    cut_at: Rate = 0.5
    filtered_as: Literal["finish", "error"] = "finish"
    refused_after_s: PositiveFloat = 1.0

    @model_validator(mode="after")
    def _at_most_all(self) -> Self:
        if sum(getattr(self, kind) for kind in get_args(FaultKind)) > 1.0 + 1e-9:
            raise ValueError("the fault rates add up to more than 1")
        return self


class Outage(_Model):
    """[start_s, end_s) seconds after the server's start: every request fails as ``kind`` says.

    With ``every_s`` the window comes again each so many seconds: 0, 6 and 60 is down for a tenth of the time.
    """

    start_s: NonNegativeFloat
    end_s: NonNegativeFloat
    every_s: PositiveFloat | None = None
    kind: OutageKind = "error_503"

    @model_validator(mode="after")
    def _within_its_period(self) -> Self:
        if self.every_s is not None and self.end_s > self.every_s:
            raise ValueError("an outage that comes again ends within every_s")
        return self


class Cache(_Model):
    """The prompt cache: ``prefix`` finds what an earlier prompt of the same key and model began with.

    In whole blocks of ``block_tokens``, and only from ``min_tokens`` on. With a ``rate`` nothing is looked up:
    that share of the prompts of at least ``min_tokens`` (by their hash) is half cached.
    """

    min_tokens: PositiveInt = 1024
    prefix: bool = True
    rate: Rate = 0.0
    block_tokens: PositiveInt = 16


class Answer(_Model):
    """What a reply says.

    ``echo``: words that depend on a hash of the request alone, ``tokens`` long (a pair is a range, from which
    the hash picks). ``digest``: for each line ``=== path`` of the user's messages, a line ``## path`` and a
    sentence that names it; echo where there is none. ``summary``: the same, and the sentence tells a checksum of
    what stood below that line, so that another text is answered otherwise. ``fixed``: ``text``.

    ``exam``: tasks are answered by a letter, right as often as the model's skill makes it, and candidates are
    scored (see exam.py); echo where there is no task.

    ``by`` says what an echo depends on: ``request`` the model and all messages, ``content`` the user's texts
    alone, so that every model and dialect says the same. ``tools``: ``first`` calls the first tool unless the
    last message is a tool's result; a tool that the request forces is called in any case. A request for JSON
    is answered by the least that satisfies its schema, in every mode; in an exam with the letter or the score in it.
    """

    mode: Literal["echo", "digest", "summary", "fixed", "exam"] = "echo"
    tokens: PositiveInt | tuple[PositiveInt, PositiveInt] = 32
    text: str = ""
    by: Literal["request", "content"] = "request"
    tools: Literal["never", "first"] = "never"

    @property
    def token_range(self) -> tuple[int, int]:
        """The least and the most tokens of an echo."""
        return self.tokens if isinstance(self.tokens, tuple) else (self.tokens, self.tokens)

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        low, high = self.token_range
        if low > high:
            raise ValueError("answer.tokens: the first of the pair is the least")
        return self


class ModelSettings(_Model):
    """One model: dollars per million tokens, limits in tokens, and its own quota and latency, if any.

    ``cached_price``: of prompt tokens read from the cache, ``written_price``: of those written to it (told and
    billed by Anthropic's dialect alone); None is the input price. ``reasoning_tokens`` are added to each chat's
    output, and billed as such. ``skill``: the difficulty at which an exam's tasks are known half of the time.
    """

    input_price: Price = Decimal("0.15")
    output_price: Price = Decimal("0.60")
    cached_price: Price | None = None
    written_price: Price | None = None
    reasoning_tokens: NonNegativeInt = 0
    skill: Annotated[float, Field(ge=-10.0, le=10.0)] = 0.5
    context_window: PositiveInt = 128_000
    max_output: PositiveInt = 16_384
    quota: Quota | None = None
    latency: Latency | None = None


def _default_models() -> dict[str, ModelSettings]:
    large = ModelSettings(input_price=Decimal("2.50"), output_price=Decimal("10.00"))
    return {"sim-small": ModelSettings(context_window=16_384, max_output=4_096), "sim-large": large}


class Settings(_Model):
    """All a simulated provider is told at its start.

    ``keys`` None accepts any key, also none. ``quota`` holds per key over all models; a model's own quota
    holds beside it. ``bill`` says which requests cost money: ``answered`` those whose answer left in whole
    (one that breaks its schema is whole), ``accepted`` every one that passed the quotas and was not answered by
    an error; of a stream that ended early, the prompt and the tokens of the events that were sent.
    """

    seed: int = 0
    keys: tuple[str, ...] | None = Field(default=None, repr=False)
    models: dict[str, ModelSettings] = Field(default_factory=_default_models)
    any_model: bool = False
    quota: Quota = Quota()
    retry_after: RetryAfterForm = "seconds"
    latency: Latency = Latency()
    faults: Faults = Faults()
    outages: tuple[Outage, ...] = ()
    answer: Answer = Answer()
    cache: Cache | None = None
    stream_chunk_tokens: PositiveInt = 8
    bill: Literal["answered", "accepted"] = "answered"
    timeout_cap_s: PositiveFloat = 600.0
    max_body_bytes: PositiveInt = 64 * 1024 * 1024
    ledger_cap: PositiveInt = 5_000_000


class RefuseNext(_Model):
    """Answer the next ``count`` requests by 429 and a Retry-After of ``after_s`` in this ``form``."""

    count: PositiveInt = 1
    after_s: PositiveFloat = 1.0
    form: RetryAfterForm = "seconds"


class FailNext(_Model):
    """The next ``count`` requests meet this fault instead of what the dice say, whether a quota refuses them or not."""

    count: PositiveInt = 1
    kind: FaultKind = "error_500"


class Control(_Model):
    """The body of ``POST /control``: what changes now; a field left out changes nothing.

    ``outage``: a kind starts one, ``off`` ends it (windows of the settings go on by their own times).
    ``answer`` and ``faults`` replace the settings' own.
    ``reset_ledger`` empties the ledger, numbers from 0 again and throws the seeded dice from their start; the
    quotas' windows remember what was accepted.
    """

    outage: OutageKind | Literal["off"] | None = None
    refuse_next: RefuseNext | None = None
    fail_next: FailNext | None = None
    latency: Latency | None = None
    faults: Faults | None = None
    answer: Answer | None = None
    reset_ledger: bool = False


def load_settings(path: Path) -> Settings:
    """Settings of a JSON file. Raises OSError, or pydantic's ValidationError, which names the field."""
    return Settings.model_validate_json(path.read_bytes())


def settings_from_options(
    file: Path | None = None,
    *,
    seed: int | None = None,
    keys: tuple[str, ...] | None = None,
    any_model: bool | None = None,
    rpm: int | None = None,
    tpm: int | None = None,
    concurrency: int | None = None,
    window_s: float | None = None,
    latency_s: float | None = None,
    sigma: float | None = None,
    tail_rate: float | None = None,
    tail_factor: float | None = None,
) -> Settings:
    """Settings of a file (or the defaults) with what the command line says on top; None is "not said".

    Raises OSError for an unreadable file, ValueError (pydantic's ValidationError) for a wrong value.
    """
    said: dict[str, Any] = {
        "seed": seed,
        "keys": keys,
        "any_model": any_model,
        "quota": {"rpm": rpm, "tpm": tpm, "concurrency": concurrency, "window_s": window_s},
        "latency": {
            "median_s": latency_s,
            "sigma": sigma,
            "tail_rate": tail_rate,
            "tail_factor": tail_factor,
        },
    }
    base = (load_settings(file) if file else Settings()).model_dump()
    return Settings.model_validate(_overlay(base, said))


def _overlay(base: dict[str, Any], said: dict[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for name, value in said.items():
        if isinstance(value, dict):
            merged[name] = _overlay(base[name], value)
        elif value is not None:
            merged[name] = value
    return merged
