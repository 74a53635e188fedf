"""Group commit: what comes while a commit is on its way to the disk goes into the next one, all together."""

import asyncio
from collections.abc import Sequence
from typing import Final, Protocol

from ...protocols.errors import JournalPaused
from ...protocols.journal import Append
from .asking import Appended

MOST_BYTES: Final = 64 << 20
"""So much may wait. Senders have few calls under way each, so that only blocks of items come near it."""
GROUP_BYTES: Final = 4 << 20
"""A commit takes so much: some 20 ms at the speed of a common disk."""


class Writer(Protocol):
    """What a group is given to."""

    async def write(self, batch: Sequence[Append]) -> None:
        """Returns when all of it is on disk."""


class GroupCommit:
    """Appends that wait for the next commit. One commit at a time.

    Args:
        store: writes a group.
    """

    def __init__(self, store: Writer) -> None:
        self._store = store
        self._waiting: list[tuple[list[Append], int, asyncio.Future[Appended]]] = []
        self._held = 0
        self._task: asyncio.Task[None] | None = None

    async def append(self, batch: list[Append], size: int = 0) -> Appended:
        """What became of the appends; returns when they are on disk, or when they were not written.

        Args:
            batch: the appends.
            size: bytes they came in; 0: their weights are summed, which takes a tenth of what a small row costs here.
        """
        weight = size or sum(one.weight for one in batch)
        if self._waiting and self._held + weight > MOST_BYTES:
            return Appended(
                f"the journal is behind by {self._held >> 20} MiB: its disk is too slow for what is finished"
            )
        told: asyncio.Future[Appended] = asyncio.get_running_loop().create_future()
        self._waiting.append((batch, weight, told))
        self._held += weight
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._commit())
        return await told

    async def drain(self) -> None:
        """Returns when nothing waits."""
        while self._task is not None:
            await asyncio.shield(self._task)

    async def _commit(self) -> None:
        try:
            while self._waiting:
                group = self._take()
                answers = await self._write([batch for batch, _, _ in group])
                for (_, _, told), answer in zip(group, answers, strict=True):
                    if not told.done():  # its sender is gone
                        told.set_result(answer)
        finally:
            self._task = None

    def _take(self) -> list[tuple[list[Append], int, asyncio.Future[Appended]]]:
        count, held = 0, 0
        while count < len(self._waiting) and (not count or held < GROUP_BYTES):
            held += self._waiting[count][1]
            count += 1
        group, self._waiting = self._waiting[:count], self._waiting[count:]
        self._held -= held
        return group

    async def _write(self, batches: Sequence[list[Append]]) -> list[Appended]:
        try:
            await self._store.write([one for batch in batches for one in batch])
        except JournalPaused as error:
            return [Appended(str(error)) for _ in batches]
        except Exception:  # noqa: BLE001 - whatever is wrong with one of them, the others are written
            return [await self._one_by_one(batch) for batch in batches]
        return [Appended() for _ in batches]

    async def _one_by_one(self, batch: Sequence[Append]) -> Appended:
        """One that can't be written must not keep the others from it."""
        refused: dict[int, str] = {}
        for place, one in enumerate(batch):
            try:
                await self._store.write((one,))
            except JournalPaused as error:
                return Appended(str(error), refused)
            except Exception as error:  # noqa: BLE001 - its sender hears of it, whatever it is
                refused[place] = str(error) or type(error).__name__
        return Appended("", refused)
