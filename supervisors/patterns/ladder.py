"""Ladder: cheap first, and the next rung where the answer is not good enough."""

from typing import Any

from ...protocols.errors import StepFailed
from ...protocols.workflow.patterns import Ladder, Quality
from ...protocols.workflow.step import Step
from ..workflow import templates
from ..workflow.frame import Frame
from ..workflow.settling import settle
from ..workflow.step import branch
from .agreement import agreement


async def run(node: Ladder, at: Frame) -> Any:
    """The first answer that is good enough, else the last rung's. A rung that fails leaves it to the next one.

    Where no rung has an answer that is good enough because the last ones failed, the best one there was stands in.
    """
    best: tuple[float, Any] | None = None
    notes: list[str] = []
    for place, rung in enumerate(node.rungs):
        last = place == len(node.rungs) - 1
        try:
            value, score = await climbed(node, rung, at.below(place), last=last)
        except StepFailed as error:
            notes.append(f"rung {place + 1} failed: {error}")
            continue
        if last or score >= node.threshold:
            at.own.note = "; ".join([*notes, f"rung {place + 1}" + ("" if last else f" at {score:.2f}")])
            return value
        notes.append(f"rung {place + 1} at {score:.2f}")
        if best is None or score > best[0]:
            best = (score, value)
    at.own.note = "; ".join(notes)
    if best is None:
        raise StepFailed(f"no rung has an answer: {at.own.note}")
    at.own.degraded = True
    return best[1]


async def climbed(node: Ladder, rung: Step, at: Frame, *, last: bool) -> tuple[Any, float]:
    """(a rung's answer, its score); the last rung's is not judged, since it is taken in any case."""
    quality = node.quality
    if quality.samples is not None and not last:
        return await _sampled(rung, quality.samples, at)
    value = await branch(rung, at)
    if value is None:
        raise StepFailed("it has no answer")
    return value, 1.0 if last else await scored(quality, value, at)


async def scored(quality: Quality, answer: Any, at: Frame) -> float:
    """How good an answer is, 0 to 1; a judge that fails or says nothing usable finds nothing good: 0."""
    here = at.bind(answer=answer, previous=answer)
    if quality.rule is not None:
        return number(templates.evaluate(quality.rule, here.scope))
    assert quality.judge is not None
    try:
        said = await branch(quality.judge, here.below("judge"))
        return number(said.get("score") if isinstance(said, dict) else said)
    except StepFailed:
        at.run.degraded = True
        return 0.0


def number(value: Any) -> float:
    """A score, 0 to 1. Raises `StepFailed` for what is none."""
    if isinstance(value, str):
        try:
            value = float(value.strip())
        except ValueError:
            raise StepFailed(f"the score is no number but {value!r}"[:200]) from None
    if not isinstance(value, int | float):
        raise StepFailed(f"the score is no number but {value!r}"[:200])
    return min(1.0, max(0.0, float(value)))


async def _sampled(rung: Step, samples: int, at: Frame) -> tuple[Any, float]:
    """The answer that most samples agree on, and how far all of them agree."""
    # Each at a path of its own, the first one too: what ends at a path takes the place of all that is kept below it.
    works = [_work(rung, at.sampled(place)) for place in range(samples)]
    good = [one.value for one in await settle(works) if one.good and one.value is not None]
    if not good:
        raise StepFailed("no sample has an answer")
    found = agreement(good)
    largest = found.groups[0]
    # A sample that failed agrees with nobody.
    return good[largest[0]], found.score * len(good) / samples


def _work(rung: Step, at: Frame) -> Any:
    return lambda: branch(rung, at)
