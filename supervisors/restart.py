"""How often a child may be restarted. Terms as in Erlang/OTP's supervisor: intensity and period."""

import dataclasses
from collections import deque


@dataclasses.dataclass(frozen=True, slots=True)
class Restart:
    """Verdict: start it again after `delay_s`."""

    delay_s: float


@dataclasses.dataclass(frozen=True, slots=True)
class GiveUp:
    """Verdict: it died too often; it stays down and is named in the status."""


@dataclasses.dataclass(frozen=True, slots=True)
class RestartLimit:
    """At most `intensity` restarts in any `period_s`; the first is at once, each further one waits twice as long."""

    intensity: int = 15
    period_s: float = 30.0
    delay_s: float = 0.1
    delay_max_s: float = 5.0


class RestartWindow:
    """The recent restarts of one child."""

    def __init__(self, limit: RestartLimit) -> None:
        self._limit = limit
        #: Times of the restarts in the last period, oldest first.
        self._recent: deque[float] = deque()

    def died(self, *, now: float) -> Restart | GiveUp:
        """The child died: what to do."""
        while self._recent and self._recent[0] <= now - self._limit.period_s:
            self._recent.popleft()
        count = len(self._recent)
        if count >= self._limit.intensity:
            return GiveUp()
        self._recent.append(now)
        delay = self._limit.delay_s * 2 ** (count - 1) if count else 0.0
        return Restart(min(delay, self._limit.delay_max_s))
