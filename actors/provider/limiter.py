"""The limits of one account, shared out as leases: requests and tokens in a sliding window, and calls in flight.

The rule that makes it exact: a permit counts from the moment it is granted until its window has passed after the last
moment at which the provider can have seen its request. While it is out in a lease it counts as used. When its holder
settles it, it counts until `window` after the request's latest possible arrival, which is its sending plus the guard,
or plus the time its call took where a reply shows that it had arrived by then. When a holder falls silent, all it has
not settled is presumed spent at its lease's end. So the requests a provider sees in *any* window never pass the quota,
whoever sends them.

Prior art: client-side leases as in Google's Doorman; the sliding-window log.
"""

import dataclasses
from collections.abc import Sequence
from typing import Final, Self

from ...protocols.config import Limits
from ...protocols.messages import Spent
from .window import SlidingWindow

UNLIMITED: Final = 1 << 60


@dataclasses.dataclass(frozen=True, slots=True)
class Quota:
    """What an account allows: requests and tokens in any window, calls in flight; `UNLIMITED` where nothing does."""

    requests: int = UNLIMITED
    tokens: int = UNLIMITED
    slots: int = UNLIMITED

    @classmethod
    def of(cls, limits: Limits) -> Self:
        """The quota that a configuration writes down."""
        return cls(limits.rpm or UNLIMITED, limits.tpm or UNLIMITED, limits.concurrency or UNLIMITED)


@dataclasses.dataclass(frozen=True, slots=True)
class Others:
    """What somebody else, who uses the same key, is presumed to have used of a quota, and until when it counts."""

    amount: int = 0
    until: float = 0.0


@dataclasses.dataclass(frozen=True, slots=True)
class Block:
    """What a lease adds to its holder's permits; `slots` is -1 where concurrency has no limit."""

    requests: int = 0
    tokens: int = 0
    slots: int = -1


@dataclasses.dataclass(slots=True)
class Holding:
    """What one holder has out: granted, and not settled, given back or presumed spent."""

    requests: int = 0
    tokens: int = 0
    slots: int = 0
    #: After this time the holder spends nothing of it.
    until: float = 0.0
    #: (counted until, requests, tokens) that were presumed spent and not settled yet, oldest first. A row outlives its
    #: place in the window while its calls may be out: else their late settlement would be taken off newer permits.
    presumed: list[tuple[float, int, int]] = dataclasses.field(default_factory=list)


class Limiter:
    """Grants, settles and takes back permits; told the time, never waits.

    Args:
        limits: the account's quotas at first; None means unlimited. `retune` changes them.
        ttl_s: how long a granted permit may be spent.
        call_s: the longest a call may take.
    """

    def __init__(self, limits: Limits, *, ttl_s: float, call_s: float = 0.0) -> None:
        self.ttl_s = ttl_s
        self.call_s = call_s
        self.window_s = limits.window_s
        # Not below 0.5 s in short windows: a burst of 600 calls on a busy machine was seen to arrive 0.33 s late.
        least = max(limits.window_s / 40, min(0.5, limits.window_s / 10))
        self.guard_s = least if limits.guard_s is None else limits.guard_s
        self.quota = Quota.of(limits)
        self.requests = SlidingWindow(limits.window_s)
        self.tokens = SlidingWindow(limits.window_s)
        self.holdings: dict[str, Holding] = {}
        self.leased_requests = 0
        self.leased_tokens = 0
        self.leased_slots = 0
        self.other_requests = self.other_tokens = Others()
        #: Until then calls of which this limiter knows nothing may be out; 0 when there are none.
        self._unknown_until = 0.0
        #: Until then permits that were granted while concurrency had no limit may be calls in flight.
        self._slotless_until = 0.0
        #: Until then a predecessor's use counts, which is presumed to be the whole quota.
        self._filled_until = 0.0

    # The quota --------------------------------------------------------------------------------------------------------

    @property
    def slotted(self) -> bool:
        """True when concurrency has a limit."""
        return self.quota.slots != UNLIMITED

    @property
    def free(self) -> float:
        """The part of the quota that is free, 0 to 1: that of its scarcest kind; -1 where nothing is limited."""
        left = self._room()
        pairs = ((left.requests, self.quota.requests), (left.tokens, self.quota.tokens), (left.slots, self.quota.slots))
        parts = [have / most for have, most in pairs if most != UNLIMITED]
        return min(parts) if parts else -1.0

    def retune(self, quota: Quota, *, now: float) -> None:
        """Another quota applies from now on. What is out stays out and counts; only new grants heed it."""
        old, self.quota = self.quota, quota
        if now < self._filled_until:  # the predecessor may have known of the larger quota, and used it
            self._fill(quota.requests - old.requests, quota.tokens - old.tokens, now=now)
        if quota.slots != UNLIMITED and old.slots == UNLIMITED and self._slotless_until > now:
            self._unknown_until = max(self._unknown_until, self._slotless_until)
        if quota.slots == UNLIMITED:
            self._drop_slots(now=now)

    def _drop_slots(self, *, now: float) -> None:
        """Slots are no longer counted: those that are out are not given back, but may be in use for a call's time."""
        if self.leased_slots:
            self._slotless_until = now + self.ttl_s + self.call_s
        self.leased_slots = 0
        for holding in self.holdings.values():
            holding.slots = 0

    def presume(self, *, requests: Others, tokens: Others) -> None:
        """Somebody else uses the same quota; replaces what was presumed before."""
        self.other_requests, self.other_tokens = requests, tokens

    # What can be granted ----------------------------------------------------------------------------------------------

    def room(self, *, now: float) -> Block:
        """What could be granted now, in total."""
        self.expire(now=now)
        return self._room()

    def _room(self) -> Block:
        own_requests, own_tokens = self.own_room()
        return Block(
            max(0, own_requests - self.other_requests.amount),
            max(0, own_tokens - self.other_tokens.amount),
            0 if self._unknown_until else max(0, self.quota.slots - self.leased_slots),
        )

    def own_room(self) -> tuple[int, int]:
        """Requests and tokens that would be free if nobody else used the quota; below 0 after it shrank."""
        return (
            self.quota.requests - self.requests.used - self.leased_requests,
            self.quota.tokens - self.tokens.used - self.leased_tokens,
        )

    def grant(self, holder: str, sizes: Sequence[int], *, now: float, slots: int | None = None) -> Block:
        """Leases permits for the longest prefix of `sizes` (tokens per call) that fits; maybe for none.

        `slots` is how many of those calls need a new slot (all, unless said otherwise).
        """
        room = self.room(now=now)
        wanted_slots = len(sizes) if slots is None else slots
        most = min(len(sizes), room.requests)
        if self.slotted:
            most = min(most, room.slots + len(sizes) - wanted_slots)
        count = tokens = 0
        for size in sizes[: max(most, 0)]:
            if tokens + size > room.tokens:
                break
            tokens += size
            count += 1
        if not count:
            return Block(slots=0 if self.slotted else -1)
        new_slots = max(0, count - (len(sizes) - wanted_slots)) if self.slotted else 0
        self._lease(holder, count, tokens, new_slots, now=now)
        return Block(count, tokens, new_slots if self.slotted else -1)

    def _lease(self, holder: str, requests: int, tokens: int, slots: int, *, now: float) -> None:
        holding = self.holdings.setdefault(holder, Holding())
        holding.requests += requests
        holding.tokens += tokens
        holding.slots += slots
        holding.until = now + self.ttl_s
        self.leased_requests += requests
        self.leased_tokens += tokens
        self.leased_slots += slots
        if not self.slotted:
            self._slotless_until = now + self.ttl_s + self.call_s

    def impossible(self, size: int) -> bool:
        """True when a call of `size` tokens can never be granted."""
        return size > self.quota.tokens

    # What comes back --------------------------------------------------------------------------------------------------

    def settle(self, holder: str, spent: Spent, *, now: float) -> None:
        """A permit of `holder` was spent `spent.age_s` ago and its call has ended; its slot stays with the holder."""
        holding = self.holdings.setdefault(holder, Holding())
        self._uncount(holding, 1, spent.reserved)
        # What was cancelled or broke may still be on its way to the provider after its call has ended.
        unseen = spent.outcome in ("cancelled", "connection", "timeout")
        known = spent.transit_s if spent.transit_s >= 0 else spent.took_s
        travel = self.guard_s if unseen else min(known, self.guard_s)
        until = now - spent.age_s + travel + self.window_s
        self.requests.add(1, until=until, now=now)
        self.tokens.add(spent.tokens, until=until, now=now)

    def give_back(self, holder: str, *, requests: int, tokens: int, slots: int) -> None:
        """Unspent permits return; more than the holder has out is ignored."""
        holding = self.holdings.get(holder)
        if holding is None:
            return
        self._uncount(holding, requests, tokens)
        slots = min(slots, holding.slots)
        holding.slots -= slots
        self.leased_slots -= slots

    def _uncount(self, holding: Holding, requests: int, tokens: int) -> None:
        """Takes `requests` and `tokens` off what is out, what was presumed spent first."""
        rows = holding.presumed
        for place, (until, had_requests, had_tokens) in enumerate(rows):
            if not requests and not tokens:
                break
            take_requests, take_tokens = min(requests, had_requests), min(tokens, had_tokens)
            self.requests.remove(take_requests, until=until)
            self.tokens.remove(take_tokens, until=until)
            requests -= take_requests
            tokens -= take_tokens
            rows[place] = (until, had_requests - take_requests, had_tokens - take_tokens)
        while rows and not rows[0][1] and not rows[0][2]:
            del rows[0]
        requests, tokens = min(requests, holding.requests), min(tokens, holding.tokens)
        holding.requests -= requests
        holding.tokens -= tokens
        self.leased_requests -= requests
        self.leased_tokens -= tokens

    def expire(self, *, now: float) -> None:
        """Forgets what no longer counts, and presumes spent what silent holders have not settled."""
        self.requests.expire(now=now)
        self.tokens.expire(now=now)
        if self._unknown_until <= now:
            self._unknown_until = 0.0
        if self.other_requests.until <= now:
            self.other_requests = Others()
        if self.other_tokens.until <= now:
            self.other_tokens = Others()
        for holding in self.holdings.values():
            if (holding.requests or holding.tokens) and holding.until <= now:
                self._presume(holding, now=now)

    def _presume(self, holding: Holding, *, now: float) -> None:
        until = holding.until + self.guard_s + self.window_s
        self.leased_requests -= holding.requests
        self.leased_tokens -= holding.tokens
        self.requests.add(holding.requests, until=until, now=now)
        self.tokens.add(holding.tokens, until=until, now=now)
        holding.presumed.append((until, holding.requests, holding.tokens))
        holding.requests = holding.tokens = 0
        late = max(0.0, self.call_s - self.window_s)
        holding.presumed = [row for row in holding.presumed if row[0] + late > now]

    def forget(self, holder: str, *, now: float) -> None:
        """The holder is dead and its sockets are closed: its slots return, the rest is presumed spent now."""
        holding = self.holdings.pop(holder, None)
        if holding is None:
            return
        self.leased_slots -= holding.slots
        if holding.requests or holding.tokens:
            holding.until = min(holding.until, now)  # a dead holder spends nothing after its death
            self._presume(holding, now=now)

    def fill(self, *, now: float, ttl_s: float = 0.0, travel_s: float = 0.0, calls_out: bool = True) -> None:
        """Counts the whole quota as used now: what a restarted Provider assumes, which does not know what was spent.

        Its predecessor's permits may be sent for another `ttl_s` and be under way for `travel_s` (if these are longer
        than our own), and those calls are out for `call_s` at most, if any can be out (`calls_out`).
        """
        ttl_s = max(ttl_s, self.ttl_s)
        self._filled_until = now + ttl_s + max(travel_s, self.guard_s) + self.window_s
        if calls_out and self.slotted:
            self._unknown_until = now + ttl_s + self.call_s
        elif calls_out:
            self._slotless_until = now + ttl_s + self.call_s
        self._fill(self.quota.requests, self.quota.tokens, now=now)

    def _fill(self, requests: int, tokens: int, *, now: float) -> None:
        """Presumes that a predecessor used so much; what has no limit is not filled."""
        if requests < UNLIMITED // 2:
            self.requests.add(requests, until=self._filled_until, now=now)
        if tokens < UNLIMITED // 2:
            self.tokens.add(tokens, until=self._filled_until, now=now)

    def next_change(self) -> float | None:
        """When something frees by itself: an amount leaves the window, or a lease ends; None when nothing will."""
        times = [time for time in (self.requests.next_expiry(), self.tokens.next_expiry()) if time is not None]
        times += [holding.until for holding in self.holdings.values() if holding.requests or holding.tokens]
        times += [one.until for one in (self.other_requests, self.other_tokens) if one.amount]
        if self._unknown_until:
            times.append(self._unknown_until)
        return min(times) if times else None

    def validate(self) -> None:
        """Asserts the invariants; called after each test."""
        assert self.leased_requests == sum(h.requests for h in self.holdings.values()) >= 0
        assert self.leased_tokens == sum(h.tokens for h in self.holdings.values()) >= 0
        assert self.leased_slots == sum(h.slots for h in self.holdings.values()) >= 0
        assert min(self.requests.used, self.tokens.used) >= 0
        assert min(self.other_requests.amount, self.other_tokens.amount) >= 0
        assert self.slotted or not self.leased_slots
