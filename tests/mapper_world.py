"""A Mapper, a Journal and a fake of a Supervisor in one process, for what outlives whom."""

import asyncio
from collections.abc import Callable, Generator, Sequence
from typing import Any, ClassVar

import msgspec

from understudy.actors.call.caller import Caller
from understudy.actors.interpreter import Host, Memory
from understudy.actors.journal.testing import MemoryJournal
from understudy.actors.mailbox.post import LocalPeers, Post
from understudy.actors.mapper.actor import Mapper
from understudy.actors.mapper.blocks import pack_block
from understudy.protocols.config import Config, encode
from understudy.protocols.errors import ActorDied
from understudy.protocols.jobs import JobSpec
from understudy.protocols.messages import HoldAsk, ItemDone, Payload, Results

HOME = "supervisor-0"


class _Reference:
    """A fake of Ray's reference to an object."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def __await__(self) -> Generator[None, None, bytes]:
        yield
        return self._data


class _Method:
    def __init__(self, method: Callable[..., Any]) -> None:
        self._method = method

    def remote(self, *arguments: Any) -> "asyncio.Task[Any]":
        """Calls the method, as a task."""
        return asyncio.get_running_loop().create_task(self._method(*arguments))


class _Handle:
    """A fake of Ray's handle of an actor."""

    def __init__(self, actor: Any) -> None:
        self._actor = actor

    def __getattr__(self, name: str) -> _Method:
        return _Method(getattr(self._actor, name))


class Steady:
    """Each item answers itself when its gate is opened, `!` at once; what is known of its steps comes along."""

    gates: ClassVar[dict[int, asyncio.Event]] = {}
    begun: ClassVar[list[int]] = []
    memories: ClassVar[list[Memory]] = []

    def __init__(self, spec: JobSpec) -> None:
        self.spec = spec
        self.host: Host | None = None

    def attach(self, host: Host) -> None:
        """Where it works."""
        self.host = host

    def remember(self, memory: Memory) -> None:
        """Where earlier answers are."""
        self.memories.append(memory)

    async def map(self, number: int, item: bytes, caller: Caller) -> ItemDone:  # noqa: ARG002 - the protocol's
        """Waits for its gate."""
        self.begun.append(number)
        if item != b"!":
            await self.gates.setdefault(number, asyncio.Event()).wait()
        assert self.host is not None
        steps = self.host.steps(number)
        known = steps.known("run/0", b"h") if steps is not None else None
        told = (steps.era, steps.again, known.data if known is not None else b"") if steps is not None else None
        return ItemDone(number, msgspec.msgpack.encode(told), attempts=1)

    async def resume(self, number: int, item: bytes, caller: Caller, state: bytes) -> ItemDone:  # noqa: ARG002
        """Answers what it was given."""
        assert self.host is not None
        steps = self.host.steps(number)
        assert steps is not None
        return ItemDone(number, msgspec.msgpack.encode((steps.era, steps.again, state)), attempts=1)


class Home:
    """A Supervisor that writes down what it hears; `gone` while it is dead."""

    def __init__(self, peers: LocalPeers, *blocks: Sequence[bytes], **fields: Any) -> None:
        settings: dict[str, Any] = {"journal": "ahead", "width": 8, **fields}
        self.spec_of = JobSpec("j", "a job", "mapper_world:Steady", b"", encode(Config()), **settings)
        firsts = [sum(map(len, blocks[:number])) for number in range(len(blocks))]
        self._blocks = [pack_block(first, items) for first, items in zip(firsts, blocks, strict=True)]
        self.peers = peers
        self.gone = False
        self.heard: list[Results] = []
        self.post: Post
        self.begin()

    def begin(self) -> None:
        """It, or its successor, is there."""
        self.post = self.peers.open(HOME)
        self.post.on(Results, lambda _, results: self.heard.append(results))
        self.gone = False

    def die(self) -> None:
        """It is gone without a word."""
        self.peers.kill(HOME)
        self.gone = True

    def _alive(self) -> None:
        if self.gone:
            raise ActorDied("it is dead")

    async def spec(self, _: str) -> bytes:
        """The job."""
        self._alive()
        return msgspec.msgpack.encode(self.spec_of)

    async def block(self, _: str, number: int) -> list[_Reference]:
        """A block."""
        self._alive()
        return [_Reference(self._blocks[number])]

    def tell(self, payload: Payload) -> None:
        """Tells the Mapper something."""
        self.post.tell("mapper-0", payload)

    async def hold(self, *jobs: str) -> Payload:
        """What the Mapper holds of these jobs."""
        return await self.post.ask("mapper-0", HoldAsk(jobs), timeout=5.0)

    @property
    def items(self) -> list[int]:
        """Items it has heard of."""
        return [done.item for results in self.heard for done in results.done]


class LocalMapper(Mapper):
    """It finds its Supervisor in the process."""

    home: Home

    async def _handle(self, name: str) -> Any:
        assert name == HOME
        return _Handle(self.home)


class World:
    """A Supervisor, a Mapper and a Journal in one process."""

    def __init__(self, *blocks: Sequence[bytes], **fields: Any) -> None:
        self.peers = LocalPeers()
        self.journal = MemoryJournal()
        self.home = Home(self.peers, *blocks, **fields)
        self.mapper = LocalMapper("mapper-0", "test", journal=lambda: self.journal)
        self.mapper.home = self.home
        self.peers._posts["mapper-0"] = self.mapper.post
        self.mapper.post._resolve = self.peers.resolve

    async def until(self, true: Any) -> None:
        """Waits for what follows without any clock, or with a flush of 50 ms."""
        for _ in range(3000):
            if true():
                return
            await asyncio.sleep(0.001)
        raise AssertionError("it did not happen within 3 s")

    async def close(self) -> None:
        """Ends it."""
        await self.mapper.stop()
        await self.home.post.close()
        for _ in range(10):
            await asyncio.sleep(0)
