"""Goes on with a workflow's job whose driver is gone, and finishes what that driver would have."""

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
from rich.console import Console

from ...actors.journal.api import Journal
from ...protocols.config import Config
from ...protocols.errors import UsageError
from ...protocols.jobs import LIVE, JobSpec
from ...protocols.journal import JobRow, SpecRow
from ..jobs.access import read_from
from ..jobs.meta import decode
from ..session import Session
from . import show
from .following import Following
from .inputs import Lines
from .job import FlowJob
from .notes import RunNotes
from .sink import Sink


def resume(session: Session, row: JobRow, spec: SpecRow, *, json: bool, no_more: bool = False) -> int:
    """Follows the job to its end; hands in what is left of its inputs, and writes its results anew.

    Args:
        session: attached to the cluster that works on it.
        row: the job as it stands.
        spec: what it is.
        json: the outcome is printed as JSON.
        no_more: no inputs follow those that were handed in.

    Returns:
        The exit code of `understudy run`.

    Raises:
        UsageError: its inputs are not all handed in, and their file is not what it was, or nobody knows of one.
        UnderstudyError: it can't go on.
    """
    return _Again(session, row, spec, json=json).run(no_more=no_more)


class _Again:
    def __init__(self, session: Session, row: JobRow, spec: SpecRow, *, json: bool) -> None:
        self._session, self._row, self._json = session, row, json
        self._spec = msgspec.msgpack.decode(spec.spec, type=JobSpec)
        meta = decode(spec.meta)
        self._notes = msgspec.msgpack.decode(meta.data, type=RunNotes) if meta.kind == "run" else None
        self._blocks = self._items = 0
        self._sealed = False

    def run(self, *, no_more: bool) -> int:
        read_from(self._session, self._look)
        rest = left_over(self._row, self._notes, items=self._items, sealed=self._sealed, no_more=no_more)
        console = Console(stderr=self._json, soft_wrap=False)
        total = self._notes.total if self._notes else self._items
        job = FlowJob(self._session, self._spec, Config.model_validate_json(self._spec.config))
        following = self._following(console)
        with show.Progress(console, self._row.title, total=total, quiet=self._json) as progress:
            code = following.work(job, job.again(rest, items=self._items, blocks=self._blocks), progress, total)
        return following.end(code, self._row.id)

    def _following(self, console: Console) -> Following:
        out = Path(self._notes.out) if self._notes and self._notes.out else None
        sink = Sink(out, Path(self._notes.inputs)) if out and self._notes else None
        return Following(console, json=self._json, stay=console.is_terminal, owns=False, sink=sink, out=out)

    async def _look(self, journal: Journal) -> None:
        blocks = await journal.blocks(self._row.id, data=False)
        self._blocks, self._items = len(blocks), sum(block.count for block in blocks)
        # What was queued was handed in whole.
        self._sealed = self._row.attempt > 0 or any(one.kind == "sealed" for one in await journal.notes(self._row.id))


def left_over(
    row: JobRow, notes: RunNotes | None, *, items: int, sealed: bool, no_more: bool = False
) -> Iterator[Any] | None:
    """What of a job's inputs is still to be handed in; None where nobody waits for any.

    Args:
        row: the job as it stands.
        notes: of the run that handed it in; None for a program of somebody's own.
        items: how many were handed in.
        sealed: that was all.
        no_more: no others follow, whatever there may be.

    Raises:
        UsageError: nobody knows what is left, or it is not what it was.
    """
    if sealed or row.state not in LIVE:
        return None
    if no_more or (notes is not None and items >= notes.total):
        return iter(())
    if notes is None or not notes.inputs:
        raise UsageError(
            f"job {row.id}: its program had handed in {items:,} inputs when it was stopped, and nobody else knows the "
            "rest; run that program again, or go on with these alone: add --no-more"
        )
    lines = Lines(Path(notes.inputs), lambda _: "")
    if lines.digest != notes.digest:
        raise UsageError(
            f"{notes.inputs} has changed since job {row.id} began, and it holds inputs that were not handed in yet "
            f"({items:,} of {notes.total:,} were); put the old file back, or go on with these alone: add --no-more"
        )
    return itertools.islice(iter(lines), items, None)
