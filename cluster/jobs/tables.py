"""Jobs as tables that fit 80 columns, and as JSON."""

import dataclasses
from collections.abc import Sequence
from decimal import Decimal
from typing import Any, Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from ...protocols.jobs import LIVE
from ...protocols.journal import JobRow
from ..digest.show import money
from ..live import duration

STYLES: Final = {
    "done": "green",
    "failed": "red",
    "dead": "red",
    "interrupted": "yellow",
    "waiting": "magenta",
    "running": "cyan",
    "open": "cyan",
}
_CAUSE: Final = 60


@dataclasses.dataclass(frozen=True, slots=True)
class Whose:
    """Which jobs belong to the cluster that runs now.

    Attributes:
        owner: its id, where that is known.
        since: when it began, wall-clock seconds; infinity where none runs. Each of its jobs was set since.
    """

    owner: str = ""
    since: float = 0.0

    def gone(self, row: JobRow) -> bool:
        """True for a job that is not over, and whose cluster is."""
        return row.state in LIVE and (row.owner != self.owner if self.owner else row.updated < self.since)

    def state(self, row: JobRow) -> str:
        """How a job stands, in a word: its state, or `interrupted` where the cluster that ran it is gone."""
        return "interrupted" if self.gone(row) else row.state


def as_json(row: JobRow, whose: Whose) -> dict[str, Any]:
    """A job for machines; times are seconds since 1970."""
    return {
        "id": row.id,
        "title": row.title,
        "state": whose.state(row),
        "tenant": row.tenant,
        "parent": row.parent,
        "key": row.key,
        "priority": row.priority,
        "attempt": row.attempt,
        "attempts": row.attempts,
        "total": row.total,
        "done": row.done,
        "failed": row.failed,
        "standing": row.standing,
        "waiting": row.parked,
        "dollars": dollars(row.cost),
        "open_dollars": dollars(row.open_cost),
        "created": row.created,
        "updated": row.updated,
        "due": row.due,
        "error": row.error,
        "trace": row.trace,
    }


def dollars(picodollars: int) -> str:
    """As JSON has it: exact, in digits."""
    return f"{Decimal(picodollars).scaleb(-12).normalize():f}"


def show_jobs(console: Console, rows: Sequence[JobRow], whose: Whose, *, now: float) -> None:
    """A table of jobs, one a line."""
    table = _table("job", "state", "progress", "cost", "age")
    for row in rows:
        state = whose.state(row)
        table.add_row(
            Text(row.id),
            Text(state, STYLES.get(state, "")),
            Text(progress(row)),
            money(row.cost),
            duration(max(0.0, now - row.created)),
        )
    console.print(table)


def progress(row: JobRow) -> str:
    """`10/12`, and what there is to say besides."""
    parts = [f"{row.done:,}/{row.total:,}"]
    parts += [f"{count:,} {what}" for count, what in ((row.failed, "failed"), (row.parked, "waiting")) if count]
    return ", ".join(parts)


def show_dead(console: Console, rows: Sequence[JobRow], *, now: float) -> None:
    """A table of dead letters, each with its cause and its trace below."""
    for row in rows:
        line = Text(row.id, "bold")
        line.append(f"  {row.attempt} attempts, died {duration(max(0.0, now - row.updated))} ago", "dim")
        console.print(line)
        console.print(Text(f"  {row.error or 'nobody knows why'}", "red"))
        if row.trace:
            console.print(Text(f"  trace {trace_id(row.trace)}", "dim"))


def trace_id(traceparent: str) -> str:
    """The part of a W3C trace context that names the whole trace."""
    parts = traceparent.split("-")
    return parts[1] if len(parts) > 1 else traceparent


def short(text: str, most: int = _CAUSE) -> str:
    """Its first line, cut."""
    line = text.strip().split("\n", 1)[0]
    return line if len(line) <= most else f"{line[: most - 1]}…"


def _table(first: str, *others: str) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column(first, overflow="fold")
    for name in others:
        table.add_column(name, justify="left" if name in ("state", "progress") else "right", no_wrap=name != "progress")
    return table
