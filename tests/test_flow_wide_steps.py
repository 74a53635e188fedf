"""What a step of a fan-out knows does not depend on how many items there are."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any, Self

import msgspec
import pytest
from flow_strategies import NOBODY, interpreter, value
from flow_tools import chain

from understudy.actors.interpreter import Child
from understudy.protocols.jobs import Bill, JobSpec, Page
from understudy.protocols.messages import StepEvent
from understudy.protocols.workflow.result import FlowResult
from understudy.protocols.workflow.spec import item
from understudy.supervisors.patterns.interpreter import FlowInterpreter
from understudy.supervisors.workflow.wide import WIDE


class OneChild:
    """A job whose items are run here."""

    def __init__(self, spec: JobSpec) -> None:
        self._flow = FlowInterpreter(spec)
        self._items: list[bytes] = []
        self._sealed = asyncio.Event()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None: ...

    async def add(self, items: Sequence[bytes]) -> None:
        """See `Child`."""
        self._items += items

    async def seal(self) -> None:
        """See `Child`."""
        self._sealed.set()

    async def pages(self) -> AsyncIterator[Page]:
        """See `Child`."""
        await self._sealed.wait()
        done = [await self._flow.map(number, one, NOBODY) for number, one in enumerate(self._items)]
        yield Page("done", len(done), len(done), True, len(done), 0, 0, 0, Bill(), tuple(done))


class OneHost:
    """Opens such jobs."""

    name = "m"

    def __init__(self) -> None:
        self.jobs = 0

    def tell(self, event: StepEvent) -> None:
        """See `Host`."""

    def steps(self, number: int) -> None:
        """See `Host`."""

    def children(self, spec: JobSpec, *, nodes: int = 0, again: str = "") -> Child:  # noqa: ARG002 - the protocol's
        """See `Host`."""
        self.jobs += 1
        return OneChild(spec)


@pytest.mark.parametrize("count", [2, WIDE + 1])
async def test_how_earlier_steps_went_is_known_however_many_items_there_are(count: int) -> None:
    """`steps` is what it was where the fan-out began, also in a job of its own."""
    each: dict[str, Any] = {"kind": "parallel", "over": "input", "each": value("{{ steps.draft.state }} {{ item }}")}
    flow, host = interpreter(chain({**value(1), "id": "draft"}, each)), OneHost()
    flow.attach(host)
    done = await flow.map(0, item(list(range(count))), NOBODY)
    assert not done.error
    assert msgspec.msgpack.decode(done.data, type=FlowResult).value == [f"done {number}" for number in range(count)]
    assert host.jobs == (count > WIDE)
