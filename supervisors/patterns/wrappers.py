"""Retry, Timeout and Budget: around one other step."""

import asyncio
from typing import Any

from ...protocols.errors import StepFailed
from ...protocols.workflow.wrappers import Budget, Retry, Timeout
from ..workflow.failing import pause
from ..workflow.frame import Frame
from ..workflow.money import NO_LIMIT
from ..workflow.signals import Parked
from ..workflow.step import branch, perform


async def retry(node: Retry, at: Frame) -> Any:
    """The step's output, of the first run that has one."""
    for number in range(1, node.attempts + 1):
        inner = at.inside("node").again("#", number) if number > 1 else at.inside("node")
        try:
            return await branch(node.node, inner)
        except StepFailed as error:
            left = at.left_s
            delay = pause(node.backoff_s, number, rng=at.run.rng)
            if number == node.attempts or (left is not None and delay >= left):
                raise StepFailed(f"{error} (after {number} runs)") from None
            if at.inside("node").again("#", number + 1).path not in at.run.memo:
                await asyncio.sleep(delay)
    raise AssertionError("a retry has at least one run")


async def timeout(node: Timeout, at: Frame) -> Any:
    """The step's output, if it comes in time."""
    memo, began = at.run.memo, at.run.elapsed()
    left = node.seconds - memo.used(at.path)
    try:
        async with asyncio.timeout(left):
            return await perform(node.node, at.inside("node").within(left))
    except TimeoutError:
        raise StepFailed(f"not done within {node.seconds:g} s") from None
    except Parked:
        memo.keep_used(at.path, at.run.elapsed() - began)
        raise


async def budget(node: Budget, at: Frame) -> Any:
    """The step's output, if that can be had within the bounds."""
    allowance = at.run.memo.budget(
        at.path,
        cost=NO_LIMIT if node.max_cost is None else round(node.max_cost * 10**12),
        calls=NO_LIMIT if node.max_calls is None else node.max_calls,
        tokens=NO_LIMIT if node.max_tokens is None else node.max_tokens,
        name=f"the budget at {at.path}",
    )
    try:
        return await perform(node.node, at.inside("node").bounded(allowance))
    except Parked:
        at.run.memo.keep_spent(at.path, allowance)
        raise
