"""The floor: aiohttp alone. One process, one session, workers that post bytes, read, and parse.

Usage: `python -m benchmarks.part_raw URL WORKERS`, then lines `{"calls": N}`.
"""

import asyncio
import sys
import time
from collections.abc import Iterator
from typing import Any

import aiohttp
import orjson

from benchmarks.payload import body
from benchmarks.rig import answer_lines


async def _work(session: aiohttp.ClientSession, url: str, numbers: Iterator[int]) -> None:
    for number in numbers:
        async with session.post(url, data=body(number)) as reply:
            data = orjson.loads(await reply.read())
        assert data["choices"][0]["message"]["content"]


async def _session() -> aiohttp.ClientSession:
    return aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), headers={"Content-Type": "application/json"})


def main() -> None:
    """See the module's docstring."""
    url, workers = f"{sys.argv[1]}/v1/chat/completions", int(sys.argv[2])
    loop = asyncio.new_event_loop()
    session = loop.run_until_complete(_session())

    async def run(calls: int) -> None:
        numbers = iter(range(calls))
        await asyncio.gather(*(_work(session, url, numbers) for _ in range(workers)))

    def answer(words: dict[str, Any]) -> dict[str, Any]:
        calls = int(words["calls"])
        wall, cpu = time.perf_counter(), time.process_time()
        loop.run_until_complete(run(calls))
        return {
            "calls": calls,
            "failed": 0,
            "wall_s": time.perf_counter() - wall,
            "cpu_s": time.process_time() - cpu,
        }

    answer_lines({"ready": True}, answer)
    loop.run_until_complete(session.close())


if __name__ == "__main__":
    main()
