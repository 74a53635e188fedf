"""The variants `reduce` and `collapse`: merged in order, in groups where all would not fit, while maps still run."""

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, Final

import msgspec

from ...actors.reducer.growing import GrowingTree, Merge, items_of, level_of
from ...actors.reducer.local import grow
from ...protocols.errors import StepFailed
from ...protocols.messages import ItemDone
from ...protocols.workflow.nodes import encode_node
from ...protocols.workflow.patterns import MapReduce
from ...protocols.workflow.spec import FlowSpec, Part
from ...protocols.workflow.step import Step
from ..workflow.busy import Busy
from ..workflow.frame import Frame
from ..workflow.mapping import answers
from ..workflow.merging import merged, size_of
from ..workflow.names import stays_home
from ..workflow.settling import MOST
from ..workflow.signals import Escalated, Parked
from ..workflow.wide import feed, is_wide, job_spec
from ..workflow.window import merge_budget
from .chunks import Chunk
from .reduced import Reduced

_WAITS: Final = "it waits for people"


async def run(node: MapReduce, chunks: Sequence[Chunk], at: Frame) -> Reduced:
    """See `MapReduce`."""
    assert node.reduce is not None
    nodes = [node.reduce, node.collapse or node.reduce]
    budget = node.budget or min(merge_budget(one, at.run.caller) for one in nodes)
    # Merges of a job of its own are made by a Reducer, where the budgets around this step are not known.
    home = bool(at.allowances) or any(stays_home(one, at.run.flow.flows) for one in nodes)
    if not home and is_wide(node.map, len(chunks), at, node.concurrency):
        return await _wide(node, chunks, budget, at)
    return await _at_home(node, chunks, budget, at)


async def _at_home(node: MapReduce, chunks: Sequence[Chunk], budget: int, at: Frame) -> Reduced:
    total = len(chunks)
    left: list[Parked | Escalated] = []
    busy = Busy()

    async def merge(what: Merge, children: Mapping[int, ItemDone]) -> ItemDone:
        if any(_WAITS in child.error for child in children.values()):
            return ItemDone(what.node, error=_WAITS)  # without that child it would be kept, and the child be lost
        try:
            with busy:
                part = await merged(step_of(node, what, total), what, children, at.below(place(what)))
        except (Parked, Escalated) as signal:
            left.append(signal)
            return ItemDone(what.node, error=_WAITS)
        return ItemDone(what.node, msgspec.msgpack.encode(part))

    grown = await grow(
        GrowingTree(budget),
        _mapped(node, [chunk.value for chunk in chunks], at, busy),
        merge,
        size=size_of,
        width=node.concurrency or MOST,
    )
    if left:
        raise _left(left)
    assert grown.root is not None
    return _reduced(grown.root, grown.depth, grown.merges)


async def _mapped(node: MapReduce, values: Sequence[Any], at: Frame, busy: Busy) -> AsyncIterator[ItemDone]:
    """The maps' answers. Merges that have begun are finished before people are asked: they are not paid for twice."""
    try:
        async for done in answers(node.map, values, at, bind=node.as_, concurrency=node.concurrency):
            yield done
    except Parked:
        await busy.idle()
        raise


def _left(signals: Sequence[Parked | Escalated]) -> Parked | Escalated:
    """An escalation, where there is one; else all that people are asked."""
    case = next((one for one in signals if isinstance(one, Escalated)), None)
    return case or Parked(tuple(ask for one in signals if isinstance(one, Parked) for ask in one.asks))


def _reduced(root: ItemDone, depth: int, merges: int) -> Reduced:
    if root.error:
        raise StepFailed(root.error)
    part = msgspec.msgpack.decode(root.data, type=Part)
    return Reduced(msgspec.json.decode(part.value), list(part.missing), depth, merges)


async def _wide(node: MapReduce, chunks: Sequence[Chunk], budget: int, at: Frame) -> Reduced:
    """The maps go to all Mappers, their answers to a Reducer, which merges while they come; one answer comes back."""
    merge = FlowSpec(b"", reduce=encode_node(node), budget=budget, total=len(chunks))
    values = [chunk.value for chunk in chunks]
    spec = job_spec(node.map, at, values, bind=node.as_, concurrency=node.concurrency, merge=merge)
    root: ItemDone | None = None
    merges: set[int] = set()
    missing: dict[int, str] = {}
    nodes: dict[int, ItemDone] = {}
    async for page in feed(spec, values, at):
        for done in page.items:  # of an item, or a node, that was tried again the last answer counts
            missing[done.item] = done.error
        merges |= {done.item for done in page.nodes}
        nodes = {done.item: done for done in page.nodes if done.data or done.error} or nodes
        if page.root >= 0:
            root = nodes.get(page.root, root)
    if root is None:
        cause = next(filter(None, missing.values()), "")
        raise StepFailed(cause or "its items' job ended without an answer")
    return _reduced(root, level_of(root.item), len(merges))


def step_of(node: MapReduce, merge: Merge, total: int) -> Step:
    """The last merge reads all and is the reduce; those before it collapse."""
    last = items_of(merge.node) == range(total)
    step = node.reduce if last or node.collapse is None else node.collapse
    assert step is not None
    return step


def place(merge: Merge) -> str:
    """Where a merge stands below its step, by the chunks it covers."""
    items: Any = items_of(merge.node)
    return f"reduce/{items.start}-{items.stop}"
