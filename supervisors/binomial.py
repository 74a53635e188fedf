"""Tails of the binomial distribution and the exact bounds made of them.

The bounds are those of Clopper and Pearson (1934): a share of successes is tried against each true share, so that what
they say holds for any number of examples, not only for many.
"""

import math
from typing import Final

_NEGLIGIBLE: Final = 1e-18
_STEPS: Final = 50  # of a bisection of [0, 1]: finer than a float's last digits matter here


def at_most(k: int, n: int, p: float) -> float:
    """The probability of at most `k` successes in `n` trials that each succeed with probability `p`."""
    if k < 0:
        return 0.0
    if k >= n or p <= 0.0:
        return 1.0
    if p >= 1.0:
        return 0.0
    return _below(k, n, p) if k <= n * p else max(0.0, 1.0 - _below(n - k - 1, n, 1.0 - p))


def at_least(k: int, n: int, p: float) -> float:
    """The probability of at least `k` successes in `n` trials that each succeed with probability `p`."""
    return at_most(n - k, n, 1.0 - p)


def exactly(k: int, n: int, p: float) -> float:
    """The probability of `k` successes in `n` trials that each succeed with probability `p`."""
    if not 0 <= k <= n:
        return 0.0
    if p <= 0.0 or p >= 1.0:
        return float(k == (0 if p <= 0.0 else n))
    chosen = math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)
    return math.exp(chosen + k * math.log(p) + (n - k) * math.log1p(-p))


def lower_bound(k: int, n: int, delta: float) -> float:
    """The least true share that `k` successes of `n` do not rule out; above the truth at most `delta` often."""
    low, high = 0.0, k / n
    for _ in range(_STEPS):
        middle = (low + high) / 2
        if at_least(k, n, middle) > delta:
            high = middle
        else:
            low = middle
    return low


def upper_bound(k: int, n: int, delta: float) -> float:
    """The highest true share that `k` successes of `n` do not rule out; below the truth at most `delta` often."""
    return 1.0 - lower_bound(n - k, n, delta)


def _below(k: int, n: int, p: float) -> float:
    """The sum of the terms from `k` down, where they fall: below the mean. Ends when they add nothing any more."""
    term = total = exactly(k, n, p)
    odds = (1.0 - p) / p
    while k > 0 and term > total * _NEGLIGIBLE:
        term *= odds * k / (n - k + 1)
        total += term
        k -= 1
    return min(1.0, total)
