"""A job made again from its rows: what its Supervisor was when it wrote the last of them."""

from collections.abc import Iterable, Mapping
from typing import Final

import msgspec

from ...actors.mapper.blocks import decode_spec
from ...protocols.errors import UsageError
from ...protocols.jobs import Verdict
from ...protocols.journal import AnswerRow, BlockRow, JobRow, NoteRow, SpecRow
from ...protocols.messages import ItemDone
from ..budgets import Spending
from .job import Job
from .nodes import Node
from .paper import Paper
from .recalling import RecallingCore

QUEUED: Final = ("queued", "dead")
"""States of a job that the Director has, which was handed in whole."""


def decode_answer(row: AnswerRow) -> ItemDone:
    """The answer in a row."""
    done = msgspec.msgpack.decode(row.data, type=ItemDone)
    return msgspec.structs.replace(done, keys=row.keys) if row.keys else done


class Restoring:
    """Is told a job's rows: blocks, then notes, then answers in order; and gives the job.

    Args:
        row: the job as it was written last.
        spec: what it is.
        spending: what all jobs have spent; the job's own part is in it already.
        live: it is to be gone on with, so that a Reducer has to be told what was answered. One that is only read needs
            less memory.
        serials: how many answers of each sender are written.
    """

    def __init__(
        self,
        row: JobRow,
        spec: SpecRow,
        *,
        spending: Spending | None = None,
        live: bool = True,
        serials: Mapping[str, int] | None = None,
    ) -> None:
        decoded = decode_spec(spec.spec)
        self.core = core = RecallingCore(decoded, spec.nodes, spending)
        self.paper = Paper(row, serials=serials)
        self.job = Job(core, spec.spec, "", paper=self.paper)
        self.live = live
        # A drawn tree's Reducer is told all answers again when it dies: they stay in memory.
        self._drawn = live and decoded.reduces and not decoded.grows
        self._notes: list[NoteRow] = []
        self._at = 0
        self._now = 0.0
        self._place = 0
        #: Nodes that were merged before that place were merged anew since.
        self._since = 0
        self._merged: dict[int, tuple[tuple[int, ...], bool]] = {}
        self._sealed = row.state in QUEUED or row.attempt > 0

    def blocks(self, rows: Iterable[BlockRow]) -> None:
        """Its blocks, in order; their bytes are not needed."""
        for row in rows:
            self.core.add_block(row.count)

    def notes(self, rows: Iterable[NoteRow], *, now: float = 0.0) -> None:
        """All its notes, in order; `now` is monotonic seconds: what waits for people waits from then on."""
        self._notes = list(rows)
        self._now = now
        self.paper.notes = len(self._notes)
        self._since = max((note.after for note in self._notes if note.kind == "again"), default=0)

    def handed_in_whole(self) -> None:
        """It comes from the queue, and nobody has worked on it: there is one note, that it is sealed."""
        self.paper.notes = 1
        self._sealed = True

    def answer(self, row: AnswerRow) -> None:
        """The next of its answers."""
        self._notes_until(row.place)
        done = decode_answer(row)
        if row.node:
            self._node(row, done)
        elif done.item < self.core.total:
            self._item(done)
        self._place = row.place + 1
        if self._drawn:
            self.job.log.add(self.job.row_of(done, node=row.node)[1], node=row.node)

    def _item(self, done: ItemDone) -> None:
        core = self.core
        if core.book.marks[done.item]:
            core.book.clear(done.item)
        core.recall(done)
        if self.live and core.spec.grows:
            self.job.unmerged.add(done)

    def _node(self, row: AnswerRow, done: ItemDone) -> None:
        children, root = self._merged.pop(done.item, ((), False))
        if row.place < self._since:  # it was merged anew since
            if children != (done.item,):
                self.core.recall_node(done, new=False)
            return
        self._remember(Node(done, children, root))

    def _remember(self, node: Node) -> None:
        job = self.job
        again = job.rooted_again(node)
        new = again or job.is_new(node.done, node.children)
        if not again:
            self.core.recall_node(node.done, new=new)
        if node.root:
            self.core.nodes.root = node.done.item
        if self.core.spec.grows and new and not again:
            job.unmerged.merge(node.done, node.children)

    def _notes_until(self, place: int) -> None:
        while self._at < len(self._notes) and self._notes[self._at].after <= place:
            self._note(self._notes[self._at])
            self._at += 1

    def _note(self, note: NoteRow) -> None:
        core, decode = self.core, msgspec.msgpack.decode
        if note.kind == "sealed":
            self._sealed = True
        elif note.kind == "parked":
            core.recall_parked(decode(note.data, type=ItemDone), now=self._now)
        elif note.kind == "verdict":
            item, path, verdict = decode(note.data, type=tuple[int, str, Verdict])
            try:
                core.recall_verdict(item, path, verdict)
            except UsageError:  # two people have answered the same: the first counts
                return
        elif note.kind == "again":
            self.job.tried_again(decode(note.data, type=list[int]))
        elif note.kind == "extra":
            core.recall_extra(decode(note.data, type=ItemDone))
        else:
            node, children, root = decode(note.data, type=tuple[int, tuple[int, ...], bool])
            self._merged[node] = (children, root)

    def finish(self, *, counted: Mapping[int, int] | None = None, begun: Iterable[int] = ()) -> Job:
        """The job. `counted`: what it counts against budgets, by day; `begun`: items of which steps are known."""
        if self._notes:
            self._notes_until(self._place)
        self.paper.places = self._place
        core = self.core
        core.begin_anew(counted or {}, begun)
        if self._sealed:
            core.seal()
        if not self._drawn:
            self.job.log.base = self._place
        self.job.told = self._place
        for block in core.freed:
            self.job.blocks.pop(block, None)
        core.freed.clear()
        return self.job
