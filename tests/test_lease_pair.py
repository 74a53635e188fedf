"""Leases and a Provider joined by a fake wire: delays, a Provider that dies, 429s, and calls of any size and length."""

import dataclasses
import heapq
import random
from collections import deque
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from understudy.actors.channel.lease import Lease, Permit
from understudy.actors.provider.core import ProviderCore, Say
from understudy.actors.provider.testing import most_at_once, worst_window
from understudy.protocols.config import Account, BreakerSettings, Limits, Timeouts
from understudy.protocols.envelope import Envelope, pack, unpack
from understudy.protocols.messages import LeaseAsk, LeaseGrant, Outcome, Revoke

WINDOW_S = 6.0
GUARD_S = 0.15
CALL_S = 8.0


@dataclasses.dataclass
class Answer:
    """What the account does with a request: how long it takes, how it ends, the tokens it counts."""

    took: float
    outcome: Outcome = "ok"
    retry_after: float | None = None


Serve = Callable[[float], Answer]


class Holder:
    """A channel without sockets: calls wait in line, take permits from the lease, and end."""

    def __init__(self, world: "World", name: str, lease: Lease) -> None:
        self.world, self.name, self.lease = world, name, lease
        self.waiting: deque[int] = deque()
        self.alive = True
        self.served = 0
        self.too_large: list[int] = []
        self.told_until = 0.0

    def want(self, sizes: list[int]) -> None:
        self.waiting.extend(sizes)
        self.pump()

    def pump(self) -> None:
        if not self.alive:
            return
        world, now = self.world, self.world.now
        while self.waiting and (permit := self.lease.take(self.waiting[0], now=now)) is not None:
            self.waiting.popleft()
            self.send(permit)
        ask = self.lease.ask(self.waiting, len(self.waiting), now=now)
        if ask is not None:
            world.to_provider(self.name, ask)
        wake = self.lease.next_wake(now=now)
        if wake is not None:
            world.at(max(wake, now + 0.001), self.pump, key=f"pump {self.name}")

    def send(self, permit: Permit) -> None:
        world, now = self.world, self.world.now
        assert now >= self.told_until, "spent before Retry-After"
        core = world.core
        if permit.epoch == core.epoch:
            assert now <= core.limiter.holdings[self.name].until, "spent after the lease's end as the Provider sees it"
        answer = world.serve(now)
        took = min(answer.took, CALL_S)
        arrival = now + world.rng.uniform(0, min(took, GUARD_S))
        tokens = permit.reserved if answer.outcome != "rate_limited" else 0
        world.arrived.append((arrival, tokens))
        world.out.append((now, now + took, permit.probe))
        world.at(now + took, lambda: self.end(permit, answer, tokens))

    def end(self, permit: Permit, answer: Answer, tokens: int) -> None:
        if not self.alive:
            return
        now = self.world.now
        if answer.retry_after is not None:
            self.told_until = now + answer.retry_after
            self.world.told.append((now, now + answer.retry_after))
            self.lease.told_to_wait(answer.retry_after, now=now)
        self.lease.end(permit, tokens=tokens, outcome=answer.outcome, cost=1, output=1, now=now)
        self.served += answer.outcome == "ok"
        if answer.outcome != "ok":  # a failed call comes again, as from a retry
            self.world.at(now + (answer.retry_after or 0.1), lambda: self.want([permit.reserved]))
        self.pump()

    def hear(self, payload: LeaseGrant | Revoke) -> None:
        if not self.alive:
            return
        now = self.world.now
        if isinstance(payload, Revoke):
            self.lease.revoked(payload, now=now)
            self.come_back(payload.blocked_s)
        else:
            self.lease.granted(payload, now=now)
            if payload.too_large:
                self.too_large += [size for size in self.waiting if size > payload.too_large]
                self.waiting = deque(size for size in self.waiting if size <= payload.too_large)
            if payload.blocked_s > 0:
                self.come_back(payload.blocked_s)
        self.pump()

    def come_back(self, seconds: float) -> None:
        """What waits is told that the account is blocked, and asks again later."""
        sizes = list(self.waiting)
        self.waiting.clear()
        if sizes:
            self.world.at(self.world.now + seconds + 0.001, lambda: self.want(sizes))


class World:
    """One account, its Provider, its holders, and the time."""

    def __init__(self, account: Account, names: str, serve: Serve, seed: int, *, twice: float = 0.0) -> None:
        self.account, self.serve, self.rng, self.twice = account, serve, random.Random(seed), twice
        self.now = 1000.0
        self.epoch = 1
        self.core = ProviderCore("a", account, epoch=1, now=self.now)
        self.holders = {name: Holder(self, name, Lease()) for name in names}
        self.events: list[tuple[float, int, Callable[[], None]]] = []
        self.keys: dict[str, float] = {}
        self.number = 0
        self.arrived: list[tuple[float, int]] = []
        self.out: list[tuple[float, float, bool]] = []
        self.told: list[tuple[float, float]] = []
        self.last: dict[str, float] = {}
        self.up = True
        self.asks = 0

    def at(self, when: float, what: Callable[[], None], *, key: str = "") -> None:
        """Calls `what` at a time; of one key only the earliest call is kept."""
        if key:
            if self.keys.get(key, 0.0) > self.now and self.keys[key] <= when:
                return
            self.keys[key] = when
        self.number += 1
        heapq.heappush(self.events, (when, self.number, what))

    def run(self, seconds: float) -> None:
        end = self.now + seconds
        steps = 0
        while self.events and self.events[0][0] <= end:
            self.now, _, what = heapq.heappop(self.events)
            what()
            self.core.limiter.validate()
            steps += 1
            assert steps < 200_000, "a hot loop"
        self.now = end

    def arrival(self, link: str) -> float:
        """When what is said now is heard: later than what was said before on the same link."""
        when = max(self.now + self.rng.choice([0.0005, 0.002, self.rng.uniform(0, 0.08)]), self.last.get(link, 0.0))
        self.last[link] = when
        return when

    def to_provider(self, name: str, ask: LeaseAsk) -> None:
        self.asks += 1
        [envelope] = unpack(pack([Envelope("id", name, ask)]))  # as it crosses the wire
        assert isinstance(envelope.payload, LeaseAsk)
        heard, epoch = envelope.payload, self.epoch

        def hear() -> None:
            if self.up and epoch == self.epoch:
                self.say(self.core.ask(name, heard, cause="id", now=self.now))

        self.at(self.arrival(f"to {name}"), hear)
        if self.rng.random() < self.twice:
            self.at(self.arrival(f"to {name}"), hear)

    def say(self, said: list[Say]) -> None:
        for one in said:
            holder = self.holders[one.to]
            payload = one.payload
            self.at(self.arrival(f"from {one.to}"), lambda holder=holder, payload=payload: holder.hear(payload))  # type: ignore[misc]
        wake = self.core.next_wake()
        if wake is not None:
            self.at(max(wake, self.now + 0.001), self.wake, key="provider")

    def wake(self) -> None:
        if self.up:
            self.say(self.core.serve(now=self.now))

    def provider_dies(self) -> None:
        self.up = False
        for holder in self.holders.values():
            holder.lease.provider_down()

    def provider_returns(self) -> None:
        self.up = True
        self.epoch += 1
        self.core = ProviderCore("a", self.account, epoch=self.epoch, now=self.now, fresh=False)
        for holder in self.holders.values():
            holder.lease.provider_down()
            self.at(self.now + 0.2, holder.pump)

    def holder_dies(self, name: str) -> None:
        """Its process ends: its sockets close, and the Provider hears of it a little later."""
        holder = self.holders[name]
        holder.alive = False
        self.at(self.arrival(f"to {name}"), lambda: self.say(self.core.holder_down(name, now=self.now)))

    def check_law(self) -> None:
        limits = self.account.limits
        if limits.rpm:
            assert worst_window([(at, 1) for at, _ in self.arrived], WINDOW_S) <= limits.rpm
        if limits.tpm:
            assert worst_window(self.arrived, WINDOW_S) <= limits.tpm
        if limits.concurrency:
            assert most_at_once([(start, end) for start, end, _ in self.out]) <= limits.concurrency
        assert most_at_once([(start, end) for start, end, probe in self.out if probe]) <= 1

    def check_all_is_back(self) -> None:
        """Nothing waits, nothing is out, and nothing counts any more."""
        self.run(WINDOW_S + CALL_S + 5.0)
        limiter = self.core.limiter
        limiter.expire(now=self.now)
        assert [len(holder.waiting) for holder in self.holders.values() if holder.alive] == [0] * len(
            [one for one in self.holders.values() if one.alive]
        )
        assert (limiter.leased_requests, limiter.leased_tokens, limiter.leased_slots) == (0, 0, 0)
        assert (limiter.requests.used, limiter.tokens.used) == (0, 0)


def account(limits: Limits, *, failures: int = 5, open_s: float = 1.0) -> Account:
    return Account(
        limits=limits.model_copy(update={"window_s": WINDOW_S, "guard_s": GUARD_S}),
        breaker=BreakerSettings(failures=failures, open_s=open_s, open_max_s=2.0, window=20, rate=0.9),
        timeouts=Timeouts(total_s=CALL_S),
    )


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
    if not twice:  # an ask that is heard twice may lead to permits nobody waits for; they end with their lease
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
