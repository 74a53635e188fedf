"""`understudy replay`: a job is run again from its journal alone, and must come to the same."""

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
from rich.console import Console

from ...actors.journal.api import Journal
from ...protocols.errors import UsageError
from ...protocols.jobs import JobSpec, Verdict
from ...protocols.journal import AnswerRow, BlockRow, JobRow, NoteRow, StepRow
from ...protocols.messages import ItemDone
from ...supervisors.patterns.interpreter import PATH
from ...supervisors.replay import Divergence
from ..flows import setting
from ..flows.ending import print_json
from .access import opened
from .finding import find, spec_of

DIGEST = "understudy.supervisors.digest.interpreter:DigestInterpreter"
STEPS_AT_ONCE = 256
"""Items whose steps are read by one question."""
DIVERGED = 1


def replay(job: str, *, url: str, json: bool) -> int:
    """Runs a job again from its journal. Returns 0, or 1 where something comes out differently.

    Raises:
        UsageError: it is no job that can be replayed.
    """
    with opened(url) as reading:
        row, items, found = reading.run(lambda journal: _replay(journal, job))
    told: dict[str, Any] = {"job": row.id, "items": items, "same": found is None}
    if found is not None:
        told |= {"item": found.item, "path": found.path, "why": found.why}
    if json:
        print_json(told)
    elif found is None:
        Console().print(f"{row.id}: {items:,} items came to the same", markup=False, highlight=False)
    else:
        where = f"item {found.item}, " if found.item >= 0 else ""
        line = f"{row.id}: differs: {where}{found.path}: {found.why}"
        Console().print(line, style="red", markup=False, highlight=False)
    return 0 if found is None else DIVERGED


async def _replay(journal: Journal, name: str) -> tuple[JobRow, int, Divergence | None]:
    row = await find(journal, name)
    spec = msgspec.msgpack.decode((await spec_of(journal, row)).spec, type=JobSpec)
    if spec.interpreter == PATH:
        return (row, *await _flow(journal, spec))
    if spec.interpreter == DIGEST:
        return (row, *await _digest(journal, spec))
    raise UsageError(f"job {row.id} is made by {spec.interpreter}: only workflows and digests can be replayed")


async def _digest(journal: Journal, spec: JobSpec) -> tuple[int, Divergence | None]:
    from ...supervisors.digest.replay import replay as of_digest  # noqa: PLC0415 - only for digests

    blocks, answers = await _blocks(journal, spec.id), await _answers(journal, spec.id)
    return sum(block.count for block in blocks), of_digest(spec, blocks, answers)


async def _flow(journal: Journal, spec: JobSpec) -> tuple[int, Divergence | None]:
    """Each item that has an answer, in order, until one differs."""
    from ...protocols.workflow.spec import FlowSpec  # noqa: PLC0415 - only for workflows
    from ...supervisors.workflow.replay import replay_item  # noqa: PLC0415 - as above

    newest = {row.item: msgspec.msgpack.decode(row.data, type=ItemDone) for row in await _answers(journal, spec.id)}
    verdicts = _verdicts(await journal.notes(spec.id))
    folders = msgspec.msgpack.decode(spec.spec, type=FlowSpec).paths

    async def of_child(job: str) -> list[AnswerRow]:
        return await _answers(journal, job)

    count = 0
    with setting.importable(*folders):
        for some in _some(await _blocks(journal, spec.id)):
            steps = await _steps(journal, spec.id, [number for number, _ in some])
            for number, item in some:
                if number not in newest:
                    continue
                count += 1
                told = verdicts.get(number, {})
                found = await replay_item(
                    spec, number, item, steps.get(number, []), newest[number], told, answers=of_child
                )
                if found is not None:
                    return count, found
    return count, None


async def _blocks(journal: Journal, job: str) -> list[BlockRow]:
    found: list[BlockRow] = []
    while rows := await journal.blocks(job, len(found)):
        found += rows
    return found


async def _answers(journal: Journal, job: str) -> list[AnswerRow]:
    found: list[AnswerRow] = []
    while rows := await journal.answers(job, found[-1].place + 1 if found else 0):
        found += rows
    return found


async def _steps(journal: Journal, job: str, items: Sequence[int]) -> dict[int, list[StepRow]]:
    found: dict[int, list[StepRow]] = {}
    for row in await journal.steps(job, items):
        found.setdefault(row.item, []).append(row)
    return found


def _some(blocks: Sequence[BlockRow]) -> Iterator[list[tuple[int, bytes]]]:
    """Items with their numbers, as many as steps are read for at once."""
    some: list[tuple[int, bytes]] = []
    for block in blocks:
        first, items = msgspec.msgpack.decode(block.data, type=tuple[int, list[bytes]])
        for number, item in enumerate(items, first):
            some.append((number, item))
            if len(some) == STEPS_AT_ONCE:
                yield some
                some = []
    if some:
        yield some


def _verdicts(notes: Sequence[NoteRow]) -> dict[int, dict[str, Verdict]]:
    """What people have answered, by item and path."""
    found: dict[int, dict[str, Verdict]] = {}
    for note in notes:
        if note.kind == "verdict":
            item, path, verdict = msgspec.msgpack.decode(note.data, type=tuple[int, str, Verdict])
            found.setdefault(item, {})[path] = verdict
    return found
