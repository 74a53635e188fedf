"""What an expression gives is JSON; a value that is none fails its run with all that it has cost on the bill."""

from typing import Any

import msgspec
import pytest
from flow_strategies import NOBODY, interpreter, value
from flow_tools import chain

from understudy.protocols.messages import ItemDone
from understudy.protocols.workflow.result import FlowResult
from understudy.protocols.workflow.spec import item


async def done(node: dict[str, Any], given: Any) -> ItemDone:
    """A run."""
    return await interpreter(node).map(0, item(given), NOBODY)


@pytest.mark.parametrize(
    ("template", "given", "wanted"),
    [
        ("{{ input | map('upper') }}", ["a", "b"], ["A", "B"]),
        ("{{ input | selectattr('ok') }}", [{"ok": True}, {"ok": False}], [{"ok": True}]),
        ("{{ input.values() }}", {"a": 1}, [1]),
        ("{{ input.items() }}", {"a": 1}, [["a", 1]]),
        ("{{ range(3) }}", "x", [0, 1, 2]),
    ],
)
async def test_what_filters_give_is_a_list(template: str, given: Any, wanted: Any) -> None:
    """It can be read twice, and be the run's output."""
    one = await done(chain({**value(template), "id": "a"}, value("{{ a }}{{ a }}"), value("{{ a }}")), given)
    assert msgspec.msgpack.decode(one.data, type=FlowResult).value == wanted


async def test_a_method_is_no_value() -> None:
    """Who forgot to call it is told."""
    error = (await done(value("{{ input.upper }}"), "x")).error
    assert error.endswith("is no value but a builtin_function_or_method")


def no_text() -> str:
    """What no JSON can hold."""
    return "\ud800"


async def test_an_output_that_can_not_be_written_fails_with_its_steps() -> None:
    """What it cost, and what its steps came to, is told."""
    one = await done(chain(value(1), {"kind": "function", "call": f"{__name__}:no_text"}), "x")
    assert one.error.startswith("UnicodeEncodeError: ")
    assert [step.path for step in msgspec.msgpack.decode(one.data, type=FlowResult).steps] == ["run/0", "run/1", "run"]
