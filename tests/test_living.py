"""A cluster that has jobs says that it lives, and is believed only while it does."""

import msgspec
import pytest

from understudy.actors.journal.testing import MemoryJournal
from understudy.protocols.journal import Append, ValueRow
from understudy.supervisors.supervisor import living as module
from understudy.supervisors.supervisor.living import STILL_S, Beat, beat, lives, silence

NOW = 1_800_000_000.0


@pytest.fixture(autouse=True)
def clocks(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """A clock that only sleeping moves."""
    passed = [0.0]

    async def sleep(seconds: float) -> None:
        passed[0] += seconds

    monkeypatch.setattr("time.time", lambda: NOW + passed[0])
    monkeypatch.setattr("time.monotonic", lambda: passed[0])
    monkeypatch.setattr("asyncio.sleep", sleep)
    return passed


def said(*, at: float = NOW, node: str = "far", pid: int = 1) -> MemoryJournal:
    """A Journal in which the cluster `c` has said that."""
    journal = MemoryJournal()
    journal.write(Append(values=(ValueRow("cluster/c", msgspec.msgpack.encode(Beat(at, node, pid))),)))
    return journal


async def test_who_has_said_nothing_is_gone() -> None:
    """Also while others live; and who has no jobs any more."""
    journal = said()
    assert not await lives("b", journal.values)
    journal.write(Append(values=(silence("c"),)))
    assert not await lives("c", journal.values)


async def test_on_this_machine_it_is_seen_at_once(monkeypatch: pytest.MonkeyPatch, clocks: list[float]) -> None:
    """By its process; and what was said long ago may be of a process that had the number before."""
    journal = MemoryJournal()
    journal.write(Append(values=(beat("c", now=NOW),)))
    assert await lives("c", journal.values)
    journal.write(Append(values=(beat("c", now=NOW - STILL_S),)))
    assert not await lives("c", journal.values)
    monkeypatch.setattr(module, "_process", lambda _: False)
    journal.write(Append(values=(beat("c", now=NOW),)))
    assert not await lives("c", journal.values)
    assert clocks == [0.0]


async def test_elsewhere_one_more_beat_is_waited_for(clocks: list[float]) -> None:
    """Nothing new within three beats: it is dead; clocks that differ a little do no harm."""
    for at in (NOW - 5.0, NOW + 50.0):
        assert not await lives("c", said(at=at).values)
    assert clocks[0] == 2 * STILL_S
    for at in (NOW - 1e6, NOW + 1e6):
        assert not await lives("c", said(at=at).values)
    assert clocks[0] == 2 * STILL_S
    journal = said(at=NOW - 50.0)

    async def values(prefix: str) -> dict[str, bytes]:
        found = await journal.values(prefix)
        journal.write(said(at=NOW + 5.0).appended[0])
        return found

    assert await lives("c", values)
