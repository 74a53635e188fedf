"""A Mapper's view of the jobs it works for: their specification and the blocks of items, fetched by reference."""

import asyncio
import dataclasses
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import msgspec

from ...protocols.jobs import JobSpec

KEPT: Final = 8
"""Blocks a Mapper keeps decoded: slices come in order, so a few are enough; a block is about 1 MB."""


@dataclasses.dataclass(frozen=True, slots=True)
class Block:
    """Some consecutive items of a job: the number of the first, and the items, opaque."""

    first: int
    items: Sequence[bytes]


Fetch = Callable[[str, int], Awaitable[bytes]]
"""Gets a block's bytes (as `pack_block` made them) by job and number."""


def pack_block(first: int, items: Sequence[bytes]) -> bytes:
    """A block as bytes."""
    return msgspec.msgpack.encode((first, items))


class Blocks:
    """Fetches each block once, also when many items want it at the same time."""

    def __init__(self, fetch: Fetch) -> None:
        self._fetch = fetch
        self._loading: OrderedDict[tuple[str, int], asyncio.Task[Block]] = OrderedDict()

    async def get(self, job: str, number: int) -> Block:
        """The block, fetched from whoever holds the job when it is not here."""
        key = (job, number)
        task = self._loading.get(key)
        if task is None:
            task = self._loading[key] = asyncio.get_running_loop().create_task(self._load(job, number))
            while len(self._loading) > KEPT:
                self._loading.popitem(last=False)
        if task.done() and not task.cancelled() and task.exception() is None:
            return task.result()
        try:
            return await asyncio.shield(task)
        except Exception:
            self._loading.pop(key, None)
            raise

    async def _load(self, job: str, number: int) -> Block:
        data = await self._fetch(job, number)
        first, items = msgspec.msgpack.decode(data, type=tuple[int, list[bytes]])
        return Block(first, items)

    def forget(self, job: str) -> None:
        """Drops a job's blocks."""
        for key in [key for key in self._loading if key[0] == job]:
            del self._loading[key]


def decode_spec(data: bytes) -> JobSpec:
    """A job's specification from the wire."""
    return msgspec.msgpack.decode(data, type=JobSpec)
