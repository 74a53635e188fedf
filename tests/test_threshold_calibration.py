"""Thresholds of a ladder: exact tails, the paired test, and the guarantee over many calibrations."""

import itertools
import math
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from understudy.protocols.errors import UsageError
from understudy.supervisors.binomial import at_least, at_most, exactly, lower_bound, upper_bound
from understudy.supervisors.calibration import Rung, at, calibrate
from understudy.supervisors.paired import Pairs, holds_share, least_share

COARSE = tuple(step / 10 for step in range(10, -1, -1))
DELTA = 0.1


def ladder_example(rng: Random, *, judge: float = 0.8) -> tuple[Rung, Rung, Rung]:
    """Three models of an easy or a hard request; the judge's score is right with some noise."""
    hard = rng.random()
    rungs = []
    for skill, cost in ((0.55, 10), (0.8, 100), (1.1, 1000)):
        right = rng.random() < 0.25 + 0.75 / (1 + math.exp(-(skill - hard) * 8))
        score = min(1.0, max(0.0, (0.75 if right == (rng.random() < judge) else 0.3) + rng.gauss(0, 0.15)))
        rungs.append(Rung(round(score, 3), right, cost))
    return rungs[0], rungs[1], rungs[2]


def truth_of(threshold: float | None, world: list[tuple[Rung, Rung, Rung]]) -> float:
    """The share of right answers in all of a world."""
    return at(world, threshold).correct / len(world)


@given(st.integers(1, 60), st.integers(-2, 62), st.floats(0, 1))
def test_tails_are_the_sums_of_their_terms(n: int, k: int, p: float) -> None:
    """Both tails agree with the textbook's sum of binomial terms."""
    terms = [math.comb(n, i) * p**i * (1 - p) ** (n - i) for i in range(n + 1)]
    assert at_most(k, n, p) == pytest.approx(sum(terms[: max(0, k + 1)]), abs=1e-9)
    assert at_least(k, n, p) == pytest.approx(sum(terms[max(0, k) :]), abs=1e-9)
    assert exactly(k, n, p) == pytest.approx(terms[k] if 0 <= k <= n else 0.0, abs=1e-9)


@given(st.integers(1, 100_000), st.floats(0, 1), st.floats(1e-6, 0.5))
def test_bounds_enclose_what_was_seen(n: int, share: float, delta: float) -> None:
    """The lower bound is below the share seen and the upper one above it, and each has tail delta."""
    k = int(share * n)
    low, high = lower_bound(k, n, delta), upper_bound(k, n, delta)
    assert 0.0 <= low <= k / n <= high <= 1.0
    if 0 < k < n:
        assert at_least(k, n, low) == pytest.approx(delta, rel=1e-4)
        assert at_most(k, n, high) == pytest.approx(delta, rel=1e-4)


def test_known_bounds() -> None:
    """The rule of three: none of n failed is at most 3 / n at 95 %; and a value of Clopper and Pearson's table."""
    assert upper_bound(0, 300, 0.05) == pytest.approx(1 - 0.05 ** (1 / 300))
    assert lower_bound(8, 10, 0.025) == pytest.approx(0.4439, abs=1e-4)


@pytest.mark.parametrize(("gain", "n"), [(0.0, 300), (0.004, 300), (0.02, 300), (0.06, 300), (0.02, 60)])
def test_the_paired_test_errs_at_most_delta_often(gain: float, n: int) -> None:
    """Where the other holds exactly the share, and so not more, it is passed in at most delta of 1,500 draws."""
    rng, share, right = Random(7), 0.97, 0.8
    loss = gain + (1 - share) * right
    passed = 0
    for _ in range(1500):
        draws = [rng.random() for _ in range(n)]
        losses = sum(draw < loss for draw in draws)
        gains = sum(loss <= draw < loss + gain for draw in draws)
        both = sum(loss + gain <= draw < right + gain for draw in draws)
        passed += holds_share(Pairs(n, losses + both, losses, gains), share, DELTA)
    assert passed <= 1500 * DELTA + 2.5 * math.sqrt(1500 * DELTA * (1 - DELTA))


def test_the_paired_test_has_power() -> None:
    """500 pairs without a loss show 99 %, and a few more gains than losses do so too."""
    assert holds_share(Pairs(500, 470, 0, 0), 0.99, DELTA)
    assert holds_share(Pairs(500, 470, 5, 8), 0.99, DELTA)
    assert not holds_share(Pairs(500, 470, 8, 5), 0.99, DELTA)
    assert not holds_share(Pairs(500, 0, 0, 0), 0.99, DELTA)


@given(st.integers(20, 200), st.data())
def test_the_paired_test_is_monotone(n: int, data: st.DataObject) -> None:
    """Another loss never makes it pass, another gain never makes it fail; a lower share or a larger delta neither."""
    right = data.draw(st.integers(1, n))
    losses = data.draw(st.integers(0, min(right, 15)))
    gains = data.draw(st.integers(0, min(n - right, 15)))
    share = data.draw(st.floats(0.6, 1.0))
    pairs = Pairs(n, right, losses, gains)
    if holds_share(pairs, share, DELTA):
        assert losses == 0 or holds_share(Pairs(n, right, losses - 1, gains), share, DELTA)
    low = least_share(pairs, DELTA)
    assert 0.0 <= low <= 1.0
    assert low == 0.0 or holds_share(pairs, low, DELTA)
    assert low <= (right - losses + gains) / right


@pytest.mark.parametrize(("target", "relative"), [(0.8, False), (0.85, False), (0.97, True), (0.94, True)])
def test_the_guarantee_holds(target: float, relative: bool) -> None:
    """Over 300 calibrations on drawn examples, the true quality is below the target in at most delta of them."""
    rng = Random(11)
    world = [ladder_example(rng) for _ in range(20_000)]
    best = truth_of(None, world)
    true = {threshold: truth_of(threshold, world) for threshold in COARSE}
    aim = target * best if relative else target
    broken = feasible = 0
    for _ in range(300):
        drawn = rng.choices(world, k=250)
        found = calibrate(drawn, target, delta=DELTA, relative=relative, grid=COARSE)
        if found.feasible:
            assert found.threshold is not None
            feasible += 1
            broken += true[found.threshold] < aim
    assert broken <= 300 * DELTA + 2 * math.sqrt(300 * DELTA * (1 - DELTA))
    assert feasible > 0


def test_useless_scores_do_not_break_the_guarantee() -> None:
    """With a judge that tosses coins nothing is accepted unless the rungs are as good as the target anyway."""
    rng = Random(5)
    world = [ladder_example(rng, judge=0.5) for _ in range(20_000)]
    found = [calibrate(rng.choices(world, k=300), 0.98, delta=DELTA, relative=True, grid=COARSE) for _ in range(60)]
    aim = 0.98 * truth_of(None, world)
    assert sum(one.feasible and truth_of(one.threshold, world) < aim for one in found) <= 10


def naive(examples: list[tuple[Rung, ...]], threshold: float) -> tuple[int, int]:
    """Right answers and cost of a ladder, by its definition."""
    right = cost = 0
    for rungs in examples:
        for place, rung in enumerate(rungs):
            cost += rung.cost
            if place == len(rungs) - 1 or (rung.score is not None and rung.score >= threshold):
                right += rung.correct
                break
    return right, cost


RUNGS = st.builds(Rung, st.none() | st.integers(0, 100).map(lambda x: x / 100), st.booleans(), st.integers(0, 50))


@given(st.lists(st.tuples(RUNGS, RUNGS, RUNGS), min_size=1, max_size=60), st.floats(0.05, 0.99), st.booleans())
def test_what_is_told_is_what_the_ladder_does(examples: list[tuple[Rung, ...]], target: float, relative: bool) -> None:
    """Quality, cost and shares are those of climbing the ladder at the threshold; cost never rises as it falls."""
    found = calibrate(examples, target, relative=relative, grid=COARSE)
    assert sum(found.accepted_share) == pytest.approx(1.0)
    assert found.cost_of_best_alone == sum(rungs[-1].cost for rungs in examples)
    costs = [naive(examples, threshold)[1] for threshold in COARSE]
    assert all(after <= before for before, after in itertools.pairwise(costs))
    if found.threshold is None:
        assert not found.feasible
        assert found.cost == found.cost_of_best_alone
        assert found.accepted_share == (0.0, 0.0, 1.0)
    else:
        right, cost = naive(examples, found.threshold)
        assert (found.quality, found.cost) == (right / len(examples), cost)
        assert relative or found.quality_low >= target - 1e-9


@given(st.lists(st.tuples(RUNGS, RUNGS), min_size=30, max_size=80), st.randoms(use_true_random=False))
def test_the_order_of_the_examples_is_nothing(examples: list[tuple[Rung, ...]], rng: Random) -> None:
    """Shuffled examples give the same result."""
    shuffled = rng.sample(examples, len(examples))
    assert calibrate(examples, 0.6, grid=COARSE) == calibrate(shuffled, 0.6, grid=COARSE)


def test_a_higher_target_is_never_cheaper() -> None:
    """The stricter the target, the higher the threshold and the cost."""
    rng = Random(3)
    examples = [ladder_example(rng, judge=0.95) for _ in range(600)]
    found = [calibrate(examples, target) for target in (0.7, 0.8, 0.85)]
    assert all(one.feasible for one in found)
    assert [one.cost for one in found] == sorted(one.cost for one in found)
    assert [one.threshold for one in found] == sorted(one.threshold or 2.0 for one in found)
    assert found[0].saving > 0.3


def test_what_can_not_be_held_is_said() -> None:
    """A target above what the last rung reaches is infeasible: it stays alone, and how to mend it is said."""
    examples = [(Rung(0.9, correct=n % 2 == 0, cost=1), Rung(None, correct=n % 10 > 0, cost=10)) for n in range(400)]
    found = calibrate(examples, 0.95)
    assert not found.feasible
    assert found.threshold is None
    assert found.saving == 0.0
    assert "does not show 0.95 at confidence 0.9; lower the target" in found.why
    near = calibrate([(Rung(0.0, correct=False), Rung(None, correct=n % 50 > 0)) for n in range(100)], 0.97)
    assert "labels would, if the share stays" in near.why


def test_of_equal_thresholds_the_strictest_is_taken() -> None:
    """Scores of 0.2 and 0.9 alone: anything between does the same, and 0.9 is what was seen."""
    examples = [(Rung(0.9 if n % 3 else 0.2, correct=n % 3 > 0, cost=1), Rung(None, True, 10)) for n in range(300)]
    assert calibrate(examples, 0.95).threshold == 0.9


@pytest.mark.parametrize(
    ("examples", "target", "delta", "grid", "said"),
    [
        ([], 0.9, 0.1, COARSE, "no labelled examples"),
        ([(Rung(1.0, True),)], 0.9, 0.1, COARSE, "at least two rungs"),
        ([(Rung(1.0, True),) * 2, (Rung(1.0, True),) * 3], 0.9, 0.1, COARSE, "every rung"),
        ([(Rung(1.0, True),) * 2], 1.0, 0.1, COARSE, "below 1"),
        ([(Rung(1.0, True),) * 2], 0.9, 1.0, COARSE, "confidence is 0"),
        ([(Rung(1.0, True),) * 2], 0.9, 0.1, (0.5, 0.5), "must fall"),
    ],
)
def test_bad_input_is_named(
    examples: list[tuple[Rung, ...]], target: float, delta: float, grid: tuple[float, ...], said: str
) -> None:
    """What can not be calibrated gets one sentence on what is wrong."""
    with pytest.raises(UsageError, match=said):
        calibrate(examples, target, delta=delta, grid=grid)
