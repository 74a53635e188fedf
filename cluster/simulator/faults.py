"""Which request fails, how, and how long each takes: decided by the seed and the request's ordinal alone."""

import math
import random
import statistics
from collections.abc import Sequence
from typing import NamedTuple, get_args

from .settings import FaultKind, Faults, Latency, Outage, OutageKind

# Kinds that the engine answers without reading what was asked, and those of them that are the client's to mend.
REFUSALS: frozenset[FaultKind] = frozenset(
    {"context", "auth", "not_found", "bad_request", "refused_429", "insufficient_quota"}
)
ANSWERLESS: frozenset[FaultKind] = REFUSALS | {"error_500", "error_503", "overloaded", "drop", "timeout"}


_ONE = 1 << 53
_MASK = _ONE - 1
_NORMAL = statistics.NormalDist()


class Draw(NamedTuple):
    """The chance of one request: 159 random bits, of which each number below has 53 of its own."""

    bits: int

    @property
    def fault(self) -> float:
        """Uniform in [0, 1)."""
        return (self.bits & _MASK) / _ONE

    @property
    def tail(self) -> float:
        """Uniform in [0, 1)."""
        return (self.bits >> 53 & _MASK) / _ONE

    @property
    def normal(self) -> float:
        """Standard normal."""
        return _NORMAL.inv_cdf(((self.bits >> 106) + 0.5) / _ONE)


class Dice:
    """Throws once a request, the same number of bits: the n-th throw depends on the seed and n alone.

    Changing rates in mid-run therefore leaves the later requests' chances as they were. Bits, because a run
    without faults and latency asks for none of the numbers, and a throw is then 0.3 us instead of 0.7.
    """

    def __init__(self, rng: random.Random) -> None:
        self._bits = rng.getrandbits

    def throw(self) -> Draw:
        """The draw of the next request."""
        return Draw(self._bits(159))


Edges = tuple[tuple[float, FaultKind], ...]


def edges_of(faults: Faults) -> Edges:
    """The kinds that can happen at all, each with the upper edge of its share of [0, 1)."""
    edges: list[tuple[float, FaultKind]] = []
    edge = 0.0
    for kind in get_args(FaultKind):
        rate = getattr(faults, kind)
        edge += rate
        if rate:
            edges.append((edge, kind))
    return tuple(edges)


def pick_fault(edges: Edges, draw: Draw) -> FaultKind | None:
    """The fault that a draw falls on, or None."""
    if not edges:
        return None
    chance = draw.fault
    return next((kind for edge, kind in edges if chance < edge), None)


def latency_s(latency: Latency, draw: Draw) -> float:
    """Seconds before the first byte of the reply, without the time of the output tokens."""
    if latency.median_s == 0.0:
        return 0.0
    tail = latency.tail_factor if draw.tail < latency.tail_rate else 1.0
    return latency.median_s * math.exp(latency.sigma * draw.normal) * tail


def current_outage(outages: Sequence[Outage], *, elapsed_s: float) -> OutageKind | None:
    """The kind of the first outage window that holds this time since the server's start, or None."""
    for outage in outages:
        at_s = elapsed_s if outage.every_s is None else elapsed_s % outage.every_s
        if outage.start_s <= at_s < outage.end_s:
            return outage.kind
    return None
