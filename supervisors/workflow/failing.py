"""What follows when a step has failed: pure. The interpreter carries it out."""

import dataclasses
import random
from typing import Final

from ...protocols.workflow.step import OnError

NEVER: Final = OnError()
_LONGEST_S: Final = 60.0


@dataclasses.dataclass(frozen=True, slots=True)
class Again:
    """Verdict: run the step again after `delay_s`."""

    delay_s: float


@dataclasses.dataclass(frozen=True, slots=True)
class Skip:
    """Verdict: go on without it; its output is None."""


@dataclasses.dataclass(frozen=True, slots=True)
class Default:
    """Verdict: the declared value stands in."""


@dataclasses.dataclass(frozen=True, slots=True)
class Alternative:
    """Verdict: run the other step."""


@dataclasses.dataclass(frozen=True, slots=True)
class Fail:
    """Verdict: what is around it fails; with `undo` after the finished steps were undone, the last first."""

    undo: bool = False


Instead = Skip | Default | Alternative | Fail
Verdict = Again | Instead

_THEN: Final[dict[str, Instead]] = {
    "fail": Fail(),
    "skip": Skip(),
    "default": Default(),
    "alternative": Alternative(),
    "compensate": Fail(undo=True),
}


def after_failure(policy: OnError | None, failed: int, *, left_s: float | None, rng: random.Random) -> Verdict:
    """What follows the `failed`-th failure of a step (from 1).

    A step is not run again when its time is over: `left_s` are the seconds that are left, or None for no bound.
    """
    policy = policy or NEVER
    if failed <= policy.retries and (left_s is None or left_s > 0):
        delay = pause(policy.backoff_s, failed, rng=rng)
        if left_s is None or delay < left_s:
            return Again(delay)
    return in_the_end(policy)


def in_the_end(policy: OnError | None) -> Instead:
    """What follows where it would be no use to run the step again."""
    return _THEN[(policy or NEVER).then]


def pause(first_s: float, failed: int, *, rng: random.Random) -> float:
    """Full jitter (AWS Architecture Blog, *Exponential Backoff And Jitter*, 2015): 0 to `first_s` doubled each time."""
    return rng.uniform(0.0, min(_LONGEST_S, first_s * 2 ** (failed - 1)))
