"""What the queue reads from the Journal about jobs: all of a kind, one, and those that are there already."""

import math
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from ...actors.journal.api import Journal
from ...protocols.errors import UsageError
from ...protocols.jobs import JobSpec
from ...protocols.journal import JobRow, JobsAsk
from ...protocols.queue import Submission

PAGE: Final = 5000
"""So many rows are read at once: about 1 MB."""

Name = tuple[str, str] | tuple[str, str, str]
"""What a job is known by: ("id", job) or ("key", tenant, key)."""


async def all_jobs(journal: Journal, ask: JobsAsk) -> list[JobRow]:
    """All jobs that fit, the newest first, read a page at a time."""
    rows: dict[str, JobRow] = {}
    limit = PAGE
    while True:
        page = await journal.jobs(msgspec.structs.replace(ask, limit=limit))
        before = len(rows)
        rows.update((row.id, row) for row in page)
        if len(page) < limit:
            return list(rows.values())
        if len(rows) == before:  # more of one moment than fit on a page
            limit *= 2
        ask = msgspec.structs.replace(ask, before=math.nextafter(page[-1].created, math.inf))


async def job_row(journal: Journal, job: str) -> JobRow:
    """A job as it stands. Raises `UsageError` where there is none of that id."""
    rows = await journal.jobs(JobsAsk(ids=(job,), children=True))
    if not rows:
        raise UsageError(f"there is no job {job}; `understudy jobs` shows those there are")
    return rows[0]


async def known_jobs(
    journal: Journal, submissions: Sequence[Submission], specs: Sequence[JobSpec]
) -> dict[Name, JobRow]:
    """Which of these jobs are there already, by what they are known by."""
    ids = tuple(spec.id for spec in specs)
    rows = await journal.jobs(JobsAsk(ids=ids, children=True, limit=len(ids))) if ids else []
    known: dict[Name, JobRow] = {("id", row.id): row for row in rows}
    for submission, spec in zip(submissions, specs, strict=True):
        name = ("key", spec.tenant, submission.key)
        if submission.key and name not in known:
            rows = await journal.jobs(JobsAsk(tenant=spec.tenant, key=submission.key, limit=1))
            known.update((name, row) for row in rows)
    return known


def found(known: Mapping[Name, JobRow], submission: Submission, spec: JobSpec) -> JobRow | None:
    """The job that is there already, under the key or, where a driver hands in once more, under the id."""
    by_key = known.get(("key", spec.tenant, submission.key)) if submission.key else None
    return by_key or known.get(("id", spec.id))


async def check_same(
    journal: Journal, known: Mapping[Name, JobRow], submissions: Sequence[Submission], specs: Sequence[JobSpec]
) -> None:
    """Raises `UsageError` where an id is that of another job: who hands in would be given its answers for his own."""
    told = {
        spec.id: msgspec.msgpack.encode(spec)
        for submission, spec in zip(submissions, specs, strict=True)
        if ("id", spec.id) in known and not (submission.key and ("key", spec.tenant, submission.key) in known)
    }
    for row in await journal.specs(list(told)) if told else ():
        if row.spec != told[row.job]:
            raise UsageError(f"there is another job {row.job}: hand in once more, under a new id")
