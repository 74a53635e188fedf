"""Route: one of several branches, what it hands up, and what comes of it looked at from the top."""

from typing import Any

from ...actors.router import asking
from ...protocols.errors import StepFailed
from ...protocols.workflow.basic import Call
from ...protocols.workflow.patterns import Route
from ...protocols.workflow.step import Step
from ..workflow import templates, undoing
from ..workflow.frame import Frame
from ..workflow.signals import Escalated
from ..workflow.step import branch, perform


async def run(node: Route, at: Frame) -> Any:
    """What the branch gives; with `feedback` of the last round."""
    history: list[dict[str, Any]] = []
    rounds = node.feedback.rounds if node.feedback is not None else 1
    notes: list[str] = []
    value: Any = None
    for number in range(rounds):
        here = (at.again("#", number) if number else at).bind(history=list(history))
        name, why = await chosen(node, here)
        notes.append(f"{name}: {why}")
        at.own.note = " → ".join(notes)
        value, escalated = await _taken(node, name, here)
        if escalated:
            notes.append(f"escalated: {escalated}")
            at.own.note = " → ".join(notes)
        history.append({"branch": name, "output": value, "escalated": escalated})
        if node.feedback is None or templates.holds(node.feedback.until, here.bind(it=value, history=history).scope):
            return value
    at.own.degraded = True
    at.own.note += f"; not enough after {rounds} rounds"
    return value


async def _taken(node: Route, name: str, at: Frame) -> tuple[Any, str]:
    """(what the branch gives, why it escalated): where it hands the case up, what takes that gives the answer."""
    inner = at.below(name, route=name)
    try:
        return await _branch(node.branches[name], inner), ""
    except Escalated as case:
        if node.escalate is None:
            raise
        escalation = {"reason": case.reason, "value": case.value, "branch": name, "path": case.path}
        above = at.below("escalate", escalation=escalation, route=name, previous=case.value)
        return await perform(node.escalate, above), case.reason


async def _branch(step: Step, at: Frame) -> Any:
    """What the branch gives. That it hands the case up is kept: what was cancelled by that is not begun again."""
    memo, key, before = at.run.memo, f"{at.path}~up", len(at.undo)
    if key in memo:
        at.undo.extend(undoing.recalled(at, key))
        raise Escalated(*memo.value(key))
    try:
        return await perform(step, at)
    except Escalated as case:
        memo.keep(key, [case.reason, case.value, case.path], undoing.kept(at, before))
        raise


async def chosen(node: Route, at: Frame) -> tuple[str, str]:
    """(the branch, why): by the first rule that holds, else by the classifier, else the generalist."""
    for place, rule in enumerate(node.rules, 1):
        if templates.holds(rule.when, at.scope):
            return rule.to, f"rule {place}"
    assert node.generalist is not None
    classifier, names = _classifier(node, at)
    if classifier is None:
        return node.generalist, "nobody claims it"
    try:
        said = await branch(classifier, at.below("classifier", **names))
    except StepFailed as error:
        at.own.degraded = True
        return node.generalist, f"the classifier failed ({error}): the generalist takes it"
    name = named(said, list(node.branches))
    if not name:
        return node.generalist, "the classifier names no branch: the generalist takes it"
    return name, "the classifier"


def named(said: Any, branches: list[str]) -> str:
    """The branch that a classifier's output names; empty where it names none, or several."""
    if isinstance(said, dict):
        said = next((said[key] for key in ("route", "branch", "label", "category") if key in said), said)
        said = next(iter(said.values()), "") if isinstance(said, dict) and len(said) == 1 else said
    return asking.answer(said, branches) if isinstance(said, str) else ""


def _classifier(node: Route, at: Frame) -> tuple[Any, dict[str, str]]:
    """(who classifies, what it knows besides): a model is asked values, so that no template in them is filled in."""
    if node.model is None:
        return node.classifier, {}
    choices = {name: node.descriptions.get(name, name) for name in node.branches}
    request = asking.question(node.model, templates.render(node.question, at.scope), choices)
    system, user = (message.parts[0].text for message in request.messages)  # type: ignore[union-attr]
    call = Call.model_construct(
        _fields_set={"prompt", "system", "model", "max_tokens", "temperature"},
        prompt="{{ asked }}",
        system="{{ choices }}",
        model=node.model,
        max_tokens=request.max_tokens,
        temperature=0.0,
    )
    return call, {"asked": user, "choices": system}
