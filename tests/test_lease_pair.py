"""Leases and a Provider joined by a fake wire: delays, a Provider that dies, 429s, and calls of any size and length."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lease_world import CALL_S, WINDOW_S, Answer, Serve, World, account

from understudy.actors.channel.lease import Lease
from understudy.actors.provider.core import ProviderCore
from understudy.protocols.config import Limits, Timeouts
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


@settings(max_examples=100)
@given(
    quotas,
    st.lists(
        st.tuples(
            st.sampled_from(["a/x", "a/y", "b/x", "b"]),
            st.sampled_from([0.0, 0.05, 0.5, 2.0]),
            st.lists(st.integers(1, 60), min_size=1, max_size=12),
        ),
        min_size=1,
        max_size=10,
    ),
    st.integers(0, 1 << 30),
)
def test_the_law_holds_for_holders_with_a_lease_for_each_share(
    limits: Limits, wants: list[tuple[str, float, list[int]]], seed: int
) -> None:
    """Shares of one sender are leases apart: no quota is passed, every call is served, all permits come back."""
    world = World(account(limits), ["a/x", "a/y", "b/x", "b"], erratic(seed), seed, twice=0.1)
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
@given(quotas, demands, st.integers(0, 1 << 30), st.floats(0, 4))
def test_a_closed_lease_keeps_nothing(
    limits: Limits, wants: list[tuple[str, float, list[int]]], seed: int, open_s: float
) -> None:
    """A share whose work ends, with calls waiting, out, or granted on the way, takes no permit and no slot with it."""
    world = World(account(limits), ["a/x", "a/y", "b"], erratic(seed), seed, twice=0.1)
    names = {"a": "a/x", "b": "a/y", "c": "b"}
    world.at(world.now + open_s, lambda: world.holder_closes("a/x"))
    for name, gap, sizes in wants:
        world.run(gap)
        world.holders[names[name]].want(sizes)
    total = sum(len(sizes) for name, _, sizes in wants if name != "a")
    for _ in range(200):
        if world.now > 1000.0 + open_s and world.holders["a/y"].served + world.holders["b"].served == total:
            break
        world.run(5.0)
    world.check_law()
    assert world.holders["a/y"].served + world.holders["b"].served == total
    world.check_all_is_back()


@settings(max_examples=60)
@given(
    st.lists(quotas, min_size=1, max_size=4),
    demands,
    st.integers(0, 1 << 30),
    st.sampled_from([None, 3.0, 9.0]),
)
def test_the_law_holds_when_limits_change(
    changes: list[Limits], wants: list[tuple[str, float, list[int]]], seed: int, window_s: float | None
) -> None:
    """New limits apply to what is granted from then on: each window keeps the largest limits that held in it."""
    first = Limits(rpm=30, tpm=900, concurrency=4)
    world = World(account(first), "abc", erratic(seed, failing=0.0), seed)
    known = [first]
    for place, (name, gap, sizes) in enumerate(wants):
        world.run(gap)
        if place < len(changes):
            known.append(changes[place])
            world.configure(changes[place], window_s=window_s)
        world.holders[name].want([min(size, 60) for size in sizes])
    total = sum(len(sizes) for _, _, sizes in wants)
    for _ in range(200):
        if sum(holder.served for holder in world.holders.values()) == total:
            break
        world.run(5.0)
    assert sum(holder.served for holder in world.holders.values()) == total
    # None is unlimited, and so is then the largest.
    loosest = Limits(
        rpm=None if any(it.rpm is None for it in known) else max(it.rpm or 0 for it in known),
        tpm=None if any(it.tpm is None for it in known) else max(it.tpm or 0 for it in known),
        concurrency=None if any(it.concurrency is None for it in known) else max(it.concurrency or 0 for it in known),
    )
    world.account = account(loosest)
    world.check_law(min(WINDOW_S, window_s or WINDOW_S))
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


@pytest.mark.parametrize(
    "limits", [Limits(rpm=120), Limits(tpm=1200), Limits(concurrency=6), Limits(rpm=300, tpm=2000)]
)
def test_two_jobs_of_ten_to_one_demand_get_equal_service(limits: Limits) -> None:
    """While both have backlog two jobs of equal weight get the same within 10 %, though one has ten times the demand.

    The large one works on four mappers, the small one on one.
    """
    wide, narrow = ["a/big", "b/big", "c/big", "d/big"], "e/small"
    world = World(account(limits), [narrow, *wide], lambda _: Answer(0.05), 1)
    world.holders[narrow].want([10] * 3000)
    for name in wide:
        world.holders[name].want([10] * 7500)
    world.run(WINDOW_S * 2)  # the first ask takes what is there
    before = [world.holders[name].served for name in [narrow, *wide]]
    world.run(WINDOW_S * 8)
    assert all(holder.waiting for holder in world.holders.values())
    got = [world.holders[name].served - old for name, old in zip([narrow, *wide], before, strict=True)]
    assert got[0] == pytest.approx(sum(got[1:]), rel=0.1)
    assert max(got[1:]) <= 1.2 * min(got[1:])
    world.check_law()


@pytest.mark.parametrize("weight", [2.0, 5.0])
def test_weights_of_jobs_and_tenants_hold_on_the_wire(weight: float) -> None:
    """A tenant of weight w gets w times as much as one of weight 1, whatever the weights of their jobs."""
    leases = {
        "a/T1": Lease(share="T1", tenant="T", tenant_weight=weight, weight=9.0),
        "b/T2": Lease(share="T2", tenant="T", tenant_weight=weight, weight=3.0),
        "c/U1": Lease(share="U1", tenant="U", weight=100.0),
    }
    world = World(account(Limits(rpm=240)), leases, lambda _: Answer(0.05), 1, leases=leases)
    for holder in world.holders.values():
        holder.want([10] * 9000)
    world.run(WINDOW_S * 2)
    before = [holder.served for holder in world.holders.values()]
    world.run(WINDOW_S * 10)
    one, two, other = (holder.served - old for holder, old in zip(world.holders.values(), before, strict=True))
    assert one + two == pytest.approx(weight * other, rel=0.1)
    assert one == pytest.approx(3 * two, rel=0.1)


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


def test_a_successor_of_the_provider_hears_of_retry_after() -> None:
    """A Provider that was restarted while the account wanted to be left alone lets nobody call it before."""
    refused = iter([True])
    world = World(
        account(Limits(concurrency=50)),
        "ab",
        lambda _: Answer(0.1, "rate_limited", 4.0) if next(refused, False) else Answer(0.1),
        1,
    )
    world.core.limiter.call_s = 0.1  # its successor's slots are closed for as long as a call may last
    world.account = world.account.model_copy(update={"timeouts": Timeouts(total_s=0.1)})
    world.holders["a"].want([1])
    world.run(0.5)
    [(_, until)] = world.told
    world.at(world.now, world.provider_dies)
    world.at(world.now + 0.1, world.provider_returns)
    world.run(1.5)
    world.holders["b"].want([1] * 5)
    world.run(10.0)
    assert [start for start, _, _ in world.out if world.told[0][0] < start < until] == []
    assert (world.holders["a"].served, world.holders["b"].served) == (1, 5)


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
