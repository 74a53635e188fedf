"""`understudy run --plan`: what the runs of a workflow will come to, as a table and as JSON."""

from collections.abc import Iterable
from typing import Any, Final, Literal

from rich.console import Console
from rich.table import Table
from rich.text import Text

from ...actors.prices import PriceBook, dollars
from ...protocols.config import Config
from ...protocols.workflow import Flow
from ...supervisors.patterns.chunks import rough_size
from ...supervisors.workflow.plan import Plan, Row, Sum
from ...supervisors.workflow.plan import plan as plan_of
from ..digest.show import money
from ..live import duration

_SAMPLE: Final = 200
"""Inputs that are planned of many: every so many-th, and the largest of all."""
_NAME: Final = 25
_MODEL: Final = 10


def planned(
    flow: Flow, config: Config, prices: PriceBook, given: Iterable[Any], total: int, *, concurrency: int
) -> Plan:
    """What the runs of `flow` on these inputs will come to; `total` of them, or -1 where nobody knows how many.

    Raises:
        ConfigError: a call's model is not defined, or sub-workflows use each other.
    """
    sample = _sample(given, total)
    return plan_of(flow, config, prices, values=sample, inputs=total if total > 0 else None, width=concurrency)


def _sample(given: Iterable[Any], total: int) -> list[Any]:
    if total < 0:
        return []  # they come while it runs, and can be read once
    step = max(1, total // _SAMPLE)
    kept: list[Any] = []
    largest: Any = None
    size = -1
    for number, value in enumerate(given):
        if number % step == 0:
            kept.append(value)
        elif (own := rough_size(value)) > size:
            largest, size = value, own
    if size > max(map(rough_size, kept), default=0):
        kept.append(largest)
    return kept


# For people -----------------------------------------------------------------------------------------------------------


def show(plan: Plan, console: Console) -> None:
    """The table, what it comes to in a line, and what had to be assumed."""
    console.print(_table(plan))
    for line in summary(plan):
        console.print(line, highlight=False, markup=False)
    for what in plan.assumed:
        console.print(f"assumed: {what}", style="dim", highlight=False, markup=False)
    if plan.unpriced:
        names = ", ".join(plan.unpriced)
        console.print(f"no price is known for {names}", style="yellow", highlight=False, markup=False)


def _table(plan: Plan) -> Table:
    title = plan.name if plan.inputs == 1 else f"{plan.name}, {plan.inputs:,} inputs"
    table = Table(title=Text(title), title_justify="left", box=None, padding=(0, 1, 0, 0), header_style="bold")
    for name in ("step", "model", "calls", "at most", "in", "out", "dollars", "at most"):
        justify: Literal["left", "right"] = "left" if name in ("step", "model") else "right"
        table.add_column(name, justify=justify, no_wrap=True)
    for row in plan.rows:
        usual, most = row.typical, row.most
        silent = not (most.calls or row.model)
        figures = (
            ("", "", "", "", "", "")
            if silent
            else (
                number(usual.calls),
                number(most.calls),
                number(usual.input_tokens),
                number(usual.output_tokens),
                _money(usual.cost),
                _money(most.cost),
            )
        )
        table.add_row(_name(row), _short(row.model, _MODEL), *figures)
    return table


def _name(row: Row) -> Text:
    """Where it stands, by the last part of its path, and what it is."""
    last = row.path.rsplit("/", 1)[-1]
    name = f"{row.id} ({last})" if row.id and row.id != last else last
    return Text(_short(f"{'  ' * row.deep}{name} {row.kind}", _NAME), style="dim" if not row.most.calls else "")


def _short(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"


def number(value: float) -> str:
    """`12`, `1.3`, `8.1k`, `4.2M`: three digits at most beside the unit."""
    if value < 10 and value != int(value):
        return f"{value:.1f}"
    if value < 1000:
        return f"{value:.0f}"
    for unit, size in (("k", 1e3), ("M", 1e6), ("G", 1e9)):
        if value < size * 999.5 or unit == "G":
            scaled = value / size
            return f"{scaled:.1f}{unit}" if scaled < 99.95 else f"{scaled:.0f}{unit}"
    raise AssertionError("the last unit takes all")


def _money(picodollars: int | None) -> str:
    return "<$0.0001" if picodollars is not None and 0 < picodollars < 5 * 10**7 else money(picodollars)


def summary(plan: Plan) -> tuple[str, str]:
    """`about 12 calls (at most 40), 8.1k tokens in …`, and the time in a line of its own."""
    usual, most = plan.typical, plan.most
    calls = f"about {number(usual.calls)} calls (at most {number(most.calls)})"
    tokens = f"{number(usual.input_tokens)} tokens in, {number(usual.output_tokens)} out"
    cost = f"{_money(usual.cost)} (at most {_money(most.cost)})"
    return f"{calls}, {tokens}, {cost}", f"about {duration(usual.seconds)} (bound by {plan.bound})"


# For machines ---------------------------------------------------------------------------------------------------------


def as_json(plan: Plan) -> dict[str, Any]:
    """The plan as JSON-like values; dollars are decimal texts, None where a price is not known."""
    return {
        "flow": plan.name,
        "inputs": plan.inputs,
        "typical": _sum(plan.typical),
        "most": _sum(plan.most),
        "bound": plan.bound,
        "dearest_run_dollars": _dollars(plan.dearest),
        "steps": [
            {
                "path": row.path,
                "kind": row.kind,
                "id": row.id or None,
                "model": row.model or None,
                "typical": _sum(row.typical),
                "most": _sum(row.most),
            }
            for row in plan.rows
        ],
        "bounded": plan.bounded,
        "assumed": list(plan.assumed),
        "unpriced": list(plan.unpriced),
    }


def _sum(one: Sum) -> dict[str, Any]:
    return {
        "calls": one.calls,
        "input_tokens": one.input_tokens,
        "output_tokens": one.output_tokens,
        "dollars": _dollars(one.cost),
        "seconds": one.seconds,
    }


def _dollars(picodollars: int | None) -> str | None:
    return None if picodollars is None else f"{dollars(picodollars):f}"
