"""The map of a map-reduce: an answer for each item, as it comes, from here or from a job of its own."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any, Final

import msgspec

from ...protocols.errors import StepFailed
from ...protocols.messages import ItemDone
from ...protocols.workflow.result import FlowResult
from ...protocols.workflow.step import Step
from .frame import Frame
from .settling import MOST
from .signals import Parked
from .step import branch
from .wide import feed, is_wide, job_spec, room

NO_OUTPUT: Final = "it was skipped: there is no output to merge"
"""Why an item is missing whose step has none: left out, it would be missing without a word."""


async def answers(
    node: Step, items: Sequence[Any], at: Frame, *, bind: str, concurrency: int | None
) -> AsyncIterator[ItemDone]:
    """Each item's answer once, in the order they come; `data` is a `FlowResult`, a failure is named in `error`.

    Raises:
        Parked: people have to answer first; all other items are done by then.
    """
    if is_wide(node, len(items), at, concurrency):
        await room(node, items, at, bind=bind)
        failed: dict[int, ItemDone] = {}  # each may yet be tried again: only the last answer of an item counts
        async for page in feed(job_spec(node, at, items, bind=bind, concurrency=concurrency), items, at):
            for done in page.items:
                if done.error:
                    failed[done.item] = done
                else:
                    failed.pop(done.item, None)
                    yield _looked_at(done, at)
        for done in failed.values():
            yield _looked_at(done, at)
        return
    async for done in _at_home(node, items, at, bind=bind, concurrency=concurrency or MOST):
        yield done


async def _at_home(
    node: Step, items: Sequence[Any], at: Frame, *, bind: str, concurrency: int
) -> AsyncIterator[ItemDone]:
    waiting = iter(enumerate(items))
    tasks: set[asyncio.Task[ItemDone | None]] = set()
    parked: list[Parked] = []
    try:
        while True:
            while len(tasks) < concurrency and (found := next(waiting, None)) is not None:
                number, item = found
                inner = at.below("map").below(number, **{bind: item, "index": number, "previous": item})
                tasks.add(asyncio.ensure_future(_one(node, number, inner, parked)))
            if not tasks:
                break
            done, tasks = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                if (answer := task.result()) is not None:
                    yield answer
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    if parked:
        raise Parked(tuple(ask for one in parked for ask in one.asks))


def _looked_at(done: ItemDone, at: Frame) -> ItemDone:
    """An item of a job of its own: what is to be said of its run is to be said of this one."""
    if done.error:
        return done
    result = msgspec.msgpack.decode(done.data, type=FlowResult)
    at.own.degraded |= result.degraded
    at.run.review |= result.review
    return ItemDone(done.item, error=NO_OUTPUT) if result.output == b"null" else done


async def _one(node: Step, number: int, at: Frame, parked: list[Parked]) -> ItemDone | None:
    """An item's answer; None where it waits for people: it is not missing, and nothing is merged without it."""
    try:
        value = await branch(node, at)
    except StepFailed as error:
        return ItemDone(number, error=str(error) or "failed")
    except Parked as asked:
        parked.append(asked)
        return None
    if value is None:
        return ItemDone(number, error=NO_OUTPUT)
    return ItemDone(number, msgspec.msgpack.encode(FlowResult(msgspec.json.encode(value))))
