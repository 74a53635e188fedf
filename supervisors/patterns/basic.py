"""The small ones: a value, a function, an approval, an escalation, and a sub-workflow by name."""

import asyncio
import inspect
import json
from collections.abc import Callable
from typing import Any

import msgspec
from pydantic_core import PydanticSerializationError, to_jsonable_python

from ...protocols.errors import ConfigError, StepFailed
from ...protocols.jobs import ApprovalAsk
from ...protocols.workflow.basic import Approve, Escalate, Function, Use, Value
from ..workflow import modules, templates
from ..workflow.finished import Finished, function_hash
from ..workflow.frame import Frame
from ..workflow.signals import Escalated, Parked
from ..workflow.step import perform


async def value(node: Value, at: Frame) -> Any:
    """The value, with its templates filled in."""
    return templates.fill(node.value, at.scope)


async def function(node: Function, at: Frame) -> Any:
    """What the function returns, as JSON; a sync one runs in a thread, so that it holds up nobody."""
    arguments, once = templates.fill(node.args, at.scope), at.run.once
    if once is None:
        return await _returned(node.call, arguments)
    given = function_hash(node.call, arguments)
    known = await once.find(at.path, given)
    if known is None:
        try:
            result = await _returned(node.call, arguments)
        except StepFailed as error:
            await once.keep(at.path, given, Finished(error=str(error)))
            raise
        # Not msgspec: a function may return numbers of any size.
        await once.keep(at.path, given, Finished(json.dumps(result)))
        return result
    if known.finished.value is None:
        raise StepFailed(known.finished.error)
    return json.loads(known.finished.value)


async def _returned(path: str, arguments: dict[str, Any]) -> Any:
    """What the function at an import path returns, as JSON."""
    work = imported(path)
    try:
        if inspect.iscoroutinefunction(work):
            result = await work(**arguments)
        else:
            result = await asyncio.to_thread(_called, work, arguments)
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise
        # It awaited something that was cancelled: nobody has cancelled the step.
        raise StepFailed(f"{path}: what it waited for was cancelled") from error
    except (Exception, SystemExit) as error:  # an exit would take the whole process along, with all its other runs
        raise StepFailed(f"{path}: {type(error).__name__}: {error}"[:500]) from error
    try:
        return to_jsonable_python(result)
    except PydanticSerializationError as error:
        raise StepFailed(f"{path} returned what is no JSON: {error}") from None


def _called(work: Callable[..., Any], arguments: dict[str, Any]) -> Any:
    """What a sync function returns. A StopIteration can't be put into a future: who awaits it would wait for ever."""
    try:
        return work(**arguments)
    except StopIteration as error:
        raise RuntimeError(f"StopIteration: {error}") from error


def imported(path: str) -> Callable[..., Any]:
    """The function that an import path names. Raises `ConfigError` when there is none."""
    try:
        found = modules.imported(path)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigError(f"{path!r} can't be imported: {error}; write it as module:function") from None
    if not callable(found):
        raise ConfigError(f"{path!r} is no function")
    return found  # type: ignore[no-any-return]


async def approve(node: Approve, at: Frame) -> Any:
    """What goes on: the value, or what a person made of it."""
    verdict = at.run.verdicts.get(at.path)
    shown = templates.fill(node.value, at.scope)
    if verdict is None:
        ask = ApprovalAsk(
            at.path,
            templates.render(node.title, at.scope),
            templates.render(node.show, at.scope),
            msgspec.json.encode(shown) if node.edit else b"",
        )
        raise Parked((ask,))
    by = f" by {verdict.by}" if verdict.by else ""
    if not verdict.approved:
        raise StepFailed(f"rejected{by}" + (f": {verdict.note}" if verdict.note else ""))
    at.own.note = (
        f"approved{by}" + (", edited" if verdict.value else "") + (f": {verdict.note}" if verdict.note else "")
    )
    return msgspec.json.decode(verdict.value) if verdict.value and node.edit else shown


async def escalate(node: Escalate, at: Frame) -> Any:
    """Hands the case up."""
    reason = templates.render(node.reason, at.scope)
    at.own.note = reason
    raise Escalated(reason, templates.fill(node.value, at.scope), at.path)


async def use(node: Use, at: Frame) -> Any:
    """What the named sub-workflow makes of its input."""
    given = templates.fill(node.with_, at.scope)
    inner = at.inside(node.flow)
    known = {"input": given, "previous": given, "steps": at.run.states}
    return await perform(at.run.flow.flows[node.flow], inner.alone(known))
