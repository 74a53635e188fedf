"""Which request fails, how, and how long each takes: decided by the seed and the request's ordinal alone."""

import math
import random
from collections.abc import Sequence
from typing import NamedTuple

from .settings import FaultKind, Faults, Latency, Outage, OutageKind

_KINDS: tuple[FaultKind, ...] = ("error_500", "error_503", "drop", "malformed", "cut", "timeout")


class Draw(NamedTuple):
    """The chance of one request: two uniform numbers of [0, 1) and a standard normal one."""

    fault: float
    tail: float
    normal: float


class Dice:
    """Throws once a request, with a fixed number of draws: the n-th throw depends on the seed and n alone.

    Changing rates in mid-run therefore leaves the later requests' chances as they were.
    """

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng

    def throw(self) -> Draw:
        """The draw of the next request."""
        rng = self._rng
        return Draw(rng.random(), rng.random(), rng.gauss(0.0, 1.0))


def pick_fault(faults: Faults, chance: float) -> FaultKind | None:
    """The fault that the uniform number ``chance`` falls on, or None."""
    edge = 0.0
    for kind in _KINDS:
        edge += getattr(faults, kind)
        if chance < edge:
            return kind
    return None


def latency_s(latency: Latency, draw: Draw) -> float:
    """Seconds before the first byte of the reply, without the time of the output tokens."""
    if latency.median_s == 0.0:
        return 0.0
    tail = latency.tail_factor if draw.tail < latency.tail_rate else 1.0
    return latency.median_s * math.exp(latency.sigma * draw.normal) * tail


def current_outage(outages: Sequence[Outage], *, elapsed_s: float) -> OutageKind | None:
    """The kind of the first outage window that holds this time since the server's start, or None."""
    for outage in outages:
        if outage.start_s <= elapsed_s < outage.end_s:
            return outage.kind
    return None
