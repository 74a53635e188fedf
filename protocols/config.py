"""Configuration: providers, accounts, limits, and models as ordered candidates.

The models are plain pydantic: unknown keys are refused, references to the environment stay references until
an actor needs the secret (`understudy.protocols.references`). Reading a file, and telling line and column of
a mistake, is the work of `understudy.cluster.config_file`.
"""

from collections.abc import Iterable
from typing import Self

from pydantic import Field, ValidationInfo, field_validator, model_validator

from .accounts import Account, BreakerSettings, Kind, Limits, Timeouts
from .routes import Balance, Caching, Candidate, Hedging, OnCut, OnFilter, Overflow, Price, Route
from .routing import Budgets, Routing, Rule, Tenant, Weights
from .strict import Name, Strict, mistake, unknown

__all__ = [
    "AUTO",
    "Account",
    "Attempts",
    "Balance",
    "BreakerSettings",
    "Budgets",
    "Caching",
    "Candidate",
    "Config",
    "DigestSettings",
    "Hedging",
    "Kind",
    "Limits",
    "Name",
    "OnCut",
    "OnFilter",
    "Overflow",
    "Price",
    "Route",
    "Routing",
    "Rule",
    "Tenant",
    "Timeouts",
    "Weights",
    "encode",
]

AUTO = "auto"
"""The route that chooses another one by `routing`; no model may have its name."""

_EXTRACTIVE = {"extractive": Route(candidates=(Candidate(account="embedded", model="extractive"),))}


class Attempts(Strict):
    """The budget of one logical call, shared by retries and fallbacks."""

    max_attempts: int = Field(default=6, gt=0, description="attempts over all candidates")
    per_candidate: int = Field(default=3, gt=0, description="attempts at one candidate")
    deadline_s: float = Field(default=300.0, gt=0, description="seconds for the whole call, waits included")
    backoff_s: float = Field(default=0.1, ge=0, description="first back-off, s; triples, with full jitter")
    backoff_max_s: float = Field(default=20.0, ge=0, description="longest back-off, s")


class DigestSettings(Strict):
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
    cache: bool = Field(
        default=False, description="earlier answers to the same request will do, where the route has a `cache`"
    )
    remember: bool = Field(
        default=True, description="what an earlier digest has answered for the same text is not asked again"
    )


class Config(Strict):
    """The whole of `understudy.yaml`.

    `models` gives each route its candidates, best first: the second steps in when the first fails. The
    account `embedded` exists even where the file doesn't define it, so that any route can fall back to it.
    """

    accounts: dict[Name, Account] = Field(
        default_factory=lambda: {"embedded": Account(kind="embedded")},
        description="provider accounts by name",
    )
    models: dict[str, Route] = Field(
        default_factory=lambda: dict(_EXTRACTIVE),
        description="routes: a name, and its candidates, best first",
    )
    routing: Routing = Field(default=Routing(), description="how a model is chosen for the route `auto`")
    tenants: dict[Name, Tenant] = Field(default_factory=dict, description="who shares the accounts, by name")
    budgets: Budgets = Field(default=Budgets(), description="what may be spent")
    attempts: Attempts = Field(default=Attempts(), description="the budget of one logical call")
    digest: DigestSettings = Field(default=DigestSettings(), description="how a folder is digested")
    max_cost: float | None = Field(default=None, gt=0, description="dollars a job may spend")

    @field_validator("accounts")
    @classmethod
    def _embedded_is_there(cls, value: dict[str, Account]) -> dict[str, Account]:
        return value if "embedded" in value else {**value, "embedded": Account(kind="embedded")}

    @field_validator("models")
    @classmethod
    def _routes_have_candidates(cls, value: dict[str, Route], info: ValidationInfo) -> dict[str, Route]:
        if not value:
            raise mistake("is empty: name at least one route, or leave models out for the embedded one")
        accounts = info.data.get("accounts")  # None when accounts is wrong, which is told already
        if AUTO in value:
            raise mistake("is the name for a choice by `routing`; call this model otherwise", AUTO)
        for name, route in value.items():
            if not route.candidates:
                raise mistake("has no candidates: name at least one account and model", name)
            for place, candidate in enumerate(route.candidates):
                if accounts is not None and candidate.account not in accounts:
                    raise mistake(
                        unknown("account", candidate.account, accounts),
                        *(name, "candidates", place, "account"),
                    )
        return value

    @model_validator(mode="after")
    def _references_meet(self) -> Self:
        if "models" not in self.model_fields_set and any(it.kind != "embedded" for it in self.accounts.values()):
            raise mistake("is missing: accounts are defined, but no model uses them", "models")
        for key in ("map_model", "reduce_model"):
            route = getattr(self.digest, key)
            if route is not None and route not in self.models:
                raise mistake(unknown("route", route, self.models), "digest", key)
        if self.digest.cache and not any(self.models[it].cache for it in (self.map_route, self.reduce_route)):
            raise mistake(f"nothing is kept: give models.{self.map_route} a `cache`", "digest", "cache")
        for path, route in self._routed():
            if route not in self.models:
                raise mistake(unknown("route", route, self.models), "routing", *path)
        for place, rule in enumerate(self.routing.rules):
            for number, tenant in enumerate(rule.tenant):
                if self.tenants and tenant not in self.tenants:
                    wrong = unknown("tenant", tenant, self.tenants)
                    raise mistake(wrong, "routing", "rules", place, "tenant", number)
        return self

    def _routed(self) -> Iterable[tuple[tuple[str | int, ...], str]]:
        """The routes that `routing` names, each with its place."""
        routing = self.routing
        yield from ((("rules", place, "route"), rule.route) for place, rule in enumerate(routing.rules))
        yield from (((key, name), name) for key in ("examples", "descriptions") for name in getattr(routing, key))
        yield from (((key,), getattr(routing, key)) for key in ("classifier", "generalist") if getattr(routing, key))

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
        return tuple(dict.fromkeys(it.account for it in self.candidates_of(routes)))

    def candidates_of(self, routes: Iterable[str]) -> tuple[Candidate, ...]:
        """The candidates of these routes; unknown routes have none, `auto` has those of all."""
        names = [name for route in routes for name in (self.models if route == AUTO else (route,))]
        return tuple(it for name in names if name in self.models for it in self.models[name].candidates)


def encode(config: Config) -> bytes:
    """A configuration as it travels: JSON with its references unresolved."""
    return config.model_dump_json(exclude_defaults=True).encode()
