"""How finished steps are undone: noted when they are done, kept with what a run has finished, placed when needed."""

import dataclasses
from collections.abc import Iterator
from typing import Any

import msgspec

from ...protocols.workflow.nodes import decode_node, encode_node
from ...protocols.workflow.step import Step
from .frame import Frame, Own, Undo
from .memo import Undone
from .names import names_used


def can_be_undone(node: Step, at: Frame, value: Any) -> None:
    """Notes how a finished step can be undone. One that was skipped, or that something stands in for, did nothing."""
    if node.undo is not None:
        known = at.bind(**{node.id: value}) if node.id else at
        at.undo.append(Undo(node.undo, known.below("undo", it=value)))


def place(step: Undo, at: Frame) -> Frame:
    """Where it is undone from `at`: with the time and the money that are left there, not those of where it was done."""
    return dataclasses.replace(step.at, due=at.due, allowances=at.allowances, own=Own(state="undone"))


def kept(at: Frame, before: int) -> list[Undone]:
    """What was noted since there were `before` notes, as it is kept; nothing where nobody will go on with the run."""
    return [_undone(one) for one in at.undo[before:]] if at.run.memo.keeps else []


def _undone(one: Undo) -> Undone:
    wanted = names_used(one.node)
    # `steps` is the run's own, and is known again when the run goes on.
    scope = {name: value for name, value in one.at.scope.items() if name in wanted and name != "steps"}
    return Undone(encode_node(one.node), one.at.path, msgspec.json.encode(scope))


def recalled(at: Frame, path: str = "") -> Iterator[Undo]:
    """The notes that are kept with a step (by default the one at `at`), in the order they were made."""
    for one in at.run.memo.undo(path or at.path):
        scope = {**msgspec.json.decode(one.scope), "steps": at.run.states}
        yield Undo(decode_node(one.node), dataclasses.replace(at, path=one.path, scope=scope, own=Own()))
