"""What a digest shows people while it works and when it is done; plain lines when nobody looks."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from rich.console import Console, Group
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from ...actors.prices import dollars
from ...protocols.digest import DigestPlan
from ...protocols.jobs import Page
from ...protocols.report import Report
from ...supervisors.digest.plan import Estimate, Totals, files_known
from ..live import LiveDisplay, duration, eta
from .gather import Gathered
from .models import Forecast

PAUSE_S: Final = 3.0
"""A journal that is only being started, or restarted, is there within a second or two: that is nobody's worry."""


def money(picodollars: int | None) -> str:
    """Dollars for people: four digits after the point below a dollar, two above; `?` where no price is known."""
    if picodollars is None:
        return "?"
    amount = dollars(picodollars)
    if 0 < picodollars < 5 * 10**7:
        return "<$0.0001"
    return "$0" if not amount else f"${amount:.2f}" if amount >= 1 else f"${amount:.4f}"


def warn(console: Console, text: str) -> None:
    """One line that a person should see."""
    console.print(f"warning: {text}", style="yellow", markup=False, highlight=False)


def known(plan: DigestPlan) -> str:
    """How much of a plan was answered before, for people."""
    return f"{files_known(plan):,} of {len(plan.files):,} files are known from earlier digests"


class Progress(LiveDisplay):
    """A live display of a digest.

    Args:
        console: where to draw.
        quiet: draw nothing.
    """

    def __init__(self, console: Console, *, quiet: bool) -> None:
        super().__init__(console, quiet=quiet)
        self._planned: Totals | None = None
        self._page: Page | None = None
        self._nodes = 0
        self._mapping = self._began

    def planning(self, totals: Totals) -> None:
        """What the walk has found so far."""
        self._planned = totals

    def mapping(self, page: Page, nodes: int) -> None:
        """How far the job is; `nodes` of the tree are to be merged."""
        if self._page is None:
            self._mapping = time.monotonic()
        self._page, self._nodes = page, nodes

    # Drawing ----------------------------------------------------------------------------------------------------------

    def draw(self) -> Group:
        """See `LiveDisplay`."""
        if self._page is None:
            found = self._planned
            line = f"{found.files:,} files  {found.chunks:,} chunks  {found.tokens:,} tokens" if found else ""
            return Group(self.head(), Text(line))
        return Group(self.head(), self._bars(self._page), self._facts(self._page))

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
            f"ETA {eta(page.done, page.total, self._mapping)}",
        ]
        if page.failed:
            parts.append(f"failed {page.failed}")
        if page.paused:
            parts.append("waits")
        for account in page.accounts:
            limit = f"/{account.limit_requests}" if account.limit_requests >= 0 else ""
            state = "" if account.state == "closed" else f" {account.state}"
            parts.append(f"{account.account} {account.used_requests + account.leased_requests}{limit} permits{state}")
        return Text("  ".join(parts), style="cyan")


class Watching:
    """What is done with each page of a digest's news.

    Args:
        gathered: where its answers go.
        progress: where it shows.
        nodes: of the tree that are to be merged.
        warn: told in one line why nothing has gone on for `PAUSE_S`; also where nobody looks at the display.
    """

    def __init__(self, gathered: Gathered, progress: Progress, nodes: int, warn: Callable[[str], None]) -> None:
        self._gathered, self._progress, self._nodes, self._warn = gathered, progress, nodes, warn
        self._paused_since: float | None = None
        self._told = ""

    def __call__(self, page: Page) -> None:
        """One more page."""
        self._gathered.take(page)
        self._progress.mapping(page, self._nodes)
        now = time.monotonic()
        self._paused_since = (self._paused_since or now) if page.paused else None
        if self._paused_since is not None and now - self._paused_since >= PAUSE_S and page.paused != self._told:
            self._told = page.paused
            self._warn(f"the digest waits: {page.paused}")


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
