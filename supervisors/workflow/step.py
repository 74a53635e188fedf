"""Runs one step: its condition, its pattern, and what its policy says when that fails."""

import asyncio
from typing import Any

from ...actors.shell import log
from ...protocols.errors import StepFailed, UnderstudyError
from ...protocols.workflow.result import StepState
from ...protocols.workflow.step import Step
from . import templates
from .failing import Again, Alternative, Default, Fail, Skip, after_failure
from .frame import Frame, Undo
from .signals import Escalated, Parked


async def perform(node: Step, at: Frame) -> Any:
    """The step's output. What it came to stands in the run's records.

    Raises:
        StepFailed: it failed, and its policy lets nothing stand in.
        Parked: people have to answer first.
        Escalated: it hands the case up.
    """
    memo = at.run.memo
    if at.path in memo:
        return _recalled(node, at)
    try:
        value = await _performed(node, at)
    except StepFailed as error:
        memo.keep_failure(at.path, str(error))
        raise
    memo.keep(at.path, value)
    _undoable(node, at, value)
    return value


def _recalled(node: Step, at: Frame) -> Any:
    cause = at.run.memo.failure(at.path)
    if cause is not None:
        raise StepFailed(cause)
    value = at.run.memo.value(at.path)
    _undoable(node, at, value)
    return value


def _undoable(node: Step, at: Frame, value: Any) -> None:
    if node.undo is not None:
        known = at.bind(**{node.id: value}) if node.id else at
        at.undo.append(Undo(node.undo, known.below("undo", it=value)))


async def _performed(node: Step, at: Frame) -> Any:
    run, began = at.run, at.run.elapsed()
    if node.when is not None and not templates.holds(node.when, at.scope):
        at.own.note = f"not {node.when}"
        run.ended(at.path, node, "skipped", began, at.own)
        return None
    run.tell(at.path, node, "began")
    failed = 0
    while True:
        here = at if not failed else at.again("~", failed)
        try:
            value = await _attempt(node, here, last=node.on_error is None)
        except StepFailed as error:
            failed += 1
            verdict = after_failure(node.on_error, failed, left_s=at.left_s, rng=run.rng)
            here.own.note = str(error)
            if not isinstance(verdict, Again):
                return await _instead(node, here, verdict, began)
            run.ended(here.path, node, "failed", began, here.own)
            if at.again("~", failed).path not in run.memo:
                await asyncio.sleep(verdict.delay_s)
        except asyncio.CancelledError:
            run.ended(here.path, node, "cancelled", began, here.own)
            raise
        except Parked:
            run.tell(at.path, node, "waiting")
            raise
        else:
            run.ended(here.path, node, "degraded" if here.own.degraded else "done", began, here.own)
            return value


async def _attempt(node: Step, at: Frame, *, last: bool) -> Any:
    """One run of the node's pattern; what a policy looks at is kept, so that it is not tried again when a run goes on."""
    memo, key = at.run.memo, f"{at.path}~"
    cause = memo.failure(key)
    if cause is not None:
        raise StepFailed(cause)
    try:
        return await at.run.patterns[getattr(node, "kind", "")](node, at)
    except (Parked, Escalated, asyncio.CancelledError):
        raise
    except StepFailed as error:
        if not last:
            memo.keep_failure(key, str(error))
        raise
    except UnderstudyError as error:
        raise StepFailed(str(error)) from error
    except Exception as error:
        log.exception("step_failed", path=at.path, item=at.run.number)
        raise StepFailed(f"{type(error).__name__}: {error}"[:500]) from error


async def _instead(node: Step, at: Frame, verdict: Skip | Default | Alternative | Fail, began: float) -> Any:
    """What stands in for a step that failed. Raises `StepFailed` when nothing does."""
    run, cause = at.run, at.own.note
    policy = node.on_error
    state: StepState = "degraded"
    if isinstance(verdict, Fail) or policy is None:
        run.ended(at.path, node, "failed", began, at.own)
        if isinstance(verdict, Fail) and verdict.undo:
            await compensate(at)
        raise StepFailed(cause)
    try:
        if isinstance(verdict, Skip):
            value, state = None, "skipped"
            run.degraded = True
        elif isinstance(verdict, Default):
            value = templates.fill(policy.default, at.bind(error=cause).scope)
            at.own.note = f"the default stands in: {cause}"
        else:
            assert policy.alternative is not None
            at.own.note = f"the alternative stands in: {cause}"
            value = await perform(policy.alternative, at.below("alternative", error=cause))
    except StepFailed as error:
        at.own.note = f"{error}; before: {cause}"
        run.ended(at.path, node, "failed", began, at.own)
        raise StepFailed(at.own.note) from None
    run.ended(at.path, node, state, began, at.own)
    return value


async def compensate(at: Frame) -> None:
    """Undoes the enclosing chain's finished steps, the last first; one that can't be undone is named, not hidden."""
    run = at.run
    while at.undo:
        step = at.undo.pop()
        try:
            await perform(step.node, step.at)
        except StepFailed as error:
            run.degraded = True
            log.warning("not_undone", path=step.at.path, cause=str(error))
