"""Quantiles of recent latencies in flat memory."""

import math
from typing import Final

_GAMMA: Final = 1.05
"""Ratio of neighbouring buckets: quantiles are exact to ±2.5 %."""
_FLOOR_S: Final = 1e-4
_BUCKETS: Final = 360  # 0.1 ms · 1.05^360 is over an hour
_LOG_GAMMA: Final = math.log(_GAMMA)


class LatencySketch:
    """Counts latencies in logarithmic buckets and forgets the old by halving.

    Source: Masson, Rim, Lee, *DDSketch*, VLDB 2019 (the bucketing); decay by halving every `halve_after` samples, so
    that quantiles follow a provider whose speed changes.
    """

    __slots__ = ("_counts", "_halve_after", "_since", "_total", "samples")

    def __init__(self, halve_after: int = 2000) -> None:
        self._counts = [0.0] * (_BUCKETS + 1)
        self._total = 0.0
        self._since = 0
        self._halve_after = halve_after
        #: All samples ever added.
        self.samples = 0

    def add(self, seconds: float) -> None:
        """Counts one latency."""
        index = 0 if seconds <= _FLOOR_S else min(_BUCKETS, int(math.log(seconds / _FLOOR_S) / _LOG_GAMMA) + 1)
        self._counts[index] += 1.0
        self._total += 1.0
        self.samples += 1
        self._since += 1
        if self._since >= self._halve_after:
            self._since = 0
            self._counts = [count / 2 for count in self._counts]
            self._total /= 2

    def quantile(self, share: float) -> float:
        """The latency in seconds that `share` of the calls did not pass; 0 when nothing was added."""
        if self._total <= 0:
            return 0.0
        rank = share * self._total
        seen = 0.0
        last = 0
        for index, count in enumerate(self._counts):
            if count:
                seen += count
                last = index
                if seen >= rank:
                    break
        return _FLOOR_S * _GAMMA ** (last - 0.5) if last else _FLOOR_S
