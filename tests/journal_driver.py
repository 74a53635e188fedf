"""A driver that appends to a Journal actor of its own, and kills its process meanwhile. Prints one JSON line.

Run as `python journal_driver.py URL` with the cluster's environment, in a process of its own.
"""

import asyncio
import json
import os
import signal
import sys
from typing import Any

from understudy.actors.journal.client import ray_journal
from understudy.actors.journal.store import open_store
from understudy.cluster.local import Settings
from understudy.cluster.session import Session
from understudy.cluster.spawn import RaySpawner
from understudy.protocols.journal import AnswerRow, Append, JobRow, JobsAsk
from understudy.supervisors.children import ChildSpec

SPACE = "journal-test"
COUNT = 3000
WIDTH = 32


class Killing:
    """An actor, who appends to it, and who kills it."""

    def __init__(self, url: str) -> None:
        self._url = url
        spec = ChildSpec("journal", "journal", "understudy.actors.journal.actor:JournalActor", {"url": url})
        self._spec = spec
        self.handle: Any = self._start()
        self.acknowledged: set[int] = set()
        self.lost: list[int] = []
        self.kills = 0

    def _start(self) -> Any:
        return RaySpawner(SPACE).start(self._spec)

    async def run(self) -> dict[str, Any]:
        """Appends all rows, with three kills in between."""
        journal = ray_journal(SPACE)
        places = iter(range(COUNT))

        async def append() -> None:
            for place in places:
                rows = Append(
                    jobs=(JobRow("job", "running", done=place),),
                    answers=(AnswerRow("job", place, False, place, os.urandom(400)),),
                )
                await journal.append(rows)
                self.acknowledged.add(place)

        tasks = [asyncio.create_task(append()) for _ in range(WIDTH)]
        for due in (COUNT // 8, COUNT // 3, COUNT // 2):
            while len(self.acknowledged) < due:  # noqa: ASYNC110 - real processes
                await asyncio.sleep(0.001)
            await self._kill()
        await asyncio.gather(*tasks)
        places_there = await self._there(journal)
        [row] = await journal.jobs(JobsAsk(ids=("job",)))
        await journal.close()
        return {"kills": self.kills, "lost": self.lost, "places": places_there, "count": COUNT, "done": row.done}

    async def _kill(self) -> None:
        os.kill(await self.handle.pid.remote(), signal.SIGKILL)
        safe = set(self.acknowledged)
        self.kills += 1
        store = await open_store(self._url, os.environ)  # the file itself, before any successor
        self.lost += sorted(safe - set(await self._there(store)))
        await store.close()
        while True:  # as the Director does
            try:
                self.handle = await asyncio.to_thread(self._start)
                await self.handle.pid.remote()
            except Exception:  # noqa: BLE001 - Ray has not yet heard of the death
                await asyncio.sleep(0.05)
            else:
                return

    @staticmethod
    async def _there(journal: Any) -> list[int]:
        places: list[int] = []
        while rows := await journal.answers("job", places[-1] + 1 if places else 0):
            places += [row.place for row in rows]
        return places


def main() -> None:
    """See the module's docstring."""
    with Session(Settings()):
        killing = Killing(sys.argv[1])
        answer = asyncio.run(killing.run())
        RaySpawner(SPACE).kill(killing.handle)
    sys.stdout.write(json.dumps(answer) + "\n")


if __name__ == "__main__":
    main()
