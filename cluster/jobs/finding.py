"""Finds jobs in the Journal by what people type: an id, or how one begins."""

import re
from typing import Final

from ...actors.journal.api import Journal
from ...protocols.errors import UsageError
from ...protocols.journal import JobRow, JobsAsk, SpecRow
from ...protocols.suggest import did_you_mean

MOST: Final = 100_000
"""Jobs that are looked through; a row is some 200 bytes."""
_SHOWN: Final = 5
_UNITS: Final = {"s": 1.0, "m": 60.0, "h": 3_600.0, "d": 86_400.0, "w": 604_800.0}


async def find(journal: Journal, name: str) -> JobRow:
    """The job of that id, or the only one whose id begins so.

    Raises:
        UsageError: there is none, or there are several; the text names what could be meant.
    """
    exact = await journal.jobs(JobsAsk(ids=(name,)))
    if exact:
        return exact[0]
    rows = await journal.jobs(JobsAsk(children=True, limit=MOST))
    return choose(name, rows)


def choose(name: str, rows: list[JobRow]) -> JobRow:
    """The row that `name` means; jobs that work for others only where it is theirs alone. Raises as `find` does."""
    fits = [row for row in rows if name and row.id.startswith(name)]
    fits = [row for row in fits if not row.parent] or fits
    if len(fits) == 1:
        return fits[0]
    if fits:
        several = ", ".join(row.id for row in fits[:_SHOWN]) + (", …" if len(fits) > _SHOWN else "")
        raise UsageError(f"{name!r} could be {several}; write more of it")
    hint = did_you_mean(name, [row.id for row in rows if not row.parent])
    raise UsageError(f"there is no job {name!r}{hint}; see: understudy jobs --all")


async def spec_of(journal: Journal, row: JobRow) -> SpecRow:
    """What a job is. Raises `UsageError` where the Journal has forgotten it."""
    spec = await journal.spec(row.id)
    if spec is None:
        raise UsageError(f"nothing is known of job {row.id} but its name: it can't be gone on with")
    return spec


def seconds(text: str) -> float:
    """A duration as people write it: `90s`, `15m`, `12h`, `30d`, `2w`. Raises `UsageError` for anything else."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([smhdw]?)", text.strip())
    if match is None:
        raise UsageError(f"{text!r} is no duration; write 90s, 15m, 12h, 30d or 2w")
    return float(match[1]) * _UNITS[match[2] or "s"]
