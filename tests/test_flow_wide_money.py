"""Two fan-outs that are jobs of their own share a budget: the second one waits for what the first one gives back."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from types import SimpleNamespace
from typing import Any, Self

import msgspec
from flow_strategies import interpreter, value
from flow_tools import chain

from understudy.actors.interpreter import Child
from understudy.protocols.config import Config
from understudy.protocols.jobs import Bill, JobSpec, Page
from understudy.protocols.messages import ItemDone, StepEvent
from understudy.protocols.workflow.result import FlowResult
from understudy.protocols.workflow.spec import item
from understudy.supervisors.workflow.wide import WIDE

COST = 7


class OneChild:
    """A job whose items cost something and answer with themselves; with no money at all it refuses each."""

    def __init__(self, spec: JobSpec) -> None:
        self.spec = spec
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
        for _ in range(20):
            await asyncio.sleep(0)
        error = "" if self.spec.max_cost else "not sent: the job's budget is used up"
        done = [
            ItemDone(number, msgspec.msgpack.encode(FlowResult(one)), error, "a/m", 1, cost=0 if error else COST)
            for number, one in enumerate(self._items)
        ]
        yield Page("done", len(done), len(done), True, len(done), 0, 0, 0, Bill(), tuple(done))


class OneHost:
    """Opens such jobs."""

    name = "m"

    def __init__(self) -> None:
        self.specs: list[JobSpec] = []

    def tell(self, event: StepEvent) -> None:
        """See `Host`."""

    def steps(self, number: int) -> None:
        """See `Host`."""

    def children(self, spec: JobSpec, *, nodes: int = 0, again: str = "") -> Child:  # noqa: ARG002 - the protocol's
        """See `Host`."""
        self.specs.append(spec)
        return OneChild(spec)


async def test_fan_outs_beside_each_other_share_a_budget() -> None:
    """Nothing of the second one is refused, and what it may spend is what the first has left."""
    each = {"kind": "parallel", "over": "input", "each": value("{{ item }}")}
    rank = {"kind": "map_reduce", "variant": "rerank", "over": "input", "map": value("{{ chunk }}"), "score": "it"}
    both = {"kind": "parallel", "branches": {"a": each, "b": each, "c": rank}}
    flow, host = interpreter(chain({"kind": "budget", "max_cost": 1e-8, "node": both})), OneHost()
    flow.attach(host)
    caller: Any = SimpleNamespace(kit=SimpleNamespace(config=Config(), prices=None))
    items = list(range(WIDE + 1))
    done = await flow.map(0, item(items), caller)
    assert not done.error
    assert not done.degraded
    value_of: Any = msgspec.msgpack.decode(done.data, type=FlowResult).value
    assert (value_of["a"], value_of["b"], value_of["c"]["answer"]) == (items, items, items[-1])
    spent = COST * len(items)
    assert [spec.max_cost for spec in host.specs] == [10_000 - spent * number for number in range(3)]
    assert done.cost == 3 * spent
