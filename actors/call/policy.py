"""What one logical call does next: pure, told the time and given its randomness."""

import dataclasses
import random
from typing import Final

from ...protocols.config import Attempts
from ...protocols.decisions import TABLE
from ...protocols.errors import FailureKind

_LEAST_PAUSE_S: Final = 0.05
"""A refused account is left alone for at least so long: a refusal is no attempt, so nothing else would bound them."""


@dataclasses.dataclass(frozen=True, slots=True)
class Try:
    """Verdict: send an attempt to candidate number `candidate`."""

    candidate: int


@dataclasses.dataclass(frozen=True, slots=True)
class Wait:
    """Verdict: nobody can be called for `seconds`; ask again then."""

    seconds: float


@dataclasses.dataclass(frozen=True, slots=True)
class GiveUp:
    """Verdict: the call has failed. `spent` names the budget that is used up, or is empty."""

    spent: str = ""


class CallPolicy:
    """The state of one logical call over its candidates, best first.

    One budget of attempts and time is shared by retries and fallbacks. A failure whose row says so is retried on the
    same candidate after a back-off with full jitter; otherwise the next candidate that is free steps in. Waiting for
    a quota or a Retry-After is no attempt.

    Source of the jitter: Brooker, *Exponential Backoff and Jitter*, AWS Architecture Blog, 2015.
    """

    __slots__ = ("_deadline", "_excluded", "_failures", "_ready", "_rng", "_settings", "_sticky", "_tries", "attempts")

    def __init__(self, candidates: int, settings: Attempts, *, now: float, rng: random.Random) -> None:
        self._settings = settings
        self._rng = rng
        self._deadline = now + settings.deadline_s
        #: When each candidate may be called (again).
        self._ready = [now] * candidates
        self._tries = [0] * candidates
        self._excluded = [False] * candidates
        self._failures: dict[tuple[int, FailureKind], int] = {}
        #: The candidate that is retried before anybody else is tried, or -1.
        self._sticky = -1
        #: Attempts that count against the budget.
        self.attempts = 0

    def next(self, *, now: float) -> Try | Wait | GiveUp:
        """What to do now."""
        if self.attempts >= self._settings.max_attempts:
            return GiveUp(f"{self._settings.max_attempts} attempts")
        if now >= self._deadline:
            return GiveUp(f"the deadline of {self._settings.deadline_s:g} s")
        open_ = [index for index, out in enumerate(self._excluded) if not out]
        if not open_:
            return GiveUp()
        if self._sticky >= 0 and not self._excluded[self._sticky]:
            open_ = [self._sticky]
        for index in open_:
            if self._ready[index] <= now:
                return Try(index)
        ready = min(self._ready[index] for index in open_)
        if ready >= self._deadline:
            return GiveUp(f"the deadline of {self._settings.deadline_s:g} s")
        return Wait(ready - now)

    def left(self, *, now: float) -> float:
        """Seconds until the deadline; never negative."""
        return max(0.0, self._deadline - now)

    def blocked(self, candidate: int, seconds: float, *, down: bool, now: float) -> None:
        """No attempt was made: the candidate's account may not be called for `seconds`, or is `down`."""
        self._sticky = -1
        self._ready[candidate] = now + seconds
        if down:
            self._excluded[candidate] = True

    def failed(self, candidate: int, kind: FailureKind, *, retry_after: float | None, now: float) -> None:
        """An attempt failed."""
        row = TABLE[kind]
        self._failures[candidate, kind] = self._failures.get((candidate, kind), 0) + 1
        self._tries[candidate] += row.charged
        self.attempts += row.charged
        self._sticky = -1
        if kind == "rate_limited":
            pause = retry_after or self._backoff(candidate, kind)
            self._ready[candidate] = now + max(pause, _LEAST_PAUSE_S)
            return
        again = self._failures[candidate, kind] <= row.retries and self._tries[candidate] < self._settings.per_candidate
        if again:
            self._sticky = candidate
            pause = self._backoff(candidate, kind) if row.backoff else 0.0
            self._ready[candidate] = now + max(pause, retry_after or 0.0)
        elif row.next_candidate:
            self._excluded[candidate] = True
        else:  # the request itself is at fault: it would fail everywhere
            self._excluded = [True] * len(self._excluded)

    def _backoff(self, candidate: int, kind: FailureKind) -> float:
        exponent = min(self._failures[candidate, kind] - 1, 16)
        ceiling = min(self._settings.backoff_s * 2**exponent, self._settings.backoff_max_s)
        return self._rng.uniform(0.0, ceiling)
