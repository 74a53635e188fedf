"""Steps of items that were begun before: read from the Journal, those of many items at once."""

import asyncio
from collections.abc import Callable, Iterable
from typing import Final

from ...protocols.errors import JournalPaused
from ...protocols.journal import StepRow
from ..journal.api import Journal

TOGETHER: Final = 256
"""Items whose steps are asked for in one call."""
_PAUSE_S: Final = 0.5


class Begun:
    """The steps of one job's items, each asked for before the item goes on.

    Args:
        journal: gives the Journal in which they are.
        job: the job's id.
    """

    def __init__(self, journal: Callable[[], Journal], job: str) -> None:
        self._journal = journal
        self._job = job
        self._rows: dict[int, list[StepRow]] = {}
        self._reading: asyncio.Task[None] | None = None
        self._forgotten = 0

    async def rows(self, number: int, others: Callable[[], Iterable[int]]) -> list[StepRow]:
        """The steps of an item; those of `others`, which will be asked for soon, are read in the same call.

        Where the Journal can't be read for now, it waits.

        Raises:
            JournalError: the Journal can't be used at all.
        """
        while number not in self._rows:
            if self._reading is None:
                self._reading = asyncio.get_running_loop().create_task(self._read([number, *others()]))
            await asyncio.shield(self._reading)
        return self._rows.pop(number)

    async def _read(self, numbers: list[int]) -> None:
        forgotten = self._forgotten
        try:
            found: dict[int, list[StepRow]] = {number: [] for number in numbers}
            for row in await self._patiently(numbers):
                found[row.item].append(row)
            if forgotten == self._forgotten:
                self._rows |= found
        finally:
            self._reading = None

    async def _patiently(self, numbers: list[int]) -> list[StepRow]:
        while True:
            try:
                return await self._journal().steps(self._job, numbers)
            except JournalPaused:
                await asyncio.sleep(_PAUSE_S)

    def forget(self) -> None:
        """What was read and not asked for yet is dropped: others may work on these items by now, and finish more."""
        self._rows.clear()
        self._forgotten += 1
