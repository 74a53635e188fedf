"""Commands that only read: `jobs`, `show`, `logs`, `dead`."""

import time
from typing import get_args

from rich.console import Console

from ...actors.journal.api import Journal
from ...protocols.errors import UsageError
from ...protocols.jobs import LIVE, JobState
from ...protocols.journal import JobRow, JobsAsk
from ...protocols.suggest import did_you_mean
from ..flows.ending import print_json
from ..session import Session
from . import logs, showing, tables
from .access import opened, running
from .finding import MOST, find
from .history import History, gather

OVER_S = 86_400.0
"""Without --all, jobs that ended longer ago are left out."""


def listed(*, everything: bool, states: list[str], tenant: str | None, url: str, json: bool) -> int:
    """Lists jobs. Returns the exit code. Raises `UsageError` for a state there is none of."""
    wanted = _states(states)
    ask = JobsAsk(states=wanted, tenant=tenant, limit=MOST)
    with opened(url) as reading:
        rows = reading.run(lambda journal: journal.jobs(ask))
        now = time.time()
        shown = [row for row in rows if everything or states or _recent(row, now=now)]
        if json:
            print_json([tables.as_json(row, reading.whose) for row in shown])
        elif shown:
            tables.show_jobs(Console(), shown, reading.whose, now=now)
        if not json and len(shown) < len(rows):
            Console().print(f"{len(rows) - len(shown):,} more are over for longer: --all", style="dim", highlight=False)
        elif not json and not shown:
            Console().print("there are no jobs")
    return 0


def _states(names: list[str]) -> tuple[JobState, ...]:
    known: tuple[JobState, ...] = get_args(JobState)
    for name in names:
        if name not in known:
            raise UsageError(f"--state {name}: must be one of {', '.join(known)}{did_you_mean(name, known)}")
    return tuple(state for state in known if state in names)


def _recent(row: JobRow, *, now: float) -> bool:
    return row.state in (*LIVE, "queued", "dead") or now - row.updated < OVER_S


def shown(job: str, *, item: int, url: str, json: bool) -> int:
    """Shows one job. Returns the exit code."""
    with opened(url) as reading:

        async def work(journal: Journal) -> History:
            return await gather(journal, await find(journal, job), item=item)

        history = reading.run(work)
        if item >= history.row.total:
            raise UsageError(f"job {history.row.id} has no item {item}: it has {history.row.total:,}, from 0 on")
        if item >= 0:
            history.items = {number: done for number, done in history.items.items() if number == item}
        if json:
            print_json(showing.as_json(history, reading.whose))
        else:
            showing.show(Console(), history, reading.whose, now=time.time())
    return 0


def logged(job: str, *, follow: bool, url: str, json: bool) -> int:
    """Tells what happened to a job. Returns the exit code."""
    with opened(url) as reading:

        async def work(journal: Journal) -> tuple[JobRow, list[logs.Line], int]:
            row = await find(journal, job)
            return (row, *await logs.past(journal, row))

        row, lines, cursor = reading.run(work)
        logs.write(lines, json=json)
    if follow and row.state in (*LIVE, "queued"):
        if reading.whose.gone(row) or not running():
            raise UsageError(f"the cluster that ran job {row.id} is gone; go on with it by: understudy resume {row.id}")
        with Session() as session:
            logs.write(logs.follow(session, row, cursor), json=json)
    return 0


def dead(*, url: str, json: bool) -> int:
    """Lists dead letters. Returns the exit code."""
    with opened(url) as reading:
        rows = reading.run(lambda journal: journal.jobs(JobsAsk(states=("dead",), limit=MOST)))
        if json:
            print_json([tables.as_json(row, reading.whose) for row in rows])
        elif rows:
            tables.show_dead(Console(), rows, now=time.time())
            Console().print("back into the queue: understudy redrive JOB", style="dim", highlight=False)
        else:
            Console().print("there are no dead letters")
    return 0
