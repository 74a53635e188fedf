"""A peer's main loop for the fan-out: all calls of a line are handed over at once, and timed from inside."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final

from benchmarks.rig import answer_lines

ATTEMPTS: Final = 6
"""Attempts at one call, as ours has by default."""


def serve(run: Callable[[int], Awaitable[int]]) -> None:
    """Answers lines `{"calls": N}`; `run` makes so many calls and returns how many were answered."""
    loop = asyncio.new_event_loop()

    def answer(words: dict[str, Any]) -> dict[str, Any]:
        calls = int(words["calls"])
        wall, cpu = time.perf_counter(), time.process_time()
        answered = loop.run_until_complete(run(calls))
        return {
            "calls": calls,
            "failed": calls - answered,
            "wall_s": time.perf_counter() - wall,
            "cpu_s": time.process_time() - cpu,
        }

    answer_lines({"ready": True}, answer)
