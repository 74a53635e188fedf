"""Configuration: providers, accounts, limits, and models as ordered candidates.

The models are plain pydantic: unknown keys are refused, references to the environment stay references until
an actor needs the secret (`understudy.protocols.references`). Reading a file, and telling line and column of
a mistake, is the work of `understudy.cluster.config_file`.
"""

from collections.abc import Iterable, Iterator
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator, model_validator
from pydantic_core import PydanticCustomError

from .references import flaw_of_header, flaw_of_key, flaw_of_url
from .suggest import did_you_mean

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=64)]


class _Strict(BaseModel):
    """Unknown keys are refused; an error never repeats the input, which may be a key in the wrong place."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True, allow_inf_nan=False)


class Limits(_Strict):
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


class BreakerSettings(_Strict):
    """When an account is left alone: after `failures` in a row, or that share of the last `window` calls."""

    failures: int = Field(default=5, gt=0, description="failures in a row that open the breaker")
    rate: float = Field(default=0.5, gt=0, le=1, description="share of failures in `window` that opens it")
    window: int = Field(default=20, gt=0, description="calls that the share is taken of")
    open_s: float = Field(default=15.0, gt=0, description="first pause, seconds; doubles with each failed probe")
    open_max_s: float = Field(default=120.0, gt=0, description="longest pause, s")


class Timeouts(_Strict):
    """Seconds until an attempt is given up."""

    connect_s: float = Field(default=5.0, gt=0, description="until a connection stands, seconds")
    total_s: float = Field(default=120.0, gt=0, description="until the whole answer is there, seconds")


class Account(_Strict):
    """One key at one provider, with its own quotas and its own breaker."""

    kind: Literal["openai", "embedded"] = Field(
        default="openai",
        description="wire format; `embedded` answers on this machine, needs no key and costs nothing",
    )
    base_url: str = Field(
        default="https://api.openai.com/v1",
        description="where the provider listens, up to and with /v1; may hold references `${X}`",
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

    @field_validator("api_key")
    @classmethod
    def _key_is_a_reference(cls, value: str | None) -> str | None:
        return value if value is None else _flawless(value, flaw_of_key(value))

    @field_validator("base_url")
    @classmethod
    def _url_is_one(cls, value: str) -> str:
        return _flawless(value, flaw_of_url(value))

    @field_validator("headers")
    @classmethod
    def _headers_are_safe(cls, value: dict[str, str]) -> dict[str, str]:
        for name, text in value.items():
            flaw = flaw_of_header(name, text)
            if flaw:
                raise _mistake(flaw, name)
        return value

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


class Price(_Strict):
    """Dollars for a million tokens; overrides the built-in table."""

    input: float = Field(ge=0, description="dollars for a million input tokens")
    output: float = Field(ge=0, description="dollars for a million output tokens")
    cached: float | None = Field(
        default=None, ge=0, description="dollars for a million cached input tokens; default: as `input`"
    )


class Candidate(_Strict):
    """One way to reach a model: which account, and what the model is called there."""

    account: Name = Field(description="a name under accounts")
    model: str = Field(min_length=1, description="the model's name at that provider")
    window: int | None = Field(
        default=None, gt=0, description="context window in tokens; default: from the built-in table"
    )
    price: Price | None = Field(default=None, description="default: from the built-in table")


_EXTRACTIVE: dict[str, tuple[Candidate, ...]] = {"extractive": (Candidate(account="embedded", model="extractive"),)}


class Attempts(_Strict):
    """The budget of one logical call, shared by retries and fallbacks."""

    max_attempts: int = Field(default=6, gt=0, description="attempts over all candidates")
    per_candidate: int = Field(default=3, gt=0, description="attempts at one candidate")
    deadline_s: float = Field(default=300.0, gt=0, description="seconds for the whole call, waits included")
    backoff_s: float = Field(default=0.5, ge=0, description="first back-off, s; doubles, with full jitter")
    backoff_max_s: float = Field(default=20.0, ge=0, description="longest back-off, s")


class DigestSettings(_Strict):
    """How a folder is digested."""

    map_model: str | None = Field(default=None, description="route that reads source; default: the first of models")
    reduce_model: str | None = Field(default=None, description="route that merges summaries; default: as map_model")
    map_budget: int = Field(default=4000, ge=256, description="tokens of source a map call reads")
    reduce_budget: int = Field(default=12_000, ge=1024, description="tokens of summaries a reduce call reads")
    max_file_bytes: int = Field(default=2_000_000, gt=0, description="larger files are skipped, bytes")
    map_answer: int = Field(
        default=600, ge=32, description="most tokens of a map answer, or 100 a file if that is more"
    )
    reduce_answer: int = Field(default=900, ge=32, description="most tokens of a reduce answer")


class Config(_Strict):
    """The whole of `understudy.yaml`.

    `models` gives each route its candidates, best first: the second steps in when the first fails. The
    account `embedded` exists even where the file doesn't define it, so that any route can fall back to it.
    """

    accounts: dict[Name, Account] = Field(
        default_factory=lambda: {"embedded": Account(kind="embedded")},
        description="provider accounts by name",
    )
    models: dict[str, tuple[Candidate, ...]] = Field(
        default_factory=lambda: dict(_EXTRACTIVE),
        description="routes: a name, and its candidates, best first",
    )
    attempts: Attempts = Field(default=Attempts(), description="the budget of one logical call")
    digest: DigestSettings = Field(default=DigestSettings(), description="how a folder is digested")
    max_cost: float | None = Field(default=None, gt=0, description="dollars a job may spend")

    @field_validator("accounts")
    @classmethod
    def _embedded_is_there(cls, value: dict[str, Account]) -> dict[str, Account]:
        return value if "embedded" in value else {**value, "embedded": Account(kind="embedded")}

    @field_validator("models")
    @classmethod
    def _routes_have_candidates(
        cls, value: dict[str, tuple[Candidate, ...]], info: ValidationInfo
    ) -> dict[str, tuple[Candidate, ...]]:
        if not value:
            raise _mistake("is empty: name at least one route, or leave models out for the embedded one")
        accounts = info.data.get("accounts")  # None when accounts is wrong, which is told already
        for route, candidates in value.items():
            if not candidates:
                raise _mistake("has no candidates: name at least one account and model", route)
            for place, candidate in enumerate(candidates):
                if accounts is not None and candidate.account not in accounts:
                    raise _mistake(
                        f"no account is called {candidate.account!r}{_hint(candidate.account, accounts)}",
                        *(route, place, "account"),
                    )
        return value

    @model_validator(mode="after")
    def _references_meet(self) -> Self:
        if "models" not in self.model_fields_set and any(it.kind != "embedded" for it in self.accounts.values()):
            raise _mistake("is missing: accounts are defined, but no model uses them", "models")
        for key in ("map_model", "reduce_model"):
            route = getattr(self.digest, key)
            if route is not None and route not in self.models:
                raise _mistake(f"no route is called {route!r}{_hint(route, self.models)}", "digest", key)
        return self

    @property
    def map_route(self) -> str:
        """The route that map calls take."""
        return self.digest.map_model or next(iter(self.models))

    @property
    def reduce_route(self) -> str:
        """The route that reduce calls take."""
        return self.digest.reduce_model or self.map_route

    def accounts_of(self, routes: Iterable[str]) -> tuple[str, ...]:
        """The accounts that the candidates of these routes name, each once; unknown routes name none."""
        return tuple(dict.fromkeys(it.account for route in routes for it in self.models.get(route, ())))


def _flawless(value: str, flaw: str) -> str:
    if flaw:
        raise _mistake(flaw)
    return value


def _mistake(message: str, *path: str | int) -> PydanticCustomError:
    """A mistake at `path` below the value being validated; a reader of the file tells its line by it."""
    return PydanticCustomError("mistake", "{message}", {"message": message, "path": path})


def _hint(word: str, known: Iterable[str]) -> str:
    names = sorted(known)
    return did_you_mean(word, names) or f" (defined: {', '.join(names) or 'none'})"


def encode(config: Config) -> bytes:
    """A configuration as it travels: JSON with its references unresolved."""
    return config.model_dump_json(exclude_defaults=True).encode()
