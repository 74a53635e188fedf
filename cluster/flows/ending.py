"""What is said when a workflow's runs are over, or wait for people: for people, and as JSON."""

import sys
from decimal import Decimal
from typing import Any

import orjson
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ...protocols.jobs import Page, Waiting
from ..digest.show import money
from ..live import duration
from .results import Result


def show_result(console: Console, result: Result[Any], seconds: float) -> None:
    """One run: its output, what is to be said of it, what it cost."""
    console.rule(style="dim")
    output = result.output
    if result.error:
        console.print(f"failed: {result.error}", style="red", markup=False, highlight=False)
    elif isinstance(output, str):
        console.print(output, markup=False, highlight=False)
    else:
        console.print_json(orjson.dumps(output).decode())
    console.rule(style="dim")
    if result.stopped:
        console.print(f"ended early: {result.stopped}", style="yellow", markup=False, highlight=False)
    if result.review:
        console.print("the models do not agree: a person should look at it", style="yellow")
    for step in result.steps:
        if step.state in ("degraded", "failed") or (step.state == "skipped" and not step.note.startswith("not ")):
            line = f"{step.state}: {step.path}: {step.note}"
            console.print(line, style="yellow", markup=False, highlight=False)
    cost = "?" if result.cost is None else f"${result.cost:f}"
    more = f" + up to ${result.open_cost:f} for replies not seen to their end" if result.open_cost else ""
    console.print(
        f"{result.calls:,} calls, {result.input_tokens:,} tokens in, {result.output_tokens:,} out, {cost}{more}, "
        f"{duration(seconds)}",
        highlight=False,
    )


def show_many(console: Console, page: Page, seconds: float, out: str) -> None:
    """Many runs: how many came to what, and where the results are."""
    table = Table.grid(padding=(0, 2))
    bill = page.bill
    rows = [
        ("runs", f"{page.done:,} of {page.total:,}, {page.failed:,} failed"),
        ("requests", f"{bill.attempts:,}"),
        ("tokens", f"{bill.input_tokens:,} in, {bill.output_tokens:,} out"),
        ("cost", money(bill.cost) + (" + unknown prices" if bill.unpriced else "")),
        ("time", duration(seconds)),
        ("results", out),
    ]
    for name, value in rows:
        table.add_row(name, escape(value))
    console.print(table)


def show_waiting(console: Console, waiting: list[Waiting]) -> None:
    """What waits for people, and how it is answered."""
    for one in waiting:
        for ask in one.asks:
            console.print(f"{one.job}  item {one.item}  {ask.path}", style="bold", markup=False, highlight=False)
            console.print(f"  {ask.title}  (waits {duration(one.age_s)})", markup=False, highlight=False)
            for line in (ask.show or ask.value.decode(errors="replace"))[:2000].splitlines():
                console.print(f"  | {line}", markup=False, highlight=False)
        console.print(f"  understudy approve {one.job}    understudy reject {one.job}", style="dim", highlight=False)


def stand_ins(console: Console, count: int, job: str) -> None:
    """How many answers are not a model's, and that they will be asked for again."""
    text = "1 answer stands in for a model" if count == 1 else f"{count:,} answers stand in for models"
    verb = "it is" if count == 1 else "they are"
    line = f"{text} that could not be asked: {verb} queued for retry (understudy show {job})"
    console.print(line, style="yellow", markup=False, highlight=False)


def goes_on(console: Console, job: str) -> None:
    """Nobody looks on any more; the job does not need it."""
    lines = f"the job goes on; come back by: understudy resume {job}\nend it by: understudy cancel {job}"
    console.print(lines, markup=False, highlight=False)


def waiting_as_json(waiting: list[Waiting]) -> list[dict[str, Any]]:
    """The same for machines."""
    return [
        {
            "job": one.job,
            "item": one.item,
            "title": one.title,
            "age_s": round(one.age_s, 1),
            "asks": [
                {
                    "path": ask.path,
                    "title": ask.title,
                    "show": ask.show,
                    "value": orjson.loads(ask.value) if ask.value else None,
                    "editable": bool(ask.value),
                }
                for ask in one.asks
            ],
        }
        for one in waiting
    ]


def totals(page: Page) -> dict[str, Any]:
    """The bill of a job, for machines."""
    bill = page.bill
    paused = {"paused": page.paused} if page.paused else {}
    return {
        "runs": page.total,
        "done": page.done,
        "failed": page.failed,
        "waiting": page.parked,
        "attempts": bill.attempts,
        "input_tokens": bill.input_tokens,
        "output_tokens": bill.output_tokens,
        "dollars": f"{Decimal(bill.cost).scaleb(-12).normalize():f}",
        "open_dollars": f"{Decimal(bill.open_cost).scaleb(-12).normalize():f}",
        "unpriced_runs": bill.unpriced,
        "standing": page.standing,
        **paused,
    }


def print_json(value: object) -> None:
    """On standard output."""
    sys.stdout.write(orjson.dumps(value, option=orjson.OPT_INDENT_2).decode() + "\n")
