"""Merges of a growing tree while answers come: in one process, and in a Reducer's shell."""

import asyncio
import random
from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest

from understudy.actors.reducer.actor import Reducer
from understudy.actors.reducer.growing import GrowingTree, Merge, items_of, level_of, node_id
from understudy.actors.reducer.local import grow
from understudy.actors.reducer.merging import Merging
from understudy.actors.reducer.trees import GrownTree
from understudy.protocols.envelope import Envelope
from understudy.protocols.errors import UnderstudyError, UsageError
from understudy.protocols.jobs import JobSpec
from understudy.protocols.messages import Absorb, CancelJob, ItemDone, NodesDone, Sealed


class Numbers:
    """An interpreter whose answers are the items they cover; ten tokens each."""

    def __init__(self, budget: int = 30) -> None:
        self.budget = budget
        self.busy = self.busiest = 0
        self.cuts: list[int] = []

    def growing(self) -> GrowingTree:
        """A tree of three each."""
        return GrowingTree(self.budget)

    def size(self, done: ItemDone) -> int:
        """Ten, whatever it is; what is no text can't be read."""
        assert done.data != b"?", "no text"
        return 10

    async def merge(self, merge: Merge, children: Mapping[int, ItemDone], caller: Any = None) -> ItemDone:
        """Their answers, joined; nobody is called."""
        assert caller is None
        self.busy += 1
        self.busiest = max(self.busiest, self.busy)
        for _ in range(len(children)):
            await asyncio.sleep(0)
        self.busy -= 1
        assert tuple(children) == merge.children
        data = b" ".join(child.data or b"-" for child in children.values())
        return ItemDone(merge.node, data, attempts=1, cost=7)


def said(number: int) -> ItemDone:
    """An item's answer."""
    return ItemDone(number, str(number).encode())


async def stream(*answers: ItemDone) -> AsyncIterator[ItemDone]:
    """Answers, one a turn of the loop."""
    for one in answers:
        await asyncio.sleep(0)
        yield one


# In one process -------------------------------------------------------------------------------------------------------


async def test_all_answers_reach_the_root_in_order() -> None:
    """Whatever order they come in, the root's text holds each item once, in order; the tree's depth is told."""
    numbers = Numbers()
    order = random.Random(4).sample(range(20), 20)
    grown = await grow(numbers.growing(), stream(*map(said, order)), numbers.merge, size=numbers.size, width=2)
    assert grown.root is not None
    assert grown.root.data.split() == [str(number).encode() for number in range(20)]
    assert (grown.depth, grown.merges, numbers.busiest) == (3, 10, 2)
    assert sum(done.cost for _, done in grown.nodes) == 7 * 10
    assert grown.nodes[-1][0].node == grown.root.item
    assert level_of(grown.root.item) == 3


async def test_failures_stay_in_their_place() -> None:
    """A failed item is among the children of its node; nodes whose children all failed have failed without a call."""
    numbers = Numbers()
    answers = [said(0), ItemDone(1, error="lost"), said(2), ItemDone(3, b"?")]
    grown = await grow(numbers.growing(), stream(*answers), numbers.merge, size=numbers.size, width=8)
    assert grown.root is not None
    assert grown.root.data == b"0 - 2 -"
    lost = await grow(
        GrowingTree(30),
        stream(*(ItemDone(n, error="lost") for n in range(9))),
        numbers.merge,
        size=lambda _: 10,
        width=1,
    )
    assert lost.root == ItemDone(node_id(1, 0, 9), error="all 9 parts failed: lost")
    assert lost.merges == 0


@pytest.mark.parametrize(("error", "told"), [(UnderstudyError("nobody"), "nobody"), (KeyError("x"), "KeyError: 'x'")])
async def test_a_merge_that_fails_is_a_failed_node(error: Exception, told: str) -> None:
    """An exception in a merge is that node's error; the rest is merged."""
    numbers = Numbers()

    async def merge(what: Merge, children: Mapping[int, ItemDone]) -> ItemDone:
        if what.node == node_id(1, 0, 3):
            raise error
        return await numbers.merge(what, children)

    grown = await grow(GrowingTree(30), stream(*map(said, range(6))), merge, size=numbers.size, width=8)
    assert grown.root is not None
    assert grown.root.data == b"- 3 4 5"
    assert [done.error for _, done in grown.nodes if done.error] == [told]


async def test_nothing_to_merge() -> None:
    """No items have no root; an item that never came is told."""
    numbers = Numbers()
    grown = await grow(GrowingTree(30), stream(), numbers.merge, size=numbers.size, width=1)
    assert (grown.root, grown.depth, grown.merges) == (None, 0, 0)
    with pytest.raises(UsageError, match="items 0 to 2 have no answer"):
        await grow(GrowingTree(30), stream(said(0), said(2)), numbers.merge, size=numbers.size, width=1)


async def test_cancelling_ends_all_merges() -> None:
    """When whoever waits for the root is cancelled, merges that run are cancelled and have ended."""
    began, ended = asyncio.Event(), []

    async def merge(what: Merge, _: Mapping[int, ItemDone]) -> ItemDone:
        began.set()
        try:
            return await asyncio.get_running_loop().create_future()  # type: ignore[no-any-return]
        finally:
            ended.append(what.node)

    numbers = Numbers()
    task = asyncio.create_task(grow(GrowingTree(30), stream(*map(said, range(9))), merge, size=numbers.size, width=2))
    await began.wait()
    for _ in range(20):
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert sorted(ended) == [node_id(1, 0, 3), node_id(1, 3, 6)]


async def test_a_merge_that_cancels_itself_is_a_failed_node() -> None:
    """A cancelled call inside a merge is that merge's failure: nobody waits for it forever."""

    async def merge(*_: Any) -> ItemDone:
        raise asyncio.CancelledError

    grown = await grow(GrowingTree(30), stream(said(0), said(1)), merge, size=lambda _: 10, width=1)
    assert grown.root is not None
    assert grown.root.error == "the merge was cancelled"


# In a Reducer ---------------------------------------------------------------------------------------------------------


class Shelf:
    """A post office that delivers nothing and keeps everything."""

    def __init__(self) -> None:
        self.told: list[Any] = []

    def tell(self, _: str, payload: Any, **__: Any) -> None:
        """Keeps what is said."""
        self.told.append(payload)

    def spawn(self, work: Any) -> None:
        """Nothing is done beside."""
        work.close()


def reducer(numbers: Numbers) -> tuple[Reducer, Shelf, Merging]:
    """A Reducer with an open job whose tree grows."""
    one, shelf = Reducer("reducer-0", "test"), Shelf()
    one.post = shelf  # type: ignore[assignment]
    spec = JobSpec("j", "", "m:C", b"", b"", reduces=True, grows=True, width=2)
    work = one._work["j"] = one._opened("home", spec, numbers, None)  # type: ignore[arg-type]
    assert isinstance(work.tree, GrownTree)
    return one, shelf, work.tree._merging


def tell(one: Reducer, message: Absorb | Sealed) -> None:
    """The Supervisor tells something."""
    one._absorb(Envelope("", "home", message), message)


async def test_a_reducer_tells_nodes_with_their_children_and_then_the_root() -> None:
    """Each node comes with what it merged, once; the last one as the root."""
    one, shelf, merging = reducer(Numbers())
    tell(one, Absorb("j", tuple(map(said, range(5)))))
    await merging.settled()
    assert [(m.done[0].item, m.children, m.root) for m in shelf.told] == [(node_id(1, 0, 3), ((0, 1, 2),), -1)]
    tell(one, Sealed("j", 5))
    await merging.settled()
    low, root = node_id(1, 3, 5), node_id(2, 0, 5)
    assert [(m.done[0].item, m.children, m.root) for m in shelf.told[1:]] == [
        (low, ((3, 4),), -1),
        (root, ((node_id(1, 0, 3), low),), root),
    ]
    assert shelf.told[-1].done[0].data == b"0 1 2 3 4"


async def test_a_successor_merges_only_what_was_not_merged() -> None:
    """A new Reducer that hears what is left goes on from there; a root that was told before is told as the root."""
    _, shelf, merging = reducer(Numbers())
    node = ItemDone(node_id(1, 0, 3), b"0 1 2", attempts=1, cost=7)
    one, shelf, merging = reducer(Numbers())
    tell(one, Absorb("j", (said(4), said(3)), (node,)))
    tell(one, Sealed("j", 5))
    await merging.settled()
    root = shelf.told[-1].done[0]
    assert ([m.done[0].item for m in shelf.told], root.data) == ([node_id(1, 3, 5), node_id(2, 0, 5)], b"0 1 2 3 4")
    one, shelf, merging = reducer(Numbers())
    tell(one, Absorb("j", (), (root,)))
    assert shelf.told == []
    tell(one, Sealed("j", 5))
    tell(one, Sealed("j", 5))
    free = ItemDone(root.item, root.data)
    assert shelf.told == [NodesDone("j", (free,), ((root.item,),), root=root.item)]


async def test_a_cancelled_job_merges_no_more() -> None:
    """Cancelling ends the merges; what comes later is for nobody."""
    one, shelf, merging = reducer(Numbers())
    tell(one, Absorb("j", tuple(map(said, range(9)))))
    one._cancel(Envelope("", "home", CancelJob("j")), CancelJob("j"))
    tell(one, Absorb("j", (said(9),)))
    await merging.settled()
    assert shelf.told == []
    assert items_of(9) == range(9, 10)
