"""Leases and a Provider joined by a fake wire: delays, a Provider that dies, 429s, and calls of any size and length."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lease_world import CALL_S, WINDOW_S, Answer, Serve, World, account

from understudy.actors.provider.core import ProviderCore
from understudy.protocols.config import Limits
from understudy.protocols.messages import LeaseAsk, LeaseGrant, Outcome

quotas = st.builds(
    Limits,
    rpm=st.none() | st.integers(4, 60),
    tpm=st.none() | st.integers(60, 900),
    concurrency=st.none() | st.integers(1, 8),
)
demands = st.lists(
    st.tuples(
        st.sampled_from("abc"),
        st.sampled_from([0.0, 0.05, 0.5, 2.0]),
        st.lists(st.integers(1, 60), min_size=1, max_size=12),
    ),
    min_size=1,
    max_size=10,
)


def erratic(seed: int, *, failing: float = 0.1) -> Serve:
    rng = random.Random(seed)

    def serve(_: float) -> Answer:
        took = rng.choice([0.01, 0.1, 0.4, rng.uniform(0, CALL_S)])
        if rng.random() < failing:
            kind: Outcome = rng.choice(
                ["server", "timeout", "rate_limited", "rate_limited", "connection", "invalid_reply"]
            )
            retry = rng.choice([None, 0.3, 2.0]) if kind == "rate_limited" else None
            return Answer(took, kind, retry)
        return Answer(took)

    return serve


@settings(max_examples=150)
@given(quotas, demands, st.integers(0, 1 << 30), st.sampled_from([0.0, 0.2]))
def test_the_law_holds_and_every_call_is_served(
    limits: Limits, wants: list[tuple[str, float, list[int]]], seed: int, twice: float
) -> None:
    """With failures, 429s and asks that come twice no quota is passed; every call is served; all permits come back."""
    world = World(account(limits), "abc", erratic(seed), seed, twice=twice)
    for name, gap, sizes in wants:
        world.run(gap)
        world.holders[name].want(sizes)
    total = sum(len(sizes) for _, _, sizes in wants)
    for _ in range(200):
        if sum(holder.served for holder in world.holders.values()) == total:
            break
        world.run(5.0)
    world.check_law()
    assert sum(holder.served for holder in world.holders.values()) == total
    world.check_all_is_back()


@settings(max_examples=100)
@given(quotas, demands, st.integers(0, 1 << 30), st.floats(0, 6), st.floats(0, 1))
def test_the_law_holds_when_the_provider_dies(
    limits: Limits, wants: list[tuple[str, float, list[int]]], seed: int, alive_s: float, dead_s: float
) -> None:
    """A successor grants nothing that an old lease could still spend, and everybody is served by it."""
    world = World(account(limits), "abc", erratic(seed, failing=0.0), seed)
    world.at(world.now + alive_s, world.provider_dies)
    world.at(world.now + alive_s + dead_s, world.provider_returns)
    for name, gap, sizes in wants:
        world.run(gap)
        world.holders[name].want(sizes)
    total = sum(len(sizes) for _, _, sizes in wants)
    for _ in range(100):
        if sum(holder.served for holder in world.holders.values()) == total:
            break
        world.run(5.0)
    world.check_law()
    assert sum(holder.served for holder in world.holders.values()) == total
    world.check_all_is_back()


@settings(max_examples=60)
@given(quotas.filter(lambda limits: limits.concurrency is None), demands, st.integers(0, 1 << 30), st.floats(0, 4))
def test_a_dead_holder_takes_nothing_with_it(
    limits: Limits, wants: list[tuple[str, float, list[int]]], seed: int, alive_s: float
) -> None:
    """The permits of a holder that dies come back when they can't matter any more, and the others are served."""
    world = World(account(limits), "abc", erratic(seed, failing=0.0), seed)
    world.at(world.now + alive_s, lambda: world.holder_dies("a"))
    for name, gap, sizes in wants:
        world.run(gap)
        world.holders[name].want(sizes)
    total = sum(len(sizes) for name, _, sizes in wants if name != "a")
    for _ in range(100):
        if sum(world.holders[name].served for name in "bc") == total:
            break
        world.run(5.0)
    world.check_law()
    assert sum(world.holders[name].served for name in "bc") == total
    world.check_all_is_back()


@pytest.mark.parametrize(
    ("limits", "most"),
    [
        (Limits(rpm=120), 120),
        (Limits(tpm=1200), 120),
        (Limits(rpm=120, tpm=1200, concurrency=40), 120),
    ],
)
@pytest.mark.parametrize("holders", ["a", "abcd"])
def test_a_quota_is_used_up(limits: Limits, most: int, holders: str) -> None:
    """With endless demand the account is used to 97 % and never passed, by one holder or by four alike."""
    world = World(account(limits), holders, lambda _: Answer(0.05), 1)
    for holder in world.holders.values():
        holder.want([10] * 2000)
    world.run(WINDOW_S * 12)
    world.check_law()
    # The first window is spent in one burst; each later one is as full as the first.
    assert len(world.arrived) >= 0.97 * most * 11
    shares = [holder.served for holder in world.holders.values()]
    assert min(shares) >= 0.7 * sum(shares) / len(shares)
    assert world.asks <= 2 * len(world.arrived)


def test_concurrency_is_used_and_shared() -> None:
    """Slots go round: with endless demand all are in use almost always, and each holder has its share."""
    world = World(account(Limits(concurrency=6)), "abc", lambda _: Answer(0.5), 1)
    for holder in world.holders.values():
        holder.want([10] * 2000)
    world.run(60.0)
    world.check_law()
    served = [holder.served for holder in world.holders.values()]
    assert sum(served) >= 0.85 * 6 * 60.0 / 0.5
    assert min(served) >= 0.8 * max(served)


def test_slots_that_come_free_serve_an_ask_that_waits_for_them() -> None:
    """A holder that has all the slots and asks for more is served as its own calls end."""
    world = World(account(Limits(concurrency=5)), "a", lambda _: Answer(0.3), 1)
    world.holders["a"].want([1] * 5)
    world.run(0.1)
    world.holders["a"].want([1] * 3)
    world.run(1.5)
    assert world.holders["a"].served == 8
    world.check_all_is_back()


def test_an_idle_holder_gives_back_and_comes_again() -> None:
    """A holder that was idle for long is served at once when it is busy again, and meanwhile holds nothing."""
    world = World(account(Limits(rpm=20, concurrency=4)), "ab", lambda _: Answer(0.05), 1)
    world.holders["a"].want([1] * 4)
    world.check_all_is_back()
    world.holders["b"].want([1] * 4)
    world.run(0.5)
    assert world.holders["b"].served == 4
    world.run(60.0)
    world.holders["a"].want([1] * 4)
    world.run(0.5)
    assert world.holders["a"].served == 8


def test_a_call_larger_than_the_quota_is_told_and_holds_up_nobody() -> None:
    """What can never be granted is refused at once; the calls behind it are served."""
    world = World(account(Limits(tpm=100)), "ab", lambda _: Answer(0.05), 1)
    world.holders["a"].want([101, 10, 500, 20])
    world.holders["b"].want([30])
    world.run(1.0)
    assert sorted(world.holders["a"].too_large) == [101, 500]
    assert (world.holders["a"].served, world.holders["b"].served) == (2, 1)


def test_nobody_calls_before_retry_after() -> None:
    """Once the word has gone round, nobody sends anything before the time; then all go on."""
    refused = iter([True])
    world = World(
        account(Limits(rpm=200)),
        "abc",
        lambda _: Answer(0.1, "rate_limited", 3.0) if next(refused, False) else Answer(0.1),
        1,
    )
    for holder in world.holders.values():
        holder.want([1] * 30)
    world.run(0.5)
    for holder in world.holders.values():
        holder.want([1] * 30)
    world.run(10.0)
    [(told, until)] = world.told
    heard = told + 2 * 0.08  # the settlement and the revocation are on their way
    assert [start for start, _, _ in world.out if heard < start < until] == []
    world.run(30.0)
    assert sum(holder.served for holder in world.holders.values()) == 180


def test_one_probe_decides_for_all() -> None:
    """While half-open one call is out in the whole system; when it is good, everybody goes on within seconds."""
    world = World(
        account(Limits(rpm=1000), failures=3), "abcd", lambda at: Answer(0.4, "server" if at < 1006.0 else "ok"), 1
    )
    for holder in world.holders.values():
        holder.want([1] * 10)
    world.run(1.5)
    opened = world.now
    world.run(4.4)  # the outage ends at 1006; each pause is 1 or 2 s
    tries = [start for start, _, _ in world.out if opened < start < 1006.0]
    assert 1 <= len(tries) <= 5
    assert all(probe for start, _, probe in world.out if opened < start < 1006.0)
    world.run(6.0)
    assert sum(holder.served for holder in world.holders.values()) == 40
    world.check_law()


def test_a_probe_that_is_given_back_is_given_to_another() -> None:
    """A holder that got the probe and has no call for it any more gives it back; another probes at once."""
    core = ProviderCore("a", account(Limits(rpm=100), failures=1), epoch=1, now=0.0)
    core.breaker.record(ok=False, probe=False, now=0.0)
    [granted] = core.ask("h", LeaseAsk(1, sizes=(5,), slots=1), cause="", now=1.5)
    assert isinstance(granted.payload, LeaseGrant)
    assert granted.payload.probe
    [refused] = core.ask("i", LeaseAsk(1, sizes=(5,), slots=1), cause="", now=1.6)
    assert isinstance(refused.payload, LeaseGrant)
    assert refused.payload.blocked_s > 0
    core.ask("h", LeaseAsk(2, epoch=1, back_requests=1, back_tokens=5, back_probe=True), cause="", now=1.7)
    [second] = core.ask("i", LeaseAsk(2, epoch=1, sizes=(5,), slots=1), cause="", now=1.8)
    assert isinstance(second.payload, LeaseGrant)
    assert second.payload.probe
