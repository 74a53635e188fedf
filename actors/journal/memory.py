"""What earlier jobs have answered, as an interpreter asks for it."""

import asyncio
from collections.abc import Sequence
from typing import Final

import structlog

from ...protocols.journal import Recalled
from .api import Journal

_MOST: Final = 2000
"""Keys a question: an answer of a few MB."""

log = structlog.get_logger(__name__)


class JournalMemory:
    """See `understudy.actors.interpreter.Memory`. Items ask one by one; the Journal is asked for all that wait.

    Args:
        journal: where they are kept.
    """

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._waiting: list[tuple[Sequence[bytes], asyncio.Future[list[Recalled | None]]]] = []
        self._task: asyncio.Task[None] | None = None

    async def recall(self, keys: Sequence[bytes]) -> list[Recalled | None]:
        """See `Memory`."""
        if not any(keys):
            return [None] * len(keys)
        found: asyncio.Future[list[Recalled | None]] = asyncio.get_running_loop().create_future()
        self._waiting.append((keys, found))
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._ask())
        return await found

    async def _ask(self) -> None:
        while self._waiting:
            some = self._take()
            keys = [key for wanted, _ in some for key in wanted]
            answers = await self._found(keys)
            for wanted, found in some:
                if not found.done():
                    found.set_result(answers[: len(wanted)])
                answers = answers[len(wanted) :]
        self._task = None

    def _take(self) -> list[tuple[Sequence[bytes], asyncio.Future[list[Recalled | None]]]]:
        count, held = 0, 0
        while count < len(self._waiting) and (not count or held + len(self._waiting[count][0]) <= _MOST):
            held += len(self._waiting[count][0])
            count += 1
        some, self._waiting = self._waiting[:count], self._waiting[count:]
        return some

    async def _found(self, keys: Sequence[bytes]) -> list[Recalled | None]:
        try:
            return await self._journal.recall(keys)
        except Exception as error:  # noqa: BLE001 - whatever it is, who asks must not wait for ever
            log.warning("journal_not_recalled", keys=len(keys), error=str(error).split("\n", 1)[0])
            return [None] * len(keys)
