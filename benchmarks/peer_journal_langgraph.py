"""LangGraph's SQLite checkpointer keeping finished steps: `put_writes`, which it calls for each finished task.

Runs in `.venv-bench`, by file. Usage: `python benchmarks/peer_journal_langgraph.py FILE`, then lines
`{"width": N, "seconds": S}`: so many keep one after the other. As it comes, commits are synced less often than ours
(`synchronous=NORMAL` in its write-ahead log is SQLite's choice to sync at checkpoints only): `FULL` is set, as we have.
"""

import asyncio
import json
import os
import sys
import time
from typing import Any

from langgraph.checkpoint.base import empty_checkpoint  # type: ignore[import-not-found,unused-ignore]
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver  # type: ignore[import-not-found,unused-ignore]

DATA = os.urandom(300)


async def _keep(saver: Any, width: int, seconds: float) -> dict[str, Any]:
    took: list[float] = []
    began = time.perf_counter()

    async def one(worker: int) -> None:
        thread = {"configurable": {"thread_id": f"t{worker}", "checkpoint_ns": ""}}
        config = await saver.aput(thread, empty_checkpoint(), {}, {})
        number = 0
        while time.perf_counter() < began + seconds:
            at = time.perf_counter()
            await saver.aput_writes(config, [("summary", DATA)], f"task-{number}")
            took.append(time.perf_counter() - at)
            number += 1

    await asyncio.gather(*(one(worker) for worker in range(width)))
    took.sort()
    wall_s = time.perf_counter() - began
    return {
        "records": len(took),
        "wall_s": wall_s,
        "p50_ms": took[len(took) // 2] * 1e3,
        "p99_ms": took[len(took) * 99 // 100] * 1e3,
    }


async def main() -> None:
    """See the module's docstring."""
    loop = asyncio.get_running_loop()
    async with AsyncSqliteSaver.from_conn_string(sys.argv[1]) as saver:
        await saver.setup()
        await saver.conn.execute("PRAGMA synchronous=FULL")
        print(json.dumps({"ready": True}), flush=True)
        while line := await loop.run_in_executor(None, sys.stdin.readline):
            words = json.loads(line)
            answer = await _keep(saver, int(words["width"]), float(words["seconds"]))
            print(json.dumps(answer), flush=True)


asyncio.run(main())
