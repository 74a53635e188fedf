"""The sliding window against a list of all that was ever added."""

import math

from hypothesis import given
from hypothesis import strategies as st

from understudy.actors.provider.testing import most_at_once, worst_window
from understudy.actors.provider.window import STEPS, SlidingWindow

WINDOW_S = 8.0

# (seconds that pass, amount, how long it counts beyond now), in steps that are no multiples of a bucket
additions = st.lists(
    st.tuples(st.floats(0, 3), st.integers(0, 50), st.floats(-1, 20)),
    max_size=60,
)


@given(additions)
def test_never_counts_less_than_what_still_matters_nor_a_bucket_more(steps: list[tuple[float, int, float]]) -> None:
    """`used` is at least the sum of what counts now, and at most the sum of what counted one bucket ago."""
    window, rows, now = SlidingWindow(WINDOW_S), list[tuple[float, int]](), 0.0
    for gap, amount, lasts in steps:
        now += gap
        window.add(amount, until=now + lasts, now=now)
        window.expire(now=now)
        rows.append((now + lasts, amount))
        exact = sum(amount for until, amount in rows if until > now)
        late = sum(amount for until, amount in rows if until > now - WINDOW_S / STEPS - 1e-9)
        assert exact <= window.used <= late


@given(additions)
def test_forgets_everything_in_the_end(steps: list[tuple[float, int, float]]) -> None:
    """After the last amount stopped to count the window is empty and has nothing to wake for."""
    window, now = SlidingWindow(WINDOW_S), 0.0
    for gap, amount, lasts in steps:
        now += gap
        window.add(amount, until=now + lasts, now=now)
    window.expire(now=now + 21)
    assert window.used == 0
    assert window.next_expiry() is None


@given(additions, st.integers(1, 100), st.integers(1, 300))
def test_tells_when_an_amount_is_free(steps: list[tuple[float, int, float]], amount: int, limit: int) -> None:
    """At the time told there is room, and a bucket earlier there is not; None means that there is room now."""
    window, now = SlidingWindow(WINDOW_S), 0.0
    for gap, added, lasts in steps:
        now += gap
        window.add(added, until=now + lasts, now=now)
    window.expire(now=now)
    told = window.free_at(amount, limit)
    if amount > limit:
        return
    if told is None:
        assert window.used + amount <= limit
        return
    window.expire(now=told - WINDOW_S / STEPS / 2)
    assert window.used + amount > limit
    window.expire(now=told + 1e-9)
    assert window.used + amount <= limit


@given(st.floats(1, 1e6), st.integers(1, 20), st.integers(1, 20))
def test_what_was_added_can_be_taken_back(until: float, added: int, taken: int) -> None:
    """Removing takes no more than is there, and from the same place."""
    window = SlidingWindow(WINDOW_S)
    window.add(added, until=until, now=0.0)
    assert window.remove(taken, until=until) == min(added, taken)
    assert window.used == added - min(added, taken)
    assert window.remove(100, until=until) == added - min(added, taken)
    window.expire(now=until + 1)
    assert window.used == 0


def test_memory_is_bounded_by_its_buckets() -> None:
    """A hundred thousand additions keep no more than the window's buckets and one."""
    window = SlidingWindow(60.0)
    for number in range(100_000):
        now = number * 0.001
        window.expire(now=now)
        window.add(1, until=now + 60.0, now=now)
    assert len(window._amounts) <= STEPS + 2
    assert math.isclose(window.used, 60_000, rel_tol=0.002)


def test_the_judge_counts_by_hand() -> None:
    """The helpers that judge quotas agree with sums done by hand."""
    assert worst_window([(0.0, 1), (5.0, 2), (8.0, 4), (20.0, 1)], 8.0) == 6
    assert worst_window([], 8.0) == 0
    assert most_at_once([(0.0, 2.0), (1.0, 3.0), (2.0, 4.0)]) == 2
