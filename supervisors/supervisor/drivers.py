"""The Supervisor's shell, what drivers and people ask of it."""

import asyncio
import contextlib
import time
from functools import partial
from typing import Any, Final

import msgspec

from ...actors.mapper.blocks import decode_spec
from ...protocols.errors import ConfigError, JournalError, UnderstudyError, UsageError
from ...protocols.jobs import LIVE, JobSpec, Page, TenantStatus, Verdict
from ...protocols.journal import JobRow
from ...protocols.messages import ProviderAsk, ProviderSnapshot, ReduceOpen, Sealed
from ..budgets import Spending
from .base import DAY_S
from .core import JobCore
from .job import SMALL_BYTES, Job
from .log import Row, page_of
from .paper import Paper
from .restoring import decode_answer
from .taking import Taking

CANCEL_S: Final = 5.0
"""Who cancels is answered when that is written, so that no death undoes it; or after so long, while nothing can be."""
PAGE_S: Final = 0.1
"""A reader is told what is new at most ten times a second."""


class Drivers(Taking):
    """Jobs as their drivers see them."""

    # Beginning --------------------------------------------------------------------------------------------------------

    async def open(
        self,
        spec: bytes,
        reducer: str,
        mappers: list[str],
        providers: list[str],
        nodes: int,
        *,
        first: tuple[int, bytes] | None = None,
        meta: bytes = b"",
    ) -> None:
        """A job begins; `nodes` is how many nodes of its tree a Reducer is to answer.

        A job that is journaled may be opened again, by a driver that has heard no answer.

        Args:
            spec: a `JobSpec`.
            reducer: the actor that holds its tree.
            mappers: who works on it.
            providers: whose accounts its pages tell of.
            nodes: how many nodes of its tree a Reducer is to answer.
            first: its first block (how many items, their bytes), so that work begins with this very call.
            meta: what whoever goes on with it as its driver needs; opaque here.

        Raises:
            ConfigError: there is another job of that id.
        """
        await self._ready.wait()
        decoded = decode_spec(spec)
        self._sweep()
        if decoded.journal != "off" and (decoded.tenant_day >= 0 or decoded.day >= 0):
            await self._read(self._load_spending)
        known = await self._opened(decoded, spec)
        if known is None:
            self._mappers.update(mappers)
            self._providers.update(providers)
            known = Job(
                JobCore(decoded, nodes, self._spending), spec, reducer, paper=_paper(decoded, spec, nodes, meta)
            )
            self._start(known)
        if first is not None:
            await self.add_block(decoded.id, *first, number=0)
        else:
            await self._safe(known)

    async def _opened(self, decoded: JobSpec, spec: bytes) -> Job | None:
        """The job, where it was opened before."""
        known = self._jobs.get(decoded.id)
        if known is None and decoded.journal != "off" and self._successor:
            row = await self._read(lambda: self.journal.spec(decoded.id))
            if row is None:
                return None
            found = await self._find(decoded.id)
            known = found if isinstance(found, Job) else None
        if known is not None and (known.paper is None or known.spec != spec):
            raise ConfigError(f"there is a job {decoded.id} already")
        return known

    def _start(self, job: Job) -> None:
        self._begin(job)
        if job.core.spec.reduces:
            self._tell(job.reducer, ReduceOpen(job.id), job)
        self._write(job)

    async def open_child(self, spec: bytes, mapper: str, nodes: int, again: str = "") -> None:
        """A job begins that works for an item of the job `JobSpec.parent`, which `mapper` has in hand and drives.

        It is worked on by whoever works for that job. It ends when that job ends, or, where it is not journaled, when
        the Mapper dies. What it spends is counted in no budget but its own: the item that it works for counts it.

        A journaled one that is there already, with the same specification, is gone on with; `again` as in `resume`.

        Raises:
            UnderstudyError: the job it is to work for is over; or there is another job of that id.
        """
        await self._ready.wait()
        decoded = decode_spec(spec)
        self._sweep()
        parent = self._jobs.get(decoded.parent)
        if parent is None or parent.ended is not None or parent.halted:
            raise UnderstudyError(f"the job {decoded.parent} is over: nothing can work for it")
        if decoded.journal == "off" or parent.paper is None:
            if decoded.id in self._jobs:
                raise ConfigError(f"there is a job {decoded.id} already")
            decoded = msgspec.structs.replace(decoded, journal="off")
        elif await self._gone_on_with(decoded, mapper, again):
            return
        width = max(1, decoded.total_width // max(1, len(self._mappers))) if decoded.total_width else decoded.width
        decoded = msgspec.structs.replace(decoded, width=width)  # shared out; it has one at each Mapper at least
        spec = msgspec.msgpack.encode(decoded)
        parent.children.add(decoded.id)
        child = Job(
            JobCore(decoded, nodes, Spending()), spec, parent.reducer, mapper, paper=_paper(decoded, spec, nodes, b"")
        )
        self._start(child)
        await self._safe(child)

    async def _gone_on_with(self, wanted: JobSpec, mapper: str, again: str) -> bool:
        """True where the child was there: its new driver goes on with it."""
        known = self._jobs.get(wanted.id)
        spec = known.spec if known is not None else b""
        if known is None:
            row = await self._read(lambda: self.journal.spec(wanted.id))
            if row is None:
                return False
            spec = row.spec
        there = decode_spec(spec)
        # Its id is made of what it is given; what bounds it may differ from one run of the item to the next.
        if (there.interpreter, there.parent) != (wanted.interpreter, wanted.parent):
            raise UnderstudyError(f"there is another job {wanted.id}: it was opened with another specification")
        await self._take([wanted.id], lambda _: again)
        job = self._jobs[wanted.id]
        job.driver = mapper
        if job.ended is None and not job.ending:
            self._jobs[wanted.parent].children.add(job.id)
        return True

    # Handing in -------------------------------------------------------------------------------------------------------

    async def add_block(self, job: str, count: int, data: bytes, number: int = -1) -> bool:
        """A block of items joins; it is put into the object store once, Mappers fetch it from there.

        For a job that lets its answers go (`JobSpec.keep`) this waits until there is room, which for such a job takes
        somebody who reads its answers meanwhile. Returns False, and takes nothing, where the job is over.

        Blocks that have a `number` (0, 1, …) may be told again: one that is there already is passed over.
        """
        known = await self._found(job)
        while self._too_early(known, number):
            known.moved.clear()
            await known.moved.wait()
        there = 0 <= number < len(known.core.book.firsts)
        if (known.ended is not None or known.ending) and not there:
            return False
        if not there:
            place = known.core.add_block(count)
            known.blocks[place] = self._stored(data)
            if known.paper is not None:
                known.paper.block(place, count, data)
            self._go_on(known)
        await self._safe(known)
        return True

    @staticmethod
    def _too_early(job: Job, number: int) -> bool:
        """True where there is no room yet for a block, or the one before it has not come."""
        here = len(job.core.book.firsts)
        if job.ended is not None or job.ending or 0 <= number < here:
            return False
        return number > here or not job.core.room

    def _stored(self, data: bytes) -> Any:
        """A block's bytes as the job holds them."""
        return data if len(data) <= SMALL_BYTES else self._put(data)

    @staticmethod
    def _put(data: bytes) -> Any:
        import ray  # noqa: PLC0415 - the shell's runtime, never needed by tests of the core

        return ray.put(data)

    async def seal(self, job: str) -> None:
        """No more blocks will come."""
        known = await self._found(job)
        if known.core.sealed or known.ending:
            await self._safe(known)
            return
        known.core.seal()
        if known.paper is not None:
            known.paper.note("sealed")
        if known.ended is None and known.core.spec.grows:
            self._then(known, partial(self._tell, known.reducer, Sealed(job, known.core.total), known))
        self._go_on(known)
        await self._safe(known)

    # Reading ----------------------------------------------------------------------------------------------------------

    async def follow(self, job: str, cursor: int, heard: int = -1) -> bytes:
        """What is new since `cursor`, as soon as there is something, and at least once a second; a `Page`.

        All before `cursor` counts as read: a job that does not keep its answers lets it go; of a journaled one it can
        be read again. With `heard` of 0 and up the page holds events of steps, too, for a job that is watched: give
        what the last page said.
        """
        known = await self._find(job)
        if isinstance(known, JobRow):
            return msgspec.msgpack.encode(_queued(known, cursor))
        known.read = True
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
        rows = await self._old_rows(known, cursor)
        paused = self.paused if known.paper is not None and known.core.spec.journal == "ahead" else ""
        page = known.page(cursor, heard, self._accounts, rows=rows, paused=paused)
        if known.driver and page.state not in LIVE:  # its driver has been told all
            self._jobs.pop(job, None)
        return msgspec.msgpack.encode(page)

    async def _old_rows(self, job: Job, cursor: int) -> list[Row] | None:
        """A page of answers that only the Journal has; None where the log has them."""
        if job.paper is None or cursor >= job.log.base:
            return None
        try:
            found = await self.journal.answers(job.id, cursor)
        except JournalError:  # the page says why; the reader asks again
            await asyncio.sleep(0.2)
            return []
        end = job.log.end  # what is written but not shown yet is not read either
        return page_of(job.row_of(decode_answer(row), node=row.node) for row in found if row.place < end)

    async def _look_at_accounts(self) -> None:
        if not self._providers or time.monotonic() - self._accounts_at < 1.0:
            return
        self._accounts_at = time.monotonic()
        asks = [self.post.ask(name, ProviderAsk(), timeout=1.0) for name in sorted(self._providers)]
        answers = await asyncio.gather(*asks, return_exceptions=True)
        self._accounts = tuple(answer for answer in answers if isinstance(answer, ProviderSnapshot))

    async def cancel(self, job: str) -> None:
        """Stops a job and what works for it; answers that are there stay."""
        await self._informed(job)
        known = self._jobs.get(job)
        if known is not None:
            self._stop(known)
            with contextlib.suppress(TimeoutError):  # written, too, if it can be
                await asyncio.wait_for(self._safe(known), CANCEL_S)

    async def jobs(self) -> bytes:
        """All jobs that are known, as `list[JobStatus]`."""
        now = time.monotonic()
        return msgspec.msgpack.encode([job.status(now=now) for job in self._jobs.values()])

    async def spending(self) -> bytes:
        """What each tenant has spent since 00:00 UTC, the one that spent most first, as `list[TenantStatus]`."""
        spent = self._spending.tenants(day=int(time.time() // DAY_S))
        rows = [TenantStatus(name, amount) for name, amount in spent.items()]
        return msgspec.msgpack.encode(sorted(rows, key=lambda row: (-row.spent, row.name)))

    # For people -------------------------------------------------------------------------------------------------------

    async def approvals(self) -> bytes:
        """What waits for people, as `list[Waiting]`, the one that waits longest first."""
        await self._informed()
        now = time.monotonic()
        found = [
            one
            for job in self._running()
            for one in job.core.parking.waiting(job.id, job.core.spec.title, now=now)
            if one.item not in job.unsafe
        ]
        return msgspec.msgpack.encode(sorted(found, key=lambda one: -one.age_s))

    async def answer(self, job: str, item: int, path: str, verdict: bytes) -> bool:
        """A person's `Verdict` about a step of an item; True when the item goes on by it, False when it asks more.

        Of a job that is written ahead the verdict is on disk before the item goes on by it.

        Args:
            job: its id.
            item: its number, or -1 for the only one of the job that waits.
            path: of the step, or empty for the only one of the item that waits.
            verdict: a `Verdict`.

        Raises:
            UsageError: nothing of that name waits, or more than one could be meant; the text names what does wait.
        """
        await self._informed(job)
        known = self._jobs.get(job)
        if known is not None:
            await self._safe(known)
        if known is None or known.ended is not None or not len(known.core.parking):
            waiting = ", ".join(one.id for one in self._running() if len(one.core.parking))
            raise UsageError(f"job {job!r} waits for nobody; {f'waiting are {waiting}' if waiting else 'no job does'}")
        item, path = known.core.parking.check(item, path)
        said = msgspec.msgpack.decode(verdict, type=Verdict)
        if known.paper is not None:
            known.paper.note("verdict", (item, path, said))
        await self._safe(known)
        known.core.parking.check(item, path)  # somebody else may have answered meanwhile
        ready = known.core.resume(item, path, said)
        self._go_on(known)
        return ready


def _paper(spec: JobSpec, encoded: bytes, nodes: int, meta: bytes) -> Paper | None:
    """What a job that begins has to write; None where nothing of it is kept."""
    if spec.journal == "off":
        return None
    base = JobRow(
        spec.id,
        "open",
        title=spec.title,
        tenant=spec.tenant,
        parent=spec.parent,
        created=time.time(),
        trace=spec.trace,
    )
    paper = Paper(base)
    paper.spec(encoded, nodes, meta)
    return paper


def _queued(row: JobRow, cursor: int) -> Page:
    """What a reader is told of a job that waits for its turn."""
    core = JobCore(JobSpec(row.id, row.title, "", b"", b""))
    return Page(
        state=row.state,
        cursor=cursor,
        total=row.total,
        sealed=True,
        done=row.done,
        failed=row.failed,
        running=0,
        nodes_done=0,
        bill=core.bill,
        error=row.error,
        parked=row.parked,
        standing=row.standing,
    )
