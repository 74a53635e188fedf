"""`understudy show`: one job: its failures with their causes, the steps of its runs, what was tried, its cost."""

from collections.abc import Iterable
from typing import Any

import msgspec
from rich.console import Console
from rich.text import Text

from ...protocols.jobs import JobSpec
from ...protocols.journal import JobRow, SpecRow, StepRow
from ...protocols.messages import ItemDone
from ...supervisors.patterns.interpreter import PATH
from ...supervisors.workflow.finished import decode
from ..digest.show import money
from ..flows.results import read
from ..flows.show import record_tree
from ..live import duration
from . import tables
from .history import History
from .tables import Whose


def as_json(history: History, whose: Whose) -> dict[str, Any]:
    """All of it for machines."""
    told = tables.as_json(history.row, whose)
    told |= {
        "requests": history.attempts,
        "models": dict(history.models),
        "nodes": [history.nodes, history.spec.nodes],
        "failures": [{"cause": one.cause, "count": one.count, "items": one.items} for one in history.failed],
        "notes": [{"kind": note.kind, "after": note.after} for note in history.notes],
        "children": [tables.as_json(child, whose) for child in history.children],
        "unfinished": {str(item): [_finished(one) for one in steps] for item, steps in history.steps.items()},
    }
    if is_flow(history.spec):
        told["items"] = [read(done).plain() for _, done in sorted(history.items.items())]
    return told


def is_flow(spec: SpecRow) -> bool:
    """True for a job that runs a workflow, whose answers tell of their steps."""
    return msgspec.msgpack.decode(spec.spec, type=JobSpec).interpreter == PATH


def show(console: Console, history: History, whose: Whose, *, now: float) -> None:
    """All of it for people."""
    _head(console, history, whose, now)
    if history.failed:
        _failures(console, history)
    if is_flow(history.spec):
        for done in _worth_a_tree(history):
            title = f"input {done.item}" if history.row.total > 1 else history.row.title
            console.print(record_tree(title, read(done).steps))
    for item, steps in history.steps.items():
        if item not in history.items:
            console.print(_unfinished(item, steps))
    if history.children:
        console.print(Text("works for it:", "bold"))
        tables.show_jobs(console, history.children, whose, now=now)


def _head(console: Console, history: History, whose: Whose, now: float) -> None:
    row = history.row
    state = whose.state(row)
    console.print(Text.assemble((row.id, "bold"), "  ", (state, tables.STYLES.get(state, "")), f"  {row.title}"))
    facts = [f"{tables.progress(row)} items"]
    if history.spec.nodes:
        facts.append(f"{history.nodes:,}/{history.spec.nodes:,} nodes")
    facts += [f"{history.attempts:,} requests", money(row.cost)]
    if row.open_cost:
        facts.append(f"+ up to {money(row.open_cost)} for replies not seen to their end")
    console.print(Text("  ".join(facts)))
    ended = row.state not in ("queued", "open", "running", "waiting")
    times = f"handed in {duration(max(0.0, now - row.created))} ago"
    times += f", ended after {duration(max(0.0, row.updated - row.created))}" if ended else ""
    console.print(Text("  ".join([times, *_more(row, now)]), "dim"))
    for line in _remarks(row, state):
        console.print(Text(line, "yellow"))


def _more(row: JobRow, now: float) -> Iterable[str]:
    if row.attempt:
        yield f"attempt {row.attempt} of {row.attempts}"
    if row.state == "queued" and row.due > now:
        yield f"next in {duration(row.due - now)}"
    if row.tenant:
        yield f"tenant {row.tenant}"
    if row.key:
        yield f"key {row.key}"
    if row.trace:
        yield f"trace {tables.trace_id(row.trace)}"


def _remarks(row: JobRow, state: str) -> Iterable[str]:
    if row.error:
        yield row.error
    if state == "interrupted":
        yield f"the cluster that ran it is gone: understudy resume {row.id}"
    if row.state == "dead":
        yield f"it was tried {row.attempt} times and is left alone: understudy redrive {row.id}"
    elif row.failed and row.state in ("done", "failed"):
        yield f"try what failed again: understudy retry {row.id}"
    if row.standing:
        yield f"{row.standing:,} answers stand in for models that could not be asked"


def _failures(console: Console, history: History) -> None:
    console.print(Text("failed:", "bold red"))
    for one in history.failed:
        which = ", ".join(map(str, one.items)) + (", …" if one.count > len(one.items) else "")
        console.print(Text(f"  {one.count:,} times: {one.cause}", "red"))
        console.print(Text(f"      items {which}", "dim"))


def _worth_a_tree(history: History) -> list[ItemDone]:
    """The only run of a job; of several those that failed, as the others are alike."""
    answers = [done for _, done in sorted(history.items.items())]
    return answers if len(answers) == 1 else [done for done in answers if done.error][:3]


def _unfinished(item: int, steps: list[StepRow]) -> Text:
    text = Text(f"input {item} is not done; steps that are finished:", "bold")
    for step in steps:
        told = _finished(step)
        sign, style = ("✗", "red") if told["error"] else ("✓", "green")
        text.append(f"\n  {sign} ", style)
        facts = [money(told["cost"]), told["model"], f"{told['attempts']} requests" if told["attempts"] > 1 else ""]
        text.append(
            "  ".join([step.path, *(fact for fact in facts if fact), tables.short(told["error"])]).rstrip(), "dim"
        )
    return text


def _finished(step: StepRow) -> dict[str, Any]:
    """A step that is journaled, as far as people want to know it."""
    found = decode(step.data)
    cost = sum(one.cost for one in found.tried if one.cost > 0)
    return {
        "path": step.path,
        "era": step.era,
        "error": found.error,
        "model": found.model,
        "attempts": sum(one.sent for one in found.tried),
        "cost": cost,
        "dollars": tables.dollars(cost),
    }
