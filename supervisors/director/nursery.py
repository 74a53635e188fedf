"""The Director's shell, how it starts children, watches them, and adopts those that outlived a predecessor."""

import asyncio
import contextlib
import functools
import time
from collections.abc import Callable, Iterable
from typing import Any, Final

import msgspec

from ...actors.journal.api import Journal
from ...actors.mailbox.persist import is_away, is_gone
from ...actors.mailbox.ray_peer import in_ray_thread
from ...actors.shell import ActorShell, log
from ...protocols.envelope import Envelope
from ...protocols.errors import JournalError
from ...protocols.jobs import JobStatus
from ...protocols.journal import Append, ValueRow
from ...protocols.messages import Down, Hello, JobEnded, StartJobs
from ..children import JOURNAL, SUPERVISOR, ChildSpec, Spawner, core_children, journal_child
from .core import Announce, Start, TreeOfActors
from .dispatch import Dispatcher
from .queue import QueueSettings

LATER_S: Final = 0.7
"""Processes that start at once share two cores: started all together, the first mapped chunk came 0.5 s later."""
JOURNAL_S: Final = 2.0
"""The Journal begins so long after the first children: its start, 0.45 s of a core, is not to delay the first chunk."""
ASK_S: Final = 5.0
"""A child is waited for so long when people ask; the rest is shown without it."""
GONE_S: Final = 60.0
"""Ray keeps the names of a lost node's actors until it is sure that the node is lost: 10 s were seen (Ray 2.60)."""
GONE_PAUSE_S: Final = 0.5
LOOK_S: Final = 10.0
"""A Supervisor that takes another's place waits so long for a Director that does so, too, to have looked for all."""
CHILDREN: Final = "director/children/"


class Nursery(ActorShell):
    """Root of the supervision tree: named, detached, restarted by Ray; adopts children that outlived it.

    Which children there are beyond those of every cluster, and which jobs wait, it keeps in the Journal. It begins by
    itself, so that a successor does so, too, when no driver calls.

    Args:
        name: the actor's name.
        namespace: the Ray namespace.
        spawner: starts actors.
        fingerprint: of the code that started this cluster.
        keeper: process id of the local cluster's keeper, 0 where the cluster is not ours to stop.
        idle_s: the local cluster stops itself after so long without work; 0 means never.
        mappers: how many there are at least; 0 where drivers say.
        journal: the Journal's URL, references unresolved; empty for the default.
        queue: fields of `QueueSettings` that are not to have their defaults.
        open_journal: makes what speaks to the Journal.
    """

    def __init__(
        self,
        name: str,
        namespace: str,
        *,
        spawner: Spawner,
        fingerprint: str,
        keeper: int = 0,
        idle_s: float = 0.0,
        mappers: int = 0,
        journal: str = "",
        queue: dict[str, float] | None = None,
        open_journal: Callable[[], Journal] | None = None,
    ) -> None:
        super().__init__(name, namespace)
        self._spawner = spawner
        self._fingerprint = fingerprint
        self._keeper = keeper
        self._idle_s = idle_s
        self._mappers = mappers
        self._url = journal
        self._tree = TreeOfActors()
        self._handles: dict[str, Any] = {}
        self._asked_at = self._since = time.monotonic()
        self._began = False
        self._kept: list[ChildSpec] = []
        self._journal = functools.cache(open_journal or self._open_journal)
        self._queue = Dispatcher(
            self._journal,
            _cluster_id,
            lambda jobs: self._say(SUPERVISOR, StartJobs(jobs)),
            self._stop_job,
            msgspec.convert(queue or {}, QueueSettings, strict=False),
        )
        self.post.on(JobEnded, self._job_ended)
        self._succeeds = spawner.wake()
        self._adopted = not self._succeeds
        #: Children that are needed and that nobody has looked for yet; and what a predecessor wrote of more.
        self._unseen = set() if self._adopted else {CHILDREN}
        self._all_seen = asyncio.Event()

    async def _jobs(self) -> list[JobStatus] | None:
        """Jobs that the Supervisor knows; None where it does not answer."""
        found: list[JobStatus] | None = await self._of_child(SUPERVISOR, "jobs", list[JobStatus])
        return found

    async def _of_child(self, name: str, method: str, kind: Any, *arguments: Any) -> Any:
        """What a child says; None where it is not there."""
        handle = self._handles.get(name)
        if handle is None or name not in self._tree.alive():
            return None
        try:
            data = await asyncio.wait_for(getattr(handle, method).remote(*arguments), ASK_S)
        except Exception as error:  # noqa: BLE001 - it died just now, or is busy: what it knows is shown later
            log.info("not_told", what=method, cause=str(error).split("\n", 1)[0])
            return None
        return msgspec.msgpack.decode(data, type=kind) if kind is not None else None

    async def _stop_job(self, job: str) -> None:
        await self._of_child(SUPERVISOR, "cancel", None, job)

    def _job_ended(self, _: Envelope, ended: JobEnded) -> None:
        self._queue.begin()
        self._queue.ended(ended)

    def _open_journal(self) -> Journal:
        from ...actors.journal.client import ray_journal  # noqa: PLC0415 - only where something is written

        return ray_journal(self.namespace)

    # Children ---------------------------------------------------------------------------------------------------------

    def _say(self, name: str, message: Any) -> None:
        self.post.tell(name, message)

    def _ensure(self, specs: list[ChildSpec]) -> None:
        starts = self._tree.ensure(specs, now=time.monotonic())
        if starts:
            self._unseen.update(start.spec.name for start in starts)
            self._all_seen.clear()
        self._carry_out(starts)

    async def _ensure_later(self, specs: list[ChildSpec]) -> None:
        await asyncio.sleep(LATER_S)
        self._ensure(specs)
        if self._mappers:
            await asyncio.sleep(JOURNAL_S - LATER_S)
            self._ensure([journal_child(self._url)])
            self._queue.begin()

    async def _adopt_others(self) -> None:
        """Children that drivers have asked a predecessor for: those that live are adopted, the others restarted."""
        self._queue.begin()
        name = CHILDREN + await _cluster_id()
        while True:
            try:
                found = await self._journal().values(name)
            except JournalError as error:
                log.warning("children_unknown", cause=str(error))
                await asyncio.sleep(1.0)
                continue
            for data in found.values():
                self._ensure(msgspec.msgpack.decode(data, type=list[ChildSpec]))
            self._adopted = True
            self._seen(CHILDREN)
            self._keep_children()
            return

    def _keep_children(self) -> None:
        """Writes down which children there are beyond those that every start of this Director begins with."""
        always = {spec.name for spec in core_children(self._mappers)} | {JOURNAL} if self._mappers else {JOURNAL}
        kept = [spec for spec in self._tree.specs() if spec.name not in always]
        if self._adopted and kept != self._kept:
            self._kept = kept
            self._ensure([journal_child(self._url)])
            self.post.spawn(self._write_children(msgspec.msgpack.encode(kept)))

    async def _write_children(self, data: bytes) -> None:
        await self._journal().append(Append(values=(ValueRow(CHILDREN + await _cluster_id(), data),)))

    def _carry_out(self, effects: Iterable[Announce | Start]) -> None:
        for effect in effects:
            if isinstance(effect, Announce):
                self._announce(effect)
            else:
                self.post.spawn(self._start(effect))

    async def _start(self, effect: Start) -> None:
        spec = effect.spec
        if effect.delay_s:
            await asyncio.sleep(effect.delay_s)
        try:
            handle, pid, succeeds = await self._found_or_made(spec)
        except Exception as error:  # noqa: BLE001 - whatever kept it from starting: the restart limit decides
            log.warning("not_started", name=spec.name, cause=str(error).split("\n", 1)[0])
            self._died(spec.name)
            return
        finally:
            self._seen(spec.name)
        self._handles[spec.name] = handle
        restarts = self._tree.up(spec.name, pid, now=time.monotonic(), succeeds=succeeds)
        if restarts:
            self.post.renew(spec.name)
        if spec.name != SUPERVISOR:
            self.post.tell(SUPERVISOR, Hello(spec.name, spec.role, pid, restarts))
        elif restarts:
            self.post.spawn(self._recover(handle))
        await self._watch(spec.name, handle)

    async def _found_or_made(self, spec: ChildSpec) -> tuple[Any, int, bool]:
        """The actor of that name, its process, and whether it is known to take the place of one that died.

        One that is dead though Ray still has its name is waited for until it is gone. That is no further death: counted
        as such, all children of a lost node would have been given up before Ray had noticed the loss.
        """
        until = time.monotonic() + GONE_S
        died = False
        while True:
            found = await in_ray_thread(self._spawner.find, spec.name)
            if found is None:
                self._seen(spec.name)
            handle = found or await in_ray_thread(self._spawner.start, spec)
            try:
                return handle, await handle.pid.remote(), found is None and (died or self._succeeds)
            except Exception as error:
                if found is None or not is_gone(error) or time.monotonic() > until:
                    raise
            died = True
            self._seen(spec.name)
            await asyncio.sleep(GONE_PAUSE_S)

    def _seen(self, name: str) -> None:
        self._unseen.discard(name)
        if not self._unseen:
            self._all_seen.set()

    async def _recover(self, handle: Any) -> None:
        """A Supervisor that takes another's place is told who lives, and takes up its jobs.

        Where a Director takes another's place at the same time, it looks for all of them first: what a Mapper has in
        hand of which the Supervisor is not told is handed out, and paid, once more.
        """
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._all_seen.wait(), LOOK_S)
        living = {role: self._living(role) for role in ("mapper", "reducer", "provider")}
        for role, names in living.items():
            for name in names:
                self.post.tell(SUPERVISOR, Hello(name, role, self._tree.pid(name)))
        try:
            await handle.recover.remote(living["mapper"], living["reducer"])
            await self._queue.look()
        except Exception as error:  # noqa: BLE001 - it died over it: its own successor is told the same
            log.warning("not_recovered", cause=str(error).split("\n", 1)[0])

    def _living(self, role: str) -> list[str]:
        alive = set(self._tree.alive())
        return [name for name in self._tree.names(role) if name in alive]

    async def _watch(self, name: str, handle: Any) -> None:
        try:
            await handle.watch.remote()
        except Exception as error:  # noqa: BLE001 - any end of the call means that the process is gone
            log.info("child_died", name=name, cause=str(error).split("\n", 1)[0])
            if is_away(error):
                await self._fence(name, handle)
        self._died(name)

    async def _fence(self, name: str, handle: Any) -> None:
        """Ends a child that can't be reached and perhaps lives: what it has is given to others, who would pay again.

        It can't just be gone on with: what was said to it, and by it, may be lost.
        """
        try:
            await in_ray_thread(self._spawner.kill, handle)
        except Exception as error:  # noqa: BLE001 - it is dead, or its node is: nothing is left to be ended
            log.info("not_ended", name=name, cause=str(error).split("\n", 1)[0])

    def _died(self, name: str) -> None:
        self._handles.pop(name, None)
        self._carry_out(self._tree.died(name, now=time.monotonic()))

    def _announce(self, effect: Announce) -> None:
        self.post.renew(effect.name)
        for name in self._tree.alive():
            self.post.tell(name, Down(effect.name, effect.restarting))


async def _cluster_id() -> str:
    from ...actors.journal.owner import cluster_id  # noqa: PLC0415 - only where something is written

    return await in_ray_thread(cluster_id)
