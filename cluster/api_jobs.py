"""Jobs from Python that outlive the program that hands them in: queued now, looked at later, from anywhere."""

import asyncio
import dataclasses
import time
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec

from ..actors.journal.api import Journal
from ..actors.prices import dollars
from ..protocols.config import Config
from ..protocols.errors import UnderstudyError, UsageError
from ..protocols.jobs import JobState
from ..protocols.journal import JobRow, JobsAsk
from ..protocols.messages import ItemDone
from ..protocols.workflow import Flow
from ..protocols.workflow.build import Like
from . import api
from .flows.notes import RunNotes
from .flows.results import Result, read
from .jobs.access import current, opened, read_from
from .jobs.finding import MOST, find, spec_of
from .jobs.meta import Meta, encode
from .jobs.showing import is_flow
from .jobs.submitting import When, hand_in, made

_POLL_S = (0.05, 1.0)
"""A job's state is looked at so often at first, and at last."""
_OVER = ("done", "failed", "cancelled", "dead")


@dataclasses.dataclass(frozen=True, slots=True)
class Job:
    """A job as it stands in the journal.

    Attributes:
        id: its name.
        state: see `understudy jobs`; `dead` is a dead letter.
        title: for people.
        tenant: who it is for.
        total: its inputs.
        done: those with a result, `failed` of them without success, `standing` of them with one that stands in.
        waiting: inputs that wait for people.
        cost: dollars, as far as prices are known.
        created: when it was handed in.
        error: why it failed, in one line.
    """

    id: str
    state: JobState
    title: str
    tenant: str
    total: int
    done: int
    failed: int
    standing: int
    waiting: int
    cost: Decimal
    created: datetime
    error: str


def submit(
    flow: Flow | Like,
    input: Any = "",  # noqa: A002 - the workflow's own word
    *,
    inputs: Iterable[Any] | None = None,
    config: Config | Mapping[str, Any] | Path | str | None = None,
    key: str = "",
    priority: int = 5,
    delay_s: float = 0.0,
    attempts: int = 3,
    tenant: str = "",
    concurrency: int = 64,
    max_cost: float | None = None,
) -> str:
    """Queues a run of a workflow, or many; returns the job's id as soon as it is on disk.

    Args:
        flow: as for `run`; its functions have to be importable where they are now, also later.
        input: of one run.
        inputs: of many runs, instead.
        config: as for `run`.
        key: whoever submits under the same key again, for the same tenant, gets the job that is there.
        priority: 0 goes first, 9 last; who waits rises.
        delay_s: it is not begun before.
        attempts: it is begun so often at most while runs fail; then it is a dead letter (`understudy dead`).
        tenant: for whom.
        concurrency: runs at once.
        max_cost: dollars for all runs together.

    Raises:
        ConfigError: the workflow or the configuration is wrong; nothing was queued.
        UsageError: an argument or an input is wrong; nothing was queued.
    """
    when = When(key, priority, delay_s, attempts)
    values = [input] if inputs is None else list(inputs)
    if not values:
        raise UsageError("inputs: there are none")
    prepared = api.prepared(flow, values, config=config, concurrency=concurrency, max_cost=max_cost, tenant=tenant)
    meta = encode(Meta("run", msgspec.msgpack.encode(RunNotes(prepared.flow.name, len(values)))))
    submission = made(prepared.spec, api.checked(prepared.flow, values), when, meta)
    return hand_in(api.attach(), prepared.config, [submission])[0].id


def result(job: str, timeout: float | None = None) -> Result[Any]:
    """Waits for a job of one input, and returns what came of it; see `Result.check` for failures.

    Args:
        job: its id, or how it begins.
        timeout: seconds to wait at most; None waits as long as it takes.

    Raises:
        UsageError: there is no such job, or it has many inputs.
        UnderstudyError: it was cancelled, is a dead letter, or its cluster is gone.
        TimeoutError: it is not over yet.
    """
    found = results(job, timeout)
    if len(found) != 1:
        raise UsageError(f"job {job} has {len(found):,} inputs: ask for results(job)")
    return found[0]


def results(job: str, timeout: float | None = None) -> list[Result[Any]]:
    """Waits for a job of many inputs, and returns what came of each, in the inputs' order. As `result` otherwise."""
    deadline = None if timeout is None else time.monotonic() + timeout
    session = api.attach()
    here = current()
    return read_from(session, lambda journal: gathered(journal, job, deadline, here))


async def gathered(journal: Journal, job: str, deadline: float | None, here: str) -> list[Result[Any]]:
    """The results of a job once it is over; `here` is the id of the cluster that has to run it, `deadline` monotonic.

    Raises as `results` does.
    """
    row = await _over(journal, job, deadline, here)
    spec = await spec_of(journal, row)
    if not is_flow(spec):
        raise UsageError(f"job {row.id} runs no workflow: it has no results")
    newest: dict[int, ItemDone] = {}
    place = 0
    while rows := await journal.answers(row.id, place):
        newest |= {one.item: msgspec.msgpack.decode(one.data, type=ItemDone) for one in rows if not one.node}
        place = rows[-1].place + 1
    if row.state != "done" and len(newest) < max(row.total, 1):
        how = "is a dead letter" if row.state == "dead" else f"was {row.state}"
        raise UnderstudyError(f"job {row.id} {how}" + (f": {row.error}" if row.error else ""))
    return [read(done) for _, done in sorted(newest.items())]


async def _over(journal: Journal, job: str, deadline: float | None, here: str) -> JobRow:
    """The job's row once it is over."""
    pause, most = _POLL_S
    row = await find(journal, job)
    while row.state not in _OVER:
        if row.owner != here:
            raise UnderstudyError(f"the cluster that had job {row.id} is gone: run `understudy resume {row.id}`")
        if deadline is not None and time.monotonic() + pause > deadline:
            raise TimeoutError(f"job {row.id} is not over: it is {row.state}")
        await asyncio.sleep(pause)
        pause = min(pause * 1.5, most)
        [row] = await journal.jobs(JobsAsk(ids=(row.id,)))
    return row


def jobs() -> list[Job]:
    """All jobs that the journal knows, the newest first; starts no cluster."""
    with opened() as reading:
        rows = reading.run(lambda journal: journal.jobs(JobsAsk(limit=MOST)))
    return [_job(row) for row in rows]


def _job(row: JobRow) -> Job:
    return Job(
        id=row.id,
        state=row.state,
        title=row.title,
        tenant=row.tenant,
        total=row.total,
        done=row.done,
        failed=row.failed,
        standing=row.standing,
        waiting=row.parked,
        cost=dollars(row.cost),
        created=datetime.fromtimestamp(row.created, UTC),
        error=row.error,
    )
