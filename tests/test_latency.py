"""The latency sketch against the sorted list."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from understudy.actors.provider.latency import LatencySketch


@given(st.lists(st.floats(2e-4, 3600.0), min_size=1, max_size=300), st.floats(0.01, 1.0))
def test_quantiles_are_within_three_percent(samples: list[float], share: float) -> None:
    """A quantile of the sketch is within 3 % of the exact one of what was added."""
    sketch = LatencySketch()
    for sample in samples:
        sketch.add(sample)
    exact = sorted(samples)[max(math.ceil(share * len(samples) - 1e-9) - 1, 0)]
    assert sketch.quantile(share) == pytest.approx(exact, rel=0.03)


@given(st.lists(st.floats(0.0, 1e9), max_size=50))
def test_takes_any_latency(samples: list[float]) -> None:
    """From nothing to forever: quantiles are finite, not negative, and grow with their share."""
    sketch = LatencySketch()
    for sample in samples:
        sketch.add(sample)
    found = [sketch.quantile(share) for share in (0.1, 0.5, 0.9, 1.0)]
    assert found == sorted(found)
    assert all(0 <= one < 4300 for one in found)
    assert sketch.samples == len(samples)


def test_follows_a_provider_that_becomes_slow() -> None:
    """After some thousand slow calls a long fast past is forgotten."""
    sketch = LatencySketch(halve_after=500)
    for _ in range(20_000):
        sketch.add(0.1)
    for _ in range(2_000):
        sketch.add(3.0)
    assert sketch.quantile(0.5) == pytest.approx(3.0, rel=0.03)
    assert sketch.samples == 22_000


def test_nothing_known_is_zero() -> None:
    """Without samples every quantile is 0."""
    assert LatencySketch().quantile(0.95) == 0.0
