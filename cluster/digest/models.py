"""Which models a digest uses, what they cost, and whether they can be reached before anything is spent."""

import dataclasses
import json
import math
import os
import re
import time
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from ...actors.prices import PriceBook, Rate
from ...actors.prices import estimate as price_at_most
from ...protocols.config import Account, Candidate, Config, Route
from ...protocols.digest import DigestPlan
from ...protocols.errors import AuthRejected, ConfigError, UsageError
from ...protocols.references import missing, resolve
from ...protocols.suggest import did_you_mean
from ...protocols.wire.codec import Codec
from ...supervisors.digest.plan import Estimate
from ...supervisors.digest.prompts import ANSWER_A_FILE

_ALL = {"openai": "", "anthropic": "?limit=1000", "gemini": "?pageSize=1000"}
"""What a list of models is asked by, so that it comes on one page."""

_CALL_S = 2.0
"""Seconds a call is guessed to take, for a plan's time where nothing was measured."""


@dataclasses.dataclass(frozen=True, slots=True)
class Models:
    """The two routes of a digest."""

    config: Config
    map: str
    reduce: str

    @property
    def embedded(self) -> bool:
        """True when nothing leaves this machine: every candidate is the embedded provider."""
        return all(self.config.accounts[one.account].kind == "embedded" for one in self.candidates())

    def candidates(self) -> tuple[Candidate, ...]:
        """All candidates of both routes."""
        return (*self.config.models[self.map].candidates, *self.config.models[self.reduce].candidates)


def choose(config: Config, map_model: str | None, reduce_model: str | None) -> Models:
    """The routes by the options, else by the configuration, else its first model.

    Raises:
        UsageError: no such model, or a variable that one of them needs is not set.
    """
    first = next(iter(config.models))
    names = {
        "--map-model": map_model or config.digest.map_model or first,
        "--reduce-model": reduce_model or config.digest.reduce_model or map_model or config.digest.map_model or first,
    }
    for option, name in names.items():
        if name not in config.models:
            hint = did_you_mean(name, config.models)
            defined = ", ".join(config.models)
            raise UsageError(f"{option} {name!r}: the configuration defines no such model{hint}; it defines {defined}")
    absent = missing(config, os.environ, routes=names.values())
    if absent:
        raise ConfigError(str(absent[0]) + (f" (and {len(absent) - 1} more)" if len(absent) > 1 else ""))
    return Models(config, *names.values())


def known_tenant(config: Config, tenant: str) -> None:
    """Raises `UsageError` for a tenant that is not among those that the configuration defines, where it defines any."""
    if tenant and config.tenants and tenant not in config.tenants:
        hint = did_you_mean(tenant, config.tenants)
        defined = ", ".join(config.tenants)
        raise UsageError(f"--tenant {tenant!r}: the configuration defines no such tenant{hint}; it defines {defined}")


def book(models: Models) -> PriceBook:
    """Prices as of today; those of all candidates were looked up, so that `unpriced` is complete."""
    prices = PriceBook(models.config, at=datetime.now(tz=UTC), environ=os.environ)
    for candidate in models.candidates():
        prices.rate(candidate)
    return prices


@dataclasses.dataclass(frozen=True, slots=True)
class Forecast:
    """What a plan will cost and take: picodollars (None: no price known) and seconds under the limits."""

    map_cost: int | None
    reduce_cost: int | None
    seconds: float
    limit: str

    @property
    def cost(self) -> int | None:
        """Both phases; None as soon as one is unknown."""
        return None if self.map_cost is None or self.reduce_cost is None else self.map_cost + self.reduce_cost


def forecast(models: Models, estimate: Estimate, prices: PriceBook, *, concurrency: int) -> Forecast:
    """Money and time of an estimate if those who are asked first answer: at the dearest's price, sharing the load."""
    first_map = first_rank(models.config.models[models.map])
    first_reduce = first_rank(models.config.models[models.reduce])
    seconds, limit = _time(models.config, first_map, estimate, concurrency)
    return Forecast(
        _dearest(map(prices.rate, first_map), estimate.map_input_tokens, estimate.map_output_tokens),
        _dearest(map(prices.rate, first_reduce), estimate.reduce_input_tokens, estimate.reduce_output_tokens),
        seconds,
        limit,
    )


def first_rank(route: Route) -> tuple[Candidate, ...]:
    """The candidates that are asked first: those of the lowest rank, or one of them where the load isn't shared."""
    ranks = [place if one.rank is None else one.rank for place, one in enumerate(route.candidates)]
    first = tuple(one for one, rank in zip(route.candidates, ranks, strict=True) if rank == min(ranks))
    return first[:1] if route.balance == "ordered" else first


def _dearest(rates: Iterable[Rate | None], input_tokens: int, output_tokens: int) -> int | None:
    """The most that any of these would take; None as soon as one is unknown."""
    costs = [None if one is None else input_tokens * one.input + output_tokens * one.output for one in rates]
    return None if None in costs else max(cost for cost in costs if cost is not None)


def _time(config: Config, candidates: Iterable[Candidate], estimate: Estimate, concurrency: int) -> tuple[float, str]:
    names = dict.fromkeys(one.account for one in candidates)
    limits = [config.accounts[name].limits for name in names if config.accounts[name].kind != "embedded"]
    if not limits:
        return estimate.calls * 0.03, "CPU"
    width = min(concurrency, sum(one.concurrency or concurrency for one in limits))
    bounds = {f"{width} calls at once, {_CALL_S:g} s each": estimate.calls / width * _CALL_S}
    if all(one.rpm for one in limits):
        rate = sum((one.rpm or 0) / one.window_s for one in limits)
        bounds[f"{sum(one.rpm or 0 for one in limits)} requests a window"] = estimate.calls / rate
    if all(one.tpm for one in limits):
        rate = sum((one.tpm or 0) / one.window_s for one in limits)
        tokens = estimate.input_tokens + estimate.output_tokens
        bounds[f"{sum(one.tpm or 0 for one in limits)} tokens a window"] = tokens / rate
    limit = max(bounds, key=lambda name: bounds[name])
    return bounds[limit], limit


def dearest_item(models: Models, plan: DigestPlan, prices: PriceBook) -> int:
    """The most one map call may cost at any candidate, in picodollars; 0 where no price is known.

    One call, not its retries or hedges: what those cost is settled when it is known, and bounded by `budgets.call`. A
    quarter is added for tokenizers that count more than the one that measured the packs.
    """
    most = max(pack.tokens for pack in plan.packs) + 250
    rates = [rate for rate in map(prices.rate, models.config.models[models.map].candidates) if rate is not None]
    answer = max(models.config.digest.map_answer, max(len(pack.chunks) for pack in plan.packs) * ANSWER_A_FILE)
    return max((price_at_most(rate, math.ceil(most * 1.25), answer) for rate in rates), default=0)


# Before anything is spent ---------------------------------------------------------------------------------------------


def reach(models: Models) -> list[str]:
    """Asks each account whether it is there, takes the key and has the models; returns warnings.

    A route is refused when none of its candidates can answer. One request an account, which costs nothing.

    Raises:
        UsageError: nobody could answer; the text says why and what to mend.
    """
    flaws: dict[tuple[str, str], str] = {}
    listed: dict[str, Any] = {}
    for candidate in models.candidates():
        account = models.config.accounts[candidate.account]
        if account.kind != "embedded":
            if candidate.account not in listed:
                listed[candidate.account] = _ask(candidate.account, account)
            flaws[candidate.account, candidate.model] = _flaw(candidate, listed[candidate.account])
    for route in (models.map, models.reduce):
        own = [flaws.get((one.account, one.model), "") for one in models.config.models[route].candidates]
        if all(own):
            raise UsageError(own[0])
    return [flaw for flaw in flaws.values() if flaw]


def _flaw(candidate: Candidate, listed: "str | frozenset[str] | None") -> str:
    if isinstance(listed, str):
        return listed
    if listed is None or _has(listed, candidate.model):
        return ""
    hint = did_you_mean(candidate.model, sorted(listed)) or f" (it has {', '.join(sorted(listed)[:5])})"
    return f"accounts.{candidate.account} has no model {candidate.model!r}{hint}"


def _has(listed: frozenset[str], model: str) -> bool:
    """True when the model is listed, by its own name or an alias: `claude-x-latest` stands for `claude-x-20260101`."""
    stem = model.removesuffix("-latest").removesuffix("-0")
    return model in listed or any(re.fullmatch(re.escape(stem) + r"-\d{8}", one) for one in listed)


def _ask(name: str, account: Account) -> "str | frozenset[str] | None":
    """The account's models; None where it does not list them; a text that says what is wrong.

    The text shows the address as it is configured: what its references stand for may be secret.
    """
    import httpx  # noqa: PLC0415 - 0.1 s, and only where there is somebody to ask

    from ...protocols.wire.formats import codec  # noqa: PLC0415 - as above

    if account.kind == "azure":  # lists models, not deployments, which are what a candidate names
        return None
    wire = codec(account)
    url = resolve(account.base_url, os.environ).rstrip("/")
    try:
        reply = httpx.get(
            f"{url}/models{_ALL[account.kind]}", headers=_headers(account, wire, os.environ), timeout=10.0
        )
    except httpx.InvalidURL:
        return f"accounts.{name}.base_url is not a URL once its references are resolved: {account.base_url}"
    except httpx.TransportError as error:
        text = str(error) or type(error).__name__
        return f"accounts.{name}: nobody answers at {account.base_url}: {text}; is the server up, and base_url right?"
    if reply.status_code == 200:
        return _listed(reply.content)
    # Gemini refuses a key by 400.
    if isinstance(wire.classify(reply.status_code, reply.headers, reply.content, wall=time.time()), AuthRejected):
        told = f"{account.base_url} refuses the key (HTTP {reply.status_code})"
        return f"accounts.{name}: {told}; check the variable behind api_key"
    return None


def _listed(body: bytes) -> frozenset[str] | None:
    """The names in a list of models, where all are on one page: `data` of OpenAI and Anthropic, `models` of Gemini."""
    try:
        page = json.loads(body)
        if page.get("has_more") or page.get("nextPageToken"):
            return None
        if "data" in page:
            return frozenset(str(model["id"]) for model in page["data"])
        return frozenset(str(model["name"]).removeprefix("models/") for model in page["models"])
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def _headers(account: Account, wire: Codec, environ: Mapping[str, str]) -> dict[str, str]:
    headers = {key: resolve(value, environ) for key, value in account.headers.items()}
    headers |= wire.headers(None if account.api_key is None else resolve(account.api_key, environ))
    if account.organization is not None:
        headers["OpenAI-Organization"] = resolve(account.organization, environ)
    return headers
