"""What the Journal knows of one job, gathered for people; bounded, however many items the job has."""

import dataclasses
from collections import Counter
from typing import Final

import msgspec

from ...actors.journal.api import Journal
from ...protocols.journal import JobRow, JobsAsk, NoteRow, SpecRow, StepRow
from ...protocols.messages import ItemDone
from .finding import spec_of
from .tables import short

CAUSES: Final = 20
"""Causes of failures that are told apart; items that failed alike are counted together."""
WHOLE: Final = 64
"""Jobs of so few items are gathered with all their answers."""
BEGUN: Final = 64
"""Items that are not done whose finished steps are shown."""


@dataclasses.dataclass(slots=True)
class Failed:
    """Items that failed for one reason."""

    cause: str
    count: int = 0
    items: list[int] = dataclasses.field(default_factory=list)


@dataclasses.dataclass(slots=True)
class History:
    """One job.

    Attributes:
        row: as it stands.
        spec: what it is.
        items: newest answers of items, all of a job of few items, else only those asked for.
        failed: why items failed, the most frequent first.
        nodes: answers of the reduce tree.
        attempts: requests sent, over all answers.
        models: answers by who gave them.
        notes: see `NoteRow`.
        steps: finished steps of items that are not done.
        children: jobs that work for it.
    """

    row: JobRow
    spec: SpecRow
    items: dict[int, ItemDone] = dataclasses.field(default_factory=dict)
    failed: list[Failed] = dataclasses.field(default_factory=list)
    nodes: int = 0
    attempts: int = 0
    models: Counter[str] = dataclasses.field(default_factory=Counter)
    notes: list[NoteRow] = dataclasses.field(default_factory=list)
    steps: dict[int, list[StepRow]] = dataclasses.field(default_factory=dict)
    children: list[JobRow] = dataclasses.field(default_factory=list)


async def gather(journal: Journal, row: JobRow, *, item: int = -1) -> History:
    """What is known of a job. `item`: its answer is wanted however many there are."""
    history = History(row, await spec_of(journal, row))
    causes = await _answers(journal, history, item)
    for number, cause in sorted(causes.items()):
        found = next((one for one in history.failed if one.cause == cause), None)
        if found is None and len(history.failed) < CAUSES:
            history.failed.append(found := Failed(cause))
        if found is not None:
            found.count += 1
            found.items += [number] if len(found.items) < 5 else []
    history.failed.sort(key=lambda one: -one.count)
    history.notes = await journal.notes(row.id)
    begun = [number for number in await journal.begun(row.id) if number not in history.items or number in causes]
    for step in await journal.steps(row.id, begun[:BEGUN]) if begun else ():
        history.steps.setdefault(step.item, []).append(step)
    history.children = await journal.jobs(JobsAsk(parent=row.id))
    return history


async def _answers(journal: Journal, history: History, item: int) -> dict[int, str]:
    """Reads all answers; returns why items failed, by their numbers, those that were tried again with success not."""
    causes: dict[int, str] = {}
    place = 0
    while rows := await journal.answers(history.row.id, place):
        for answer in rows:
            done = msgspec.msgpack.decode(answer.data, type=ItemDone)
            history.attempts += done.attempts
            history.models[done.model] += bool(done.model)
            if answer.node:
                history.nodes += 1
                continue
            causes.pop(answer.item, None)
            if done.error:
                causes[answer.item] = short(done.error, 300)
            if history.row.total <= WHOLE or answer.item == item:
                history.items[answer.item] = done
        place = rows[-1].place + 1
    return causes
