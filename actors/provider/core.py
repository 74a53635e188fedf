"""What a Provider decides: who gets permits of an account, and when nobody does."""

import dataclasses
from typing import Final

import msgspec

from ...protocols.config import Account
from ...protocols.decisions import TABLE
from ...protocols.errors import FailureKind
from ...protocols.messages import LeaseAsk, LeaseGrant, ProviderSnapshot, Revoke, Spent
from .breaker import Breaker, Refuse
from .fairness import FairQueue, Price, Waiting
from .holders import Holders, holder_of, sender_of
from .latency import LatencySketch
from .learning import Learner
from .limiter import UNLIMITED, Block, Limiter

TTL_SHARE: Final = 1 / 20
"""A permit is good for a twentieth of the window (3 s of a minute): long enough for a message to arrive on a busy
machine, short enough that what a silent holder keeps costs little."""

_DOWN_S: Final = 3600.0
"""What stands for «until it is mended» on the wire, where infinity has no place."""

_SILENT_S: Final = 600.0
"""A holder that said nothing for so long (and for two calls) has ended: jobs come and go, a Provider stays."""


@dataclasses.dataclass(frozen=True, slots=True)
class Say:
    """Effect: send `payload` to the actor `to`; `cause` is the ask it answers, or empty."""

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
        self._account = account
        self.limiter = _limiter(account)
        self.learner = Learner(account.limits)
        self.breaker = Breaker(account.breaker, probe_timeout_s=_probe_timeout_s(self.limiter))
        self.latency = LatencySketch()
        self.queue = FairQueue()
        self.holders = Holders()
        self._swept_at = self._frozen_until = now
        self._probe_holder = ""
        self.calls = self.failures = self.refused = self.cost = self.messages = 0
        if not fresh:
            self.limiter.fill(now=now)

    def presume_used(self, *, now: float, age_s: float) -> None:
        """The Provider of an earlier cluster may have granted the whole quota until `age_s` ago.

        Whoever called then is gone with that cluster, and its sockets are closed: no slots are held for it.
        """
        self.limiter.fill(now=now - age_s, calls_out=False)

    @property
    def guard_s(self) -> float:
        """How long a request may be under way before the account counts it; with what a lease may be late, seconds."""
        return self.limiter.guard_s + self.limiter.ttl_s

    # Events -----------------------------------------------------------------------------------------------------------

    def ask(self, sender: str, ask: LeaseAsk, *, cause: str, now: float) -> list[Say]:
        """A holder settles, gives back and asks."""
        self.messages += 1
        holder = holder_of(sender, ask.share)
        known = self.holders.number(holder)
        if ask.number == 1 and known > 1:  # a successor of the same name, of whose predecessor's death nobody told
            self._forget(holder, now=now)
        elif ask.number <= known:  # told twice: granting it again would give permits and slots that nobody takes
            return []
        self.holders.heard(holder, ask.number, now=now)
        said = self._take_back(holder, ask, now=now)
        if ask.last:
            self._end(holder, now=now)
        elif ask.sizes or ask.ahead:
            self.queue.put(self._waiting(Waiting(holder, ask, cause, now)))
        self._sweep(now=now)
        return said + self.serve(now=now)

    def _waiting(self, entry: Waiting) -> Waiting:
        """An ask, less the slots it counts on if they were a predecessor's."""
        ask = entry.ask
        if ask.epoch != self.epoch and ask.slots < len(ask.sizes):
            entry.ask = msgspec.structs.replace(ask, slots=len(ask.sizes))
        return entry

    def holder_down(self, sender: str, *, now: float) -> list[Say]:
        """An actor died; the system closed its sockets. All its leases end."""
        for holder in self.holders.of(sender):
            self._forget(holder, now=now)
        return self.serve(now=now)

    def _forget(self, holder: str, *, now: float) -> None:
        self.holders.forget(holder)
        self._end(holder, now=now)

    def _end(self, holder: str, *, now: float) -> None:
        """Nothing is kept for it any more but the number of its last ask, which may be told twice."""
        self.queue.forget(holder, now=now)
        self.limiter.forget(holder, now=now)
        if holder == self._probe_holder:
            self._probe_holder = ""
            self.breaker.probe_lost()

    def _sweep(self, *, now: float) -> None:
        """Forgets holders that have ended without a word: memory is flat in the number of jobs."""
        silent_s = max(_SILENT_S, 2 * self.limiter.call_s)
        if now >= self._swept_at + silent_s / 10:
            self._swept_at = now
            for holder in self.holders.silent(silent_s, now=now):
                self._forget(holder, now=now)  # also one that waits: who lives asks again every few seconds

    def configure(self, account: Account, *, now: float) -> list[Say]:
        """The newest configuration applies from now on; what is out stays out and counts. A down account is mended."""
        limits, before = account.limits, self._account.limits
        self._account = account
        if (limits.window_s, limits.guard_s) != (before.window_s, before.guard_s):
            self._begin_anew(account, now=now)
        # Calls of holders with the older time-outs may still be out.
        self.limiter.call_s = max(self.limiter.call_s, account.timeouts.total_s)
        self.learner.configure(limits)
        self.breaker.configure(account.breaker, probe_timeout_s=_probe_timeout_s(self.limiter))
        if self.breaker.state == "down":
            self.breaker.mend()
        return self.serve(now=now)

    def _begin_anew(self, account: Account, *, now: float) -> None:
        """Another window: nothing that was counted in the old one fits, so this is as a restart, with a full quota."""
        old = self.limiter
        self.epoch += 1
        self.learner = Learner(account.limits)
        self.limiter = _limiter(account)
        self.limiter.call_s = max(old.call_s, self.limiter.call_s)
        self.limiter.fill(now=now, ttl_s=old.ttl_s, travel_s=old.guard_s)
        self.queue.waiting = {name: self._waiting(entry) for name, entry in self.queue.waiting.items()}

    def serve(self, *, now: float) -> list[Say]:
        """Grants what can be granted to those who wait, and tells them when nobody may call."""
        self.learner.look(now=now)
        if self.learner.quota != self.limiter.quota:
            self.limiter.retune(self.learner.quota, now=now)
        self.queue.expire(now=now)
        if not self.queue.waiting:
            return []
        blocked = self.blocked_s(now=now)
        if blocked > 0:
            return self._refuse_all(blocked, now=now)
        admit = self.breaker.check(now=now)
        if not isinstance(admit, Refuse) and admit.probe:
            return self._probe(now=now)
        return self._refuse_impossible(now=now) + self._deal(now=now) + self._deal_ahead(now=now)

    def next_wake(self) -> float | None:
        """When `serve` may have something new to say though nobody spoke."""
        if not self.queue.waiting:
            return None
        times = (self.limiter.next_change(), self.learner.next_change(), self.queue.next_change())
        return min((time for time in times if time is not None), default=None)

    def blocked_s(self, *, now: float) -> float:
        """Seconds in which nobody may call this account: Retry-After, or an open breaker; 0 when calls may go out."""
        verdict = self.breaker.check(now=now)
        refused = verdict.seconds if isinstance(verdict, Refuse) else 0.0
        return min(max(refused, self._frozen_until - now, 0.0), _DOWN_S)

    def snapshot(self, *, now: float) -> ProviderSnapshot:
        """What is known now, for people."""
        limiter, learner = self.limiter, self.learner
        limiter.expire(now=now)
        quota = limiter.quota
        return ProviderSnapshot(
            account=self.name,
            state=self.breaker.state,
            limit_requests=_shown(quota.requests),
            limit_tokens=_shown(quota.tokens),
            limit_slots=_shown(quota.slots),
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
            holders=sum(1 for _ in self.holders.senders()),
            waiting=len(self.queue.waiting),
            messages=self.messages,
            shares=len(self.holders),
            told_requests=_shown(learner.requests.value),
            told_tokens=_shown(learner.tokens.value),
            learned_requests=_shown(learner.trial.value if learner.tries else UNLIMITED),
            others_requests=limiter.other_requests.amount,
            others_tokens=limiter.other_tokens.amount,
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
        if ask.told is not None:
            self.learner.told(ask.told, self.limiter, now=now)
        told = bool(ask.retry_after_s)
        if ask.retry_after_s is not None:
            frozen = now + ask.retry_after_s
            # The latest word counts, also when it is sooner; but what a predecessor was told already is no late word.
            self._frozen_until = frozen if current else max(self._frozen_until, frozen)
        worse = self.breaker.state != state and self.breaker.state in ("open", "down")
        return self._revoke(now=now) if told or worse else []

    def _learn(self, spent: Spent, *, now: float) -> None:
        self.calls += 1
        self.learner.ended(spent, now=now)
        self.cost += max(spent.cost, 0)
        if spent.outcome == "ok":
            self.latency.add(spent.took_s)
            self.breaker.record(ok=True, probe=spent.probe, now=now)
        elif spent.outcome == "cancelled":
            if spent.probe:
                self.breaker.probe_lost()
        elif TABLE[spent.outcome].counts:
            self.failures += 1
            answers_s = self.latency.quantile(0.95)
            self.breaker.record(ok=False, probe=spent.probe, now=now, out=self._out(), answers_s=answers_s)
        else:
            self.refused += 1
            self._learn_refusal(spent.outcome, probe=spent.probe, now=now)

    def _out(self) -> int:
        """Calls that may be in flight, by the permits that are out."""
        return self.limiter.leased_slots if self.limiter.slotted else self.limiter.leased_requests

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
        return [Say(sender, payload) for sender in self.holders.senders()]

    # What goes out ----------------------------------------------------------------------------------------------------

    def _grant(self, entry: Waiting, block: Block, *, now: float, probe: bool = False) -> Say:
        grant = LeaseGrant(
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
            share=entry.ask.share,
            free=self.limiter.free,
        )
        if probe:
            self.queue.drop(entry.holder, now=now)
        else:
            self.queue.served(entry, now=now)
        return Say(sender_of(entry.holder), grant, entry.cause)

    def _refuse_all(self, blocked_s: float, *, now: float) -> list[Say]:
        return [self._refuse(entry, now=now, blocked_s=blocked_s) for entry in list(self.queue.waiting.values())]

    def _refuse(self, entry: Waiting, *, now: float, blocked_s: float = 0.0, too_large: int = 0) -> Say:
        ask, state = entry.ask, self.breaker.state
        refusal = LeaseGrant(
            self.epoch, ask.number, blocked_s=blocked_s, too_large=too_large, state=state, share=ask.share
        )
        self.queue.drop(entry.holder, now=now)
        return Say(sender_of(entry.holder), refusal, entry.cause)

    def _refuse_impossible(self, *, now: float) -> list[Say]:
        most = self.limiter.quota.tokens
        return [
            self._refuse(entry, now=now, too_large=most)
            for entry in list(self.queue.waiting.values())
            if entry.ask.sizes and self.limiter.impossible(entry.ask.sizes[0])
        ]

    def _probe(self, *, now: float) -> list[Say]:
        for entry in list(self.queue.waiting.values()):
            block = self.limiter.grant(entry.holder, entry.ask.sizes[:1], now=now)
            if block.requests:
                self.breaker.probe_sent(now=now)
                self._probe_holder = entry.holder
                said = self._grant(entry, block, now=now, probe=True)
                return [said, *self._refuse_all(self.blocked_s(now=now), now=now)]
        return []

    def _deal(self, *, now: float) -> list[Say]:
        room = self.limiter.room(now=now)
        granted = []
        shares = self.queue.share(
            min(room.requests, 1 << 20), tokens=room.tokens, slots=room.slots, price=self._price(), now=now
        )
        for entry, count in shares:
            slots = max(0, entry.ask.slots - (len(entry.ask.sizes) - count))
            granted.append((entry, self.limiter.grant(entry.holder, entry.ask.sizes[:count], now=now, slots=slots)))
        said = []
        for entry, block in granted:  # nobody's calls to come go before anybody's calls that wait
            ahead = self._ahead(entry, now=now)
            more = Block(block.requests + ahead.requests, block.tokens + ahead.tokens, block.slots)
            said.append(self._grant(entry, more, now=now))
        return said

    def _price(self) -> Price:
        """What fairness counts: requests, or tokens where they alone are limited, or whichever a call takes more of."""
        requests, tokens = self.limiter.quota.requests, self.limiter.quota.tokens
        if tokens == UNLIMITED:
            return Price()
        return Price(0.0, 1.0) if requests == UNLIMITED else Price(1.0, requests / tokens)

    def _deal_ahead(self, *, now: float) -> list[Say]:
        waiting = [entry for entry in self.queue.waiting.values() if not entry.ask.sizes]
        return [self._grant(entry, self._ahead(entry, now=now), now=now) for entry in waiting]

    def _ahead(self, entry: Waiting, *, now: float) -> Block:
        """Permits for calls that are not there yet; only while more than half of the quota is free."""
        ask, quota = entry.ask, self.limiter.quota
        room = self.limiter.room(now=now)
        if room.requests * 2 < quota.requests or room.tokens * 2 < quota.tokens:
            return Block()
        count = min(ask.ahead, room.requests // 4)
        return self.limiter.grant(entry.holder, (ask.ahead_size,) * count, now=now, slots=0) if count else Block()


def _limiter(account: Account) -> Limiter:
    ttl_s = max(0.25, account.limits.window_s * TTL_SHARE)
    return Limiter(account.limits, ttl_s=ttl_s, call_s=account.timeouts.total_s)


def _probe_timeout_s(limiter: Limiter) -> float:
    """A probe may leave at its lease's very end, and its settlement takes a moment to come."""
    return limiter.ttl_s + limiter.call_s + 1.0


def _shown(limit: int) -> int:
    return limit if limit != UNLIMITED else -1
