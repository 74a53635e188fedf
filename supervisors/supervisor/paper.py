"""What a job has yet to write into the Journal, in order, and what may be done once it is there."""

import dataclasses
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

import msgspec

from ...actors.mailbox.untaken import LIFE_BITS
from ...protocols.jobs import LIVE
from ...protocols.journal import AnswerRow, Append, BlockRow, JobRow, NoteKind, NoteRow, SpecRow, SpentRow, ValueRow
from ...protocols.messages import ItemDone
from .nodes import Node
from .outcome import Outcome

ROW_S: Final = 2.0
"""A job's own row is for people: while it runs it is set no oftener."""
APPEND_BYTES: Final = 1_000_000
"""Of rows that are written at once; what is more goes into the next append."""
PATIENT_BYTES: Final = 32_000
"""Answers of so few bytes may wait for more. An append has to stay below the 100 KB past which Ray's calls are dear."""
FULL_BYTES: Final = 32_000_000
"""While more waits to be written, nothing more of the job is handed out."""
HEARD: Final = "supervisor/heard/"
"""Values of that name, job and sender: how many of the sender's answers are written."""

Act = Callable[[], None]
Row = AnswerRow | BlockRow | NoteRow | SpecRow

_FIELDS: Final[dict[type[Any], str]] = {
    AnswerRow: "answers",
    BlockRow: "blocks",
    NoteRow: "notes",
    SpecRow: "specs",
}


@dataclasses.dataclass(frozen=True, slots=True)
class Cut:
    """Rows to be written together, and what may be done when they are."""

    rows: Append
    acts: tuple[Act, ...]

    @property
    def empty(self) -> bool:
        """True where there is nothing to write."""
        rows = self.rows
        parts = (rows.jobs, rows.specs, rows.blocks, rows.answers, rows.notes, rows.spent, rows.values)
        return not any(parts)


class Paper:
    """One job's rows. Only one append of a job is under way at a time: what is written has no gaps, whoever dies.

    Args:
        base: the job's row, with what the Director has put there.
        places: answers that are written already.
        notes: notes that are written already.
        serials: how many of each sender's answers are written already.
    """

    def __init__(
        self, base: JobRow, *, places: int = 0, notes: int = 0, serials: Mapping[str, int] | None = None
    ) -> None:
        self.base = base
        #: Answers and notes so far, with those that wait.
        self.places, self.notes = places, notes
        self.serials = dict(serials or {})
        self._changed: set[str] = set()
        #: Senders of whom the Journal has a value.
        self._kept = set(self.serials)
        self._waiting: deque[tuple[int, Row | Act | None]] = deque()
        self._bytes = 0
        self._hurries = False
        self._spent: dict[int, int] = {}
        self._written: tuple[str, float] = ("", 0.0)
        self._over = False

    @property
    def job(self) -> str:
        """The job's id."""
        return self.base.id

    @property
    def waits(self) -> bool:
        """True while there is something to write or to do."""
        return bool(self._waiting)

    @property
    def state(self) -> str:
        """The job's state as it was written last."""
        return self._written[0]

    @property
    def full(self) -> bool:
        """True while nothing more is to be handed out, because what was answered is not written."""
        return self._bytes > FULL_BYTES

    @property
    def patient(self) -> bool:
        """True where what waits may wait some more, so that more is written at once: a few answers of items."""
        return not self._hurries and self._bytes < PATIENT_BYTES

    # What is to be written --------------------------------------------------------------------------------------------

    def _add(self, size: int, what: Row | Act | None, *, hurries: bool = True) -> None:
        self._waiting.append((size, what))
        self._bytes += size
        self._hurries = self._hurries or hurries

    def spec(self, spec: bytes, nodes: int, meta: bytes) -> None:
        """What the job is."""
        self._add(len(spec) + len(meta), SpecRow(self.job, spec, nodes, meta))

    def block(self, number: int, count: int, data: bytes) -> None:
        """A block of items."""
        self._add(len(data), BlockRow(self.job, number, count, data))

    def answer(self, done: ItemDone, *, node: bool = False) -> None:
        """An answer that counts; its place is the next one."""
        bare = msgspec.structs.replace(done, keys=()) if done.keys else done
        data = msgspec.msgpack.encode(bare)
        row = AnswerRow(self.job, self.places, node, done.item, data, done.keys)
        self._add(len(data) + 96, row, hurries=node)
        self.places += 1

    def note(self, kind: NoteKind, what: Any = None) -> None:
        """Something else; `what` as `NoteRow` says."""
        data = b"" if what is None else msgspec.msgpack.encode(what)
        self._add(len(data) + 64, NoteRow(self.job, self.notes, self.places, kind, data))
        self.notes += 1

    def paid(self, done: ItemDone) -> None:
        """What was paid besides; an answer that leaves no trace on the bill leaves none here."""
        if done.attempts or done.spent or done.cost < 0:
            self.note("extra", msgspec.structs.replace(done, data=b"", parked=b"", error="", keys=()))

    def outcome(self, outcome: Outcome) -> None:
        """Answers of items came in. What an answer holds of earlier parts of its item is not billed with it again."""
        for done in outcome.parked:
            self.note("parked", done)
        for done in outcome.answers:
            self.answer(done)
        for done in outcome.extra:
            self.paid(done)

    def merged(self, nodes: Iterable[Node], extra: Iterable[ItemDone], *, grows: bool) -> None:
        """Nodes were merged; of a tree that grows it is written what they have used up."""
        for node in nodes:
            if grows:
                self.note("merged", (node.done.item, node.children, node.root))
            self.answer(node.done, node=True)
        for done in extra:
            self.paid(done)

    def then(self, act: Act, *, hurries: bool = False) -> None:
        """To be done when all before is written; `hurries` where somebody waits for that."""
        self._add(0, act, hurries=hurries)

    def touch(self) -> None:
        """The job's row and its spending are to be written, where they have changed."""
        self._add(0, None)

    def end(self, act: Act) -> None:
        """The job is over when all before is written, and its row with that."""
        self.touch()
        self._over = True
        self.then(act)

    def closed(self, row: JobRow) -> None:
        """The job is over, as this row says: nothing more is written of it."""
        self._over, self._written = True, (row.state, row.updated)

    def skip(self, sender: str, count: int, serial: int) -> int:
        """How many of `count` answers, of which the last is the sender's `serial`-th, are known already.

        Of another life of the sender none is known: from a later one on it is that which counts.
        """
        known = self.serials.get(sender, 0)
        first = serial - count
        if serial >> LIFE_BITS > known >> LIFE_BITS:
            known = first
        if not serial or first > known or serial >> LIFE_BITS < known >> LIFE_BITS:
            return 0  # nobody counts; or it is of an earlier life
        if serial > known:
            self.serials[sender] = serial
            self._changed.add(sender)
        return min(known - first, count)

    def forget(self, sender: str) -> None:
        """The sender is another one now, and counts anew."""
        if self.serials.pop(sender, 0):
            self._changed.add(sender)

    # What is written --------------------------------------------------------------------------------------------------

    def cut(self, row: JobRow, spent: Mapping[int, int]) -> Cut:
        """The next rows.

        Args:
            row: the job as it stands.
            spent: what it counts against budgets, by day.
        """
        parts: dict[str, list[Any]] = {name: [] for name in _FIELDS.values()}
        acts: list[Act] = []
        size = 0
        while self._waiting and (size < APPEND_BYTES or callable(self._waiting[0][1])):
            weight, what = self._waiting.popleft()
            size += weight
            if isinstance(what, tuple(_FIELDS)):
                parts[_FIELDS[type(what)]].append(what)
            elif callable(what):
                acts.append(what)
        self._bytes -= size
        self._hurries = self._hurries and bool(self._waiting)
        last = self._over and not self._waiting
        row = self._masked(row, last=last)
        rows = Append(
            jobs=(row,) if self._due(row) else (),
            spent=self._spent_rows(spent),
            values=self._heard_rows(last=last),
            **{name: tuple(some) for name, some in parts.items()},
        )
        return Cut(rows, tuple(acts))

    def _masked(self, row: JobRow, *, last: bool) -> JobRow:
        """Nobody reads that the job is over before its last answer is written."""
        return row if last or row.state in LIVE else msgspec.structs.replace(row, state="running")

    def _due(self, row: JobRow) -> bool:
        state, at = self._written
        if row.state == state and (state not in LIVE or row.updated < at + ROW_S):
            return False
        self._written = (row.state, row.updated)
        return True

    def _spent_rows(self, spent: Mapping[int, int]) -> tuple[SpentRow, ...]:
        if self.base.parent:  # the item that it works for counts it
            return ()
        new = {day: amount for day, amount in spent.items() if self._spent.get(day, 0) != amount}
        self._spent.update(new)
        return tuple(SpentRow(day, self.base.tenant, self.job, amount) for day, amount in new.items())

    def _heard_rows(self, *, last: bool) -> tuple[ValueRow, ...]:
        """How much was heard of whom; a job that is over needs none of that, and a short one never writes it."""
        told = {} if last else {sender: self.serials.get(sender, 0) for sender in self._changed}
        gone = {sender for sender in self._kept if last or not told.get(sender, 1)}
        self._kept = (self._kept | {sender for sender, serial in told.items() if serial}) - gone
        self._changed = set()
        rows = [ValueRow(f"{HEARD}{self.job}/{one}", b"%d" % serial) for one, serial in told.items() if serial]
        return (*rows, *(ValueRow(f"{HEARD}{self.job}/{one}", b"") for one in sorted(gone)))
