"""The holder's side of a lease: spends permits without asking anybody, and says what to settle."""

import math
from collections import deque
from collections.abc import Iterable
from itertools import islice
from typing import Final

import msgspec

from ...protocols.messages import LeaseAsk, LeaseGrant, Outcome, Revoke, Spent
from ...protocols.wire.codec import LimitsTold
from .news import QuotaNews

SETTLE_COUNT: Final = 256
SETTLE_S: Final = 0.1
"""Settle after so many calls or so many seconds, whichever is first: a message costs about 1 ms of CPU in all.

At 3,000 calls a second 64 and 256 cost 38 and 14 µs of the Provider's CPU a call."""

SLOT_S: Final = 0.002
"""A slot that came free waits so long for company before it is given back to an account whose slots are short."""

ASK_AGAIN_S: Final = 5.0
"""An ask without an answer is said again after so long: the wait for a quota may be long, but a message may be lost."""

_ASKS_KEPT: Final = 32
"""Asks whose sending time is remembered: what was superseded is never answered."""

ASK_MOST: Final = 256
RATE_S: Final = 0.05
"""The rate of calls is measured over so many seconds."""
AHEAD_S: Final = 0.2
"""Permits are asked for the calls of the next 200 ms, so that a fast account is never waited for."""


# Structs: one of each is made for each call, and a frozen dataclass of seven fields takes 1.5 µs, a struct 0.2.
class Permit(msgspec.Struct):
    """A permit in use: when it was spent, what it reserved, its epoch, whether it is the probe, and holds a slot."""

    at: float
    reserved: int
    epoch: int
    probe: bool
    slot: bool = False


class _Ended(msgspec.Struct, frozen=True):
    """A call that has ended and is not settled yet."""

    permit: Permit
    took_s: float
    tokens: int
    outcome: Outcome
    cost: int
    output: int
    worked_s: float


class Lease:
    """Permits of one share for one account, and what is owed to its Provider.

    All times are this process's monotonic seconds; only durations cross the wire.

    Args:
        share: whose calls are paid from it, empty where nobody shares.
        tenant: the share's tenant.
        tenant_weight: the tenant's part against other tenants.
        weight: the share's part against others of its tenant.
        interactive: it goes before all that are not.
    """

    def __init__(
        self,
        *,
        share: str = "",
        tenant: str = "",
        tenant_weight: float = 1.0,
        weight: float = 1.0,
        interactive: bool = False,
    ) -> None:
        # What every ask says alike.
        self._whose = LeaseAsk(
            0, weight=weight, interactive=interactive, share=share, tenant=tenant, tenant_weight=tenant_weight
        )
        self.epoch = 0
        self.requests = 0
        self.tokens = 0
        #: Slots that are free, or None where concurrency has no limit (or nothing is known yet).
        self.slots: int | None = None
        self._until = 0.0
        #: Until when the Provider said that nobody may call, and until when the account itself said so to us.
        self._refused_until = self._told_until = 0.0
        self.state = "closed"
        self.p95_s = 0.0
        #: Part of the account's quota that was free at the last grant, 0 to 1; -1 where nothing limits it.
        self.free = -1.0
        self._probe = False
        self._number = 0
        #: When each ask without an answer was sent.
        self._asks: dict[int, float] = {}
        #: The newest ask that waits for its answer, 0 when there is none; when it was sent, and for how many calls.
        self._open = 0
        self._opened_at = 0.0
        self._asked_for = 0
        self._spent: deque[_Ended] = deque()
        self._oldest = 0.0
        self._freed_at = 0.0
        self._back_requests = self._back_tokens = self._back_slots = 0
        self._back_probe = False
        self._retry_at: float | None = None
        #: A successor of the Provider has to hear of it, too.
        self._again = False
        #: The last ask is still to be said.
        self._closing = False
        self._news = QuotaNews()
        self._urgent = False
        self._rate = 0.0
        self._rate_at = 0.0
        self._taken = 0
        self._mean_size = 0.0
        #: Calls that are out.
        self.in_flight = 0

    @property
    def blocked_until(self) -> float:
        """Nothing may be spent before."""
        return max(self._refused_until, self._told_until)

    # Spending ---------------------------------------------------------------------------------------------------------

    def take(self, size: int, *, now: float) -> Permit | None:
        """Spends a permit for a call that reserves `size` tokens; None when there is none."""
        if now >= self._until:
            self._return_permits()
            return None
        if self.requests < 1 or self.tokens < size or self.slots == 0 or now < self.blocked_until:
            return None
        self.requests -= 1
        self.tokens -= size
        slot = self.slots is not None
        if self.slots is not None:
            self.slots -= 1
        self.in_flight += 1
        self._taken += 1
        self._mean_size += 0.05 * (size - self._mean_size)
        probe, self._probe = self._probe, False
        return Permit(now, size, self.epoch, probe, slot)

    def end(
        self,
        permit: Permit,
        *,
        tokens: int,
        outcome: Outcome,
        cost: int,
        output: int,
        now: float,
        worked_s: float = 0.0,
    ) -> None:
        """A call has ended; `tokens` is what the provider counts for it, `worked_s` how long it says it worked."""
        if not self._spent:
            self._oldest = now
        self._spent.append(_Ended(permit, now - permit.at, tokens, outcome, cost, output, worked_s))
        self._free_slot(permit, now=now)
        if outcome in ("rate_limited", "auth") or permit.probe:
            self._urgent = True

    def unused(self, permit: Permit, *, now: float) -> None:
        """A permit was taken and the request never left: it goes back unspent."""
        self._free_slot(permit, now=now)
        if permit.epoch == self.epoch:
            self._back_requests += 1
            self._back_tokens += permit.reserved
            self._back_probe |= permit.probe
            self._urgent |= permit.probe

    def _free_slot(self, permit: Permit, *, now: float) -> None:
        self.in_flight -= 1
        # Slots of an earlier epoch are unknown to this Provider, and so is one that was never taken.
        if self.slots is not None and permit.slot and permit.epoch == self.epoch:
            if not self._surplus():
                self._freed_at = now
            self.slots += 1

    def told_to_wait(self, seconds: float, *, now: float) -> None:
        """The provider said Retry-After; the latest word counts."""
        self._retry_at = self._told_until = now + seconds
        self._urgent = True
        self._return_permits()

    def tell(self, told: LimitsTold, *, now: float) -> None:
        """A reply's headers said something of the account's quotas; the latest word is told."""
        self._news.hear(told, now=now)

    # Hearing ----------------------------------------------------------------------------------------------------------

    def granted(self, grant: LeaseGrant, *, now: float) -> None:
        """A grant came in. It is good for `ttl_s` from when the Provider said it, of which the way here took a part."""
        if grant.epoch < self.epoch:
            return
        if now >= self._until:
            self._return_permits()
        self._new_epoch(grant.epoch)
        asked_at = self._asks.pop(grant.number, None)
        if grant.number >= self._open:
            self._open = 0
        self.state = grant.state
        if not grant.blocked_s and not grant.too_large:  # a refusal says nothing of these
            self.p95_s, self.free = grant.p95_s, grant.free
        if grant.blocked_s > 0:
            self._refused_until = now + grant.blocked_s
        if asked_at is not None:  # else it is told twice
            self._take_in(grant, asked_at, now=now)

    def _take_in(self, grant: LeaseGrant, asked_at: float, *, now: float) -> None:
        if grant.slots >= 0:
            self.slots = (self.slots or 0) + grant.slots
            self._freed_at = now
        elif grant.requests:  # concurrency has no limit, or none any more
            self.slots = None
        if grant.requests:
            # The Provider's end is at most as long after its word as ours is after the ask, less what it held it.
            self._until = max(self._until, asked_at + grant.held_s + grant.ttl_s)
            self.requests += grant.requests
            self.tokens += grant.tokens
            self._probe |= grant.probe
        if now < self.blocked_until:  # it was under way when somebody was told to wait
            self._return_permits()

    def revoked(self, revoke: Revoke, *, now: float) -> None:
        """Nothing more may be spent for a while; what is unspent goes back."""
        if revoke.epoch < self.epoch:
            return
        self.state = revoke.state
        self._refused_until = now + revoke.blocked_s
        self._return_permits()

    def provider_down(self) -> None:
        """The Provider died: the open ask will not be answered. Permits stay good until they end.

        Its successor knows nothing: it is told again how long the account wants to be left alone, and its quotas.
        """
        self._open = 0
        self._again = True
        self._news.again()

    def close(self) -> None:
        """The share's work is over: the next ask gives all back; one says that it is the last when no call is out."""
        self._return_permits()
        self._urgent = True
        self._closing = self._number > 0

    def _new_epoch(self, epoch: int) -> None:
        if epoch != self.epoch:
            self.requests = self.tokens = 0
            self._back_requests = self._back_tokens = self._back_slots = 0
            self._probe = self._back_probe = False
            self.slots = None
            self.epoch = epoch

    def _return_permits(self) -> None:
        self._back_requests += self.requests
        self._back_tokens += self.tokens
        self.requests = self.tokens = 0
        if self._probe:
            self._probe = False
            self._back_probe = self._urgent = True

    # Asking -----------------------------------------------------------------------------------------------------------

    def ask(self, waiting: Iterable[int], count: int, *, now: float) -> LeaseAsk | None:
        """What to say to the Provider now: settle, give back, ask for the `count` calls in `waiting`; or None.

        `waiting` gives the tokens each waiting call needs, in order.
        """
        if now >= self._until:
            self._return_permits()
        if self._again:
            self._again = False
            if now < self._told_until:
                self._retry_at, self._urgent = self._told_until, True
        sizes, ahead = self._wanted(waiting, count, now=now)
        if not sizes and not ahead and not self._must_say(now=now):
            return None
        return self._build(sizes, ahead, now=now)

    def _wanted(self, waiting: Iterable[int], count: int, *, now: float) -> tuple[tuple[int, ...], int]:
        if self._open and now >= self._opened_at + ASK_AGAIN_S:
            self._open = 0
        grown = count >= 2 * self._asked_for and self._asked_for < ASK_MOST
        if now < self.blocked_until or (self._open and not grown):
            return (), 0
        ahead = math.ceil(self._measured_rate(now=now) * AHEAD_S)
        if count:
            return tuple(islice(waiting, ASK_MOST)), ahead
        low = self.requests * 2 < ahead and now - self._rate_at < RATE_S * 4 and self.in_flight > 0
        return (), ahead if low and not self._open else 0

    def _measured_rate(self, *, now: float) -> float:
        """Calls a second, decayed; only a rate above 100 a second is worth asking ahead for."""
        gap = now - self._rate_at
        if gap >= RATE_S:
            share = min(1.0, gap / 0.2)
            self._rate += share * (self._taken / gap - self._rate)
            self._taken = 0
            self._rate_at = now
        return self._rate if self._rate > 100 else 0.0

    def _must_say(self, *, now: float) -> bool:
        ended = self._closing and not self.in_flight
        if self._urgent or ended or len(self._spent) >= SETTLE_COUNT:
            return True
        if self._spent and now >= self._oldest + SETTLE_S:
            return True
        if self._open and self._surplus() and now >= self._freed_at + SLOT_S:
            return True
        if self._news.due_at is not None and now >= self._news.due_at:
            return True
        # Permits that nobody here needs go back with the next settlement, or when they are all that is left.
        return not self._spent and bool(self._back_requests or self._back_tokens)

    def _surplus(self) -> int:
        """Slots for which there is no permit here: not kept, because another holder may wait for them."""
        return max(0, (self.slots or 0) - self.requests)

    def _build(self, sizes: tuple[int, ...], ahead: int, *, now: float) -> LeaseAsk:
        if not self.requests:  # tokens without a request are of no use here
            self._return_permits()
        surplus = self._surplus()
        if surplus:
            self._back_slots += surplus
            self.slots = self.requests
        self._number += 1
        whose = self._whose
        ask = LeaseAsk(
            number=self._number,
            epoch=self.epoch,
            spent=tuple(self._settled(ended, now=now) for ended in self._spent),
            back_requests=self._back_requests,
            back_tokens=self._back_tokens,
            back_slots=self._back_slots,
            back_probe=self._back_probe,
            sizes=sizes,
            slots=max(0, len(sizes) - (self.slots or 0)),
            ahead=ahead,
            ahead_size=int(self._mean_size) + 1 if ahead else 0,
            weight=whose.weight,
            interactive=whose.interactive,
            share=whose.share,
            tenant=whose.tenant,
            tenant_weight=whose.tenant_weight,
            told=self._news.take(),
            last=self._closing and not self.in_flight,
            retry_after_s=None if self._retry_at is None else max(0.0, self._retry_at - now),
        )
        self._said(ask, now=now)
        return ask

    def _settled(self, ended: _Ended, *, now: float) -> Spent:
        permit = ended.permit
        return Spent(
            age_s=now - permit.at,
            took_s=ended.took_s,
            transit_s=max(0.0, ended.took_s - ended.worked_s) if ended.worked_s else -1.0,
            reserved=permit.reserved,
            tokens=ended.tokens,
            outcome=ended.outcome,
            cost=ended.cost,
            output=ended.output,
            probe=permit.probe,
            stale=permit.epoch != self.epoch,
        )

    def _said(self, ask: LeaseAsk, *, now: float) -> None:
        self._spent.clear()
        self._back_requests = self._back_tokens = self._back_slots = 0
        self._back_probe = self._urgent = False
        self._closing = self._closing and not ask.last
        self._retry_at = None
        if ask.sizes or ask.ahead:
            self._asks[ask.number] = self._opened_at = now
            self._open, self._asked_for = ask.number, len(ask.sizes)
            if len(self._asks) > _ASKS_KEPT:
                del self._asks[next(iter(self._asks))]

    def next_wake(self, *, now: float) -> float | None:
        """When `ask` should be called though nothing happened: to settle, or because a lease ends."""
        times = []
        if self._spent:
            times.append(self._oldest + SETTLE_S)
        if self.requests or self.tokens:
            times.append(self._until)
        if self._news.due_at is not None:
            times.append(self._news.due_at)
        if self._open:
            times.append(self._freed_at + SLOT_S if self._surplus() else self._opened_at + ASK_AGAIN_S)
        if self.blocked_until > now:
            times.append(self.blocked_until)
        return min(times) if times else None
