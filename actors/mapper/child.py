"""A job that works for one item of another: its driver is the Mapper that has the item in hand."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from types import TracebackType
from typing import Any, Final, Self

import msgspec
import structlog

from ...protocols.errors import ActorDied, UnderstudyError
from ...protocols.jobs import LIVE, JobSpec, Page
from ..mailbox.persist import is_gone, persist
from .blocks import pack_block

log = structlog.get_logger(__name__)

BLOCK_BYTES: Final = 1_000_000
"""A block is fetched whole by each Mapper that works on it."""

_leaving: set[asyncio.Task[None]] = set()
"""Children that are being cancelled: nobody waits for it, and a task that nobody holds may be collected."""


class ChildJob:
    """See `understudy.actors.interpreter.Child`. It outlives its Supervisor: what that left open it asks the successor.

    Args:
        spec: the job, with its parent.
        mapper: the Mapper that drives it; the job ends when that dies.
        handle: finds the Supervisor's handle.
        nodes: of its reduce tree, where that was drawn before.
        again: which items of one that is there already are tried again.
    """

    def __init__(
        self, spec: JobSpec, mapper: str, handle: Callable[[], Awaitable[Any]], *, nodes: int = 0, again: str = ""
    ) -> None:
        self.spec = spec
        self._mapper = mapper
        self._find = handle
        self._nodes = nodes
        self._again = again
        self._handle: Any = None
        #: Items and blocks that were added.
        self._count = self._blocks = 0
        self._over = False

    async def __aenter__(self) -> Self:
        try:
            await self._ask("open_child", msgspec.msgpack.encode(self.spec), self._mapper, self._nodes, self._again)
        except BaseException:  # it may have begun
            self._cancel()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._over:
            self._cancel()

    def _cancel(self) -> None:
        # Not waited for: whoever leaves is being cancelled himself, often with many others.
        task = asyncio.get_running_loop().create_task(self._leave())
        _leaving.add(task)
        task.add_done_callback(_leaving.discard)

    async def _leave(self) -> None:
        try:
            await self._ask("cancel", self.spec.id)
        except Exception as error:  # noqa: BLE001 - there is no Supervisor any more, or it knows no such job
            log.info("child_not_cancelled", job=self.spec.id, cause=str(error).split("\n", 1)[0])

    async def _ask(self, method: str, *arguments: Any) -> Any:
        async def attempt() -> Any:
            if self._handle is None:
                self._handle = await self._find()
            try:
                return await getattr(self._handle, method).remote(*arguments)
            except Exception as error:
                if is_gone(error):
                    self._handle = None
                raise

        try:
            return await persist(attempt)
        except Exception as error:
            raise self._plain(error) from error

    def _plain(self, error: Exception) -> Exception:
        """What an actor raised, as itself: Ray wraps it."""
        cause = getattr(error, "cause", error)
        if isinstance(cause, UnderstudyError):
            return cause
        return ActorDied(f"the supervisor of {self.spec.id} died") if is_gone(error) else error

    async def add(self, items: Sequence[bytes]) -> None:
        """More items, in blocks of about a megabyte.

        They are told one by one: an actor carries out calls as their arguments arrive, and what passes 100 KB comes by
        the object store, so that later calls overtake it.
        """
        block: list[bytes] = []
        size = 0
        for item in items:
            if block and size + len(item) > BLOCK_BYTES:
                await self._add(block)
                block, size = [], 0
            block.append(item)
            size += len(item)
        if block:
            await self._add(block)

    async def _add(self, block: Sequence[bytes]) -> None:
        first, self._count = self._count, self._count + len(block)
        number, self._blocks = self._blocks, self._blocks + 1
        # By number: a block that the Supervisor had taken before it died is not taken twice.
        await self._ask("add_block", self.spec.id, len(block), pack_block(first, block), number)

    async def seal(self) -> None:
        """No more items will come."""
        await self._ask("seal", self.spec.id)

    async def pages(self) -> AsyncIterator[Page]:
        """News until the job is over; with what happens to its steps, where the job is watched."""
        cursor, heard = 0, 0 if self.spec.watch else -1
        while not self._over:
            page = msgspec.msgpack.decode(await self._ask("follow", self.spec.id, cursor, heard), type=Page)
            cursor, heard = page.cursor, page.heard if self.spec.watch else -1
            self._over = page.state not in LIVE
            yield page
