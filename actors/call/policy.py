"""What one logical call does next: pure, told the time and given its randomness."""

import math
import random
from collections.abc import Sequence
from typing import Final, Literal

import msgspec

from ...protocols.config import Attempts, OnFilter, Overflow
from ...protocols.decisions import TABLE
from ...protocols.errors import FailureKind

_LEAST_PAUSE_S: Final = 0.05
"""A refused account is left alone for at least so long: a refusal is no attempt, so nothing else would bound them."""

_TRANSIENT: Final[frozenset[FailureKind]] = frozenset({"timeout", "server", "connection"})
"""Failures that pass: who failed so is tried again when nobody else is left, as long as there are attempts."""

Change = Literal["", "repair", "rephrase", "shrink"]
"""What is changed in the request before it is sent: nothing; the validation error is shown to the model; it is worded
otherwise for the provider's filter; it is cut to fit the window."""


class Try(msgspec.Struct, frozen=True):
    """Verdict: send an attempt to candidate number `candidate`, changed so."""

    candidate: int
    change: Change = ""


class Wait(msgspec.Struct, frozen=True):
    """Verdict: nobody can be called for `seconds`; ask again then."""

    seconds: float


class GiveUp(msgspec.Struct, frozen=True):
    """Verdict: the call has failed. `spent` names the budget that is used up, or is empty."""

    spent: str = ""


class CallPolicy:
    """The state of one logical call over its candidates, best first.

    One budget of attempts and time is shared by retries, fallbacks and hedges. A failure whose row says so is retried
    on the same candidate after a back-off with full jitter; otherwise the next candidate that is free steps in. When
    all have failed in ways that pass, a new round begins. Waiting for a quota or a Retry-After is no attempt.

    Args:
        candidates: how many there are.
        settings: the budget.
        now: monotonic seconds.
        rng: for the jitter.
        windows: what each candidate can read and write, tokens; 0 where unknown.
        overflow: what is done with a request that is too long.
        filtered: what is done when a provider's filter refuses.
        deadline_s: seconds for the call, where it is not that of the settings.

    Source of the jitter: Brooker, *Exponential Backoff and Jitter*, AWS Architecture Blog, 2015.
    """

    __slots__ = (
        "_benched",
        "_changes",
        "_deadline",
        "_excluded",
        "_failures",
        "_filtered",
        "_late",
        "_overflow",
        "_ready",
        "_rng",
        "_rounds",
        "_settings",
        "_sticky",
        "_tries",
        "_windows",
        "attempts",
        "deadline_s",
    )

    def __init__(
        self,
        candidates: int,
        settings: Attempts,
        *,
        now: float,
        rng: random.Random,
        windows: Sequence[int] = (),
        overflow: Overflow = "larger",
        filtered: OnFilter = "next",
        deadline_s: float | None = None,
    ) -> None:
        self._settings = settings
        self._rng = rng
        self.deadline_s = settings.deadline_s if deadline_s is None else deadline_s
        self._deadline = now + self.deadline_s
        self._windows = windows
        self._overflow: Overflow = overflow
        self._filtered: OnFilter = filtered
        #: When each candidate may be called (again).
        self._ready = [now] * candidates
        self._tries = [0] * candidates
        #: Out for good, and out until a new round.
        self._excluded = [False] * candidates
        self._benched = [False] * candidates
        self._changes: dict[int, Change] = {}
        self._failures: dict[tuple[int, FailureKind], int] = {}
        self._rounds = 0
        #: The candidate that is retried before anybody else is tried, or -1.
        self._sticky = -1
        #: The last failure was a timeout: a faster candidate is preferred, if one is known.
        self._late = False
        #: Attempts that count against the budget.
        self.attempts = 0

    # Asking -----------------------------------------------------------------------------------------------------------

    def next(self, *, now: float, latencies: Sequence[float] = ()) -> Try | Wait | GiveUp:
        """What to do now; `latencies` are what the candidates' answers typically take, seconds, 0 where unknown."""
        if self.attempts >= self._settings.max_attempts:
            return GiveUp(f"{self._settings.max_attempts} attempts")
        if now >= self._deadline:
            return GiveUp(f"the deadline of {self.deadline_s:g} s")
        open_ = self._open()
        if not open_:
            open_ = self._new_round(now=now)
        if not open_:
            return GiveUp()
        free = [index for index in open_ if self._ready[index] <= now]
        if free:
            return self._choose(free, latencies)
        ready = min(self._ready[index] for index in open_)
        if ready >= self._deadline:
            return GiveUp(f"the deadline of {self.deadline_s:g} s")
        return Wait(ready - now)

    def hedge(self, first: int, *, now: float) -> int | None:
        """Who a second request may go to beside the one that is out at `first`; None when the attempts forbid it."""
        if self.attempts + 2 > self._settings.max_attempts:
            return None
        free = [index for index in self._open() if self._ready[index] <= now and index != first]
        return free[0] if free else first

    def left(self, *, now: float) -> float:
        """Seconds until the deadline; never negative."""
        return max(0.0, self._deadline - now)

    def _open(self) -> list[int]:
        if self._sticky >= 0 and not self._excluded[self._sticky]:
            return [self._sticky]
        return [at for at, out in enumerate(self._excluded) if not out and not self._benched[at]]

    def _new_round(self, *, now: float) -> list[int]:
        """Everybody has failed: those who may have recovered are called again, each after a back-off."""
        again = [at for at, out in enumerate(self._excluded) if not out]
        self._rounds += 1
        for at in again:
            self._benched[at] = False
            self._tries[at] = 0
            self._ready[at] = max(self._ready[at], now + self._jitter(self._rounds - 1))
        self._failures = {key: count for key, count in self._failures.items() if key[1] not in _TRANSIENT}
        return again

    def _choose(self, free: list[int], latencies: Sequence[float]) -> Try:
        at = free[0]
        if self._late and latencies and latencies[at]:
            at = min(free, key=lambda index: latencies[index] or latencies[at])
        return Try(at, self._changes.get(at, ""))

    # Hearing ----------------------------------------------------------------------------------------------------------

    def blocked(self, candidate: int, seconds: float, *, down: bool, now: float) -> None:
        """No attempt was made: the candidate's account may not be called for `seconds`, or is `down`."""
        self._sticky = -1
        self._ready[candidate] = now + max(seconds, _LEAST_PAUSE_S)
        if down:
            self._excluded[candidate] = True

    def expire(self) -> None:
        """The deadline has come: deadlines are kept a little too early, never too late."""
        self._deadline = -math.inf

    def exclude(self, candidate: int) -> None:
        """No attempt was made: the candidate can't take this request, and never will."""
        self._sticky = -1
        self._excluded[candidate] = True

    def cancelled(self) -> None:
        """An attempt was sent and another one was faster: it counts, and says nothing about its candidate."""
        self.attempts += 1

    def failed(self, candidate: int, kind: FailureKind, *, retry_after: float | None, now: float) -> None:
        """An attempt failed."""
        row = TABLE[kind]
        self._failures[candidate, kind] = self._failures.get((candidate, kind), 0) + 1
        self._tries[candidate] += row.charged
        self.attempts += row.charged
        self._sticky = -1
        self._late = kind == "timeout"
        if kind == "rate_limited":
            pause = retry_after or self._backoff(candidate, kind)
            self._ready[candidate] = now + max(pause, _LEAST_PAUSE_S)
        elif self._again(candidate, kind):
            self._sticky = candidate
            pause = self._backoff(candidate, kind) if row.backoff else 0.0
            self._ready[candidate] = now + max(pause, retry_after or 0.0)
        elif not row.next_candidate or (kind == "filtered" and self._filtered == "fail"):
            # The request itself is at fault: it would fail everywhere.
            self._excluded = [True] * len(self._excluded)
        else:
            self._leave(candidate, kind, retry_after=retry_after, now=now)

    def _again(self, candidate: int, kind: FailureKind) -> bool:
        """Whether the same candidate is tried once more, before anybody else; notes what is changed for it."""
        change = self._change(candidate, kind)
        most = TABLE[kind].retries + (change in ("rephrase", "shrink"))
        if self._failures[candidate, kind] > most or self._tries[candidate] >= self._settings.per_candidate:
            return False
        if change:
            self._changes[candidate] = change
        return True

    def _change(self, candidate: int, kind: FailureKind) -> Change:
        if kind == "invalid_reply":
            return "repair"
        if kind == "filtered" and self._filtered == "rephrase":
            return "rephrase"
        if kind == "context_too_long" and self._overflow not in ("fail", "larger") and not self._larger(candidate):
            return "shrink"
        return ""

    def _larger(self, candidate: int) -> bool:
        """Whether somebody with a larger window is left."""
        if not self._windows:
            return False
        return any(self._windows[at] > self._windows[candidate] for at in self._open() if at != candidate)

    def _leave(self, candidate: int, kind: FailureKind, *, retry_after: float | None, now: float) -> None:
        if kind == "context_too_long" and self._overflow == "fail":
            self._excluded = [True] * len(self._excluded)
            return
        if kind in _TRANSIENT:
            self._benched[candidate] = True
            self._ready[candidate] = now + (retry_after or 0.0)
        else:
            self._excluded[candidate] = True
        if kind == "context_too_long" and self._windows and self._windows[candidate]:
            for at, window in enumerate(self._windows):  # who has no larger window would refuse it as well
                if 0 < window <= self._windows[candidate] and self._overflow == "larger":
                    self._excluded[at] = True

    def _backoff(self, candidate: int, kind: FailureKind) -> float:
        return self._jitter(self._failures[candidate, kind] - 1)

    def _jitter(self, exponent: int) -> float:
        # Short first, then three times as long: what passes soon is met by the first, an outage is waited for by the
        # last. 0.5 s doubled waits 15.5 s in five pauses at most, this 12 s; with 0.5 s a fan-out of which a tenth
        # fails took a fifth longer (`benchmarks.fanout`).
        ceiling = min(self._settings.backoff_s * 3 ** min(exponent, 12), self._settings.backoff_max_s)
        return self._rng.uniform(0.0, ceiling)
