"""The Mapper actor: the shell that runs items at once, each by the job's interpreter."""

import asyncio
import dataclasses
import importlib
import threading
from collections.abc import Callable
from typing import Any

from ...protocols.envelope import Envelope
from ...protocols.errors import ActorDied, UnderstudyError
from ...protocols.jobs import JobSpec
from ...protocols.messages import CancelJob, Down, Held, HoldAsk, Holds, ItemDone, JobBroken, Results, Slice, Taken
from ..call.caller import Caller
from ..call.switchboard import Switchboard
from ..interpreter import Attached, Interpreter, Remembering, Resumable, load
from ..journal.api import Journal
from ..mailbox.persist import persist
from ..mailbox.ray_peer import in_ray_thread
from ..shell import ActorShell, OwnJournal, log
from .begun import TOGETHER, Begun
from .blocks import BlockGone, Blocks, decode_spec
from .core import NEVER_BEGUN, Item, MapperCore
from .host import MapperHost
from .reporting import Reporting


@dataclasses.dataclass(slots=True)
class _Work:
    """A job as a Mapper sees it: who told it, how to do it, and the tasks that do."""

    home: str
    spec: JobSpec
    interpreter: Interpreter
    caller: Caller
    host: MapperHost
    reporting: Reporting
    begun: Begun | None = None
    tasks: set[asyncio.Task[None]] = dataclasses.field(default_factory=set)


def _preload(paths: tuple[str, ...]) -> None:
    for path in paths:
        module, _, name = path.partition(":")
        getattr(importlib.import_module(module), name)()


def _line(error: BaseException) -> str:
    return str(error).split("\n", 1)[0] or type(error).__name__


class Mapper(ActorShell):
    """Works on slices. It knows nothing but what is in its hands; when it dies, its slices go to others.

    When its Supervisor dies it goes on with what it has; the successor asks for that, and for what was answered.
    """

    def __init__(
        self,
        name: str,
        namespace: str,
        preload: tuple[str, ...] = (),
        journal: Callable[[], Journal] | None = None,
    ) -> None:
        super().__init__(name, namespace)
        if preload:  # in a thread: a slice that comes sooner does not wait for it
            threading.Thread(target=_preload, args=(preload,), daemon=True).start()
        self._core = MapperCore()
        self._work: dict[str, _Work] = {}
        self._opening: dict[str, asyncio.Task[_Work]] = {}
        self._blocks = Blocks(self._fetch)
        self._homes: dict[str, str] = {}
        self._own = OwnJournal(namespace, journal)
        self._board = Switchboard(self.post, journal=self._own)
        self.post.on(Slice, self._slice)
        self.post.on(CancelJob, self._cancel)
        self.post.on(Taken, self._taken)
        self.post.on(HoldAsk, self._hold)
        self.post.on(Down, self._down)

    # Slices -----------------------------------------------------------------------------------------------------------

    def _slice(self, envelope: Envelope, piece: Slice) -> None:
        # At once, not in the task: the job may be cancelled by the next message of the same batch.
        self._homes[piece.job] = envelope.sender
        self._core.take(piece)
        if piece.data:
            self._blocks.put(piece.job, piece.block, piece.data)
        self.post.spawn(self._begin(piece.job, envelope.sender, piece.spec))

    async def _begin(self, job: str, home: str, spec: bytes) -> None:
        try:
            work = await self._open(job, home, spec)
        except Exception as error:  # noqa: BLE001 - a job that can't be opened is answered, item by item, by its cause
            if job in self._homes:
                await self._refuse(job, home, error)
            return
        if job in self._homes:
            self._staff(work)
        else:  # cancelled while it was opened
            self._work.pop(job, None)
            await self._board.end(work.spec)

    async def _open(self, job: str, home: str, spec: bytes) -> _Work:
        """The job as it is worked on here; `spec` where it came along, else it is fetched."""
        known = self._work.get(job)
        if known is not None:
            return known
        task = self._opening.get(job)
        if task is None and spec:
            return self._made(decode_spec(spec), home)
        if task is None:
            task = self._opening[job] = asyncio.get_running_loop().create_task(self._load(job, home))
            task.add_done_callback(lambda _: self._opening.pop(job, None))
        return await asyncio.shield(task)

    async def _load(self, job: str, home: str) -> _Work:
        async def told() -> bytes:
            data: bytes = await (await self._handle(home)).spec.remote(job)
            return data

        return self._made(decode_spec(await persist(told)), home)

    def _made(self, spec: JobSpec, home: str) -> _Work:
        job = spec.id
        host = MapperHost(self.post, home, spec, lambda: self._handle(home), self._own)
        reporting = Reporting(self.post, home, spec, host, lambda: not self._core.held(job))
        work = _Work(home, spec, load(spec), self._board.caller(spec), host, reporting)
        if spec.journal == "ahead":
            work.begun = Begun(self._own, job)
        if isinstance(work.interpreter, Attached):
            work.interpreter.attach(host)
        if isinstance(work.interpreter, Remembering) and spec.journal != "off" and not spec.fresh:
            from ..journal.memory import JournalMemory  # noqa: PLC0415 - only where somebody remembers

            work.interpreter.remember(JournalMemory(self._own()))
        self._work[job] = work
        return work

    async def _handle(self, name: str) -> Any:
        import ray  # noqa: PLC0415 - the shell's runtime, never needed by tests of the core

        try:
            return await in_ray_thread(ray.get_actor, name, self.namespace)
        except ValueError as error:
            raise ActorDied(f"there is no actor {name}") from error

    async def _fetch(self, job: str, number: int) -> bytes:
        async def fetched() -> bytes:
            references = await (await self._handle(self._homes[job])).block.remote(job, number)
            if not references:
                raise BlockGone(f"block {number} of {job} is needed by nobody any more")
            block = references[0]
            data: bytes = block if isinstance(block, bytes) else await block  # a small one comes itself
            return data

        return await persist(fetched)

    async def _refuse(self, job: str, home: str, error: Exception) -> None:
        text = _line(error)
        log.warning("job_not_opened", job=job, cause=text)
        blocks: dict[int, list[int]] = {}
        for item in self._core.cancel(job):
            blocks.setdefault(item.block, []).append(item.place)
        for number, places in blocks.items():
            try:
                block = await self._blocks.get(job, number)
            except BlockGone:
                continue
            except Exception:  # noqa: BLE001 - without its block an item has no number to be answered by
                self.post.tell(home, JobBroken(job, text), job=job)
                return
            done = tuple(ItemDone(block.first + place, error=text) for place in places)
            self.post.tell(home, Results(job, done), job=job)

    # Items ------------------------------------------------------------------------------------------------------------

    def _staff(self, work: _Work) -> None:
        """Starts runners while the core hands out items; a runner takes items until none is left.

        The core's count decides, not the number of tasks: a task that has ended is still in the set for one turn of the
        loop, and a slice that came in that turn would wait for ever.
        """
        while (item := self._core.start(work.spec.id, work.spec.width)) is not None:
            task = asyncio.get_running_loop().create_task(self._run(work, item))
            work.tasks.add(task)
            task.add_done_callback(work.tasks.discard)

    async def _run(self, work: _Work, item: Item | None) -> None:
        job, width = work.spec.id, work.spec.width
        while item is not None:
            try:
                block = await self._blocks.get(job, item.block)
            except BlockGone:
                self._core.ended(item)
            except Exception as error:  # noqa: BLE001 - without its block an item has no number to be answered by
                text = f"{self.name} can't fetch block {item.block}: {type(error).__name__}: {error}"
                self._core.ended(item)
                self.post.tell(work.home, JobBroken(job, text.split("\n", 1)[0]), job=job)
                return
            else:
                if self._core.runs(item):  # not given up meanwhile
                    done = await self._map(work, block.first + item.place, block.items[item.place], item)
                    self._core.ended(item)
                    work.reporting.add(done)
            item = self._core.start(job, width)

    async def _map(self, work: _Work, number: int, data: bytes, item: Item) -> ItemDone:
        try:
            if item.era != NEVER_BEGUN and work.begun is not None:
                rows = await work.begun.rows(number, lambda: self._begun_before(work.spec.id))
                work.host.begin(number, item.era, rows, again=True)
            if not item.state:
                return await work.interpreter.map(number, data, work.caller)
            if isinstance(work.interpreter, Resumable):
                return await work.interpreter.resume(number, data, work.caller, item.state)
            return ItemDone(number, error=f"{work.spec.interpreter} can't go on with what was parked: no `resume`")
        except UnderstudyError as error:
            return ItemDone(number, error=str(error))
        except Exception as error:  # noqa: BLE001 - a fault in one item's interpretation keeps all others
            log.exception("item_failed", job=work.spec.id, item=number)
            return ItemDone(number, error=f"{type(error).__name__}: {error}"[:500])
        finally:
            work.host.end(number)

    def _begun_before(self, job: str) -> list[int]:
        waiting = [(self._blocks.first(job, item.block), item) for item in self._core.begun_before(job, TOGETHER)]
        return [first + item.place for first, item in waiting if first is not None]

    # The Supervisor ---------------------------------------------------------------------------------------------------

    def _taken(self, _: Envelope, taken: Taken) -> None:
        work = self._work.get(taken.job)
        if work is not None:
            work.reporting.telling.untaken.take(taken.serial)

    def _hold(self, envelope: Envelope, ask: HoldAsk) -> Holds:
        mine = [job for job, home in self._homes.items() if home == envelope.sender]
        for job in mine:
            if job not in ask.jobs:
                self._drop(job)
        return Holds(tuple(self._held(job) for job in mine if job in ask.jobs))

    def _held(self, job: str) -> Held:
        work = self._work.get(job)
        items = tuple(self._core.hold(job, lambda block: self._blocks.first(job, block)))
        if work is None:
            return Held(job, items)
        if work.begun is not None:
            work.begun.forget()
        self._staff(work)  # what was given up has left room
        return Held(job, items, work.reporting.held(), work.reporting.telling.untaken.serial)

    def _cancel(self, _: Envelope, cancel: CancelJob) -> None:
        self._drop(cancel.job)

    def _drop(self, job: str) -> None:
        self._core.cancel(job)
        self._blocks.forget(job)
        self._homes.pop(job, None)
        work = self._work.pop(job, None)
        if work is None:
            return
        work.reporting.close()
        for task in work.tasks:  # cancelling a task closes its socket and gives its permit back
            task.cancel()
        self.post.spawn(self._board.end(work.spec))

    def _down(self, _: Envelope, down: Down) -> None:
        self.on_peer_down(down.name)

    def on_peer_down(self, name: str) -> None:
        """A Provider's channel asks the successor; what a Supervisor was told is told again, until it is taken."""
        self._board.provider_down(name)
        for work in self._work.values():
            if work.home == name:
                work.reporting.telling.doubt()

    async def stop(self) -> None:
        """Closes the sockets and gives the permits back."""
        for job in list(self._work):
            self._drop(job)
        await self._board.close()
        await self._own.close()
        await super().stop()
