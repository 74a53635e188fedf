"""How equals share the load: small policies, each chosen by its name in `balance` of a route.

A policy orders those who could answer; who is blocked or down is not asked about here. It may keep a state of its
own (a turn), so each group of equals has an instance of its own. One's own policy is named by its import path,
`package.module:Class`: it is imported by every process that calls models, and made without arguments.
"""

import importlib
import random
from collections.abc import Callable, Sequence
from typing import Final, Protocol

from ...protocols.errors import ConfigError
from ...protocols.routes import Candidate
from ...protocols.suggest import did_you_mean
from .view import View


class Balancer(Protocol):
    """Orders equals; the first is called, the others step in for it."""

    def order(self, equals: Sequence[Candidate], views: Sequence[View], rng: random.Random) -> list[int]:
        """A permutation of the places of `equals`, best first; `views` are theirs, place by place."""
        ...


class Ordered:
    """As configured: no balancing."""

    def order(self, equals: Sequence[Candidate], views: Sequence[View], rng: random.Random) -> list[int]:  # noqa: ARG002
        """The places as they are."""
        return list(range(len(equals)))


class RoundRobin:
    """Each in its turn. Even whatever happens, blind to weight, load and speed."""

    def __init__(self) -> None:
        self._turn = 0

    def order(self, equals: Sequence[Candidate], views: Sequence[View], rng: random.Random) -> list[int]:  # noqa: ARG002
        """The next in turn, and those after it."""
        count = len(equals)
        first = self._turn % count if count else 0
        self._turn += 1
        return [*range(first, count), *range(first)]


class Weighted:
    """By chance, in proportion to `weight` times the free part of the quota.

    The whole order is a weighted sample without replacement: keys u^(1/w), largest first (Efraimidis and Spirakis,
    "Weighted random sampling with a reservoir", Information Processing Letters 97, 2006). Who has nothing free is last.
    """

    def order(self, equals: Sequence[Candidate], views: Sequence[View], rng: random.Random) -> list[int]:
        """A weighted shuffle."""
        keys = [_key(one.weight * capacity(view), rng) for one, view in zip(equals, views, strict=True)]
        return sorted(range(len(equals)), key=keys.__getitem__, reverse=True)


class LeastBusy:
    """Fewest calls in flight for its weight; chance decides among equal ones."""

    def order(self, equals: Sequence[Candidate], views: Sequence[View], rng: random.Random) -> list[int]:
        """By calls in flight over weight."""
        keys = [(view.in_flight / one.weight, rng.random()) for one, view in zip(equals, views, strict=True)]
        return sorted(range(len(equals)), key=keys.__getitem__)


class Latency:
    """Power of two choices: of two drawn by chance the one with the shorter expected wait, then the rest by it.

    The expected wait is the decayed latency times one more than the calls in flight. Two choices keep callers that see
    the same stale figures from all choosing the same one (Mitzenmacher, "The Power of Two Choices in Randomized Load
    Balancing", IEEE TPDS 12(10), 2001). One that was never measured, whose `latency_s` isn't configured either, is
    tried first while it has no call in flight; until its answer comes it counts as the fastest known.
    """

    def order(self, equals: Sequence[Candidate], views: Sequence[View], rng: random.Random) -> list[int]:
        """The better of two, then the others by expected wait."""
        waits = expected_waits(equals, views)
        places = sorted(range(len(equals)), key=waits.__getitem__)
        if len(places) < 2:
            return places
        unknown = [place for place in places if not _latency(equals[place], views[place])]
        fresh = [place for place in unknown if not views[place].in_flight]
        first = fresh[0] if fresh else min(rng.sample(places, 2), key=waits.__getitem__)
        return [first, *(place for place in places if place != first)]


class Cheapest:
    """Least cost of this request; those with nothing free after the others, those without a known price last."""

    def order(self, equals: Sequence[Candidate], views: Sequence[View], rng: random.Random) -> list[int]:  # noqa: ARG002
        """By capacity, then by price."""
        keys = [(not capacity(view), view.cost < 0, view.cost) for view in views]
        return sorted(range(len(equals)), key=keys.__getitem__)


def capacity(view: View) -> float:
    """The free part of a quota, 0 to 1; 1 where nothing is known or limited."""
    return 1.0 if view.free < 0 else view.free


def expected_waits(equals: Sequence[Candidate], views: Sequence[View]) -> list[float]:
    """Seconds until each would have answered; who is unknown counts as the fastest that is known."""
    known = [_latency(one, view) for one, view in zip(equals, views, strict=True)]
    least = min((seconds for seconds in known if seconds), default=0.0)
    return [(seconds or least) * (1 + view.in_flight) for seconds, view in zip(known, views, strict=True)]


def _latency(candidate: Candidate, view: View) -> float:
    return view.latency_s or candidate.latency_s or 0.0


def _key(weight: float, rng: random.Random) -> float:
    draw = rng.random()  # drawn also for a weight of 0, so that the others' chances don't depend on it
    return draw ** (1 / weight) if weight > 0 else -1.0


POLICIES: Final[dict[str, Callable[[], Balancer]]] = {
    "ordered": Ordered,
    "round_robin": RoundRobin,
    "weighted": Weighted,
    "least_busy": LeastBusy,
    "latency": Latency,
    "cheapest": Cheapest,
}
"""What makes a policy, by its name."""


def balancer(name: str) -> Balancer:
    """A new policy of that name, or of that import path (`package.module:Class`).

    Raises:
        ConfigError: there is no such policy, or nothing to import.
    """
    known = POLICIES.get(name)
    if known is not None:
        return known()
    module, colon, attribute = name.partition(":")
    if not colon:
        raise ConfigError(f"no balance is called {name!r}{did_you_mean(name, POLICIES)}; use {', '.join(POLICIES)}")
    try:
        made: Balancer = getattr(importlib.import_module(module), attribute)()
    except Exception as error:  # noqa: BLE001 - whatever a user's module raises, it is the configuration that names it
        text = str(error).split("\n", 1)[0] or type(error).__name__
        raise ConfigError(f"balance {name!r} can't be imported: {text}") from None
    if not callable(getattr(made, "order", None)):
        raise ConfigError(f"balance {name!r} has no method order(equals, views, rng); see {__name__}.Balancer")
    return made
