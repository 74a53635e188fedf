"""The holder's side of a lease: spends permits without asking anybody, and says what to settle."""

import dataclasses
import math
from collections import deque
from collections.abc import Iterable
from itertools import islice
from typing import Final

from ...protocols.messages import LeaseAsk, LeaseGrant, Revoke, Spent

SETTLE_COUNT: Final = 64
SETTLE_S: Final = 0.1
"""Settle after so many calls or so many seconds, whichever is first: a message costs about 1 ms of CPU in all."""

ASK_MOST: Final = 256
AHEAD_S: Final = 0.05
"""Permits are asked for the calls of the next 50 ms, so that a fast account is never waited for."""


@dataclasses.dataclass(slots=True)
class _Call:
    """A permit in use: when it was spent, what it reserved, and whether it is the half-open probe."""

    at: float
    reserved: int
    probe: bool


class Lease:
    """Permits for one account, and what is owed to its Provider.

    All times are this process's monotonic seconds; only durations cross the wire.
    """

    def __init__(self, *, interactive: bool = False, weight: float = 1.0) -> None:
        self._interactive = interactive
        self._weight = weight
        self.epoch = 0
        self.requests = 0
        self.tokens = 0
        #: Slots that are free, or None where concurrency has no limit (or nothing is known yet).
        self.slots: int | None = None
        self._until = 0.0
        self.blocked_until = 0.0
        self.state = "closed"
        self.p95_s = 0.0
        self._probe = False
        self._number = 0
        #: Open asks: number -> when it was sent, and for how many calls the latest was.
        self._asks: dict[int, float] = {}
        self._asked_for = 0
        self._spent: deque[tuple[_Call, float, int, str, int, int]] = deque()
        self._oldest = 0.0
        self._back_requests = self._back_tokens = self._back_slots = 0
        self._retry_at: float | None = None
        self._urgent = False
        self._rate = 0.0
        self._rate_at = 0.0
        self._taken = 0
        self._mean_size = 0.0
        #: Calls that are out.
        self.in_flight = 0

    # Spending ---------------------------------------------------------------------------------------------------------

    def take(self, size: int, *, now: float) -> _Call | None:
        """Spends a permit for a call that reserves `size` tokens; None when there is none."""
        if self.requests < 1 or self.tokens < size or self.slots == 0:
            return None
        if now >= self._until:
            self._return_permits()
            return None
        if now < self.blocked_until:
            return None
        self.requests -= 1
        self.tokens -= size
        if self.slots is not None:
            self.slots -= 1
        self.in_flight += 1
        self._taken += 1
        self._mean_size += 0.05 * (size - self._mean_size)
        probe, self._probe = self._probe, False
        return _Call(now, size, probe)

    def end(self, call: _Call, *, tokens: int, outcome: str, cost: int, output: int, now: float) -> None:
        """A call has ended; `tokens` is what the provider counts for it."""
        if not self._spent:
            self._oldest = now
        self._spent.append((call, now - call.at, tokens, outcome, cost, output))
        self.in_flight -= 1
        if self.slots is not None:
            self.slots += 1
        if outcome in ("rate_limited", "auth") or call.probe:
            self._urgent = True

    def unused(self, call: _Call) -> None:
        """A permit was taken and the request never left: it goes back unspent."""
        self.in_flight -= 1
        self._back_requests += 1
        self._back_tokens += call.reserved
        if self.slots is not None:
            self.slots += 1
        if call.probe:
            self._urgent = True

    def told_to_wait(self, seconds: float, *, now: float) -> None:
        """The provider said Retry-After; the latest word counts."""
        self._retry_at = self.blocked_until = now + seconds
        self._urgent = True
        self._return_permits()

    # Hearing ----------------------------------------------------------------------------------------------------------

    def granted(self, grant: LeaseGrant, *, now: float) -> None:
        """A grant came in. It is good for `ttl_s` less the time the messages were under way."""
        asked_at = self._asks.get(grant.number, now - grant.held_s)
        self._asks = {number: at for number, at in self._asks.items() if number > grant.number}
        self._new_epoch(grant.epoch)
        self.state = grant.state
        self.p95_s = grant.p95_s
        if grant.requests:
            transit = max(0.0, now - asked_at - grant.held_s)
            self._until = now + grant.ttl_s - transit
            self.requests += grant.requests
            self.tokens += grant.tokens
            self._probe = grant.probe
            self.blocked_until = 0.0
        if grant.slots >= 0:
            self.slots = (self.slots or 0) + grant.slots
        if grant.blocked_s > 0:
            self.blocked_until = now + grant.blocked_s

    def revoked(self, revoke: Revoke, *, now: float) -> None:
        """Nothing more may be spent for a while; what is unspent goes back."""
        if revoke.epoch < self.epoch:
            return
        self.state = revoke.state
        self.blocked_until = now + revoke.blocked_s
        self._return_permits()

    def provider_down(self) -> None:
        """The Provider died: open asks will not be answered. Permits stay good until they end."""
        self._asks.clear()

    def _new_epoch(self, epoch: int) -> None:
        if epoch != self.epoch:
            self.requests = self.tokens = 0
            self._back_requests = self._back_tokens = self._back_slots = 0
            self.slots = None
            self.epoch = epoch

    def _return_permits(self) -> None:
        self._back_requests += self.requests
        self._back_tokens += self.tokens
        self.requests = self.tokens = 0
        if self._probe:
            self._probe = False
            self._urgent = True

    # Asking -----------------------------------------------------------------------------------------------------------

    def ask(self, waiting: Iterable[int], count: int, *, now: float) -> LeaseAsk | None:
        """What to say to the Provider now: settle, give back, ask for the `count` calls in `waiting`; or None.

        `waiting` gives the tokens each waiting call needs, in order.
        """
        if now >= self._until:
            self._return_permits()
        sizes, ahead = self._wanted(waiting, count, now=now)
        if not sizes and not ahead and not self._must_settle(idle=not count, now=now):
            return None
        if not count and not ahead:
            self._give_up_slots()
        asked = self._build(sizes, ahead, now=now)
        if sizes or ahead:
            self._asks[asked.number] = now
            self._asked_for = len(sizes)
        return asked

    def _wanted(self, waiting: Iterable[int], count: int, *, now: float) -> tuple[tuple[int, ...], int]:
        open_ask = bool(self._asks)
        if now < self.blocked_until or (open_ask and not (count >= 2 * self._asked_for and self._asked_for < ASK_MOST)):
            return (), 0
        ahead = math.ceil(self._measured_rate(now=now) * AHEAD_S)
        if count:
            return tuple(islice(waiting, ASK_MOST)), ahead
        low = self.requests * 2 < ahead and now - self._rate_at < AHEAD_S * 4 and self.in_flight > 0
        return (), ahead if low and not open_ask else 0

    def _measured_rate(self, *, now: float) -> float:
        """Calls a second, decayed; only a rate above 100 a second is worth asking ahead for."""
        gap = now - self._rate_at
        if gap >= AHEAD_S:
            share = min(1.0, gap / 0.2)
            self._rate += share * (self._taken / gap - self._rate)
            self._taken = 0
            self._rate_at = now
        return self._rate if self._rate > 100 else 0.0

    def _must_settle(self, *, idle: bool, now: float) -> bool:
        if self._urgent or len(self._spent) >= SETTLE_COUNT:
            return True
        late = bool(self._spent) and now - self._oldest >= SETTLE_S
        # Permits and slots that nobody here needs go back with the next settlement, or when they are all that is left.
        return late or (idle and not self._spent and bool(self._back_requests or self._back_tokens))

    def _give_up_slots(self) -> None:
        if self.slots:
            self._back_slots += self.slots
            self.slots = 0

    def _build(self, sizes: tuple[int, ...], ahead: int, *, now: float) -> LeaseAsk:
        self._number += 1
        new_slots = 0 if self.slots is None and self.epoch else max(0, len(sizes) - (self.slots or 0))
        ask = LeaseAsk(
            number=self._number,
            epoch=self.epoch,
            spent=tuple(
                Spent(now - call.at, took, call.reserved, tokens, outcome, cost, output, call.probe)  # type: ignore[arg-type]
                for call, took, tokens, outcome, cost, output in self._spent
            ),
            back_requests=self._back_requests,
            back_tokens=self._back_tokens,
            back_slots=self._back_slots,
            sizes=sizes,
            slots=new_slots,
            ahead=ahead,
            ahead_size=int(self._mean_size) + 1 if ahead else 0,
            weight=self._weight,
            interactive=self._interactive,
            retry_after_s=None if self._retry_at is None else max(0.0, self._retry_at - now),
        )
        self._spent.clear()
        self._back_requests = self._back_tokens = self._back_slots = 0
        self._retry_at = None
        self._urgent = False
        return ask

    def next_wake(self, *, now: float) -> float | None:
        """When `ask` should be called though nothing happened: to settle, or because a lease ends."""
        times = []
        if self._spent:
            times.append(self._oldest + SETTLE_S)
        if self.requests:
            times.append(self._until)
        if self.blocked_until > now:
            times.append(self.blocked_until)
        return min(times) if times else None
