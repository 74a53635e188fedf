"""How much of a sliding window's quota is used."""

import heapq
import math
from typing import Final

STEPS: Final = 1000
"""Buckets in a window. Expiry is rounded up to a bucket, which costs 1 / (2 · STEPS) of the quota on average and keeps
memory flat at any request rate."""


class SlidingWindow:
    """Counts amounts until the time each one stops to matter.

    An amount that was used at `t` counts in every window of length `window_s` that holds `t`; the caller says until
    when it may count, which is never earlier than `t + window_s`. All times are monotonic seconds.
    """

    __slots__ = ("_amounts", "_due", "_quantum", "used")

    def __init__(self, window_s: float) -> None:
        self._quantum = window_s / STEPS
        self._amounts: dict[int, int] = {}
        self._due: list[int] = []
        #: The sum of all amounts that still count; never negative.
        self.used = 0

    def add(self, amount: int, *, until: float, now: float) -> None:
        """Counts `amount` until `until`; nothing happens when that is past."""
        if until <= now or amount <= 0:
            return
        bucket = math.ceil(until / self._quantum)
        if bucket in self._amounts:
            self._amounts[bucket] += amount
        else:
            self._amounts[bucket] = amount
            heapq.heappush(self._due, bucket)
        self.used += amount

    def remove(self, amount: int, *, until: float) -> int:
        """Takes back up to `amount` of what was added with the same `until`; returns how much still counted."""
        bucket = math.ceil(until / self._quantum)
        taken = min(amount, self._amounts.get(bucket, 0))
        if taken > 0:
            self._amounts[bucket] -= taken
            self.used -= taken
        return taken

    def expire(self, *, now: float) -> None:
        """Forgets all that no longer counts at `now`."""
        edge = now / self._quantum
        while self._due and self._due[0] <= edge:
            self.used -= self._amounts.pop(heapq.heappop(self._due))

    def next_expiry(self) -> float | None:
        """When the next amount stops to count, or None."""
        return self._due[0] * self._quantum if self._due else None

    def free_at(self, amount: int, limit: int) -> float | None:
        """When at least `amount` of `limit` will be free if nothing is added; None when that needs no waiting."""
        excess = self.used + amount - limit
        if excess <= 0:
            return None
        when = 0.0
        for bucket in sorted(self._amounts):
            excess -= self._amounts[bucket]
            when = bucket * self._quantum
            if excess <= 0:
                break
        return when
