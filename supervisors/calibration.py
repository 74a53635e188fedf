"""From which score on a ladder may accept a cheap answer: a threshold that holds a target quality, shown on labels.

Learn then Test (Angelopoulos, Bates, Candès, Jordan and Lei 2021): each threshold is a hypothesis "quality is below the
target"; they are tested from the strictest down, each at the whole delta, and the first that can not be rejected ends
it (fixed-sequence testing). So the chance that the threshold chosen breaks the target is at most delta, however many
were tried, and whatever the scores are worth. SUPG (Kang et al. 2020) and BARGAIN (Zeighami et al. 2025) give model
cascades their guarantees in the same way. The tests are exact: binomial for a target of its own (Clopper and Pearson
1934), `paired.holds_share` for a share of the last rung's quality.
"""

import dataclasses
import itertools
from collections.abc import Sequence
from typing import Final

from ..protocols.errors import UsageError
from .binomial import at_least, lower_bound
from .paired import Pairs, holds_share, least_share

GRID: Final = tuple(step / 100 for step in range(100, -1, -1))
"""The thresholds tried. They are fixed beforehand: chosen from the scores seen, they would not be hypotheses."""
_MOST_LABELS: Final = 1_000_000


@dataclasses.dataclass(frozen=True, slots=True)
class Rung:
    """What one rung of a ladder made of an example.

    Attributes:
        score: the judge's score of its answer; None if there is none. The last rung's is not looked at.
        correct: whether its answer is right by the label.
        cost: of its call and of judging it, in picodollars (the last rung: of its call).
    """

    score: float | None
    correct: bool
    cost: int = 0


@dataclasses.dataclass(frozen=True, slots=True)
class Calibrated:
    """What was found.

    Attributes:
        threshold: the score from which on an answer is accepted; None if none could be shown to hold the target: then
            only the last rung, asked alone, is safe, and the numbers below are its own.
        quality: share of right answers of the ladder at that threshold.
        quality_low: its lower confidence bound (Clopper-Pearson, for this threshold by itself).
        target: what was asked for: a quality, or with `relative` a share of the last rung's.
        relative: as asked for.
        share: quality over the last rung's quality; 1 if that is 0.
        share_low: with `relative`, the highest share of the last rung's quality that was shown, to 0.001.
        confidence: 1 - delta.
        n: labelled examples.
        accepted_share: per rung the share of the examples whose answer is its own.
        cost: of the ladder, all examples together, in picodollars.
        cost_of_best_alone: of the last rung asked alone.
        saving: 1 - cost / cost_of_best_alone; below 0 where the ladder is dearer, 0 where the last rung is free.
        feasible: False if no threshold could be shown to hold the target.
        why: one sentence on how it came out.
    """

    threshold: float | None
    quality: float
    quality_low: float
    target: float
    relative: bool
    share: float
    share_low: float | None
    confidence: float
    n: int
    accepted_share: tuple[float, ...]
    cost: int
    cost_of_best_alone: int
    saving: float
    feasible: bool
    why: str


@dataclasses.dataclass(frozen=True, slots=True)
class Point:
    """A ladder at one threshold, on the examples: how often each rung answered, how many are right, what it cost."""

    threshold: float | None
    accepted: tuple[int, ...]
    pairs: Pairs
    cost: int

    @property
    def correct(self) -> int:
        """How many of its answers are right."""
        return self.pairs.right - self.pairs.losses + self.pairs.gains


@dataclasses.dataclass(frozen=True, slots=True)
class _Aim:
    """What has to be shown."""

    target: float
    delta: float
    relative: bool

    def holds(self, point: Point) -> bool:
        """True if the point is shown to hold the target."""
        if self.relative:
            return holds_share(point.pairs, self.target, self.delta)
        return at_least(point.correct, point.pairs.n, self.target) <= self.delta

    def __str__(self) -> str:
        what = " of the last rung's quality" if self.relative else ""
        return f"{self.target:.4g}{what} at confidence {1 - self.delta:.4g}"


def calibrate(
    examples: Sequence[Sequence[Rung]],
    target: float,
    *,
    delta: float = 0.1,
    relative: bool = False,
    grid: Sequence[float] = GRID,
) -> Calibrated:
    """The cheapest threshold that is shown to hold a target quality.

    The examples must be drawn as the later requests will be: the guarantee is for requests like them.

    Args:
        examples: per labelled example what each rung made of it, cheap to dear, all of them asked.
        target: the quality to hold, above 0 and below 1; with `relative` as a share of the last rung's, at most 1.
        delta: the accepted probability that the true quality is below the target after all.
        relative: whether the target is a share of the last rung's own quality.
        grid: thresholds to try, each lower than the one before.

    Raises:
        UsageError: no examples, rungs that differ in number, or a number out of its range.
    """
    aim = _Aim(target, delta, relative)
    _check(examples, aim, grid)
    certified: list[Point] = []
    failed: Point | None = None
    for threshold in grid:
        point = at(examples, threshold)
        if not aim.holds(point):
            failed = point
            break
        certified.append(point)
    alone = at(examples, None)
    if not certified:
        assert failed is not None
        return _told(alone, alone, aim, _why_not(failed, aim))
    # Of equal cost the strictest: scores between two that were seen say nothing about where between them to cut.
    best = min(certified, key=lambda point: point.cost)
    return _told(best, alone, aim, _why(best, alone, failed, aim))


def at(examples: Sequence[Sequence[Rung]], threshold: float | None) -> Point:
    """The ladder at one threshold, on these examples; with None the last rung is asked alone."""
    accepted = [0] * len(examples[0])
    right = losses = gains = cost = 0
    for rungs in examples:
        index = len(rungs) - 1 if threshold is None else _accepting(rungs, threshold)
        accepted[index] += 1
        cost += rungs[-1].cost if threshold is None else sum(rung.cost for rung in rungs[: index + 1])
        best, own = rungs[-1].correct, rungs[index].correct
        right += best
        losses += best and not own
        gains += own and not best
    return Point(threshold, tuple(accepted), Pairs(len(examples), right, losses, gains), cost)


def _accepting(rungs: Sequence[Rung], threshold: float) -> int:
    last = len(rungs) - 1
    return next((i for i in range(last) if (score := rungs[i].score) is not None and score >= threshold), last)


def _check(examples: Sequence[Sequence[Rung]], aim: _Aim, grid: Sequence[float]) -> None:
    if not examples:
        raise UsageError("calibration: there are no labelled examples; give a few hundred")
    counts = {len(rungs) for rungs in examples}
    if len(counts) > 1 or min(counts) < 2:
        raise UsageError("calibration: every example needs the result of every rung, and a ladder at least two rungs")
    if not 0.0 < aim.target <= 1.0 or (aim.target == 1.0 and not aim.relative):
        top = "at most 1" if aim.relative else "below 1: no number of labels shows that a ladder never errs"
        raise UsageError(f"calibration: the target is {aim.target:g}; it must be above 0 and {top}")
    if not 0.0 < aim.delta < 1.0:
        raise UsageError(f"calibration: the confidence is {1 - aim.delta:g}; it must be between 0 and 1, such as 0.9")
    if not grid or any(after >= before for before, after in itertools.pairwise(grid)):
        raise UsageError("calibration: the thresholds to try must fall, and there must be one")


def _told(point: Point, alone: Point, aim: _Aim, why: str) -> Calibrated:
    pairs, n = point.pairs, point.pairs.n
    feasible = point.threshold is not None
    return Calibrated(
        threshold=point.threshold,
        quality=point.correct / n,
        quality_low=lower_bound(point.correct, n, aim.delta),
        target=aim.target,
        relative=aim.relative,
        share=point.correct / pairs.right if pairs.right else 1.0,
        share_low=least_share(pairs, aim.delta) if aim.relative and feasible else None,
        confidence=1.0 - aim.delta,
        n=n,
        accepted_share=tuple(count / n for count in point.accepted),
        cost=point.cost,
        cost_of_best_alone=alone.cost,
        saving=1.0 - point.cost / alone.cost if alone.cost else 0.0,
        feasible=feasible,
        why=why,
    )


def _seen(point: Point) -> str:
    n, right = point.pairs.n, point.pairs.right
    return f"from a score of {point.threshold:g} on {point.correct} of {n} right (the last rung alone: {right})"


def _why(best: Point, alone: Point, failed: Point | None, aim: _Aim) -> str:
    until = "" if failed is None else f"; at {failed.threshold:g} it could not be shown any more"
    dear = "; but it costs more than the last rung alone" if best.cost > alone.cost else ""
    return f"{_seen(best)}: holds {aim}{until}{dear}"


def _why_not(failed: Point, aim: _Aim) -> str:
    said = f"even {_seen(failed)}: does not show {aim}"
    share = failed.correct / failed.pairs.n
    needed = None if aim.relative else _labels_needed(share, aim.target, aim.delta)
    if needed is not None:
        return f"{said}; about {needed} labels would, if the share stays as it is"
    return f"{said}; lower the target, label more examples, or put a better model on the last rung"


def _labels_needed(share: float, target: float, delta: float) -> int | None:
    """About how many labels would show the target, if the share of right answers stays; None for out of reach."""
    n = 50
    while n <= _MOST_LABELS:
        if at_least(int(share * n), n, target) <= delta:
            return n
        n = n * 5 // 4
    return None
