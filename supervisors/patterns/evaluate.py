"""Evaluate (evaluator-optimizer): a draft, a verdict, and again until it is accepted."""

from typing import Any

from ...protocols.errors import StepFailed
from ...protocols.workflow.patterns import Evaluate
from ..workflow import templates
from ..workflow.frame import Frame
from ..workflow.step import perform


async def run(node: Evaluate, at: Frame) -> Any:
    """The first draft that is accepted; else the last one, or a failure, as `unaccepted` says."""
    draft: Any = None
    verdict: Any = None
    for number in range(node.rounds):
        here = (at.again("#", number) if number else at).bind(draft=draft, verdict=verdict, round=number + 1)
        draft = await perform(node.generate, here.below("generate"))
        verdict = await perform(node.evaluate, here.below("evaluate", draft=draft, previous=draft))
        if templates.holds(node.accept, here.bind(draft=draft, verdict=verdict).scope):
            at.own.note = f"accepted in round {number + 1}"
            return draft
    if node.unaccepted == "fail":
        raise StepFailed(f"no draft was accepted in {node.rounds} rounds")
    at.own.degraded = True
    at.own.note = f"no draft was accepted in {node.rounds} rounds: the last one stands in"
    return draft
