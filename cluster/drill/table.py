"""A drill as people read it: two tables of at most 80 columns."""

from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.table import Table

from .tally import Tally

_NAMES = {
    "rate_limited": "429",
    "server": "5xx",
    "connection": "connection",
    "invalid_reply": "broken reply",
    "context_too_long": "too long",
    "quota_impossible": "over quota",
    "auth": "key refused",
}


def show(rows: Sequence[Tally], console: Console, *, head: str) -> None:
    """Prints what users saw, then who answered and what went wrong on the way."""
    console.print(head, highlight=False, markup=False, soft_wrap=True)
    console.print(_figures(rows))
    console.print()
    console.print(_causes(rows))
    for row in rows:
        for text, count in row.unanswered.items():
            line = f"{row.scenario}: {count} unanswered: {_name(text)}"
            console.print(line, style="red", highlight=False, markup=False)


def _figures(rows: Sequence[Tally]) -> Table:
    table = _table("scenario", "answered", "degraded", "p50 s", "p95 s", "p99 s", "extra calls", "extra cost")
    for row in rows:
        stands_in = row.stale + row.degraded
        table.add_row(
            row.scenario,
            share(row.answered, row.calls),
            share(stands_in, row.calls),
            *(_seconds(value) for value in (row.p50_s, row.p95_s, row.p99_s)),
            _plus(row.extra_calls / row.calls if row.calls else 0.0),
            "?" if row.cost is None else f"${row.cost:.4f}" if row.extra_cost is None else _plus(row.extra_cost),
        )
    return table


def _causes(rows: Sequence[Tally]) -> Table:
    table = _table("scenario", "answered by", "what went wrong on the way")
    for row in rows:
        by = ", ".join(f"{name} {share(count, row.answered)}" for name, count in row.answered_by.items())
        table.add_row(row.scenario, by or "nobody", _list(row.met) or "nothing")
    return table


def _list(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{_name(name)} {count:,}" for name, count in counts.items())


def _name(outcome: str) -> str:
    return _NAMES.get(outcome, outcome.replace("_", " "))


def share(part: int, whole: int) -> str:
    """A share for people: `100 %` and `0 %` only when it is all and nothing."""
    if not whole or not part:
        return "0 %"
    if part == whole:
        return "100 %"
    percent = 100 * part / whole
    return f"{min(max(percent, 0.1), 99.9):.1f} %" if percent < 1 or percent >= 99 else f"{percent:.0f} %"


def _plus(share_: float) -> str:
    return f"{100 * share_:+.1f} %" if abs(share_) >= 0.0005 else "0 %"


def _seconds(value: float) -> str:
    return "none" if value < 0 else f"{value:.2f}" if value < 10 else f"{value:.0f}"


def _table(first: str, *others: str) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column(first, no_wrap=True)
    words = ("answered by", "what went wrong on the way")
    for name in others:
        table.add_column(name, justify="left" if name in words else "right")
    return table
