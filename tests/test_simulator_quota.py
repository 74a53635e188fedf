"""The simulator's quotas against a reference that counts every window anew."""

import math
import random
from email.utils import parsedate_to_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from understudy.cluster.simulator import wire
from understudy.cluster.simulator.quota import Limiter, admit
from understudy.cluster.simulator.settings import Quota, RetryAfterForm

# Steps of 1/8 s hit the windows' edges exactly, in floating point too.
steps = st.lists(st.tuples(st.integers(0, 24), st.integers(1, 40), st.integers(0, 16)), min_size=1, max_size=60)
limits = st.tuples(st.none() | st.integers(0, 5), st.none() | st.integers(0, 90), st.none() | st.integers(0, 3))


def admitted(log: list[tuple[float, int, float]], quota: Quota, tokens: int, *, now: float, window_s: float) -> bool:
    """The definition: sums over everything ever accepted."""
    inside = [held for t, held, _ in log if now - window_s < t <= now]
    in_flight = sum(1 for t, _, end in log if t <= now < end)
    return (
        (quota.rpm is None or len(inside) + 1 <= quota.rpm)
        and (quota.tpm is None or sum(inside) + tokens <= quota.tpm)
        and (quota.concurrency is None or in_flight + 1 <= quota.concurrency)
    )


@given(steps, limits)
def test_admits_exactly_what_the_definition_admits(
    arrivals: list[tuple[int, int, int]], limit: tuple[int | None, int | None, int | None]
) -> None:
    """The limiter and the naive count agree on every request of any sequence."""
    quota = Quota(rpm=limit[0], tpm=limit[1], concurrency=limit[2], window_s=6.0)
    limiter, log, now = Limiter(quota), list[tuple[float, int, float]](), 100.0
    for ticket, (gap, tokens, lasts) in enumerate(arrivals):
        now += gap / 8
        for old, (_, _, end) in enumerate(log):
            if end <= now:
                limiter.release(old)
        expected = admitted(log, quota, tokens, now=now, window_s=6.0)
        ends_at = now + (lasts + 1) / 8
        assert (admit([limiter], ticket, tokens, ends_at=ends_at, now=now) is None) is expected
        # A ticket that was refused must not be released in another's place: give it a life of no length.
        log.append((now, tokens, ends_at) if expected else (math.inf, 0, math.inf))


@given(st.lists(st.tuples(st.floats(0, 3), st.integers(1, 40)), min_size=1, max_size=40), limits)
def test_who_waits_as_long_as_told_is_admitted(
    arrivals: list[tuple[float, int]], limit: tuple[int | None, int | None, int | None]
) -> None:
    """A refused request passes after its wait, whatever the fractions; one step earlier is not promised."""
    quota = Quota(rpm=limit[0], tpm=limit[1], window_s=6.0)
    limiter, now = Limiter(quota), 1e6 / 3
    for ticket, (gap, tokens) in enumerate(arrivals):
        now += gap
        refusal = admit([limiter], ticket, tokens, ends_at=now, now=now)
        if refusal is None or math.isinf(refusal.wait_s):
            continue
        assert limiter.refusal(tokens, now=now + refusal.wait_s - 2e-6) is not None or refusal.wait_s < 3e-6
        now += refusal.wait_s
        assert admit([limiter], ticket, tokens, ends_at=now, now=now) is None


def test_a_request_larger_than_the_limit_is_never_promised() -> None:
    """More tokens than the whole limit, or a limit of zero, has no end of waiting."""
    limiter = Limiter(Quota(tpm=10))
    refusal = limiter.refusal(11, now=0.0)
    assert refusal is not None
    assert math.isinf(refusal.wait_s)
    nothing = Limiter(Quota(rpm=0)).refusal(1, now=0.0)
    assert nothing is not None
    assert math.isinf(nothing.wait_s)


def test_two_limiters_admit_together_or_not_at_all() -> None:
    """What the model's quota refuses is not counted against the key's."""
    key, model = Limiter(Quota(rpm=3)), Limiter(Quota(rpm=1))
    assert admit([key, model], 1, 1, ends_at=0.0, now=0.0) is None
    assert admit([key, model], 2, 1, ends_at=0.0, now=0.0) is not None
    assert key.standing(now=0.0).remaining_requests == 2


def test_a_full_account_waits_for_the_next_planned_end() -> None:
    """The wait for a slot is until the earliest reply that frees one."""
    limiter = Limiter(Quota(concurrency=2))
    admit([limiter], 1, 1, ends_at=5.0, now=0.0)
    admit([limiter], 2, 1, ends_at=3.0, now=0.0)
    refusal = limiter.refusal(1, now=1.0)
    assert refusal is not None
    assert (refusal.limit, round(refusal.wait_s, 3)) == ("concurrency", 2.0)


@pytest.mark.parametrize("form", ["seconds", "ms", "date"])
def test_each_retry_after_tells_at_least_the_wait(form: RetryAfterForm) -> None:
    """Every form rounds up, by less than its own unit, and the told seconds are what the header says."""
    rng = random.Random(7)
    for _ in range(200):
        wait_s, wall = rng.uniform(1e-6, 90), 1.8e9 + rng.random()
        line, told_s = wire.retry_after(form, wait_s, wall=wall)
        name, value = line.strip().split(": ", 1)
        said = float(value) if form == "seconds" else 0.0
        said = int(value) / 1000 if form == "ms" else said
        said = parsedate_to_datetime(value).timestamp() - wall if form == "date" else said
        assert name == ("retry-after-ms" if form == "ms" else "Retry-After")
        assert said == pytest.approx(told_s)
        assert 0 <= told_s - wait_s + 1e-6 <= (0.001 if form == "ms" else 1.0) + 2e-6


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0ms"), (0.0201, "21ms"), (1.2, "1.2s"), (60, "1m0s"), (360, "6m0s"), (3723.5, "1h2m3.5s")],
)
def test_durations_have_the_form_of_the_reset_headers(seconds: float, text: str) -> None:
    """Reset times are written as the OpenAI headers write them."""
    assert wire.duration(seconds) == text
