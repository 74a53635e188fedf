"""What calls will cost and take before they are made: who is asked first, at which price, under which limits. Pure."""

import dataclasses
from collections.abc import Iterable, Sequence
from typing import Final

from ..actors.prices import PriceBook, cost, estimate
from ..protocols.accounts import Limits
from ..protocols.chat import Usage
from ..protocols.config import AUTO, Candidate, Config, Route

CALL_S: Final = 2.0
"""Seconds a call is guessed to take where nobody says."""
EMBEDDED_S: Final = 0.03
"""Seconds of CPU that an answer of the embedded provider takes."""


def first_rank(route: Route) -> tuple[Candidate, ...]:
    """The candidates that are asked first: those of the lowest rank, or one of them where the load isn't shared."""
    ranks = [place if one.rank is None else one.rank for place, one in enumerate(route.candidates)]
    first = tuple(one for one, rank in zip(route.candidates, ranks, strict=True) if rank == min(ranks))
    return first[:1] if route.balance == "ordered" else first


def asked_first(config: Config, route: str) -> tuple[Candidate, ...]:
    """The same by a route's name; for `auto` those of the generalist, else of the first route.

    Unknown routes have none.
    """
    if route == AUTO:
        route = config.routing.generalist or next(iter(config.models))
    return first_rank(config.models[route]) if route in config.models else ()


def call_cost(candidates: Iterable[Candidate], prices: PriceBook, input_tokens: float, output_tokens: float) -> float:
    """Picodollars at the dearest of these; -1 as soon as one has no known price."""
    usage = Usage(input_tokens=round(input_tokens), output_tokens=round(output_tokens))
    rates = [prices.rate(one) for one in candidates]
    return (
        max((-1.0 if rate is None else float(cost(rate, usage)) for rate in rates), default=0.0) if all(rates) else -1.0
    )


def call_cost_at_most(candidates: Iterable[Candidate], prices: PriceBook, input_tokens: int, max_tokens: int) -> float:
    """The same for what can be charged at most, a cache's dearer writing included."""
    rates = [prices.rate(one) for one in candidates]
    known = [rate for rate in rates if rate is not None]
    if len(known) < len(rates):
        return -1.0
    return float(max((estimate(rate, input_tokens, max_tokens) for rate in known), default=0))


def call_seconds(candidates: Iterable[Candidate], config: Config) -> float:
    """Seconds of a call at the slowest of these."""
    return max((_seconds(one, config) for one in candidates), default=CALL_S)


def _seconds(candidate: Candidate, config: Config) -> float:
    if candidate.latency_s is not None:
        return candidate.latency_s
    return EMBEDDED_S if config.accounts[candidate.account].kind == "embedded" else CALL_S


@dataclasses.dataclass(frozen=True, slots=True)
class Demand:
    """What is asked of some accounts together, which share it: calls, tokens, and seconds that calls are out."""

    calls: float = 0.0
    tokens: float = 0.0
    busy_s: float = 0.0

    def plus(self, other: "Demand") -> "Demand":
        """Both together."""
        return Demand(self.calls + other.calls, self.tokens + other.tokens, self.busy_s + other.busy_s)


def bounds(limits: Sequence[Limits], demand: Demand, names: str) -> dict[str, float]:
    """By what it is bound, and the fewest seconds that this takes.

    What fits the first window can go out at once: only what is beyond it waits.

    Args:
        limits: of the accounts that share the demand.
        demand: what is asked of them.
        names: the accounts, for people.
    """
    found: dict[str, float] = {}
    for what, wanted, unit in (("rpm", demand.calls, "requests"), ("tpm", demand.tokens, "tokens")):
        if limits and all(getattr(one, what) for one in limits):
            at_once = sum(getattr(one, what) for one in limits)
            rate = sum(getattr(one, what) / one.window_s for one in limits)
            found[f"{at_once:,} {unit} a window at {names}"] = max(0.0, wanted - at_once) / rate
    if limits and all(one.concurrency for one in limits):
        width = sum(one.concurrency or 0 for one in limits)
        found[f"{width:,} calls at once at {names}"] = demand.busy_s / width
    return found
