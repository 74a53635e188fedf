"""Plans a step that is run for each of many items: few of them stand for all, by their sizes."""

import dataclasses
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Final

from ...protocols.workflow.step import Step
from ..patterns.chunks import rough_size
from .plan_guess import Both, repeated
from .plan_load import Load, Planned, Span, after_each_other, blended, copies
from .plan_scope import size
from .plan_step import Place, Planner

STRATA: Final = 40
"""Items are planned one by one up to so many; more are sorted by size and cut into so many stretches."""


@dataclasses.dataclass(frozen=True, slots=True)
class Many:
    """A step over many items.

    Attributes:
        step: one run of it, and how many there are.
        load: all runs.
        outputs: lists of outputs, cut where they are longer than any model reads.
        sizes: tokens of one output.
        counts: how many runs, typically and at most.
    """

    step: Planned
    load: Span
    outputs: Both
    sizes: tuple[int, int]
    counts: tuple[int, int]


@dataclasses.dataclass(frozen=True, slots=True)
class _Stretch:
    """So many items that are alike in size: the one in the middle, and the largest."""

    count: int
    middle: tuple[int, Any]
    largest: tuple[int, Any]


def stretches(items: Sequence[Any], most: int = STRATA) -> list[_Stretch]:
    """All items, in stretches of neighbours by size. The largest one of each bounds those in it."""
    numbered = list(enumerate(items))
    if len(items) > most:
        numbered.sort(key=lambda one: rough_size(one[1]))
    edges = [len(items) * place // min(most, len(items)) for place in range(min(most, len(items)) + 1)] if items else []
    return [
        _Stretch(stop - first, numbered[(first + stop - 1) // 2], numbered[stop - 1]) for first, stop in pairwise(edges)
    ]


def many(planner: Planner, node: Step, items: Both, at: Place, *, bind: str, width: int) -> Many:
    """What `node` comes to over `items` (two lists), at the place of the step itself."""
    typical, most = stretches(items.typical), stretches(items.most)
    loop = _Loop(planner, node, at, bind, items.known)
    usual = [loop.one(one.count, one.middle) for one in typical]
    same = items.most is items.typical and all(one.middle is one.largest for one in typical)
    large = usual if same else [loop.one(one.count, one.largest) for one in most]
    counts = len(items.typical), max(len(items.most), len(items.typical))
    if not (usual and large):
        empty = Both([], [], known=items.known)
        kind = str(getattr(node, "kind", ""))
        return Many(Planned(at.path, kind, typical_runs=0, most_runs=0), Span(), empty, (0, 0), counts)
    several = [(one.count, 0, one.planned) for one in usual] + [(0, one.count, one.planned) for one in large]
    step = blended(several).run(counts[0], counts[1])
    load = Span.of(
        _together([(one.count, one.planned.load.typical) for one in usual], step.load.typical.seconds, width),
        _together([(one.count, one.planned.load.most) for one in large], step.load.most.seconds, width),
    )
    return Many(step, load, _outputs(usual, large, items), _sizes(usual, large), counts)


@dataclasses.dataclass(frozen=True, slots=True)
class _One:
    count: int
    planned: Planned
    output: Both


@dataclasses.dataclass(frozen=True, slots=True)
class _Loop:
    """What is run for each item, and where."""

    planner: Planner
    node: Step
    at: Place
    bind: str
    known: bool

    def one(self, count: int, item: tuple[int, Any]) -> _One:
        """One item that stands for so many."""
        number, value = item
        both = Both(value, value, known=self.known)
        here = self.at.bind(**{self.bind: both, "previous": both, "index": Both.sure(number)})
        planned, output = self.planner.step(self.node, here)
        return _One(count, planned, output)


def _together(loads: list[tuple[int, Load]], seconds: float, width: int) -> Load:
    runs = sum(count for count, _ in loads)
    whole = after_each_other(load.times(count) for count, load in loads)
    return whole.lasting(copies(Load(seconds=seconds), runs, width).seconds)


def _outputs(usual: list[_One], large: list[_One], items: Both) -> Both:
    if items.known and all(one.output.known and one.count == 1 for one in usual):
        return Both.sure([one.output.typical for one in usual])
    middle = usual[len(usual) // 2].output.typical
    largest = max((one.output.most for one in large), key=size)
    return Both(repeated(middle, len(items.typical)), repeated(largest, len(items.most)))


def _sizes(usual: list[_One], large: list[_One]) -> tuple[int, int]:
    runs = sum(one.count for one in usual)
    mean = sum(one.count * size(one.output.typical) for one in usual) // max(runs, 1)
    return mean, max(mean, *(size(one.output.most) for one in large))
