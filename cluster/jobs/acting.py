"""Commands that do something about a job: `cancel`, `resume`, `retry`, `redrive`, `gc`."""

import time
from typing import Any

import msgspec
from rich.console import Console

from ...actors.journal.api import Journal
from ...protocols.config import Config
from ...protocols.errors import UsageError
from ...protocols.jobs import LIVE, JobSpec
from ...protocols.journal import Append, JobRow, JobsAsk, SpecRow
from ..flows.ending import print_json
from ..local import Settings
from ..session import Session
from . import meta
from .access import Reading, current, opened, read_from, running
from .finding import MOST, find, seconds, spec_of

_OVER = ("done", "failed", "cancelled")


def cancel(job: str, *, url: str, json: bool) -> int:
    """Stops a job; one whose cluster is gone is only marked as that. Returns the exit code."""
    with opened(url) as reading:
        row = reading.run(lambda journal: find(journal, job))
        if row.state in _OVER:
            _say(json, f"{row.id} is over already: {row.state}", {"job": row.id, "state": row.state})
            return 0
        if running() and not reading.whose.gone(row):
            with Session(_settings(url)) as session:
                _cancel(session, row)
        else:
            over = msgspec.structs.replace(row, state="cancelled", updated=time.time())
            reading.run(lambda journal: journal.append(Append(jobs=(over,))))
    _say(json, f"{row.id} is cancelled; what it has answered stays", {"job": row.id, "state": "cancelled"})
    return 0


def _cancel(session: Session, row: JobRow) -> None:
    if row.state in ("queued", "dead"):
        session.direct("cancel", row.id)
    else:
        session.call("cancel", row.id)


def resume(job: str, *, no_more: bool, force: bool, url: str, json: bool) -> int:
    """Goes on with a job, and finishes what its driver would have. Returns that driver's exit code."""
    with Session(_settings(url)) as session:
        row, spec = read_from(session, lambda journal: _both(journal, job))
        if row.state == "dead":
            raise UsageError(f"{row.id} is a dead letter; put it back into the queue by: understudy redrive {row.id}")
        if row.state in ("failed", "cancelled") or (row.state in LIVE and row.owner != current()):
            _begin(session, row, spec, "", force=force)
            row = read_from(session, lambda journal: find(journal, row.id))
        return _finish(session, row, spec, json=json, no_more=no_more)


def retry(job: str, *, which: str, wait: bool, url: str, json: bool) -> int:
    """Tries failed items, or those whose answer stands in, again. Returns the exit code of the job's driver."""
    with Session(_settings(url)) as session:
        row, spec = read_from(session, lambda journal: _both(journal, job))
        if row.state == "dead":
            raise UsageError(f"{row.id} is a dead letter; put it back into the queue by: understudy redrive {row.id}")
        count = row.failed if which == "failed" else row.standing
        if not count and row.state == "done":
            nothing = "no item has failed" if which == "failed" else "no answer stands in for another"
            _say(json, f"{row.id}: {nothing}: there is nothing to try again", {"job": row.id, "tried": 0})
            return 0
        _begin(session, row, spec, which)
        if not wait:
            _say(json, f"{row.id} goes on", {"job": row.id, "state": "running", "tried": count})
            return 0
        row = read_from(session, lambda journal: find(journal, row.id))
        return _finish(session, row, spec, json=json, no_more=False)


async def _both(journal: Journal, job: str) -> tuple[JobRow, SpecRow]:
    row = await find(journal, job)
    return row, await spec_of(journal, row)


def _begin(session: Session, row: JobRow, spec: SpecRow, which: str, *, force: bool = False) -> None:
    """Has the job's actors started with this shell's secrets, and the job taken over."""
    job = msgspec.msgpack.decode(spec.spec, type=JobSpec)
    session.ensure(Config.model_validate_json(job.config), job.config)
    session.call("resume", row.id, which, force)


def _finish(session: Session, row: JobRow, spec: SpecRow, *, json: bool, no_more: bool) -> int:
    if meta.decode(spec.meta).kind == "digest":
        from ..digest import again as digests  # noqa: PLC0415 - only for digests

        return digests.resume(session, row, spec, json=json)
    from ..flows import again as flows  # noqa: PLC0415 - only for workflows

    return flows.resume(session, row, spec, json=json, no_more=no_more)


def redrive(jobs: list[str], *, url: str, json: bool) -> int:
    """Puts dead letters back into the queue, all of them where none is named. Returns the exit code."""
    with Session(_settings(url)) as session:
        rows = read_from(session, lambda journal: _dead(journal, jobs))
        names = [row.id for row in rows]
        count = session.direct("redrive", names) if names else 0
    _say(json, f"{count:,} dead letters are queued again" if names else "there are no dead letters", {"jobs": names})
    return 0


async def _dead(journal: Journal, jobs: list[str]) -> list[JobRow]:
    if not jobs:
        return await journal.jobs(JobsAsk(states=("dead",), limit=MOST))
    rows = [await find(journal, job) for job in jobs]
    alive = [row for row in rows if row.state != "dead"]
    if alive:
        raise UsageError(f"{alive[0].id} is no dead letter: it is {alive[0].state}; see: understudy dead")
    return rows


def gc(*, older: str, job: str, most: int, url: str, json: bool) -> int:
    """Forgets jobs that are over. Returns the exit code."""
    before = time.time() - seconds(older)
    with opened(url) as reading:
        jobs = (_over(reading, job),) if job else ()
        swept = reading.run(lambda journal: journal.sweep(0.0 if job else before, jobs=jobs, most=most))
    told = {"jobs": swept.jobs, "before": swept.before, "after": swept.after}
    text = f"forgot {swept.jobs:,} jobs" if swept.jobs else "nothing is old enough to be forgotten"
    _say(json, f"{text}; the journal takes {_size(swept.after)}, before {_size(swept.before)}", told)
    return 0


def _over(reading: Reading, job: str) -> str:
    row = reading.run(lambda journal: find(journal, job))
    if row.state not in _OVER:
        raise UsageError(f"{row.id} is not over: it is {row.state}; end it first by: understudy cancel {row.id}")
    return row.id


def _size(count: int) -> str:
    return f"{count / 1e6:,.1f} MB"


def _settings(url: str) -> Settings:
    return Settings(journal=url) if url else Settings()


def _say(json: bool, text: str, told: dict[str, Any]) -> None:
    print_json(told) if json else Console().print(text, markup=False, highlight=False)
