"""Reservations stay above what providers count."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from understudy.actors.channel.calibration import ENOUGH, SHORTEST, Calibration


@given(st.lists(st.tuples(st.integers(0, 100_000), st.integers(0, 200_000)), max_size=60))
def test_what_was_seen_last_is_reserved_for(seen: list[tuple[int, int]]) -> None:
    """For the same prompt as the last one, at least what the provider reported is reserved."""
    calibration = Calibration()
    for counted, reported in seen:
        calibration.learn(counted, reported)
        if counted >= SHORTEST:
            assert calibration.reserve(counted) >= reported


@given(st.floats(0.8, 2.0), st.lists(st.integers(500, 10_000), min_size=ENOUGH + 20, max_size=80))
def test_a_steady_ratio_is_learned_from_above(ratio: float, counts: list[int]) -> None:
    """After some replies the reservation is above what is reported, by little."""
    calibration = Calibration()
    for counted in counts:
        calibration.learn(counted, math.ceil(counted * ratio))
    assert calibration.reserve(50_000) >= int(50_000 * ratio)
    assert calibration.reserve(50_000) <= 50_000 * ratio * 1.05 + 50


def test_before_anything_is_known_a_quarter_is_added() -> None:
    """The first reservations are generous."""
    assert Calibration().reserve(1000) == pytest.approx(1250, abs=20)
    assert Calibration().reserve(0) >= 8


def test_short_prompts_teach_nothing() -> None:
    """A prompt of one token that is counted as nine does not make a long one cost nine times as much."""
    calibration = Calibration()
    for _ in range(100):
        calibration.learn(1, 9)
    assert calibration.reserve(1000) == Calibration().reserve(1000)
