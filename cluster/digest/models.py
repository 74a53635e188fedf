"""Which models a digest uses, what they cost, and whether they can be reached before anything is spent."""

import dataclasses
import math
import os
from collections.abc import Iterable
from datetime import UTC, datetime

from ...actors.prices import PriceBook, Rate
from ...actors.prices import estimate as price_at_most
from ...protocols.config import Candidate, Config
from ...protocols.digest import DigestPlan
from ...protocols.errors import ConfigError, UsageError
from ...protocols.references import missing
from ...protocols.suggest import did_you_mean
from ...supervisors.digest.plan import Estimate
from ...supervisors.digest.prompts import ANSWER_A_FILE
from ...supervisors.forecast import CALL_S, first_rank
from ..reach import reach as reach_routes


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
    bounds = {f"{width} calls at once, {CALL_S:g} s each": estimate.calls / width * CALL_S}
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
    """The most one map call may cost at any candidate, in picodollars; 0 where no price or no call is known.

    One call, not its retries or hedges: what those cost is settled when it is known, and bounded by `budgets.call`. A
    quarter is added for tokenizers that count more than the one that measured the packs.
    """
    news = [pack for pack in plan.packs if not pack.known]
    if not news:
        return 0
    most = max(pack.tokens for pack in news) + 250
    rates = [rate for rate in map(prices.rate, models.config.models[models.map].candidates) if rate is not None]
    answer = max(models.config.digest.map_answer, max(len(pack.chunks) for pack in news) * ANSWER_A_FILE)
    return max((price_at_most(rate, math.ceil(most * 1.25), answer) for rate in rates), default=0)


def reach(models: Models) -> list[str]:
    """Whether both routes can be reached; see `understudy.cluster.reach`."""
    return reach_routes(models.config, (models.map, models.reduce))
