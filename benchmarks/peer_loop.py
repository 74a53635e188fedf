"""A peer's main loop: so many calls by so many workers, timed from inside its own process."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

from benchmarks.rig import answer_lines

Call = Callable[[int], Awaitable[None]]


async def _work(call: Call, numbers: Iterator[int]) -> int:
    failed = 0
    for number in numbers:
        try:
            await call(number)
        except Exception:  # noqa: BLE001 - whatever a peer raises is a call that failed
            failed += 1
    return failed


async def _run(call: Call, calls: int, workers: int) -> int:
    numbers = iter(range(calls))
    return sum(await asyncio.gather(*(_work(call, numbers) for _ in range(workers))))


def serve(call: Call, workers: int) -> None:
    """Answers lines `{"calls": N}` by calls, failures, wall and CPU seconds (all threads of this process)."""
    loop = asyncio.new_event_loop()

    def answer(words: dict[str, Any]) -> dict[str, Any]:
        calls = int(words["calls"])
        wall, cpu = time.perf_counter(), time.process_time()
        failed = loop.run_until_complete(_run(call, calls, workers))
        return {
            "calls": calls,
            "failed": failed,
            "wall_s": time.perf_counter() - wall,
            "cpu_s": time.process_time() - cpu,
        }

    answer_lines({"ready": True}, answer)
