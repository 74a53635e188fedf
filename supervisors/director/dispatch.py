"""What is asked of the queue: jobs are handed in, tried again, redriven and cancelled."""

import asyncio
import contextlib
from collections.abc import Iterable, Sequence
from typing import Any, Final

import msgspec

from ...protocols.errors import MailboxFull, UsageError
from ...protocols.jobs import JobSpec
from ...protocols.journal import Append, JobRow, JobsAsk, ValueRow
from ...protocols.queue import Submission, Submitted
from .limits import limits_of
from .lookup import all_jobs, check_same, found, job_row, known_jobs
from .pump import LIMITS, Pump
from .rows import AGAIN, OVER, again, cancelled, handed_in, joined, spec_of

MOST: Final = 200_000
"""So many jobs may wait; more are refused."""
CANCEL_S: Final = 10.0


class Dispatcher(Pump):
    """The queue as drivers see it. All its methods wait until it has read what was there. See `Pump`."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._lock = asyncio.Lock()
        self._limits_seen: dict[bytes, dict[str, int | None]] = {}

    async def submit(self, submissions: Sequence[Submission]) -> list[Submitted]:
        """Queues jobs; returns when they are safe. A job whose key or id is known is not queued again.

        Raises:
            UsageError: one of them can't be queued; then none is.
            MailboxFull: too many jobs wait.
        """
        specs = [spec_of(one) for one in submissions]
        await self._settled()
        async with self._lock:
            if len(self.queue) + len(specs) > MOST:
                raise MailboxFull(f"the queue is full: {len(self.queue):,} jobs wait; hand in more later")
            known = await known_jobs(self._journal(), submissions, specs)
            await check_same(self._journal(), known, submissions, specs)
            fresh: dict[str, Append] = {}
            for submission, spec in zip(submissions, specs, strict=True):
                if found(known, submission, spec) is None:
                    fresh[spec.id] = handed_in(submission, spec, owner=self._owner, now=self._now())
                    row = fresh[spec.id].jobs[0]
                    known[("id", spec.id)] = row
                    if submission.key:
                        known[("key", spec.tenant, submission.key)] = row
            self._learn_limits(specs)
            await self._append(joined(list(fresh.values())))
            self._enqueue(one.jobs[0] for one in fresh.values())
        answers = []
        for submission, spec in zip(submissions, specs, strict=True):
            job = found(known, submission, spec)
            assert job is not None
            answers.append(Submitted(job.id, job.state, new=fresh.pop(job.id, None) is not None))
        return answers

    async def again(self, job: str, which: str, delay_s: float) -> None:
        """A job that is over is queued once more; its failed and standing items are tried again, all else stays.

        Raises:
            UsageError: there is no such job, or it runs.
        """
        if which not in ("", "failed", "standing"):
            raise UsageError(f"{which!r} is neither failed nor standing")
        await self._settled()
        row = again(
            await job_row(self._journal(), job), attempts=1, delay_s=delay_s, owner=self._owner, now=self._clock()
        )
        self.queue.remove(job)
        await self._append(Append(jobs=(row,)))
        self._enqueue([row])

    async def redrive(self, jobs: Sequence[str]) -> int:
        """Takes jobs out of the dead letters, all where none is named; says how many. What is finished stays so.

        Raises:
            UsageError: one of them is not dead; then none is taken.
        """
        await self._settled()
        ask = JobsAsk(ids=tuple(jobs), states=("dead",))
        rows = await all_jobs(self._journal(), ask)
        missing = set(jobs) - {row.id for row in rows}
        if missing:
            raise UsageError(f"no dead letter: {', '.join(sorted(missing))}; `understudy dead` shows those there are")
        now = self._clock()
        rows = [again(row, attempts=AGAIN, delay_s=0.0, owner=self._owner, now=now) for row in rows]
        await self._append(Append(jobs=tuple(rows)))
        self._dead = max(0, self._dead - len(rows))
        self._enqueue(rows)
        return len(rows)

    async def dead(self) -> list[JobRow]:
        """The dead letters, the newest first."""
        await self._settled()
        rows = await all_jobs(self._journal(), JobsAsk(states=("dead",)))
        self._dead = len(rows)
        return rows

    async def cancel(self, job: str) -> None:
        """A job is not wanted any more, whether it waits, runs or is dead; one that is over stays as it is.

        Raises:
            UsageError: there is no such job.
        """
        await self._settled()
        deadline = self._clock() + CANCEL_S
        while True:
            self.queue.remove(job)
            row = await job_row(self._journal(), job)
            if row.state in ("queued", "dead") and job not in self._taken:
                await self._append(Append(jobs=(cancelled(row, now=self._clock()),)))
                self._dead -= row.state == "dead"
                return
            if row.state in OVER or self._clock() > deadline:
                return
            # It may be on its way to the Supervisor, which then does not know it yet.
            await self._stop(job)
            await asyncio.sleep(0.05)

    def _now(self) -> float:
        """A moment that no other job was created at: it keeps the order of those that are handed in together."""
        self._last = max(self._clock(), self._last + 1e-6)
        return self._last

    def _learn_limits(self, specs: Iterable[JobSpec]) -> None:
        """The newest configuration says how many jobs of a tenant run at once."""
        for spec in specs:
            if spec.config not in self._limits_seen:
                self._limits_seen.clear()
                self._limits_seen[spec.config] = limits_of(spec.config)
            limits = {**self._limits}
            for tenant, jobs in self._limits_seen[spec.config].items():
                self.queue.limit(tenant, jobs)
                with contextlib.suppress(KeyError):
                    del limits[tenant]
                if jobs is not None:
                    limits[tenant] = jobs
            if limits != self._limits:
                self._limits = limits
                self._values.append(ValueRow(f"{LIMITS}{self._owner}", msgspec.msgpack.encode(limits)))
