"""Chain: steps one after the other, with a gate that may end it early."""

import dataclasses
from typing import Any

from ...protocols.errors import StepFailed
from ...protocols.workflow.patterns import Chain
from ..workflow import templates
from ..workflow.frame import Frame, Undo
from ..workflow.step import perform


async def run(node: Chain, at: Frame) -> Any:
    """The last step's output, or what `output` makes of all of them."""
    undo: list[Undo] = []
    here = dataclasses.replace(at, undo=undo)
    value: Any = at.scope.get("previous")
    try:
        for place, step in enumerate(node.steps):
            value = await perform(step, here.below(place))
            here = here.bind(previous=value, **({step.id: value} if step.id else {}))
            if step.gate is not None and templates.holds(step.gate.stop, here.bind(it=value).scope):
                return _stopped(step.gate, here, value)
    finally:
        # What was done in here can still be undone by whoever is around, also when this chain failed.
        at.undo.extend(undo)
    return value if node.output is None else templates.fill(node.output, here.scope)


def _stopped(gate: Any, at: Frame, value: Any) -> Any:
    scope = at.bind(it=value).scope
    reason = templates.render(gate.reason, scope) or f"its gate: {gate.stop}"
    at.own.note = f"ended early: {reason}"
    at.own.state = "stopped"
    if "/" not in at.path:
        at.run.stopped = reason
    if "output" not in gate.model_fields_set:
        return value
    try:
        return templates.fill(gate.output, scope)
    except StepFailed as error:
        raise StepFailed(f"the gate's output: {error}") from None
