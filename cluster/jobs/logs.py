"""`understudy logs`: what happened to a job, a line each; with `-f` as it happens.

What the Journal holds has an order but no times; lines that are followed have both.
"""

import dataclasses
import sys
import time
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any

import msgspec
import orjson

from ...actors.journal.api import Journal
from ...protocols.jobs import LIVE, Page
from ...protocols.journal import JobRow, NoteRow
from ...protocols.messages import ItemDone
from ...supervisors.children import SUPERVISOR
from ..digest.show import money
from ..session import Session
from .calls import Calls
from .tables import short

_NOTES = {
    "sealed": "all inputs are handed in",
    "parked": "an item waits for people",
    "verdict": "a person has answered",
    "again": "items are tried again",
}
_STATES = ("done", "degraded", "skipped", "failed", "waiting", "stopped")


@dataclasses.dataclass(frozen=True, slots=True)
class Line:
    """Something that happened.

    Attributes:
        what: `state`, `item`, `node`, `note`, `step`, `restart` or `paused`.
        text: one line for people.
        at: wall-clock seconds; 0 where nobody noted when.
        item: of the job, where it is about one; else -1.
    """

    what: str
    text: str
    at: float = 0.0
    item: int = -1


async def past(journal: Journal, row: JobRow) -> tuple[list[Line], int]:
    """What the Journal tells, in order; and how many answers that was."""
    lines = [Line("state", f"handed in: {row.title}", row.created)]
    notes = await journal.notes(row.id)
    place = told = 0
    while rows := await journal.answers(row.id, place):
        for answer in rows:
            while told < len(notes) and notes[told].after <= answer.place:
                lines += noted(notes[told])
                told += 1
            lines.append(answered(msgspec.msgpack.decode(answer.data, type=ItemDone), node=answer.node))
        place = rows[-1].place + 1
    for note in notes[told:]:
        lines += noted(note)
    lines.append(Line("state", f"{row.state}{f': {short(row.error, 200)}' if row.error else ''}", row.updated))
    return lines, place


def noted(note: NoteRow) -> Iterator[Line]:
    """A note of its Supervisor, where it is of use to people."""
    if note.kind in _NOTES:
        yield Line("note", _NOTES[note.kind])


def answered(done: ItemDone, *, node: bool, at: float = 0.0) -> Line:
    """An answer of an item or of a node."""
    name = "node" if node else "item"
    facts = [money(None if done.cost < 0 else done.cost)]
    if done.attempts > 1:
        facts.append(f"{done.attempts} requests")
    if done.model:
        facts.append(done.model)
    if done.recalled:
        facts.append("known from an earlier job")
    if done.standing:
        facts.append("stands in: to be asked again")
    how = f"failed: {short(done.error, 200)}" if done.error else "degraded" if done.degraded else "done"
    return Line(name, f"{name} {done.item} {how}  ({', '.join(facts)})", at, done.item)


class Watch:
    """Turns pages of news into lines. Told the time of each page."""

    def __init__(self, state: str) -> None:
        self._state = state
        self._restarts = 0
        self._parked = 0
        self._paused = ""

    def lines(self, page: Page, *, at: float) -> Iterator[Line]:
        """What a page says that was not said yet."""
        for event in page.events:
            if event.state in _STATES:
                note = f": {short(event.note, 120)}" if event.note else ""
                yield Line("step", f"item {event.item} {event.path} {event.kind} {event.state}{note}", at, event.item)
        yield from (answered(done, node=False, at=at) for done in page.items)
        yield from (answered(done, node=True, at=at) for done in page.nodes)
        if page.restarts > self._restarts:
            yield Line("restart", f"actors that died and were replaced: {page.restarts}", at)
        if page.parked > self._parked:
            yield Line("note", f"{page.parked} items wait for people: understudy approvals", at)
        if page.paused != self._paused:
            yield Line("paused", f"waits: {page.paused}" if page.paused else "goes on", at)
        if page.state != self._state:
            yield Line("state", page.state + (f": {page.error}" if page.error else ""), at)
        self._restarts, self._parked, self._paused, self._state = page.restarts, page.parked, page.paused, page.state


def follow(session: Session, row: JobRow, cursor: int) -> Iterator[Line]:
    """Lines as things happen, until the job is over."""
    calls, watch, heard = Calls(session, SUPERVISOR), Watch(row.state), 0
    while True:
        pending = calls.start("follow", row.id, cursor, heard, again=(row.id, cursor, 0))
        page = msgspec.msgpack.decode(pending.value(), type=Page)
        cursor, heard = page.cursor, page.heard
        yield from watch.lines(page, at=time.time())
        if page.state == "queued":
            time.sleep(1.0)
        elif page.state not in LIVE:
            return


def write(lines: Iterable[Line], *, json: bool) -> None:
    """Each on a line of its own, so that it can be filtered as it comes."""
    for line in lines:
        sys.stdout.write(_json(line) if json else f"{_clock(line.at)}  {line.text}\n")
        sys.stdout.flush()


def _json(line: Line) -> str:
    told: dict[str, Any] = {"what": line.what, "text": line.text, "at": line.at or None}
    if line.item >= 0:
        told["item"] = line.item
    return orjson.dumps(told).decode() + "\n"


def _clock(at: float) -> str:
    return datetime.fromtimestamp(at).astimezone().strftime("%Y-%m-%d %H:%M:%S") if at else " " * 19
