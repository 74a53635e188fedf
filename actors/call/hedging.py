"""When a second request is sent beside one that is late: pure, told the time and given its randomness.

The delay is chosen from what was observed, by the *SingleR* policy: after `d` seconds a second request is sent with
probability `q`, where `d` and `q` are those that make the tail shortest for the requests that may be spent. The 95th
percentile alone fails where it matters: if 5 % of the calls are slow it may lie among the slow ones, where a second
request comes too late to help.

Sources: Kaler, He, Elnikety, *Optimal Reissue Policies for Reducing Tail Latency*, SPAA 2017 (the policy); Dean,
Barroso, *The Tail at Scale*, CACM 2013 (hedging, and its budget); Kaplan, Meier, *Nonparametric Estimation from
Incomplete Observations*, JASA 1958 (calls that were cancelled before they ended).
"""

import bisect
import itertools
import math
import operator
import random
from collections.abc import Sequence
from typing import Final

from ...protocols.routes import Hedging
from ..prices import PICO

_LEAST_SAMPLES: Final = 30
_REFIT_AFTER: Final = (30, 250)
"""Samples between two fits, from the first plans on to the later ones: a fit takes 0.3 ms."""
_HALVE_AFTER: Final = 2000
_LEAST_WEIGHT: Final = 1 / 64
"""What was halved so often is forgotten."""
_CLASSES: Final = 512
"""Most classes of calls that are remembered; the one that was not called for longest is forgotten."""

_WHOLE: Final = 1_000_000
"""A hedge, in the whole numbers that credit is counted in: sums of floats would let one too many pass."""
_BURST_CALLS: Final = 1000
_LEAST_BURST: Final = 4

_RESERVE: Final = 0.95
"""Part of the budget that is planned for; the rest is for second hedges and for shares that are measured too low."""
_AIMS: Final = (0.02, 0.01, 0.001)
"""The percentiles to shorten: 98, 99, 99.9. The 99th alone has a cliff: where 5 % are slow and the budget is 5 %, one
slow call in a hundred is left by a hair, measured so or not; and then a delay among the slow ones looks best."""
_FLAT: Final = 4
"""Sums of buckets over the aims that differ by less count as equal: 6 % at each."""

_SURE: Final = 0.8
_RAREST: Final = 0.002
"""A knee is where four in five of the late calls take twice as long; stragglers rarer than 0.2 % make none."""

_CROWD: Final = 8
_CROWD_SHARE: Final = 0.25
_PATIENCE: Final = 4.0
"""When so many calls are late at once, and so large a share of those that are out, it is not one of them that is slow
but everything, for a moment: hedges would not help, and spend at once what a thousand calls have earned. They are held
back until a call has taken so many times its delay."""

_GAMMA: Final = 1.05
_PER_LOG: Final = 1.0 / math.log(_GAMMA)
_FLOOR_S: Final = 1e-4
_PER_FLOOR: Final = 1.0 / _FLOOR_S
_BUCKETS: Final = 360  # 0.1 ms · 1.05^360 is over an hour
_EDGES: Final = tuple(_FLOOR_S * _GAMMA**at for at in range(_BUCKETS + 1))
"""Where each bucket ends, seconds."""


def _bucket(seconds: float) -> int:
    if seconds <= _FLOOR_S:
        return 0
    return int(math.log(seconds * _PER_FLOOR) * _PER_LOG) + 1 if seconds < _EDGES[_BUCKETS - 1] else _BUCKETS


def size_class(tokens: int, max_tokens: int, *, stream: bool = False) -> str:
    """The class of a call by the tokens of its prompt and of its answer; a step is a factor of four.

    What a call takes grows with both, and with the answer a hundred times as fast, so they are told apart.
    A stream is late when its first words are, so streams are classes of their own.
    """
    return f"{'s' if stream else ''}{min(tokens.bit_length(), 24) // 2}/{min(max_tokens.bit_length(), 24) // 2}"


class Tail:
    """What one class of calls took: how many took longer than `t`, with the old forgotten by halving.

    A call that was cancelled because another was faster took *at least* so long. To count it as answered then would
    hide that anything is slow; to leave it out would hide it, too. It is censored: its weight goes to the calls that
    are known to have taken longer, by the product-limit estimator; to the longest time seen, if there are none.
    """

    __slots__ = ("_answered", "_cut", "_high", "_low", "_rest", "_since", "_survival", "samples")

    def __init__(self) -> None:
        self._answered = [0.0] * (_BUCKETS + 1)
        self._cut = [0.0] * (_BUCKETS + 1)
        self._low, self._high = _BUCKETS, 0
        self._since = 0
        #: For each bucket of [low, high], what was so at the last fit: the share of calls that took longer than it, …
        self._survival: list[float] = []
        #: … and the mean of what those took.
        self._rest: list[float] = []
        #: All samples ever added.
        self.samples = 0

    def add(self, seconds: float, *, censored: bool = False) -> None:
        """Counts a call that took `seconds`, or at least so long."""
        at = _bucket(seconds)
        (self._cut if censored else self._answered)[at] += 1.0
        self._low = min(self._low, at)
        self._high = max(self._high, at)
        self.samples += 1
        self._since += 1
        if self._since >= _HALVE_AFTER:
            self._forget()

    def _forget(self) -> None:
        self._since = 0
        self._answered = [count / 2 if count > _LEAST_WEIGHT else 0.0 for count in self._answered]
        self._cut = [count / 2 if count > _LEAST_WEIGHT else 0.0 for count in self._cut]
        held = [at for at, counts in enumerate(zip(self._answered, self._cut, strict=True)) if any(counts)]
        self._low, self._high = held[0], held[-1]

    def fit(self) -> None:
        """Brings all that can be asked up to date with what was added."""
        # What is at risk at the end of the range is nothing, so it is summed from there: no rounding is left over.
        answered, cut = (counts[self._low : self._high + 1] for counts in (self._answered, self._cut))
        at_risk = list(itertools.accumulate(map(operator.add, reversed(answered), reversed(cut))))
        share = 1.0
        survival = []
        for count, exposed in zip(answered, reversed(at_risk), strict=True):
            if count:
                share *= 1.0 - count / exposed
            survival.append(share)
        # Kaplan and Meier leave open where the rest ends; it is put at the longest time seen.
        survival[-1] = 0.0
        self._survival = survival
        self._rest = _means(survival, self._low)

    def longer(self, seconds: float) -> float:
        """The share of calls that take longer than `seconds`; a call in the same bucket does."""
        return self._above(_bucket(seconds) - 1)

    def rest_s(self, elapsed_s: float) -> float:
        """How much longer a call will take that has taken `elapsed_s`, in the mean of its like, seconds."""
        at = _bucket(elapsed_s) - self._low
        if at < 0:
            return self.mean_s - elapsed_s
        return max(0.0, self._rest[min(at, len(self._rest) - 1)] - elapsed_s)

    @property
    def mean_s(self) -> float:
        """What a call takes in the mean, seconds."""
        first = 1.0 - self._survival[0]
        return first * _EDGES[self._low] + (1.0 - first) * self._rest[0]

    def quantile(self, share: float) -> float:
        """What `share` of the calls do not pass, seconds."""
        return _EDGES[self._reach(1.0 - share)]

    def best(self, share: float) -> tuple[float, float]:
        """(delay in seconds, probability) of the shortest tail for `share` hedges a call; (0, 0) where none helps.

        The delays tried are the ends of all buckets between the 50th and the 99.5th percentile, since the right one
        is often the last before a gap. The shortest tail is that of the least geometric mean over `_AIMS`; among
        equals the one with the fewest hedges is taken. Where so much is slow that the hedges can't mend any of these
        percentiles, it is the delay that saves most seconds.
        """
        found = []
        for at in range(self._reach(0.5), self._reach(0.005) + 1):
            above = self._above(at)
            if above and above != self._above(at - 1):
                chance = min(1.0, share / above)
                found.append((sum(self._hedged(at, chance, aim) for aim in _AIMS), at, chance))
        if not found:
            return 0.0, 0.0
        shortest = min(found)[0]
        if sum(self._reach(aim) for aim in _AIMS) - shortest >= _FLAT:
            at, chance = max((at, chance) for tail, at, chance in found if tail <= shortest + _FLAT)
            return _EDGES[at], chance
        saved, at, chance = max((self._saved(at, chance), at, chance) for _, at, chance in found)
        return (_EDGES[at], chance) if saved > 0.0 else (0.0, 0.0)

    def knee(self, delay_s: float) -> float:
        """The first time from `delay_s` on at which most calls that are late are truly slow; 0 where there is none.

        Truly slow is who takes twice as long. Where two kinds of calls mix, fast ones and stragglers, this is the end
        of the fast ones: a hedge before it mostly goes to a call that would have been answered in a moment.
        """
        for at in range(max(_bucket(delay_s), self._low), self._reach(_RAREST) + 1):
            above = self._above(at)
            if above and self._above(_bucket(2 * _EDGES[at])) >= _SURE * above:
                return _EDGES[at]
        return 0.0

    def _saved(self, at: int, chance: float) -> float:
        """Seconds that hedges at the end of bucket `at` save a call in the mean, at least."""
        return self._above(at) * chance * (self._rest[at - self._low] - _EDGES[at] - self.mean_s)

    def _hedged(self, at: int, chance: float, aim: float) -> int:
        """The first bucket that all but `aim` of the calls do not pass, with hedges at the end of bucket `at`."""
        survival, first, delay = self._survival, self._low, _EDGES[at]
        low, high = at, self._reach(aim)
        while low < high:
            middle = (low + high) // 2
            # The second request has this long, rounded down to whole buckets.
            left = (_EDGES[middle] - delay) * _PER_FLOOR
            ends = int(math.log(left) * _PER_LOG) - first if left > 1.0 else -1
            second = survival[ends] if ends >= 0 else 1.0
            if survival[middle - first] * (1.0 - chance + chance * second) <= aim:
                high = middle
            else:
                low = middle + 1
        return high

    def _above(self, at: int) -> float:
        """The share of calls that take longer than bucket `at`."""
        if at < self._low:
            return 1.0
        return self._survival[at - self._low] if at < self._low + len(self._survival) else 0.0

    def _reach(self, target: float) -> int:
        """The first bucket that all but `target` of the calls do not pass."""
        return self._low + bisect.bisect_left(self._survival, -target, key=operator.neg)


def _means(survival: Sequence[float], low: int) -> list[float]:
    """For each bucket the mean of what takes longer than it; for the last, its own end."""
    sums = [0.0] * len(survival)
    for at in range(len(survival) - 1, 0, -1):
        sums[at - 1] = sums[at] + (survival[at - 1] - survival[at]) * _EDGES[low + at]
    return [
        total / above if above else _EDGES[low + at]
        for at, (total, above) in enumerate(zip(sums, survival, strict=True))
    ]


class _Class:
    """What is known of one model's calls of one size: the samples, and the plan made from them."""

    __slots__ = ("began", "chance", "delay_s", "refit", "tail")

    def __init__(self, delay_s: float) -> None:
        self.tail = Tail()
        #: When the last call began.
        self.began = -math.inf
        self.delay_s = delay_s
        self.chance = 1.0
        #: How many samples there are when the next plan is made.
        self.refit = _LEAST_SAMPLES


class Hedger:
    """Decides when a call is late, and whether a second request may go out. One per process and route.

    Each call earns `share` of a hedge, and each hedge spends a whole one: so the hedges of every process are at most
    `share` of its calls, and those of the cluster are, with nothing said between processes. What can be saved up is
    what a thousand calls earn (at least 4 hedges); idle time earns nothing.

    Args:
        settings: what the route says.
        rng: decides where only a part of the late calls is hedged.
    """

    __slots__ = ("_cap", "_classes", "_credit", "_earned", "_rng", "_settings", "late", "out")

    def __init__(self, settings: Hedging, *, rng: random.Random) -> None:
        self._settings = settings
        self._rng = rng
        self._earned = int(settings.share * _WHOLE)
        self._cap = max(_LEAST_BURST * _WHOLE, self._earned * _BURST_CALLS)
        self._credit = 0
        #: Calls that are out and watched, and those of them that are late. Counted by who watches them.
        self.out = self.late = 0
        self._classes: dict[tuple[str, str], _Class] = {}

    @property
    def credit(self) -> int:
        """What was earned and not spent: millionths of a hedge."""
        return self._credit

    def restore(self, credit: int) -> None:
        """What an earlier process had earned and not spent, and which has no call out any more."""
        self._credit = min(self._cap, self._credit + credit)

    def began(self, key: str, size: str, *, now: float) -> None:
        """A logical call began; `key` is `account/model`, `size` its class by `size_class`."""
        self._credit = min(self._cap, self._credit + self._earned)
        known = self._classes.get((key, size))
        if known is None:
            known = self._add(key, size)
        known.began = now

    def delay_s(self, key: str, size: str) -> float:
        """So many seconds after an attempt began a hedge is due, and a second one when they have passed again."""
        known = self._classes.get((key, size))
        return self._settings.initial_s if known is None else known.delay_s

    def crowded(self, elapsed_s: float, delay_s: float) -> bool:
        """True while so much is late at once that a call which has taken `elapsed_s` is better waited for."""
        many = self.late > max(_CROWD, self.out * _CROWD_SHARE)
        return many and elapsed_s < _PATIENCE * delay_s

    def allow(self, key: str, size: str, *, cost: int, elapsed_s: float, sent: int) -> bool:
        """True when a hedge may go out now, which then counts against the budget.

        Args:
            key: `account/model` of the late attempt.
            size: class of the call.
            cost: what the hedge will cost by estimate, picodollars; -1 where no price is known, and then, where the
                settings say what a second is worth, it is not sent.
            elapsed_s: how long the attempt has taken, seconds.
            sent: hedges of this call so far.
        """
        if sent >= self._settings.most or self._credit < _WHOLE:
            return False
        known = self._classes.get((key, size)) or _Class(self._settings.initial_s)
        if not self._pays(known.tail, cost, elapsed_s):
            return False
        # The chance rations what is scarce: with half of the savings left, every late call is hedged.
        if 2 * self._credit < self._cap and self._rng.random() >= known.chance:
            return False
        self._credit -= _WHOLE
        return True

    def record(self, key: str, size: str, took_s: float, *, censored: bool = False) -> None:
        """An attempt was answered after `took_s`, or, `censored`, was cancelled then because another was faster."""
        known = self._classes.get((key, size))
        if known is None:
            known = self._add(key, size)
        tail = known.tail
        tail.add(took_s, censored=censored)
        if tail.samples >= known.refit:
            known.refit += min(max(tail.samples // 4, _REFIT_AFTER[0]), _REFIT_AFTER[1])
            self._plan(known)

    def _plan(self, known: _Class) -> None:
        tail, planned = known.tail, self._settings.share * _RESERVE
        tail.fit()
        known.delay_s, known.chance = tail.best(planned)
        if not known.delay_s:
            known.delay_s = tail.quantile(self._settings.quantile)
            known.chance = min(1.0, planned / (1.0 - self._settings.quantile))
        knee_s = tail.knee(known.delay_s)
        if knee_s > known.delay_s:  # what is spent before it is missing for those that are truly slow
            known.delay_s, known.chance = knee_s, min(1.0, planned / max(tail.longer(knee_s), 1e-9))

    def _pays(self, tail: Tail, cost: int, elapsed_s: float) -> bool:
        """True when what a hedge is expected to save is worth more than it costs, or price is no matter."""
        if self._settings.worth is None:
            return True
        if cost < 0:
            return False
        # Until the tail is known, a call that has taken so long is taken to need as long again.
        known = tail.samples >= _LEAST_SAMPLES
        gain_s = tail.rest_s(elapsed_s) - tail.mean_s if known else elapsed_s
        return gain_s * self._settings.worth * PICO > cost

    def _add(self, key: str, size: str) -> _Class:
        if len(self._classes) >= _CLASSES:
            del self._classes[min(self._classes, key=lambda one: self._classes[one].began)]
        known = self._classes[key, size] = _Class(self._settings.initial_s)
        return known
