"""Journaled jobs: nothing is acted on before it is written, and nothing is lost or counted twice whoever dies."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import msgspec
import pytest
from job_world import ITEMS, JobWorld

from understudy.actors.mailbox.untaken import LIFE_BITS
from understudy.actors.mapper.child import ChildJob
from understudy.actors.mapper.testing import Items
from understudy.actors.reducer.growing import node_id
from understudy.protocols.config import Config, encode
from understudy.protocols.envelope import Envelope
from understudy.protocols.errors import JournalError, MailboxFull, UnderstudyError, UsageError
from understudy.protocols.jobs import JobSpec, Page, Verdict, Waiting
from understudy.protocols.journal import Append, BlockRow, JobRow, JobsAsk, NoteRow, SpecRow
from understudy.protocols.messages import (
    Absorb,
    CancelJob,
    HoldAsk,
    Holds,
    ItemDone,
    JobEnded,
    NodesDone,
    ReduceOpen,
    Results,
    Sealed,
    StartJobs,
    Taken,
)
from understudy.supervisors.supervisor import living as living_module
from understudy.supervisors.supervisor import log as log_module
from understudy.supervisors.supervisor import pumping as pumping_module
from understudy.supervisors.supervisor.job import Job
from understudy.supervisors.supervisor.paper import PATIENT_BYTES, Paper
from understudy.supervisors.supervisor.unmerged import Unmerged


@pytest.fixture
async def world() -> AsyncIterator[JobWorld]:
    """A Supervisor with two Mappers and a Journal."""
    Items.reset()
    async with JobWorld() as one:
        yield one


async def begin(world: JobWorld, job: str, orders: list[Any], **fields: Any) -> None:
    """A sealed job of one block that is written ahead."""
    await world.open(job, **({"journal": "ahead"} | fields))
    await world.add(job, 0, orders)
    await world.supervisor.seal(job)


async def answers(world: JobWorld, job: str) -> tuple[dict[int, Any], Page]:
    """All answers of a job when it is over, by item, and the last page."""
    found: dict[int, Any] = {}
    async for page in world.pages(job):
        found |= {one.item: one.error or msgspec.msgpack.decode(one.data) for one in page.items}
    return found, page


async def row(world: JobWorld, job: str) -> JobRow:
    """The job as the Journal has it."""
    [found] = await world.journal.jobs(JobsAsk(ids=(job,)))
    return found


async def approvals(world: JobWorld) -> list[Waiting]:
    """What waits for people."""
    return msgspec.msgpack.decode(await world.supervisor.approvals(), type=list[Waiting])


def verdict(note: str = "") -> bytes:
    """An approval."""
    return msgspec.msgpack.encode(Verdict(approved=True, note=note))


# Written before acted on ----------------------------------------------------------------------------------------------


async def test_a_job_is_written_and_then_over(world: JobWorld) -> None:
    """What its reader was told is in the Journal, place by place; its last row says that it is done."""
    await begin(world, "j", [["say", one] for one in range(50)])
    found, last = await answers(world, "j")
    rows = await world.journal.answers("j")
    assert found == {item: [item] for item in range(50)}
    assert [one.place for one in rows] == list(range(50))
    assert (last.state, last.cursor, (await row(world, "j")).state) == ("done", 50, "done")
    assert await world.journal.values("supervisor/heard/") == {}


async def test_nothing_is_shown_before_it_is_written(world: JobWorld) -> None:
    """While the Journal holds, work goes on, but readers see nothing and the job is not over."""
    await begin(world, "j", [["say", one] for one in range(5)])
    world.journal.hold.clear()
    job = world.supervisor._jobs["j"]
    await world.until(lambda: job.core.done == 5)
    page = msgspec.msgpack.decode(await world.supervisor.follow("j", 0), type=Page)
    assert (page.items, page.state) == ((), "running")
    world.journal.hold.set()
    found, last = await answers(world, "j")
    assert (len(found), last.state) == (5, "done")


async def test_answers_wait_for_those_that_are_on_their_way(world: JobWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are written together; at once when somebody waits for what was said."""
    monkeypatch.setattr(pumping_module, "PACE_S", 60.0)
    await begin(world, "j", [["hang"], *(["say", one] for one in range(20))])
    job = world.supervisor._jobs["j"]
    await world.until(lambda: job.core.done == 20)
    assert (job.log.end, await world.journal.answers("j")) == (0, [])
    before = len(world.journal.appended)
    await world.supervisor._safe(job)
    assert (job.log.end, len(world.journal.appended) - before) == (20, 1)


async def test_the_last_answers_wait_for_nothing(world: JobWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """A job is over as soon as it is, and so is one that is cancelled while answers wait; people are asked at once."""
    monkeypatch.setattr(pumping_module, "PACE_S", 60.0)
    await begin(world, "done", [["say", one] for one in range(50)])
    assert (await answers(world, "done"))[1].state == "done"
    await begin(world, "asks", [["hang"], ["ask", ["a"]]])
    await world.until(lambda: len(world.supervisor._jobs["asks"].core.parking) == 1)
    await world.until(lambda: not world.supervisor._jobs["asks"].unsafe)
    await begin(world, "stops", [["hang"], ["say", 1]])
    await world.until(lambda: world.supervisor._jobs["stops"].core.done == 1)
    await world.supervisor.cancel("stops")
    assert [len(await world.journal.answers(one)) for one in ("done", "asks", "stops")] == [50, 0, 1]


def test_only_few_answers_of_items_are_patient() -> None:
    """Whatever else is to be written hurries, until it was taken; so do many bytes."""
    row = JobRow("j", "running")

    def patient(say: Callable[[Paper], None]) -> bool:
        paper = Paper(row)
        paper.answer(ItemDone(0))
        assert paper.patient
        say(paper)
        found = paper.patient
        paper.cut(row, {})
        assert paper.patient
        return found

    assert patient(lambda paper: paper.then(lambda: None))
    assert not patient(lambda paper: paper.then(lambda: None, hurries=True))
    assert not patient(lambda paper: paper.answer(ItemDone(1, b"x" * PATIENT_BYTES)))
    assert not patient(lambda paper: paper.answer(ItemDone(1), node=True))
    assert not patient(lambda paper: paper.note("sealed"))
    assert not patient(lambda paper: paper.end(lambda: None))


async def test_a_journal_that_pauses_is_named_and_holds_up_the_job(world: JobWorld) -> None:
    """Pages say why; when it can be written again the job goes on, and nothing was run twice."""
    await begin(world, "j", [["say", one] for one in range(40)], width=1)
    world.journal.stop("disk full")
    page = msgspec.msgpack.decode(await world.supervisor.follow("j", 0), type=Page)
    page = msgspec.msgpack.decode(await world.supervisor.follow("j", page.cursor), type=Page)
    assert (page.paused, page.state) == ("disk full", "running")
    assert world.supervisor._jobs["j"].core.done < 40
    world.journal.go()
    found, last = await answers(world, "j")
    assert (len(found), last.paused, sorted(Items.ran)) == (40, "", [(item, "map") for item in range(40)])


async def test_a_journal_that_can_not_be_used_fails_the_job_by_name(world: JobWorld) -> None:
    """It is not left hanging."""

    async def refuse(rows: Append) -> None:
        raise JournalError(f"the file is another program's: {len(rows.jobs)} job is not kept")

    world.journal.append = refuse  # type: ignore[method-assign]
    await begin(world, "j", [["say", 1]])
    _, last = await answers(world, "j")
    assert (last.state, last.error) == ("failed", "the file is another program's: 1 job is not kept")


async def test_what_costs_nothing_is_written_beside_the_work(world: JobWorld) -> None:
    """A job that is written behind is over while the Journal still holds; its rows follow."""
    world.journal.hold.clear()
    await begin(world, "j", [["say", one] for one in range(5)], journal="behind")
    found, last = await answers(world, "j")
    assert (len(found), last.state, world.journal.appended) == (5, "done", [])
    world.journal.hold.set()
    await world.until(lambda: not world.supervisor._jobs["j"].pumping)
    assert (await row(world, "j")).state == "done"
    assert len(await world.journal.answers("j")) == 5


async def test_answers_are_acknowledged_when_they_are_written(world: JobWorld) -> None:
    """A Mapper keeps what it told until then."""
    await begin(world, "j", [["hang"], *[["say", one] for one in range(5)]])
    job = world.supervisor._jobs["j"]
    await world.until(lambda: job.log.end == 5)
    works = [mapper._work["j"].reporting.telling.untaken for mapper in world.mappers.values() if "j" in mapper._work]
    await world.until(lambda: not any(len(one) for one in works))


# The Supervisor dies --------------------------------------------------------------------------------------------------


async def test_a_successor_goes_on_where_the_reader_was(world: JobWorld) -> None:
    """Every item is answered once and run once; a cursor stays good; the bill is what was paid."""
    await begin(world, "j", [["hang"] if one == 3 else ["say", one] for one in range(60)], width=4)
    job = world.supervisor._jobs["j"]
    await world.until(lambda: job.log.end >= 20)
    page = msgspec.msgpack.decode(await world.supervisor.follow("j", 0), type=Page)
    for _ in range(3):
        await world.fail()
    now = world.supervisor._jobs["j"]
    await world.until(lambda: now.core.done == 59)
    now.core.validate()
    assert sorted(item for item, _ in Items.ran) == list(range(60))
    await world.kill("mapper-0")
    await world.kill("mapper-1")
    world.revive("mapper-0")
    await world.until(lambda: Items.hanging == 1)
    rest = msgspec.msgpack.decode(await world.supervisor.follow("j", page.cursor), type=Page)
    told = [one.item for one in (*page.items, *rest.items)]
    assert sorted(told) == [item for item in range(60) if item != 3]
    assert rest.bill.cost == 59


async def test_what_was_told_to_the_dead_is_told_to_its_successor(world: JobWorld) -> None:
    """Answers that were never written are in Mappers' hands, and are not paid for again."""
    await begin(world, "j", [["say", one] for one in range(10)])
    world.journal.hold.clear()
    job = world.supervisor._jobs["j"]
    await world.until(lambda: job.core.done == 10)
    assert await world.journal.answers("j") == []
    world.journal.hold.set()
    job.paper = None  # it dies before it has written them
    await world.fail()
    found, last = await answers(world, "j")
    assert (len(found), last.bill.cost, len(Items.ran)) == (10, 10, 10)


async def test_verdicts_outlive_ten_supervisors(world: JobWorld) -> None:
    """A person answers once; what was finished before is not run again, and is paid once."""
    await begin(world, "j", [["ask", ["a", "b"]]])
    await world.until(lambda: world.supervisor._jobs["j"].state == "waiting")
    assert not await world.supervisor.answer("j", -1, "a", verdict())
    for _ in range(10):
        await world.fail()
        assert world.supervisor._jobs["j"].state == "waiting"
        [one] = await approvals(world)
        assert [ask.path for ask in one.asks] == ["b"]
    assert await world.supervisor.answer("j", -1, "b", verdict())
    await world.fail()
    found, last = await answers(world, "j")
    assert found == {0: ["begun", "a", "b"]}
    assert (last.bill.cost, last.bill.attempts, Items.ran.count((0, "map"))) == (3, 2, 1)


async def test_nobody_is_asked_before_the_question_is_written(world: JobWorld) -> None:
    """An item that parks shows in `approvals` when that is on disk, and so does the state of its job."""
    await world.open("j", journal="ahead")
    await world.add("j", 0, [["ask", ["a"]]])
    await world.supervisor.seal("j")
    world.journal.hold.clear()
    job = world.supervisor._jobs["j"]
    await world.until(lambda: len(job.core.parking) == 1)
    assert (await approvals(world), job.state) == ([], "running")
    world.journal.hold.set()
    await world.until(lambda: job.state == "waiting")
    assert len(await approvals(world)) == 1


async def test_a_driver_may_ask_again(world: JobWorld) -> None:
    """Opening, handing in and sealing again change nothing; another job of that id is refused."""
    spec = await world.open("j", journal="ahead")
    encoded = msgspec.msgpack.encode(spec)
    for _ in range(2):
        await world.supervisor.open(encoded, "reducer-0", ["mapper-0"], [], 0)
        assert await world.supervisor.add_block("j", 1, msgspec.msgpack.encode((0, [_say(1)])), 0)
        assert await world.supervisor.add_block("j", 1, msgspec.msgpack.encode((1, [_say(2)])), 1)
        await world.supervisor.seal("j")
        await world.fail()
    found, _ = await answers(world, "j")
    assert found == {0: [1], 1: [2]}
    other = msgspec.msgpack.encode(msgspec.structs.replace(spec, title="another"))
    with pytest.raises(UsageError, match="there is a job j already"):
        await world.supervisor.open(other, "reducer-0", ["mapper-0"], [], 0)


def _say(what: Any) -> bytes:
    return msgspec.msgpack.encode(["say", what])


async def test_old_answers_are_read_from_the_journal(world: JobWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """A slow reader holds nobody up, memory stays flat, and any cursor is good."""
    monkeypatch.setattr(log_module, "UNREAD_MOST", 30)
    await begin(world, "j", [["say", one] for one in range(200)], keep=False)
    job = world.supervisor._jobs["j"]
    await world.until(lambda: job.ended is not None)
    assert len(job.log) <= 30
    for _ in range(2):
        found, last = await answers(world, "j")
        assert (found, last.cursor) == ({item: [item] for item in range(200)}, 200)


async def test_a_job_that_is_over_is_read_by_whoever_asks(world: JobWorld) -> None:
    """Also of a successor that has never heard of it; nobody is told of one that never was."""
    await begin(world, "j", [["say", one] for one in range(5)])
    await answers(world, "j")
    await world.fail()
    assert world.supervisor._jobs == {}
    found, last = await answers(world, "j")
    assert (len(found), last.state, last.bill.cost) == (5, "done", 5)
    with pytest.raises(UnderstudyError, match="there is no job k"):
        await world.supervisor.follow("k", 0)


# Again ----------------------------------------------------------------------------------------------------------------


async def test_failed_items_are_tried_again(world: JobWorld) -> None:
    """Only those; what was paid stays on the bill; the later answer counts, also for a successor."""
    await begin(world, "j", [["say", 0], ["boom", 1], ["say", 2]])
    _, last = await answers(world, "j")
    assert (last.state, last.failed) == ("done", 1)
    Items.mended = True
    await world.supervisor.resume("j", "failed")
    found, last = await answers(world, "j")
    assert found == {0: [0], 1: [1], 2: [2]}
    assert (last.state, last.failed, last.done, last.bill.cost) == ("done", 0, 3, 4)
    assert sorted(Items.ran) == [(0, "map"), (1, "map"), (1, "map"), (2, "map")]
    await world.fail()
    page = msgspec.msgpack.decode(await world.supervisor.follow("j", 0), type=Page)
    assert (page.bill, page.failed, page.cursor) == (last.bill, 0, 4)
    with pytest.raises(UsageError, match="can't be tried again"):
        await world.supervisor.resume("j", "good")
    with pytest.raises(UsageError, match="there is no job k"):
        await world.supervisor.resume("k")


async def test_another_clusters_job_is_taken_over(world: JobWorld) -> None:
    """Nobody begins it by himself; `resume` does, with what was finished."""
    await begin(world, "j", [["hang"], ["say", 1]])
    await world.until(lambda: world.supervisor._jobs["j"].log.end == 1)
    Items.reset()
    async with JobWorld(journal=world.journal) as other:
        other.supervisor._owner = "elsewhere"
        await other.supervisor.recover(["mapper-0", "mapper-1"], [])
        assert other.supervisor._jobs == {}
        with pytest.raises(UsageError, match="`understudy resume j` takes it over"):
            await other.supervisor.follow("j", 0)
        with pytest.raises(UsageError, match="another cluster, which lives"):
            await other.supervisor.resume("j")
        await other.supervisor.resume("j", "", True)
        await other.until(lambda: Items.hanging == 1)
        assert Items.ran == [(0, "map")]
        assert (await row(world, "j")).owner == "elsewhere"


async def test_a_cancelled_job_goes_on(world: JobWorld) -> None:
    """What was answered stays answered."""
    await begin(world, "j", [["boom", 1], ["hang"], ["say", 1]])
    await world.until(lambda: world.supervisor._jobs["j"].log.end == 2)
    await world.supervisor.cancel("j")
    await world.until(lambda: Items.hanging == 0 and world.supervisor._jobs["j"].ended is not None)
    assert (await row(world, "j")).state == "cancelled"
    await world.supervisor.resume("j", "failed")
    await world.until(lambda: Items.hanging == 1 and len(Items.ran) == 5)
    assert sorted(Items.ran) == [(0, "map"), (0, "map"), (1, "map"), (1, "map"), (2, "map")]


# The queue ------------------------------------------------------------------------------------------------------------


async def test_queued_jobs_cost_few_calls_and_tell_their_end(world: JobWorld) -> None:
    """Their rows are read together; one append for each ends it, and the Director is told."""
    ended: list[JobEnded] = []
    director = world.peers.open("director")
    director.on(JobEnded, lambda _, told: ended.append(told))
    names = [f"q{number}" for number in range(20)]
    for name in names:
        world.journal.write(queued(name))
    before = len(world.journal.appended)
    world.supervisor._mappers = set(world.mappers)
    world.supervisor._start_jobs(None, StartJobs(tuple(names)))  # type: ignore[arg-type]
    await world.until(lambda: len(ended) == 20)
    assert {(one.job, one.state, one.failed) for one in ended} == {(name, "done", 0) for name in names}
    assert len(world.journal.appended) - before == 21
    kept = await row(world, "q3")
    assert (kept.state, kept.priority, kept.attempt, kept.key) == ("done", 7, 1, "k")


def queued(name: str) -> Append:
    """What the Director writes of a job whose turn it is."""
    spec = JobSpec(name, "a job", ITEMS, b"", encode(Config()), journal="ahead", keep=False)
    block = msgspec.msgpack.encode((0, [_say(1)]))
    return Append(
        jobs=(JobRow(name, "open", "here", priority=7, attempt=1, attempts=3, key="k"),),
        specs=(SpecRow(name, msgspec.msgpack.encode(spec)),),
        blocks=(BlockRow(name, 0, 1, block),),
        notes=(NoteRow(name, 0, 0, "sealed"),),
    )


async def test_a_job_that_is_done_stays_so(world: JobWorld) -> None:
    """Going on with it changes nothing; whoever began it from the queue is told its end again."""
    ended: list[JobEnded] = []
    world.peers.open("director").on(JobEnded, lambda _, told: ended.append(told))
    await begin(world, "j", [["say", 1]])
    await answers(world, "j")
    await world.until(lambda: len(ended) == 1)
    await world.fail()
    before = await row(world, "j")
    await world.supervisor.resume("j")
    await world.supervisor.follow("j", 0)
    assert await row(world, "j") == before
    world.supervisor._start_jobs(None, StartJobs(("j",)))  # type: ignore[arg-type]
    await world.until(lambda: [one.state for one in ended] == ["done", "done"])


async def test_a_day_s_budget_outlives_the_cluster(world: JobWorld) -> None:
    """What jobs of today have spent, also those that are over, is not there to be spent again."""
    money = {"tenant": "t", "tenant_day": 3, "item_cost": 1}
    await begin(world, "j", [["say", 1]] * 2, **money)
    await answers(world, "j")
    async with JobWorld(journal=world.journal) as other:
        await begin(other, "k", [["say", 1]] * 2, **money)
        found, last = await answers(other, "k")
        assert (last.failed, last.bill.cost) == (1, 1)
        assert "the day's budget" in str(found)


# Children -------------------------------------------------------------------------------------------------------------


async def test_a_child_is_gone_on_with_by_whoever_has_its_item(
    world: JobWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its driver dies: what it has answered is told again and is not run again."""
    await begin(world, "j", [["child", [["say", 1], ["hang"]]]], width=1)
    await world.until(lambda: "j.0" in world.supervisor._jobs and world.supervisor._jobs["j.0"].log.end == 1)
    await world.until(lambda: Items.hanging == 1)
    child = world.supervisor._jobs["j.0"]
    driver = child.driver
    monkeypatch.setattr(ChildJob, "_cancel", lambda _: None)  # who is killed cancels nothing
    await world.kill(driver)
    await world.until(lambda: world.supervisor._jobs["j.0"].driver != driver and Items.hanging == 1)
    assert world.supervisor._jobs["j.0"] is child
    assert Items.ran.count((0, "map")) == 3  # the item twice, the child's first once
    await world.fail()
    assert sorted(world.supervisor._jobs) == ["j", "j.0"]
    assert Items.hanging == 1


async def test_a_job_that_goes_on_while_its_earlier_life_is_still_told(world: JobWorld) -> None:
    """Answers that were on their way when it was cancelled count, and hide none of those that follow."""
    supervisor, take = world.supervisor, world.supervisor._results
    told: list[tuple[Any, Results]] = []
    supervisor.post.on(Results, lambda envelope, results: told.append((envelope, results)))

    def count() -> int:
        return sum(len(results.done) for _, results in told)

    await begin(world, "j", [["say", one] for one in range(6)], width=1)
    await world.until(lambda: count() == 6)
    early, told[:] = [*told], []
    await supervisor.cancel("j")
    await supervisor.resume("j")
    await world.until(lambda: count() == 6)
    for sender in world.mappers:  # the last answer came first: who works on several at once tells them in any order
        mine = [(envelope, results) for envelope, results in early if envelope.sender == sender]
        envelope, first = mine[0]
        before = first.serial - len(first.done)
        take(envelope, Results("j", mine[-1][1].done[-1:], before + 1))
    for envelope, results in told:
        take(envelope, results)
    found, last = await asyncio.wait_for(answers(world, "j"), 5)
    assert (found, last.state) == ({item: [item] for item in range(6)}, "done")


async def test_what_a_job_has_spent_today_is_not_forgotten_when_it_is_tried_again(world: JobWorld) -> None:
    """What it counts is written as a whole: a second try adds to what the first has spent."""
    money = {"tenant": "t", "tenant_day": 100, "item_cost": 1}
    await begin(world, "j", [["say", 0], ["boom", 1], ["say", 2]], **money)
    await answers(world, "j")
    Items.mended = True
    await world.supervisor.resume("j", "failed")
    await answers(world, "j")
    assert [one.amount for one in await world.journal.spent(int(time.time() // 86_400))] == [4]
    assert world.supervisor._spending.tenants(day=int(time.time() // 86_400)) == {"t": 4}


async def test_what_was_spent_by_this_process_is_counted_once(world: JobWorld) -> None:
    """Also of a job that it does not know any more, when the first job with a budget comes."""
    await begin(world, "j", [["say", 0]], tenant="t", item_cost=1)
    await answers(world, "j")
    del world.supervisor._jobs["j"]
    await begin(world, "k", [["say", 0]] * 2, tenant="t", tenant_day=3, item_cost=1)
    _, last = await answers(world, "k")
    assert (last.failed, last.bill.cost) == (0, 2)
    assert world.supervisor._spending.tenants(day=int(time.time() // 86_400)) == {"t": 3}


async def test_a_job_that_can_not_be_read_keeps_no_other_from_going_on(world: JobWorld) -> None:
    """A successor says of it why it has failed, and goes on with the rest."""
    ended: list[JobEnded] = []
    world.peers.open("director").on(JobEnded, lambda _, told: ended.append(told))
    for name in ("bare", "odd", "j"):
        await begin(world, name, [["hang"]])
    await world.until(lambda: Items.hanging == 3)
    del world.journal._specs["bare"]
    world.journal.write(Append(notes=(NoteRow("odd", 1, 0, "parked", b"\xc1"),)))
    await world.fail()
    assert sorted(world.supervisor._jobs) == ["j"]
    assert [(await row(world, name)).state for name in ("bare", "odd", "j")] == ["failed", "failed", "running"]
    assert "no specification of job bare" in (await row(world, "bare")).error
    await world.until(lambda: sorted(one.job for one in ended) == ["bare", "odd"])


async def test_a_successor_says_nothing_of_jobs_before_it_has_them(world: JobWorld) -> None:
    """Asked between its start and the Director's word, it waits: what waits for people is listed, and is cancelled."""
    await begin(world, "j", [["ask", ["a"]]])
    await begin(world, "k", [["ask", ["a"]]])
    await world.until(lambda: all(world.supervisor._jobs[name].state == "waiting" for name in "jk"))
    await world.until(lambda: not any(world.supervisor._jobs[name].pumping for name in "jk"))
    await world.die()
    asked = asyncio.create_task(approvals(world))
    cancelled = asyncio.create_task(world.supervisor.cancel("k"))
    said = asyncio.create_task(world.supervisor.answer("j", -1, "", verdict()))
    await asyncio.sleep(0)
    assert not any(one.done() for one in (asked, cancelled, said))
    await world.recover()
    assert {one.job for one in await asked} >= {"j"}
    assert await said
    await cancelled
    assert world.supervisor._jobs["k"].core.state == "cancelled"
    assert (await answers(world, "j"))[0] == {0: ["begun", "a"]}


async def test_who_knows_of_no_job_says_so_at_once(world: JobWorld) -> None:
    """Where nobody has died nothing is waited for."""
    assert await approvals(world) == []
    with pytest.raises(UsageError, match="no job does"):
        await world.supervisor.answer("j", -1, "", verdict())


async def test_a_cluster_says_that_it_lives_while_it_has_jobs(world: JobWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also when nothing is written of them; then it is silent."""
    monkeypatch.setattr(living_module, "BEAT_S", 0.002)
    await begin(world, "j", [["hang"]])
    await world.until(lambda: Items.hanging == 1)
    for _ in range(2):
        world.journal._values.clear()
        await world.until(lambda: list(world.journal._values) == ["cluster/here"])
    await world.supervisor.cancel("j")
    await world.until(lambda: not world.supervisor._beats.going and not world.journal._values)


async def test_a_job_that_is_forgotten_at_its_end_may_be_asked_for(world: JobWorld) -> None:
    """One from the queue that nobody looks at is over before `resume` has looked for it."""
    world.peers.open("director")
    world.journal.write(queued("q"))
    join = world.supervisor._join

    def over(job: Job) -> None:
        join(job)
        world.supervisor._jobs.pop(job.id)

    world.supervisor._join = over  # type: ignore[method-assign]
    await world.supervisor.resume("q")


def reducer(world: JobWorld) -> list[Any]:
    """What the Reducer is told; it merges nothing by itself."""
    told: list[Any] = []
    post = world.peers.open("reducer-0")
    for kind in (ReduceOpen, Absorb, Sealed, CancelJob, Taken):
        post.on(kind, lambda _, message: told.append(message))
    return told


def merge(world: JobWorld, children: tuple[int, ...], serial: int, *, data: bytes = b"", root: bool = False) -> None:
    """The Reducer tells of a node that has merged these children."""
    node = node_id(1, min(children), max(children) + 1)
    message = NodesDone(
        "j", (ItemDone(node, data, attempts=1, cost=5),), (children,), root=node if root else -1, serial=serial
    )
    world.supervisor._nodes_done(Envelope("r-1", "reducer-0", message), message)


async def test_a_tree_that_has_grown_is_merged_anew_when_items_are_tried_again(world: JobWorld) -> None:
    """The Reducer is told every answer but of those that are tried again, then theirs; each merge is paid for."""
    told = reducer(world)
    await begin(world, "j", [["say", 0], ["boom", 1], ["say", 2]], reduces=True, grows=True)
    await world.until(lambda: len(world.supervisor._jobs["j"].unmerged) == 3)
    merge(world, (0, 1, 2), 1, data=b"first", root=True)
    _, last = await answers(world, "j")
    assert (last.state, last.failed, last.bill.cost) == ("done", 1, 3 + 5)
    Items.mended = True
    for dies in (False, True):  # nothing is merged when it fails
        told.clear()
        await (world.fail() if dies else world.supervisor.resume("j", "failed"))
        await world.until(lambda: sum(len(one.items) for one in told if isinstance(one, Absorb)) == 3)
        assert [type(one) for one in told if not isinstance(one, Absorb | Taken)] == [ReduceOpen, Sealed]
        items = [done.item for one in told if isinstance(one, Absorb) for done in one.items]
        assert sorted(items) == [0, 1, 2]
    merge(world, (0, 1, 2), 2, data=b"second", root=True)
    await world.until(lambda: world.supervisor._jobs["j"].ended is not None)
    last = msgspec.msgpack.decode(await world.supervisor.follow("j", 4), type=Page)
    assert (last.state, last.failed, last.bill.cost) == ("done", 0, 4 + 10)
    await world.fail()
    again = msgspec.msgpack.decode(await world.supervisor.follow("j", 0), type=Page)
    assert (again.bill, again.root, again.nodes[-1].data) == (last.bill, last.root, b"second")


async def test_a_node_that_is_told_again_counts_once(world: JobWorld) -> None:
    """The same message is passed over; one of a Reducer that has merged it anew was paid for, and no more."""
    reducer(world)
    await world.open("j", journal="ahead", reduces=True, grows=True)
    await world.add("j", 0, [["say", one] for one in range(3)])
    job = world.supervisor._jobs["j"]
    await world.until(lambda: len(job.unmerged) == 3)
    for serial, cost in ((1, 5), (1, 5), (1 << LIFE_BITS | 1, 10), (1 << LIFE_BITS | 1, 10)):
        merge(world, (0, 1), serial)
        await world.supervisor._safe(job)
        assert (job.core.nodes.done, job.core.bill.cost) == (1, 3 + cost)
        assert [done.item for done in job.unmerged] == [2, node_id(1, 0, 2)]


def test_an_answer_that_takes_another_s_place_weighs_once() -> None:
    """Or mapping would wait for merging that has nothing to merge."""
    unmerged = Unmerged()
    for size in (1000, 30):
        unmerged.add(ItemDone(1, bytes(size)))
    assert (len(unmerged), unmerged._bytes) == (1, 30)
    unmerged.drop(1)
    assert unmerged._bytes == 0


async def test_a_tree_whose_answers_may_be_lost_is_merged_anew(world: JobWorld) -> None:
    """What is written behind may be merged and never written: its Reducer forgets the tree, and is told all again."""
    reducer(world)
    asked: list[HoldAsk] = []

    def held(_: Envelope, ask: HoldAsk) -> Holds:
        asked.append(ask)
        return Holds()

    world.peers._posts["reducer-0"].on(HoldAsk, held)
    for job, journal in (("j", "ahead"), ("k", "behind")):
        await world.open(job, journal=journal, reduces=True, grows=True)
        await world.add(job, 0, [["hang"]])
    await world.until(lambda: Items.hanging == 2)
    await world.fail("reducer-0")
    assert (asked, Items.hanging) == ([HoldAsk(("j",))], 2)


async def test_a_job_ends_though_a_mapper_takes_no_messages(world: JobWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is told of the end when it has room again."""
    monkeypatch.setattr(pumping_module, "PAUSE_S", 0.001)
    await begin(world, "j", [["hang"]] * 8, width=1)
    await world.until(lambda: Items.hanging == 2)
    tell, full = world.supervisor.post.tell, [True]

    def sometimes(name: str, payload: Any, **fields: Any) -> str:
        if full[0] and name.startswith("mapper"):
            raise MailboxFull(f"{name} has no room")
        return tell(name, payload, **fields)

    monkeypatch.setattr(world.supervisor.post, "tell", sometimes)
    await world.supervisor.cancel("j")
    await world.until(lambda: world.supervisor._jobs["j"].ended is not None)
    assert ((await row(world, "j")).state, Items.hanging) == ("cancelled", 2)
    full[0] = False
    await world.until(lambda: Items.hanging == 0)
