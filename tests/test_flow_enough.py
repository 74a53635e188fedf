"""Branches that were cancelled since others were enough are not begun again when the run goes on."""

from typing import Any

import msgspec
import pytest
from flow_functions import CALLS
from flow_strategies import APPROVE, NOBODY, interpreter, value
from flow_tools import function

from understudy.protocols.jobs import ApprovalAsk, Resumed, Verdict
from understudy.protocols.workflow.result import FlowResult
from understudy.protocols.workflow.spec import item

BRANCHES = {
    "fast": value(1),
    "failed": function("fail"),
    "slow": function("note", book="slow"),
    "slower": {"kind": "retry", "node": function("later", book="slow", turns=1000)},
}
EACH = {"over": "[1, 0]", "each": {"kind": "chain", "steps": [function("later", book="slow", turns=1)]}}


@pytest.mark.parametrize("what", [{"branches": BRANCHES}, EACH])
async def test_who_was_cancelled_is_not_begun_again(what: dict[str, Any]) -> None:
    """What comes of it is what was there when people were asked."""
    CALLS.clear()
    ask = {**APPROVE, "value": "{{ results }}"}
    flow = interpreter({"kind": "parallel", "enough": 1, "then": ask, **what})
    done = await flow.map(0, item("x"), NOBODY)
    [asked] = msgspec.msgpack.decode(done.data, type=list[ApprovalAsk])
    shown, before = msgspec.json.decode(asked.value), len(CALLS["slow"])
    state = msgspec.msgpack.encode(Resumed(done.parked, {asked.path: Verdict(approved=True)}))
    done = await flow.resume(0, item("x"), NOBODY, state)
    assert msgspec.msgpack.decode(done.data, type=FlowResult).value == shown
    assert len(CALLS["slow"]) == before
