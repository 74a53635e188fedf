"""The API's types, as callers see them: read by mypy (`make typecheck`), never run."""

from typing import Any, assert_type

from pydantic import BaseModel

import understudy as us
from understudy.protocols.workflow import Call, Chain, Node


class Answer(BaseModel):
    """A typed output."""

    number: int


async def asynchronous() -> None:
    """As below, with a loop."""
    assert_type(await us.arun("x", output=Answer), us.Result[Answer])
    assert_type(await us.arun("x"), us.Result[Any])
    async for one in us.arun_many("x", ["a"]):
        assert_type(one, us.Result[Any])


def synchronous(flow: us.Flow) -> None:
    """A model makes the output one of its kind; without one it is anything."""
    result = us.run(flow, {"a": 1}, output=Answer, max_cost=0.5)
    assert_type(result, us.Result[Answer])
    assert_type(result.output, Answer | None)
    assert_type(us.run(us.chain("x", us.call("y")), "input"), us.Result[Any])
    for one in us.run_many(flow, ["a"], concurrency=3):
        assert_type(one, us.Result[Any])


def builders() -> None:
    """Each function gives its own node."""
    assert_type(us.call("x", output=Answer), Call)
    assert_type(us.chain("x"), Chain)
    assert_type(us.fallback("x", "y"), Node)
