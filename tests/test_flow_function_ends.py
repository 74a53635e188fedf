"""A function that ends in an unusual way fails its step, and nothing else: no run hangs, no process dies."""

import asyncio
from typing import Any

import pytest
from flow_strategies import NOBODY, interpreter

from understudy.protocols.workflow.spec import item


def none_left() -> Any:
    """Asks for the first of nothing."""
    return next(iter(()))


def leaves() -> None:
    """Ends the process, or so it thinks."""
    raise SystemExit(2)


async def leaves_too() -> None:
    """The same in the loop."""
    raise SystemExit(2)


async def awaits_what_is_cancelled() -> None:
    """Its own task is cancelled by itself."""
    task = asyncio.get_running_loop().create_task(asyncio.sleep(60))
    task.cancel()
    await task


@pytest.mark.parametrize("name", ["none_left", "leaves", "leaves_too", "awaits_what_is_cancelled"])
async def test_however_a_function_ends_its_step_ends(name: str) -> None:
    """The step fails by name."""
    flow = interpreter({"kind": "function", "call": f"{__name__}:{name}"})
    done = await asyncio.wait_for(flow.map(0, item("x"), NOBODY), 5.0)
    assert done.error.startswith(f"{__name__}:{name}: ")


async def test_a_cancelled_step_is_still_cancelled() -> None:
    """Who cancels the run is not told that a function failed."""
    flow = interpreter({"kind": "function", "call": "asyncio:sleep", "args": {"delay": 60}})
    task = asyncio.ensure_future(flow.map(0, item("x"), NOBODY))
    for _ in range(5):
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
