"""Chain: steps one after the other, with a gate that may end it early."""

import dataclasses
from typing import Any

from ...protocols.errors import StepFailed
from ...protocols.workflow.patterns import Chain
from ..workflow import templates
from ..workflow.frame import Frame, Undo
from ..workflow.states import States
from ..workflow.step import perform


async def run(node: Chain, at: Frame) -> Any:
    """The last step's output, or what `output` makes of all of them."""
    undo: list[Undo] = []
    here = dataclasses.replace(at, undo=undo)
    value: Any = at.scope.get("previous")
    try:
        for place, step in enumerate(node.steps):
            inside = here.below(place)
            value = await perform(step, inside)
            here = here.bind(previous=value, **(_named(step.id, value, inside) if step.id else {}))
            if step.gate is not None and templates.holds(step.gate.stop, here.bind(it=value).scope):
                return _stopped(step.gate, here, value)
    finally:
        # What was done in here can still be undone by whoever is around, also when this chain failed.
        at.undo.extend(undo)
    return value if node.output is None else templates.fill(node.output, here.scope)


def _named(name: str, value: Any, at: Frame) -> dict[str, Any]:
    """What later steps know of one with an id: its output, and how it ended."""
    around, state = at.scope.get("steps"), at.run.state_at(at.path)
    own = around.own if isinstance(around, States) else {}
    return {name: value, "steps": States(at.run.states, own if state is None else {**own, name: state})}


def _stopped(gate: Any, at: Frame, value: Any) -> Any:
    scope = at.bind(it=value).scope
    reason = templates.render(gate.reason, scope) or f"its gate: {gate.stop}"
    at.own.note = f"ended early: {reason}"
    at.own.state = "stopped"
    if at.outermost:
        at.run.stopped = reason
    if "output" not in gate.model_fields_set:
        return value
    try:
        return templates.fill(gate.output, scope)
    except StepFailed as error:
        raise StepFailed(f"the gate's output: {error}") from None
