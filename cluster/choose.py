"""`understudy route`: a decision explained in full, with no cluster and no network."""

import dataclasses
import os
import sys
import textwrap
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import msgspec
from rich.console import Console
from rich.table import Table

from ..actors.embedded.tokens import count
from ..actors.prices import PICO, PriceBook
from ..actors.router.chooser import Chooser, Decision
from ..actors.router.classify import Classification
from ..actors.router.explain import Explanation, explain
from ..actors.router.selection import Row
from ..protocols.call import CallOptions
from ..protocols.chat import ChatRequest, Message, Text
from ..protocols.config import AUTO, Config, Route
from ..protocols.errors import UsageError
from ..protocols.routing import Urgency
from . import config_file
from .digest.models import known_tenant
from .digest.show import money
from .live import duration

MAX_BYTES: Final = 8_000_000
_EXAMPLES: Final = 5


@dataclasses.dataclass(frozen=True, slots=True)
class Options:
    """What is asked of the command.

    Attributes:
        text: of the request; `-` for the standard input.
        config: a configuration file, or None for `understudy.yaml` of this folder.
        model: the route that the request names.
        tenant: who asks.
        urgency: how soon it is wanted; None to tell it from the text.
        max_cost: dollars the call may cost.
        private: the request must not leave.
        json: print JSON.
    """

    text: str
    config: Path | None = None
    model: str = AUTO
    tenant: str = ""
    urgency: Urgency | None = None
    max_cost: float | None = None
    private: bool = False
    json: bool = False


def run(options: Options, console: Console | None = None) -> int:
    """Prints which route the request takes and why; returns the exit code.

    Raises:
        UsageError: there is no text, or too much of it, or no such tenant.
        ConfigError: the configuration is wrong.
    """
    text = _text(options.text)
    config = config_file.load(options.config)
    known_tenant(config, options.tenant)
    tokens = count(text)
    prices = PriceBook(config, at=datetime.now(UTC), environ=os.environ)
    found = _explanation(config, prices, options, text, tokens)
    if options.json:
        plain = {**_plain(found), "unpriced": prices.unpriced}
        sys.stdout.write(msgspec.json.encode(plain).decode() + "\n")
    else:
        show(found, config, console or Console(), unpriced=prices.unpriced)
    return 0


def _explanation(config: Config, prices: PriceBook, options: Options, text: str, tokens: int) -> Explanation:
    cost = -1 if options.max_cost is None else round(options.max_cost * PICO)
    return explain(
        Chooser(config, prices),
        ChatRequest(options.model, (Message("user", (Text(text),)),)),
        CallOptions(tenant=options.tenant, max_cost=cost, private=options.private),
        tokens=tokens,
        urgency=options.urgency,
    )


def _text(given: str) -> str:
    text = given
    if given == "-":
        text = sys.stdin.buffer.read(MAX_BYTES + 1).decode(errors="replace")
        if len(text) > MAX_BYTES:
            raise UsageError(f"route: more than {MAX_BYTES:,} bytes on the standard input; send less")
    if not text.strip():
        raise UsageError('route: no text; write it in quotes: understudy route "why does it fail?", or `-` and pipe it')
    return text


def _plain(found: Explanation) -> dict[str, object]:
    plain: dict[str, object] = msgspec.to_builtins(found)
    if found.decision is not None:  # the tables stand beside it, in full
        plain["decision"] = {
            key: value
            for key, value in msgspec.to_builtins(found.decision).items()
            if key not in ("classification", "rows", "matches")
        }
    return plain


# Tables ---------------------------------------------------------------------------------------------------------------


def show(found: Explanation, config: Config, console: Console, *, unpriced: Sequence[str] = ()) -> None:
    """Prints the tables, and the winner last; fits 80 columns."""
    console.print(_classification(found.classification), "")
    if found.rules:
        console.print(_rules(found), "")
    if config.routing.examples:
        console.print(_matches(found, config.routing.similarity), "")
    console.print(_rows(found.rows), "")
    if unpriced:
        names = ", ".join(unpriced)
        told = f"no price is known for {names}: shown as ?, worth nothing in the score; give it a price in models"
        console.print(textwrap.fill(told, 78), style="yellow", highlight=False, markup=False)
        console.print()
    _verdict(found, config, console)


def _verdict(found: Explanation, config: Config, console: Console) -> None:
    if found.decision is None:
        console.print(f"refused: {found.refused}", style="bold red", highlight=False, markup=False)
        return
    decision = found.decision
    if decision.question is not None:
        _asked(decision, decision.question, console)
    route = config.models[decision.route]
    names = ", ".join(_by_rank(route, decision.excluded))
    private = " (private candidates only)" if decision.private else ""
    otherwise = " without an answer" if decision.question is not None else ""
    head = f"→ {decision.route}{otherwise}{private}: {names}"
    console.print(head, style="bold green", highlight=False, markup=False)
    console.print(
        textwrap.fill(f"by {decision.stage}: {decision.why}", 78, initial_indent="  ", subsequent_indent="  "),
        highlight=False,
        markup=False,
    )


def _by_rank(route: Route, excluded: Iterable[str]) -> list[str]:
    """The candidates as they are tried; who breaks a bound is left out."""
    ranks = [place if it.rank is None else it.rank for place, it in enumerate(route.candidates)]
    order = sorted(range(len(ranks)), key=ranks.__getitem__)
    names = [f"{route.candidates[place].account}/{route.candidates[place].model}" for place in order]
    return [name for name in names if name not in excluded]


def _asked(decision: Decision, question: ChatRequest, console: Console) -> None:
    head = f"the model {question.model} would be asked to choose among {', '.join(decision.choices)}:"
    console.print(head, highlight=False, markup=False)
    for message in question.messages:
        for part in message.parts:
            text = part.text if isinstance(part, Text) else ""
            console.print(_indented(text), style="dim", highlight=False, markup=False)
    console.print("")


def _indented(text: str, most: int = 16) -> str:
    lines = [short for line in text.splitlines() for short in textwrap.wrap(line, 74) or [""]]
    return "\n".join(f"  │ {line}" for line in [*lines[:most], *(["…"] if len(lines) > most else [])])


def _classification(found: Classification) -> Table:
    table = _table("request", "is", "because of")
    table.columns[2].overflow = "ellipsis"
    for name in ("complexity", "domain", "urgency", "tolerance"):
        table.add_row(name, str(getattr(found, name)), _words(found.evidence.get(name, ())))
    table.add_row("tokens", f"{found.tokens:,}", "")
    table.add_row("personal data", "yes" if found.pii else "none found", _words(found.pii))
    table.add_row("tier", found.tier, "")
    return table


def _rules(found: Explanation) -> Table:
    table = _table("rule", "asks for", "route", "holds")
    decided = False
    for one in found.rules:
        holds = f"no: {one.failed}" if one.failed else f"yes: {one.found}" if one.found else "yes"
        style = "bold" if not one.failed and not decided else "dim"
        decided = decided or not one.failed
        table.add_row(str(one.place), _cut(one.asks, 34), _cut(one.route, 16), _cut(holds, 20), style=style)
    return table


def _matches(found: Explanation, enough: float) -> Table:
    table = _table("likeness", "likest example", "route")
    table.caption = f"{enough:g} is enough"
    table.caption_justify = "left"
    for match in found.matches[:_EXAMPLES]:
        style = "bold" if match.similarity >= enough else "dim"
        table.add_row(f"{match.similarity:.2f}", _cut(match.example, 48), _cut(match.route, 18), style=style)
    if not found.matches:
        table.add_row("0.00", "(none has a word of it)", "")
    return table


def _rows(rows: Iterable[Row]) -> Table:
    table = _table("route", "candidate", "cost", "latency", "score", "= cost lat. qual.")
    for column in table.columns[2:5]:
        column.justify = "right"
    for row in rows:
        cost = money(None if row.cost < 0 else row.cost)
        latency = duration(row.latency_s) if row.latency_s else "?"
        parts = "  ".join(f"{part:.2f}" for part in row.parts)
        route, candidate = _cut(row.route, 14), _cut(row.candidate, 24)
        if row.excluded:
            table.add_row(route, candidate, cost, latency, "-", _cut(row.excluded, 18), style="dim")
        else:
            table.add_row(route, candidate, cost, latency, f"{row.score:.2f}", parts)
    return table


def _words(words: Iterable[str]) -> str:
    return _cut(", ".join(words), 50)


def _cut(text: str, width: int) -> str:
    plain = " ".join(text.split()).replace("[", r"\[")
    return plain if len(plain) <= width else plain[: width - 1] + "…"


def _table(*names: str) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for name in names:
        table.add_column(name, no_wrap=True)
    return table
