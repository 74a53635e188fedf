"""The circuit breaker of one account: closed, open, half-open with exactly one probe, or down until mended."""

import dataclasses
from collections import deque
from itertools import islice
from typing import Final, Literal

from ...protocols.config import BreakerSettings

State = Literal["closed", "open", "half_open", "down"]

_MOST: Final = 10_000
"""Outcomes that are kept, for accounts with thousands of calls in flight."""

_PROBE_CHECK_S: Final = 1.0
"""While the probe is out nobody is told to stay away for longer: it may well be back by then."""


@dataclasses.dataclass(frozen=True, slots=True)
class Admit:
    """Calls may go out; `probe` means exactly one may, and it decides what comes next."""

    probe: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class Refuse:
    """No call may go out for `seconds`; infinite while the account is down."""

    seconds: float


class Breaker:
    """Counts failures and says whether calls may go out.

        closed ──failures──▶ open ──pause over──▶ half_open ──probe ok──▶ closed
                               ▲                      │
                               └────probe failed──────┘   (the pause doubles, up to open_max_s)

    Any state goes `down` by `mark_down` (a rejected key) and stays there.
    Source: Nygard, *Release It!*, chapter on stability patterns.
    """

    def __init__(self, settings: BreakerSettings, *, probe_timeout_s: float = 60.0) -> None:
        self._settings = settings
        self._probe_timeout_s = probe_timeout_s
        #: Outcomes of the last calls while closed, True for success.
        self._recent: deque[bool] = deque(maxlen=_MOST)
        self._in_a_row = 0
        #: When the last call went well, or the first one ended; None before.
        self._well_at: float | None = None
        self._pause_s = settings.open_s
        self._open_until = 0.0
        #: When the probe went out; None while there is none. Only ever set in half_open.
        self._probe_at: float | None = None
        self.state: State = "closed"

    def configure(self, settings: BreakerSettings, *, probe_timeout_s: float) -> None:
        """Other settings apply from now on; state and outcomes stay."""
        self._settings = settings
        self._probe_timeout_s = probe_timeout_s
        if self.state == "closed":
            self._pause_s = settings.open_s

    def check(self, *, now: float) -> Admit | Refuse:
        """Whether calls may go out now. Moves from open to half_open when the pause is over."""
        if self.state == "closed":
            return Admit()
        if self.state == "down":
            return Refuse(float("inf"))
        if self.state == "open":
            if now < self._open_until:
                return Refuse(self._open_until - now)
            self.state = "half_open"
            self._probe_at = None
        if self._probe_at is not None and now - self._probe_at < self._probe_timeout_s:
            return Refuse(min(self._probe_at + self._probe_timeout_s - now, _PROBE_CHECK_S))
        return Admit(probe=True)

    def probe_sent(self, *, now: float) -> None:
        """The one probe is on its way; nobody else is admitted until it ends or times out."""
        self._probe_at = now

    def probe_lost(self) -> None:
        """The probe's sender died or gave it back unspent: another may be sent."""
        self._probe_at = None

    def record(self, *, ok: bool, probe: bool, now: float, out: int = 0, answers_s: float = 0.0) -> None:
        """Tells how a call ended. While half-open only the probe counts; while open or down nothing does.

        A refusal comes back long before an answer does: of 1,000 calls sent at once of which a tenth fails, the first
        hundred to end are failures, and an account that answered nine of ten was left alone for 15 s. So a row of
        failures counts against the calls that are still out, unless nothing has gone well for longer than answers take.

        Args:
            ok: it went well.
            probe: it was the probe.
            now: monotonic seconds.
            out: other calls that may be in flight.
            answers_s: what answers take, nearly all of them; 0 where nobody knows.
        """
        if self.state == "half_open":
            if probe:
                self._close() if ok else self._open(now=now, pause_s=self._pause_s * 2)
        elif self.state == "closed":
            self._recent.append(ok)
            self._in_a_row = 0 if ok else self._in_a_row + 1
            if ok or self._well_at is None:
                self._well_at = now
            if not ok and self._too_many(out, quiet=answers_s > 0 and now - self._well_at > 2 * answers_s):
                self._open(now=now, pause_s=self._settings.open_s)

    def mark_down(self) -> None:
        """The account can't work until somebody mends it."""
        self.state = "down"

    def mend(self) -> None:
        """The account was mended (a new configuration)."""
        self._close()

    def _too_many(self, out: int, *, quiet: bool) -> bool:
        row, rate = self._in_a_row, self._settings.rate
        if row >= self._settings.failures and (quiet or row >= rate * (row + out)):
            return True
        # Twice as many as are out: those that came back early are then no more than half of them.
        span = min(max(self._settings.window, 2 * out), _MOST)
        if len(self._recent) < span:
            return False
        return sum(not ok for ok in islice(reversed(self._recent), span)) >= rate * span

    def _open(self, *, now: float, pause_s: float) -> None:
        self._pause_s = min(pause_s, self._settings.open_max_s)
        self._open_until = now + self._pause_s
        self._probe_at = None
        self.state = "open"

    def _close(self) -> None:
        self._recent.clear()
        self._in_a_row = 0
        self._well_at = None
        self._pause_s = self._settings.open_s
        self._probe_at = None
        self.state = "closed"
