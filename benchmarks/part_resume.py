"""A process that fills a job's rows and reads them again as a Supervisor does that takes the place of one that died.

Usage: `python -m benchmarks.part_resume URL COUNT`, in a cluster's environment; then lines with `do`: `fill`;
`answers`: the job is made again from its rows; `steps`: all steps of all its items are read, as Mappers read them.
"""

import asyncio
import os
import sys
import time
from typing import Any, Final

import msgspec

from benchmarks.rig import answer_lines
from understudy.actors.journal.client import ray_journal
from understudy.actors.journal.steps import load_steps
from understudy.actors.mapper.blocks import pack_block
from understudy.cluster.local import Settings
from understudy.cluster.session import Session
from understudy.cluster.spawn import RaySpawner
from understudy.protocols.config import Config, encode
from understudy.protocols.jobs import JobSpec
from understudy.protocols.journal import AnswerRow, Append, BlockRow, JobRow, JobsAsk, NoteRow, SpecRow, StepRow
from understudy.protocols.messages import ItemDone
from understudy.supervisors.children import ChildSpec
from understudy.supervisors.supervisor.restoring import Restoring

SPACE: Final = "journal-bench"
BLOCK: Final = 500
JOB: Final = "job"
TEXT: Final = b"What this part of the code does, in some sentences. " * 14
SLICE: Final = 256


class Resuming:
    """The job's rows, and who reads them.

    Args:
        url: of the journal.
        count: items.
    """

    def __init__(self, url: str, count: int) -> None:
        spec = ChildSpec("journal", "journal", "understudy.actors.journal.actor:JournalActor", {"url": url})
        self._handle = RaySpawner(SPACE).start(spec)
        self._count = count

    def answer(self, words: dict[str, Any]) -> dict[str, Any]:
        """Does what is asked, and tells how long it took."""
        work = {"fill": self._fill, "answers": self._answers, "steps": self._steps}[words["do"]]
        began, cpu_s = time.perf_counter(), time.process_time()
        found = asyncio.run(work())
        return {"found": found, "wall_s": time.perf_counter() - began, "cpu_s": time.process_time() - cpu_s}

    async def _fill(self) -> int:
        journal = ray_journal(SPACE)
        interpreter = "understudy.actors.echo:Mirror"
        spec = JobSpec(JOB, "resume", interpreter, b"", encode(Config()), journal="ahead", keep=False)
        head = Append(
            jobs=(JobRow(JOB, "running", attempt=1),),
            specs=(SpecRow(JOB, msgspec.msgpack.encode(spec)),),
            notes=(NoteRow(JOB, 0, 0, "sealed"),),
        )
        await journal.append(head)
        for start in range(0, self._count, BLOCK):
            items = range(start, min(start + BLOCK, self._count))
            block = BlockRow(JOB, start // BLOCK, len(items), pack_block(start, [b"x"] * len(items)))
            answers = tuple(AnswerRow(JOB, item, False, item, msgspec.msgpack.encode(_done(item))) for item in items)
            steps = tuple(StepRow(JOB, item, 0, "steps.3", item.to_bytes(16, "big"), TEXT[:300]) for item in items)
            await journal.append(Append(blocks=(block,), answers=answers, steps=steps))
        await journal.close()
        return self._count

    async def _answers(self) -> int:
        journal = ray_journal(SPACE)
        [row] = await journal.jobs(JobsAsk(ids=(JOB,)))
        spec = await journal.spec(JOB)
        assert spec is not None
        restoring = Restoring(row, spec)
        restoring.blocks(await journal.blocks(JOB, data=False))
        restoring.notes(await journal.notes(JOB))
        place = 0
        while answers := await journal.answers(JOB, place):
            for answer in answers:
                restoring.answer(answer)
            place = answers[-1].place + 1
        job = restoring.finish(begun=await journal.begun(JOB))
        await journal.close()
        return job.core.done

    async def _steps(self) -> int:
        journal = ray_journal(SPACE)
        found = 0
        for start in range(0, self._count, SLICE):
            eras = dict.fromkeys(range(start, min(start + SLICE, self._count)), 0)
            for item, steps in (await load_steps(journal, JOB, eras)).items():
                found += steps.known("steps.3", item.to_bytes(16, "big")) is not None
        await journal.close()
        return found


def _done(item: int) -> ItemDone:
    return ItemDone(item, TEXT + os.urandom(16), "", "sim/sim-small", 1, 400, 120, 91_000)


def main() -> None:
    """See the module's docstring."""
    with Session(Settings(mappers=1)):
        answer_lines({"ready": True}, Resuming(sys.argv[1], int(sys.argv[2])).answer)


if __name__ == "__main__":
    main()
