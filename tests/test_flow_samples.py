"""Samples of a ladder's rung that have been taken are not taken again when the run goes on after people were asked."""

import asyncio

import msgspec
from flow_functions import CALLS
from flow_strategies import APPROVE, NOBODY, interpreter

from understudy.protocols.jobs import ApprovalAsk, Resumed, Verdict
from understudy.protocols.workflow.spec import item


async def slow_first(book: str) -> str:
    """The first sample is the last one that is done; no two say the same."""
    CALLS[book].append(None)
    number = len(CALLS[book])
    for _ in range(50 if number == 1 else 0):
        await asyncio.sleep(0)
    return f"answer {number}"


async def test_samples_are_not_taken_again() -> None:
    """Also where the first sample ends last, and a person is the next rung."""
    CALLS.clear()
    rung = {"kind": "function", "call": f"{__name__}:slow_first", "args": {"book": "samples"}}
    flow = interpreter({"kind": "ladder", "rungs": [rung, APPROVE], "quality": {"samples": 3}, "threshold": 1.0})
    done = await flow.map(0, item("x"), NOBODY)
    [ask] = msgspec.msgpack.decode(done.data, type=list[ApprovalAsk])
    state = msgspec.msgpack.encode(Resumed(done.parked, {ask.path: Verdict(approved=True)}))
    done = await flow.resume(0, item("x"), NOBODY, state)
    assert not done.error
    assert not done.parked
    assert len(CALLS["samples"]) == 3
