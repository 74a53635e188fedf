"""`steps` tells of the steps of the same item, whatever runs at once for others."""

import asyncio
from typing import Any

import msgspec
from flow_strategies import APPROVE, NOBODY, interpreter, value
from flow_tools import chain, function

from understudy.protocols.jobs import ApprovalAsk, Resumed, Verdict
from understudy.protocols.workflow.result import FlowResult
from understudy.protocols.workflow.spec import item


async def odd(number: int) -> int:
    """Fails for even numbers, the later the smaller they are."""
    for _ in range(10 - number):
        await asyncio.sleep(0)
    if number % 2 == 0:
        raise ValueError(f"{number} is even")
    return number


DRAFT: dict[str, Any] = {
    "kind": "function", "call": f"{__name__}:odd", "args": {"number": "{{ item }}"}, "id": "draft", "on_error": "skip",
}  # fmt: skip
WAIT = function("later", book="states", turns=30)
WANTED = ["skipped", "done", "skipped", "done"]


def each(*steps: Any) -> dict[str, Any]:
    """For each of four numbers."""
    return {"kind": "parallel", "over": "input", "each": chain(*steps)}


async def test_each_item_knows_how_its_own_steps_went() -> None:
    """Also when others have ended since."""
    flow = interpreter(each(DRAFT, WAIT, value("{{ steps.draft.state }}")))
    done = await flow.map(0, item([0, 1, 2, 3]), NOBODY)
    assert msgspec.msgpack.decode(done.data, type=FlowResult).value == WANTED


async def test_it_still_does_when_the_run_goes_on() -> None:
    """By what was kept of it."""
    flow = interpreter(each(DRAFT, WAIT, APPROVE, value("{{ steps.draft.state }}")))
    done = await flow.map(0, item([0, 1, 2, 3]), NOBODY)
    said = {ask.path: Verdict(approved=True) for ask in msgspec.msgpack.decode(done.data, type=list[ApprovalAsk])}
    done = await flow.resume(0, item([0, 1, 2, 3]), NOBODY, msgspec.msgpack.encode(Resumed(done.parked, said)))
    assert msgspec.msgpack.decode(done.data, type=FlowResult).value == WANTED


async def test_all_steps_can_be_told() -> None:
    """As JSON, as a value, and those that a step inside has ended, too."""
    inner = {"kind": "parallel", "branches": {"a": {**value(2), "id": "inner"}}}
    flow = interpreter(
        chain({**value(1), "id": "outer"}, inner, value(["{{ steps }}", "{{ steps.inner.state }}: {{ steps }}"]))
    )
    done = await flow.map(0, item("x"), NOBODY)
    told: Any = msgspec.msgpack.decode(done.data, type=FlowResult).value
    whole, text = told
    assert {name: one["state"] for name, one in whole.items()} == {"outer": "done", "inner": "done"}
    assert text == "done: " + msgspec.json.encode(whole).decode()
