"""The Supervisor's shell, how it takes the place of one that died: its jobs, and what Mappers and Reducers hold."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from typing import Any, Final

from ...actors.shell import log
from ...protocols.envelope import Envelope
from ...protocols.errors import JournalError
from ...protocols.jobs import LIVE
from ...protocols.journal import JobRow, JobsAsk, SpecRow
from ...protocols.messages import Held, HoldAsk, Holds, NodesDone, Results
from .base import DAY_S
from .drivers import Drivers
from .job import Job
from .paper import HEARD
from .recalling import RecallingCore

HOLD_S: Final = 60.0
"""Who does not say within that what it holds is taken for dead: the Director will tell."""
MOST_JOBS: Final = 1_000_000


class Recovering(Drivers):
    """Takes jobs over."""

    def __init__(self, name: str, namespace: str, **known: Any) -> None:
        super().__init__(name, namespace, **known)
        #: What came for jobs that are being taken over, in order.
        self._early: dict[str, list[tuple[Envelope, Results | NodesDone]]] = {}
        #: Providers that have said hello.
        self._met: set[str] = set()
        #: Actors that have taken another's place since this one began.
        self._reborn: set[str] = set()
        #: Process id of each that has said hello.
        self._pids: dict[str, int] = {}

    async def recover(self, mappers: list[str], reducers: list[str]) -> None:
        """The Director tells a successor who lives: it goes on with all jobs of this cluster. Others wait for that."""
        if self._successor:
            return
        self._successor = True
        self._told.set()
        self._ready.clear()
        try:
            async with self._taking:
                await self._recover(mappers, reducers)
        finally:
            self._early.clear()
            self._ready.set()

    async def _recover(self, mappers: Sequence[str], reducers: Sequence[str]) -> None:
        owner = await self.owner()
        ask = JobsAsk(states=LIVE, owner=owner, children=True, limit=MOST_JOBS)
        rows = [row for row in await self._read(lambda: self.journal.jobs(ask)) if not self._works(row.id)]
        self._early.update({row.id: [] for row in rows})
        await self._read(self._load_spending)
        jobs = await self._read_jobs(rows)
        all_of_them = HoldAsk(tuple(job.id for job in jobs))
        # What was written behind may be lost though it was merged: its tree is merged anew, which costs nothing.
        merged = HoldAsk(tuple(job.id for job in jobs if job.core.spec.journal == "ahead"))
        self._mappers.update(mappers)
        asks = [*((name, all_of_them) for name in mappers), *((name, merged) for name in reducers)]
        holds = await asyncio.gather(*(self._holds(name, ask) for name, ask in asks))
        by_job = {job.id: job for job in jobs}
        self._forget_dead(jobs, holds)
        for name, held in holds:
            for one in held.held if held is not None else ():
                if one.job in by_job and name in mappers:
                    self._held(by_job[one.job], name, one)
                elif one.job in by_job:
                    self._merging(by_job[one.job], name, one)
        self._mappers.difference_update({name for name, held in holds if held is None} - self._reborn)
        self._providers.update(self._met)
        for job in jobs:
            job.reducer = job.reducer or (reducers[0] if reducers else "reducer-0")
            self._take_up(job)

    @staticmethod
    def _forget_dead(jobs: Sequence[Job], holds: Sequence[tuple[str, Holds | None]]) -> None:
        """Who has nothing of a job that it was heard of is another now, and will count from 1."""
        for name, held in holds:
            here = {one.job for one in held.held} if held is not None else set()
            for job in jobs:
                if job.paper is not None and job.id not in here:
                    job.paper.forget(name)

    async def _read_jobs(self, rows: Sequence[JobRow]) -> list[Job]:
        """The jobs of these rows, parents before children."""
        specs = {one.job: one for one in await self._read(lambda: self.journal.specs([row.id for row in rows]))}
        values = await self._read(lambda: self.journal.values(HEARD))
        serials: dict[str, dict[str, int]] = {}
        for name, value in values.items():
            job, _, sender = name.removeprefix(HEARD).rpartition("/")
            serials.setdefault(job, {})[sender] = int(value)
        jobs = []
        for row in sorted(rows, key=lambda row: (bool(row.parent), row.created)):
            try:
                jobs.append(await self._restored(row, _spec(specs, row), live=True, serials=serials.get(row.id)))
            except Exception as error:  # noqa: BLE001 - whatever is wrong with one job, the others go on
                await self._not_begun(row, error)
        return jobs

    async def _holds(self, name: str, ask: HoldAsk) -> tuple[str, Holds | None]:
        try:
            answer = await self.post.ask(name, ask, timeout=HOLD_S)
        except Exception as error:  # noqa: BLE001 - it is dead, or will be said to be
            log.info("holds_not_told", name=name, cause=str(error).split("\n", 1)[0])
            return name, None
        return name, answer if isinstance(answer, Holds) else None

    def _held(self, job: Job, mapper: str, held: Held) -> None:
        """A Mapper has these items of the job in hand, and these answers that were not taken."""
        self._count_anew(job, mapper, held)
        assert isinstance(job.core, RecallingCore)
        job.core.held(mapper, held.items, day=int(time.time() // DAY_S))
        if held.done:
            told = Results(job.id, held.done, held.serial)
            self._early[job.id].insert(0, (Envelope("", mapper, told), told))

    def _merging(self, job: Job, reducer: str, held: Held) -> None:
        """A Reducer has the job's tree: what was not taken it tells again."""
        self._count_anew(job, reducer, held)
        job.reducer = reducer

    @staticmethod
    def _count_anew(job: Job, sender: str, held: Held) -> None:
        """One that has told less than was heard of its like is another, that began since."""
        if job.paper is not None and held.serial < job.paper.serials.get(sender, 0):
            job.paper.forget(sender)

    def _take_up(self, job: Job) -> None:
        """All is known of the job: it goes on."""
        early = self._early.pop(job.id, [])
        self._jobs[job.id] = job
        for envelope, message in early:
            if isinstance(message, Results):
                self._take_results(job, envelope.sender, message)
            else:
                self._take_nodes(job, envelope.sender, message)
        job.restarts += 1
        self._join(job)
        parent = job.core.spec.parent
        if parent and not self._works(parent):
            self._stop(job)


def _spec(specs: Mapping[str, SpecRow], row: JobRow) -> SpecRow:
    found = specs.get(row.id)
    if found is None:
        raise JournalError(f"the journal has no specification of job {row.id}")
    return found
