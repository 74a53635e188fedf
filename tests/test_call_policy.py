"""The retry decision: budgets are never passed, every row of the table is kept, and it always ends."""

import random
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from understudy.actors.call.policy import CallPolicy, GiveUp, Try, Wait
from understudy.protocols.config import Attempts
from understudy.protocols.decisions import TABLE
from understudy.protocols.errors import FailureKind

KINDS = get_args(FailureKind)

budgets = st.builds(
    Attempts,
    max_attempts=st.integers(1, 12),
    per_candidate=st.integers(1, 4),
    deadline_s=st.sampled_from([0.5, 10.0, 30.0]),
    backoff_s=st.sampled_from([0.0, 0.5]),
    backoff_max_s=st.sampled_from([0.0, 4.0]),
)
# What each attempt comes to: a failure, a blocked account, or an account that is down; and how long it took.
events = st.lists(
    st.tuples(
        st.sampled_from([*KINDS, "rate_limited", "server", "blocked", "down"]),
        st.none() | st.sampled_from([0.0, 0.2, 5.0, 1000.0]),
        st.sampled_from([0.0, 0.01, 2.0]),
    ),
    min_size=1,
    max_size=30,
)


@given(budgets, st.integers(0, 4), events, st.integers(0, 99))
def test_no_budget_is_passed_and_it_ends(
    budget: Attempts, candidates: int, script: list[tuple[Any, float | None, float]], seed: int
) -> None:
    """Attempts, attempts at one candidate and the deadline hold for any failures; waits are real; it gives up."""
    now, tried, charged, turn = 50.0, [0] * candidates, 0, 0
    policy = CallPolicy(candidates, budget, now=now, rng=random.Random(seed))
    for _ in range(10_000):
        verdict = policy.next(now=now)
        if isinstance(verdict, GiveUp):
            break
        assert now < 50.0 + budget.deadline_s
        if isinstance(verdict, Wait):
            assert 0 < verdict.seconds < budget.deadline_s
            now += verdict.seconds
            continue
        kind, seconds, took = script[turn % len(script)]
        turn += 1
        now += took
        if kind in {"blocked", "down"}:
            policy.blocked(verdict.candidate, max(seconds or 0.05, 0.05), down=kind == "down", now=now)
            continue
        policy.failed(verdict.candidate, kind, retry_after=seconds, now=now)
        charged += TABLE[kind].charged
        # In a row: when everybody has failed in ways that pass, a new round begins.
        tried = [count * (at == verdict.candidate) for at, count in enumerate(tried)]
        tried[verdict.candidate] += TABLE[kind].charged
        assert policy.attempts == charged <= budget.max_attempts
        assert candidates == 1 or max(tried) <= budget.per_candidate * 2
    else:
        pytest.fail("it does not end")


def policy(candidates: int = 2, **budget: Any) -> CallPolicy:
    return CallPolicy(candidates, Attempts(**budget), now=0.0, rng=random.Random(1))


# For one failure at the first of two candidates: what comes next, as the design's table says.
SAYS = {
    "rate_limited": Try(1),  # another candidate is free sooner
    "timeout": Try(1),
    "server": "back-off",
    "connection": "back-off",
    "invalid_reply": Try(0, "repair"),  # one retry that shows the model its error
    "context_too_long": Try(1),
    "filtered": Try(1),
    "auth": Try(1),
    "not_found": Try(1),
    "quota_impossible": Try(1),
    "private": Try(1),
    "bad_request": Try(1),
}


@pytest.mark.parametrize("kind", KINDS)
def test_first_failure_of_each_kind(kind: FailureKind) -> None:
    """After one failure of each kind the next step is the one in the design's table."""
    one = policy()
    one.failed(0, kind, retry_after=None, now=0.0)
    verdict = one.next(now=0.0)
    if kind == "bad_request":
        assert verdict == GiveUp()
    elif SAYS[kind] == "back-off":
        assert isinstance(verdict, Wait)
        assert one.next(now=verdict.seconds) == Try(0)
    else:
        assert verdict == SAYS[kind]


@pytest.mark.parametrize("kind", ["server", "connection"])
def test_a_broken_candidate_is_tried_again_then_the_next_steps_in(kind: FailureKind) -> None:
    """Two retries with back-off, then the next candidate at once."""
    one = policy()
    now = 0.0
    for _ in range(2):
        one.failed(0, kind, retry_after=None, now=now)
        verdict = one.next(now=now)
        assert isinstance(verdict, Wait)
        now += verdict.seconds
        assert one.next(now=now) == Try(0)
    one.failed(0, kind, retry_after=None, now=now)
    assert one.next(now=now) == Try(1)


def test_an_invalid_reply_is_retried_once() -> None:
    """One retry at the same candidate, then the next."""
    one = policy()
    one.failed(0, "invalid_reply", retry_after=None, now=0.0)
    assert one.next(now=0.0) == Try(0, "repair")
    one.failed(0, "invalid_reply", retry_after=None, now=0.0)
    assert one.next(now=0.0) == Try(1)


def test_waiting_for_a_quota_is_no_attempt() -> None:
    """Any number of 429s leaves all attempts, and the retries of that candidate, for failures."""
    one = policy(1, max_attempts=2, per_candidate=2)
    now = 0.0
    for _ in range(10):
        one.failed(0, "rate_limited", retry_after=1.0, now=now)
        assert one.next(now=now) == Wait(1.0)
        now += 1.0
    assert one.attempts == 0
    one.failed(0, "server", retry_after=None, now=now)
    verdict = one.next(now=now)
    assert isinstance(verdict, Wait)
    assert one.next(now=now + verdict.seconds) == Try(0)


@pytest.mark.parametrize("retry_after", [None, 0.0])
def test_a_429_without_a_time_is_no_hot_loop(retry_after: float | None) -> None:
    """Without a Retry-After, or with one of 0, the account is left alone for a while, and for longer each time."""
    one, now, waits = policy(1, deadline_s=60.0, backoff_s=0.0), 0.0, 0
    while not isinstance(verdict := one.next(now=now), GiveUp):
        if isinstance(verdict, Wait):
            now += verdict.seconds
            waits += 1
        else:
            one.failed(0, "rate_limited", retry_after=retry_after, now=now)
    assert waits <= 60.0 / 0.05 + 1


def test_retry_after_is_kept_also_by_a_back_off() -> None:
    """A 503 with Retry-After waits at least as long as it says."""
    one = policy(1)
    one.failed(0, "server", retry_after=7.0, now=0.0)
    verdict = one.next(now=0.0)
    assert isinstance(verdict, Wait)
    assert verdict.seconds >= 7.0


def test_a_wait_beyond_the_deadline_is_not_waited() -> None:
    """When nobody is free before the deadline it gives up at once, and says which budget is spent."""
    one = policy(2, deadline_s=10.0)
    one.blocked(0, 20.0, down=False, now=0.0)
    one.blocked(1, 30.0, down=False, now=0.0)
    assert one.next(now=0.0) == GiveUp("the deadline of 10 s")
    assert one.left(now=4.0) == 6.0
    assert one.left(now=40.0) == 0.0


def test_who_is_free_first_is_waited_for() -> None:
    """Of blocked candidates the one that is free sooner is tried."""
    one = policy(2)
    one.blocked(0, 5.0, down=False, now=0.0)
    one.blocked(1, 2.0, down=False, now=0.0)
    assert one.next(now=0.0) == Wait(2.0)
    assert one.next(now=2.0) == Try(1)


def test_spent_attempts_are_named() -> None:
    """The budget that is used up is told."""
    one = policy(3, max_attempts=2)
    one.failed(0, "timeout", retry_after=None, now=0.0)
    one.failed(1, "timeout", retry_after=None, now=0.0)
    assert one.next(now=0.0) == GiveUp("2 attempts")
    assert policy(0).next(now=0.0) == GiveUp()


def test_a_new_round_begins_when_all_failures_pass() -> None:
    """When all have failed in ways that pass, they are tried again after a back-off, as long as there are attempts."""
    one, now = policy(2, max_attempts=5, backoff_s=1.0), 0.0
    one.failed(0, "timeout", retry_after=None, now=now)
    one.failed(1, "timeout", retry_after=None, now=now)
    tried = []
    while not isinstance(verdict := one.next(now=now), GiveUp):
        if isinstance(verdict, Wait):
            now += verdict.seconds
            continue
        tried.append(verdict.candidate)
        one.failed(verdict.candidate, "timeout", retry_after=None, now=now)
    assert len(tried) == 3
    assert set(tried) == {0, 1}
    assert verdict == GiveUp("5 attempts")


def test_what_does_not_pass_begins_no_round() -> None:
    """A rejected key, a filter, an unknown model: who failed so is not tried again."""
    one = policy(3)
    for at, kind in enumerate(("auth", "filtered", "not_found")):
        one.failed(at, kind, retry_after=None, now=0.0)  # type: ignore[arg-type]
    assert one.next(now=0.0) == GiveUp()


def made(candidates: int = 2, **options: Any) -> CallPolicy:
    return CallPolicy(candidates, Attempts(backoff_s=0.0), now=0.0, rng=random.Random(1), **options)


def test_too_long_goes_to_a_larger_window_or_is_cut() -> None:
    """A larger window steps in; without one the same model gets it cut, where the policy says so, and only once."""
    one = made(windows=(8_000, 32_000), overflow="truncate_oldest")
    one.failed(0, "context_too_long", retry_after=None, now=0.0)
    assert one.next(now=0.0) == Try(1)
    one.failed(1, "context_too_long", retry_after=None, now=0.0)
    assert one.next(now=0.0) == Try(1, "shrink")
    one.failed(1, "context_too_long", retry_after=None, now=0.0)
    assert one.next(now=0.0) == GiveUp()


@pytest.mark.parametrize(("overflow", "tried"), [("fail", []), ("larger", [2])])
def test_too_long_without_cutting(overflow: Any, tried: list[int]) -> None:
    """`larger` tries only those whose window is larger; `fail` nobody."""
    one = made(3, windows=(8_000, 8_000, 16_000), overflow=overflow)
    one.failed(0, "context_too_long", retry_after=None, now=0.0)
    found = []
    while isinstance(verdict := one.next(now=0.0), Try):
        found.append(verdict.candidate)
        one.failed(verdict.candidate, "context_too_long", retry_after=None, now=0.0)
    assert found == tried


@pytest.mark.parametrize(
    ("filtered", "verdicts"),
    [("next", [Try(1)]), ("rephrase", [Try(0, "rephrase"), Try(1), Try(1, "rephrase")]), ("fail", [])],
)
def test_a_filter_is_answered_by_the_policy(filtered: Any, verdicts: list[Try]) -> None:
    """Another provider, the same words put otherwise once, or an end; never a silent pass."""
    one, found = made(filtered=filtered), []
    one.failed(0, "filtered", retry_after=None, now=0.0)
    while isinstance(verdict := one.next(now=0.0), Try):
        found.append(verdict)
        one.failed(verdict.candidate, "filtered", retry_after=None, now=0.0)
    assert found == verdicts


def test_after_a_timeout_a_faster_candidate_is_preferred() -> None:
    """Of those that are free the fastest known one steps in; after other failures the order stays."""
    latencies = [9.0, 5.0, 0.4]
    one = made(3)
    one.failed(0, "timeout", retry_after=None, now=0.0)
    assert one.next(now=0.0, latencies=latencies) == Try(2)
    other = made(3)
    other.failed(0, "auth", retry_after=None, now=0.0)
    assert other.next(now=0.0, latencies=latencies) == Try(1)


def test_a_hedge_keeps_the_budget_of_attempts() -> None:
    """A hedge goes to another candidate that is free, else to the same; never beyond the attempts."""
    one = made(2)
    assert one.hedge(0, now=0.0) == 1
    one.blocked(1, 9.0, down=False, now=0.0)
    assert one.hedge(0, now=0.0) == 0
    assert policy(2, max_attempts=1).hedge(0, now=0.0) is None
    one.cancelled()
    assert one.attempts == 1
