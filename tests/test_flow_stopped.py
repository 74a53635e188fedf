"""Why a gate ended a run early stands in its result, also where a wrapper is around the chain; nothing else does."""

from typing import Any

import msgspec
import pytest
from flow_strategies import NOBODY, interpreter, value
from flow_tools import chain

from understudy.protocols.workflow.result import FlowResult
from understudy.protocols.workflow.spec import item

GATED = chain({**value(1), "gate": {"stop": "true", "reason": "why"}}, value(2))


@pytest.mark.parametrize(
    ("node", "wanted"),
    [
        (GATED, "why"),
        ({"kind": "budget", "max_calls": 1, "node": {"kind": "timeout", "seconds": 9, "node": GATED}}, "why"),
        ({"kind": "retry", "node": GATED}, "why"),
        ({"kind": "use", "flow": "gated"}, "why"),
        (chain(GATED, value(3)), ""),
        ({"kind": "parallel", "branches": {"node": GATED, "gated": GATED}}, ""),
    ],
)
async def test_the_outermost_chain_says_why_it_ended_early(node: dict[str, Any], wanted: str) -> None:
    """A chain in a chain ends itself alone."""
    done = await interpreter(node, flows={"gated": GATED}).map(0, item("x"), NOBODY)
    assert msgspec.msgpack.decode(done.data, type=FlowResult).stopped == wanted
