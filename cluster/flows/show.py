"""What a running workflow shows: a live tree of its steps, or bars for many inputs; plain lines when nobody looks."""

import dataclasses
import re
import time
from collections.abc import Sequence
from typing import Final, Literal

import msgspec
from rich.console import Console, Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text
from rich.tree import Tree

from ...protocols.jobs import Page
from ...protocols.messages import StepEvent
from ...protocols.workflow.result import StepRecord
from ..digest.show import money
from ..live import LiveDisplay, duration, eta

_SIGNS: Final = {
    "began": ("…", "cyan"),
    "done": ("✓", "green"),
    "degraded": ("≈", "yellow"),
    "skipped": ("○", "dim"),
    "failed": ("✗", "red"),
    "waiting": ("?", "magenta"),
    "stopped": ("■", "yellow"),
}
_SHOWN_AS: Final[dict[str, Literal["done", "degraded", "skipped", "failed", "stopped"]]] = {
    "done": "done",
    "degraded": "degraded",
    "skipped": "skipped",
    "failed": "failed",
    "stopped": "stopped",
    "undone": "stopped",
    "cancelled": "skipped",
}
_SHOWN: Final = 8
"""Steps beside each other that are shown; of more, the first ones and a count."""
_LONGEST: Final = 60


@dataclasses.dataclass(slots=True)
class Seen:
    """A step as it was last told of."""

    event: StepEvent
    below: dict[str, "Seen"] = dataclasses.field(default_factory=dict)


class Steps:
    """The steps of one run as a tree, fed with events."""

    def __init__(self) -> None:
        self._root: dict[str, Seen] = {}
        self._known: dict[str, Seen] = {}
        self.words = ""

    def hear(self, event: StepEvent) -> None:
        """Something happened to a step."""
        if event.state == "text":
            self.words = "" if event.note == "\x00" else (self.words + event.note)[-400:]
            return
        known = self._known.get(event.path)
        if known is not None:
            before = known.event
            known.event = event if event.kind else msgspec.structs.replace(event, kind=before.kind, id=before.id)
            return
        seen = self._known[event.path] = Seen(event)
        self._around(event.path).setdefault(event.path, seen)

    def _around(self, path: str) -> dict[str, Seen]:
        """What stands right below the nearest step around a path that is known."""
        while "/" in path:
            path = path.rpartition("/")[0]
            for form in (path, path.rpartition("#")[0], path.rpartition("~")[0]):
                if form in self._known:
                    return self._known[form].below
        return self._root

    def tree(self, title: str) -> Tree:
        """The steps, each with its sign, its seconds, its cost and what there is to say of it."""
        tree = Tree(Text(title, style="bold"), guide_style="dim")
        _grow(tree, list(self._root.values()))
        return tree


def _grow(tree: Tree, steps: list[Seen]) -> None:
    shown = steps if len(steps) <= _SHOWN + 1 else steps[:_SHOWN]
    for step in shown:
        _grow(tree.add(line(step.event)), list(step.below.values()))
    rest = steps[len(shown) :]
    if rest:
        states: dict[str, int] = {}
        for step in rest:
            states[step.event.state] = states.get(step.event.state, 0) + 1
        told = ", ".join(f"{count} {'running' if state == 'began' else state}" for state, count in states.items())
        tree.add(Text(f"… {len(rest)} more: {told}", style="dim"))


def record_tree(title: str, records: Sequence[StepRecord]) -> Tree:
    """The steps of a run that is over, as a tree: each with its state, its seconds, its requests, its cost."""
    steps = Steps()
    for record in sorted(records, key=lambda one: _order(one.path)):
        steps.hear(_as_event(record))
    return steps.tree(title)


def _order(path: str) -> list[tuple[int, str]]:
    """What a step stands below comes before it, and the tenth after the ninth."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"[/#~]", path)]


def _as_event(record: StepRecord) -> StepEvent:
    requests = f"{record.attempts} requests" if record.attempts > 1 else ""
    return StepEvent(
        0,
        record.path,
        record.kind,
        _SHOWN_AS.get(record.state, "done"),
        record.began_s,
        record.took_s,
        record.cost,
        record.model,
        "; ".join(part for part in (requests, record.note) if part),
        record.id,
    )


def line(event: StepEvent) -> Text:
    """One step in a line."""
    sign, style = _SIGNS.get(event.state, ("·", "dim"))
    name = event.id or event.path.rpartition("/")[2]
    text = Text.assemble(
        (f"{sign} ", style), (name, "bold" if event.state == "began" else ""), (f" {event.kind}", "dim")
    )
    facts = []
    if event.took_s:
        facts.append(duration(event.took_s))
    if event.cost:
        facts.append(money(None if event.cost < 0 else event.cost))
    if event.model:
        facts.append(event.model)
    if facts:
        text.append("  " + "  ".join(facts), style="dim")
    if event.note:
        note = event.note if len(event.note) <= _LONGEST else f"{event.note[:_LONGEST]}…"
        calm = "dim" if event.state in ("began", "done") else "yellow"
        text.append(f"  {note}", style="red" if event.state == "failed" else calm)
    return text


class Progress(LiveDisplay):
    """A live display of the runs of a workflow.

    Args:
        console: where to draw.
        title: of the workflow.
        total: how many inputs there are.
        quiet: draw nothing.
    """

    def __init__(self, console: Console, title: str, *, total: int, quiet: bool) -> None:
        super().__init__(console, quiet=quiet)
        self._title = title
        self._total = total
        self._page: Page | None = None
        self._working = self._began
        self._steps: dict[int, Steps] = {}

    def take(self, page: Page) -> None:
        """How far it is."""
        if self._page is None:
            self._working = time.monotonic()
        if page.paused and (self._page is None or page.paused != self._page.paused) and not self._live:
            self._told(f"waits: {page.paused}")
        self._page = page
        for event in page.events:
            self._steps.setdefault(event.item, Steps()).hear(event)

    def _told(self, text: str) -> None:
        if not self._quiet:
            self._console.print(text, style="yellow", markup=False, highlight=False)

    # Drawing ----------------------------------------------------------------------------------------------------------

    def draw(self) -> RenderableType:
        """See `LiveDisplay`."""
        parts: list[RenderableType] = [self.head()]
        if self._total == 1:
            steps = self._steps.get(0)
            if steps is not None:
                parts.append(steps.tree(self._title))
                if steps.words:
                    parts.append(Text(steps.words, style="dim"))
        elif self._page is not None:
            parts.append(self._bar(self._page))
        if self._page is not None:
            parts.append(self._facts(self._page))
        return Group(*parts)

    def _bar(self, page: Page) -> Table:
        table = Table.grid(padding=(0, 1))
        total = max(self._total, page.total)
        table.add_row("runs  ", ProgressBar(total or 1, page.done, width=40), f"{page.done:,}/{total:,}")
        return table

    def _facts(self, page: Page) -> Text:
        bill = page.bill
        parts = [
            f"tokens {bill.input_tokens + bill.output_tokens:,}",
            money(bill.cost) + ("+?" if bill.unpriced else ""),
        ]
        if self._total != 1:
            parts = [
                f"in flight {page.running}",
                *parts,
                f"ETA {eta(page.done, max(self._total, page.total), self._working)}",
            ]
        if page.parked:
            parts.append(f"waiting for people {page.parked}")
        if page.failed:
            parts.append(f"failed {page.failed}")
        text = Text("  ".join(parts), style="cyan")
        return text.append(f"\nwaits: {page.paused}", style="yellow") if page.paused else text
