"""A case that was handed up stays handed up when the run goes on: nothing of its branch is begun again."""

import asyncio
from typing import Any

import msgspec
from flow_functions import CALLS
from flow_strategies import APPROVE, NOBODY, interpreter, value
from flow_tools import chain, function

from understudy.protocols.jobs import ApprovalAsk, Resumed, Verdict
from understudy.protocols.workflow.spec import item


async def begins(book: str) -> None:
    """Notes that it was called, and never comes to its end."""
    CALLS[book].append(None)
    await asyncio.sleep(60)


async def test_what_an_escalation_cancelled_is_not_begun_again() -> None:
    """A person takes the case; what the branch had done can still be undone when the person says no."""
    CALLS.clear()
    paid = {**function("note", book="paid"), "undo": function("note", book="refunded")}
    up: dict[str, Any] = {"kind": "escalate", "reason": "r"}
    slow = {"kind": "function", "call": f"{__name__}:begins", "args": {"book": "slow"}}
    both = {"kind": "parallel", "branches": {"up": chain(function("later", book="up"), up), "slow": slow}}
    route = {
        "kind": "route",
        "rules": [{"when": "true", "to": "a"}],
        "generalist": "a",
        "branches": {"a": chain(paid, both)},
        "escalate": APPROVE,
        "on_error": "compensate",
    }
    flow = interpreter(chain(value(1), route))
    done = await flow.map(0, item("x"), NOBODY)
    before = {book: len(calls) for book, calls in CALLS.items()}
    [ask] = msgspec.msgpack.decode(done.data, type=list[ApprovalAsk])
    state = msgspec.msgpack.encode(Resumed(done.parked, {ask.path: Verdict(approved=False)}))
    done = await flow.resume(0, item("x"), NOBODY, state)
    assert done.error == "rejected"
    assert {book: len(calls) for book, calls in CALLS.items()} == {**before, "refunded": 1}
