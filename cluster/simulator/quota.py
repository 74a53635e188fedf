"""Strict sliding-window quotas, as the harshest provider would hold them: exact, with no buckets.

A request at t is refused when what was accepted in (t - window, t] together with it passes a limit. Every
accepted request is remembered until it leaves the window, so the answer is never an approximation.
"""

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from .settings import Quota

LimitName = Literal["requests", "tokens", "concurrency"]

# Added to each wait, so that who waits as long as told is admitted in spite of floating point: at a monotonic
# clock of ten years one step of a double is 6e-8 s.
_SLACK_S = 1e-6


@dataclass(frozen=True, slots=True)
class Refusal:
    """Which limit refused, and after how many seconds the same request would pass; inf is never."""

    limit: LimitName
    wait_s: float


@dataclass(frozen=True, slots=True)
class Standing:
    """A limiter's state for the reply's headers. ``reset_s``: seconds until its window is empty."""

    limit_requests: int | None
    remaining_requests: int
    limit_tokens: int | None
    remaining_tokens: int
    reset_s: float

    @property
    def headroom(self) -> float:
        """The smallest share of a limit that is left, of [0, 1]."""
        requests = self.remaining_requests / self.limit_requests if self.limit_requests else 1.0
        tokens = self.remaining_tokens / self.limit_tokens if self.limit_tokens else 1.0
        return min(requests, tokens)


class Limiter:
    """The quota of one key, or of one key on one model.

    Invariant: ``_tokens`` is the sum of the tokens in ``_accepted``, which is in order of time.
    """

    def __init__(self, quota: Quota) -> None:
        self.quota = quota
        # True if there is a limit whose standing the reply's headers can tell.
        self.told = quota.rpm is not None or quota.tpm is not None
        self._accepted: deque[tuple[float, int]] = deque()
        self._tokens = 0
        self._in_flight: dict[int, float] = {}  # ticket -> when its reply is planned to end

    def refusal(self, tokens: int, *, now: float) -> Refusal | None:
        """Why a request of so many tokens would be refused at ``now``, or None. ``now`` never goes back."""
        self._evict(now)
        quota = self.quota
        worst: Refusal | None = None
        if quota.rpm is not None and len(self._accepted) >= quota.rpm:
            worst = Refusal("requests", self._requests_wait(quota.rpm, now))
        if quota.tpm is not None and self._tokens + tokens > quota.tpm:
            worst = _longer(worst, Refusal("tokens", self._tokens_wait(quota.tpm, tokens, now)))
        if quota.concurrency is not None and len(self._in_flight) >= quota.concurrency:
            worst = _longer(worst, Refusal("concurrency", self._slot_wait(quota.concurrency, now)))
        return worst

    def take(self, ticket: int, tokens: int, *, ends_at: float, now: float) -> None:
        """Count a request that all limiters admitted; ``release`` frees its slot, its window entry stays."""
        self._in_flight[ticket] = ends_at
        if self.told:
            self._accepted.append((now, tokens))
            self._tokens += tokens

    def release(self, ticket: int) -> None:
        """The request is over, in whatever way."""
        self._in_flight.pop(ticket, None)

    def standing(self, *, now: float) -> Standing:
        """What is left of the window at ``now``."""
        self._evict(now)
        quota = self.quota
        newest = self._accepted[-1][0] if self._accepted else now - quota.window_s
        return Standing(
            limit_requests=quota.rpm,
            remaining_requests=(quota.rpm or 0) - len(self._accepted),
            limit_tokens=quota.tpm,
            remaining_tokens=(quota.tpm or 0) - self._tokens,
            reset_s=newest + quota.window_s - now,
        )

    def _evict(self, now: float) -> None:
        horizon = now - self.quota.window_s
        accepted = self._accepted
        while accepted and accepted[0][0] <= horizon:
            self._tokens -= accepted.popleft()[1]

    def _requests_wait(self, rpm: int, now: float) -> float:
        if rpm == 0:
            return math.inf
        return self._expiry(len(self._accepted) - rpm, now)

    def _tokens_wait(self, tpm: int, tokens: int, now: float) -> float:
        if tokens > tpm:
            return math.inf
        excess = self._tokens + tokens - tpm
        for index, (_, held) in enumerate(self._accepted):
            excess -= held
            if excess <= 0:
                return self._expiry(index, now)
        raise AssertionError("the window holds fewer tokens than its sum says")

    def _slot_wait(self, concurrency: int, now: float) -> float:
        if concurrency == 0:
            return math.inf
        ends = sorted(self._in_flight.values())
        return max(0.0, ends[len(ends) - concurrency] - now) + _SLACK_S

    def _expiry(self, index: int, now: float) -> float:
        return max(0.0, self._accepted[index][0] + self.quota.window_s - now) + _SLACK_S


def _longer(one: Refusal | None, other: Refusal) -> Refusal:
    return other if one is None or other.wait_s > one.wait_s else one


def admit(limiters: Sequence[Limiter], ticket: int, tokens: int, *, ends_at: float, now: float) -> Refusal | None:
    """Count a request in all limiters, or in none and say which of them keeps it out longest."""
    worst: Refusal | None = None
    for limiter in limiters:
        refusal = limiter.refusal(tokens, now=now)
        if refusal is not None:
            worst = _longer(worst, refusal)
    if worst is None:
        for limiter in limiters:
            limiter.take(ticket, tokens, ends_at=ends_at, now=now)
    return worst
