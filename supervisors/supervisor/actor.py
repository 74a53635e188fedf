"""The Supervisor actor: the shell that runs many jobs, each around a `JobCore`."""

import asyncio
import dataclasses
import time
from collections.abc import Iterable
from typing import Any, Final

import msgspec

from ...actors.mapper.blocks import decode_spec
from ...actors.shell import ActorShell, log
from ...protocols.envelope import Envelope
from ...protocols.errors import ConfigError, UnderstudyError
from ...protocols.jobs import JobStatus, Page, TenantStatus
from ...protocols.messages import (
    Absorb,
    CancelJob,
    Down,
    Hello,
    ItemDone,
    JobBroken,
    NodesDone,
    ProviderAsk,
    ProviderSnapshot,
    ReduceOpen,
    Results,
)
from ..budgets import Spending
from .core import JobCore, Send

PAGE_ITEMS: Final = 2000
PAGE_S: Final = 0.1
"""A reader is told what is new at most ten times a second."""
DAY_S: Final = 86_400
"""A budget's day begins at 00:00 UTC."""
KEEP_S: Final = 600.0
"""A finished job is kept so long for a reader that comes back."""


@dataclasses.dataclass(slots=True)
class _Job:
    """A job as its Supervisor holds it."""

    core: JobCore
    spec: bytes
    reducer: str
    blocks: list[Any] = dataclasses.field(default_factory=list)
    #: All answers in the order they came: (True for a node, the answer). A cursor is a place in it.
    log: list[tuple[bool, ItemDone]] = dataclasses.field(default_factory=list)
    nodes: set[int] = dataclasses.field(default_factory=set)
    news: asyncio.Event = dataclasses.field(default_factory=asyncio.Event)
    restarts: int = 0
    began: float = dataclasses.field(default_factory=time.monotonic)
    ended: float | None = None


class Supervisor(ActorShell):
    """Runs jobs on this node's Mappers and Reducers."""

    def __init__(self, name: str, namespace: str) -> None:
        super().__init__(name, namespace)
        self._jobs: dict[str, _Job] = {}
        self._mappers: set[str] = set()
        self._providers: set[str] = set()
        self._accounts: tuple[ProviderSnapshot, ...] = ()
        self._accounts_at = 0.0
        self._spending = Spending()
        self.post.on(Results, self._results)
        self.post.on(NodesDone, self._nodes_done)
        self.post.on(JobBroken, self._broken)
        self.post.on(Hello, self._hello)
        self.post.on(Down, self._down)

    # For drivers ------------------------------------------------------------------------------------------------------

    async def open(
        self,
        spec: bytes,
        reducer: str,
        mappers: list[str],
        providers: list[str],
        nodes: int,
        *,
        first: tuple[int, bytes] | None = None,
    ) -> None:
        """A job begins; `nodes` is how many nodes of its tree a Reducer is to answer.

        `first` is its first block (how many items, their bytes), so that work begins with this very call.
        """
        core = JobCore(decode_spec(spec), nodes, self._spending)
        if core.spec.id in self._jobs:
            raise ConfigError(f"there is a job {core.spec.id} already")
        self._sweep()
        self._jobs[core.spec.id] = _Job(core, spec, reducer)
        self._mappers.update(mappers)
        self._providers.update(providers)
        for mapper in self._mappers:
            core.mapper_up(mapper)
        if core.spec.reduces:
            self.post.tell(reducer, ReduceOpen(core.spec.id), job=core.spec.id)
        if first is not None:
            await self.add_block(core.spec.id, *first)

    async def add_block(self, job: str, count: int, data: bytes) -> None:
        """A block of items joins; it is put into the object store once, Mappers fetch it from there."""
        import ray  # noqa: PLC0415 - the shell's runtime, never needed by tests of the core

        entry = self._jobs[job]
        entry.blocks.append(ray.put(data))
        entry.core.add_block(count)
        self._go_on(entry)

    async def seal(self, job: str) -> None:
        """No more blocks will come."""
        entry = self._jobs[job]
        entry.core.seal()
        self._go_on(entry)

    async def follow(self, job: str, cursor: int) -> bytes:
        """What is new since `cursor`, as soon as there is something, and at least once a second; a `Page`."""
        entry = self._jobs.get(job)
        if entry is None:
            raise UnderstudyError(f"there is no job {job}")
        if cursor >= len(entry.log) and entry.ended is None:
            entry.news.clear()
            try:
                await asyncio.wait_for(entry.news.wait(), 1.0)
                if cursor:  # the first answers are shown at once; later ones travel with what comes a moment after
                    await asyncio.sleep(PAGE_S)
            except TimeoutError:
                pass
        await self._look_at_accounts()
        return msgspec.msgpack.encode(self._page(entry, cursor))

    async def cancel(self, job: str) -> None:
        """Stops a job; answers that are there stay."""
        entry = self._jobs.get(job)
        if entry is not None and entry.ended is None:
            entry.core.cancel()
            self._end(entry)

    async def jobs(self) -> bytes:
        """All jobs that are known, as `list[JobStatus]`."""
        now = time.monotonic()
        return msgspec.msgpack.encode(
            [
                JobStatus(
                    id=core.spec.id,
                    title=core.spec.title,
                    state=core.state,
                    total=core.total,
                    done=core.done,
                    failed=core.failed,
                    cost=core.bill.cost,
                    age_s=now - entry.began,
                    tenant=core.spec.tenant,
                )
                for entry in self._jobs.values()
                for core in [entry.core]
            ]
        )

    async def spending(self) -> bytes:
        """What each tenant has spent since 00:00 UTC, the one that spent most first, as `list[TenantStatus]`."""
        spent = self._spending.tenants(day=int(time.time() // DAY_S))
        rows = [TenantStatus(name, amount) for name, amount in spent.items()]
        return msgspec.msgpack.encode(sorted(rows, key=lambda row: (-row.spent, row.name)))

    def _page(self, entry: _Job, cursor: int) -> Page:
        core = entry.core
        news = entry.log[cursor : cursor + PAGE_ITEMS]
        end = cursor + len(news)
        # A reader that is behind hears that the job is over with the last page, not before.
        over = entry.ended is not None and end == len(entry.log)
        return Page(
            state=core.state if over or core.state in ("open", "running") else "running",
            cursor=end,
            total=core.total,
            sealed=core.sealed,
            done=core.done,
            failed=core.failed,
            running=core.running,
            nodes_done=len(entry.nodes),
            bill=core.bill,
            items=tuple(done for node, done in news if not node),
            nodes=tuple(done for node, done in news if node),
            restarts=entry.restarts,
            accounts=self._accounts,
            error=core.error,
        )

    async def _look_at_accounts(self) -> None:
        if not self._providers or time.monotonic() - self._accounts_at < 1.0:
            return
        self._accounts_at = time.monotonic()
        asks = [self.post.ask(name, ProviderAsk(), timeout=1.0) for name in sorted(self._providers)]
        answers = await asyncio.gather(*asks, return_exceptions=True)
        self._accounts = tuple(answer for answer in answers if isinstance(answer, ProviderSnapshot))

    # For Mappers and Reducers -----------------------------------------------------------------------------------------

    async def spec(self, job: str) -> bytes:
        """A job's specification."""
        if job not in self._jobs:
            raise UnderstudyError(f"there is no job {job}")
        return self._jobs[job].spec

    async def block(self, job: str, number: int) -> list[Any]:
        """A reference to a block's bytes, in a list so that Ray passes the reference and not the bytes."""
        return [self._jobs[job].blocks[number]]

    def _results(self, envelope: Envelope, results: Results) -> None:
        entry = self._jobs.get(results.job)
        if entry is not None and entry.ended is None:
            self._take(entry, entry.core.answered(envelope.sender, results.done))
            self._go_on(entry)
        elif entry is not None:
            entry.core.after(envelope.sender, results.done)
        self._feed()

    def _take(self, entry: _Job, new: list[ItemDone]) -> None:
        entry.log.extend((False, done) for done in new)
        if entry.core.spec.reduces and new:
            weight = 64 + sum(64 + len(one.data) for one in new)
            job = entry.core.spec.id
            self.post.tell(entry.reducer, Absorb(job, tuple(new)), job=job, weight=weight)

    def _nodes_done(self, _: Envelope, message: NodesDone) -> None:
        entry = self._jobs.get(message.job)
        if entry is None or entry.ended is not None:
            return
        for done in message.done:
            if done.item not in entry.nodes:
                entry.core.node_answered(done)
                entry.nodes.add(done.item)
                entry.log.append((True, done))
        self._go_on(entry)
        self._feed()

    def _broken(self, _: Envelope, message: JobBroken) -> None:
        entry = self._jobs.get(message.job)
        if entry is not None and entry.ended is None:
            entry.core.fail(message.error)
            self._end(entry)

    def _go_on(self, entry: _Job) -> None:
        if entry.ended is not None:
            return
        self._hand(entry.core.hand_out(day=int(time.time() // DAY_S)))
        if entry.core.refused:
            refused, entry.core.refused = entry.core.refused, []
            self._take(entry, entry.core.answered("", refused))
        entry.news.set()
        if entry.core.finished:
            entry.core.state = "done"
            self._end(entry)

    def _hand(self, sends: Iterable[Send]) -> None:
        for send in sends:
            self.post.tell(send.mapper, send.piece, job=send.piece.job, weight=64)

    def _end(self, entry: _Job) -> None:
        """The job is over: everybody forgets it, the answers stay for its reader."""
        entry.ended = time.monotonic()
        entry.core.close()
        entry.blocks.clear()
        entry.news.set()
        job = entry.core.spec.id
        everybody = [*self._mappers, *([entry.reducer] if entry.core.spec.reduces else [])]
        for name in everybody:
            self.post.tell(name, CancelJob(job), job=job)

        self._feed()

    def _feed(self) -> None:
        """Jobs that wait for money of a tenant's day go on when another job may have given some back."""
        for entry in self._running():
            if entry.core.starved:
                asyncio.get_running_loop().call_soon(self._go_on, entry)

    def _sweep(self) -> None:
        now = time.monotonic()
        for job, entry in list(self._jobs.items()):
            if entry.ended is not None and now - entry.ended > KEEP_S:
                del self._jobs[job]

    # Actors come and go -----------------------------------------------------------------------------------------------

    def _running(self) -> list[_Job]:
        return [entry for entry in self._jobs.values() if entry.ended is None]

    def _hello(self, _: Envelope, hello: Hello) -> None:
        # A first hello says nothing new to who was told of the actor already: what was said to it waits for it.
        if hello.restarts:
            self._lost(hello.name)
            self.post.renew(hello.name)
        if hello.role == "mapper":
            self._mappers.add(hello.name)
            for entry in self._running():
                entry.core.mapper_up(hello.name)
                self._go_on(entry)
        elif hello.role == "reducer" and hello.restarts:
            for entry in self._running():
                if entry.reducer == hello.name and entry.core.spec.reduces:
                    self._tell_again(entry)

    def _tell_again(self, entry: _Job) -> None:
        """A new Reducer hears all that its predecessor knew; merged nodes are told, so that none is paid for twice."""
        job = entry.core.spec.id
        self.post.tell(entry.reducer, ReduceOpen(job), job=job)
        # Nodes first, from the root down: an answer that comes before that of the node above it would have that node
        # merged, and paid for, again.
        for node, done in sorted(entry.log, key=lambda row: (not row[0], -row[1].item)):
            told = Absorb(job, nodes=(done,)) if node else Absorb(job, items=(done,))
            self.post.tell(entry.reducer, told, job=job, weight=128 + len(done.data))

    def _down(self, _: Envelope, down: Down) -> None:
        for entry in self._running():
            entry.restarts += 1
        self._lost(down.name)

    def _lost(self, name: str) -> None:
        if name in self._mappers:
            self._mappers.discard(name)
            log.info("mapper_lost", name=name)
            for entry in self._running():
                entry.core.mapper_down(name)
                self._go_on(entry)

    def on_peer_down(self, name: str) -> None:
        """A message to `name` could not be delivered."""
        self._lost(name)
