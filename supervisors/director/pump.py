"""The queue's shell: hears what is over, keeps it in the Journal, and begins what is next."""

import asyncio
import itertools
import math
import random
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Final

import msgspec

from ...actors.journal.api import Journal
from ...actors.shell import log
from ...protocols.errors import JournalError, MailboxFull
from ...protocols.jobs import LIVE, QueueStatus
from ...protocols.journal import Append, JobRow, JobsAsk, ValueRow
from ...protocols.messages import JobEnded
from .lookup import PAGE, all_jobs
from .queue import JobQueue, QueueSettings
from .rows import OVER, after, begun, place_of

BATCH: Final = 64
"""So many jobs are begun by one message, after one look into the Journal and one append."""
LOOK_S: Final = 30.0
"""So often the Journal is asked about jobs that run and of which nothing is heard: a message may have been lost."""
PAUSE_S: Final = 1.0
"""When the Journal can't be read it is tried again after so long."""

STARTED: Final = "director/started/"
LIMITS: Final = "director/limits/"


class Pump:
    """Runs a `JobQueue` against the Journal and the Supervisor; begins when it has read what was there.

    What was begun is written as a named value in the same append as the jobs' rows, a batch at a time, and is taken
    away when all of the batch are over: so a successor knows which jobs are its own to try again.

    Args:
        journal: where rows go.
        owner: the name of this cluster.
        start: tells the Supervisor that it is these jobs' turn.
        stop: has the Supervisor cancel a job.
        settings: of the queue.
        clock: seconds since 1970.
        rng: what waits vary by.
    """

    def __init__(
        self,
        journal: Callable[[], Journal],
        owner: Callable[[], Awaitable[str]],
        start: Callable[[tuple[str, ...]], None],
        stop: Callable[[str], Awaitable[None]],
        settings: QueueSettings | None = None,
        *,
        clock: Callable[[], float] = time.time,
        rng: random.Random | None = None,
    ) -> None:
        self.queue = JobQueue(settings)
        self._journal, self._owner_of, self._start, self._stop = journal, owner, start, stop
        self._clock, self._rng = clock, rng or random.Random()  # noqa: S311 - spreads retries; no secret
        self._owner = ""
        self._dead = 0
        self._last = 0.0
        self._numbers = itertools.count()
        self._ended: dict[str, JobEnded] = {}
        self._taken: dict[str, None] = {}
        self._batches: dict[str, set[str]] = {}
        self._batch_of: dict[str, str] = {}
        self._values: list[ValueRow] = []
        self._limits: dict[str, int] = {}
        self._moved = asyncio.Event()
        self._ready = asyncio.Event()
        self._running: asyncio.Task[None] | None = None

    def begin(self) -> None:
        """Begins to work; may be called again."""
        if self._running is None:
            self._running = asyncio.get_running_loop().create_task(self._run())

    def close(self) -> None:
        """Stops."""
        if self._running is not None:
            self._running.cancel()

    @property
    def busy(self) -> bool:
        """There are jobs that wait or run."""
        return bool(len(self.queue) or self._ended)

    def status(self) -> QueueStatus:
        """The queue, for people."""
        return self.queue.status(now=self._clock(), dead=self._dead)

    # For the Supervisor -----------------------------------------------------------------------------------------------

    def ended(self, ended: JobEnded) -> None:
        """A job is over."""
        self._ended[ended.job] = ended
        self._moved.set()

    async def look(self) -> None:
        """Asks the Journal about all jobs that run: a Supervisor has a successor, or a message may be lost."""
        await self._settled()
        await self._look([job for job in self.queue.running if job not in self._taken])
        self._moved.set()

    # Inside -----------------------------------------------------------------------------------------------------------

    async def _settled(self) -> None:
        self.begin()
        await self._ready.wait()

    async def _run(self) -> None:
        restored = False
        while True:
            try:
                if not restored:
                    await self._restore()
                    restored = True
                    self._ready.set()
                await self._settle()
                if not await self._take():
                    await self._rest()
            except (JournalError, MailboxFull) as error:
                log.warning("queue_waits", cause=str(error))
                await asyncio.sleep(PAUSE_S)

    async def _rest(self) -> None:
        """Waits for something to do."""
        if self._ended or self._taken:
            return
        due = self.queue.next_due()
        wait = math.inf if due is None else max(0.0, due - self._clock())
        if self.queue.running:
            wait = min(wait, LOOK_S)
        try:
            await asyncio.wait_for(self._moved.wait(), None if wait == math.inf else wait)
        except TimeoutError:
            if wait == LOOK_S:
                await self._look(self.queue.running)
        self._moved.clear()

    async def _take(self) -> bool:
        """Begins jobs whose turn it is, if there are any. Those taken stay noted until the Supervisor has been told."""
        for job in self.queue.take(BATCH - len(self._taken), now=self._clock()):
            self._taken[job.id] = None
        if not self._taken:
            return False
        ids = tuple(self._taken)
        read = await self._journal().jobs(JobsAsk(ids=ids, children=True, limit=len(ids)))
        rows = {row.id: row for row in read}
        now = self._clock()
        # One that another cluster has taken over meanwhile is not begun by two.
        mine = [rows[job] for job in ids if job in rows and rows[job].owner in ("", self._owner)]
        started = tuple(begun(row, owner=self._owner, now=now) for row in mine if row.state == "queued")
        names = [row.id for row in started]
        if started:
            batch = f"{STARTED}{self._owner}/{int(now * 1000)}-{next(self._numbers)}"
            await self._append(Append(jobs=started, values=(ValueRow(batch, msgspec.msgpack.encode(names)),)))
            self._remember(batch, names)
        self._taken.clear()
        for name in set(ids) - set(names):  # cancelled, or forgotten, meanwhile
            self.queue.ended(name)
        if started:
            self._start(tuple(names))
        return True

    def _remember(self, batch: str, jobs: Iterable[str]) -> None:
        self._batches[batch] = set(jobs)
        self._batch_of.update(dict.fromkeys(self._batches[batch], batch))

    def _forget(self, job: str) -> None:
        batch = self._batch_of.pop(job, "")
        left = self._batches.get(batch, set())
        left.discard(job)
        if batch and not left:
            del self._batches[batch]
            self._values.append(ValueRow(batch, b""))

    async def _settle(self) -> None:
        """Jobs that are over are forgotten, tried again, or dead."""
        ended, self._ended = self._ended, {}
        if not ended:
            return
        try:
            await self._decide(ended)
        except JournalError:
            self._ended = {**ended, **self._ended}
            raise

    async def _decide(self, ended: dict[str, JobEnded]) -> None:
        bad = tuple(one.job for one in ended.values() if one.failed or one.standing or one.state == "failed")
        rows: list[JobRow] = []
        if bad:
            rows = await self._journal().jobs(JobsAsk(ids=bad, children=True, limit=len(bad)))
        now, settings = self._clock(), self.queue.settings
        follow = []
        for row in rows:
            if row.state not in OVER:  # told late, of an earlier attempt
                del ended[row.id]
                continue
            ours = row.id in self.queue.running or row.id in self._batch_of
            next_row = after(row, ended[row.id], queued=ours, settings=settings, now=now, rng=self._rng)
            if next_row is not None:
                follow.append(next_row)
        if follow:
            await self._append(Append(jobs=tuple(follow)))
        for job in ended:
            self.queue.ended(job)
            self._forget(job)
        self._dead += sum(row.state == "dead" for row in follow)
        self._enqueue(row for row in follow if row.state == "queued")
        if self._values and not len(self.queue):
            await self._append(Append())

    async def _look(self, jobs: Sequence[str]) -> None:
        """What the Journal says of jobs that should run: some may be over, and of some the Supervisor may not know.

        `open` is what stands there until the Supervisor has begun a job.
        """
        live: list[str] = []
        for start in range(0, len(jobs), PAGE):
            part = tuple(jobs[start : start + PAGE])
            rows = await self._journal().jobs(JobsAsk(ids=part, children=True, limit=len(part)))
            live += [row.id for row in rows if row.state == "open"]
            for row in rows:
                if row.state in OVER:
                    self.ended(JobEnded(row.id, row.state, row.failed, row.standing, row.error))
            for job in set(part) - {row.id for row in rows}:
                self.ended(JobEnded(job, "cancelled"))
        for start in range(0, len(live), BATCH):
            self._start(tuple(live[start : start + BATCH]))

    # From the Journal -------------------------------------------------------------------------------------------------

    async def _restore(self) -> None:
        """Reads what a predecessor has left: jobs that wait, those it had begun, and those that ended meanwhile."""
        self._owner = self._owner or await self._owner_of()
        journal = self._journal()
        batches = await journal.values(f"{STARTED}{self._owner}/")
        limits = await journal.values(f"{LIMITS}{self._owner}")
        for data in limits.values():
            self._limits = msgspec.msgpack.decode(data, type=dict[str, int])
            for tenant, jobs in self._limits.items():
                self.queue.limit(tenant, jobs)
        waiting = await all_jobs(self._journal(), JobsAsk(states=("queued",), owner=self._owner))
        self._enqueue(sorted(waiting, key=lambda row: (row.created, row.id)))
        self._dead = len(await all_jobs(self._journal(), JobsAsk(states=("dead",))))
        for batch, data in batches.items():
            self._remember(batch, msgspec.msgpack.decode(data, type=list[str]))
        await self._restore_begun()
        recent = await journal.jobs(JobsAsk(states=("done",), owner=self._owner))
        for row in recent:
            if row.standing and row.id not in self._batch_of:
                self.ended(JobEnded(row.id, row.state, row.failed, row.standing, row.error))

    async def _restore_begun(self) -> None:
        jobs = list(self._batch_of)
        rows = [] if not jobs else await self._journal().jobs(JobsAsk(ids=tuple(jobs), children=True, limit=len(jobs)))
        for row in rows:
            if row.state in LIVE:
                self.queue.resume(place_of(row))
        for job in set(jobs) - {row.id for row in rows if row.state in (*LIVE, *OVER)}:
            self._forget(job)  # it waits again, or is dead
        await self._look([row.id for row in rows if row.state in (*LIVE, *OVER)])

    # Writing ----------------------------------------------------------------------------------------------------------

    async def _append(self, rows: Append) -> None:
        """With it goes what is to be taken away."""
        values, self._values = self._values, []
        if values or rows.jobs or rows.values:
            await self._journal().append(msgspec.structs.replace(rows, values=(*rows.values, *values)))

    def _enqueue(self, rows: Iterable[JobRow]) -> None:
        now = max(self._clock(), self._last)  # see `_now`
        for row in rows:
            self.queue.put(place_of(row), now=now)
            self._moved.set()
