"""What planned work comes to, and the laws by which that of a pattern follows from that of its steps. Pure.

Sequential work is a sum; what runs at once sums in money and takes as long as the slowest, in waves where not all may
run at once; of several ways one is taken: their mean as a rule, their maximum at most.
"""

import dataclasses
import heapq
import math
from collections.abc import Iterable, Sequence
from typing import Self


@dataclasses.dataclass(frozen=True, slots=True)
class Load:
    """Requests, tokens, picodollars (of what has a known price) and seconds; expected ones are fractions.

    Attributes:
        unpriced: some of it has no known price.
    """

    calls: float = 0.0
    input: float = 0.0
    output: float = 0.0
    cost: float = 0.0
    seconds: float = 0.0
    unpriced: bool = False

    def __add__(self, other: "Load") -> "Load":
        """One after the other."""
        return Load(
            self.calls + other.calls,
            self.input + other.input,
            self.output + other.output,
            self.cost + other.cost,
            self.seconds + other.seconds,
            self.unpriced or other.unpriced,
        )

    def times(self, runs: float) -> "Load":
        """So many runs, one after the other."""
        return Load(
            self.calls * runs,
            self.input * runs,
            self.output * runs,
            self.cost * runs,
            self.seconds * runs,
            self.unpriced and runs > 0,
        )

    def lasting(self, seconds: float) -> "Load":
        """The same in another time."""
        return dataclasses.replace(self, seconds=seconds)

    def within(
        self, *, calls: float = math.inf, tokens: float = math.inf, cost: float = math.inf, seconds: float = math.inf
    ) -> "Load":
        """What is left of it under bounds. Money without a known price is not bound."""
        share = min(1.0, tokens / (self.input + self.output)) if self.input + self.output else 1.0
        return Load(
            min(self.calls, calls),
            self.input * share,
            self.output * share,
            min(self.cost, cost),
            min(self.seconds, seconds),
            self.unpriced,
        )


NOTHING = Load()


def after_each_other(loads: Iterable[Load]) -> Load:
    """Sequential: all of it is a sum."""
    return sum(loads, NOTHING)


def at_once(loads: Sequence[Load], width: int | None = None) -> Load:
    """Side by side: a sum, and the time of the slowest; with `width` in the order in which there is room."""
    whole = after_each_other(loads)
    return whole.lasting(makespan([load.seconds for load in loads], width or len(loads)))


def copies(load: Load, runs: int, width: int) -> Load:
    """The same work `runs` times, so many at once."""
    return load.times(runs).lasting(load.seconds * math.ceil(runs / width))


def mean(loads: Sequence[Load]) -> Load:
    """One of these, each as likely."""
    return after_each_other(loads).times(1 / len(loads)) if loads else NOTHING


def most(loads: Iterable[Load]) -> Load:
    """At most: the maximum in each measure, whichever way that is."""
    found = NOTHING
    for one in loads:
        found = Load(
            max(found.calls, one.calls),
            max(found.input, one.input),
            max(found.output, one.output),
            max(found.cost, one.cost),
            max(found.seconds, one.seconds),
            found.unpriced or one.unpriced,
        )
    return found


def makespan(seconds: Sequence[float], width: int) -> float:
    """How long all take if `width` may run at once and each begins as soon as there is room, in their order."""
    if len(seconds) <= width:
        return max(seconds, default=0.0)
    free = [0.0] * width
    for one in seconds:
        heapq.heapreplace(free, free[0] + one)
    return max(free)


@dataclasses.dataclass(frozen=True, slots=True)
class Span:
    """What is typical, and the most there can be. Invariant: the most is nowhere less than what is typical."""

    typical: Load = NOTHING
    most: Load = NOTHING

    @classmethod
    def of(cls, typical: Load, at_most: Load) -> Self:
        """Both, with the invariant."""
        return cls(typical, most((typical, at_most)))

    def __add__(self, other: "Span") -> "Span":
        """One after the other."""
        return Span(self.typical + other.typical, self.most + other.most)

    def times(self, typical: float, at_most: float) -> "Span":
        """So many runs, one after the other."""
        return Span.of(self.typical.times(typical), self.most.times(at_most))


@dataclasses.dataclass(frozen=True, slots=True)
class Planned:
    """A step, and what is planned of those inside it.

    Attributes:
        path: as in a run's records.
        kind: of the node.
        load: of one run of it, with all that is inside.
        typical_runs: how often it is run in one run of the step around it.
        most_runs: the same, at most.
        id: its name to templates.
        model: the route that its own calls take; empty where it has none.
        inside: the steps in it.
    """

    path: str
    kind: str
    load: Span = Span()
    typical_runs: float = 1.0
    most_runs: float = 1.0
    id: str = ""
    model: str = ""
    inside: "tuple[Planned, ...]" = ()

    def run(self, typical: float, at_most: float) -> "Planned":
        """The same step, run so often."""
        return dataclasses.replace(self, typical_runs=typical, most_runs=max(typical, at_most))

    @property
    def whole(self) -> Span:
        """All its runs in one run of the step around it, one after the other."""
        return self.load.times(self.typical_runs, self.most_runs)


def sequence(inside: Sequence[Planned]) -> Span:
    """Steps one after the other, each as often as it is run."""
    return sum((one.whole for one in inside), Span())


def blended(several: Sequence[tuple[float, float, Planned]]) -> Planned:
    """Runs of one step over different values as one: the means of their loads, the longest time at most.

    `several` are (how many runs are typically like this one, how many at most, the step). Sums over all the runs stay
    what they were, so the most of one run may be less than what is typical, where there are more runs at most.
    """
    first = several[0][2]
    usual, largest = sum(one for one, _, _ in several) or 1.0, sum(one for _, one, _ in several) or 1.0
    typical = after_each_other(one.load.typical.times(share / usual) for share, _, one in several)
    at_most = after_each_other(one.load.most.times(share / largest) for _, share, one in several)
    longest = max(one.load.most.seconds for _, share, one in several if share or len(several) == 1)
    inside = first.inside
    if all(len(one.inside) == len(inside) for _, _, one in several):
        inside = tuple(blended([(t, m, one.inside[place]) for t, m, one in several]) for place in range(len(inside)))
    return dataclasses.replace(first, load=Span(typical, at_most.lasting(longest)), inside=inside)
