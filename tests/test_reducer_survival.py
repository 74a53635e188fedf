"""Reducers across the death of their Supervisor: what is told twice counts once, and no node is told too seldom."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import msgspec
import pytest

from understudy.actors.interpreter import Memory
from understudy.actors.journal.testing import MemoryJournal
from understudy.actors.mailbox import persist
from understudy.actors.mailbox import telling as telling_module
from understudy.actors.mailbox.post import LocalPeers, Post
from understudy.actors.reducer.actor import Reducer
from understudy.actors.reducer.growing import GrowingTree, Merge, node_id
from understudy.protocols.config import Config, encode
from understudy.protocols.errors import ActorDied
from understudy.protocols.jobs import JobSpec
from understudy.protocols.messages import (
    Absorb,
    CancelJob,
    Held,
    HoldAsk,
    Holds,
    ItemDone,
    JobBroken,
    NodesDone,
    Payload,
    ReduceOpen,
    Sealed,
    Taken,
)

HOME = "supervisor-0"
DRAWN = ((), (), (0, 1), (), (2, 3))
LOADED: list["Sums"] = []


class Sums:
    """Leaves 0, 1 and 3 are answered by items of those numbers; a tree that grows merges three at once."""

    merged: ClassVar[list[int]] = []

    def __init__(self, spec: JobSpec) -> None:
        self.spec = spec
        self.memory: Memory | None = None
        LOADED.append(self)

    def remember(self, memory: Memory) -> None:
        """Where earlier answers are."""
        self.memory = memory

    async def map(self, number: int, item: bytes, caller: Any) -> ItemDone:
        """Nothing is mapped here."""
        raise NotImplementedError

    def tree(self) -> Sequence[Sequence[int]]:
        """A small one."""
        return DRAWN

    def leaves(self, done: ItemDone) -> Sequence[ItemDone]:
        """The item is its leaf."""
        return (done,)

    async def reduce(self, node: int, children: Mapping[int, ItemDone], caller: Any) -> ItemDone:
        """Their answers, joined."""
        assert caller is not None
        self.merged.append(node)
        return ItemDone(node, b"".join(child.data for child in children.values()), attempts=1)

    def growing(self) -> GrowingTree:
        """Three of ten tokens each."""
        return GrowingTree(30)

    def size(self, done: ItemDone) -> int:
        """Ten, whatever it is."""
        assert done.data
        return 10

    async def merge(self, merge: Merge, children: Mapping[int, ItemDone], caller: Any) -> ItemDone:
        """Their answers, joined."""
        return await self.reduce(merge.node, children, caller)


class LocalReducer(Reducer):
    """It is told what the job is in the process; not while `silent` is above 0, which counts down."""

    spec_of: JobSpec
    silent = 0

    async def _told_spec(self, home: str, job: str) -> bytes:
        assert (home, job) == (HOME, "j")
        self.silent -= 1
        if self.silent >= 0:
            raise ActorDied("it is dead")
        return msgspec.msgpack.encode(self.spec_of)


class World:
    """A Reducer and a Supervisor that writes down what it hears."""

    def __init__(self, **fields: Any) -> None:
        Sums.merged = []
        LOADED.clear()
        self.peers = LocalPeers()
        self.heard: list[NodesDone] = []
        self.broken: list[JobBroken] = []
        journal = MemoryJournal()
        self.reducer = LocalReducer("reducer-0", "test", journal=lambda: journal)
        settings: dict[str, Any] = {"journal": "ahead", "reduces": True, **fields}
        self.reducer.spec_of = JobSpec("j", "", "sums:Sums", b"", encode(Config()), **settings)
        self.peers._posts["reducer-0"] = self.reducer.post
        self.reducer.post._resolve = self.peers.resolve
        self.post: Post
        self.begin()

    def begin(self) -> None:
        """The Supervisor, or its successor."""
        self.post = self.peers.open(HOME)
        self.post.on(NodesDone, lambda _, message: self.heard.append(message))
        self.post.on(JobBroken, lambda _, message: self.broken.append(message))

    def tell(self, *payloads: Payload) -> None:
        """The Supervisor tells something."""
        for payload in payloads:
            self.post.tell("reducer-0", payload)

    async def settle(self) -> None:
        """Everything that follows without a clock has happened."""
        for _ in range(60):
            await asyncio.sleep(0)

    async def close(self) -> None:
        """Ends it."""
        await self.reducer.stop()
        await self.post.close()
        await self.settle()

    @property
    def nodes(self) -> list[int]:
        """Nodes that were told."""
        return [done.item for message in self.heard for done in message.done]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """No pause is longer than a turn of the loop, and the interpreter is found."""
    monkeypatch.setattr(persist, "_FIRST_PAUSE_S", 0.0)
    monkeypatch.setattr(telling_module, "RETELL_S", 0.01)
    monkeypatch.setattr(telling_module._Lives, "next", lambda _: 0)  # what is told is numbered from 1
    monkeypatch.setattr("understudy.actors.interpreter._imported", lambda _: Sums)


def said(number: int) -> ItemDone:
    """An item's answer."""
    return ItemDone(number, str(number).encode())


def everything() -> tuple[Payload, ...]:
    """What a Supervisor tells of a tree that was drawn before."""
    return ReduceOpen("j"), Absorb("j", tuple(map(said, (0, 1, 3)))), Sealed("j", 3)


async def test_a_drawn_tree_that_is_told_twice_is_merged_once() -> None:
    """A successor opens the tree anew, tells all answers and the end again: no node is merged or told again."""
    world = World()
    world.tell(*everything())
    await world.settle()
    world.tell(*everything())
    await world.settle()
    assert (Sums.merged, world.nodes, len(LOADED)) == ([2, 4], [2, 4], 1)
    assert [message.serial for message in world.heard] == [1, 2]
    assert world.heard[-1].done[0].data == b"013"
    await world.close()


async def test_a_tree_that_is_told_twice_while_it_is_opened() -> None:
    """Both tellings are taken when the job is known."""
    world = World()
    world.reducer.silent = 2
    world.tell(*everything(), *everything())
    await world.settle()
    assert (world.nodes, len(LOADED), world.broken) == ([2, 4], 1, [])
    await world.close()


async def test_a_tree_that_grows_is_told_twice_and_merged_once() -> None:
    """Also answers that a node has merged may be told again, and the total."""
    world = World(grows=True, width=2)
    items = Absorb("j", tuple(map(said, range(5))))
    world.tell(ReduceOpen("j"), items)
    await world.settle()
    world.tell(ReduceOpen("j"), items, Sealed("j", 5), Sealed("j", 5))
    await world.settle()
    world.tell(ReduceOpen("j"), items, Sealed("j", 5))
    await world.settle()
    assert world.nodes == [node_id(1, 0, 3), node_id(1, 3, 5), node_id(2, 0, 5)]
    assert [message.children for message in world.heard] == [((0, 1, 2),), ((3, 4),), (tuple(world.nodes[:2]),)]
    assert [message.root for message in world.heard] == [-1, -1, world.nodes[-1]]
    await world.close()


@pytest.mark.parametrize("grows", [False, True])
async def test_a_successor_is_told_of_all_that_was_not_taken(*, grows: bool) -> None:
    """Right behind the answer, with the old numbers and what each node has merged."""
    world = World(grows=grows)
    world.tell(ReduceOpen("j"), Absorb("j", tuple(map(said, (0, 1, 3) if not grows else range(5)))), Sealed("j", 5))
    await world.settle()
    before = [(one, children) for message in world.heard for one, children in _pairs(message)]
    world.tell(Taken("j", 1))
    await world.settle()
    world.heard.clear()
    holds = await world.post.ask("reducer-0", HoldAsk(("j",)), timeout=5.0)
    await world.settle()
    assert holds == Holds((Held("j", (), (), len(before)),))
    assert [(one, children) for message in world.heard for one, children in _pairs(message)] == before[1:]
    assert world.heard[-1].serial == len(before)
    world.heard.clear()
    world.tell(Taken("j", len(before)))
    await world.settle()
    await world.post.ask("reducer-0", HoldAsk(("j",)), timeout=5.0)
    await world.settle()
    assert world.heard == []
    await world.close()


def _pairs(message: NodesDone) -> list[tuple[ItemDone, tuple[int, ...]]]:
    return list(zip(message.done, message.children or ((),) * len(message.done), strict=True))


async def test_nodes_that_were_told_to_the_dead_are_told_again() -> None:
    """Merging goes on while the Supervisor is gone, and what was told in vain is told until it is heard."""
    world = World()
    world.tell(ReduceOpen("j"), Absorb("j", (said(0),)))
    await world.settle()
    world.peers.kill(HOME)
    late = world.peers.open("late")
    late.tell("reducer-0", Absorb("j", (said(1), said(3))))
    await world.settle()
    world.begin()
    for _ in range(100):
        await asyncio.sleep(0.001)
    assert sorted(set(world.nodes)) == [2, 4]
    assert Sums.merged == [2, 4]
    await world.close()


async def test_other_jobs_are_dropped_and_may_begin_anew() -> None:
    """A tree of which the successor knows nothing is let go; one that is opened after its cancelling is a new one."""
    world = World()
    world.tell(*everything())
    await world.settle()
    assert await world.post.ask("reducer-0", HoldAsk(()), timeout=5.0) == Holds()
    assert world.reducer._work == {}
    world.tell(*everything(), CancelJob("j"), *everything())
    await world.settle()
    assert (world.nodes, len(LOADED)) == ([2, 4, 2, 4], 3)
    await world.close()


@pytest.mark.parametrize(("fields", "told"), [({}, True), ({"fresh": True}, False), ({"journal": "off"}, False)])
async def test_who_remembers_is_told_where(fields: dict[str, Any], *, told: bool) -> None:
    """Unless the job is to be fresh, or is not journaled; then nodes have no number and are forgotten."""
    world = World(**fields)
    world.tell(*everything())
    await world.settle()
    assert (LOADED[0].memory is not None) == told
    kept = fields.get("journal") != "off"
    assert [message.serial for message in world.heard] == ([1, 2] if kept else [0, 0])
    assert len(world.reducer._work["j"].telling.untaken) == (2 if kept else 0)
    await world.close()
