"""What hedgers have earned outlives their process, in the same cluster; it is neither doubled nor lost."""

import asyncio
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from understudy.actors.call import saving as module
from understudy.actors.call.hedging import Hedger
from understudy.actors.call.saving import Saving
from understudy.actors.call.savings import Savings, prefix, value_name
from understudy.actors.call.switchboard import Switchboard
from understudy.actors.journal.testing import MemoryJournal
from understudy.actors.mailbox.post import LocalPeers
from understudy.protocols.config import Config, encode
from understudy.protocols.errors import JournalError
from understudy.protocols.jobs import JobSpec
from understudy.protocols.routes import Hedging

HEDGE = Hedging(share=0.05)


def hedger() -> Hedger:
    """One of the route `fast`."""
    return Hedger(HEDGE, rng=random.Random(0))


def earn(one: Hedger, calls: int) -> None:
    """So many calls begin."""
    for _ in range(calls):
        one.began("a/m", "1/1", now=0.0)


def spend(one: Hedger) -> bool:
    """A hedge goes out, if it may."""
    return one.allow("a/m", "1/1", cost=0, elapsed_s=9.0, sent=0)


lives = st.lists(st.lists(st.tuples(st.sampled_from(["earn", "spend", "write"]), st.integers(1, 60)), max_size=12))


@given(lives)
def test_a_process_goes_on_with_what_was_written_last(script: list[list[tuple[str, int]]]) -> None:
    """Over any number of lives, a hedger has what was written last, and what it has earned less what it spent since."""
    values: dict[str, bytes] = {}
    written = 0
    for life in script:
        savings, one = Savings("here", values), hedger()
        expected = written
        savings.settle({"n": one})
        assert one.credit == expected
        for what, number in life:
            before = one.credit
            if what == "earn":
                earn(one, number)
                assert one.credit >= before
            elif what == "spend":
                assert spend(one) <= (before >= 1_000_000)
            else:
                rows = savings.settle({"n": one})
                assert bool(rows) == (one.credit != written)
                values |= {row.name: row.value for row in rows}
                written = one.credit


def test_another_clusters_credit_is_not_taken_over() -> None:
    """Its calls are long over; the value is taken by this cluster when something is earned here."""
    one = hedger()
    earn(one, 100)
    [row] = Savings("there", {}).settle({"n": one})
    fresh = hedger()
    savings = Savings("here", {"n": row.value})
    assert savings.settle({"n": fresh}) == ()
    assert fresh.credit == 0
    earn(fresh, 1)
    assert [row.name for row in savings.settle({"n": fresh})] == ["n"]


def test_credit_that_is_given_back_is_bounded() -> None:
    """No more than may be saved up at all."""
    one = hedger()
    earn(one, 100_000)
    most = one.credit
    one.restore(most)
    assert one.credit == most


def test_routes_of_two_configurations_are_told_apart() -> None:
    """Also where they have one name; both are found by the actor's name."""
    names = {value_name("mapper-0", config, "fast") for config in (b"a", b"b")}
    assert len(names) == 2
    assert all(name.startswith(prefix("mapper-0")) for name in names)


async def here() -> str:
    """The cluster."""
    return "here"


CONFIG = Config.model_validate(
    {
        "accounts": {"a": {"base_url": "http://192.0.2.1/v1"}},
        "models": {"fast": {"candidates": [{"account": "a", "model": "m"}], "hedge": {"share": 0.05}}},
    }
)


async def life(journal: MemoryJournal, *, calls: int, mode: str = "ahead") -> int:
    """An actor's life with a job: what its hedger had at once, and how it is written."""
    peers = LocalPeers()
    post = peers.open("mapper-0")
    board = Switchboard(post, environ={}, journal=lambda: journal)
    assert board._saving is not None
    board._saving._cluster = here
    spec = JobSpec("j", "", "", b"", encode(CONFIG), journal=mode)  # type: ignore[arg-type]
    board.caller(spec)
    one = board._kit(spec.config).hedger("fast", HEDGE)
    for _ in range(5):
        await asyncio.sleep(0.001)
    found = one.credit
    earn(one, calls)
    for _ in range(5):
        await asyncio.sleep(0.002)
    await board.close()
    await post.close()
    return found


async def test_an_actors_successor_has_its_credit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Written while it lives; nothing is kept of an actor whose jobs are not journaled."""
    monkeypatch.setattr(module, "EVERY_S", 0.001)
    journal = MemoryJournal()
    assert await life(journal, calls=20) == 0
    assert await life(journal, calls=20) == 20 * 50_000
    assert await life(journal, calls=0) == 40 * 50_000
    silent = MemoryJournal()
    assert await life(silent, calls=20, mode="off") == 0
    assert silent.appended == []


async def test_a_journal_that_can_not_be_read_holds_up_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """Credit is given back when it can be read; where it never can, it is lost with the process, as is said."""
    monkeypatch.setattr(module, "EVERY_S", 0.001)
    journal = MemoryJournal()
    await life(journal, calls=20)
    journal.stop("the disk is gone")
    assert await life(journal, calls=0) == 0
    journal.go()
    assert await life(journal, calls=0) == 20 * 50_000

    async def broken(_: str) -> dict[str, bytes]:
        raise JournalError("no journal")

    journal.values = broken  # type: ignore[method-assign, assignment]
    assert await life(journal, calls=0) == 0


async def test_only_routes_that_hedge_are_saved() -> None:
    """Without one, the Journal is not asked for at all."""

    def none() -> MemoryJournal:
        raise AssertionError

    saving = Saving("mapper-0", none, cluster=here)
    plain = CONFIG.model_copy(update={"models": {}})
    saving.watch(b"", type("Kit", (), {"config": plain})())
    assert saving._task is None
    await saving.close()
