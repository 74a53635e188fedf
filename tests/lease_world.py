"""Leases and a Provider joined by a fake wire, in simulated time: what `test_lease_pair` plays with."""

import dataclasses
import heapq
import random
from collections import deque
from collections.abc import Callable, Iterable
from functools import partial

from understudy.actors.channel.lease import Lease, Permit
from understudy.actors.provider.core import ProviderCore, Say
from understudy.actors.provider.holders import holder_of
from understudy.actors.provider.testing import most_at_once, worst_window
from understudy.protocols.config import Account, BreakerSettings, Limits, Timeouts
from understudy.protocols.envelope import Envelope, pack, unpack
from understudy.protocols.messages import LeaseAsk, LeaseGrant, Outcome, Revoke
from understudy.protocols.wire.codec import LimitsTold

WINDOW_S = 6.0
GUARD_S = 0.15
CALL_S = 8.0


@dataclasses.dataclass
class Answer:
    """What the account does with a request: how long it takes, how it ends, the tokens it counts."""

    took: float
    outcome: Outcome = "ok"
    retry_after: float | None = None
    told: LimitsTold | None = None


Serve = Callable[[float], Answer]


class Holder:
    """A channel without sockets: calls wait in line, take permits from the lease, and end.

    Its name is that of its sender, or `sender/share`.
    """

    def __init__(self, world: "World", name: str, lease: Lease) -> None:
        self.world, self.name, self.lease = world, name, lease
        self.sender, _, self.share = name.partition("/")
        self.waiting: deque[int] = deque()
        self.alive = True
        self.closed = False
        self.served = 0
        self.too_large: list[int] = []
        self.told_until = 0.0

    def want(self, sizes: list[int]) -> None:
        if self.closed:
            return
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
            world.to_provider(self.sender, ask)
        wake = self.lease.next_wake(now=now)
        if wake is not None:
            world.at(max(wake, now + 0.001), self.pump, key=f"pump {self.name}")

    def send(self, permit: Permit) -> None:
        world, now = self.world, self.world.now
        assert now >= self.told_until, "spent before Retry-After"
        core = world.core
        if permit.epoch == core.epoch:
            until = core.limiter.holdings[holder_of(self.sender, self.share)].until
            assert now <= until, "spent after the lease's end as the Provider sees it"
        answer = world.serve(now)
        took = min(answer.took, CALL_S)
        arrival = now + world.rng.uniform(0, min(took, GUARD_S))
        tokens = permit.reserved if answer.outcome != "rate_limited" else 0
        if answer.told is not None:
            self.lease.tell(answer.told, now=now)
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
        if not self.alive or self.closed:
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
    """One account, its Provider, its holders, and the time. `leases` gives holders leases of their own."""

    def __init__(
        self,
        account: Account,
        names: Iterable[str],
        serve: Serve,
        seed: int,
        *,
        twice: float = 0.0,
        leases: dict[str, Lease] | None = None,
    ) -> None:
        self.account, self.serve, self.rng, self.twice = account, serve, random.Random(seed), twice
        self.now = 1000.0
        self.epoch = 1
        self.core = ProviderCore("a", account, epoch=1, now=self.now)
        self.holders = {
            name: Holder(self, name, (leases or {}).get(name) or Lease(share=name.partition("/")[2])) for name in names
        }
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
            self.at(self.arrival(f"from {one.to}"), partial(self.heard, one))
        wake = self.core.next_wake()
        if wake is not None:
            self.at(max(wake, self.now + 0.001), self.wake, key="provider")

    def heard(self, said: Say) -> None:
        """An actor gives a grant to the share it is for, and a revocation to all it works for."""
        for holder in self.of(said.to):
            if isinstance(said.payload, Revoke) or said.payload.share == holder.share:
                holder.hear(said.payload)

    def of(self, sender: str) -> list[Holder]:
        return [holder for holder in self.holders.values() if holder.sender == sender]

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

    def holder_closes(self, name: str) -> None:
        """Its share's work is over, whatever waits; calls that are out end as they end."""
        holder = self.holders[name]
        holder.waiting.clear()
        holder.closed = True
        holder.lease.close()
        holder.pump()

    def holder_dies(self, name: str) -> None:
        """A sender's process ends: its sockets close, and the Provider hears of it a little later."""
        for holder in self.of(name):
            holder.alive = False
        self.at(self.arrival(f"to {name}"), lambda: self.say(self.core.holder_down(name, now=self.now)))

    def configure(self, limits: Limits, *, window_s: float | None = None) -> None:
        """The account's limits change, perhaps its window, too."""
        update = {"window_s": window_s or WINDOW_S, "guard_s": GUARD_S}
        self.account = self.account.model_copy(update={"limits": limits.model_copy(update=update)})
        self.say(self.core.configure(self.account, now=self.now))
        self.epoch = self.core.epoch

    def check_law(self, window_s: float = WINDOW_S) -> None:
        limits = self.account.limits
        if limits.rpm:
            assert worst_window([(at, 1) for at, _ in self.arrived], window_s) <= limits.rpm
        if limits.tpm:
            assert worst_window(self.arrived, window_s) <= limits.tpm
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
