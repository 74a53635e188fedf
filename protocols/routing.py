"""How a model is chosen for a request that names none: rules, examples, a classifier, and the weights of a choice."""

import re
import warnings
from typing import Literal

from pydantic import Field, field_validator

from .strict import Strict, mistake

Complexity = Literal["low", "medium", "high"]
Urgency = Literal["batch", "normal", "realtime"]
Tolerance = Literal["low", "medium", "high"]


class Rule(Strict):
    """The first rule whose conditions all hold decides; a condition that is left out always holds."""

    route: str = Field(description="a name under models")
    contains: tuple[str, ...] = Field(default=(), description="one of these words or phrases, in any case")
    matches: str | None = Field(default=None, description="a regular expression, in any case")
    domain: tuple[str, ...] = Field(default=(), description="one of these domains (code, math, data, …)")
    complexity: tuple[Complexity, ...] = Field(default=(), description="one of low, medium, high")
    urgency: tuple[Urgency, ...] = Field(default=(), description="one of batch, normal, realtime")
    tenant: tuple[str, ...] = Field(default=(), description="one of these tenants")
    pii: bool | None = Field(default=None, description="whether the text holds personal data")
    min_tokens: int | None = Field(default=None, ge=0, description="prompts of so many tokens and more")
    max_tokens: int | None = Field(default=None, gt=0, description="prompts of so many tokens and less")

    @field_validator("matches")
    @classmethod
    def _matches_compiles(cls, value: str | None) -> str | None:
        if value is not None:
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    re.compile(value, re.IGNORECASE)
            except re.error as error:
                # Some of its messages quote a part of the pattern, behind the first quotation mark.
                place = "" if error.pos is None else f" at character {error.pos + 1}"
                raise mistake(f"is no regular expression: {error.msg.split(chr(39))[0].rstrip()}{place}") from None
            except (OverflowError, RecursionError):
                raise mistake("is no regular expression: it counts or nests too far") from None
        return value


class Weights(Strict):
    """What a choice among models weighs; only the ratios count."""

    cost: float = Field(default=0.3, ge=0, description="cheap is good")
    latency: float = Field(default=0.3, ge=0, description="fast is good")
    quality: float = Field(default=0.4, ge=0, description="good in the request's domain is good")


class Routing(Strict):
    """What happens to a request for the route `auto`: rules, then examples, then a classifier, then the generalist."""

    rules: tuple[Rule, ...] = Field(default=(), description="looked at in order; the first that holds decides")
    examples: dict[str, tuple[str, ...]] = Field(
        default_factory=dict, description="for each route, requests that belong there; the likest decides"
    )
    similarity: float = Field(default=0.35, gt=0, le=1, description="how like the likest example has to be")
    classifier: str | None = Field(
        default=None, description="a name under models: this model is asked when no rule and no example decides"
    )
    descriptions: dict[str, str] = Field(
        default_factory=dict, description="for each route, what it is for, in words: the classifier reads them"
    )
    generalist: str | None = Field(
        default=None,
        description="a name under models: takes what nobody claims; default: the one with the best score",
    )
    weights: Weights = Field(default=Weights(), description="what the score weighs")
    max_cost: float | None = Field(default=None, gt=0, description="dollars that one call may cost")
    max_latency_s: float | None = Field(default=None, gt=0, description="seconds that a model may typically take")
    pii: Literal["allow", "private_only"] = Field(
        default="allow",
        description="`private_only`: a request with personal data goes to private accounts only, whoever asks",
    )


class Tenant(Strict):
    """One of those who share the accounts."""

    weight: float = Field(default=1.0, gt=0, description="its share of a quota against other tenants")
    day: float | None = Field(default=None, gt=0, description="dollars it may spend in a day (UTC)")
    jobs: int | None = Field(default=None, gt=0, description="jobs of the queue that run for it at once")


class Budgets(Strict):
    """What may be spent at most; each is reserved before a call and settled after it. `max_cost` is a job's."""

    call: float | None = Field(default=None, gt=0, description="dollars for one logical call, all attempts together")
    day: float | None = Field(default=None, gt=0, description="dollars in a day (UTC), all tenants together")
