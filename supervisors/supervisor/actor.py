"""The Supervisor actor: the shell that runs many jobs, each around a `JobCore`."""

import asyncio
import time
from collections.abc import Iterable
from typing import Any, Final

import msgspec

from ...actors.mapper.blocks import decode_spec
from ...actors.shell import ActorShell, log
from ...protocols.envelope import Envelope
from ...protocols.errors import ConfigError, UnderstudyError, UsageError
from ...protocols.jobs import LIVE, JobSpec, TenantStatus, Verdict
from ...protocols.messages import (
    Absorb,
    CancelJob,
    Down,
    Hello,
    JobBroken,
    NodesDone,
    Payload,
    ProviderAsk,
    ProviderSnapshot,
    ReduceOpen,
    Results,
    Sealed,
    Steps,
)
from ..budgets import Spending
from .core import JobCore, Send
from .job import Job, weight

PAGE_S: Final = 0.1
"""A reader is told what is new at most ten times a second."""
DAY_S: Final = 86_400
"""A budget's day begins at 00:00 UTC."""
KEEP_S: Final = 600.0
"""A finished job is kept so long for a reader that comes back."""


class Supervisor(ActorShell):
    """Runs jobs on this node's Mappers and Reducers."""

    def __init__(self, name: str, namespace: str) -> None:
        super().__init__(name, namespace)
        self._jobs: dict[str, Job] = {}
        self._mappers: set[str] = set()
        self._providers: set[str] = set()
        self._accounts: tuple[ProviderSnapshot, ...] = ()
        self._accounts_at = 0.0
        self._spending = Spending()
        self.post.on(Results, self._results)
        self.post.on(Steps, self._steps)
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
        decoded = self._new(spec)
        self._sweep()
        self._mappers.update(mappers)
        self._providers.update(providers)
        self._begin(Job(JobCore(decoded, nodes, self._spending), spec, reducer))
        if first is not None:
            await self.add_block(decoded.id, *first)

    async def open_child(self, spec: bytes, mapper: str, nodes: int) -> None:
        """A job begins that works for an item of the job `JobSpec.parent`, which `mapper` has in hand and drives.

        It is worked on by whoever works for that job. It ends when that job ends, or when the Mapper dies. What it
        spends is counted in no budget but its own: the item that it works for counts it.

        Raises:
            UnderstudyError: the job it is to work for is over.
        """
        decoded = self._new(spec)
        self._sweep()
        parent = self._jobs.get(decoded.parent)
        if parent is None or parent.ended is not None:
            raise UnderstudyError(f"the job {decoded.parent} is over: nothing can work for it")
        if decoded.total_width:  # shared out; it has one at each Mapper at least
            width = max(1, decoded.total_width // max(1, len(self._mappers)))
            decoded = msgspec.structs.replace(decoded, width=width)
            spec = msgspec.msgpack.encode(decoded)
        parent.children.add(decoded.id)
        self._begin(Job(JobCore(decoded, nodes, Spending()), spec, parent.reducer, mapper))

    def _new(self, spec: bytes) -> JobSpec:
        decoded = decode_spec(spec)
        if decoded.id in self._jobs:
            raise ConfigError(f"there is a job {decoded.id} already")
        return decoded

    def _begin(self, job: Job) -> None:
        self._jobs[job.id] = job
        for mapper in self._mappers:
            job.core.mapper_up(mapper)
        if job.core.spec.reduces:
            self._tell(job.reducer, ReduceOpen(job.id), job)

    async def add_block(self, job: str, count: int, data: bytes) -> bool:
        """A block of items joins; it is put into the object store once, Mappers fetch it from there.

        For a job that lets its answers go (`JobSpec.keep`) this waits until there is room, which for such a job takes
        somebody who reads its answers meanwhile. Returns False, and takes nothing, where the job is over.
        """
        known = self._known(job)
        while known.ended is None and not known.core.room:
            known.moved.clear()
            await known.moved.wait()
        if known.ended is not None:
            return False
        known.blocks[known.core.add_block(count)] = self._put(data)
        self._go_on(known)
        return True

    @staticmethod
    def _put(data: bytes) -> Any:
        import ray  # noqa: PLC0415 - the shell's runtime, never needed by tests of the core

        return ray.put(data)

    async def seal(self, job: str) -> None:
        """No more blocks will come."""
        known = self._known(job)
        known.core.seal()
        if known.ended is None and known.core.spec.grows:
            self._tell(known.reducer, Sealed(job, known.core.total), known)
        self._go_on(known)

    async def follow(self, job: str, cursor: int, heard: int = -1) -> bytes:
        """What is new since `cursor`, as soon as there is something, and at least once a second; a `Page`.

        All before `cursor` counts as read: a job that does not keep its answers lets it go. With `heard` of 0 and up
        the page holds events of steps, too, for a job that is watched: give what the last page said.
        """
        known = self._known(job)
        if known.log.let_go(cursor):
            self._go_on(known)
        if not known.behind(cursor, heard):
            known.news.clear()
            try:
                await asyncio.wait_for(known.news.wait(), 1.0)
                if cursor or heard > 0:  # the first news is shown at once; later ones travel with what comes after
                    await asyncio.sleep(PAGE_S)
            except TimeoutError:
                pass
        await self._look_at_accounts()
        page = known.page(cursor, heard, self._accounts)
        if known.driver and page.state not in LIVE:  # its driver has been told all
            self._jobs.pop(job, None)
        return msgspec.msgpack.encode(page)

    async def cancel(self, job: str) -> None:
        """Stops a job and what works for it; answers that are there stay."""
        known = self._jobs.get(job)
        if known is not None:
            self._stop(known)

    async def jobs(self) -> bytes:
        """All jobs that are known, as `list[JobStatus]`."""
        now = time.monotonic()
        return msgspec.msgpack.encode([job.status(now=now) for job in self._jobs.values()])

    async def spending(self) -> bytes:
        """What each tenant has spent since 00:00 UTC, the one that spent most first, as `list[TenantStatus]`."""
        spent = self._spending.tenants(day=int(time.time() // DAY_S))
        rows = [TenantStatus(name, amount) for name, amount in spent.items()]
        return msgspec.msgpack.encode(sorted(rows, key=lambda row: (-row.spent, row.name)))

    def _known(self, job: str) -> Job:
        if job not in self._jobs:
            raise UnderstudyError(f"there is no job {job}")
        return self._jobs[job]

    async def _look_at_accounts(self) -> None:
        if not self._providers or time.monotonic() - self._accounts_at < 1.0:
            return
        self._accounts_at = time.monotonic()
        asks = [self.post.ask(name, ProviderAsk(), timeout=1.0) for name in sorted(self._providers)]
        answers = await asyncio.gather(*asks, return_exceptions=True)
        self._accounts = tuple(answer for answer in answers if isinstance(answer, ProviderSnapshot))

    # For people -------------------------------------------------------------------------------------------------------

    async def approvals(self) -> bytes:
        """What waits for people, as `list[Waiting]`, the one that waits longest first."""
        now = time.monotonic()
        found = [
            one for job in self._running() for one in job.core.parking.waiting(job.id, job.core.spec.title, now=now)
        ]
        return msgspec.msgpack.encode(sorted(found, key=lambda one: -one.age_s))

    async def answer(self, job: str, item: int, path: str, verdict: bytes) -> bool:
        """A person's `Verdict` about a step of an item; True when the item goes on by it, False when it asks more.

        Args:
            job: its id.
            item: its number, or -1 for the only one of the job that waits.
            path: of the step, or empty for the only one of the item that waits.
            verdict: a `Verdict`.

        Raises:
            UsageError: nothing of that name waits, or more than one could be meant; the text names what does wait.
        """
        known = self._jobs.get(job)
        if known is None or known.ended is not None or not len(known.core.parking):
            waiting = ", ".join(one.id for one in self._running() if len(one.core.parking))
            raise UsageError(f"job {job!r} waits for nobody; {f'waiting are {waiting}' if waiting else 'no job does'}")
        ready = known.core.resume(item, path, msgspec.msgpack.decode(verdict, type=Verdict))
        self._go_on(known)
        return ready

    # For Mappers and Reducers -----------------------------------------------------------------------------------------

    async def spec(self, job: str) -> bytes:
        """A job's specification."""
        return self._known(job).spec

    async def block(self, job: str, number: int) -> list[Any]:
        """A reference to a block's bytes, in a list so that Ray passes the reference and not the bytes.

        Nothing where nobody needs the block any more: the job is over, or all its items were answered by others.
        """
        known = self._jobs.get(job)
        return [known.blocks[number]] if known is not None and number in known.blocks else []

    def _results(self, envelope: Envelope, results: Results) -> None:
        job = self._jobs.get(results.job)
        if job is not None and job.ended is None:
            self._absorb(job, job.take(job.core.answered(envelope.sender, results.done, now=time.monotonic())))
            self._go_on(job)
        elif job is not None:
            job.core.after(envelope.sender, results.done)
        self._feed()

    def _absorb(self, job: Job, absorbs: Iterable[Absorb]) -> None:
        for absorb in absorbs:
            self._tell(job.reducer, absorb, job)

    def _tell(self, name: str, payload: Payload, job: Job) -> None:
        size = 64
        if isinstance(payload, Absorb):
            size += sum(weight(done) for done in (*payload.items, *payload.nodes))
        self.post.tell(name, payload, job=job.id, weight=size)

    def _steps(self, _: Envelope, steps: Steps) -> None:
        job = self._jobs.get(steps.job)
        if job is not None and job.core.spec.watch:
            job.events.add(steps.events)
            job.news.set()

    def _nodes_done(self, _: Envelope, message: NodesDone) -> None:
        job = self._jobs.get(message.job)
        if job is None or job.ended is not None:
            return
        job.merged(message)
        self._go_on(job)
        self._feed()

    def _broken(self, _: Envelope, message: JobBroken) -> None:
        job = self._jobs.get(message.job)
        if job is not None and job.ended is None:
            job.core.fail(message.error)
            self._end(job)

    def _go_on(self, job: Job) -> None:
        if job.ended is not None:
            return
        core = job.core
        self._hand(core.hand_out(day=int(time.time() // DAY_S), held=job.held))
        if core.refused:
            refused, core.refused = core.refused, []
            self._absorb(job, job.take(core.answered("", refused)))
        for block in core.freed:
            job.blocks.pop(block, None)
        core.freed.clear()
        job.news.set()
        job.moved.set()
        if core.finished:
            core.state = "done"
            self._end(job)

    def _hand(self, sends: Iterable[Send]) -> None:
        for send in sends:
            size = 64 + sum(len(state) for state in send.piece.states.values())
            self.post.tell(send.mapper, send.piece, job=send.piece.job, weight=size)

    def _stop(self, job: Job) -> None:
        if job.ended is None:
            job.core.cancel()
            self._end(job)
            parent = self._jobs.get(job.core.spec.parent)
            if parent is not None:
                parent.core.billed(job.untold())
        if job.driver:  # who drove it has left, or is dead: nobody comes back for it
            self._jobs.pop(job.id, None)

    def _end(self, job: Job) -> None:
        """The job is over: everybody forgets it, the answers stay for its reader."""
        job.ended = time.monotonic()
        job.core.close()
        job.blocks.clear()
        job.news.set()
        job.moved.set()
        for name in [*self._mappers, *([job.reducer] if job.core.spec.reduces else [])]:
            self._tell(name, CancelJob(job.id), job)
        for child in [self._jobs[name] for name in job.children if name in self._jobs]:
            self._stop(child)
        parent = self._jobs.get(job.core.spec.parent)
        if parent is not None:
            parent.children.discard(job.id)
        self._feed()

    def _feed(self) -> None:
        """Jobs that wait for money of a tenant's day go on when another job may have given some back."""
        for job in self._running():
            if job.core.starved:
                asyncio.get_running_loop().call_soon(self._go_on, job)

    def _sweep(self) -> None:
        now = time.monotonic()
        for name, job in list(self._jobs.items()):
            if job.ended is not None and now - job.ended > KEEP_S:
                del self._jobs[name]

    # Actors come and go -----------------------------------------------------------------------------------------------

    def _running(self) -> list[Job]:
        return [job for job in self._jobs.values() if job.ended is None]

    def _hello(self, _: Envelope, hello: Hello) -> None:
        # A first hello says nothing new to who was told of the actor already: what was said to it waits for it.
        if hello.restarts:
            self._lost(hello.name)
            self.post.renew(hello.name)
        if hello.role == "mapper":
            self._mappers.add(hello.name)
            for job in self._running():
                job.core.mapper_up(hello.name)
                self._go_on(job)
        elif hello.role == "reducer" and hello.restarts:
            for job in self._running():
                if job.reducer == hello.name and job.core.spec.reduces:
                    for payload in job.retold():
                        self._tell(job.reducer, payload, job)

    def _down(self, _: Envelope, down: Down) -> None:
        for job in self._running():
            job.restarts += 1
        self._lost(down.name)

    def _lost(self, name: str) -> None:
        if name in self._mappers:
            self._mappers.discard(name)
            log.info("mapper_lost", name=name)
            for job in self._running():
                if job.driver == name:
                    self._stop(job)
                    continue
                job.core.mapper_down(name)
                self._go_on(job)

    def on_peer_down(self, name: str) -> None:
        """A message to `name` could not be delivered."""
        self._lost(name)
