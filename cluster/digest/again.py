"""Goes on with a digest whose driver is gone, and writes the report that it would have written."""

import time
from datetime import UTC, datetime
from functools import partial

import msgspec
from rich.console import Console

from ...actors.journal.api import Journal
from ...protocols.config import Config
from ...protocols.digest import DigestPlan
from ...protocols.errors import UnderstudyError
from ...protocols.jobs import JobSpec
from ...protocols.journal import BlockRow, JobRow, SpecRow
from ...supervisors.digest.interpreter import DigestSpec
from ...supervisors.digest.known import Earlier
from ..jobs.access import read_from
from ..jobs.meta import decode
from ..session import Session
from ..walk import walk
from . import show
from .ending import CANCELLED, finish
from .gather import Gathered
from .notes import Case, read
from .rest import rest
from .submit import Submission, merged_nodes
from .submit import blocks as as_blocks

_OVER = ("done", "failed", "cancelled", "dead")


def resume(session: Session, row: JobRow, spec: SpecRow, *, json: bool) -> int:
    """Follows the job to its end and writes its report. Returns the exit code; Ctrl-C leaves the job running.

    Args:
        session: attached to the cluster that works on it.
        row: the job as it stands.
        spec: what it is.
        json: the outcome is printed as JSON.

    Raises:
        UsageError: not all of it was handed in, and what is left can't be read as it was.
        UnderstudyError: it has failed.
    """
    job = msgspec.msgpack.decode(spec.spec, type=JobSpec)
    nodes = msgspec.msgpack.decode(job.spec, type=DigestSpec).nodes
    case, plan = read(decode(spec.meta).data, nodes)
    console = Console(stderr=json, soft_wrap=False)
    gathered = Gathered(plan, job)
    submission = Submission(session, job)
    with show.Progress(console, quiet=json) as progress:
        seen = show.Watching(gathered, progress, merged_nodes(nodes), partial(show.warn, console))
        progress.stage(row.title or row.id)
        try:
            _hand_in(session, row, submission, case, plan)
            last = submission.follow(seen)
        except KeyboardInterrupt:
            console.print(f"the job goes on without this command; come back by: understudy resume {row.id}")
            return CANCELLED
    if last.state == "failed":
        raise UnderstudyError(f"the job failed: {last.error}")
    ended = row.updated if row.state in _OVER else time.time()
    seconds = max(0.0, ended - datetime.fromisoformat(case.started).astimezone(UTC).timestamp())
    cancelled = last.state == "cancelled"
    return finish(console, case, plan, gathered, seconds=seconds, cancelled=cancelled, json=json)


def _hand_in(session: Session, row: JobRow, submission: Submission, case: Case, plan: DigestPlan) -> None:
    """Sees to it that all of the digest is handed in: its driver may have been stopped in the middle of that."""
    job = submission.spec
    if row.state in _OVER:
        submission.go_on(None, 0)
        return
    blocks, sealed = read_from(session, lambda journal: _handed_in(journal, job.id))
    if sealed:
        submission.go_on(None, 0)
        return
    config = Config.model_validate_json(job.config)
    digest = msgspec.msgpack.decode(job.spec, type=DigestSpec)
    earlier = Earlier(
        digest.bases,
        lambda keys: read_from(session, lambda journal: journal.recall(keys)),
        asked=bool(case.question),
    )
    done = sum(block.count for block in blocks)
    missing = rest(plan, done, config.digest, lambda: walk(case.path, config.digest), earlier)
    submission.go_on(as_blocks(missing, later=True), len(blocks))


async def _handed_in(journal: Journal, job: str) -> tuple[list[BlockRow], bool]:
    blocks = await journal.blocks(job, data=False)
    return blocks, any(note.kind == "sealed" for note in await journal.notes(job))
