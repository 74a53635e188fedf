"""The Supervisor's shell, how jobs are written: one append after the other, and what follows when it is on disk."""

import asyncio
import contextlib
import time
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final, TypeVar

from ...actors.journal.api import Journal
from ...actors.mailbox.ray_peer import in_ray_thread
from ...actors.shell import ActorShell, log
from ...protocols.errors import ActorError, JournalError, JournalPaused
from .job import Job
from .living import Beats

PAUSE_S: Final = 0.2
PACE_S: Final = 0.1
"""Answers are written no oftener while more are on their way: an append costs some 2 ms of CPU in all processes."""

T = TypeVar("T")


class JournalShell(ActorShell, ABC):
    """Writes what jobs have to say.

    Args:
        name: the actor's name.
        namespace: the Ray namespace.
        journal: makes the Journal when the first job comes that needs it; the cluster's by default.
        owner: the cluster's id; Ray's by default.
    """

    def __init__(
        self,
        name: str,
        namespace: str,
        *,
        journal: Callable[[], Journal] | None = None,
        owner: Callable[[], str] | None = None,
    ) -> None:
        super().__init__(name, namespace)
        self._jobs: dict[str, Job] = {}
        self._make_journal = journal
        self._shelf: Journal | None = None
        self._find_owner = owner
        self._owner = ""
        self._beats = Beats(lambda: self.journal, self.owner, lambda: any(job.paper for job in self._running()))

    @abstractmethod
    def _go_on(self, job: Job) -> None:
        """Something has changed for the job."""

    @abstractmethod
    def _over(self, job: Job) -> None:
        """The job is over: all that it had to say is written."""

    def _running(self) -> list[Job]:
        return [job for job in self._jobs.values() if job.ended is None]

    # The Journal ------------------------------------------------------------------------------------------------------

    @property
    def journal(self) -> Journal:
        """The Journal, which nothing is said to before it is needed."""
        if self._shelf is None:
            if self._make_journal is None:
                from ...actors.journal.client import ray_journal  # noqa: PLC0415 - most jobs of tests need none

                self._make_journal = partial(ray_journal, self.namespace)
            self._shelf = self._make_journal()
        return self._shelf

    @property
    def paused(self) -> str:
        """Why nothing can be written for now; empty while it can, or while nobody has tried."""
        return "" if self._shelf is None else self._shelf.paused

    async def owner(self) -> str:
        """The id of this cluster."""
        if not self._owner:
            if self._find_owner is None:
                from ...actors.journal.owner import cluster_id  # noqa: PLC0415 - asks Ray, which tests don't have

                self._owner = await in_ray_thread(cluster_id)
            else:
                self._owner = self._find_owner()
        return self._owner

    @staticmethod
    async def _read(read: Callable[[], Awaitable[T]]) -> T:
        """Reads from the Journal; where it can't be read for now, later."""
        while True:
            try:
                return await read()
            except JournalPaused:
                await asyncio.sleep(PAUSE_S)

    def _write(self, job: Job) -> None:
        """What the job has yet to write is written, if that is not under way."""
        if job.paper is None or not job.paper.waits:
            return
        if not job.pumping:
            job.pumping = True
            self.post.spawn(self._pump(job))
        elif not job.paper.patient:
            job.hurry.set()

    @staticmethod
    async def _pace(job: Job) -> None:
        """Waits for more to write, where there is something on its way and nobody waits for what there is."""
        job.hurry.clear()
        left = job.wrote + PACE_S - time.monotonic()
        if left > 0 and job.core.running and job.paper is not None and job.paper.patient:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(job.hurry.wait(), left)
        job.wrote = time.monotonic()

    async def _due(self, job: Job) -> bool:
        """True when it is time to write, and there is something to be written."""
        if job.paper is None or not job.paper.waits:
            return False
        await self._pace(job)
        return True

    async def _pump(self, job: Job) -> None:
        """One append after the other. What came in one turn of the loop, and during an append, is written together."""
        try:
            owner = await self.owner()
            while await self._due(job) and job.paper is not None:
                cut = job.paper.cut(job.row(owner=owner, now=time.time()), job.core.counted())
                if not cut.empty:
                    await self.journal.append(self._beats.join(cut.rows, owner))
                for act in cut.acts:
                    await self._act(act)
                self._go_on(job)
        except JournalError as error:
            self._unwritable(job, str(error))
        except Exception as error:  # noqa: BLE001 - a job that can't be written for whatever cause does not hang
            log.exception("not_written", job=job.id)
            self._unwritable(job, f"{type(error).__name__}: {error}".split("\n", 1)[0])
        finally:
            job.pumping = False
        self._write(job)

    async def _act(self, act: Callable[[], None]) -> None:
        """Does what waited for the Journal; where an outbox is full, as soon as it is not."""
        while True:
            try:
                return act()
            except ActorError as error:
                log.info("waits_for_room", cause=str(error))
            await asyncio.sleep(PAUSE_S)

    def _unwritable(self, job: Job, cause: str) -> None:
        """The Journal can't be used at all: the job can't go on."""
        log.error("journal_unusable", job=job.id, cause=cause)
        job.paper = None
        job.core.fail(cause)
        job.ending = True
        self._over(job)

    async def _safe(self, job: Job) -> None:
        """Returns when all that a job written ahead has said so far is on disk. While the Journal pauses it waits."""
        if not job.ahead or job.paper is None:
            return
        written = asyncio.Event()
        job.paper.then(written.set, hurries=True)
        self._write(job)
        while not written.is_set() and job.paper is not None:
            try:
                await asyncio.wait_for(written.wait(), 1.0)
            except TimeoutError:
                continue
