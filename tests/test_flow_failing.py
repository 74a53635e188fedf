"""What follows a step's failure: so many retries, with a jitter that is bounded, and then what the policy says."""

import random
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from understudy.protocols.workflow import OnError, Value
from understudy.supervisors.workflow.failing import (
    Again,
    Alternative,
    Default,
    Fail,
    Skip,
    after_failure,
    in_the_end,
    pause,
)

THEN = {
    "fail": Fail(),
    "skip": Skip(),
    "default": Default(),
    "alternative": Alternative(),
    "compensate": Fail(undo=True),
}


def policy(then: str, **fields: object) -> OnError:
    """A policy that has what it needs."""
    needs: dict[str, dict[str, Any]] = {
        "default": {"default": 1},
        "alternative": {"alternative": {"kind": "value", "value": 1}},
    }
    return OnError.model_validate({"then": then, **needs.get(then, {}), **fields})


@given(
    st.sampled_from(sorted(THEN)),
    st.integers(0, 5),
    st.integers(1, 8),
    st.floats(0, 4),
    st.one_of(st.none(), st.floats(-1, 50)),
    st.integers(0, 99),
)
def test_retries_come_first_and_only_in_time(  # noqa: PLR0917 - one argument for each strategy
    then: str, retries: int, failed: int, backoff_s: float, left_s: float | None, seed: int
) -> None:
    """A step is run again at most so often, after at most the doubled pause, and never when its time would be over."""
    verdict = after_failure(
        policy(then, retries=retries, backoff_s=backoff_s), failed, left_s=left_s, rng=random.Random(seed)
    )
    delay = pause(backoff_s, failed, rng=random.Random(seed))
    if failed <= retries and (left_s is None or (left_s > 0 and delay < left_s)):
        assert verdict == Again(delay)
        assert 0 <= delay <= backoff_s * 2 ** (failed - 1)
    else:
        assert verdict == THEN[then] == in_the_end(policy(then))


def test_without_a_policy_a_failure_is_one() -> None:
    """What is around the step fails."""
    assert after_failure(None, 1, left_s=None, rng=random.Random(0)) == Fail()
    assert in_the_end(None) == Fail()
    assert Value(value=1).on_error is None


def test_pauses_end_somewhere() -> None:
    """A step that is run again for long waits a minute at most."""
    assert pause(10.0, 40, rng=random.Random(1)) <= 60.0
