"""Steps that are given something and never look at it: a reduce that ignores its parts makes one answer of nothing."""

from collections.abc import Iterator
from typing import Final, NamedTuple

from ...protocols.errors import ConfigError
from ...protocols.workflow.nodes import walk
from ...protocols.workflow.patterns import Consensus, Evaluate, Ladder, MapReduce, Orchestrate
from ...protocols.workflow.step import Step
from .flaw import Flaw, Place
from .names import names_used

_SAME: Final = "previous"
"""What a step is given is known by this name, too."""


class _Given(NamedTuple):
    path: Place
    node: Step | None
    name: str
    also: tuple[str, ...] = ()


def check_ignored(root: Step, at: Place) -> Iterator[Flaw]:
    """Each step at `at` and below that never mentions what it is there for."""
    for path, node in walk(root, at):
        for given in _given(node):
            if given.node is not None and not _mentions(given.node, {given.name, _SAME, *given.also}):
                yield Flaw(
                    path + given.path,
                    f"never mentions `{given.name}`, so it would ignore what it is given; put it into a template",
                )


def _given(node: Step) -> list[_Given]:
    match node:
        case MapReduce():
            return _of_map_reduce(node)
        case Evaluate():
            return [_Given(("evaluate",), node.evaluate, "draft")]
        case Ladder():
            return [_Given(("quality", "judge"), node.quality.judge, "answer")]
        case Consensus():
            return [_Given(("ensemble",), node.ensemble, "votes")]
        case Orchestrate():
            return [_Given(("workers", name), worker, "task", ("index",)) for name, worker in node.workers.items()]
    return []


def _of_map_reduce(node: MapReduce) -> list[_Given]:
    item = _Given(("map",), node.map, node.as_, ("index",))
    if node.variant == "refine":
        improves = _Given(("reduce",), node.reduce, "draft")
        return [item, improves, _Given(("reduce",), node.reduce, node.as_, ("index",))]
    merges = [_Given((name,), getattr(node, name), "parts") for name in ("reduce", "collapse")]
    return [item, *merges, _Given(("judge",), node.judge, "candidates")]


def _mentions(node: Step, names: set[str]) -> bool:
    try:
        return not names.isdisjoint(names_used(node))
    except ConfigError:  # what is no template is told by another check
        return True
