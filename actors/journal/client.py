"""The Journal as all others use it: `Journal` over calls to the actor, of which few carry what many append."""

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

import structlog

from ...protocols.errors import JournalError, JournalPaused
from ...protocols.journal import (
    AnswerRow,
    Append,
    BlockRow,
    JobRow,
    JobsAsk,
    JournalStats,
    NoteRow,
    Recalled,
    SpecRow,
    SpentRow,
    StepRow,
    Swept,
)
from ..mailbox.persist import is_gone
from .asking import Appended, encode, pack_ask, pack_batch, unpack_answer, unpack_appended, unpack_result, unpack_stats

CALL_BYTES: Final = 80_000
"""A call carries so much, if one append is not more by itself: past 100 KB Ray's calls are several times dearer."""
WAITING_BYTES: Final = 8 << 20
"""Past so much that was not sent, `append` waits for room before it takes more."""
_FIRST_PAUSE_S: Final = 0.02
_LONGEST_PAUSE_S: Final = 2.0
_READ_PATIENCE_S: Final = 30.0
_CLOSE_S: Final = 5.0
_IN_ACTOR: Final = "RayTaskError"
"""Ray's name for what was raised in the actor: to send the same again would raise the same."""

log = structlog.get_logger(__name__)

Call = Callable[[str, bytes], Awaitable[bytes]]
"""Calls a method of the actor, found anew where it has died. Raises what `is_gone` knows when it is not there."""

Waiting = tuple[bytes, asyncio.Future[None]]
"""An `Append` as MessagePack, and who waits until it is on disk."""


class JournalClient:
    """See `understudy.actors.journal.api.Journal`.

    One call is under way at a time, so that what a sender sets later is also set later in the Journal, whatever is
    tried again. What is appended meanwhile goes into the next call.

    Args:
        call: reaches the actor.
    """

    def __init__(self, call: Call) -> None:
        self._call = call
        self._waiting: deque[Waiting] = deque()
        self._held = 0
        self._room: deque[asyncio.Future[None]] = deque()
        self._task: asyncio.Task[None] | None = None
        self._paused = ""
        self._closed = False

    @property
    def paused(self) -> str:
        """See `Journal`."""
        return self._paused

    # Appending --------------------------------------------------------------------------------------------------------

    async def append(self, rows: Append) -> None:
        """See `Journal`. Over the death of the actor, too. Raises `JournalError` when the client is closed."""
        while self._held > WAITING_BYTES and not self._closed:
            turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._room.append(turn)
            await turn
        if self._closed:
            raise JournalError("the journal's client is closed")
        # Packed here, so that who appends hears what can't be packed, and sizes are true and need not be reckoned.
        data = encode(rows)
        loop = asyncio.get_running_loop()
        done: asyncio.Future[None] = loop.create_future()
        self._waiting.append((data, done))
        self._held += len(data)
        if self._task is None:
            self._task = loop.create_task(self._send())
        await done

    async def close(self) -> None:
        """What was appended is sent, for some seconds; then whoever still waits is told that it was not written."""
        self._closed = True
        if self._task is not None:
            await asyncio.wait((self._task,), timeout=_CLOSE_S)
            if self._task is not None:
                self._task.cancel()
                await asyncio.wait((self._task,))
        for _, done in self._waiting:
            _fail(done, JournalError(f"it was not written before the end: {self._paused or 'no answer'}"))
        self._waiting.clear()
        self._make_room()

    async def _send(self) -> None:
        group: list[Waiting] = []
        try:
            while self._waiting:
                group = self._take()
                answer = await self._say([data for data, _ in group])
                for place, (_, done) in enumerate(group):
                    if place in answer.refused:
                        _fail(done, JournalError(answer.refused[place]))
                    elif not done.done():  # nobody waits any more for one that was cancelled
                        done.set_result(None)
                self._make_room()
        except asyncio.CancelledError:  # who waits is told by `close`
            self._waiting.extendleft(reversed(group))
            raise
        finally:
            self._task = None

    def _take(self) -> list[Waiting]:
        group = [self._waiting.popleft()]
        held = len(group[0][0])
        while self._waiting and held + len(self._waiting[0][0]) <= CALL_BYTES:
            group.append(self._waiting.popleft())
            held += len(group[-1][0])
        self._held -= held
        return group

    def _make_room(self) -> None:
        if self._held > WAITING_BYTES and not self._closed:
            return
        room, self._room = self._room, deque()
        for turn in room:  # each looks again whether there is room
            if not turn.done():
                turn.set_result(None)

    async def _say(self, batch: list[bytes]) -> Appended:
        """Tries until they are written, or never can be."""
        data = pack_batch(batch)
        pause = _FIRST_PAUSE_S
        while True:
            answer = await self._try(data, len(batch))
            self._paused = answer.paused
            if not answer.paused:
                return answer
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE_S)

    async def _try(self, data: bytes, count: int) -> Appended:
        try:
            return unpack_appended(await self._call("append", data))
        except Exception as error:
            if is_gone(error):
                return Appended("the Journal has died: its successor is being started")
            if _raised_in_actor(error):
                log.exception("journal_refuses", appends=count)
                return Appended("", dict.fromkeys(range(count), _line(error)))
            return Appended(f"the Journal can't be reached: {_line(error)}")

    # Reading ----------------------------------------------------------------------------------------------------------

    async def _ask(self, method: str, *arguments: Any) -> Any:
        answer = unpack_answer(await self._read("ask", pack_ask(method, *arguments)))
        if answer.paused:
            raise JournalPaused(answer.paused)
        if answer.error:
            raise JournalError(answer.error)
        return unpack_result(method, answer.data)

    async def _read(self, method: str, data: bytes) -> bytes:
        """What the actor answers, or its successor. Raises `JournalPaused` where that takes too long."""
        until = time.monotonic() + _READ_PATIENCE_S
        pause = _FIRST_PAUSE_S
        while True:
            try:
                return await self._call(method, data)
            except Exception as error:
                if _raised_in_actor(error):
                    raise JournalError(_line(error)) from error
                if time.monotonic() > until:
                    raise JournalPaused(f"the Journal does not answer: {_line(error)}") from error
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE_S)

    async def stats(self) -> JournalStats:
        """What the actor has done since it began. Raises `JournalPaused` where it is not there."""
        return unpack_stats(await self._read("stats", b""))

    async def jobs(self, ask: JobsAsk) -> list[JobRow]:
        """See `Journal`."""
        return await self._ask("jobs", ask)  # type: ignore[no-any-return]

    async def spec(self, job: str) -> SpecRow | None:
        """See `Journal`."""
        return await self._ask("spec", job)  # type: ignore[no-any-return]

    async def specs(self, jobs: Sequence[str]) -> list[SpecRow]:
        """See `Journal`."""
        return await self._ask("specs", list(jobs))  # type: ignore[no-any-return]

    async def blocks(self, job: str, start: int = 0, *, data: bool = True) -> list[BlockRow]:
        """See `Journal`."""
        return await self._ask("blocks", job, start, data)  # type: ignore[no-any-return]

    async def blocks_of(self, jobs: Sequence[str], most: int) -> list[BlockRow]:
        """See `Journal`."""
        return await self._ask("blocks_of", list(jobs), most)  # type: ignore[no-any-return]

    async def block(self, job: str, number: int) -> BlockRow | None:
        """See `Journal`."""
        return await self._ask("block", job, number)  # type: ignore[no-any-return]

    async def answers(self, job: str, start: int = 0) -> list[AnswerRow]:
        """See `Journal`."""
        return await self._ask("answers", job, start)  # type: ignore[no-any-return]

    async def notes(self, job: str) -> list[NoteRow]:
        """See `Journal`."""
        return await self._ask("notes", job)  # type: ignore[no-any-return]

    async def begun(self, job: str) -> list[int]:
        """See `Journal`."""
        return await self._ask("begun", job)  # type: ignore[no-any-return]

    async def steps(self, job: str, items: Sequence[int]) -> list[StepRow]:
        """See `Journal`."""
        return await self._ask("steps", job, list(items))  # type: ignore[no-any-return]

    async def recall(self, keys: Sequence[bytes]) -> list[Recalled | None]:
        """See `Journal`."""
        return await self._ask("recall", list(keys))  # type: ignore[no-any-return]

    async def values(self, prefix: str) -> dict[str, bytes]:
        """See `Journal`."""
        return await self._ask("values", prefix)  # type: ignore[no-any-return]

    async def spent(self, day: int) -> list[SpentRow]:
        """See `Journal`."""
        return await self._ask("spent", day)  # type: ignore[no-any-return]

    async def sweep(self, before: float, *, jobs: Sequence[str] = (), most: int = 0) -> Swept:
        """See `Journal`."""
        return await self._ask("sweep", before, list(jobs), most)  # type: ignore[no-any-return]


def _raised_in_actor(error: Exception) -> bool:
    # By name: to import Ray for the question alone would cost 0.4 s in a process that never calls it.
    return any(cls.__name__ == _IN_ACTOR for cls in type(error).__mro__)


def _line(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".split("\n", 1)[0]


def _fail(done: asyncio.Future[None], error: JournalError) -> None:
    if not done.done():
        done.set_exception(error)


def ray_journal(namespace: str, name: str = "journal") -> JournalClient:
    """A client of the actor of that name. Nothing is done, and Ray is not loaded, before its first use."""
    from ..mailbox.ray_peer import RayPeer, ray_resolver  # noqa: PLC0415

    resolve = ray_resolver(namespace)
    handles: dict[str, Any] = {}

    async def call(method: str, data: bytes) -> bytes:
        handle = handles.get(name)
        if handle is None:
            peer = await resolve(name)
            assert isinstance(peer, RayPeer)
            handle = handles[name] = peer.handle
        try:
            return await getattr(handle, method).remote(*((data,) if data else ()))  # type: ignore[no-any-return]
        except Exception as error:
            if is_gone(error):  # its successor has the same name and another handle
                handles.pop(name, None)
            raise

    return JournalClient(call)
