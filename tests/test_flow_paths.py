"""Two steps never have one path: what one of them has finished would be taken for what the other gives."""

from typing import Any

import msgspec
import pytest
from flow_functions import CALLS
from flow_strategies import APPROVE, NOBODY, interpreter, value
from flow_tools import chain, function
from pydantic import ValidationError

from understudy.protocols.jobs import ApprovalAsk, Resumed, Verdict
from understudy.protocols.workflow import Flow
from understudy.protocols.workflow.result import FlowResult
from understudy.protocols.workflow.spec import item

PARALLEL = {"kind": "parallel", "branches": {"then": value(1), "b": value(2)}, "then": value("{{ results }}")}
ROUTE = {
    "kind": "route",
    "rules": [{"when": "true", "to": "escalate"}],
    "generalist": "escalate",
    "branches": {"escalate": chain(value(1), {"kind": "escalate", "reason": "r"})},
    "escalate": chain(APPROVE, value()),
}
CONSENSUS = {"kind": "consensus", "voters": {"ensemble": value("red"), "b": value("blue")}, "ensemble": value("both")}
ORCHESTRATE = {"kind": "orchestrate", "plan": value([1]), "workers": {"then": value(1)}, "then": chain(value(2))}
ALTERNATIVE = {
    "kind": "parallel",
    "quorum": 2,
    "branches": {"alternative": value(1), "b": function("fail")},
    "on_error": {"then": "alternative", "alternative": value(2)},
}


@pytest.mark.parametrize("node", [PARALLEL, ROUTE, CONSENSUS, ORCHESTRATE, ALTERNATIVE])
def test_a_branch_has_not_the_name_of_the_nodes_own_step(node: dict[str, Any]) -> None:
    """It would answer for it once people are asked: also for their approval."""
    with pytest.raises(ValidationError, match="the step's own"):
        Flow.model_validate({"run": node})


def test_such_a_name_is_free_where_there_is_no_such_step() -> None:
    """A branch called `escalate`, where nothing takes what it hands up, is a branch."""
    Flow.model_validate({"run": {**ROUTE, "escalate": None}})
    Flow.model_validate({"run": {**PARALLEL, "then": None}})


async def test_folders_that_are_numbers_have_merges_of_their_own() -> None:
    """`a/1/` is not the first merge of `a/`."""
    CALLS.clear()
    reduce = chain(value("{{ folder }}"), function("note", book="merges", what="{{ folder }}"), value())
    tree = {"kind": "map_reduce", "variant": "tree", "map": value("{{ chunk.text }}"), "reduce": reduce, "id": "m"}
    files = item([{"name": name, "text": name} for name in ("a/1/x", "a/1/y", "a/z", "b")])
    flow = interpreter(chain(tree, APPROVE, value("{{ m }}")))
    done = await flow.map(0, files, NOBODY)
    asks = msgspec.msgpack.decode(done.data, type=list[ApprovalAsk])
    said = {ask.path: Verdict(approved=True) for ask in asks}
    done = await flow.resume(0, files, NOBODY, msgspec.msgpack.encode(Resumed(done.parked, said)))
    assert msgspec.msgpack.decode(done.data, type=FlowResult).value == "./"
    assert sorted(CALLS["merges"]) == ["./", "a/", "a/1/"]
