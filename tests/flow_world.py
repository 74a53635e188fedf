"""An item of a workflow, worked on by one process after the other, with a journal that outlives them all."""

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec
from test_caller import FakeChannel, caller

from understudy.actors.interpreter import Child
from understudy.actors.journal.steps import ItemSteps
from understudy.actors.journal.testing import MemoryJournal
from understudy.protocols.chat import ChatReply, ChatRequest, Usage, render_message
from understudy.protocols.config import encode
from understudy.protocols.errors import ServerFault
from understudy.protocols.jobs import ApprovalAsk, JobSpec, Resumed, Verdict
from understudy.protocols.journal import StepRow
from understudy.protocols.messages import ItemDone, StepEvent
from understudy.protocols.workflow import Flow
from understudy.protocols.workflow import encode as encode_flow
from understudy.protocols.workflow.result import FlowResult
from understudy.protocols.workflow.spec import FlowSpec, item
from understudy.supervisors.patterns.interpreter import PATH, FlowInterpreter

ITEM = item("x")


class World(FakeChannel):
    """A provider that echoes what it is asked and books it; it is down for prompts that have one of the words `down`.

    A call costs 10 tokens in and 5 out, a failed one nothing.
    """

    COST = 20_000_000

    def __init__(self) -> None:
        super().__init__("a")
        self.down: set[str] = set()
        self.answers: dict[str, str] = {}
        self.asked_of: list[str] = []
        self.paid = 0

    async def call(self, request: ChatRequest, model: str, **rest: Any) -> ChatReply:
        """See `Channel`."""
        prompt = render_message(request.messages[-1])
        self.asked_of.append(prompt)
        answer: Any = next((said for word, said in self.answers.items() if word in prompt), f"<{prompt}>")
        if any(word in prompt for word in self.down):
            answer = ServerFault("503")
        else:
            self.paid += self.COST
            answer = ChatReply(answer, model, Usage(10, 5))
        self.script = [answer]
        return await super().call(request, model, **rest)


class Log(ItemSteps):
    """Of one life of an item. What is done by its death is on disk, and nothing follows.

    `dies_at`: the process dies with the keeping of so many steps; 0 for never.
    """

    def __init__(
        self, journal: MemoryJournal, number: int, era: int, rows: Sequence[StepRow], dies_at: int = 0
    ) -> None:
        super().__init__(journal, "j", number, era=era, again=bool(rows), rows=rows)
        self._left = dies_at or -1
        self.dead = asyncio.Event()

    async def keep(self, path: str, hash: bytes, data: bytes) -> None:  # noqa: A002 - the protocol's
        """See `StepLog`."""
        task = asyncio.current_task()
        if self.dead.is_set() and task is not None and task.cancelling():
            return  # what is cancelled after the death would be gone with its process
        await super().keep(path, hash, data)
        self._left -= 1
        if self._left == 0:
            self.dead.set()
        if self.dead.is_set():
            await asyncio.get_running_loop().create_future()


class Host:
    """See `understudy.actors.interpreter.Host`; `children` makes jobs that work for an item."""

    name = "m"

    def __init__(self, logs: Mapping[int, Any], children: Callable[..., Child] | None = None) -> None:
        self._logs, self._children = logs, children
        self.told: list[StepEvent] = []

    def tell(self, event: StepEvent) -> None:
        """See `Host`."""
        self.told.append(event)

    def steps(self, number: int) -> Any:
        """See `Host`."""
        return self._logs.get(number)

    def children(self, spec: JobSpec, *, nodes: int = 0, again: str = "") -> Child:  # noqa: ARG002 - the protocol's
        """See `Host`."""
        assert self._children is not None
        return self._children(spec, again)


class Lives:
    """An item and all its lives.

    Attributes:
        world: the provider.
        journal: outlives every life.
        told: what was answered, parkings too.
        asks: all that people were asked, by path.
    """

    def __init__(self, node: Mapping[str, Any], *, world: World | None = None, **flow: Any) -> None:
        self.world = world or World()
        self.caller = caller(self.world, max_attempts=1)
        spec = FlowSpec(encode_flow(Flow.model_validate({"run": node, **flow})))
        config = encode(self.caller.kit.config)
        self.spec = JobSpec("j", "t", PATH, msgspec.msgpack.encode(spec), config, journal="ahead", watch=True)
        self.journal = MemoryJournal()
        self.era = 0
        self.verdicts: dict[str, Verdict] = {}
        self.told: list[ItemDone] = []
        self.deaths = 0
        self.children: Callable[..., Child] | None = None
        self.host: Host
        self.log: Log
        self.work: asyncio.Future[ItemDone]
        self._state = b""

    async def live(self, dies_at: int = 0) -> ItemDone | None:
        """One life: the item's answer, or None where the process died."""
        log = self.log = Log(self.journal, 0, self.era, await self.journal.steps("j", [0]), dies_at)
        self.host = Host({0: log}, self.children)
        flow = FlowInterpreter(self.spec)
        flow.attach(self.host)
        if self._state:
            work = asyncio.ensure_future(flow.resume(0, ITEM, self.caller, self._state))
        else:
            work = asyncio.ensure_future(flow.map(0, ITEM, self.caller))
        self.work = work
        end = asyncio.ensure_future(log.dead.wait())
        await asyncio.wait({work, end}, return_when=asyncio.FIRST_COMPLETED)
        if log.dead.is_set():
            self.deaths += 1
            work.cancel()
            await asyncio.gather(work, return_exceptions=True)
            return None
        end.cancel()
        self.told.append(work.result())
        return work.result()

    def go_on(self, done: ItemDone, answer: Callable[[str], Verdict]) -> None:
        """People have answered what the item waits for."""
        asks = msgspec.msgpack.decode(done.data, type=list[ApprovalAsk])
        verdicts = {ask.path: answer(ask.path) for ask in asks}
        self.verdicts |= verdicts
        self._state = msgspec.msgpack.encode(Resumed(done.parked, verdicts))
        self.era += 1

    def again(self) -> None:
        """The item is tried again: from its beginning, with what people have said."""
        self.era += 1
        self._state = msgspec.msgpack.encode(Resumed(b"", self.verdicts)) if self.verdicts else b""

    async def end(self, deaths: Sequence[int] = (), answer: Callable[[str], Verdict] | None = None) -> ItemDone:
        """Lives until the item has its answer; the first of them die as `deaths` says."""
        waiting = iter(deaths)
        for _ in range(200):
            done = await self.live(next(waiting, 0))
            if done is not None and not done.parked:
                return done
            if done is not None:
                self.go_on(done, answer or (lambda _: Verdict(approved=True)))
        raise AssertionError("it never comes to its end")

    @property
    def billed(self) -> int:
        """The sum of all bills, picodollars."""
        return sum(done.cost + done.open_cost for done in self.told)

    @property
    def counts(self) -> Counter[str]:
        """How often the provider was asked what."""
        return Counter(self.world.asked_of)


def value_of(done: ItemDone) -> Any:
    """The output."""
    return msgspec.msgpack.decode(done.data, type=FlowResult).value


def outcome(done: ItemDone) -> dict[str, Any]:
    """What a result says, but for times."""
    result = msgspec.msgpack.decode(done.data, type=FlowResult)
    return {
        "error": done.error,
        "output": result.value,
        "steps": sorted((step.path, step.state, step.note, step.calls, step.cost) for step in result.steps),
        "degraded": result.degraded,
        "stopped": result.stopped,
        "coverage": sorted(map(repr, result.coverage)),
        "review": result.review,
    }
