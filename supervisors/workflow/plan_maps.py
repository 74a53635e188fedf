"""What a map-reduce comes to: its chunks cut as they will be, a map for each, and the merges its variant needs."""

import dataclasses
import math
from collections.abc import Iterable
from typing import Any, Final

from ...protocols.errors import StepFailed
from ...protocols.workflow.patterns import MapReduce
from ...protocols.workflow.step import Step
from ..digest.collapse import groups
from ..patterns.chunks import Chunk, chunks_of
from ..patterns.map_tree import Folder, folders
from .merging import HEADER
from .plan_guess import Both, Guess, is_bounded, repeated
from .plan_load import NOTHING, Load, Planned, Span, blended, copies
from .plan_many import Many, many
from .plan_scope import evaluated, size
from .plan_step import Place, Planner
from .settling import MOST
from .window import merge_budget

Made = tuple[Planned, Both]

_PARTS: Final = 400
"""Parts of a merge that are filled into its prompt; what more there are is counted as the others are."""


def map_reduce(node: MapReduce, at: Place, planner: Planner) -> Made:
    """The maps in waves, then what makes one answer of them."""
    value = evaluated(node.over, at.names)
    if isinstance(value.typical, Guess):
        bounded = node.chunk is not None or is_bounded(value.most)
        planner.assume(at.path, f"`{node.over}` is not known yet: its size is guessed", bounded=bounded)
    typical = _chunks(node, value.typical)
    at_most = typical if value.known else _chunks(node, value.most)
    if node.variant == "refine":
        return _refine(node, typical, at_most, at, planner)
    values = [one.value for one in typical]
    items = Both(values, values if at_most is typical else [one.value for one in at_most], known=value.known)
    maps = many(planner, node.map, items, at.below("map"), bind=node.as_, width=node.concurrency or MOST)
    if node.variant == "rerank":
        return _rerank(node, maps, at, planner)
    merges = _Merges(node, maps, at, planner)
    sides = []
    for side, chunks in enumerate((typical, at_most)):
        sides.append(merges.tree(side, folders(chunks)) if node.variant == "tree" else merges.flat(side, len(chunks)))
    load = maps.load + Span.of(sides[0], sides[1])
    return Planned(at.path, "map_reduce", load, inside=(maps.step, *merges.planned())), merges.output


def _chunks(node: MapReduce, value: Any) -> list[Chunk]:
    if node.chunk is not None:
        value = _texts(value)
    elif isinstance(value, Guess):
        value = list(value)
    try:
        return chunks_of(node, value)
    except StepFailed:  # it will fail; what comes before it is paid for
        return []


def _texts(value: Any) -> Any:
    """A value whose guesses are texts, which can be cut."""
    if isinstance(value, dict):
        return {name: _texts(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_texts(one) for one in value]
    return str(value) if isinstance(value, Guess) else value


def _rerank(node: MapReduce, maps: Many, at: Place, planner: Planner) -> Made:
    """The maps, and the judge who compares those that are tied: two typically, all at most."""
    load, inside = maps.load, [maps.step]
    if node.judge is not None and maps.counts[1] > 1:
        candidates = Both(_best(maps.outputs.typical[:2]), _best(maps.outputs.most))
        judge, _ = planner.step(node.judge, at.below("judge", candidates=candidates, previous=candidates))
        load += judge.load
        inside.append(judge)
    output = Both(_kept(maps.outputs.typical, node.top), _kept(maps.outputs.most, node.top))
    return Planned(at.path, "map_reduce", load, inside=tuple(inside)), output


def _kept(values: list[Any], top: int) -> Any:
    best = _best(values[:top])
    return best if top > 1 else next(iter(best), None)


def _best(values: Iterable[Any]) -> list[dict[str, Any]]:
    """Candidates, and what is kept of them; both know a value by their own names."""
    return [{"name": "1", "source": "1", "value": one, "answer": one, "score": 1.0} for one in values]


def _refine(node: MapReduce, typical: list[Chunk], at_most: list[Chunk], at: Place, planner: Planner) -> Made:
    """A draft of the first chunk, and one improvement after the other."""
    assert node.reduce is not None
    nothing = Both.sure(None)
    first = Both([one.value for one in typical[:1]], [one.value for one in at_most[:1]])
    begun = many(planner, node.map, first, at.below("map", draft=nothing), bind=node.as_, width=1)
    draft = _ahead(begun.outputs)
    rest = Both([one.value for one in typical[1:]], [one.value for one in at_most[1:]])
    below = at.below("refine", draft=draft)
    refined = many(planner, node.reduce, rest, below, bind=node.as_, width=1)
    ends = refined if refined.outputs.most else begun
    load = begun.load + refined.load
    return Planned(at.path, "map_reduce", load, inside=(begun.step, refined.step)), _ahead(ends.outputs)


def _ahead(outputs: Both) -> Both:
    """The first of each list."""
    return Both(next(iter(outputs.typical), None), next(iter(outputs.most), None))


class _Merges:
    """The merges of one map-reduce, counted as the variant makes them."""

    def __init__(self, node: MapReduce, maps: Many, at: Place, planner: Planner) -> None:
        assert node.reduce is not None
        self._node, self._at, self._planner = node, at, planner
        self._reduce, self._collapse = node.reduce, node.collapse or node.reduce
        caller = planner.desk.caller
        nodes = [self._reduce] if node.variant == "tree" else [self._reduce, self._collapse]
        self._budget = node.budget or min(merge_budget(one, caller) for one in nodes)
        self._width = node.concurrency or MOST
        self._sizes = [size + HEADER for size in maps.sizes]
        self._parts = [_middle(maps.outputs.typical), _largest(maps.outputs.most)]
        self._made: dict[tuple[bool, int, int], Made] = {}
        self._runs: dict[bool, dict[tuple[int, int], int]] = {True: {}, False: {}}
        self.output = Both("", "")

    def flat(self, side: int, parts: int) -> Load:
        """Level after level, each in groups that fit the budget."""
        load, size, value = NOTHING, self._sizes[side], self._parts[side]
        if not parts:
            return load
        while True:
            batches = [len(one) for one in groups([size] * parts, self._budget)]
            whole = len(batches) == 1
            one = NOTHING
            for count in sorted(set(batches)):
                one += self._merged(side, count, value, batches.count(count), whole=whole)
            value, size = self._answer(side, max(batches), whole=whole)
            load += one
            if whole:
                return load
            parts = len(batches)

    def tree(self, side: int, root: Folder) -> Load:
        """Folder by folder, leaves first; folders side by side."""
        return self._folder(side, root, whole=True)

    def planned(self) -> list[Planned]:
        """The merging steps, each as one."""
        found = []
        for whole in (False, True):
            several = [
                (float(runs if side == 0 else 0), float(runs if side else 0), self._made[whole, side, count][0])
                for (side, count), runs in self._runs[whole].items()
            ]
            if several:
                typical, most = sum(one[0] for one in several), sum(one[1] for one in several)
                found.append(blended(several).run(typical, most))
        return found

    def _folder(self, side: int, folder: Folder, *, whole: bool = False) -> Load:
        below = [self._folder(side, one) for one in folder.folders.values()]
        inside = Load(seconds=max((one.seconds for one in below), default=0.0))
        for one in below:
            inside += one.lasting(0.0)
        parts = len(folder.chunks) + len(below)
        if parts == 0 or (parts == 1 and not whole):
            return inside
        size, value = self._sizes[side], self._parts[side]
        while True:
            batches = [len(one) for one in groups([size] * parts, self._budget)]
            for count in sorted(set(batches)):
                inside += self._merged(side, count, value, batches.count(count), whole=True, width=1)
            value, size = self._answer(side, max(batches), whole=True)
            if len(batches) == 1:
                return inside
            parts = len(batches)

    def _merged(self, side: int, count: int, value: Any, runs: int, *, whole: bool, width: int = 0) -> Load:
        """So many merges of `count` parts each."""
        key = (whole or self._node.collapse is None, side, count)
        if key not in self._made:
            self._made[key] = self._plan(side, count, value, whole=key[0])
        known = self._runs[key[0]]
        known[side, count] = known.get((side, count), 0) + runs
        load = self._made[key][0].load
        return copies(load.most if side else load.typical, runs, width or self._width)

    def _answer(self, side: int, count: int, *, whole: bool) -> tuple[Any, int]:
        """(what such a merge gives, its size among parts)."""
        output = self._made[whole or self._node.collapse is None, side, count][1]
        if whole:
            sides = [self.output.typical, self.output.most]
            sides[side] = output.most if side else output.typical
            self.output = Both(sides[0], sides[1])
        value = output.most if side else output.typical
        return value, (value.guessed_tokens if isinstance(value, Guess) else self._sizes[side]) + HEADER

    def _plan(self, side: int, count: int, value: Any, *, whole: bool) -> Made:
        share = max(1, self._budget // max(count, 1) - HEADER)
        if isinstance(value, Guess) and value.guessed_tokens > share:
            value = Guess(share, generous=bool(side))
        parts = [{"name": "1", "value": one} for one in repeated(value, min(count, _PARTS))]
        both = Both(parts, parts)
        step: Step = self._reduce if whole else self._collapse
        below = self._at.below("reduce" if whole else "collapse", parts=both, previous=both, folder=Both.sure("./"))
        planned, output = self._planner.step(step, below)
        more = count / max(1, len(parts))
        if more > 1:  # all that does not fit on a page of ours still is read and paid for
            load = planned.load
            planned = dataclasses.replace(planned, load=Span.of(_longer(load.typical, more), _longer(load.most, more)))
        return planned, output


def _longer(load: Load, more: float) -> Load:
    """A merge that reads so many times as much."""
    return dataclasses.replace(load, input=load.input * more, cost=math.ceil(load.cost * more))


def _middle(values: list[Any]) -> Any:
    return values[len(values) // 2] if values else ""


def _largest(values: list[Any]) -> Any:
    return max(values, key=size, default="")
