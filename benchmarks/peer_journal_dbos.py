"""DBOS on SQLite keeping finished steps: workflows of many steps that do nothing, each checkpointed when it is done.

Runs in `.venv-bench`, by file. Usage: `python benchmarks/peer_journal_dbos.py FILE`, then lines
`{"width": N, "seconds": S}`: so many workflows at once.
"""

import asyncio
import json
import os
import sys
import time
from typing import Any

from dbos import DBOS  # type: ignore[import-not-found,unused-ignore]

DATA = os.urandom(225).hex()[:300]
TOOK: list[float] = []


@DBOS.step()  # type: ignore[untyped-decorator,unused-ignore]
async def step() -> str:
    """A step that is done at once."""
    return DATA


@DBOS.workflow()  # type: ignore[untyped-decorator,unused-ignore]
async def work(until: float) -> int:
    """Step after step, until it is time."""
    count = 0
    while time.time() < until:
        at = time.perf_counter()
        await step()
        TOOK.append(time.perf_counter() - at)
        count += 1
    return count


async def _keep(width: int, seconds: float) -> dict[str, Any]:
    TOOK.clear()
    began = time.perf_counter()
    await asyncio.gather(*(work(time.time() + seconds) for _ in range(width)))
    wall_s = time.perf_counter() - began
    took = sorted(TOOK)
    return {
        "records": len(took),
        "wall_s": wall_s,
        "p50_ms": took[len(took) // 2] * 1e3,
        "p99_ms": took[len(took) * 99 // 100] * 1e3,
    }


async def main() -> None:
    """See the module's docstring."""
    loop = asyncio.get_running_loop()
    DBOS(config={"name": "bench", "system_database_url": f"sqlite:///{sys.argv[1]}", "log_level": "ERROR"})
    DBOS.launch()
    print(json.dumps({"ready": True}), flush=True)
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        words = json.loads(line)
        print(json.dumps(await _keep(int(words["width"]), float(words["seconds"]))), flush=True)
    DBOS.destroy()


asyncio.run(main())
