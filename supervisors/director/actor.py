"""The Director actor: the root of the supervision tree, as drivers see it."""

import asyncio
import functools
import os
import signal
import time

import msgspec

from ...actors.mailbox.ray_peer import in_ray_thread
from ...actors.shell import log
from ...protocols.config import Config
from ...protocols.errors import UsageError
from ...protocols.jobs import LIVE, ChildStatus, EnsureAsk, EnsureReply, Status, TenantStatus
from ...protocols.journal import JournalStats
from ...protocols.messages import Configure, ProviderAsk, ProviderSnapshot
from ...protocols.queue import Submission
from ..children import DIRECTOR, JOURNAL, SUPERVISOR, check, core_children, journal_child
from ..children import provider_children as providers_of
from ..proof import differing
from .nursery import Nursery


class Director(Nursery):
    """Starts what is needed, tells what is known, and queues jobs. See `Nursery` for its arguments."""

    # For drivers ------------------------------------------------------------------------------------------------------

    async def begin(self) -> str:
        """Starts or adopts the children every job needs; answers with the fingerprint of this cluster's code."""
        if not self._began:
            self._began = True
            children = core_children(self._mappers) if self._mappers else []
            if self._succeeds:
                self._ensure([*children, journal_child(self._url)])
                self.post.spawn(self._adopt_others())
            else:
                # The first two were started by the keeper; the others begin when those two have got to work.
                self._ensure(children[:2])
                self.post.spawn(self._ensure_later(children[2:]))
            if self._keeper and self._idle_s:
                self.post.spawn(self._stop_when_idle())
        return self._fingerprint

    async def ensure(self, data: bytes) -> bytes:
        """The actors for a configuration: an `EnsureAsk` is answered by an `EnsureReply`.

        Raises:
            UsageError: another journal is wished for than this cluster has.
        """
        await self.begin()
        self._asked_at = time.monotonic()
        ask = msgspec.msgpack.decode(data, type=EnsureAsk)
        self._check_journal(ask.journal)
        config = _config(ask.config)
        stale = differing(ask.proofs, ask.nonce)
        providers = providers_of(config)
        mappers = ask.mappers or len(self._tree.names("mapper")) or self._mappers or 1
        specs = [*core_children(mappers), *providers.values()]
        check(specs)
        if not stale:
            if ask.nonce:  # a driver's, whose environment may have a new key; not that of a job which waited
                for effect in self._tree.reconfigure(specs):
                    self.post.tell(effect.name, Configure(effect.account))
            self._ensure([*specs, journal_child(self._url)] if providers else specs)
            self._keep_children()
        reply = EnsureReply(
            supervisor=SUPERVISOR,
            mappers=self._tree.names("mapper"),
            reducers=self._tree.names("reducer"),
            providers={account: spec.name for account, spec in providers.items()},
            stale=stale,
            journal=JOURNAL,
        )
        return msgspec.msgpack.encode(reply)

    def _check_journal(self, wished: str) -> None:
        if wished and wished != self._url:
            mend = "run `understudy down`, then this command again" if self._keeper else "end our actors there first"
            raise UsageError(
                f"the running cluster keeps its journal in {self._url or 'its default file'}, not in {wished}: {mend}"
            )

    async def status(self) -> bytes:
        """What is known, as a `Status`."""
        await self.begin()
        providers = [name for name in self._tree.names("provider") if name in self._tree.alive()]
        asks = [self.post.ask(name, ProviderAsk(), timeout=2.0) for name in providers]
        accounts = await asyncio.gather(*asks, return_exceptions=True)
        jobs = tuple(await self._jobs() or ())
        tenants = await self._of_child(SUPERVISOR, "spending", list[TenantStatus]) or ()
        journal = await self._of_child(JOURNAL, "stats", JournalStats)
        now = time.monotonic()
        busy = self._queue.busy or any(job.state in LIVE for job in jobs)
        itself = ChildStatus(DIRECTOR, "director", "up", os.getpid(), int(self._succeeds), now - self._since)
        status = Status(
            children=(itself, *self._tree.status(now=now)),
            accounts=tuple(one for one in accounts if isinstance(one, ProviderSnapshot)),
            jobs=jobs,
            tenants=tuple(tenants),
            idle_s=0.0 if busy else now - self._asked_at,
            stops_after_s=self._idle_s if self._keeper else 0.0,
            queue=self._queue.status(),
            journal=self._url,
            journal_paused=journal.paused if journal else "",
        )
        return msgspec.msgpack.encode(status)

    async def shutdown(self) -> None:
        """Ends all children, the last started first."""
        self._queue.close()
        for name in reversed(list(self._handles)):
            await in_ray_thread(self._spawner.kill, self._handles.pop(name))

    # The queue --------------------------------------------------------------------------------------------------------

    async def submit(self, data: bytes) -> bytes:
        """Queues jobs, a `list[Submission]`; answers with a `list[Submitted]` when they are safe.

        May be asked again: a job whose id or key is known is not queued twice.

        Raises:
            UsageError: one of them can't be queued; then none is.
            MailboxFull: too many jobs wait.
        """
        await self._begin_queue()
        submissions = msgspec.msgpack.decode(data, type=list[Submission])
        return msgspec.msgpack.encode(await self._queue.submit(submissions))

    async def again(self, job: str, which: str = "failed", delay_s: float = 0.0) -> None:
        """Queues a job that is over once more: its `failed` or `standing` items are tried again, all else stays.

        Raises:
            UsageError: there is no such job, or it runs.
        """
        await self._begin_queue()
        await self._queue.again(job, which, delay_s)

    async def redrive(self, jobs: list[str]) -> int:
        """Takes jobs out of the dead letters, all where none is named; says how many.

        Raises:
            UsageError: one of them is not dead; then none is taken.
        """
        await self._begin_queue()
        return await self._queue.redrive(jobs)

    async def dead(self) -> bytes:
        """The dead letters as `list[JobRow]`, the newest first."""
        await self._begin_queue()
        return msgspec.msgpack.encode(await self._queue.dead())

    async def cancel(self, job: str) -> None:
        """Cancels a job, whether it waits or runs; one that is over stays as it is.

        Raises:
            UsageError: there is no such job.
        """
        runs = any(one.id == job and one.state in LIVE for one in await self._jobs() or ())
        if runs and job not in self._queue.queue:
            await self._stop_job(job)
        else:
            await self._begin_queue()
            await self._queue.cancel(job)

    async def _begin_queue(self) -> None:
        await self.begin()
        self._asked_at = time.monotonic()
        self._ensure([journal_child(self._url)])

    # Idleness ---------------------------------------------------------------------------------------------------------

    async def _busy(self) -> bool:
        jobs = await self._jobs()
        if jobs is None:  # it is restarted, and may have any number of jobs; or it was given up
            return bool(self._tree.names("supervisor"))
        return self._queue.busy or any(job.state in LIVE for job in jobs)

    async def _stop_when_idle(self) -> None:
        """Ends the local cluster when nobody has needed it for `idle_s`: its keeper is told, which stops Ray."""
        while True:
            left = self._asked_at + self._idle_s - time.monotonic()
            if left > 0:
                await asyncio.sleep(left)
                continue
            if await self._busy():
                self._asked_at = time.monotonic()
                continue
            log.info("idle", after_s=self._idle_s)
            os.kill(self._keeper, signal.SIGTERM)
            return


@functools.lru_cache(16)
def _config(data: bytes) -> Config:
    """Jobs that wait bring the same configuration many times."""
    return Config.model_validate_json(data)
