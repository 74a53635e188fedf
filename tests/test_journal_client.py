"""What stands between those who append and the store: the group commit, the client, an item's steps, the memory."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from journal_world import agree, answer, works

from understudy.actors.journal import client as client_module
from understudy.actors.journal.asking import (
    Answered,
    Appended,
    encode,
    unpack_appended,
    unpack_ask,
    unpack_batch,
)
from understudy.actors.journal.client import CALL_BYTES, WAITING_BYTES, JournalClient, ray_journal
from understudy.actors.journal.committing import GROUP_BYTES, MOST_BYTES, GroupCommit
from understudy.actors.journal.memory import JournalMemory
from understudy.actors.journal.steps import ItemSteps, load_steps
from understudy.actors.journal.testing import MemoryJournal
from understudy.protocols.errors import ActorDied, JournalError, JournalPaused
from understudy.protocols.journal import Append, BlockRow, JobRow, JobsAsk, Recalled, StepRow, ValueRow


def job(number: int) -> Append:
    return Append(jobs=(JobRow("job", "running", done=number),))


class GatedStore:
    """A store whose commits wait for a gate, and that refuses what it is told to."""

    def __init__(self) -> None:
        self.groups: list[list[Append]] = []
        self.gate = asyncio.Event()
        self.pause = ""

    async def write(self, batch: Sequence[Append]) -> None:
        await self.gate.wait()
        if self.pause:
            raise JournalPaused(self.pause)
        if any(one.values and one.values[0].name == "poison" for one in batch):
            raise OverflowError("too large")
        self.groups.append(list(batch))


async def _turns(count: int = 5) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def test_what_comes_during_a_commit_goes_into_the_next() -> None:
    """A hundred appends that come while one is on its way to the disk are one commit."""
    store = GatedStore()
    commits = GroupCommit(store)
    first = asyncio.create_task(commits.append([job(0)]))
    await _turns()
    others = [asyncio.create_task(commits.append([job(number)])) for number in range(1, 101)]
    await _turns()
    store.gate.set()
    assert await asyncio.gather(first, *others) == [Appended()] * 101
    assert [len(group) for group in store.groups] == [1, 100]
    await commits.drain()


async def test_a_commit_is_not_larger_than_its_bound() -> None:
    """Large appends are spread over several commits, so that none keeps the others waiting for long."""
    store = GatedStore()
    store.gate.set()
    commits = GroupCommit(store)
    block = Append(blocks=(BlockRow("job", 0, 1, bytes(GROUP_BYTES // 2)),))
    await asyncio.gather(*(commits.append([block]) for _ in range(6)))
    assert max(len(group) for group in store.groups) <= 2


async def test_a_store_that_pauses_answers_all_who_wait() -> None:
    """Nothing is held back in the actor: each sender is told why, and sends again when it likes."""
    store = GatedStore()
    store.pause = "the disk is full"
    store.gate.set()
    commits = GroupCommit(store)
    answers = await asyncio.gather(*(commits.append([job(number)]) for number in range(3)))
    assert answers == [Appended("the disk is full")] * 3
    store.pause = ""
    assert await commits.append([job(9)]) == Appended()


async def test_one_that_can_never_be_written_keeps_nobody_else_from_it() -> None:
    """Of a group with one bad append the others are written, and its sender hears which it was."""
    store = GatedStore()
    commits = GroupCommit(store)
    poison = Append(values=(ValueRow("poison", b"x"),))
    good = asyncio.create_task(commits.append([job(1)]))
    mixed = asyncio.create_task(commits.append([job(2), poison, job(3)]))
    await _turns()
    store.gate.set()
    assert await good == Appended()
    assert await mixed == Appended("", {1: "too large"})
    assert [one for group in store.groups for one in group] == [job(1), job(2), job(3)]


async def test_what_waits_is_bounded() -> None:
    """A disk that is too slow makes senders wait, not the actor's memory grow."""
    store = GatedStore()
    commits = GroupCommit(store)
    block = Append(blocks=(BlockRow("job", 0, 1, bytes(MOST_BYTES // 3)),))
    waiting = [asyncio.create_task(commits.append([block])) for _ in range(5)]
    await _turns()
    assert "too slow" in (await waiting[-1]).paused
    store.gate.set()
    assert await waiting[0] == Appended()


class RayTaskError(Exception):
    """Named as Ray's, of which a unit test imports nothing."""


class FakeActor:
    """A Journal actor over the fake journal, which can die, pause and lose answers."""

    def __init__(self) -> None:
        self.journal = MemoryJournal()
        self.pause = ""
        self.calls = self.reads = 0
        #: What happens to the next calls: `dies` before it is written, `lost` after.
        self.script: list[str] = []

    async def call(self, method: str, data: bytes) -> bytes:
        event = self.script.pop(0) if self.script else ""
        if event == "dies":
            raise ActorDied("it died")
        if event == "unreachable":
            raise ConnectionError("no route")
        if event == "broken":
            raise RayTaskError("it can't be decoded")
        answer = await (self._append(data) if method == "append" else self._ask(data))
        await asyncio.sleep(0)
        if event == "lost":
            raise ActorDied("it died after the commit")
        return answer

    async def _append(self, data: bytes) -> bytes:
        self.calls += 1
        if self.pause:
            return encode(Appended(self.pause))
        batch = unpack_batch(data)
        refused = {place: "bad" for place, one in enumerate(batch) if one.values}
        for place, one in enumerate(batch):
            if place not in refused:
                await self.journal.append(one)
        return encode(Appended("", refused))

    async def _ask(self, data: bytes) -> bytes:
        self.reads += 1
        if self.pause:
            return encode(Answered(paused=self.pause))
        method, arguments, named = unpack_ask(data)
        return encode(Answered(encode(await getattr(self.journal, method)(*arguments, **named))))


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pauses between attempts take no time."""
    monkeypatch.setattr(client_module, "_FIRST_PAUSE_S", 0.0)


@given(work=works.map(lambda work: [one for one in work if not getattr(one, "values", ())]))
async def test_all_that_is_asked_goes_over_the_wire(work: list[object]) -> None:
    """Through the client the journal is what it is without it."""
    await agree(JournalClient(FakeActor().call), work)


async def test_what_is_appended_at_once_is_one_call() -> None:
    """No Ray call per row: what comes while a call is under way goes into the next."""
    actor = FakeActor()
    client = JournalClient(actor.call)
    await asyncio.gather(*(client.append(answer("job", place, 100)) for place in range(200)))
    assert actor.calls == 1
    assert len(actor.journal.appended) == 200


async def test_a_call_is_not_larger_than_ray_likes() -> None:
    """More than a call carries is several calls."""
    actor = FakeActor()
    client = JournalClient(actor.call)
    await asyncio.gather(*(client.append(answer("job", place, CALL_BYTES // 10)) for place in range(50)))
    assert 5 <= actor.calls <= 10


@given(script=st.lists(st.sampled_from(["dies", "lost", "unreachable", ""]), max_size=12))
async def test_the_actors_deaths_lose_nothing_and_change_no_order(script: list[str]) -> None:
    """However often the actor dies, before a commit or after, all is written, and what was set last stands last."""
    actor = FakeActor()
    actor.script = list(script)
    client = JournalClient(actor.call)
    for some in range(4):
        await asyncio.gather(*(client.append(job(10 * some + number)) for number in range(10)))
    assert [row.done for row in await client.jobs(JobsAsk())] == [39]
    seen = list(dict.fromkeys(one.jobs[0].done for one in actor.journal.appended))
    assert seen == list(range(40))
    assert client.paused == ""


async def test_why_it_waits_is_shown_until_it_goes_on() -> None:
    """While the store is paused the client says why, and its appends wait; nothing is dropped."""
    actor = FakeActor()
    actor.pause = "the disk is full"
    client = JournalClient(actor.call)
    waiting = asyncio.create_task(client.append(job(1)))
    await _turns(20)
    assert client.paused == "the disk is full"
    assert not waiting.done()
    with pytest.raises(JournalPaused, match="the disk is full"):
        await client.jobs(JobsAsk())
    actor.pause = ""
    await waiting
    assert client.paused == ""


async def test_what_can_never_be_written_is_told_to_whom_it_belongs() -> None:
    """Of several appends in a call only the bad one fails."""
    client = JournalClient(FakeActor().call)
    good, bad = client.append(job(1)), client.append(Append(values=(ValueRow("x", b"y"),)))
    results = await asyncio.gather(good, bad, return_exceptions=True)
    assert results[0] is None
    assert isinstance(results[1], JournalError)


async def test_what_cant_be_packed_is_told_at_once_and_does_not_stop_what_follows() -> None:
    """Who appends something that is no row's hears of it; the others' rows are written."""
    actor = FakeActor()
    client = JournalClient(actor.call)
    wrong: Any = object()
    with pytest.raises(TypeError):
        await client.append(Append(values=(ValueRow("wrong", wrong),)))
    await client.append(job(1))
    assert actor.journal.appended == [job(1)]


async def test_what_breaks_the_actor_is_told_and_does_not_stop_what_follows() -> None:
    """An append that the actor can't even read fails; the next one is written."""
    actor = FakeActor()
    actor.script = ["broken"]
    client = JournalClient(actor.call)
    with pytest.raises(JournalError, match="can't be decoded"):
        await client.append(job(1))
    await client.append(job(2))
    assert [one.jobs[0].done for one in actor.journal.appended] == [2]


async def test_what_a_sender_holds_is_bounded() -> None:
    """Past its bound `append` takes nothing more until some was written."""
    actor = FakeActor()
    actor.pause = "the disk is full"
    client = JournalClient(actor.call)
    size = WAITING_BYTES // 4
    waiting = [asyncio.create_task(client.append(answer("job", place, size))) for place in range(20)]
    await _turns(20)
    assert len(client._waiting) <= 6
    actor.pause = ""
    await asyncio.gather(*waiting)
    assert len(actor.journal.appended) == 20


async def test_a_client_that_is_closed_sends_what_it_has() -> None:
    """What was appended before is written; what comes after is refused."""
    actor = FakeActor()
    client = JournalClient(actor.call)
    waiting = asyncio.create_task(client.append(job(1)))
    await asyncio.sleep(0)
    await client.close()
    await waiting
    with pytest.raises(JournalError, match="closed"):
        await client.append(job(2))


async def test_who_waits_is_told_when_the_client_is_closed_while_paused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits for ever for a journal that does not come back before the end."""
    monkeypatch.setattr(client_module, "_CLOSE_S", 0.01)
    actor = FakeActor()
    actor.pause = "the disk is full"
    client = JournalClient(actor.call)
    waiting = asyncio.create_task(client.append(job(1)))
    await _turns()
    await client.close()
    with pytest.raises(JournalError, match="the disk is full"):
        await waiting


async def test_making_a_client_touches_no_ray() -> None:
    """Who never uses the Journal pays nothing for it (the guard of these tests refuses Ray)."""
    client = ray_journal("nowhere")
    assert client.paused == ""
    await client.close()


async def test_an_item_knows_the_newest_step_that_was_given_the_same() -> None:
    """Of several eras the newest with just that input counts; another input is another step."""
    journal = MemoryJournal()
    for era, given_, data in ((0, b"h", b"old"), (1, b"h", b"new"), (2, b"other", b"else")):
        await journal.append(Append(steps=(StepRow("job", 7, era, "x", given_, data),)))
    steps = (await load_steps(journal, "job", {7: 2, 8: 0}))[7]
    assert (steps.era, steps.again) == (2, True)
    found = steps.known("x", b"h")
    assert found is not None
    assert (found.era, found.data) == (1, b"new")
    assert steps.known("x", b"nothing") is None
    assert steps.known("y", b"h") is None


async def test_a_step_is_kept_under_its_era() -> None:
    """What an item keeps is found by whoever begins it anew."""
    journal = MemoryJournal()
    await ItemSteps(journal, "job", 3, era=1).keep("x", b"h", b"data")
    assert await journal.steps("job", (3,)) == [StepRow("job", 3, 1, "x", b"h", b"data")]


async def test_what_items_recall_at_once_is_one_question() -> None:
    """Many items that ask at once cost one question, and each gets its own answers in its order."""
    actor = FakeActor()
    client = JournalClient(actor.call)
    for place in range(3):
        row = answer("job", place, 8).answers[0]
        keyed = type(row)("job", place, False, place, bytes((place,)), (bytes((place,)) * 16,))
        await client.append(Append(answers=(keyed,)))
    memory = JournalMemory(client)
    wanted = [[bytes((place,)) * 16, b"unknown" * 2] for place in range(3)]
    found = await asyncio.gather(*(memory.recall(keys) for keys in wanted))
    assert found == [[Recalled(bytes((place,)), 0), None] for place in range(3)]
    assert actor.reads <= 2


async def test_what_cant_be_read_is_not_remembered() -> None:
    """A journal that is paused makes items answered anew, not fail."""
    actor = FakeActor()
    actor.pause = "the disk is full"
    assert await JournalMemory(JournalClient(actor.call)).recall([b"k" * 16]) == [None]


async def test_an_answer_that_can_not_be_read_keeps_nobody_waiting() -> None:
    """Those who ask now and those who ask later are told that nothing is known."""

    async def garbage(_: str, __: bytes) -> bytes:
        return b"\xc1"

    memory = JournalMemory(JournalClient(garbage))
    for _ in range(2):
        found = memory.recall([b"k" * 16]), memory.recall([b"l" * 16])
        assert list(await asyncio.wait_for(asyncio.gather(*found), 1.0)) == [[None], [None]]


def test_the_answer_to_an_append_is_read_as_it_was_sent() -> None:
    """The wire keeps which were refused."""
    assert unpack_appended(encode(Appended("", {3: "why"}))) == Appended("", {3: "why"})
