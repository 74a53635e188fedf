"""The limiter's law: whatever holders do, no sliding window at the provider passes the quota."""

import dataclasses
import random
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from understudy.actors.provider.limiter import Block, Limiter
from understudy.actors.provider.testing import most_at_once, worst_window
from understudy.protocols.config import Limits
from understudy.protocols.messages import Outcome, Spent

WINDOW_S, GUARD_S, TTL_S, CALL_S = 6.0, 0.25, 0.5, 20.0


@dataclasses.dataclass
class Call:
    """A request that left: when, how much it reserved, when it ends, and how."""

    sent: float
    reserved: int
    ends: float
    outcome: Outcome
    tokens: int


@dataclasses.dataclass
class Naive:
    """A holder as the protocol allows it: it spends what it has until its lease ends, and settles what has ended."""

    requests: int = 0
    tokens: int = 0
    slots: int = 0
    until: float = 0.0
    calls: list[Call] = dataclasses.field(default_factory=list)


class World:
    """Holders, the limiter, and the provider that writes down what arrives."""

    def __init__(self, limits: Limits, seed: int) -> None:
        self.limits = limits
        self.rng = random.Random(seed)
        self.limiter = Limiter(limits, ttl_s=TTL_S, call_s=CALL_S)
        self.now = 100.0
        self.holders = {name: Naive() for name in "abc"}
        self.arrived: list[tuple[float, int]] = []
        self.out: list[tuple[float, float]] = []

    def ask(self, name: str) -> None:
        holder = self.holders[name]
        sizes = [self.rng.randint(1, 40) for _ in range(self.rng.randint(1, 8))]
        slots = max(0, len(sizes) - holder.slots)
        block = self.limiter.grant(name, sizes, now=self.now, slots=slots)
        if block.requests:
            if self.now >= holder.until:  # what it had has ended, and it says so late or never
                holder.requests = holder.tokens = 0
            holder.requests += block.requests
            holder.tokens += block.tokens
            # The grant takes its time, which is taken off its life.
            holder.until = max(holder.until, self.now + TTL_S - self.rng.uniform(0, 0.1))
        holder.slots += max(block.slots, 0)

    def spend(self, name: str) -> None:
        holder = self.holders[name]
        limited = self.limits.concurrency is not None
        if self.now >= holder.until or not holder.requests or not holder.tokens or (limited and not holder.slots):
            return
        size = self.rng.randint(1, min(40, holder.tokens))
        holder.requests -= 1
        holder.tokens -= size
        holder.slots -= limited
        took = self.rng.choice([0.01, 0.2, 1.0, 5.0, self.rng.uniform(0, CALL_S)])
        outcome = self.rng.choice(["ok", "ok", "ok", "timeout", "cancelled", "server", "rate_limited"])
        unseen = outcome in {"timeout", "cancelled"}
        tokens = self.rng.randint(0, size)
        holder.calls.append(Call(self.now, size, self.now + took, outcome, tokens))  # type: ignore[arg-type]
        travel = self.rng.uniform(0, GUARD_S if unseen else min(took, GUARD_S))
        self.arrived.append((self.now + self.rng.choice([0, travel]), tokens))
        self.out.append((self.now, self.now + took))

    def settle(self, name: str, *, lost: bool = False) -> None:
        holder = self.holders[name]
        for call in [call for call in holder.calls if call.ends <= self.now]:
            holder.calls.remove(call)
            holder.slots += self.limits.concurrency is not None
            if not lost:
                # Its age is told when it is said, and it is heard later.
                age = max(self.now - call.sent - self.rng.uniform(0, 0.2), 0)
                took = call.ends - call.sent
                spent = Spent(age, took, call.reserved, call.tokens, call.outcome)
                self.limiter.settle(name, spent, now=self.now)

    def give_back(self, name: str) -> None:
        holder = self.holders[name]
        self.limiter.give_back(name, requests=holder.requests, tokens=holder.tokens, slots=holder.slots)
        holder.requests = holder.tokens = holder.slots = 0

    def die(self, name: str) -> None:
        """Its sockets close: what the provider was doing for it ends."""
        self.limiter.forget(name, now=self.now)
        self.out = [(start, min(end, self.now)) for start, end in self.out]
        for other, holder in self.holders.items():
            if other != name:
                self.out += [(self.now, call.ends) for call in holder.calls if call.ends > self.now]
        self.holders[name] = Naive()

    def step(self, gap: float, act: int, name: str) -> None:
        self.now += gap
        if act <= 3:
            self.ask(name)
        elif act <= 8:
            self.spend(name)
        elif act <= 10:
            self.settle(name)
        elif act == 11:
            self.settle(name, lost=True)
        elif act == 12:
            self.give_back(name)
        else:
            self.die(name)
        self.limiter.validate()

    def check(self) -> None:
        limits = self.limits
        if limits.rpm:
            assert worst_window([(at, 1) for at, _ in self.arrived], WINDOW_S) <= limits.rpm
        if limits.tpm:
            assert worst_window(self.arrived, WINDOW_S) <= limits.tpm
        if limits.concurrency:
            assert most_at_once([span for span in self.out if span[0] < span[1]]) <= limits.concurrency


quotas = st.builds(
    Limits,
    rpm=st.none() | st.integers(1, 8),
    tpm=st.none() | st.integers(40, 150),
    concurrency=st.none() | st.integers(1, 5),
    window_s=st.just(WINDOW_S),
    guard_s=st.just(GUARD_S),
)
moves = st.lists(
    st.tuples(st.sampled_from([0.0, 0.0, 0.01, 0.1, 0.4, 1.0, 5.9]), st.integers(0, 13), st.sampled_from("abc")),
    min_size=10,
    max_size=150,
)


@settings(max_examples=400)
@given(quotas, moves, st.integers(0, 1 << 30))
def test_no_window_at_the_provider_ever_passes_the_quota(
    limits: Limits, steps: list[tuple[float, int, str]], seed: int
) -> None:
    """Requests, tokens and calls in flight stay within the quota, as the provider counts them at arrival."""
    world = World(limits, seed)
    for gap, act, name in steps:
        world.step(gap, act, name)
    world.check()


@pytest.mark.parametrize("seed", range(12))
def test_no_window_passes_the_quota_in_long_runs(seed: int) -> None:
    """The same law over thousands of random moves, which shrink badly but reach far."""
    rng = random.Random(seed)
    limits = Limits(rpm=rng.randint(3, 20), tpm=rng.randint(60, 400), concurrency=rng.choice([None, 3, 8]),
                    window_s=WINDOW_S, guard_s=GUARD_S)  # fmt: skip
    world = World(limits, seed)
    for _ in range(1500):
        world.step(
            rng.choice([0.0, 0.01, 0.05, 0.2]),
            rng.choices(range(14), [1] * 11 + [0.2, 0.5, 0.05])[0],
            rng.choice("abc"),
        )
    world.check()
    assert len(world.arrived) > 20


@given(quotas, moves, st.integers(0, 1 << 30))
def test_no_permit_leaks(limits: Limits, steps: list[tuple[float, int, str]], seed: int) -> None:
    """When all is settled and returned and a window has passed, the whole quota is free again."""
    world = World(limits, seed)
    for gap, act, name in steps:
        world.step(gap, act, name)
    world.now += CALL_S
    for name in world.holders:
        world.settle(name)
        world.give_back(name)
    limiter = world.limiter
    assert (limiter.leased_slots, [h.slots for h in limiter.holdings.values()]) == (0, [0] * len(limiter.holdings))
    world.now += TTL_S + GUARD_S + WINDOW_S + 0.1
    room = limiter.room(now=world.now)
    assert room == Block(limiter.quota.requests, limiter.quota.tokens, limiter.quota.slots)
    assert (limiter.leased_requests, limiter.leased_tokens, limiter.requests.used, limiter.tokens.used) == (0, 0, 0, 0)


@given(quotas, st.lists(st.integers(1, 40), min_size=1, max_size=12), st.integers(0, 12))
def test_grants_the_longest_prefix_that_fits(limits: Limits, sizes: list[int], own: int) -> None:
    """A grant is the longest prefix of what is asked that fits requests, tokens and slots; in whole calls."""
    limiter = Limiter(limits, ttl_s=TTL_S)
    own = min(own, len(sizes))
    block = limiter.grant("a", sizes, now=0.0, slots=len(sizes) - own)

    def fits(count: int) -> bool:
        return (
            count <= (limits.rpm or count)
            and sum(sizes[:count]) <= (limits.tpm or 10**9)
            and (limits.concurrency is None or max(0, count - own) <= limits.concurrency)
        )

    best = max(count for count in range(len(sizes) + 1) if all(fits(less) for less in range(count + 1)))
    assert (block.requests, block.tokens) == (best, sum(sizes[:best]))
    assert block.slots == (-1 if limits.concurrency is None else max(0, best - own) if best else 0)


def steady(limits: Limits, *, took: float, ttl_s: float, seconds: float) -> list[float]:
    """Arrivals with endless demand from one prompt holder that settles as each call ends."""
    limiter, now, arrivals = Limiter(limits, ttl_s=ttl_s, call_s=5.0), 0.0, list[float]()
    out: list[float] = []
    while now < seconds:
        for sent in [sent for sent in out if sent + took <= now]:
            out.remove(sent)
            limiter.settle("a", Spent(now - sent, took, 10, 10, "ok"), now=now)
            limiter.give_back("a", requests=0, tokens=0, slots=1)
        for _ in range(limiter.grant("a", [10] * 50, now=now).requests):
            arrivals.append(now)
            out.append(now)
        now += 0.01
    return arrivals


@pytest.mark.parametrize(
    ("limits", "most"),
    [
        (Limits(rpm=60, window_s=6.0), 60),
        (Limits(tpm=600, window_s=6.0), 60),
        (Limits(rpm=60, tpm=600, concurrency=50, window_s=6.0), 60),
    ],
)
def test_a_quota_is_used_up(limits: Limits, most: int) -> None:
    """With endless demand more than 95 % of the quota is used in each full window: permits do not leak into waiting."""
    arrivals = steady(limits, took=0.1, ttl_s=0.3, seconds=66.0)
    assert len(arrivals) >= 0.95 * most * 11
    assert worst_window([(at, 1) for at in arrivals], 6.0) <= most


def test_a_call_longer_than_a_window_is_not_settled_against_newer_permits() -> None:
    """A permit presumed spent and forgotten by the window is not taken off what was granted since."""
    limiter = Limiter(Limits(rpm=2, window_s=6.0, guard_s=0.25), ttl_s=0.5, call_s=20.0)
    limiter.grant("a", [1], now=0.0)  # sent at once, and out for 10 s
    limiter.expire(now=1.0)
    limiter.expire(now=9.0)
    limiter.grant("a", [1, 1], now=9.9)
    limiter.settle("a", Spent(10.0, 10.0, 1, 1, "ok"), now=10.0)
    assert limiter.room(now=10.0).requests == 0
    limiter.validate()


def test_a_silent_holder_is_presumed_to_have_spent_at_the_very_end() -> None:
    """What is never settled counts as if it had left at the lease's end and arrived a guard later."""
    limiter = Limiter(Limits(rpm=1, window_s=6.0, guard_s=0.25), ttl_s=0.5)
    limiter.grant("a", [1], now=0.0)
    assert limiter.grant("b", [1], now=6.74).requests == 0
    assert limiter.grant("b", [1], now=6.76).requests == 1


def test_leftover_tokens_of_an_old_lease_do_not_shield_its_requests() -> None:
    """Requests are taken off the oldest presumed row that has any, also when an older row holds tokens alone."""
    limiter = Limiter(Limits(rpm=10, tpm=1000, window_s=6.0, guard_s=0.25), ttl_s=0.5)
    limiter.grant("a", [500], now=0.0)
    limiter.settle("a", Spent(0.1, 0.1, 100, 100, "ok"), now=0.1)  # 400 tokens stay, with no request
    limiter.expire(now=0.6)
    limiter.grant("a", [50], now=0.7)
    limiter.expire(now=1.3)  # presumed spent too
    limiter.grant("a", [50], now=1.4)
    limiter.settle("a", Spent(0.7, 0.1, 50, 50, "ok"), now=1.5)
    assert limiter.holdings["a"].requests == 1, "the newest permit is still out"
    limiter.validate()


def test_a_restarted_limiter_counts_everything_as_used() -> None:
    """Nothing is granted until no permit of the predecessor, and no call of it, can matter any more."""
    limiter = Limiter(Limits(rpm=3, tpm=30, concurrency=2, window_s=6.0, guard_s=0.25), ttl_s=0.5, call_s=20.0)
    limiter.fill(now=0.0)
    assert limiter.grant("a", [1], now=6.7).requests == 0
    assert limiter.grant("a", [1], now=20.4).requests == 0
    assert limiter.next_change() == pytest.approx(20.5)
    assert limiter.grant("a", [1], now=20.6).requests == 1


@given(st.lists(st.tuples(st.floats(0, 2), st.integers(1, 40)), min_size=1, max_size=40))
def test_something_changes_when_told(steps: list[tuple[float, int]]) -> None:
    """`next_change` lies ahead, and by following it the whole quota becomes free in finitely many steps."""
    limiter, now = Limiter(Limits(rpm=5, tpm=100, window_s=6.0, guard_s=0.25), ttl_s=0.5), 0.0
    for gap, size in steps:
        now += gap
        limiter.grant("a", [size], now=now)
    limiter.expire(now=now)
    wakes = []
    while (at := limiter.next_change()) is not None:
        now = max(at, now) + 0.001
        limiter.expire(now=now)
        wakes.append(now)
        assert len(wakes) < 100
    assert all(before < after for before, after in pairwise(wakes))
    assert limiter.room(now=now).requests == 5
