"""Our side of the journal's benchmark: a process that keeps finished steps, as a Mapper does, through the real actor.

Usage: `python -m benchmarks.part_journal`, in a cluster's environment; then lines with `do`:
`start` (`url`, `name`): the Journal actor of that name; `closed` (`name`, `job`, `width`, `seconds`): so many that each
keep a step as soon as their last is safe; `open` (`name`, `job`, `rate`, `seconds`): a step each 1 / rate seconds,
however long the others take.
"""

import asyncio
import os
import time
from collections import deque
from pathlib import Path
from typing import Any, Final

from benchmarks.rig import answer_lines
from understudy.actors.journal.client import JournalClient, ray_journal
from understudy.actors.journal.steps import ItemSteps
from understudy.actors.shell import calm_collector
from understudy.cluster.local import Settings
from understudy.cluster.session import Session
from understudy.cluster.spawn import RaySpawner
from understudy.supervisors.children import ChildSpec

NAMESPACE: Final = "understudy"
DATA: Final = os.urandom(300)
TICK_S: Final = 0.002
WORKER_NICENESS: Final = 15
"""What Ray gives its workers, so Mappers too: without it these processes would go before the Journal."""


class Keeper:
    """One process's steps."""

    def __init__(self) -> None:
        calm_collector()  # as each of our actors does
        self._loop = asyncio.new_event_loop()
        self._clients: dict[str, JournalClient] = {}
        self._took: list[float] = []
        self._number = 0

    def answer(self, words: dict[str, Any]) -> dict[str, Any]:
        """Does what is asked."""
        name = str(words["name"])
        if words["do"] == "start":
            actor = "understudy.actors.journal.actor:JournalActor"
            import ray  # noqa: PLC0415 - after the session has set its authentication

            handle = RaySpawner(NAMESPACE).start(ChildSpec(name, "journal", actor, {"url": words["url"]}))
            return {"pid": ray.get(handle.pid.remote())}
        if name not in self._clients:
            self._clients[name] = ray_journal(NAMESPACE, name)
        return self._loop.run_until_complete(self._keep(self._clients[name], words))

    async def _keep(self, journal: JournalClient, words: dict[str, Any]) -> dict[str, Any]:
        await journal.values("none")  # the actor is found, the file is open
        self._took = []
        cpu_s = time.process_time()
        began = time.perf_counter()
        until = began + float(words["seconds"])
        if words["do"] == "closed":
            await asyncio.gather(*(self._closed(journal, words["job"], until) for _ in range(int(words["width"]))))
        else:
            await self._open(journal, words["job"], float(words["rate"]), until)
        wall_s = time.perf_counter() - began
        took = sorted(self._took)
        return {
            "records": len(took),
            "wall_s": wall_s,
            "cpu_s": time.process_time() - cpu_s,
            "p50_ms": took[len(took) // 2] * 1e3,
            "p99_ms": took[len(took) * 99 // 100] * 1e3,
            "max_ms": took[-1] * 1e3,
        }

    async def _closed(self, journal: JournalClient, job: str, until: float) -> None:
        while time.perf_counter() < until:
            await self._one(journal, job, time.perf_counter())

    async def _open(self, journal: JournalClient, job: str, rate: float, until: float) -> None:
        tasks: deque[asyncio.Task[None]] = deque()
        began, told = time.perf_counter(), 0
        while (now := time.perf_counter()) < until:
            while told < (now - began) * rate:
                # Counted from when it was due: what waits because this process is late has waited, too.
                tasks.append(asyncio.create_task(self._one(journal, job, began + told / rate)))
                told += 1
            while tasks and tasks[0].done():
                tasks.popleft()
            await asyncio.sleep(TICK_S)
        await asyncio.gather(*tasks)

    async def _one(self, journal: JournalClient, job: str, began: float) -> None:
        self._number += 1
        steps = ItemSteps(journal, job, self._number)
        await steps.keep("steps.3/summarise", self._number.to_bytes(16, "big"), DATA)
        self._took.append(time.perf_counter() - began)


def be_nice() -> None:
    """This process, with the threads of Ray in it, gets the priority that Ray gives its workers."""
    for thread in Path("/proc/self/task").iterdir():
        os.setpriority(os.PRIO_PROCESS, int(thread.name), WORKER_NICENESS)


def main() -> None:
    """See the module's docstring."""
    with Session(Settings(mappers=1)):
        be_nice()
        answer_lines({"ready": True}, Keeper().answer)


if __name__ == "__main__":
    main()
