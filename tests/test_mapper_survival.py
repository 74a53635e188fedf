"""Mappers across the deaths of others: what they keep, what they tell again, and what they run no second time."""

import asyncio
from collections.abc import Sequence
from typing import Any

import msgspec
import pytest
from mapper_world import HOME, Steady, World

from understudy.actors.mailbox import persist
from understudy.actors.mailbox import telling as telling_module
from understudy.actors.mapper import begun as begun_module
from understudy.protocols.envelope import Envelope, pack
from understudy.protocols.errors import JournalError
from understudy.protocols.journal import Append, StepRow
from understudy.protocols.messages import CancelJob, Down, Held, Holds, Slice, Taken


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """No pause is longer than a turn of the loop; nothing is left of an earlier test."""
    monkeypatch.setattr(persist, "_FIRST_PAUSE_S", 0.001)
    monkeypatch.setattr(begun_module, "_PAUSE_S", 0.001)
    monkeypatch.setattr(telling_module, "RETELL_S", 0.01)
    monkeypatch.setattr(telling_module._Lives, "next", lambda _: 0)  # what is told is numbered from 1
    Steady.gates, Steady.begun, Steady.memories = {}, [], []


async def test_answers_stay_until_they_are_taken() -> None:
    """They are told once, and a successor is told those that were not taken, with the items that are in hand."""
    world = World([b"!", b"!", b"", b""])
    world.home.tell(Slice("j", 0, 0, 4))
    await world.until(lambda: len(world.home.items) == 2)
    assert world.home.heard[-1].serial == 2
    world.home.tell(Taken("j", 1))
    holds = await world.home.hold("j")
    assert isinstance(holds, Holds)
    [held] = holds.held
    assert (sorted(held.items), [done.item for done in held.done], held.serial) == ([2, 3], [1], 2)
    world.home.tell(Taken("j", 9))
    assert await world.home.hold("j") == Holds((Held("j", held.items, (), 2),))
    await world.close()


async def test_work_goes_on_while_the_supervisor_is_gone() -> None:
    """Nothing is cancelled or lost by its death: what is answered meanwhile is told to its successor, once."""
    world = World([b"!"] * 3 + [b""] * 2)
    world.home.tell(Slice("j", 0, 0, 5))
    await world.until(lambda: len(world.home.items) == 3)
    world.home.tell(Taken("j", 2))
    await world.home.post.drain()
    world.home.die()
    world.peers._posts["mapper-0"].receive(pack([Envelope("d-1", "director", Down(HOME, restarting=True))]))
    Steady.gates[3].set()
    await world.until(lambda: world.mapper._core.held("j") == 1)
    world.home.begin()
    world.home.heard.clear()
    holds = await world.home.hold("j")
    assert isinstance(holds, Holds)
    [held] = holds.held
    assert (held.items, [done.item for done in held.done], held.serial) == ((4,), [2, 3], 4)
    Steady.gates[4].set()
    await world.until(lambda: 4 in world.home.items)
    assert Steady.begun == [0, 1, 2, 3, 4]
    assert {results.serial for results in world.home.heard if 4 in [done.item for done in results.done]} == {5}
    await world.close()


async def test_a_delivery_that_failed_is_repeated() -> None:
    """Results that the Supervisor never got are told again though it lives, until they are taken."""
    world = World([b""] * 2)
    world.home.tell(Slice("j", 0, 0, 2))
    await world.until(lambda: len(Steady.begun) == 2)
    world.peers.kill(HOME)  # what is said to it is lost
    for gate in Steady.gates.values():
        gate.set()
    await world.until(lambda: not world.mapper._core.held("j"))
    world.home.begin()
    await world.until(lambda: sorted(set(world.home.items)) == [0, 1])
    await world.close()


async def test_other_jobs_of_the_supervisor_are_dropped() -> None:
    """A successor that knows nothing of a job has its work ended."""
    world = World([b""] * 2)
    world.home.tell(Slice("j", 0, 0, 2))
    await world.until(lambda: len(Steady.begun) == 2)
    assert await world.home.hold("k") == Holds()
    assert (world.mapper._work, world.mapper._core.held("j")) == ({}, 0)
    await world.close()


async def test_a_job_without_a_journal_keeps_nothing() -> None:
    """Its answers are told, without a number, and forgotten."""
    world = World([b"!"] * 2, journal="off")
    world.home.tell(Slice("j", 0, 0, 2))
    await world.until(lambda: len(world.home.items) == 2)
    assert {results.serial for results in world.home.heard} == {0}
    assert msgspec.msgpack.decode(world.home.heard[0].done[0].data) is None
    assert await world.home.hold("j") == Holds((Held("j", (), (), 2),))
    await world.close()


async def test_what_nobody_could_fetch_yet_is_given_up() -> None:
    """Items of a block that is not here have no number: they are not held, not run, and may be handed out again."""
    world = World([b""], [b"!"] * 2)
    world.home.tell(Slice("j", 0, 0, 1))
    await world.until(lambda: Steady.begun == [0])
    world.home.gone = True
    world.home.tell(Slice("j", 1, 0, 2))
    await world.until(lambda: world.mapper._core.held("j") == 3)
    holds = await world.home.hold("j")
    assert isinstance(holds, Holds)
    assert holds.held[0].items == (0,)
    world.home.gone = False
    world.home.tell(Slice("j", 1, 1, 2))
    await world.until(lambda: 2 in world.home.items)
    assert Steady.begun == [0, 2]
    await world.close()


async def test_a_job_is_opened_though_its_supervisor_dies_meanwhile() -> None:
    """What a dead Supervisor does not say, its successor does."""
    world = World([b"!"])
    world.home.gone = True
    world.home.tell(Slice("j", 0, 0, 1))
    for _ in range(5):
        await asyncio.sleep(0.001)
    world.home.gone = False
    await world.until(lambda: world.home.items == [0])
    await world.close()


async def test_items_that_were_begun_go_on_with_their_steps() -> None:
    """Their steps are read in one call, those of others not; a parked one that goes on has its own, too."""
    world = World([b"!"] * 4)
    rows = (StepRow("j", 1, 0, "run/0", b"h", b"old"), StepRow("j", 2, 2, "run/0", b"h", b"new"))
    world.journal.write(Append(steps=rows))
    asked: list[list[int]] = []
    steps = world.journal.steps

    async def counted(job: str, items: Sequence[int]) -> list[StepRow]:
        asked.append(list(items))
        return await steps(job, items)

    world.journal.steps = counted  # type: ignore[method-assign]
    world.home.tell(Slice("j", 0, 0, 4, states={3: b"memo"}, eras={1: 0, 2: 2, 3: 1}))
    await world.until(lambda: len(world.home.items) == 4)
    found = {done.item: msgspec.msgpack.decode(done.data) for results in world.home.heard for done in results.done}
    assert found == {0: [0, False, b""], 1: [0, True, b"old"], 2: [2, True, b"new"], 3: [1, True, b"memo"]}
    assert sorted(item for items in asked for item in items) == [1, 2, 3]
    await world.close()


async def test_steps_that_wait_are_read_together() -> None:
    """Of a slice of items that were begun before, one call reads all that wait."""
    world = World([b"!"] * 100, width=1)
    calls = 0
    steps = world.journal.steps

    async def counted(job: str, items: Sequence[int]) -> list[StepRow]:
        nonlocal calls
        calls += 1
        return await steps(job, items)

    world.journal.steps = counted  # type: ignore[method-assign]
    world.home.tell(Slice("j", 0, 0, 100, eras=dict.fromkeys(range(100), 0)))
    await world.until(lambda: len(world.home.items) == 100)
    assert calls == 1
    await world.close()


async def test_items_wait_while_the_journal_can_not_be_read() -> None:
    """Nothing is run twice for that; where it can never be read the item fails by its cause."""
    world = World([b"!"] * 2)
    world.journal.stop("the disk is gone")
    world.home.tell(Slice("j", 0, 0, 1, eras={0: 0}))
    for _ in range(20):
        await asyncio.sleep(0.001)
    assert Steady.begun == []
    world.journal.go()
    await world.until(lambda: world.home.items == [0])

    async def broken(job: str, items: Sequence[int]) -> list[StepRow]:
        raise JournalError(f"{job} is no journal, nor are its items {items}")

    world.journal.steps = broken  # type: ignore[method-assign]
    world.home.tell(Slice("j", 0, 1, 2, eras={1: 0}))
    await world.until(lambda: len(world.home.items) == 2)
    assert world.home.heard[-1].done[0].error == "j is no journal, nor are its items [1]"
    await world.close()


@pytest.mark.parametrize(
    ("fields", "told"), [({}, 1), ({"journal": "behind"}, 1), ({"fresh": True}, 0), ({"journal": "off"}, 0)]
)
async def test_who_remembers_is_told_where(fields: dict[str, Any], told: int) -> None:
    """Unless the job is to be fresh, or is not journaled."""
    world = World([b"!"], **fields)
    world.home.tell(Slice("j", 0, 0, 1))
    await world.until(lambda: world.home.items == [0])
    assert len(Steady.memories) == told
    world.home.tell(CancelJob("j"))
    await world.until(lambda: not world.mapper._work)
    await world.close()
