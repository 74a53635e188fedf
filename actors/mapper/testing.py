"""An interpreter for tests, also on real clusters: each item is an order for what is to become of it."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import msgspec

from ...protocols.jobs import ApprovalAsk, JobSpec, Resumed
from ...protocols.messages import ItemDone, StepEvent
from ..call.caller import Caller
from ..interpreter import Host


class Items:
    """Each item is an order, as `["say", text]`: the others are `ask`, `child`, `hang`, `step`, and `boom`."""

    #: What was run in this process, as (item, "map" or "resume"), and how many hang.
    ran: ClassVar[list[tuple[int, str]]] = []
    hanging: ClassVar[int] = 0
    #: `["boom"]` fails while this is False.
    mended: ClassVar[bool] = False

    def __init__(self, spec: JobSpec) -> None:
        self.spec = spec
        self.host: Host | None = None

    @classmethod
    def reset(cls) -> None:
        """Forgets what ran."""
        cls.ran, cls.hanging, cls.mended = [], 0, False

    def attach(self, host: Host) -> None:
        """Where it works."""
        self.host = host

    async def map(self, number: int, item: bytes, caller: Caller) -> ItemDone:  # noqa: ARG002 - the protocol's
        """Carries out the order."""
        self.ran.append((number, "map"))
        order, *rest = msgspec.msgpack.decode(item)
        if order == "ask":
            return park(number, b"begun", rest[0])
        if order == "child":
            return await self._child(number, rest[0])
        if order == "boom" and not self.mended:
            return ItemDone(number, error="boom", attempts=1, cost=1)
        if order == "hang":
            await self._hang()
        if order == "step":
            assert self.host is not None
            for state in ("began", "done"):
                self.host.tell(StepEvent(number, "run/0", "call", state))
        return ItemDone(number, msgspec.msgpack.encode(rest), attempts=1, cost=1)

    async def resume(self, number: int, item: bytes, caller: Caller, state: bytes) -> ItemDone:  # noqa: ARG002
        """Goes on; a verdict's note `again` parks once more, `hang MAPPER` never ends there."""
        self.ran.append((number, "resume"))
        resumed = msgspec.msgpack.decode(state, type=Resumed)
        notes = sorted(verdict.note for verdict in resumed.verdicts.values())
        if notes == ["again"]:
            return park(number, resumed.memo + b"+", ["later"])
        assert self.host is not None
        if notes == [f"hang {self.host.name}"]:
            await self._hang()
        told = [resumed.memo.decode(), *sorted(resumed.verdicts)]
        return ItemDone(number, msgspec.msgpack.encode(told), attempts=1, cost=1)

    async def _hang(self) -> None:
        type(self).hanging += 1
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            type(self).hanging -= 1

    async def _child(self, number: int, orders: list[Any]) -> ItemDone:
        assert self.host is not None
        spec = msgspec.structs.replace(self.spec, id=f"{self.spec.id}.{number}", keep=False)
        answers: dict[int, Any] = {}
        state = ""
        async with self.host.children(spec) as child, asyncio.TaskGroup() as group:

            async def drive() -> None:
                for start in range(0, len(orders), 10):
                    await child.add([msgspec.msgpack.encode(order) for order in orders[start : start + 10]])
                await child.seal()

            group.create_task(drive())
            async for page in child.pages():
                answers |= {done.item: msgspec.msgpack.decode(done.data) for done in page.items if not done.error}
                state = page.state
        return ItemDone(number, msgspec.msgpack.encode([state, [answers[at] for at in sorted(answers)]]))

    def tree(self) -> Sequence[Sequence[int]]:
        """Nothing is reduced."""
        return ()

    def leaves(self, done: ItemDone) -> Sequence[ItemDone]:  # noqa: ARG002 - the protocol's
        """Nothing is reduced."""
        return ()

    async def reduce(self, node: int, children: Mapping[int, ItemDone], caller: Caller) -> ItemDone:
        """Nothing is reduced."""
        raise NotImplementedError


class Plain(Items):
    """It can't be resumed."""

    resume = None  # type: ignore[assignment]


def park(number: int, memo: bytes, paths: Sequence[str]) -> ItemDone:
    """An item that waits for people at those steps."""
    asks = [ApprovalAsk(path, f"may I {path}?", "shown") for path in paths]
    return ItemDone(number, msgspec.msgpack.encode(asks), attempts=1, cost=2, parked=memo)
