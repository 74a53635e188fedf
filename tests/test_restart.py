"""Restart intensity against a naive count of all restarts."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from understudy.supervisors.restart import GiveUp, Restart, RestartLimit, RestartWindow

limits = st.builds(
    RestartLimit,
    intensity=st.integers(0, 6),
    period_s=st.sampled_from([1.0, 8.0, 30.0]),
    delay_s=st.sampled_from([0.0, 0.1, 1.0]),
    delay_max_s=st.sampled_from([0.5, 5.0]),
)


@given(limits, st.lists(st.integers(0, 80).map(lambda eighths: eighths / 8), max_size=60))
def test_agrees_with_the_naive_count(limit: RestartLimit, gaps: list[float]) -> None:
    """Given up exactly when the last period holds its full intensity; the delay doubles with each restart in it."""
    window, restarts, now = RestartWindow(limit), list[float](), 0.0
    for gap in gaps:
        now += gap
        recent = [at for at in restarts if at > now - limit.period_s]
        verdict = window.died(now=now)
        if len(recent) >= limit.intensity:
            assert verdict == GiveUp()
            continue
        restarts.append(now)
        wanted = 0.0 if not recent else min(limit.delay_s * 2.0 ** (len(recent) - 1), limit.delay_max_s)
        assert isinstance(verdict, Restart)
        assert verdict.delay_s == pytest.approx(wanted)


def test_the_first_restart_is_at_once() -> None:
    """Delays of a child that dies again and again: none, then doubling, then given up."""
    window = RestartWindow(RestartLimit(intensity=5, period_s=30.0, delay_s=0.1, delay_max_s=0.3))
    verdicts = [window.died(now=number * 0.01) for number in range(6)]
    assert verdicts == [Restart(0.0), Restart(0.1), Restart(0.2), Restart(0.3), Restart(0.3), GiveUp()]
    assert window.died(now=31.0) == Restart(0.0)


@given(st.randoms(use_true_random=False), st.integers(1, 9))
def test_who_is_killed_every_few_seconds_for_ten_minutes_is_not_given_up(rng: random.Random, children: int) -> None:
    """One of our processes is killed every 3 to 8 s, at random, each time as soon as it is back: all come back."""
    windows = [RestartWindow(RestartLimit()) for _ in range(children)]
    now = 0.0
    while now < 600.0:
        now += rng.uniform(3.0, 8.0)
        assert isinstance(rng.choice(windows).died(now=now), Restart)
