"""The Supervisor's shell, how jobs come out of the Journal: to be read, gone on with, or tried again."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from functools import partial
from typing import Any, Final, NamedTuple

import msgspec

from ...actors.shell import log
from ...protocols.envelope import Envelope
from ...protocols.errors import JournalError, UnderstudyError, UsageError
from ...protocols.jobs import LIVE, EnsureAsk, EnsureReply
from ...protocols.journal import AnswerRow, Append, BlockRow, JobRow, JobsAsk, SpecRow, ValueRow
from ...protocols.messages import JobEnded, StartJobs
from .base import DAY_S, DIRECTOR, JobShell
from .book import Which, whichever
from .job import SMALL_BYTES, Job
from .living import lives
from .pumping import PAUSE_S
from .restoring import Restoring

WAIT_S: Final = 60.0
"""Somebody who asks for a job that runs on this cluster waits so long for it to be taken over."""
MOST_LIVE: Final = 10_000
"""So many jobs at work are looked through for those that wait for people."""
ENSURED_S: Final = 1.0
"""Jobs that begin together with one configuration ask for its actors once."""
LIFE: Final = "supervisor/life"
"""A value: the cluster whose Supervisor has taken jobs from the queue."""


class Rows(NamedTuple):
    """What is read of a job that is to be taken: its row, what it is, and its blocks, with data where it is little."""

    job: JobRow
    spec: SpecRow
    blocks: list[BlockRow]


Again = Callable[[JobRow], str]
"""Which items of a job are tried again: `failed`, `standing`, both with a comma between, or none."""


class Taking(JobShell):
    """Takes jobs from the Journal."""

    def __init__(self, name: str, namespace: str, **known: Any) -> None:
        super().__init__(name, namespace, **known)
        self._lives = False
        self._loaded = False
        #: Set when the Director says that a predecessor has died.
        self._told = asyncio.Event()
        self._replies: dict[bytes, tuple[asyncio.Task[EnsureReply], float]] = {}

    # Finding ----------------------------------------------------------------------------------------------------------

    def _known(self, job: str) -> Job:
        if job not in self._jobs:
            raise UnderstudyError(f"there is no job {job}")
        return self._jobs[job]

    async def _found(self, job: str) -> Job:
        found = await self._find(job)
        if isinstance(found, JobRow):
            raise UsageError(f"the job {job} is {found.state}: it was handed in whole")
        return found

    async def _find(self, job: str) -> Job | JobRow:
        """The job; one that is over is read from the Journal. Of one that waits for its turn there is only its row."""
        patience = time.monotonic() + WAIT_S
        while True:
            await self._ready.wait()
            if job in self._jobs:
                return self._jobs[job]
            row = await self._row(job)
            if row.state == "queued":
                await asyncio.sleep(1.0)
                return row
            if row.state not in LIVE:
                async with self._taking:
                    if job not in self._jobs:
                        await self._shelve(row)
                return self._jobs[job]
            if row.owner != await self.owner():
                raise UsageError(f"the cluster of job {job} is gone: `understudy resume {job}` takes it over")
            if time.monotonic() > patience:
                raise UnderstudyError(f"nobody works on job {job}: `understudy resume {job}` goes on with it")
            await asyncio.sleep(PAUSE_S)

    async def _informed(self, job: str = "") -> None:
        """Returns when what it knows is all that there is, of a job or of what waits for people.

        Between its start and the Director's word a successor knows of no job, which must not pass for there being none.
        """
        patience = time.monotonic() + WAIT_S
        await self._ready.wait()
        while not self._successor and time.monotonic() < patience and await self._orphans(job):
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._told.wait(), PAUSE_S)
            await self._ready.wait()

    async def _orphans(self, job: str) -> bool:
        """The Journal has jobs of this cluster of which it knows nothing: that one, or some that wait for people."""
        if job in self._jobs:
            return False
        ask = JobsAsk(ids=(job,) if job else (), states=LIVE, owner=await self.owner(), children=True, limit=MOST_LIVE)
        try:
            rows = await self.journal.jobs(ask)
        except JournalError:  # nobody can be answered for now, whoever it is
            return False
        return any((job or row.parked) and row.id not in self._jobs for row in rows)

    async def _row(self, job: str) -> JobRow:
        try:
            rows = await asyncio.wait_for(self._read(lambda: self.journal.jobs(JobsAsk(ids=(job,), children=True))), 30)
        except TimeoutError:
            rows = []
        if not rows:
            raise UnderstudyError(f"there is no job {job}")
        return rows[0]

    async def _shelve(self, row: JobRow) -> None:
        """A job that is over, for its readers."""
        spec = await self._read(lambda: self.journal.spec(row.id))
        if spec is None:
            raise UnderstudyError(f"there is no job {row.id}")
        await self._read(self._load_spending)
        self._put_away(await self._restored(row, spec, live=False), row)

    def _put_away(self, job: Job, row: JobRow) -> None:
        job.core.state, job.core.error = row.state, row.error if row.state != "done" else ""
        if job.paper is not None:
            job.paper.closed(row)
        job.ending = job.halted = True
        job.ended = time.monotonic()
        self._jobs[job.id] = job

    async def _restored(
        self,
        row: JobRow,
        spec: SpecRow,
        *,
        live: bool,
        serials: Mapping[str, int] | None = None,
        new: bool = False,
        blocks: Sequence[BlockRow] | None = None,
    ) -> Job:
        """The job as its rows say. Of one that is `new` from the queue there are no rows but its `blocks`."""
        journal, counted = self.journal, self._counted.get(row.id)
        spending = None if row.parent else self._spending
        restoring = Restoring(row, spec, spending=spending, live=live, serials=serials)
        if blocks is None:
            blocks = await self._read(lambda: journal.blocks(row.id, data=False))
        restoring.blocks(blocks)
        if new:
            restoring.handed_in_whole()
            return restoring.finish(counted=counted)
        restoring.notes(await self._read(lambda: journal.notes(row.id)), now=time.monotonic())
        async for answers in self._answers(row.id):
            for answer in answers:
                restoring.answer(answer)
        begun = await self._read(lambda: journal.begun(row.id)) if live else []
        return restoring.finish(counted=counted, begun=begun)

    async def _answers(self, job: str) -> AsyncIterator[list[AnswerRow]]:
        """All answers of a job, some at a time; what else there is to do is done between."""
        place = 0
        while rows := await self._read(partial(self.journal.answers, job, place)):
            yield rows
            place = rows[-1].place + 1
            await asyncio.sleep(0)

    # Going on ---------------------------------------------------------------------------------------------------------

    async def resume(self, job: str, again: str = "", force: bool = False) -> None:
        """Goes on with a job that is not over, whoever had it; one that is over is only read, or tried again.

        Args:
            job: its id.
            again: `failed` or `standing`: items whose answer is of that kind are tried again, from what they had
                finished. What was paid for them stays on the bill.
            force: it is taken from another cluster though that lives: only for somebody who knows better.

        Raises:
            UsageError: there is no such job; or it runs, and what it merges can't be undone before it is over; or it
                is another cluster's, which lives: two would pay for its items, and each lose what the other writes.
        """
        whichever(again)
        await self._ready.wait()
        if job not in self._jobs and not force:
            await self._check_owner(job)
        await self._take([job], lambda _: again)
        if job in self._jobs:  # one that is over already may be forgotten
            await self._safe(self._jobs[job])

    async def _check_owner(self, job: str) -> None:
        """Raises `UsageError` where a cluster that lives has the job."""
        rows = await self._read(lambda: self.journal.jobs(JobsAsk(ids=(job,), children=True)))
        owners = [row.owner for row in rows if row.state in (*LIVE, "queued") and row.owner != self._owner]
        for owner in owners:
            if owner != await self.owner() and await lives(owner, self.journal.values):
                raise UsageError(
                    f"job {job} runs on another cluster, which lives: cancel it there first,"
                    f" or take it over all the same by `understudy resume {job} --force`"
                )

    def _start_jobs(self, _: Envelope, message: StartJobs) -> None:
        self.post.spawn(self._started(message.jobs))

    async def _started(self, jobs: Sequence[str]) -> None:
        """It is their turn. A job that was begun before goes on with its failed items, and those that stand in."""
        await self._first_life()
        await self._ready.wait()
        await self._take(jobs, lambda row: "failed,standing" if row.attempt > 1 else "standing", queue=True)

    async def _first_life(self) -> None:
        """A successor takes nothing from the queue before it knows what its predecessor had."""
        if self._successor or self._lives:
            return
        owner = (await self.owner()).encode()
        found = await self._read(lambda: self.journal.values(LIFE))
        if found.get(LIFE) != owner:
            await self.journal.append(Append(values=(ValueRow(LIFE, owner),)))
        elif not self._successor:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._told.wait(), WAIT_S)
        self._lives = True

    async def _take(self, names: Sequence[str], again: Again, *, queue: bool = False) -> None:
        """Jobs from the Journal are worked on; those that are worked on already are passed over."""
        async with self._taking:
            wanted = [name for name in names if not (queue and self._works(name))]
            if not wanted:
                return
            self._sweep()
            await self._read(self._load_spending)
            found = await self._rows_of(wanted)
            missing = [name for name in wanted if name not in found and name not in self._jobs]
            if missing and not queue:
                raise UsageError(f"there is no job {missing[0]}")
            one = self._take_queued if queue else self._take_one
            await asyncio.gather(*(one(rows, again(rows.job)) for rows in found.values()))

    async def _rows_of(self, names: Sequence[str]) -> dict[str, Rows]:
        """What the Journal has of many jobs, the newest first, by three questions at once."""
        rows, specs, blocks = await asyncio.gather(
            self._read(lambda: self.journal.jobs(JobsAsk(ids=tuple(names), children=True))),
            self._read(lambda: self.journal.specs(names)),
            self._read(lambda: self.journal.blocks_of(names, SMALL_BYTES)),
        )
        known = {spec.job: spec for spec in specs}
        found = {row.id: Rows(row, known[row.id], []) for row in rows if row.id in known}
        for block in sorted(blocks, key=lambda block: block.number):
            if block.job in found:
                found[block.job].blocks.append(block)
        return found

    def _works(self, name: str) -> bool:
        job = self._jobs.get(name)
        return job is not None and job.ended is None and not job.ending

    async def _take_queued(self, rows: Rows, again: str) -> None:
        """As `_take_one`; one that can't be begun has failed: the Director decides what follows."""
        row = rows.job
        try:
            await self._take_one(rows, again, queue=True)
        except Exception as error:  # noqa: BLE001 - whatever is wrong with one job, the others begin
            await self._not_begun(row, error)

    async def _not_begun(self, row: JobRow, error: Exception) -> None:
        text = str(error).split("\n", 1)[0] or type(error).__name__
        log.warning("not_begun", job=row.id, cause=text)
        failed = msgspec.structs.replace(row, state="failed", error=text, updated=time.time())
        await self.journal.append(Append(jobs=(failed,)))
        if not row.parent:
            self.post.tell(DIRECTOR, JobEnded(row.id, failed.state, row.failed, row.standing, text))

    async def _take_one(self, rows: Rows, again: str, *, queue: bool = False) -> None:
        row, blocks = rows.job, rows.blocks
        if self._works(row.id):
            self._try_again(self._jobs[row.id], whichever(again))
            return
        known = self._jobs.get(row.id)
        if known is not None:
            await self._written(known)
            row, _, blocks = (await self._rows_of([row.id]))[row.id]
        new = queue and row.state == "open" and row.attempt == 1 and not row.cursor
        job = await self._restored(row, rows.spec, live=True, new=new, blocks=blocks)
        picked = [] if new else job.core.book.picked(whichever(again))
        if row.state == "done" and not picked:
            self._put_away(job, row)
            if queue:
                self.post.tell(DIRECTOR, JobEnded(row.id, row.state, row.failed, row.standing, row.error))
            return
        await self._staff(job)
        if picked and job.paper is not None:
            job.paper.note("again", picked)
            job.tried_again(picked)
            if job.core.spec.grows:
                await self._refill(job)
        job.blocks.update({one.number: one.data for one in blocks if one.data and job.core.book.needs(one.number)})
        if not new and job.paper is not None:
            job.paper.touch()
        self._join(job)

    async def _written(self, job: Job) -> None:
        """Returns when what a job that is over has said is written."""
        while job.paper is not None and (job.paper.waits or job.pumping):
            self._write(job)
            await asyncio.sleep(0.01)

    def _try_again(self, job: Job, which: Sequence[Which]) -> None:
        """Items of a job that runs are tried again."""
        picked = job.core.book.picked(which)
        if not picked or job.paper is None:
            return
        if job.core.spec.reduces:
            raise UsageError(f"job {job.id} runs: what it has merged can be made anew when it is over")
        job.paper.note("again", picked)
        job.tried_again(picked)
        self._go_on(job)

    async def _staff(self, job: Job) -> None:
        """The actors that it needs are there."""
        reply = await self._ensured(job.core.spec.config)
        self._mappers.update(reply.mappers)
        self._providers.update(reply.providers.values())
        job.reducer = reply.reducers[0] if reply.reducers else ""

    async def _ensured(self, config: bytes) -> EnsureReply:
        """The actors for a configuration; who asked for the same lately is answered from memory."""
        known = self._replies.get(config)
        if known is None or time.monotonic() > known[1] + ENSURED_S:
            # Many jobs begin in one turn of the loop: they wait for one answer.
            task = asyncio.get_running_loop().create_task(self._ensure(msgspec.msgpack.encode(EnsureAsk(config, 0))))
            self._replies = {config: (task, time.monotonic())}
        else:
            task = known[0]
        try:
            return await asyncio.shield(task)
        except Exception:
            if self._replies.get(config, (None, 0.0))[0] is task:
                del self._replies[config]
            raise

    async def _refill(self, job: Job) -> None:
        """All answers of items are merged anew."""
        row = job.row(owner=await self.owner(), now=time.time())
        spec = SpecRow(job.id, job.spec)
        restoring = Restoring(row, spec)
        restoring.blocks(await self._read(lambda: self.journal.blocks(job.id, data=False)))
        async for answers in self._answers(job.id):
            for answer in answers:
                if not answer.node:
                    restoring.answer(answer)
        job.unmerged = restoring.job.unmerged
        for done in list(job.unmerged):
            if not job.core.book.marks[done.item]:
                job.unmerged.drop(done.item)

    def _join(self, job: Job) -> None:
        """A job that was restored is worked on."""
        self._begin(job)
        parent = self._jobs.get(job.core.spec.parent)
        if parent is not None:
            parent.children.add(job.id)
        if job.core.spec.reduces:
            self._retell(job)
        self._go_on(job)

    def _retell(self, job: Job) -> None:
        for payload in job.retold():
            self._tell(job.reducer, payload, job)

    async def _load_spending(self) -> None:
        """What was spent before this process began, on the days that still count."""
        if self._loaded:
            return
        self._loaded = True
        try:
            spent = await self.journal.spent(int(time.time() // DAY_S))
        except BaseException:
            self._loaded = False
            raise
        before = {*self._jobs, *self._counted}
        for row in spent:
            if row.job not in before:
                self._spending.load(row.tenant, row.amount, day=row.day)
                self._counted.setdefault(row.job, {})[row.day] = row.amount
