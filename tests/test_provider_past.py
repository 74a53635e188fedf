"""A Provider of a cluster that begins soon after another one ended counts what that may have granted."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from understudy.actors.journal.api import Journal
from understudy.actors.journal.testing import MemoryJournal
from understudy.actors.mailbox.post import LocalPeers
from understudy.actors.provider import actor as module
from understudy.actors.provider.actor import Provider
from understudy.actors.provider.core import ProviderCore
from understudy.actors.provider.recent import Granted, age_s, encode, span_s, value_name
from understudy.protocols.config import Account, Limits
from understudy.protocols.journal import Append, ValueRow
from understudy.protocols.messages import LeaseAsk, LeaseGrant

NAME = "provider-a"
ACCOUNT = Account(base_url="http://192.0.2.1/v1", limits=Limits(rpm=100, window_s=60.0))
Found = Callable[[], Awaitable[Journal | None]]


@given(st.floats(0, 100), st.floats(0.1, 100), st.floats(0, 200), st.floats(0, 10))
def test_a_grant_counts_until_its_window_has_passed(at: float, window_s: float, later: float, guard_s: float) -> None:
    """Every grant that a value speaks for is at least as long ago as is said; none that still counts is passed over."""
    limits = Limits(rpm=1, window_s=window_s)
    value, last = encode(limits, wall=at), at + span_s(limits)
    found = age_s(value, limits, wall=at + later, guard_s=guard_s)
    ago = max(0.0, at + later - last)
    assert found == (ago if ago < window_s + guard_s else None)


def test_the_longer_window_counts() -> None:
    """Of the two that the account had then and has now."""
    short, long = Limits(rpm=1, window_s=1.0), Limits(rpm=1, window_s=60.0)
    assert age_s(encode(long, wall=0.0), short, wall=30.0, guard_s=0.0) == 25.0
    assert age_s(encode(short, wall=0.0), long, wall=30.0, guard_s=0.0) == 29.75


@asynccontextmanager
async def provider(find: Found, *, fresh: bool = True) -> AsyncIterator[tuple[Provider, list[LeaseGrant]]]:
    """A Provider that was started in a cluster, and the grants of a holder that asks for a request at once."""
    peers, grants = LocalPeers(), list[LeaseGrant]()
    holder = peers.open("holder")
    holder.on(LeaseGrant, lambda _, grant: grants.append(grant))
    settings = ACCOUNT.model_dump_json().encode()
    one = Provider(NAME, "test", account="a", settings=settings, fresh=fresh, journal=find)
    peers._posts[NAME] = one.post
    one.post._resolve = peers.resolve
    await one.pid()
    holder.tell(NAME, LeaseAsk(1, sizes=(1,), slots=1))
    for _ in range(30):
        await asyncio.sleep(0)
    yield one, grants
    await one.pid()
    if one._timer is not None:
        one._timer.cancel()
    await one.stop()
    await holder.close()
    for _ in range(5):
        await asyncio.sleep(0)


def found(journal: MemoryJournal | None) -> Found:
    """Where the Journal is."""

    async def find() -> Journal | None:
        return journal

    return find


def granted_until(journal: MemoryJournal, seconds: float) -> None:
    """An earlier Provider may have granted until then, from now."""
    value = msgspec.msgpack.encode(Granted(time.time() + seconds, 60.0))
    journal.write(Append(values=(ValueRow(value_name(NAME), value),)))


@pytest.mark.parametrize(("seconds", "free"), [(-1.0, False), (3.0, False), (-59.0, False), (-70.0, True)])
async def test_a_recent_past_counts_as_used(seconds: float, *, free: bool) -> None:
    """Within a window nothing is granted before what may have been granted then counts no more."""
    journal = MemoryJournal()
    granted_until(journal, seconds)
    async with provider(found(journal)) as (one, grants):
        assert bool(grants) == free
        at = one._core.next_wake()
        assert free or (at is not None and at - time.monotonic() < 61 + seconds + 6)


async def test_without_a_past_or_a_journal_it_grants_at_once() -> None:
    """A journal that has no such value, and a cluster without a Journal, hold up nothing."""
    for journal in (MemoryJournal(), None):
        async with provider(found(journal)) as (_, grants):
            assert len(grants) == 1


async def test_what_it_grants_is_written() -> None:
    """Once for all grants within the time a value speaks for, also by a Provider that took the place of another."""
    journal = MemoryJournal()
    async with provider(found(journal)) as (one, _):
        assert one._past.due(time.monotonic()) is False
    assert [row.name for rows in journal.appended for row in rows.values] == [value_name(NAME)]
    async with provider(found(journal)) as (_, grants):
        assert grants == []
    async with provider(found(journal), fresh=False) as (_, grants):
        assert grants == []


async def test_a_slow_journal_holds_up_the_first_grant_for_a_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    """What it says later counts from then on."""
    monkeypatch.setattr(module, "LOOK_BACK_S", 0.005)
    journal = MemoryJournal()
    granted_until(journal, 0.0)
    journal.stop("it starts")
    go = asyncio.Event()

    async def find() -> Journal | None:
        await go.wait()
        return journal

    async with provider(find) as (one, grants):
        assert grants == []
        for _ in range(100):
            await asyncio.sleep(0.001)
            if grants:
                break
        assert len(grants) == 1
        journal.go()
        go.set()
        for _ in range(10):
            await asyncio.sleep(0.001)
        assert one._core.snapshot(now=time.monotonic()).used_requests == 100
        assert len(journal.appended) == 2, "what it granted is written after the past was read"


def test_slots_of_an_earlier_cluster_are_free() -> None:
    """Its calls have ended with it, though its requests still count; a Provider's own successor holds them."""
    limits = Limits(rpm=100, window_s=60.0, concurrency=8)
    for past, free in ((True, 8), (False, 0)):
        core = ProviderCore("a", Account(base_url="http://192.0.2.1/v1", limits=limits), epoch=1, now=0.0, fresh=past)
        if past:
            core.presume_used(now=0.0, age_s=0.0)
        later = 75.0  # its window is over; its calls may last longer
        said = core.ask("m", LeaseAsk(1, sizes=(1,) * 8, slots=8), cause="x", now=later)
        assert sum(one.payload.slots for one in said if isinstance(one.payload, LeaseGrant)) == free
