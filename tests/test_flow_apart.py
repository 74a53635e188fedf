"""Which steps can be run apart from their run, at another Mapper."""

from typing import Any

import pytest
from flow_strategies import APPROVE, value
from flow_tools import chain

from understudy.protocols.workflow import Flow
from understudy.supervisors.workflow.names import stays_home


@pytest.mark.parametrize(
    ("node", "home"),
    [
        (value(1), False),
        (chain(value(1), value(2)), False),
        (chain(value(1), APPROVE), True),
        ({**value(1), "on_error": {"then": "alternative", "alternative": APPROVE}}, True),
        (chain({"kind": "escalate", "reason": "r"}), True),
        ({**value(1), "undo": value(2)}, True),
        ({"kind": "use", "flow": "plain"}, False),
        ({"kind": "use", "flow": "asks"}, True),
        ({"kind": "use", "flow": "deep"}, True),
        ({"kind": "use", "flow": "circle"}, False),
    ],
)
def test_what_asks_hands_up_or_is_undone_stays_with_its_run(node: dict[str, Any], home: bool) -> None:
    """Also where a sub-workflow does it, however deep."""
    flows = {
        "plain": value(1),
        "asks": chain(APPROVE),
        "deep": chain(value(1), {"kind": "use", "flow": "asks"}),
        "circle": {"kind": "use", "flow": "circle"},
    }
    flow = Flow.model_validate({"run": node, "flows": flows})
    assert stays_home(flow.run, flow.flows) == home
