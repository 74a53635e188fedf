"""Orchestrate (orchestrator-workers): tasks are planned as the case needs, done at once, and put together."""

from typing import Any

from ...protocols.errors import StepFailed
from ...protocols.workflow.patterns import Orchestrate
from ..workflow.frame import Frame
from ..workflow.settling import settle
from ..workflow.step import branch, perform
from .parallel import check


async def run(node: Orchestrate, at: Frame) -> Any:
    """All workers' results as a list, or what `then` makes of them."""
    planned = _tasks(await perform(node.plan, at.below("plan")))
    tasks = planned[: node.most]
    works = []
    for number, task in enumerate(tasks):
        name = worker(task, node)
        works.append(_work(node.workers[name], at.below(name).below(number, task=task, index=number, previous=task)))
    settled = await settle(works, concurrency=node.concurrency)
    errors = {number: one.error for number, one in enumerate(settled) if one.error}
    check(settled, quorum=min(1, len(settled)), errors=errors, at=at)
    if len(planned) > len(tasks):
        at.own.degraded = True
        left = f"{len(planned) - len(tasks)} of {len(planned)} planned tasks were left out"
        at.own.note = f"{at.own.note}; {left}" if at.own.note else left
    results = [one.value for one in settled]
    if node.then is None:
        return results
    told = {str(number): cause for number, cause in errors.items()}
    return await perform(node.then, at.below("then", tasks=tasks, results=results, errors=told, previous=results))


def _tasks(planned: Any) -> list[Any]:
    found = planned.get("tasks") if isinstance(planned, dict) else planned
    if not isinstance(found, list):
        raise StepFailed("the plan has to be a list of tasks, or a mapping with `tasks`")
    return found


def worker(task: Any, node: Orchestrate) -> str:
    """Who does a task."""
    wanted = task.get("worker") if isinstance(task, dict) else None
    return wanted if wanted in node.workers else next(iter(node.workers))


def _work(step: Any, at: Frame) -> Any:
    return lambda: branch(step, at)
