"""What a digest shows people while it works and when it is done; plain lines when nobody looks."""

import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from ...actors.prices import dollars
from ...protocols.jobs import Page
from ...protocols.report import Report
from ...supervisors.digest.plan import Estimate, Totals
from .models import Forecast


def money(picodollars: int | None) -> str:
    """Dollars for people: four digits after the point below a dollar, two above; `?` where no price is known."""
    if picodollars is None:
        return "?"
    amount = dollars(picodollars)
    if 0 < picodollars < 5 * 10**7:
        return "<$0.0001"
    return "$0" if not amount else f"${amount:.2f}" if amount >= 1 else f"${amount:.4f}"


def duration(seconds: float) -> str:
    """`42 s`, `3 min 20 s`, `2 h 05 min`."""
    whole = round(seconds)
    if whole < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{whole} s"
    minutes, rest = divmod(whole, 60)
    return f"{minutes} min {rest:02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"


class Progress:
    """A live display of a digest: redrawn eight times a second on a terminal, a line at each stage elsewhere.

    Args:
        console: where to draw.
        quiet: draw nothing.
    """

    def __init__(self, console: Console, *, quiet: bool) -> None:
        self._console = console
        self._quiet = quiet
        self._stage = ""
        self._planned: Totals | None = None
        self._page: Page | None = None
        self._nodes = 0
        self._began = self._mapping = time.monotonic()
        self._live: Live | None = None

    def __enter__(self) -> Self:
        if self._console.is_terminal and not self._quiet:
            self._live = Live(get_renderable=self._draw, console=self._console, refresh_per_second=8, transient=True)
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def stage(self, text: str) -> None:
        """What is done now."""
        self._stage = text
        if self._live is None and not self._quiet:
            self._console.print(text, style="dim", highlight=False)

    def planning(self, totals: Totals) -> None:
        """What the walk has found so far."""
        self._planned = totals

    def mapping(self, page: Page, nodes: int) -> None:
        """How far the job is; `nodes` of the tree are to be merged."""
        if self._page is None:
            self._mapping = time.monotonic()
        self._page, self._nodes = page, nodes

    # Drawing ----------------------------------------------------------------------------------------------------------

    def _draw(self) -> Group:
        gone = duration(time.monotonic() - self._began)
        head = Text.assemble(("understudy ", "bold"), (self._stage, "dim"), f"  {gone}")
        if self._page is None:
            found = self._planned
            line = f"{found.files:,} files  {found.chunks:,} chunks  {found.tokens:,} tokens" if found else ""
            return Group(head, Text(line))
        return Group(head, self._bars(self._page), self._facts(self._page))

    def _bars(self, page: Page) -> Table:
        table = Table.grid(padding=(0, 1))
        for name, done, total in (("map", page.done, page.total), ("reduce", page.nodes_done, self._nodes)):
            table.add_row(f"{name:<6}", ProgressBar(total or 1, done, width=40), f"{done:,}/{total:,}")
        return table

    def _facts(self, page: Page) -> Text:
        bill = page.bill
        parts = [
            f"in flight {page.running}",
            f"tokens {bill.input_tokens + bill.output_tokens:,}",
            money(bill.cost) + ("+?" if bill.unpriced else ""),
            f"ETA {self._eta(page)}",
        ]
        if page.failed:
            parts.append(f"failed {page.failed}")
        for account in page.accounts:
            limit = f"/{account.limit_requests}" if account.limit_requests >= 0 else ""
            state = "" if account.state == "closed" else f" {account.state}"
            parts.append(f"{account.account} {account.used_requests + account.leased_requests}{limit} permits{state}")
        return Text("  ".join(parts), style="cyan")

    def _eta(self, page: Page) -> str:
        gone = time.monotonic() - self._mapping
        if not page.done or gone < 0.5:
            return "…"
        return duration((page.total - page.done) / (page.done / gone))


def plan_table(estimate: Estimate, cast: Forecast, totals: Totals) -> Table:
    """What a digest will cost, before anything is spent."""
    table = Table(title=f"{totals.files:,} files, {totals.tokens:,} tokens", title_justify="left")
    for name in ("phase", "calls", "tokens in", "tokens out", "dollars"):
        table.add_column(name, justify="left" if name == "phase" else "right")
    guess = estimate
    rows = [
        ("map", guess.map_calls, guess.map_input_tokens, guess.map_output_tokens, cast.map_cost),
        ("reduce", guess.reduce_calls, guess.reduce_input_tokens, guess.reduce_output_tokens, cast.reduce_cost),
        ("both", guess.calls, guess.input_tokens, guess.output_tokens, cast.cost),
    ]
    for name, calls, tokens_in, tokens_out, cost in rows:
        table.add_row(name, f"{calls:,}", f"{tokens_in:,}", f"{tokens_out:,}", money(cost))
    table.caption = f"about {duration(cast.seconds)} at least (bound by {cast.limit})"
    table.caption_justify = "left"
    return table


def result(console: Console, report: Report, paths: list[Path], shorten: Callable[[Path], str]) -> None:
    """The end of a digest: its summary, what it cost, what failed, where the report is."""
    console.rule(style="dim")
    if report.question:  # passages are lines of their own, which Markdown would join
        console.print(report.summary or "no answer", markup=False, highlight=False)
    else:
        from rich.markdown import Markdown  # noqa: PLC0415 - 30 ms, at the end and not at the start

        # `__init__.py` is a name, not emphasis
        console.print(Markdown(report.summary.replace("__", r"\_\_") or "*no summary*"))
    console.rule(style="dim")
    count, bill = report.accounting, report.bill
    if report.notice:
        console.print(report.notice, style="yellow", highlight=False)
    console.print(
        f"{count.text_files:,} files: {count.summarised:,} summarised, {count.packed:,} packed, "
        f"{count.failed:,} failed; {count.skipped:,} skipped",
        highlight=False,
    )
    cost = "?" if bill.cost is None else f"${bill.cost}"
    beside = [f"up to ${bill.open_cost} more for replies not seen to their end"] if float(bill.open_cost) else []
    beside += [f"unknown prices of {', '.join(bill.unpriced)}"] if bill.unpriced else []
    console.print(
        f"{bill.calls:,} calls, {bill.input_tokens:,} tokens in, {bill.output_tokens:,} out, {cost}"
        f"{''.join(f' + {one}' for one in beside)}, {duration(report.seconds)}",
        highlight=False,
    )
    for failure in report.failures[:10]:
        console.print(f"failed: {failure.path}: {failure.cause}", style="red", highlight=False, markup=False)
    if len(report.failures) > 10:
        console.print(f"… and {len(report.failures) - 10} more in the report", style="red")
    console.print("report: " + "  ".join(shorten(path) for path in paths), highlight=False)
