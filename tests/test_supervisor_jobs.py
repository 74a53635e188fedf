"""Supervisor and Mappers together, without Ray: back-pressure, items that wait for people, child jobs, events."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest
from job_world import JobWorld

from understudy.actors.mapper.testing import Items
from understudy.protocols.errors import UnderstudyError, UsageError
from understudy.protocols.jobs import JobStatus, Page, Verdict, Waiting
from understudy.supervisors.supervisor import log as log_module
from understudy.supervisors.supervisor.core import BLOCKS_WAITING


@pytest.fixture
async def world() -> AsyncIterator[JobWorld]:
    """A Supervisor with two Mappers."""
    Items.reset()
    async with JobWorld() as one:
        yield one


def verdict(note: str = "") -> bytes:
    """An approval."""
    return msgspec.msgpack.encode(Verdict(approved=True, note=note))


async def approvals(world: JobWorld) -> list[Waiting]:
    """What waits for people."""
    return msgspec.msgpack.decode(await world.supervisor.approvals(), type=list[Waiting])


async def answers(world: JobWorld, job: str) -> tuple[dict[int, Any], Page]:
    """All answers of a job when it is over, by item, and the last page."""
    found: dict[int, Any] = {}
    async for page in world.pages(job):
        found |= {one.item: one.error or msgspec.msgpack.decode(one.data) for one in page.items}
    return found, page


# Flat memory and back-pressure ----------------------------------------------------------------------------------------


async def test_answers_that_were_read_are_let_go(world: JobWorld) -> None:
    """A job that keeps nothing has neither answers nor blocks when it is read to its end, and its cursors go on."""
    await world.open("j", keep=False)

    async def drive() -> None:
        for block in range(50):
            assert await world.add("j", block * 20, [["say", block * 20 + one] for one in range(20)])
        await world.supervisor.seal("j")

    driving = asyncio.create_task(drive())
    found, last = await answers(world, "j")
    await driving
    assert found == {item: [item] for item in range(1000)}
    assert (last.state, last.cursor, last.done) == ("done", 1000, 1000)
    job = world.supervisor._jobs["j"]
    await world.supervisor.follow("j", 1000)
    assert (len(job.log), job.blocks) == (0, {})
    with pytest.raises(UnderstudyError, match="answers before 1000 were read and let go"):
        await world.supervisor.follow("j", 0)


async def test_who_does_not_read_is_asked_nothing_more(world: JobWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """Unread answers stop the handing out, waiting blocks stop the driver; reading lets both go on to the end."""
    monkeypatch.setattr(log_module, "UNREAD_MOST", 30)
    await world.open("j", keep=False, width=2)
    blocks = 60

    async def drive() -> None:
        for block in range(blocks):
            await world.add("j", block * 5, [["say", ""]] * 5)
        await world.supervisor.seal("j")

    driving = asyncio.create_task(drive())
    job = world.supervisor._jobs["j"]
    await world.until(lambda: job.log.full and not job.core.running)
    assert not driving.done()
    assert len(job.log) <= 30 + 2 * 2 * 4
    assert len(job.core.book.waiting) == BLOCKS_WAITING
    found, last = await answers(world, "j")
    await driving
    assert (len(found), last.state) == (blocks * 5, "done")


@pytest.mark.parametrize("end", ["cancel", "fail"])
async def test_an_end_releases_a_driver_that_waits_for_room(end: str) -> None:
    """A driver that waits since there is no Mapper is told that the job is over, whatever ended it."""
    async with JobWorld(mappers=0) as world:
        await world.open("j", keep=False)
        for block in range(BLOCKS_WAITING):
            assert await world.add("j", block, [["say"]])
        waiting = asyncio.create_task(world.add("j", BLOCKS_WAITING, [["say"]]))
        await asyncio.sleep(0)
        assert not waiting.done()
        if end == "cancel":
            await world.supervisor.cancel("j")
        else:
            job = world.supervisor._jobs["j"]
            job.core.fail("broken")
            world.supervisor._end(job)
        assert not await waiting


# People ---------------------------------------------------------------------------------------------------------------


async def test_an_item_waits_for_people_and_goes_on(world: JobWorld) -> None:
    """It is listed, costs nobody's time, and goes on with what it had finished when its last question is answered."""
    await world.open("j")
    await world.add("j", 0, [["ask", ["run/1", "run/2"]], ["say", "x"]])
    await world.supervisor.seal("j")
    core = world.supervisor._jobs["j"].core
    await world.until(lambda: core.state == "waiting")
    assert (core.running, core.done, core.bill.cost) == (0, 1, 3)
    [one] = await approvals(world)
    assert (one.job, one.item, [ask.path for ask in one.asks]) == ("j", 0, ["run/1", "run/2"])
    [status] = msgspec.msgpack.decode(await world.supervisor.jobs(), type=list[JobStatus])
    assert (status.state, status.parked) == ("waiting", 1)
    assert not await world.supervisor.answer("j", -1, "run/2", verdict())
    [one] = await approvals(world)
    assert [ask.path for ask in one.asks] == ["run/1"]
    assert await world.supervisor.answer("j", 0, "", verdict())
    assert core.state == "running"
    found, last = await answers(world, "j")
    assert found == {0: ["begun", "run/1", "run/2"], 1: ["x"]}
    assert (last.state, last.bill.cost, last.bill.attempts) == ("done", 4, 3)
    assert Items.ran.count((0, "map")) == Items.ran.count((0, "resume")) == 1
    assert await approvals(world) == []


async def test_it_may_ask_again(world: JobWorld) -> None:
    """What had been finished when it asked last goes with it."""
    await world.open("j")
    await world.add("j", 0, [["ask", ["first"]]])
    await world.supervisor.seal("j")
    core = world.supervisor._jobs["j"].core
    await world.until(lambda: core.state == "waiting")
    assert await world.supervisor.answer("j", -1, "", verdict("again"))
    await world.until(lambda: core.state == "waiting")
    assert await world.supervisor.answer("j", -1, "later", verdict())
    found, _ = await answers(world, "j")
    assert found == {0: ["begun+", "later"]}


async def test_a_mapper_that_dies_takes_no_verdict_with_it(world: JobWorld) -> None:
    """An item that went on is given to another Mapper with the same state; people are asked nothing twice."""
    await world.open("j", width=1)
    await world.add("j", 0, [["ask", ["first"]]] * 2)
    await world.supervisor.seal("j")
    await world.until(lambda: world.supervisor._jobs["j"].core.state == "waiting")
    for item in range(2):
        await world.supervisor.answer("j", item, "", verdict("hang mapper-0"))
    await world.until(lambda: Items.hanging == 1)
    await world.kill("mapper-0")
    found, last = await answers(world, "j")
    assert found == {item: ["begun", "first"] for item in range(2)}
    assert sorted(Items.ran).count((0, "map")) == sorted(Items.ran).count((1, "map")) == 1
    assert (len(Items.ran), last.state) == (5, "done")


async def test_an_interpreter_that_can_not_go_on_fails_by_name(world: JobWorld) -> None:
    """An item that parked although nobody can resume it has an error that says so."""
    await world.open("j", interpreter="understudy.actors.mapper.testing:Plain")
    await world.add("j", 0, [["ask", ["first"]]])
    await world.supervisor.seal("j")
    await world.until(lambda: world.supervisor._jobs["j"].core.state == "waiting")
    await world.supervisor.answer("j", -1, "", verdict())
    found, _ = await answers(world, "j")
    assert found == {0: "understudy.actors.mapper.testing:Plain can't go on with what was parked: no `resume`"}


async def test_an_answer_to_nobody_says_who_waits(world: JobWorld) -> None:
    """Wrong jobs, items and steps are refused by what could have been meant."""
    await world.open("j")
    await world.add("j", 0, [["ask", ["a", "b"]], ["ask", ["c"]]])
    await world.supervisor.seal("j")
    await world.until(lambda: world.supervisor._jobs["j"].core.state == "waiting")
    answer = world.supervisor.answer
    for job, item, path, text in [
        ("k", -1, "", "job 'k' waits for nobody; waiting are j"),
        ("j", -1, "", "name the item: waiting are 0, 1"),
        ("j", 7, "", "item 7 waits for nobody; waiting are 0, 1"),
        ("j", 0, "", "name the step of item 0: waiting are a, b"),
        ("j", 0, "x", "step 'x' of item 0 waits for nobody: waiting are a, b"),
    ]:
        with pytest.raises(UsageError) as refused:
            await answer(job, item, path, verdict())
        assert str(refused.value) == text
    await world.supervisor.cancel("j")
    with pytest.raises(UsageError, match="job 'j' waits for nobody; no job does"):
        await answer("j", 0, "a", verdict())
    assert await approvals(world) == []


# Child jobs -----------------------------------------------------------------------------------------------------------


async def test_an_item_drives_a_job_of_its_own(world: JobWorld) -> None:
    """Its items are worked on by all Mappers; it is forgotten with its last page, and counts on no day."""
    await world.open("j", tenant="t")
    await world.add("j", 0, [["child", [["say", one] for one in range(100)]], ["say", "x"]])
    await world.supervisor.seal("j")
    found, last = await answers(world, "j")
    assert found == {0: ["done", [[one] for one in range(100)]], 1: ["x"]}
    assert last.state == "done"
    assert list(world.supervisor._jobs) == ["j"]
    assert world.supervisor._spending.tenants(day=world.supervisor._jobs["j"].core._day) == {"t": 1}


async def test_a_child_ends_with_its_parent(world: JobWorld) -> None:
    """A cancelled job takes what works for it along, on all Mappers."""
    await world.open("j")
    await world.add("j", 0, [["child", [["hang"]] * 8]])
    await world.until(lambda: Items.hanging == 8)
    statuses = msgspec.msgpack.decode(await world.supervisor.jobs(), type=list[JobStatus])
    assert {one.id: one.parent for one in statuses} == {"j": "", "j.0": "j"}
    await world.supervisor.cancel("j")
    await world.until(lambda: Items.hanging == 0)
    assert list(world.supervisor._jobs) == ["j"]


async def test_a_child_ends_with_the_mapper_that_drives_it(world: JobWorld) -> None:
    """Its item is given to another Mapper, which begins the child anew; nothing of the first is left."""
    await world.open("j", width=1)
    await world.add("j", 0, [["child", [["hang"], ["say", 1]]]])
    await world.until(lambda: Items.hanging == 1)
    driver = world.supervisor._jobs["j.0"].driver
    await world.kill(driver)
    await world.until(lambda: Items.hanging == 1 and "j.0" in world.supervisor._jobs)
    assert world.supervisor._jobs["j.0"].driver != driver


async def test_a_child_needs_a_living_parent(world: JobWorld) -> None:
    """Nothing begins for a job that is over."""
    spec = await world.open("j")
    await world.supervisor.cancel("j")
    child = msgspec.msgpack.encode(msgspec.structs.replace(spec, id="c", parent="j"))
    with pytest.raises(UnderstudyError, match="the job j is over: nothing can work for it"):
        await world.supervisor.open_child(child, "mapper-0", 0)


# Events ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("watch", [True, False])
async def test_steps_are_told_to_who_watches(world: JobWorld, *, watch: bool) -> None:
    """Each event comes once, in order, before the job is told to be over; nobody is told where nobody watches."""
    await world.open("j", watch=watch)
    await world.add("j", 0, [["step"]] * 40)
    await world.supervisor.seal("j")
    told = [(one.item, one.state) async for page in world.pages("j", heard=0) for one in page.events]
    assert sorted(told) == ([(item, state) for item in range(40) for state in ("began", "done")] if watch else [])
    assert all(told.index((item, "began")) < told.index((item, "done")) for item, _ in told)
