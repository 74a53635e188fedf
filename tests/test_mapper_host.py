"""What a Mapper offers to interpreters: events told together and bounded, and jobs that work for an item."""

import asyncio
from typing import Any

import msgspec
import pytest
from job_world import Handle

from understudy.actors.journal.testing import MemoryJournal
from understudy.actors.mailbox import persist
from understudy.actors.mapper.blocks import KEPT_BYTES, Blocks, decode_spec, pack_block
from understudy.actors.mapper.child import BLOCK_BYTES, ChildJob
from understudy.actors.mapper.host import EVENTS_BATCH, MapperHost
from understudy.protocols.errors import ActorDied, ConfigError, MailboxFull
from understudy.protocols.jobs import Bill, JobSpec, Page
from understudy.protocols.journal import StepRow
from understudy.protocols.messages import StepEvent, Steps

SPEC = JobSpec("j", "a job", "m:C", b"", b"", watch=True)


async def test_blocks_are_fetched_once_while_there_is_room() -> None:
    """Small blocks of many jobs stay; of large ones as many as fit, the newest; a job that ends takes its own along."""
    fetched: list[tuple[str, int]] = []
    size = KEPT_BYTES // 4

    async def fetch(job: str, number: int) -> bytes:
        fetched.append((job, number))
        return pack_block(number, [b"x" * (size if job == "large" else 1)])

    blocks = Blocks(fetch)
    for _ in range(2):
        for job in range(200):
            assert (await blocks.get(f"small {job}", 7)).first == 7
    assert len(fetched) == 200
    for number in (0, 1, 2, 3, 3, 0):
        await blocks.get("large", number)
    assert fetched[200:] == [("large", number) for number in (0, 1, 2, 3, 0)]
    blocks.forget("large")
    await blocks.get("large", 0)
    assert fetched[-1] == ("large", 0)
    assert len(fetched) == 206


class Shelf:
    """A post office that keeps what is said, or has no room."""

    name = "mapper-0"

    def __init__(self, *, full: bool = False) -> None:
        self.full = full
        self.told: list[Any] = []

    def tell(self, _: str, payload: Any, **__: Any) -> None:
        """Keeps what is said."""
        if self.full:
            raise MailboxFull("no room")
        self.told.append(payload)


class Home:
    """A Supervisor that writes down what it is asked, and tells the pages that it was given."""

    def __init__(self, *pages: Page, refusal: Exception | None = None) -> None:
        self.asked: list[tuple[Any, ...]] = []
        self._pages = list(pages)
        self._refusal = refusal

    async def open_child(self, *arguments: Any) -> None:
        """Refuses, where it was told to."""
        self.asked.append(("open_child", *arguments))
        if self._refusal is not None:
            raise self._refusal

    async def add_block(self, job: str, count: int, data: bytes, number: int) -> bool:
        """Takes a block."""
        first, items = msgspec.msgpack.decode(data)
        assert len(items) == count
        self.asked.append(("add_block", job, first, count, number))
        return True

    async def seal(self, job: str) -> None:
        """Takes note."""
        self.asked.append(("seal", job))

    async def cancel(self, job: str) -> None:
        """Takes note."""
        self.asked.append(("cancel", job))

    async def follow(self, *arguments: Any) -> bytes:
        """The next page."""
        self.asked.append(("follow", *arguments))
        return msgspec.msgpack.encode(self._pages.pop(0))


def page(state: Any, cursor: int, heard: int = 0) -> Page:
    """A page of nothing."""
    return Page(state, cursor, 0, sealed=True, done=0, failed=0, running=0, nodes_done=0, bill=Bill(), heard=heard)


def child(home: Home, **fields: Any) -> ChildJob:
    """A child of the job `j`, driven by a Mapper."""

    async def find() -> Any:
        return Handle(home)

    host = MapperHost(Shelf(), "supervisor-0", SPEC, find, MemoryJournal)  # type: ignore[arg-type]
    return host.children(JobSpec("c", "a child", "m:C", b"", b"", **fields), nodes=3)


def event(number: int) -> StepEvent:
    """Something that happened."""
    return StepEvent(number, "run/0", "call", "began")


async def nobody() -> Any:
    """No Supervisor is asked."""
    raise AssertionError


async def test_events_are_told_together() -> None:
    """A message when there are enough of them, and one for the rest; nothing for a job that nobody watches."""
    shelf, silent = Shelf(), Shelf()
    host = MapperHost(shelf, "supervisor-0", SPEC, nobody, MemoryJournal)  # type: ignore[arg-type]
    quiet = MapperHost(silent, "supervisor-0", msgspec.structs.replace(SPEC, watch=False), nobody, MemoryJournal)  # type: ignore[arg-type]
    for number in range(EVENTS_BATCH + 3):
        host.tell(event(number))
        quiet.tell(event(number))
    host.flush()
    quiet.flush()
    assert [len(steps.events) for steps in shelf.told] == [EVENTS_BATCH, 3]
    assert shelf.told[1] == Steps("j", tuple(event(EVENTS_BATCH + number) for number in range(3)))
    assert silent.told == []


async def test_no_item_fails_for_an_event() -> None:
    """Where the Supervisor can't be told in time, events are lost and nothing else."""
    host = MapperHost(Shelf(full=True), "supervisor-0", SPEC, nobody, MemoryJournal)  # type: ignore[arg-type]
    for number in range(3 * EVENTS_BATCH):
        host.tell(event(number))
    host.flush()


async def test_a_child_is_opened_fed_and_followed_to_its_end() -> None:
    """Large items come in several blocks, numbered on; a job that is over is not cancelled."""
    home = Home(page("running", 2), page("done", 5))
    async with child(home) as job:
        await job.add([b"x" * (BLOCK_BYTES // 2 + 1)] * 2 + [b"y"])
        await job.add([b"z"])
        await job.seal()
        states = [one.state async for one in job.pages()]
    assert states == ["running", "done"]
    [(_, spec, mapper, nodes, again), *rest] = home.asked
    assert (decode_spec(spec).parent, mapper, nodes, again) == ("j", "mapper-0", 3, "")
    assert rest == [
        ("add_block", "c", 0, 1, 0),
        ("add_block", "c", 1, 2, 1),
        ("add_block", "c", 3, 1, 2),
        ("seal", "c"),
        ("follow", "c", 0, -1),
        ("follow", "c", 2, -1),
    ]


async def test_a_child_that_is_watched_tells_its_events() -> None:
    """Each page is asked for what comes after the events of the last."""
    home = Home(page("running", 2, heard=7), page("done", 5, heard=9))
    async with child(home, watch=True) as job:
        assert len([one async for one in job.pages()]) == 2
    assert home.asked[1:] == [("follow", "c", 0, 0), ("follow", "c", 2, 7)]


async def test_a_child_that_is_left_early_is_cancelled() -> None:
    """Whoever leaves does not wait for it."""
    home = Home(page("running", 2))
    async with child(home) as job:
        async for _ in job.pages():
            break
    for _ in range(4):
        await asyncio.sleep(0)
    assert home.asked[-1] == ("cancel", "c")


async def test_a_refusal_comes_as_itself() -> None:
    """What the Supervisor raised, whatever Ray wraps it in."""

    class WrappedError(Exception):
        cause = ConfigError("there is a job c already")

    for raised in (WrappedError.cause, WrappedError()):
        with pytest.raises(ConfigError, match="there is a job c already"):
            await child(Home(refusal=raised)).__aenter__()
    for _ in range(4):
        await asyncio.sleep(0)


async def test_a_child_outlives_its_supervisor(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a Supervisor leaves open when it dies is asked of its successor, once that is found; not for ever."""
    monkeypatch.setattr(persist, "_FIRST_PAUSE_S", 0.0)
    first, second = Home(page("running", 2)), Home(page("running", 2), page("done", 5))

    class RayActorError(Exception):
        """Ray's, by its name."""

    async def dead(*_: Any) -> None:
        raise RayActorError

    found: list[Any] = [first, ActorDied("no supervisor-0"), second]

    async def find() -> Any:
        one = found.pop(0) if len(found) > 1 else found[0]
        if isinstance(one, Exception):
            raise one
        return Handle(one)

    host = MapperHost(Shelf(), "supervisor-0", SPEC, find, MemoryJournal)  # type: ignore[arg-type]
    async with host.children(JobSpec("c", "a child", "m:C", b"", b"")) as job:
        await job.add([b"x"])
        first.add_block = first.seal = first.follow = dead  # type: ignore[method-assign, assignment]
        await job.add([b"y"])
        await job.seal()
        assert [one.state async for one in job.pages()] == ["running", "done"]
    assert second.asked == [
        ("add_block", "c", 1, 1, 1),
        ("seal", "c"),
        ("follow", "c", 0, -1),
        ("follow", "c", 2, -1),
    ]
    monkeypatch.setattr(persist, "PATIENCE_S", -1.0)
    found[:] = [ActorDied("no supervisor-0")]
    with pytest.raises(ActorDied, match="no supervisor-0"):
        await host.children(JobSpec("d", "a child", "m:C", b"", b"")).__aenter__()
    for _ in range(4):
        await asyncio.sleep(0)


async def test_an_items_steps_are_kept_by_its_number() -> None:
    """One log an item while it is worked on, with what was known of it; none for a job that is not journaled ahead."""
    journal = MemoryJournal()
    ahead = msgspec.structs.replace(SPEC, journal="ahead")
    host = MapperHost(Shelf(), "supervisor-0", ahead, nobody, lambda: journal)  # type: ignore[arg-type]
    host.begin(3, 2, [StepRow("j", 3, 1, "run/0", b"h", b"d")], again=True)
    fresh, again = host.steps(1), host.steps(3)
    assert fresh is not None
    assert again is not None
    assert (fresh.era, fresh.again, again.era, again.again) == (0, False, 2, True)
    assert again.known("run/0", b"h") == StepRow("j", 3, 1, "run/0", b"h", b"d")
    await again.keep("run/1", b"i", b"e")
    assert await journal.steps("j", [3]) == [StepRow("j", 3, 2, "run/1", b"i", b"e")]
    host.end(3)
    assert (host.steps(1), host.steps(3) is again) == (fresh, False)
    assert MapperHost(Shelf(), "supervisor-0", SPEC, nobody, lambda: journal).steps(1) is None  # type: ignore[arg-type]
