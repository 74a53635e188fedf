"""The Supervisor's shell, what all of it stands on: jobs go on, and end."""

import asyncio
import itertools
import time
from collections.abc import Awaitable, Callable, Iterable
from functools import partial
from typing import Any, Final

import msgspec

from ...actors.journal.api import Journal
from ...actors.mailbox.ray_peer import in_ray_thread
from ...protocols.errors import MailboxFull
from ...protocols.jobs import LIVE, EnsureReply
from ...protocols.messages import (
    Absorb,
    CancelJob,
    ItemDone,
    JobEnded,
    NodesDone,
    Payload,
    ProviderSnapshot,
    Results,
    Taken,
)
from ..budgets import Spending
from .job import Job, weight
from .nodes import Node
from .outcome import Outcome, Send
from .pumping import JournalShell

DAY_S: Final = 86_400
"""A budget's day begins at 00:00 UTC."""
KEEP_S: Final = 600.0
"""A finished job is kept so long for a reader that comes back."""
DIRECTOR: Final = "director"


class JobShell(JournalShell):
    """Jobs, and what happens to them whoever asks.

    Args:
        name: the actor's name.
        namespace: the Ray namespace.
        journal: makes the Journal when the first job comes that needs it; the cluster's by default.
        ensure: asks the Director for the actors of a configuration (`EnsureAsk`, `EnsureReply`); by default over Ray.
        owner: the cluster's id; Ray's by default.
    """

    def __init__(
        self,
        name: str,
        namespace: str,
        *,
        journal: Callable[[], Journal] | None = None,
        ensure: Callable[[bytes], Awaitable[bytes]] | None = None,
        owner: Callable[[], str] | None = None,
    ) -> None:
        super().__init__(name, namespace, journal=journal, owner=owner)
        self._mappers: set[str] = set()
        self._turns = itertools.count()
        self._providers: set[str] = set()
        self._accounts: tuple[ProviderSnapshot, ...] = ()
        self._accounts_at = 0.0
        self._spending = Spending()
        #: What jobs that are over, or were begun before this process, count against budgets, by day: such a job may
        #: be tried again, and what it counts is written as a whole.
        self._counted: dict[str, dict[int, int]] = {}
        self._ensure_actors = ensure or self._ask_director
        #: True once it was said that a predecessor has died.
        self._successor = False
        #: Not set while its jobs are taken over.
        self._ready = asyncio.Event()
        self._ready.set()
        self._taking = asyncio.Lock()

    # The Director ----------------------------------------------------------------------------------------------------

    async def _ask_director(self, ask: bytes) -> bytes:
        import ray  # noqa: PLC0415 - the shell's runtime, never needed by tests of the core

        find: Callable[..., Any] = ray.get_actor
        handle = await in_ray_thread(find, DIRECTOR, self.namespace)
        reply: bytes = await handle.ensure.remote(ask)
        return reply

    async def _ensure(self, ask: bytes) -> EnsureReply:
        return msgspec.msgpack.decode(await self._ensure_actors(ask), type=EnsureReply)

    # Answers ----------------------------------------------------------------------------------------------------------

    def _answered(self, job: Job, outcome: Outcome) -> None:
        """Answers of items came in: they are written, then told; or at once where they are not written before."""
        if job.paper is not None:
            job.paper.outcome(outcome)
            job.unsafe.update(done.item for done in outcome.parked)
        if job.core.spec.grows:
            for done in outcome.answers:
                job.unmerged.expect(done.item)
        self._then(job, partial(self._show, job, outcome))
        for absorb in job.absorbs(outcome.answers):
            self._then(job, partial(self._tell, job.reducer, absorb, job))

    def _take_results(self, job: Job, sender: str, results: Results) -> None:
        skip = 0 if job.paper is None else job.paper.skip(sender, len(results.done), results.serial)
        if skip < len(results.done):
            self._answered(job, job.core.judge(sender, results.done[skip:], now=time.monotonic()))
        self._taken(job, sender, results.serial)

    def _take_nodes(self, job: Job, sender: str, message: NodesDone) -> None:
        skip = 0 if job.paper is None else job.paper.skip(sender, len(message.done), message.serial)
        if skip < len(message.done):
            self._merged(job, *job.judge(message, skip))
        self._taken(job, sender, message.serial)

    def _then(self, job: Job, act: Callable[[], None]) -> None:
        """Does something when all that the job has said is written, or at once where that need not be."""
        if job.ahead and job.paper is not None:
            job.paper.then(act)
        else:
            act()

    def _show(self, job: Job, outcome: Outcome) -> None:
        """Readers may know of these."""
        for absorb in job.take(outcome.answers):
            del absorb  # told apart, each by itself
        job.unsafe.difference_update(done.item for done in outcome.parked)

    def _merged(self, job: Job, nodes: list[Node], extra: list[ItemDone]) -> None:
        """Nodes were merged."""
        if job.paper is not None:
            job.paper.merged(nodes, extra, grows=job.core.spec.grows)
        self._then(job, partial(job.settle, nodes))

    def _taken(self, job: Job, sender: str, serial: int) -> None:
        """Who told an answer may forget it when it is written."""
        if serial and job.paper is not None:
            job.paper.then(partial(self._tell, sender, Taken(job.id, serial), job))
            self._write(job)

    def _tell(self, name: str, payload: Payload, job: Job) -> None:
        size = 64
        if isinstance(payload, Absorb):
            size += sum(weight(done) for done in (*payload.items, *payload.nodes))
        self.post.tell(name, payload, job=job.id, weight=size)

    # Going on ---------------------------------------------------------------------------------------------------------

    def _begin(self, job: Job) -> None:
        self._jobs[job.id] = job
        if job.paper is not None and not self._beats.going:
            self._beats.going = True
            self.post.spawn(self._beats.go())
        # Each job begins with another Mapper: where there are many of one item, all would be given to the first.
        mappers = sorted(self._mappers)
        turn = next(self._turns) % max(1, len(mappers))
        for mapper in (*mappers[turn:], *mappers[:turn]):
            job.core.mapper_up(mapper)

    def _go_on(self, job: Job) -> None:
        if job.ended is not None or job.ending:
            return
        core = job.core
        held = job.held or (bool(self.paused) and job.paper is not None and job.paper.waits)
        self._hand(job, core.hand_out(day=int(time.time() // DAY_S), held=held))
        if core.refused:
            refused, core.refused = core.refused, []
            self._answered(job, core.judge("", refused))
        for block in core.freed:
            job.blocks.pop(block, None)
        core.freed.clear()
        if job.paper is not None and core.state != job.paper.state and "waiting" in (core.state, job.paper.state):
            job.paper.touch()
        job.news.set()
        job.moved.set()
        if core.finished:
            core.state = "done"
            self._end(job)
        if not core.running:
            job.hurry.set()
        self._write(job)

    def _hand(self, job: Job, sends: Iterable[Send]) -> None:
        for send in sends:
            piece = job.whole(send.piece)
            size = 64 + sum(len(state) for state in piece.states.values()) + len(piece.spec) + len(piece.data)
            self.post.tell(send.mapper, piece, job=piece.job, weight=size)

    # The end ----------------------------------------------------------------------------------------------------------

    def _stop(self, job: Job) -> None:
        if job.ended is None and not job.ending:
            job.core.cancel()
            self._end(job, at_once=True)
            parent = self._jobs.get(job.core.spec.parent)
            if parent is not None:
                self._bill(parent, job.untold())
        if job.driver and job.paper is None:  # who drove it has left, or is dead: nobody comes back for it
            self._jobs.pop(job.id, None)

    def _bill(self, job: Job, untold: list[ItemDone]) -> None:
        """What a job that worked for an item of this one has used, and the item was never told."""
        job.core.billed(untold)
        if job.paper is not None:
            for done in untold:
                job.paper.paid(done)
            self._write(job)

    def _end(self, job: Job, *, at_once: bool = False) -> None:
        """Nothing more is to be done for the job; it is over when that is written.

        `at_once`: somebody wants it stopped. Else its Mappers keep what they told until the end is written, too.
        """
        job.ending = True
        if at_once or not job.ahead:
            self._halt(job)
        if job.paper is None:
            self._over(job)
            return
        if job.ahead:
            job.paper.end(partial(self._over, job))
        else:
            self._over(job)
            job.paper.end(lambda: None)
        if not job.core.spec.parent:
            job.paper.then(partial(self._report, job))
        self._write(job)

    def _halt(self, job: Job) -> None:
        """Everybody forgets the job."""
        if job.halted:
            return
        job.halted = True
        job.core.close()
        job.blocks.clear()
        for name in [*self._mappers, *([job.reducer] if job.core.spec.reduces else [])]:
            self._tell_cancelled(name, job)
        for child in [self._jobs[name] for name in job.children if name in self._jobs]:
            self._stop(child)
        parent = self._jobs.get(job.core.spec.parent)
        if parent is not None:
            parent.children.discard(job.id)

    def _tell_cancelled(self, name: str, job: Job) -> None:
        """At once, or where an outbox is full, when it is not: a job ends also for who does not listen."""
        tell = partial(self._tell, name, CancelJob(job.id), job)
        try:
            tell()
        except MailboxFull:
            self.post.spawn(self._act(tell))

    def _over(self, job: Job) -> None:
        """The job is over; the answers stay for its reader."""
        self._halt(job)
        self._count(job)
        job.ended = time.monotonic()
        job.news.set()
        job.moved.set()
        self._feed()

    def _count(self, job: Job) -> None:
        """Remembers what a job that is over counts against budgets."""
        counted = job.core.counted()
        if job.paper is None or job.core.spec.parent or not counted:
            return
        if job.id not in self._counted and not len(self._counted) % 1024:  # what is older counts for nobody
            day = int(time.time() // DAY_S) - 1
            self._counted = {name: days for name, days in self._counted.items() if max(days) >= day}
        self._counted[job.id] = counted

    def _report(self, job: Job) -> None:
        """The Director hears that a job is over."""
        core = job.core
        error = core.error or core.book.first_error
        if job.paper is not None and job.paper.base.attempt and not job.read:
            self._jobs.pop(job.id, None)  # it came from the queue, and nobody looks: there may be very many
        ended = JobEnded(job.id, core.state, core.failed, core.book.standing, error)
        self.post.tell(DIRECTOR, ended, job=job.id, weight=128 + len(error))

    def _feed(self) -> None:
        """Jobs that wait for money of a tenant's day go on when another job may have given some back."""
        for job in self._running():
            if job.core.starved:
                asyncio.get_running_loop().call_soon(self._go_on, job)

    def _sweep(self) -> None:
        now = time.monotonic()
        for name, job in list(self._jobs.items()):
            if job.ended is not None and not job.pumping and now - job.ended > KEEP_S:
                del self._jobs[name]

    def _running(self) -> list[Job]:
        """Jobs for which there is something to do."""
        return [job for job in self._jobs.values() if job.ended is None and job.core.state in LIVE]
