"""Counts what is being done, so that one can wait until nothing is."""

import asyncio
from types import TracebackType
from typing import Final, Self

_TURNS: Final = 4
"""Turns of the loop: what follows from a piece of work is begun by its task's callback, one or two turns later."""


class Busy:
    """A context for each piece of work."""

    def __init__(self) -> None:
        self._count = 0
        self._changed = asyncio.Event()

    def __enter__(self) -> Self:
        self._count += 1
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._count -= 1
        self._changed.set()

    async def idle(self) -> None:
        """Returns when nothing is being done, and nothing has begun because of what was done last."""
        quiet = 0
        while quiet < _TURNS:
            quiet = 0 if self._count else quiet + 1
            if self._count:
                self._changed.clear()
                await self._changed.wait()
            else:
                await asyncio.sleep(0)
