"""A Mapper's view of the jobs it works for: their specification and the blocks of items, fetched by reference."""

import asyncio
import dataclasses
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import msgspec

from ...protocols.errors import UnderstudyError
from ...protocols.jobs import JobSpec

KEPT_BYTES: Final = 8_000_000
"""Of blocks that a Mapper keeps decoded: slices come in order, so a few are enough; a block is 1 MB at the most."""
KEPT_MOST: Final = 1024
"""Of small blocks: many jobs may be worked on by turns, and none is to be fetched again for each of its items."""


@dataclasses.dataclass(frozen=True, slots=True)
class Block:
    """Some consecutive items of a job: the number of the first, and the items, opaque."""

    first: int
    items: Sequence[bytes]


class BlockGone(UnderstudyError):
    """Raised where nobody needs a block any more: its items were answered by others, or their job is over."""


Fetch = Callable[[str, int], Awaitable[bytes]]
"""Gets a block's bytes (as `pack_block` made them) by job and number. Raises `BlockGone`."""


def pack_block(first: int, items: Sequence[bytes]) -> bytes:
    """A block as bytes."""
    return msgspec.msgpack.encode((first, items))


class Blocks:
    """Fetches each block once, also when many items want it at the same time."""

    def __init__(self, fetch: Fetch) -> None:
        self._fetch = fetch
        self._loading: dict[tuple[str, int], asyncio.Future[Block]] = {}
        self._sizes: dict[tuple[str, int], int] = {}
        self._bytes = 0
        #: Number of the first item of each block that was ever here, by job: what its items are called outlives it.
        self._firsts: dict[str, dict[int, int]] = {}

    async def get(self, job: str, number: int) -> Block:
        """The block, fetched from whoever holds the job when it is not here."""
        key = (job, number)
        task = self._loading.get(key)
        if task is None:
            task = self._loading[key] = asyncio.get_running_loop().create_task(self._load(job, number))
        if task.done() and not task.cancelled() and task.exception() is None:
            return task.result()
        try:
            return await asyncio.shield(task)
        except Exception:
            self._drop(key)
            raise

    def put(self, job: str, number: int, data: bytes) -> None:
        """A block that came with the work on it. One that can't be read is left to be fetched, and to fail then."""
        if (job, number) in self._loading:
            return
        try:
            first, items = _unpack(data)
        except msgspec.MsgspecError:
            return
        block: asyncio.Future[Block] = asyncio.get_running_loop().create_future()
        block.set_result(Block(first, items))
        self._loading[job, number] = block
        self._firsts.setdefault(job, {})[number] = first
        self._weigh((job, number), len(data))

    async def _load(self, job: str, number: int) -> Block:
        data = await self._fetch(job, number)
        self._weigh((job, number), len(data))
        first, items = _unpack(data)
        if (job, number) in self._loading:
            self._firsts.setdefault(job, {})[number] = first
        return Block(first, items)

    def first(self, job: str, number: int) -> int | None:
        """The number of the block's first item, where the block is or was here; None otherwise."""
        return self._firsts.get(job, {}).get(number)

    def forget(self, job: str) -> None:
        """Drops a job's blocks."""
        self._firsts.pop(job, None)
        for key in [key for key in self._loading if key[0] == job]:
            self._drop(key)

    def _weigh(self, key: tuple[str, int], size: int) -> None:
        """The block is here; others make room for it, the oldest first."""
        if key not in self._loading:  # forgotten meanwhile
            return
        self._sizes[key] = size
        self._bytes += size
        while len(self._sizes) > 1 and (self._bytes > KEPT_BYTES or len(self._sizes) > KEPT_MOST):
            self._drop(next(iter(self._sizes)))

    def _drop(self, key: tuple[str, int]) -> None:
        self._loading.pop(key, None)
        self._bytes -= self._sizes.pop(key, 0)


def _unpack(data: bytes) -> tuple[int, list[bytes]]:
    return msgspec.msgpack.decode(data, type=tuple[int, list[bytes]])


def decode_spec(data: bytes) -> JobSpec:
    """A job's specification from the wire."""
    return msgspec.msgpack.decode(data, type=JobSpec)
