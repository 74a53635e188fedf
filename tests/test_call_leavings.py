"""What a logical call leaves behind when it is over."""

import gc
from typing import Any

import pytest
from test_caller import HEDGE, REQUEST, FakeChannel, Reader, caller

from understudy.actors.call.attempt import Out
from understudy.actors.call.lateness import Lateness
from understudy.actors.call.logical import LogicalCall

PARTS = (LogicalCall, Out, Lateness)


def _parts() -> list[Any]:
    return [part for part in gc.get_objects() if isinstance(part, PARTS)]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("route", "first"),
    [({}, "fine"), (HEDGE, "fine"), (HEDGE, None)],
    ids=["plain", "watched", "hedged"],
)
async def test_a_call_is_freed_without_the_collector(route: dict[str, Any], first: str | None, stream: bool) -> None:
    """No part of a call that is over waits for the search for cycles, for which a thousand others would wait with it.

    Failures are left out: the fake's own frame holds the error that it raises.
    """
    one = caller(FakeChannel("a", first), FakeChannel("b"), route=route)
    before = _parts()  # what other tests have left in the hands of an error
    gc.disable()
    try:
        outcome = await one.call(REQUEST, tokens=10, on_text=Reader().hear if stream else None)
        left = [type(part) for part in _parts() if not any(part is old for old in before)]
    finally:
        gc.enable()
    assert outcome.reply is not None
    assert outcome.hedges == (first is None)
    assert left == []
