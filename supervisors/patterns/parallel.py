"""Parallel: branches at once, or a step for each item of a list."""

from collections.abc import Sequence
from typing import Any

from ...protocols.errors import StepFailed
from ...protocols.workflow.patterns import Parallel
from ...protocols.workflow.step import Step
from ..workflow import templates
from ..workflow.frame import Frame
from ..workflow.settling import Settled, causes, settle
from ..workflow.step import branch, perform
from ..workflow.wide import each_wide, is_wide


async def run(node: Parallel, at: Frame) -> Any:
    """All results, or what `then` makes of them."""
    names, settled = await (_each(node, at) if node.each is not None else _branches(node, at))
    errors = {name: one.error for name, one in zip(names, settled, strict=True) if one.error}
    check(settled, quorum=node.quorum or min(1, len(settled)), errors=errors, at=at)
    values = [one.value for one in settled]
    results: Any = values if node.each is not None else dict(zip(names, values, strict=True))
    if node.then is None:
        return results
    told = {str(name): cause for name, cause in errors.items()}
    return await perform(node.then, at.below("then", results=results, errors=told, previous=results))


def check(settled: list[Settled], *, quorum: int, errors: dict[Any, str], at: Frame) -> None:
    """Says what failed. Raises `StepFailed` when fewer than `quorum` succeeded."""
    good = sum(one.good for one in settled)
    if good < quorum:
        raise StepFailed(f"{good} of {len(settled)} succeeded, {quorum} have to: {causes(list(errors.values()))}")
    if errors:
        at.own.degraded = True
        named = [f"{name}: {cause}" for name, cause in errors.items()]
        at.own.note = f"{len(errors)} of {len(settled)} failed: {causes(named)}"


async def _branches(node: Parallel, at: Frame) -> tuple[list[Any], list[Settled]]:
    names = list(node.branches)
    steps = [(step, at.below(name)) for name, step in node.branches.items()]
    return names, await _settled(steps, concurrency=node.concurrency or len(steps), enough=node.enough)


async def _each(node: Parallel, at: Frame) -> tuple[list[Any], list[Settled]]:
    assert node.over is not None
    assert node.each is not None
    items = listed(templates.evaluate(node.over, at.scope), node.over)
    names = list(range(len(items)))
    if node.enough is None and is_wide(node.each, len(items), at, node.concurrency):
        return names, await each_wide(node.each, items, at, bind=node.as_, concurrency=node.concurrency)
    steps = [
        (node.each, at.below(number, **{node.as_: item, "index": number, "previous": item}))
        for number, item in enumerate(items)
    ]
    return names, await _settled(steps, concurrency=node.concurrency, enough=node.enough)


async def _settled(
    steps: Sequence[tuple[Step, Frame]], *, concurrency: int | None, enough: int | None
) -> list[Settled]:
    """What became of each. Where a run goes on and enough had succeeded, those that were cancelled stay so."""
    works = [_work(step, frame) for step, frame in steps]
    kept = [place for place, (_, frame) in enumerate(steps) if frame.path in frame.run.memo]
    good = [place for place in kept if steps[place][1].run.memo.failure(steps[place][1].path) is None]
    if enough is None or len(good) < enough:
        return await settle(works, concurrency=concurrency, enough=enough)
    settled = [Settled(cancelled=True)] * len(works)
    for place, one in zip(kept, await settle([works[place] for place in kept]), strict=True):
        settled[place] = one
    return settled


def listed(value: Any, expression: str) -> list[Any]:
    """The items of a list. Raises `StepFailed` for what is none."""
    if isinstance(value, list | tuple):
        return list(value)
    raise StepFailed(f"`over: {expression}` is no list but {type(value).__name__}")


def _work(step: Step, at: Frame) -> Any:
    return lambda: branch(step, at)
