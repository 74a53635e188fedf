"""What a Provider decides: who gets permits of an account, and when nobody does."""

import dataclasses
from typing import Final

import msgspec

from ...protocols.config import Account
from ...protocols.decisions import TABLE
from ...protocols.errors import FailureKind
from ...protocols.messages import LeaseAsk, LeaseGrant, ProviderSnapshot, Revoke, Spent
from .breaker import Breaker, Refuse
from .fairness import FairQueue, Waiting
from .latency import LatencySketch
from .limiter import UNLIMITED, Block, Limiter

TTL_SHARE: Final = 1 / 20
"""A permit is good for a twentieth of the window (3 s of a minute): long enough for a message to arrive on a busy
machine, short enough that what a silent holder keeps costs little."""

_DOWN_S: Final = 3600.0
"""What stands for «until it is mended» on the wire, where infinity has no place."""


@dataclasses.dataclass(frozen=True, slots=True)
class Say:
    """Effect: send `payload` to the holder `to`; `cause` is the ask it answers, or empty."""

    to: str
    payload: LeaseGrant | Revoke
    cause: str = ""


class ProviderCore:
    """The state of one account. Feed it events; it returns what to say.

    Args:
        name: the account's name in the configuration.
        account: its limits and breaker settings.
        epoch: differs from that of every earlier incarnation.
        now: monotonic seconds.
        fresh: False after a restart: the whole quota then counts as used, since nobody knows what was spent.
    """

    def __init__(self, name: str, account: Account, *, epoch: int, now: float, fresh: bool = True) -> None:
        self.name = name
        self.epoch = epoch
        ttl_s, call_s = max(0.25, account.limits.window_s * TTL_SHARE), account.timeouts.total_s
        self.limiter = Limiter(account.limits, ttl_s=ttl_s, call_s=call_s)
        # A probe may leave at its lease's very end, and its settlement takes a moment to come.
        self.breaker = Breaker(account.breaker, probe_timeout_s=ttl_s + call_s + 1.0)
        self.latency = LatencySketch()
        self.queue = FairQueue()
        #: Every holder that was ever granted something, with the number of its last ask.
        self.holders: dict[str, int] = {}
        self._frozen_until = now
        self._probe_holder = ""
        self.calls = self.failures = self.refused = self.cost = self.messages = 0
        if not fresh:
            self.limiter.fill(now=now)

    # Events -----------------------------------------------------------------------------------------------------------

    def ask(self, holder: str, ask: LeaseAsk, *, cause: str, now: float) -> list[Say]:
        """A holder settles, gives back and asks."""
        self.messages += 1
        said: list[Say] = []
        known = self.holders.get(holder, 0)
        if ask.number == 1 and known > 1:  # a successor of the same name, of whose predecessor's death nobody told
            said += self.holder_down(holder, now=now)
        elif ask.number <= known:  # told twice: granting it again would give permits and slots that nobody takes
            return []
        self.holders[holder] = ask.number
        said += self._take_back(holder, ask, now=now)
        if ask.sizes or ask.ahead:
            if ask.epoch != self.epoch and ask.slots < len(ask.sizes):  # the slots it counts on were my predecessor's
                ask = msgspec.structs.replace(ask, slots=len(ask.sizes))
            self.queue.put(Waiting(holder, ask, cause, now))
        return said + self.serve(now=now)

    def holder_down(self, holder: str, *, now: float) -> list[Say]:
        """A holder died; the system closed its sockets."""
        self.holders.pop(holder, None)
        self.queue.forget(holder)
        self.limiter.forget(holder, now=now)
        if holder == self._probe_holder:
            self.breaker.probe_lost()
        return self.serve(now=now)

    def serve(self, *, now: float) -> list[Say]:
        """Grants what can be granted to those who wait, and tells them when nobody may call."""
        if not self.queue.waiting:
            return []
        blocked = self.blocked_s(now=now)
        if blocked > 0:
            return self._refuse_all(blocked)
        admit = self.breaker.check(now=now)
        if not isinstance(admit, Refuse) and admit.probe:
            return self._probe(now=now)
        return self._refuse_impossible() + self._deal(now=now) + self._deal_ahead(now=now)

    def next_wake(self) -> float | None:
        """When `serve` may have something new to say though nobody spoke."""
        return self.limiter.next_change() if self.queue.waiting else None

    def blocked_s(self, *, now: float) -> float:
        """Seconds in which nobody may call this account: Retry-After, or an open breaker; 0 when calls may go out."""
        verdict = self.breaker.check(now=now)
        refused = verdict.seconds if isinstance(verdict, Refuse) else 0.0
        return min(max(refused, self._frozen_until - now, 0.0), _DOWN_S)

    def snapshot(self, *, now: float) -> ProviderSnapshot:
        """What is known now, for people."""
        limiter = self.limiter
        limiter.expire(now=now)
        shown = [limit if limit != UNLIMITED else -1 for limit in (limiter.max_requests, limiter.max_tokens)]
        return ProviderSnapshot(
            account=self.name,
            state=self.breaker.state,
            limit_requests=shown[0],
            limit_tokens=shown[1],
            limit_slots=limiter.max_slots if limiter.max_slots != UNLIMITED else -1,
            used_requests=limiter.requests.used,
            used_tokens=limiter.tokens.used,
            leased_requests=limiter.leased_requests,
            leased_tokens=limiter.leased_tokens,
            leased_slots=limiter.leased_slots,
            blocked_s=self.blocked_s(now=now),
            calls=self.calls,
            failures=self.failures,
            refused=self.refused,
            p50_s=self.latency.quantile(0.5),
            p95_s=self.latency.quantile(0.95),
            cost=self.cost,
            holders=len(self.holders),
            waiting=len(self.queue.waiting),
            messages=self.messages,
        )

    # What comes back --------------------------------------------------------------------------------------------------

    def _take_back(self, holder: str, ask: LeaseAsk, *, now: float) -> list[Say]:
        current = ask.epoch == self.epoch
        state = self.breaker.state
        for spent in ask.spent:
            if current and not spent.stale:
                self.limiter.settle(holder, spent, now=now)
            self._learn(spent, now=now)
        if current:
            self.limiter.give_back(holder, requests=ask.back_requests, tokens=ask.back_tokens, slots=ask.back_slots)
            if ask.back_probe and holder == self._probe_holder:
                self.breaker.probe_lost()
        told = bool(ask.retry_after_s)
        if ask.retry_after_s is not None:
            self._frozen_until = now + ask.retry_after_s  # the latest word counts, also when it is sooner
        worse = self.breaker.state != state and self.breaker.state in ("open", "down")
        return self._revoke(now=now) if told or worse else []

    def _learn(self, spent: Spent, *, now: float) -> None:
        self.calls += 1
        self.cost += max(spent.cost, 0)
        if spent.outcome == "ok":
            self.latency.add(spent.took_s)
            self.breaker.record(ok=True, probe=spent.probe, now=now)
        elif spent.outcome == "cancelled":
            if spent.probe:
                self.breaker.probe_lost()
        elif TABLE[spent.outcome].counts:
            self.failures += 1
            self.breaker.record(ok=False, probe=spent.probe, now=now)
        else:
            self.refused += 1
            self._learn_refusal(spent.outcome, probe=spent.probe, now=now)

    def _learn_refusal(self, kind: FailureKind, *, probe: bool, now: float) -> None:
        if TABLE[kind].account_down:
            self.breaker.mark_down()
        elif kind == "rate_limited":
            if probe:
                self.breaker.probe_lost()
        else:  # the provider answered, if only to refuse: it is alive
            self.breaker.record(ok=True, probe=probe, now=now)

    def _revoke(self, *, now: float) -> list[Say]:
        payload = Revoke(self.epoch, self.blocked_s(now=now), self.breaker.state)
        return [Say(holder, payload) for holder in self.holders]

    # What goes out ----------------------------------------------------------------------------------------------------

    def _grant(self, entry: Waiting, block: Block, *, now: float, probe: bool = False) -> Say:
        self.queue.drop(entry.holder)
        payload = LeaseGrant(
            epoch=self.epoch,
            number=entry.ask.number,
            requests=block.requests,
            tokens=block.tokens,
            slots=block.slots,
            ttl_s=self.limiter.ttl_s,
            held_s=now - entry.since,
            state=self.breaker.state,
            probe=probe,
            p95_s=self.latency.quantile(0.95),
        )
        return Say(entry.holder, payload, entry.cause)

    def _refuse_all(self, blocked_s: float) -> list[Say]:
        state = self.breaker.state
        said = [
            Say(entry.holder, LeaseGrant(self.epoch, entry.ask.number, blocked_s=blocked_s, state=state), entry.cause)
            for entry in self.queue.waiting.values()
        ]
        for say in said:
            self.queue.drop(say.to)
        return said

    def _refuse_impossible(self) -> list[Say]:
        said = []
        for entry in list(self.queue.waiting.values()):
            if entry.ask.sizes and self.limiter.impossible(entry.ask.sizes[0]):
                self.queue.drop(entry.holder)
                payload = LeaseGrant(self.epoch, entry.ask.number, too_large=self.limiter.max_tokens)
                said.append(Say(entry.holder, payload, entry.cause))
        return said

    def _probe(self, *, now: float) -> list[Say]:
        for entry in list(self.queue.waiting.values()):
            block = self.limiter.grant(entry.holder, entry.ask.sizes[:1], now=now)
            if block.requests:
                self.breaker.probe_sent(now=now)
                self._probe_holder = entry.holder
                return [self._grant(entry, block, now=now, probe=True), *self._refuse_all(self.blocked_s(now=now))]
        return []

    def _deal(self, *, now: float) -> list[Say]:
        room = self.limiter.room(now=now)
        granted = []
        for entry, count in self.queue.share(min(room.requests, 1 << 20), tokens=room.tokens, slots=room.slots):
            slots = max(0, entry.ask.slots - (len(entry.ask.sizes) - count))
            granted.append((entry, self.limiter.grant(entry.holder, entry.ask.sizes[:count], now=now, slots=slots)))
        said = []
        for entry, block in granted:  # nobody's calls to come go before anybody's calls that wait
            ahead = self._ahead(entry, now=now)
            more = Block(block.requests + ahead.requests, block.tokens + ahead.tokens, block.slots)
            said.append(self._grant(entry, more, now=now))
        return said

    def _deal_ahead(self, *, now: float) -> list[Say]:
        waiting = [entry for entry in self.queue.waiting.values() if not entry.ask.sizes]
        return [self._grant(entry, self._ahead(entry, now=now), now=now) for entry in waiting]

    def _ahead(self, entry: Waiting, *, now: float) -> Block:
        """Permits for calls that are not there yet; only while more than half of the quota is free."""
        ask = entry.ask
        room = self.limiter.room(now=now)
        if room.requests * 2 < self.limiter.max_requests or room.tokens * 2 < self.limiter.max_tokens:
            return Block()
        count = min(ask.ahead, room.requests // 4)
        return self.limiter.grant(entry.holder, (ask.ahead_size,) * count, now=now, slots=0) if count else Block()
