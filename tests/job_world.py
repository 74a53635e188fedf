"""A Supervisor and its Mappers in one process, without Ray: their real shells, joined by fakes of Ray's handles."""

import asyncio
import dataclasses
from collections.abc import AsyncIterator, Callable, Generator, Sequence
from typing import Any, Self

import msgspec

from understudy.actors.journal.testing import MemoryJournal
from understudy.actors.mailbox.post import LocalPeers
from understudy.actors.mapper.actor import Mapper
from understudy.actors.mapper.blocks import pack_block
from understudy.protocols.config import Config, encode
from understudy.protocols.errors import ActorDied
from understudy.protocols.jobs import LIVE, EnsureReply, JobSpec, Page
from understudy.protocols.messages import Down, Hello
from understudy.supervisors.supervisor.actor import Supervisor

SUPERVISOR = "supervisor-0"
ITEMS = "understudy.actors.mapper.testing:Items"


@dataclasses.dataclass
class Reference:
    """A fake of Ray's reference to an object."""

    data: bytes

    def __await__(self) -> Generator[None, None, bytes]:
        yield
        return self.data


class _Method:
    def __init__(self, method: Callable[..., Any], gone: Callable[[], bool]) -> None:
        self._method = method
        self._gone = gone

    def remote(self, *arguments: Any) -> "asyncio.Task[Any]":
        """Calls the method, as a task."""
        if self._gone():
            raise ActorDied("whoever is dead calls nobody")
        return asyncio.get_running_loop().create_task(self._method(*arguments))


class Handle:
    """A fake of Ray's handle of an actor."""

    def __init__(self, actor: Any, gone: Callable[[], bool] = lambda: False) -> None:
        self._actor = actor
        self._gone = gone

    def __getattr__(self, name: str) -> _Method:
        return _Method(getattr(self._actor, name), self._gone)


class LocalSupervisor(Supervisor):
    """Its blocks stay in the process; `freed` tells of which nothing is left."""

    @staticmethod
    def _put(data: bytes) -> Any:
        return Reference(data)


class LocalMapper(Mapper):
    """It finds its Supervisor in the process."""

    supervisor: Supervisor
    gone = False

    async def _handle(self, name: str) -> Any:
        assert name == SUPERVISOR
        return Handle(self.supervisor, lambda: self.gone)


class JobWorld:
    """One Supervisor and some Mappers; a context that ends them."""

    def __init__(self, mappers: int = 2, journal: MemoryJournal | None = None) -> None:
        self.peers = LocalPeers()
        self.journal = journal or MemoryJournal()
        self.supervisor = self._supervisor()
        self._join(self.supervisor)
        self.mappers: dict[str, LocalMapper] = {}
        for number in range(mappers):
            self.start(f"mapper-{number}")

    def _supervisor(self) -> LocalSupervisor:
        """One that finds the actors of this world."""

        async def ensure(_: bytes) -> bytes:
            return msgspec.msgpack.encode(EnsureReply(SUPERVISOR, tuple(self.mappers), ("reducer-0",), {}))

        return LocalSupervisor(SUPERVISOR, "test", journal=lambda: self.journal, ensure=ensure, owner=lambda: "here")

    async def fail(self, *reducers: str) -> None:
        """The Supervisor dies without a word, and its successor is told who lives."""
        await self.die()
        await self.recover(*reducers)

    async def die(self) -> None:
        """The Supervisor dies without a word; its successor is not told yet that it is one."""
        old = self.supervisor
        self.peers.kill(SUPERVISOR)
        old.post.tell = lambda *_, **__: ""  # type: ignore[method-assign]
        await old.stop()
        self.supervisor = self._supervisor()
        self._join(self.supervisor)
        for mapper in self.mappers.values():
            mapper.supervisor = self.supervisor
            mapper.post.renew(SUPERVISOR)

    async def recover(self, *reducers: str) -> None:
        """The Director tells a successor who lives."""
        await self.supervisor.recover(list(self.mappers), list(reducers))

    def _join(self, shell: Any) -> None:
        self.peers._posts[shell.name] = shell.post
        self.peers._dead.discard(shell.name)
        shell.post._resolve = self.peers.resolve

    def start(self, name: str) -> None:
        """A Mapper, or its successor."""
        mapper = LocalMapper(name, "test", journal=lambda: self.journal)
        mapper.supervisor = self.supervisor
        self._join(mapper)
        self.mappers[name] = mapper

    async def kill(self, name: str) -> None:
        """A Mapper dies without a word, and the Supervisor is told."""
        self.peers.kill(name)
        mapper = self.mappers.pop(name)
        mapper.post.tell = lambda *_, **__: ""  # type: ignore[method-assign]
        mapper.gone = True
        await mapper.stop()
        self.supervisor._down(None, Down(name, restarting=True))  # type: ignore[arg-type]
        self.supervisor.post.renew(name)

    def revive(self, name: str) -> None:
        """The successor of a Mapper that died says hello."""
        self.start(name)
        self.supervisor._hello(None, Hello(name, "mapper", 1, 1))  # type: ignore[arg-type]

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        for mapper in self.mappers.values():
            await mapper.stop()
        await self.supervisor.stop()
        for _turn in range(10):  # tasks that were cancelled end
            await asyncio.sleep(0)

    # Driving ----------------------------------------------------------------------------------------------------------

    async def open(self, job: str, **fields: Any) -> JobSpec:
        """A job of `Items`."""
        spec = JobSpec(job, "a job", **({"interpreter": ITEMS, "spec": b"", "config": encode(Config())} | fields))
        await self.supervisor.open(msgspec.msgpack.encode(spec), "reducer-0", list(self.mappers), [], 0)
        return spec

    async def add(self, job: str, first: int, items: Sequence[Any]) -> bool:
        """A block of items, each an order for `Items`."""
        packed = [msgspec.msgpack.encode(item) for item in items]
        return await self.supervisor.add_block(job, len(items), pack_block(first, packed))

    async def pages(self, job: str, heard: int = -1) -> AsyncIterator[Page]:
        """News until the job is over."""
        cursor = 0
        while True:
            page = msgspec.msgpack.decode(await self.supervisor.follow(job, cursor, heard), type=Page)
            cursor, heard = page.cursor, page.heard if heard >= 0 else -1
            yield page
            if page.state not in LIVE:
                return

    async def until(self, true: Callable[[], bool]) -> None:
        """Waits for something that follows without any clock, or with a flush of 50 ms."""
        for _ in range(5000):
            if true():
                return
            await asyncio.sleep(0.001)
        raise AssertionError("it did not happen within 5 s")
