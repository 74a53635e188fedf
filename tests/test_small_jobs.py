"""Jobs that are one small block: they travel whole, and many are read from the Journal by few questions."""

from collections import Counter
from collections.abc import AsyncIterator, Sequence
from typing import Any

import msgspec
import pytest
from job_world import ITEMS, JobWorld, Reference
from mapper_world import Steady, World

from understudy.actors.journal.testing import MemoryJournal
from understudy.actors.mapper.blocks import pack_block
from understudy.actors.mapper.testing import Items
from understudy.protocols.config import Config, encode
from understudy.protocols.jobs import JobSpec
from understudy.protocols.journal import Append, BlockRow, JobRow, NoteRow, SpecRow
from understudy.protocols.messages import JobEnded, Slice, StartJobs
from understudy.supervisors.supervisor.job import SMALL_BYTES


class CountingJournal(MemoryJournal):
    """It counts what is asked of it."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: Counter[str] = Counter()

    def __getattribute__(self, name: str) -> Any:
        if name in ("jobs", "spec", "specs", "blocks", "blocks_of", "block", "notes", "answers", "begun"):
            self.asked[name] += 1
        return super().__getattribute__(name)


@pytest.fixture
async def world() -> AsyncIterator[JobWorld]:
    """A Supervisor with two Mappers and a Journal that counts."""
    Items.reset()
    async with JobWorld(journal=CountingJournal()) as one:
        yield one


def fetched(world: JobWorld) -> Counter[str]:
    """Counts what Mappers fetch from the Supervisor from now on."""
    count: Counter[str] = Counter()
    spec, block = world.supervisor.spec, world.supervisor.block

    async def counted_spec(job: str) -> bytes:
        count["spec"] += 1
        return await spec(job)

    async def counted_block(job: str, number: int) -> list[Any]:
        count["block"] += 1
        return await block(job, number)

    world.supervisor.spec = counted_spec  # type: ignore[method-assign]
    world.supervisor.block = counted_block  # type: ignore[method-assign]
    return count


def rows(job: str, orders: Sequence[Any], *, blocks: int = 1) -> Append:
    """What the Director writes of a job whose turn it is."""
    spec = JobSpec(job, "a job", ITEMS, b"", encode(Config()), journal="ahead", keep=False)
    packed = [msgspec.msgpack.encode(order) for order in orders]
    return Append(
        jobs=(JobRow(job, "open", "here", attempt=1, attempts=3),),
        specs=(SpecRow(job, msgspec.msgpack.encode(spec)),),
        blocks=tuple(
            BlockRow(job, number, len(packed), pack_block(number * len(packed), packed)) for number in range(blocks)
        ),
        notes=(NoteRow(job, 0, 0, "sealed"),),
    )


async def started(world: JobWorld, *appends: Append) -> list[JobEnded]:
    """Jobs are begun from the queue; how they ended."""
    ended: list[JobEnded] = []
    world.peers.open("director").on(JobEnded, lambda _, told: ended.append(told))
    for one in appends:
        world.journal.write(one)
    world.supervisor._mappers = set(world.mappers)
    world.supervisor._start_jobs(None, StartJobs(tuple(one.jobs[0].id for one in appends)))  # type: ignore[arg-type]
    await world.until(lambda: len(ended) == len(appends))
    return ended


async def test_many_small_jobs_are_three_questions(world: JobWorld) -> None:
    """However many begin together, the Journal is asked three times, and Mappers fetch nothing."""
    count = fetched(world)
    ended = await started(world, *(rows(f"q{number}", [["say", number]]) for number in range(50)))
    assert {one.state for one in ended} == {"done"}
    assert isinstance(world.journal, CountingJournal)
    assert world.journal.asked == {"jobs": 1, "specs": 1, "blocks_of": 1}
    assert not count


async def test_larger_jobs_are_fetched(world: JobWorld) -> None:
    """A job of several blocks, or of one that is not small, is not sent whole; its items are all answered."""
    count = fetched(world)
    large = rows("large", [["say", "x" * SMALL_BYTES]])
    ended = await started(world, rows("two", [["say", 1]] * 3, blocks=2), large)
    assert {(one.job, one.state, one.failed) for one in ended} == {("two", "done", 0), ("large", "done", 0)}
    assert count["block"] >= 3
    assert count["spec"] >= 2


async def test_an_item_that_is_tried_again_travels_too(world: JobWorld) -> None:
    """The second attempt fetches nothing either, though its block was done."""
    [first] = await started(world, rows("q", [["boom"], ["say", 1]]))
    assert (first.state, first.failed) == ("done", 1)
    count, Items.mended = fetched(world), True
    job = msgspec.structs.replace(rows("q", []).jobs[0], attempt=2, total=2, cursor=2)
    [second] = await started(world, Append(jobs=(job,)))
    assert (second.failed, sorted(Items.ran)) == (0, [(0, "map"), (0, "map"), (1, "map")])
    assert not count


@pytest.mark.parametrize("size", [10, SMALL_BYTES])
async def test_a_small_block_is_held_by_itself(world: JobWorld, size: int) -> None:
    """One that is larger goes into the object store; either is given to who fetches it."""
    await world.open("j", width=1)
    await world.add("j", 0, [["hang"], ["say", "x" * size]])
    await world.add("j", 2, [["say", 1]])
    [small] = await world.supervisor.block("j", 0)
    assert isinstance(small, bytes if size == 10 else Reference)


async def test_jobs_that_begin_together_ask_for_actors_once(world: JobWorld) -> None:
    """Those of one configuration wait for one answer; after a failure the next asks anew."""
    asked = 0
    ensure = world.supervisor._ensure_actors

    async def counted(ask: bytes) -> bytes:
        nonlocal asked
        asked += 1
        if asked == 1:
            raise RuntimeError("the Director is not there")
        return await ensure(ask)

    world.supervisor._ensure_actors = counted
    ended = await started(world, *(rows(f"a{number}", [["say", 1]]) for number in range(5)))
    assert [(one.state, one.error) for one in ended] == [("failed", "the Director is not there")] * 5
    await started(world, *(rows(f"b{number}", [["say", 1]]) for number in range(5)))
    assert asked == 2


async def test_jobs_of_one_item_are_shared_out(world: JobWorld) -> None:
    """Each begins with another Mapper: none is given them all."""
    given: Counter[str] = Counter()
    tell = world.supervisor.post.tell

    def told(to: str, payload: Any, **fields: Any) -> str:
        given[to] += isinstance(payload, Slice)
        return tell(to, payload, **fields)

    world.supervisor.post.tell = told  # type: ignore[method-assign]
    await started(world, *(rows(f"q{number}", [["say", 1]]) for number in range(10)))
    assert (given["mapper-0"], given["mapper-1"]) == (5, 5)


# At a Mapper ----------------------------------------------------------------------------------------------------------


async def test_what_came_along_is_not_fetched() -> None:
    """A Mapper works on a slice that has all it needs while its Supervisor can't be asked."""
    Steady.gates, Steady.begun = {}, []
    world = World([b"!", b"!"])
    piece = Slice("j", 0, 0, 2, spec=await world.home.spec("j"), data=world.home._blocks[0])
    world.home.gone = True
    world.home.tell(piece)
    await world.until(lambda: world.home.items == [0, 1])
    await world.close()


async def test_a_block_that_cant_be_read_is_fetched() -> None:
    """What came along is no block: the Supervisor's own is taken."""
    Steady.gates, Steady.begun = {}, []
    world = World([b"!", b"!"])
    world.home.tell(Slice("j", 0, 0, 2, data=b"\xc1"))
    await world.until(lambda: world.home.items == [0, 1])
    await world.close()
