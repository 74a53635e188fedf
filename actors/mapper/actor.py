"""The Mapper actor: the shell that runs items at once, each by the job's interpreter."""

import asyncio
import dataclasses
import importlib
import threading
from typing import Any, Final

from ...protocols.envelope import Envelope
from ...protocols.errors import ActorDied, UnderstudyError
from ...protocols.jobs import JobSpec
from ...protocols.messages import CancelJob, ItemDone, JobBroken, Results, Slice
from ..call.caller import Caller
from ..call.switchboard import Switchboard
from ..interpreter import Attached, Interpreter, Resumable, load
from ..mailbox.ray_peer import in_ray_thread
from ..shell import ActorShell, log
from .blocks import BlockGone, Blocks, decode_spec
from .core import Item, MapperCore
from .host import FLUSH_S, MapperHost

FLUSH_COUNT: Final = 128
FLUSH_BYTES: Final = 64_000
"""Results are told after so many items or bytes, or 50 ms: a message costs about 1 ms of CPU in all."""


@dataclasses.dataclass(slots=True)
class _Work:
    """A job as a Mapper sees it: who told it, how to do it, and the tasks that do."""

    home: str
    spec: JobSpec
    interpreter: Interpreter
    caller: Caller
    host: MapperHost
    tasks: set[asyncio.Task[None]] = dataclasses.field(default_factory=set)
    done: list[ItemDone] = dataclasses.field(default_factory=list)
    weight: int = 0
    timer: asyncio.TimerHandle | None = None


def _preload(paths: tuple[str, ...]) -> None:
    for path in paths:
        module, _, name = path.partition(":")
        getattr(importlib.import_module(module), name)()


class Mapper(ActorShell):
    """Works on slices. It knows nothing but what is in its hands; when it dies, its slices go to others."""

    def __init__(self, name: str, namespace: str, preload: tuple[str, ...] = ()) -> None:
        super().__init__(name, namespace)
        if preload:  # in a thread: a slice that comes sooner does not wait for it
            threading.Thread(target=_preload, args=(preload,), daemon=True).start()
        self._core = MapperCore()
        self._work: dict[str, _Work] = {}
        self._opening: dict[str, asyncio.Task[_Work]] = {}
        self._blocks = Blocks(self._fetch)
        self._homes: dict[str, str] = {}
        self._board = Switchboard(self.post)
        self.post.on(Slice, self._slice)
        self.post.on(CancelJob, self._cancel)

    # Slices -----------------------------------------------------------------------------------------------------------

    def _slice(self, envelope: Envelope, piece: Slice) -> None:
        # At once, not in the task: the job may be cancelled by the next message of the same batch.
        self._homes[piece.job] = envelope.sender
        self._core.take(piece)
        self.post.spawn(self._begin(piece, envelope.sender))

    async def _begin(self, piece: Slice, home: str) -> None:
        try:
            work = await self._open(piece.job, home)
        except Exception as error:  # noqa: BLE001 - a job that can't be opened is answered, item by item, by its cause
            if piece.job in self._homes:
                await self._refuse(piece, home, error)
            return
        if piece.job in self._homes:
            self._staff(work)
        else:  # cancelled while it was opened
            self._work.pop(piece.job, None)
            await self._board.end(work.spec)

    async def _open(self, job: str, home: str) -> _Work:
        known = self._work.get(job)
        if known is not None:
            return known
        task = self._opening.get(job)
        if task is None:
            task = self._opening[job] = asyncio.get_running_loop().create_task(self._load(job, home))
            task.add_done_callback(lambda _: self._opening.pop(job, None))
        return await asyncio.shield(task)

    async def _load(self, job: str, home: str) -> _Work:
        spec = decode_spec(await (await self._handle(home)).spec.remote(job))
        host = MapperHost(self.post, home, spec, lambda: self._handle(home))
        work = _Work(home, spec, load(spec), self._board.caller(spec), host)
        if isinstance(work.interpreter, Attached):
            work.interpreter.attach(host)
        self._work[job] = work
        return work

    async def _handle(self, name: str) -> Any:
        import ray  # noqa: PLC0415 - the shell's runtime, never needed by tests of the core

        try:
            return await in_ray_thread(ray.get_actor, name, self.namespace)
        except ValueError as error:
            raise ActorDied(f"there is no actor {name}") from error

    async def _fetch(self, job: str, number: int) -> bytes:
        handle = await self._handle(self._homes[job])
        references = await handle.block.remote(job, number)
        if not references:
            raise BlockGone(f"block {number} of {job} is needed by nobody any more")
        data: bytes = await references[0]
        return data

    async def _refuse(self, piece: Slice, home: str, error: Exception) -> None:
        text = str(error).split("\n", 1)[0] or type(error).__name__
        log.warning("job_not_opened", job=piece.job, cause=text)
        self._core.cancel(piece.job)
        try:
            block = await self._blocks.get(piece.job, piece.block)
        except BlockGone:
            return
        except Exception:  # noqa: BLE001 - without its block an item has no number to be answered by
            self.post.tell(home, JobBroken(piece.job, text), job=piece.job)
            return
        done = tuple(ItemDone(block.first + place, error=text) for place in range(piece.start, piece.stop))
        self.post.tell(home, Results(piece.job, done), job=piece.job)

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
                self._core.ended(job)
                item = self._core.start(job, width)
                continue
            except Exception as error:  # noqa: BLE001 - without its block an item has no number to be answered by
                text = f"{self.name} can't fetch block {item.block}: {type(error).__name__}: {error}"
                self.post.tell(work.home, JobBroken(job, text.split("\n", 1)[0]), job=job)
                return
            done = await self._map(work, block.first + item.place, block.items[item.place], item.state)
            self._core.ended(job)
            self._tell(work, done)
            item = self._core.start(job, width)

    async def _map(self, work: _Work, number: int, item: bytes, state: bytes) -> ItemDone:
        try:
            if not state:
                return await work.interpreter.map(number, item, work.caller)
            if isinstance(work.interpreter, Resumable):
                return await work.interpreter.resume(number, item, work.caller, state)
            return ItemDone(number, error=f"{work.spec.interpreter} can't go on with what was parked: no `resume`")
        except UnderstudyError as error:
            return ItemDone(number, error=str(error))
        except Exception as error:  # noqa: BLE001 - a fault in one item's interpretation keeps all others
            log.exception("item_failed", job=work.spec.id, item=number)
            return ItemDone(number, error=f"{type(error).__name__}: {error}"[:500])

    # Results ----------------------------------------------------------------------------------------------------------

    def _tell(self, work: _Work, done: ItemDone) -> None:
        work.done.append(done)
        work.weight += 64 + len(done.data) + len(done.error) + len(done.parked)
        full = len(work.done) >= FLUSH_COUNT or work.weight >= FLUSH_BYTES
        if full or not self._core.held(work.spec.id):
            self._flush(work)
        elif work.timer is None:
            work.timer = asyncio.get_running_loop().call_later(FLUSH_S, self._flush, work)

    def _flush(self, work: _Work) -> None:
        if work.timer is not None:
            work.timer.cancel()
            work.timer = None
        work.host.flush()  # what happened to a step is told before its item is
        if work.done:
            done, weight = tuple(work.done), work.weight
            work.done, work.weight = [], 0
            self.post.tell(work.home, Results(work.spec.id, done), job=work.spec.id, weight=weight)

    def _cancel(self, _: Envelope, cancel: CancelJob) -> None:
        self._core.cancel(cancel.job)
        self._blocks.forget(cancel.job)
        self._homes.pop(cancel.job, None)
        work = self._work.pop(cancel.job, None)
        if work is None:
            return
        self._flush(work)  # what was answered has been paid for, and stands on the bill
        for task in work.tasks:  # cancelling a task closes its socket and gives its permit back
            task.cancel()
        self.post.spawn(self._board.end(work.spec))

    def on_peer_down(self, name: str) -> None:
        """A Provider can't be reached: its channel asks the successor."""
        self._board.provider_down(name)

    async def stop(self) -> None:
        """Closes the sockets and gives the permits back."""
        for job in list(self._work):
            self._cancel(Envelope("", "", CancelJob(job)), CancelJob(job))
        await self._board.close()
        await super().stop()
