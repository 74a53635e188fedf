"""Drives the Python API on a real cluster, in a process of its own: one that imported Ray can't run unit tests.

Run as `python api_driver.py CONFIG` with the cluster's environment; prints what came of each scenario as JSON. It is a
script as a user writes one: its own functions and models are found by its name.
"""

import asyncio
import json
import sys
import time
from collections.abc import Callable
from typing import Any

from pydantic import BaseModel

import understudy as us


class Answer(BaseModel):
    """What the typed call answers."""

    number: int


def shout(words: str) -> str:
    """A function of this script, run in another process."""
    return words.upper()


def rejecting(ask: us.ApprovalAsk) -> us.Verdict:
    """Says no to some."""
    return us.Verdict("no" not in ask.show, note="as it was asked")


def one(config: str) -> Any:
    """A chain with a fallback; its script's own function; the bill."""
    flow = us.chain(
        us.call("Translate: {{ input }}", id="draft", max_tokens=16),
        us.fallback(us.function(failing), us.value("kept: {{ draft }}"), us.call("never")),
        us.function(shout, args={"words": "{{ previous }}"}),
    )
    result = us.run(flow, "The show goes on.", config=config)
    return {
        "output": result.output,
        "degraded": result.degraded,
        "cost": str(result.cost),
        "calls": result.calls,
        "states": {step.path: step.state for step in result.steps},
    }


def failing() -> None:
    """Fails."""
    raise RuntimeError("out of paper")


def failed(config: str) -> Any:
    """A run that fails raises; so does an output that is not its model's."""
    told = []
    for flow, output in ((us.function(failing), None), (us.value("words"), Answer)):
        try:
            us.run(flow, config=config, output=output)
        except us.StepFailed as error:
            told.append(str(error))
    return told


def typed(config: str) -> Any:
    """An output as a model."""
    result = us.run(us.call("A number, please.", output=Answer), config=config, output=Answer)
    assert result.output is not None
    return {"kind": type(result.output).__name__, "number": result.output.number}


def many(config: str) -> Any:
    """Results as they come, each once; then a loop that is left early."""
    flow = us.call("Say {{ input }}", max_tokens=16)
    numbers = sorted(result.number for result in us.run_many(flow, [f"many {n}" for n in range(60)], config=config))
    assert list(us.run_many(flow, [], config=config)) == []
    endless = (f"left {n}" for n in range(1_000_000))
    taken = []
    for result in us.run_many(flow, endless, config=config, concurrency=4):
        taken.append(result.number)
        if len(taken) == 5:
            break
    return {"numbers": numbers, "taken": len(taken), "left": time.monotonic()}


def words(config: str) -> Any:
    """Words as they come."""
    heard: list[str] = []
    result = us.run(us.call("Tell a story.", stream=True, max_tokens=64), config=config, on_text=heard.append)
    return {"heard": "".join(heard), "output": result.output, "parts": len(heard)}


def asked(config: str) -> Any:
    """Approvals that the script answers itself."""
    ask = us.approve("Send?", show="{{ input }}", value="{{ input }}", on_error={"then": "default", "default": "kept"})
    results = us.run_many(ask, ["yes", "no", "yes"], config=config, on_approval=rejecting)
    return {str(result.number): result.output for result in results}


def bounded(config: str) -> Any:
    """A loop that would cost far more than it may."""
    flow = us.each("range(40)|list", us.call("Say {{ item }} {{ input }}", max_tokens=64), concurrency=1)
    result = next(us.run_many(flow, ["bounded"], config=config, max_cost=0.0004))
    return {"cost": str(result.cost), "error": result.error, "degraded": result.degraded}


def beside(config: str) -> Any:
    """With a loop: runs at once, and a task that is cancelled in its run."""

    async def work() -> Any:
        flow = us.call("Say {{ input }}", max_tokens=16)
        both = await asyncio.gather(*(us.arun(flow, f"beside {n}", config=config) for n in range(3)))
        slow = us.each("range(200)|list", us.call("cancelled {{ item }}", max_tokens=16), concurrency=2)
        task = asyncio.create_task(us.arun(slow, config=config))
        await asyncio.sleep(2.0)
        task.cancel()
        began = time.monotonic()
        done = await asyncio.gather(task, return_exceptions=True)
        took = time.monotonic() - began
        async for result in us.arun_many(flow, (f"aleft {n}" for n in range(1000)), config=config, concurrency=4):
            first = result.number
            break
        return {"outputs": len(both), "ended": type(done[0]).__name__, "took": took, "cancelled": began, "first": first}

    return asyncio.run(work())


def again(config: str) -> Any:
    """A run after the process has detached: it attaches anew."""
    us.close()
    return us.run(us.value("{{ input }}"), "back", config=config).output


SCENARIOS: tuple[Callable[[str], Any], ...] = (one, failed, typed, many, words, asked, bounded, beside, again)


def main() -> None:
    """Runs all, one after the other."""
    told = {work.__name__: work(sys.argv[1]) for work in SCENARIOS}
    us.close()
    sys.stdout.write(json.dumps(told) + "\n")


if __name__ == "__main__":
    main()
