"""A run that is cancelled at any moment, or left early by one of its branches, leaves nothing behind that goes on."""

import asyncio

import pytest
from flow_functions import CALLS
from flow_strategies import BOOK, NOBODY, Node, interpreter, nodes, value
from flow_tools import chain, function
from hypothesis import given, settings
from hypothesis import strategies as st

from understudy.protocols.workflow.spec import item
from understudy.supervisors.workflow.memo import Memo


def others() -> list[asyncio.Task[object]]:
    """Tasks that run besides this one."""
    return [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]


@settings(max_examples=300)
@given(nodes, st.integers(0, 60))
def test_a_cancelled_run_leaves_nothing_behind(node: Node, turns: int) -> None:
    """Whatever it was doing: no task of it is alive, and no function is called any more."""

    async def go() -> None:
        run = asyncio.ensure_future(interpreter(node).map(0, item("x"), NOBODY))
        for _ in range(turns):
            await asyncio.sleep(0)
        run.cancel()
        await asyncio.gather(run, return_exceptions=True)
        assert others() == []
        before = len(CALLS[BOOK])
        for _ in range(30):
            await asyncio.sleep(0)
        assert len(CALLS[BOOK]) == before

    asyncio.run(go())


@settings(max_examples=200)
@given(nodes)
def test_a_run_that_ends_leaves_nothing_behind(node: Node) -> None:
    """Also one that waits for people, fails, or has enough."""

    async def go() -> None:
        await interpreter(node).map(0, item("x"), NOBODY)
        assert others() == []

    asyncio.run(go())


@pytest.mark.parametrize("variant", ["reduce", "tree", "rerank"])
async def test_a_case_that_is_handed_up_ends_all_maps_and_merges(variant: str) -> None:
    """A map that escalates cancels the others; none of them is done, or merged, after the route has taken the case."""
    slow = function("later", book=f"maps {variant}", what={"score": 1}, turns=200)
    inner = {
        "kind": "route",
        "rules": [{"when": "index == 3", "to": "up"}],
        "generalist": "slow",
        "branches": {"up": {"kind": "escalate", "reason": "too hard"}, "slow": slow},
    }
    node: Node = {"kind": "map_reduce", "variant": variant, "over": "range(6) | list", "map": inner}
    if variant != "rerank":
        node["reduce"] = value("{{ parts | length }}")
    around = {
        "kind": "route",
        "rules": [{"when": "true", "to": "a"}],
        "generalist": "a",
        "branches": {"a": chain(node)},
        "escalate": value("taken"),
    }
    done = await interpreter(around)._run(0, item("x"), NOBODY, Memo(), {})
    assert (done.error, b'"taken"' in done.data) == ("", True)
    assert CALLS[f"maps {variant}"] == []
    assert others() == []
