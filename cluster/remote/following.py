"""Follows the log of a job on a cluster elsewhere, over lost connections: a lid that is closed, a tunnel that drops."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any, Final

import aiohttp

from .markers import Reader

_AGAIN_S: Final = (1.0, 2.0, 5.0, 10.0, 30.0)
_OVER: Final = ("SUCCEEDED", "FAILED", "STOPPED")


def follow(address: str, client: Any, job: str, reader: Reader, show: Callable[[str], None]) -> None:
    """Shows the log's lines until the job is over.

    Raises:
        UnderstudyError: the server answers, and does not know the job any more.
    """
    asyncio.run(_Following(address, client, job, reader, show).run())


class _Following:
    def __init__(self, address: str, client: Any, job: str, reader: Reader, show: Callable[[str], None]) -> None:
        self._address = address
        self._client = client
        self._job = job
        self._reader = reader
        self._show = show
        self._read = 0  # characters of the log: a new connection gets it from its beginning
        self._failed = 0

    async def run(self) -> None:
        while True:
            try:
                await self._tail()
                if await self._over():
                    await self._rest()
                    return
            except (aiohttp.ClientError, OSError, RuntimeError):
                await self._wait()

    async def _tail(self) -> None:
        passed = 0
        stream: AsyncIterator[str] = self._client.tail_job_logs(self._job)
        async for piece in stream:
            self._failed = 0
            new = piece[max(0, self._read - passed) :]
            passed += len(piece)
            self._take(new)

    def _take(self, new: str) -> None:
        if new:
            self._read += len(new)
            self._show(self._reader.feed(new))

    async def _over(self) -> bool:
        found = await asyncio.to_thread(self._client.get_job_status, self._job)
        return str(getattr(found, "value", found)) in _OVER

    async def _rest(self) -> None:
        """What the stream had not told when the job ended."""
        whole = await asyncio.to_thread(self._client.get_job_logs, self._job)
        self._take(whole[self._read :])

    async def _wait(self) -> None:
        pause = _AGAIN_S[min(self._failed, len(_AGAIN_S) - 1)]
        self._failed += 1
        if self._failed == 1:
            self._show(f"(no connection to {self._address}: the job goes on; trying again)\n")
        await asyncio.sleep(pause)
