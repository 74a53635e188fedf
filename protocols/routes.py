"""Routes: a name that workflows call, and the candidates that stand behind it."""

import re
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, Field, WithJsonSchema, model_validator

from .strict import Name, Strict, mistake
from .suggest import did_you_mean


class Price(Strict):
    """Dollars for a million tokens; overrides the built-in table."""

    input: float = Field(ge=0, description="dollars for a million input tokens")
    output: float = Field(ge=0, description="dollars for a million output tokens")
    cached: float | None = Field(
        default=None, ge=0, description="dollars for a million cached input tokens; default: as `input`"
    )
    written: float | None = Field(
        default=None, ge=0, description="dollars for a million input tokens written to a cache; default: as `input`"
    )


class Candidate(Strict):
    """One way to reach a model: which account, and what the model is called there."""

    account: Name = Field(description="a name under accounts")
    model: str = Field(min_length=1, description="the model's name at that provider")
    window: int | None = Field(
        default=None, gt=0, description="context window in tokens; default: from the built-in table"
    )
    price: Price | None = Field(default=None, description="default: from the built-in table")
    max_output: int | None = Field(default=None, gt=0, description="most tokens of an answer; default: no bound")
    rank: int | None = Field(
        default=None,
        ge=0,
        description="candidates of one rank are equals that share the load by `balance`; default: its place",
    )
    weight: float = Field(default=1.0, gt=0, description="its part of the load among equals")
    quality: dict[str, Annotated[float, Field(ge=0, le=1)]] = Field(
        default_factory=dict,
        description="how good its answers are, 0 to 1, by domain (`code`, `math`, …); `default` for all others",
    )
    latency_s: float | None = Field(
        default=None, gt=0, description="typical seconds to its answer, until it was measured"
    )


class Hedging(Strict):
    """When a second request is sent beside one that is late."""

    share: float = Field(default=0.05, gt=0, le=1, description="most hedges, as a share of all calls, cluster-wide")
    quantile: float = Field(
        default=0.95, gt=0, lt=1, description="a call is late when it takes longer than this share of its like"
    )
    initial_s: float = Field(default=2.0, gt=0, description="late after so many seconds, until enough was observed")
    most: int = Field(default=1, gt=0, le=4, description="hedges of one call")
    worth: float | None = Field(
        default=None,
        gt=0,
        description="dollars that a second saved is worth; a hedge whose expected gain is less than its price is not "
        "sent; default: price is no matter",
    )


class Caching(Strict):
    """Answers of calls that allow it are kept by content."""

    ttl_s: float = Field(default=3600.0, gt=0, description="an answer is fresh for so many seconds")
    stale_s: float = Field(
        default=86_400.0, ge=0, description="for so long after that it may still stand in when every model fails"
    )
    max_bytes: int = Field(default=64 * 1024 * 1024, gt=0, description="most bytes kept by one process")


BALANCES: Final = ("ordered", "round_robin", "weighted", "least_busy", "latency", "cheapest")
_POLICY: Final = r"[A-Za-z_][A-Za-z0-9_.]*:[A-Za-z_][A-Za-z0-9_]*"


def _policy(value: str) -> str:
    if value in BALANCES or re.fullmatch(_POLICY, value):
        return value
    known = ", ".join(repr(name) for name in BALANCES)
    raise mistake(f"must be {known} or package.module:Class{did_you_mean(value, BALANCES)}")


Balance = Annotated[
    str,
    AfterValidator(_policy),
    WithJsonSchema({"anyOf": [{"enum": list(BALANCES)}, {"type": "string", "pattern": f"^{_POLICY}$"}]}),
]
"""A policy by its name, or by the import path of a class of one's own."""
Overflow = Literal["fail", "larger", "truncate_oldest", "truncate_middle", "summarise"]
OnFilter = Literal["next", "rephrase", "fail"]
OnCut = Literal["fail", "restart", "continue"]


class Route(Strict):
    """What stands behind a name: candidates, best first, and what is done when they fail.

    A list of candidates stands for a route with nothing else said.
    """

    candidates: tuple[Candidate, ...] = Field(description="who can answer, best first")
    balance: Balance = Field(
        default="ordered", description="how equals (one `rank`) share the load: a name, or package.module:Class"
    )
    hedge: Hedging | None = Field(default=None, description="send a second request when the first is late")
    cache: Caching | None = Field(default=None, description="keep answers of calls that allow it")
    overflow: Overflow = Field(
        default="larger",
        description="what is done with a request that is larger than the window: a candidate with a larger one is "
        "tried first, except with `fail`",
    )
    filtered: OnFilter = Field(default="next", description="what is done when a provider's filter refuses")
    cut: OnCut = Field(default="restart", description="what is done when a stream breaks after its first words")
    degraded: str | None = Field(default=None, description="the answer when everybody failed, told as such")
    tier: Literal["fast", "standard", "premium", "private"] | None = Field(
        default=None, description="what this route is for, to the choice of a model"
    )

    @model_validator(mode="before")
    @classmethod
    def _list_is_candidates(cls, value: Any) -> Any:
        if isinstance(value, list | tuple):
            return {"candidates": tuple(value)}
        # What a `before` validator returns is judged as Python: a list would be no tuple to a strict reader.
        if isinstance(value, dict) and isinstance(value.get("candidates"), list):
            return {**value, "candidates": tuple(value["candidates"])}
        return value
