"""The variant `rerank`: each chunk answers with a score, the best are kept, ties are looked at again side by side."""

from collections.abc import Sequence
from typing import Any

import msgspec

from ...protocols.errors import StepFailed
from ...protocols.workflow.patterns import MapReduce
from ...protocols.workflow.result import FlowResult
from ..workflow import templates
from ..workflow.frame import Frame
from ..workflow.mapping import answers
from ..workflow.merging import Missing
from ..workflow.step import perform
from .chunks import Chunk
from .reduced import Reduced

Scored = tuple[float, int, Any]
"""A map's score, the number of its chunk, and its output."""


async def run(node: MapReduce, chunks: Sequence[Chunk], at: Frame) -> Reduced:
    """The best answer as `answer`, `score`, `source`; with `top` over 1 a list of these, best first."""
    scored: list[Scored] = []
    missing: list[Missing] = []
    values = [chunk.value for chunk in chunks]
    async for done in answers(node.map, values, at, bind=node.as_, concurrency=node.concurrency):
        if done.error:
            missing.append((done.item, done.item + 1, done.error))
            continue
        value = msgspec.msgpack.decode(done.data, type=FlowResult).value
        try:
            scored.append((_score(templates.evaluate(node.score, at.bind(it=value).scope)), done.item, value))
        except StepFailed as error:
            missing.append((done.item, done.item + 1, str(error)))
    if not scored:
        return Reduced(None, missing)
    scored.sort(key=lambda one: (-one[0], one[1]))
    best = (await _untied(node, scored, chunks, at))[: node.top]
    found = [{"answer": value, "score": score, "source": chunks[number].name} for score, number, value in best]
    value = found[0] if node.top == 1 else found
    return Reduced(value, missing, depth=1, cites=tuple(one["source"] for one in found))


def _score(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise StepFailed(f"its score is no number but {value!r}"[:200])
    return float(value)


def tied(scored: Sequence[Scored], top: int, tie: float) -> range:
    """The places, in a list sorted by score, of those whose order at the edge of the `top` is by chance."""
    if len(scored) <= 1:
        return range(0)
    edge = scored[min(top, len(scored)) - 1][0]
    close = [place for place, one in enumerate(scored) if abs(one[0] - edge) < tie]
    return range(close[0], close[-1] + 1) if len(close) > 1 else range(0)


async def _untied(node: MapReduce, scored: list[Scored], chunks: Sequence[Chunk], at: Frame) -> list[Scored]:
    """The candidates, those that are tied in the order that a judge gives them, who sees all of them at once.

    Scores that were given one by one, each without sight of the others, are not calibrated: only their order within
    the tied ones is changed. Without a judge the earlier chunk comes first.
    """
    places = tied(scored, node.top, node.tie)
    if not places:
        return scored
    group = scored[places.start : places.stop]
    if node.judge is None:
        at.own.note = f"{len(group)} are tied at {group[0][0]:g}: the earlier comes first"
        return scored
    candidates = [{"name": chunks[number].name, "value": value, "score": score} for score, number, value in group]
    said = await perform(node.judge, at.below("judge", candidates=candidates, previous=candidates))
    scores = _judged(said, len(group))
    at.own.note = f"{len(group)} were tied at {group[0][0]:g}: the judge has compared them"
    order = sorted(range(len(group)), key=lambda place: (-scores[place], place))
    return [*scored[: places.start], *(group[place] for place in order), *scored[places.stop :]]


def _judged(said: Any, count: int) -> list[float]:
    scores = said.get("scores") if isinstance(said, dict) else said
    if not isinstance(scores, list) or len(scores) != count:
        raise StepFailed(f"the judge has to give a list of {count} scores, or a mapping with `scores`")
    return [_score(score) for score in scores]
