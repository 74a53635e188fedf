"""Wide fan-outs: a job of their own, whose items go to all Mappers and whose answers come back as they are made.

What runs for each item is the same interpreter; it sees the names that its templates use and no more, so that a list of
a million items is not sent along with each.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Collection, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

import msgspec

from ...actors.interpreter import Child
from ...protocols.errors import StepFailed, UnderstudyError
from ...protocols.jobs import JobSpec, Page
from ...protocols.workflow import Flow, encode
from ...protocols.workflow.nodes import decode_node
from ...protocols.workflow.result import FlowResult
from ...protocols.workflow.spec import FlowSpec, item
from ...protocols.workflow.step import Step
from .child_bill import ChildBill
from .finished import named
from .frame import Frame
from .money import NO_LIMIT
from .names import names_used, stays_home
from .settling import Settled
from .shares import item_share

WIDE: Final = 128
"""More items than this are a job of their own. A choice, not a measurement: so many are no trouble to one Mapper."""
FEW: Final = 16
BLOCK_BYTES: Final = 500_000
BLOCK_ITEMS: Final = 2_000


def is_wide(node: Step, count: int, at: Frame, concurrency: int | None = None) -> bool:
    """Whether so many items are a job of their own.

    Not where a step has to stay with its run, nor where calls or tokens are counted: only money is shared out to a job.
    Nor where few are to run at once: a job has at least one at each Mapper.
    """
    few = concurrency is not None and concurrency < FEW
    if count <= WIDE or few or at.run.host is None or stays_home(node, at.run.flow.flows):
        return False
    return all(one.calls >= NO_LIMIT and one.tokens >= NO_LIMIT for one in at.allowances)


async def each_wide(
    node: Step, items: Sequence[Any], at: Frame, *, bind: str, concurrency: int | None
) -> list[Settled]:
    """What became of each item, in their order."""
    settled: list[Settled] = [Settled(error="it was never answered")] * len(items)
    await room(node, items, at, bind=bind)
    spec = job_spec(node, at, items, bind=bind, concurrency=concurrency)
    async for page in feed(spec, items, at):
        for done in page.items:
            if done.error:
                settled[done.item] = Settled(error=done.error)
            else:
                result = msgspec.msgpack.decode(done.data, type=FlowResult)
                settled[done.item] = Settled(result.value)
                at.own.degraded |= result.degraded
                at.run.review |= result.review
    return settled


def job_spec(
    node: Step,
    at: Frame,
    items: Sequence[Any],
    *,
    bind: str,
    concurrency: int | None,
    merge: FlowSpec | None = None,
) -> JobSpec:
    """The child job that runs `node` for each of many items."""
    run = at.run
    wanted = names_used(node) | (names_used(decode_node(merge.reduce)) if merge is not None else frozenset())
    scope = _known(wanted, at, bind)
    flow = Flow.model_construct(_fields_set={"flows", "run"}, name="flow", flows=run.flow.flows, run=node)
    left = min((one.left_cost for one in at.allowances), default=NO_LIMIT)
    paths = msgspec.msgpack.decode(run.spec.spec, type=FlowSpec).paths
    share = item_share(node, items, scope.values(), at, left) if left < NO_LIMIT else 0
    spec = FlowSpec(encode(flow), bind, msgspec.json.encode(scope), f"{at.path}/each", cost=share or -1, paths=paths)
    if merge is not None:
        spec = msgspec.structs.replace(spec, reduce=merge.reduce, budget=merge.budget, total=merge.total)
    return msgspec.structs.replace(
        run.spec,
        id=f"{run.spec.id}-{os.urandom(6).hex()}",
        title=f"{run.spec.title} {at.path}",
        spec=msgspec.msgpack.encode(spec),
        parent=run.spec.id,
        reduces=merge is not None,
        grows=merge is not None,
        quiet=merge is not None,
        keep=False,
        watch=False,
        max_cost=left if left < NO_LIMIT else -1,
        item_cost=share,
        held_back=0,
        tenant_day=-1,
        day=-1,
        total_width=concurrency or 0,
    )


def _known(wanted: Collection[str], at: Frame, bind: str) -> dict[str, Any]:
    known = {name: value for name, value in at.scope.items() if name in wanted and name != bind}
    return {**known, "steps": dict(known["steps"])} if "steps" in known else known


async def room(node: Step, items: Sequence[Any], at: Frame, *, bind: str) -> None:
    """Waits, as a call does, while the budgets around have too little left only because others have reserved it.

    A job takes all that is left: begun beside another one it would have nothing, and each of its items be refused.
    """
    if all(one.cost >= NO_LIMIT for one in at.allowances):
        return
    known = _known(names_used(node), at, bind).values()
    wanted = max(1, item_share(node, items, known, at, NO_LIMIT) * len(items))
    async with at.run.changed:
        while any(one.held_cost and one.left_cost < wanted for one in at.allowances):
            await at.run.changed.wait()


async def feed(spec: JobSpec, items: Iterable[Any], at: Frame) -> AsyncIterator[Page]:
    """Hands the items in and gives each page of news, until the job is over.

    What it used stands on the run's bill. Raises `StepFailed` when the job can't go on.
    """
    host = at.run.host
    assert host is not None
    held, bill, over = max(spec.max_cost, 0), ChildBill(at), False
    for one in at.allowances:
        one.reserve(held, 0)
    try:
        if at.run.once is not None:
            spec = await _named(spec, items, at)
        async with host.children(spec, **bill.follow(spec.id)) as child, _feeding(child, items):
            async for page in child.pages():
                bill.take(page)
                at.run.progress(at.path, _told(page))
                yield page
                _check(page)
            over = True
    except StepFailed:
        raise
    except UnderstudyError as error:
        raise StepFailed(f"its items' job: {error}") from error
    finally:
        for one in at.allowances:
            one.settle(held, 0, bill.spent, 0)
        async with at.run.changed:
            at.run.changed.notify_all()
        await bill.leave(over=over)


async def _named(spec: JobSpec, items: Iterable[Any], at: Frame) -> JobSpec:
    """The job with an id that follows from what it is given: who begins the run anew goes on with the same job.

    What it may spend is no part of it, since that depends on what ran beside it; nor is where its functions are found.
    """
    given = msgspec.msgpack.decode(spec.spec, type=FlowSpec)
    # In an order of its own: `steps` holds steps in that in which they ended.
    scope = msgspec.json.encode(msgspec.json.decode(given.scope), order="deterministic")
    flow = msgspec.msgpack.encode(msgspec.structs.replace(given, scope=b"", cost=-1, paths=()))
    of_items = []
    for block in blocks(items):
        of_items.append(named(*block))
        await asyncio.sleep(0)
    mark = named(at.path, spec.interpreter, flow, scope, *of_items).hex()
    return msgspec.structs.replace(spec, id=f"{spec.parent}.{at.run.number}.{mark[:16]}")


def _told(page: Page) -> str:
    failed = f", {page.failed:,} failed" if page.failed else ""
    return f"{page.done:,} of {page.total:,}{failed}"


def _check(page: Page) -> None:
    if page.state in ("failed", "cancelled"):
        raise StepFailed(page.error or "its items' job was cancelled")


@asynccontextmanager
async def _feeding(child: Child, items: Iterable[Any]) -> AsyncIterator[None]:
    """Hands items in beside whoever reads the answers: both wait for each other when one is slow."""

    async def hand_in() -> None:
        for block in blocks(items):
            await child.add(block)
        await child.seal()

    task = asyncio.ensure_future(hand_in())
    try:
        yield
        await task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def blocks(items: Iterable[Any]) -> Iterator[list[bytes]]:
    """The items as blocks of about half a megabyte."""
    block: list[bytes] = []
    size = 0
    for one in items:
        data = item(one)
        if block and (size + len(data) > BLOCK_BYTES or len(block) >= BLOCK_ITEMS):
            yield block
            block, size = [], 0
        block.append(data)
        size += len(data)
    if block:
        yield block
