"""Is one way of answering at most a little worse than another, on the same examples?

An exact unconditional test of non-inferiority for paired yes-or-no results (Hsueh, Liu and Chen, Biometrics 2001), with
what is not known of the truth confined to a confidence set (Berger and Boos, JASA 1994). It holds for any number of
examples. Measured on 500 examples with 5 losses and 8 gains at a share of 0.99: p = 0.035, where bounds by Hoeffding,
by empirical Bernstein, or by betting show nothing at 0.1.
"""

import dataclasses
import math
from typing import Final

from .binomial import at_most, exactly, lower_bound, upper_bound

_SET_ASIDE: Final = 0.1  # share of delta for the confidence set; half for each of the two unknowns
_GRID: Final = 12  # values tried of the unknown share of gains; the p-value changes slowly and smoothly with it
_RARE: Final = 1e-7  # mass of the gains that is counted as a rejection, and so against us, without a look


@dataclasses.dataclass(frozen=True, slots=True)
class Pairs:
    """Results of two ways on the same `n` examples.

    Attributes:
        n: how many examples, at least 1.
        right: how many the reference got right.
        losses: how many the reference got right and the other did not.
        gains: how many the other got right and the reference did not.
    """

    n: int
    right: int
    losses: int
    gains: int


def holds_share(pairs: Pairs, share: float, delta: float) -> bool:
    """True if the other's true quality is at least `share` of the reference's; wrongly so at most `delta` often.

    Args:
        pairs: what was seen.
        share: of the reference's quality, above 0 and at most 1.
        delta: the probability of being wrong, between 0 and 1.
    """
    aside = delta * _SET_ASIDE / 2
    # The null: losses outnumber gains by the slack or more, (1 - share) of what the reference gets right.
    slack = (1.0 - share) * lower_bound(pairs.right, pairs.n, aside)
    most = min(upper_bound(pairs.gains, pairs.n, aside), (1.0 - slack) / 2)
    region = _region(pairs, pairs.n * (1.0 - share))
    level = delta - 2 * aside
    # From the highest on: where the null can not be rejected it mostly shows there at once.
    return all(_mass(region, pairs.n, most * step / _GRID, slack) <= level for step in range(_GRID, -1, -1))


def least_share(pairs: Pairs, delta: float) -> float:
    """The highest share, to 0.001, that `holds_share` shows; 0 if it shows none."""
    low, high = 0, 1001
    while high - low > 1:
        middle = (low + high) // 2
        if holds_share(pairs, min(1.0, middle / 1000), delta):
            low = middle
        else:
            high = middle
    return low / 1000


def _statistic(losses: int, gains: int, slack: float) -> float:
    """The difference in units of its own spread; rising in losses, falling in gains whatever the slack."""
    return (losses - gains - slack) / math.sqrt(losses + gains + slack) if losses + gains + slack else 0.0


def _region(pairs: Pairs, slack: float) -> list[int]:
    """For each number of gains the most losses that speak as clearly against the null as what was seen, or -1."""
    seen = _statistic(pairs.losses, pairs.gains, slack) + 1e-12
    region, losses = [], -1
    for gains in range(pairs.n + 1):
        while losses + 1 + gains <= pairs.n and _statistic(losses + 1, gains, slack) <= seen:
            losses += 1
        region.append(min(losses, pairs.n - gains))
    return region


def _mass(region: list[int], n: int, gain: float, slack: float) -> float:
    """The probability of the region where gains have probability `gain` and losses `slack` more."""
    loss = min(1.0, (gain + slack) / (1.0 - gain)) if gain < 1.0 else 1.0  # given that it is no gain
    total, left = 0.0, 1.0
    for gains, losses in enumerate(region):
        chance = exactly(gains, n, gain)
        total += chance * at_most(losses, n - gains, loss)
        left -= chance
        if left < _RARE and gains > n * gain:
            break
    return total + max(0.0, left)
