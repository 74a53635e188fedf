"""The queue's shell against a Journal in memory, a clock that is told, and a Supervisor that only remembers."""

import asyncio
import dataclasses
import random
from collections.abc import AsyncIterator, Callable

import msgspec
import pytest

from understudy.actors.journal.testing import MemoryJournal
from understudy.protocols.errors import UsageError
from understudy.protocols.jobs import JobSpec, JobState
from understudy.protocols.journal import Append, JobRow, JobsAsk
from understudy.protocols.messages import JobEnded
from understudy.protocols.queue import Submission
from understudy.supervisors.director import lookup, pump
from understudy.supervisors.director.dispatch import Dispatcher
from understudy.supervisors.director.queue import QueueSettings


def submission(name: str, **fields: object) -> Submission:
    """A job of three items in two blocks."""
    own = {"tenant": fields.pop("tenant", ""), "config": fields.pop("config", b"{}"), "trace": f"trace-{name}"}
    spec = JobSpec(name, f"title of {name}", "m:C", b"", **own)  # type: ignore[arg-type]
    return Submission(msgspec.msgpack.encode(spec), ((2, b"ab"), (1, b"c")), **fields)  # type: ignore[arg-type]


@dataclasses.dataclass
class World:
    """One Journal, and Dispatchers that come and go."""

    journal: MemoryJournal = dataclasses.field(default_factory=MemoryJournal)
    now: float = 1_000_000.0
    started: list[str] = dataclasses.field(default_factory=list)
    stopped: list[str] = dataclasses.field(default_factory=list)
    settings: QueueSettings = dataclasses.field(default_factory=QueueSettings)
    lives: list[Dispatcher] = dataclasses.field(default_factory=list)

    def life(self) -> Dispatcher:
        """A Dispatcher that knows nothing but the Journal, a moment after the last one."""
        self.now += 0.01
        one = Dispatcher(
            lambda: self.journal,
            self._owner,
            self.started.extend,
            self._stop,
            self.settings,
            clock=lambda: self.now,
            rng=random.Random(7),
        )
        self.lives.append(one)
        return one

    @staticmethod
    async def _owner() -> str:
        return "this"

    async def _stop(self, job: str) -> None:
        self.stopped.append(job)
        await self.over(job, "cancelled")

    def row(self, job: str) -> JobRow:
        """A job as it stands in the Journal."""
        return self.journal._jobs[job]

    async def over(self, job: str, state: JobState = "done", **fields: int) -> JobEnded:
        """The Supervisor writes that a job is over, and says what it would tell."""
        row = msgspec.structs.replace(self.row(job), state=state, **fields)
        await self.journal.append(Append(jobs=(row,)))
        return JobEnded(job, state, row.failed, row.standing, "the cause" if row.failed else "")

    async def until(self, true: Callable[[], bool]) -> None:
        """Lets the loop turn until it is so."""
        for _ in range(1000):
            if true():
                return
            await asyncio.sleep(0)
        raise AssertionError("it never became so")

    async def begun(self, count: int) -> None:
        """Lets the loop turn until the Supervisor has been told of so many."""
        await self.until(lambda: len(self.started) == count)

    def wake(self, one: Dispatcher, seconds: float) -> None:
        """Time passes, and the Dispatcher looks at the clock."""
        self.now += seconds
        one._moved.set()


@pytest.fixture
async def world() -> AsyncIterator[World]:
    """A world; what lives in it ends with the test."""
    found = World()
    yield found
    for one in found.lives:
        one.close()


async def test_a_job_is_safe_before_it_is_answered_and_begun_when_it_is_its_turn(world: World) -> None:
    """All its rows are in one append; then it is marked as begun, durably, before the Supervisor is told."""
    one = world.life()
    world.journal.hold.clear()
    asked = asyncio.create_task(one.submit([submission("a", key="k", meta=b"m")]))
    for _ in range(50):
        await asyncio.sleep(0)
    assert not asked.done()
    world.journal.hold.set()
    [answer] = await asked
    assert (answer.id, answer.state, answer.new) == ("a", "queued", True)
    [append] = [one for one in world.journal.appended if one.specs]
    assert (len(append.jobs), len(append.blocks), append.notes[0].kind) == (1, 2, "sealed")
    await world.until(lambda: world.started == ["a"])
    row = world.row("a")
    assert (row.state, row.attempt, row.owner, row.total, row.trace) == ("open", 1, "this", 3, "trace-a")


async def test_a_thousand_jobs_are_one_append(world: World) -> None:
    """A batch costs one append, and keeps its order."""
    world.settings = QueueSettings(at_once=5)
    await world.life().submit([submission(f"j{number}") for number in range(1000)])
    assert sum(bool(one.specs) for one in world.journal.appended) == 1
    await world.until(lambda: len(world.started) == 5)
    assert world.started == [f"j{number}" for number in range(5)]


async def test_a_known_key_or_id_is_not_queued_again(world: World) -> None:
    """Within a batch, in a later one, and by a successor; keys of other tenants are others."""
    one = world.life()
    first = await one.submit([submission("a", key="k"), submission("b", key="k"), submission("c", key="k", tenant="t")])
    assert [(it.id, it.new) for it in first] == [("a", True), ("a", False), ("c", True)]
    for asked in (one, world.life()):
        later = await asked.submit([submission("d", key="k"), submission("a")])
        assert [(it.id, it.new) for it in later] == [("a", False), ("a", False)]


async def test_what_can_not_be_queued_is_refused_as_a_whole(world: World) -> None:
    """One wrong job of a batch, and nothing is written; the text says which and why."""
    one = world.life()
    for wrong, why in (
        (submission("b", priority=10), "job b: priority 10 is not between 0"),
        (submission("b", attempts=0), "job b: 0 attempts"),
        (submission("b", delay_s=-1.0), "job b: a delay"),
        (submission("b", delay_s=float("nan")), "job b: a delay"),
        (Submission(b"\xc1", ()), "can't be read"),
    ):
        with pytest.raises(UsageError, match=why):
            await one.submit([submission("a"), wrong])
    assert world.journal.appended == []


async def test_a_job_that_fails_is_tried_again_later_until_it_is_dead(world: World) -> None:
    """After 1 s, 3 s, …, half of it by chance; then it is a dead letter with its cause and its trace."""
    one = world.life()
    await one.submit([submission("a", attempts=3)])
    for attempt, longest in ((1, 1.0), (2, 3.0)):
        await world.begun(attempt)
        one.ended(await world.over("a", failed=1))
        await world.until(lambda: world.row("a").state == "queued")
        wait = world.row("a").due - world.now
        assert longest / 2 <= wait <= longest
        await world.until(lambda: one.status().delayed == 1)
        world.wake(one, wait / 2)
        await asyncio.sleep(0)
        assert len(world.started) == attempt
        world.wake(one, wait)
    await world.until(lambda: len(world.started) == 3)
    one.ended(await world.over("a", failed=1))
    await world.until(lambda: world.row("a").state == "dead")
    [letter] = await one.dead()
    assert (letter.id, letter.attempt, letter.error, letter.trace) == ("a", 3, "the cause", "trace-a")
    assert (one.status().dead, one.busy) == (1, False)


async def test_a_dead_letter_is_redriven(world: World) -> None:
    """By name or all; it has attempts anew; one that is not dead is refused by name."""
    one = world.life()
    await one.submit([submission(name, attempts=1) for name in ("a", "b")])
    await world.until(lambda: len(world.started) == 2)
    for name in ("a", "b"):
        one.ended(await world.over(name, "failed", failed=1))
    await world.until(lambda: one.status().dead == 2)
    with pytest.raises(UsageError, match="no dead letter: x"):
        await one.redrive(["a", "x"])
    assert (await one.redrive(["a"]), await one.redrive([]), await one.redrive([])) == (1, 1, 0)
    await world.until(lambda: len(world.started) == 4)
    assert (world.row("a").attempt, world.row("a").attempts, one.status().dead) == (2, 4, 0)


async def test_answers_that_stand_in_are_asked_for_again(world: World) -> None:
    """Also of a job that a driver began: after a minute, five times at most; its failures are left to its driver."""
    one = world.life()
    await one.submit([])
    await world.journal.append(Append(jobs=(JobRow("d", "done", standing=2, attempts=1),)))
    await world.journal.append(Append(jobs=(JobRow("f", "failed", failed=2, attempts=1),)))
    one.ended(JobEnded("f", "failed", failed=2, error="x"))
    one.ended(JobEnded("d", "done", standing=2))
    for attempt in range(2, 7):
        await world.until(lambda: world.row("d").state == "queued")
        assert world.row("d").due == world.now + 60.0
        await world.until(lambda: one.status().delayed == 1)
        world.wake(one, 60.0)
        await world.begun(attempt - 1)
        assert world.row("d").attempt == attempt
        one.ended(await world.over("d", standing=2))
    await world.until(lambda: world.row("d").state == "dead")
    assert "2 answers stand in" in world.row("d").error
    assert world.row("f").state == "failed"


async def test_a_successor_goes_on_where_its_predecessor_was(world: World) -> None:
    """What waits is begun in its order, what runs counts, what ended meanwhile is tried again or forgotten."""
    world.settings = QueueSettings(at_once=3)
    first = world.life()
    await first.submit([submission(f"j{number}") for number in range(8)])
    await world.until(lambda: len(world.started) == 3)
    first.close()
    await world.over("j0")
    await world.over("j1", failed=1)
    world.started.clear()
    second = world.life()
    second.begin()
    # j2 is told once more, since nobody knows whether the Supervisor heard of it.
    await world.until(lambda: world.started == ["j2", "j3", "j4"])
    await world.until(lambda: world.row("j1").state == "queued")
    assert (world.row("j1").attempt, second.status().running, second.status().delayed) == (1, 3, 1)
    for name in ("j2", "j3", "j4"):
        second.ended(await world.over(name))
    await world.until(lambda: world.started == [f"j{number}" for number in range(2, 8)])
    world.wake(second, 1.0)
    for name in ("j5", "j6", "j7"):
        second.ended(await world.over(name))
    await world.until(lambda: world.started[-1] == "j1")
    second.ended(await world.over("j1", failed=0))
    await world.until(lambda: not second.busy)
    await world.until(lambda: not world.journal._values)


async def test_limits_of_tenants_are_learned_and_outlive_the_director(world: World) -> None:
    """A tenant's jobs run so many at once as its configuration says, also under a successor that reads no job."""
    first = world.life()
    config = b'{"tenants": {"t": {"jobs": 2, "weight": 3}}}'
    await first.submit([submission(f"j{number}", tenant="t", config=config) for number in range(5)])
    await world.until(lambda: len(world.started) == 2)
    first.close()
    second = world.life()
    await second.dead()
    assert second.status().running == 2
    second.ended(await world.over("j0"))
    await world.until(lambda: world.row("j2").state == "open")
    assert world.row("j3").state == "queued"


async def test_a_job_that_waits_is_cancelled(world: World) -> None:
    """It is never begun; a dead one goes from the dead letters; one that runs is the Supervisor's; none is an error."""
    world.settings = QueueSettings(at_once=1)
    one = world.life()
    await one.submit([submission("a"), submission("b")])
    await world.until(lambda: world.started == ["a"])
    await one.cancel("b")
    assert world.row("b").state == "cancelled"
    await one.cancel("a")
    assert (world.stopped, world.row("a").state) == (["a"], "cancelled")
    with pytest.raises(UsageError, match="there is no job x"):
        await one.cancel("x")


async def test_a_job_that_is_over_is_queued_again(world: World) -> None:
    """As somebody asked, later and once; one that runs is refused; another cluster's is taken over."""
    one = world.life()
    rows = (JobRow("o", "failed", owner="other", failed=1, attempt=1), JobRow("r", "running", owner="this"))
    await world.journal.append(Append(jobs=rows))
    await one.again("o", "failed", 5.0)
    await world.until(lambda: one.status().delayed == 1)
    world.wake(one, 5.0)
    await world.until(lambda: world.started == ["o"])
    assert (world.row("o").attempt, world.row("o").attempts, world.row("o").owner) == (2, 2, "this")
    with pytest.raises(UsageError, match="job r is running"):
        await one.again("r", "failed", 0.0)
    with pytest.raises(UsageError, match="neither failed nor standing"):
        await one.again("o", "all", 0.0)


async def test_a_journal_that_stands_still_holds_the_queue_up_and_loses_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While it can't be read or written nothing is begun; then all goes on."""
    monkeypatch.setattr(pump, "PAUSE_S", 0.0)
    one = world.life()
    await one.submit([submission("a"), submission("b", delay_s=1.0)])
    await world.until(lambda: world.started == ["a"])
    over = await world.over("a", failed=1)
    world.journal.stop("the disk is full")
    one.ended(over)
    world.wake(one, 1.1)
    for _ in range(100):
        await asyncio.sleep(0)
    assert world.started == ["a"]
    world.journal.go()
    await world.until(lambda: world.started == ["a", "b"])
    assert world.row("a").state == "queued"


async def test_many_rows_of_one_moment_are_all_read(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A page that ends among jobs of one moment loses none of them."""
    monkeypatch.setattr(lookup, "PAGE", 3)
    rows = tuple(JobRow(f"j{number}", "queued", owner="this", created=float(number // 5)) for number in range(14))
    await world.journal.append(Append(jobs=rows))
    assert len(await world.journal.jobs(JobsAsk())) == 14
    one = world.life()
    one.begin()
    await world.until(lambda: len(world.started) == 14)
    assert world.started == sorted((row.id for row in rows), key=lambda name: (int(name[1:]) // 5, name))


async def test_a_job_that_another_cluster_has_taken_over_is_not_begun_here(world: World) -> None:
    """It waits in this queue, too, but its row says whose it is."""
    one = world.life()
    await one.submit([submission("a", delay_s=5.0), submission("b", delay_s=5.0)])
    await world.journal.append(Append(jobs=(msgspec.structs.replace(world.row("a"), owner="another"),)))
    world.wake(one, 6.0)
    await world.begun(1)
    assert (world.started, world.row("a").state, world.row("a").owner) == (["b"], "queued", "another")
    await world.until(lambda: "a" not in one.queue)


async def test_another_job_of_that_id_is_refused(world: World) -> None:
    """Nobody is given the answers of somebody else's job, and nothing is queued; one's own may be handed in again."""
    one = world.life()
    await one.submit([submission("a", tenant="t")])
    with pytest.raises(UsageError, match="there is another job a"):
        await one.submit([submission("b"), submission("a", tenant="u")])
    assert "b" not in world.journal._jobs
    [again] = await one.submit([submission("a", tenant="t")])
    assert (again.id, again.new) == ("a", False)
