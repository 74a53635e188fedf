"""What an account's quotas are where nobody wrote them down: what replies tell, or what refusals teach.

Told and learned limits are never above what is configured, and each shrinks for a time only: told ones follow the
latest words, learned ones grow again while they are used, what others use is presumed until the quota's reset.
"""

import math
from collections import deque
from typing import Final

from ...protocols.config import Limits
from ...protocols.messages import Spent
from ...protocols.wire.codec import LimitsTold
from .limiter import UNLIMITED, Limiter, Others, Quota
from .window import SlidingWindow

CUT: Final = 0.7
"""A quota that was refused is taken to be so much of what it was taken for."""

STEP: Final = 0.05
"""It grows by this part of what it was at its last cut with each window in which it was used without a refusal."""

START: Final = 0.5
"""So much it grows before its first cut: the first burst of refusals may have come when little had been accepted."""

BURST: Final = 3
BURST_SHARE: Final = 0.25
RECENT: Final = 32
"""So many refusals, and that part of the last calls, are a burst. A provider that refuses 2 % of its calls at random
has no quota to find: taking each refusal for one would bring it to a standstill within minutes."""

USED: Final = 0.8
"""A quota counts as used in a window when that part of it was."""

FORGET: Final = 60
"""After so many windows without a refusal (an hour) a learned quota is forgotten: the account may have grown."""

SLACK: Final = 0.02
"""Replies tell what was left some 0.1 s ago: so much less than we count on may be nobody's use but ours."""

_UNTOLD: Final = ("rate_limited", "connection", "timeout", "cancelled", "auth", "server")
"""Ends of a call that don't show that the account had accepted it."""


class ToldQuota:
    """One quota as headers tell it: the smallest of what was told within the last two windows.

    The smallest, because one key may have several quotas (one a model), and a reply tells its own alone.
    """

    def __init__(self, window_s: float) -> None:
        self._window_s = window_s
        #: What was told, and when last; never empty once something was.
        self._heard: dict[int, float] = {}

    def hear(self, value: int, *, now: float) -> None:
        """A reply told this quota; 0 and less tell nothing."""
        if value > 0:
            self._heard[value] = now
            self._heard = {value: at for value, at in self._heard.items() if at > now - 2 * self._window_s}

    @property
    def value(self) -> int:
        """The quota, or `UNLIMITED` while nothing was told."""
        return min(self._heard, default=UNLIMITED)


class Trial:
    """Requests a window, found by trial: additive increase, multiplicative decrease.

    Unlimited until the first burst of refusals. Then it is what was accepted within a window of it: calls that are
    refused end sooner than those that are answered, so it grows for one window by what turns out to have been accepted.
    Each later burst cuts it, once a window; each window in which it was used without a refusal adds to it. While
    nothing at all is accepted refusals teach nothing: a quota, however small, lets something through in each window.

    Source: Chiu, Jain, *Analysis of the Increase and Decrease Algorithms*, 1989; once a burst, as TCP (RFC 5681) does.
    """

    def __init__(self, window_s: float) -> None:
        self._window_s = window_s
        self._accepted = SlidingWindow(window_s)
        self._estimate = 0
        self._step = 1
        #: When it was cut last; a refusal counts once a window. When it was looked at last; when it was refused last.
        self._cut_at = self._looked_at = self._refused_at = 0.0
        #: It still grows by what the first burst turns out to have got accepted.
        self._first = False
        #: It was never cut yet.
        self._starting = True
        #: How the last calls ended: True for a refusal.
        self._recent: deque[bool] = deque(maxlen=RECENT)

    @property
    def value(self) -> int:
        """The quota, or `UNLIMITED` before the first refusal."""
        return self._estimate or UNLIMITED

    def ended(self, spent: Spent, *, now: float) -> None:
        """A call has ended, well or not."""
        sent = now - spent.age_s
        self._accepted.expire(now=now)
        if spent.outcome not in _UNTOLD:
            self._accepted.add(1, until=sent + self._window_s, now=now)
            self._recent.append(False)
            if self._first:
                self._set(max(self._estimate, self._accepted.used))
        elif spent.outcome == "rate_limited":
            self._refused(sent, now=now)

    def _refused(self, sent: float, *, now: float) -> None:
        self._refused_at = now
        self._recent.append(True)
        refused = self._recent.count(True)
        if refused < max(BURST, BURST_SHARE * len(self._recent)) or not self._accepted.used:
            return
        if self._estimate and (sent <= self._cut_at or now < self._cut_at + self._window_s):
            return
        self._first = not self._estimate
        self._starting = self._first
        self._recent.clear()
        self._set(max(1, self._accepted.used if self._first else math.floor(self._estimate * CUT)))
        self._cut_at = self._looked_at = now

    def _set(self, estimate: int) -> None:
        self._estimate = estimate
        self._step = max(1, math.floor(estimate * STEP))

    def look(self, *, now: float) -> None:
        """Grows or forgets the quota when a window has passed."""
        if not self._estimate or now < self._looked_at + self._window_s:
            return
        self._looked_at = now
        self._first = False
        self._accepted.expire(now=now)
        if now >= self._refused_at + FORGET * self._window_s:
            self._estimate = 0
        elif now >= self._refused_at + self._window_s and self._accepted.used >= USED * self._estimate:
            self._estimate += max(1, math.floor(self._estimate * START)) if self._starting else self._step

    def next_change(self) -> float | None:
        """When `look` may change something; None while nothing is learned."""
        return self._looked_at + self._window_s if self._estimate else None


def others(*, free: int, left: int, limit: int, reset_s: float, window_s: float, now: float) -> Others:
    """What somebody else has used: we count on `free`, the provider says that only `left` is left of `limit`.

    It counts until the provider's reset, or a window where it tells none. A `left` below 0 tells nothing.
    """
    missing = free - left
    if left < 0 or limit >= UNLIMITED or missing <= limit * SLACK + 1:
        return Others()
    wait_s = window_s if reset_s < 0 else min(reset_s, window_s)
    return Others(missing, now + wait_s)


class Learner:
    """One account's quota: what is configured, what is told, and what is learned by trial.

    Numbers that are told for a minute are taken for the account's window, whatever its length.
    """

    def __init__(self, limits: Limits) -> None:
        self.configured = Quota.of(limits)
        self.learns = limits.learn
        self.window_s = limits.window_s
        self.requests = ToldQuota(limits.window_s)
        self.tokens = ToldQuota(limits.window_s)
        self.trial = Trial(limits.window_s)
        #: True while the quota is found by trial: nothing is configured or told. What applies now.
        self.tries = False
        self.quota = self.configured
        self._settle()

    def configure(self, limits: Limits) -> None:
        """Another configuration with the same window; what was learned stays."""
        self.configured = Quota.of(limits)
        self.learns = limits.learn
        self._settle()

    def _settle(self) -> None:
        """Works out the quota; kept, because it is looked at with each call."""
        own, told = self.configured, Quota(self.requests.value, self.tokens.value)
        self.tries = self.learns and min(own.requests, own.tokens, told.requests, told.tokens) == UNLIMITED
        if self.tries:
            self.quota = Quota(self.trial.value, UNLIMITED, own.slots)
        elif self.learns:
            self.quota = Quota(min(own.requests, told.requests), min(own.tokens, told.tokens), own.slots)
        else:
            self.quota = own

    def ended(self, spent: Spent, *, now: float) -> None:
        """A call has ended."""
        if self.tries:
            self.trial.ended(spent, now=now)
            self._settle_trial()

    def look(self, *, now: float) -> None:
        """Lets time do its work on what is learned."""
        if self.tries:
            self.trial.look(now=now)
            self._settle_trial()

    def _settle_trial(self) -> None:
        if self.trial.value != self.quota.requests:
            self._settle()

    def next_change(self) -> float | None:
        """When `look` may change something."""
        return self.trial.next_change() if self.tries else None

    def told(self, told: LimitsTold, limiter: Limiter, *, now: float) -> None:
        """Headers told limits: the limiter heeds them, and what others seem to have used of them."""
        if not self.learns:
            return
        self.requests.hear(told.requests, now=now)
        self.tokens.hear(told.tokens, now=now)
        self._settle()
        limiter.retune(self.quota, now=now)
        limiter.expire(now=now)
        free_requests, free_tokens = limiter.own_room()
        limiter.presume(
            requests=others(
                free=free_requests,
                left=told.requests_left,
                limit=limiter.quota.requests,
                reset_s=told.requests_reset_s,
                window_s=self.window_s,
                now=now,
            ),
            tokens=others(
                free=free_tokens,
                left=told.tokens_left,
                limit=limiter.quota.tokens,
                reset_s=told.tokens_reset_s,
                window_s=self.window_s,
                now=now,
            ),
        )
