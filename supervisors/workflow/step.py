"""Runs one step: its condition, its pattern, and what its policy says when that fails."""

import asyncio
from typing import Any

from ...actors.shell import log
from ...protocols.errors import StepFailed, UnderstudyError
from ...protocols.workflow.result import StepState
from ...protocols.workflow.step import Step
from . import templates, undoing
from .failing import Again, Default, Fail, Instead, Skip, after_failure, in_the_end
from .frame import Frame
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
        return _recalled(at)
    before = len(at.undo)
    try:
        value = await _performed(node, at)
    except StepFailed as error:
        memo.keep_failure(at.path, str(error), undoing.kept(at, before))
        raise
    memo.keep(at.path, value, undoing.kept(at, before))
    return value


async def branch(step: Step, at: Frame) -> Any:
    """The step's output, where its failure is not that of what is around: it undoes no more than what was done in it.

    Once it is over, what it did can be undone by whoever is around.
    """
    apart = at.apart()
    try:
        return await perform(step, apart)
    finally:
        at.undo.extend(apart.undo)


def _recalled(at: Frame) -> Any:
    at.undo.extend(undoing.recalled(at))
    cause = at.run.memo.failure(at.path)
    if cause is not None:
        raise StepFailed(cause)
    return at.run.memo.value(at.path)


async def _performed(node: Step, at: Frame) -> Any:
    run, began = at.run, at.run.elapsed()
    try:
        skipped = node.when is not None and not templates.holds(node.when, at.scope)
    except StepFailed as error:
        at.own.note = str(error)
        return await _instead(node, at, in_the_end(node.on_error), began)
    if skipped:
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
        except (asyncio.CancelledError, Escalated, Parked) as left:
            _left(node, here, left, began)
            raise
        else:
            state = here.own.state or at.own.state or ("degraded" if here.own.degraded else "done")
            run.ended(here.path, node, state, began, here.own)
            undoing.can_be_undone(node, at, value)
            return value


def _left(node: Step, at: Frame, left: BaseException, began: float) -> None:
    """The step is left other than by an answer or a failure."""
    if isinstance(left, Parked):
        at.run.tell(at.path, node, "waiting")
    elif isinstance(left, Escalated):
        at.own.note = f"escalated: {left.reason}"
        at.run.ended(at.path, node, "stopped", began, at.own)
    else:
        at.run.ended(at.path, node, "cancelled", began, at.own)


async def _attempt(node: Step, at: Frame, *, last: bool) -> Any:
    """One run of the node's pattern; a failure that a policy looks at is kept: who goes on does not try again."""
    memo, key, before = at.run.memo, f"{at.path}~", len(at.undo)
    cause = memo.failure(key)
    if cause is not None:
        at.undo.extend(undoing.recalled(at, key))
        raise StepFailed(cause)
    try:
        return await at.run.patterns[getattr(node, "kind", "")](node, at)
    except (Parked, Escalated, asyncio.CancelledError):
        raise
    except StepFailed as error:
        if not last:
            memo.keep_failure(key, str(error), undoing.kept(at, before))
        raise
    except UnderstudyError as error:
        raise StepFailed(str(error)) from error
    except Exception as error:
        log.exception("step_failed", path=at.path, item=at.run.number)
        raise StepFailed(f"{type(error).__name__}: {error}"[:500]) from error


async def _instead(node: Step, at: Frame, verdict: Instead, began: float) -> Any:
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
            await perform(step.node, undoing.place(step, at))
        except StepFailed as error:
            run.degraded = True
            log.warning("not_undone", path=step.at.path, cause=str(error))
