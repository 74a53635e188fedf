"""A job as its Supervisor holds it: its core, what its reader has yet to read, what a new Reducer has to be told."""

import asyncio
import time
from collections.abc import Iterable, Iterator
from typing import Any, Final

import msgspec

from ...protocols.jobs import LIVE, JobState, JobStatus, Page
from ...protocols.journal import JobRow
from ...protocols.messages import Absorb, ItemDone, NodesDone, Payload, ProviderSnapshot, ReduceOpen, Sealed, Slice
from .core import JobCore
from .log import AnswerLog, EventLog, Row
from .nodes import Node
from .paper import Paper
from .unmerged import Unmerged

SMALL_BYTES: Final = 4_000
"""A block up to that is not worth a place in the object store, nor a call to fetch it from there."""
TELL_BYTES: Final = 64_000
"""Answers that are told together: below what a batch may carry (see `understudy.actors.mailbox.outbox`)."""


class Job:
    """One job.

    Args:
        core: decides.
        spec: the job's specification, encoded.
        reducer: the actor that holds its tree.
        driver: the Mapper that drives it, for a job that works for another; else empty.
        paper: what it has yet to write; None for a job that is not journaled.
        base: answers before that cursor are in the Journal only.
    """

    def __init__(
        self,
        core: JobCore,
        spec: bytes,
        reducer: str,
        driver: str = "",
        *,
        paper: Paper | None = None,
        base: int = 0,
    ) -> None:
        self.core = core
        self.spec = spec
        self.reducer = reducer
        self.driver = driver
        self.paper = paper
        #: Items that are parked, which is not written yet: nobody is asked about them.
        self.unsafe: set[int] = set()
        #: True while its rows are being written; once nothing more is to be done; once everybody was told so.
        self.pumping = self.ending = self.halted = False
        #: When its rows were written last; set once what waits to be written has waited long enough.
        self.wrote = 0.0
        self.hurry = asyncio.Event()
        #: Somebody has asked what became of it.
        self.read = False
        #: References to the bytes of blocks that are not done, by number; of a small block the bytes themselves.
        self.blocks: dict[int, Any] = {}
        # A tree that was drawn before is told all answers again when its Reducer dies: they have to be kept.
        drawn = core.spec.reduces and not core.spec.grows
        self.log = AnswerLog(keep=core.spec.keep or drawn, written=paper is not None, base=base)
        self.events = EventLog()
        self.unmerged = Unmerged()
        #: Finished nodes of a tree that was drawn before.
        self.nodes: set[int] = set()
        #: Jobs that work for this one.
        self.children: set[str] = set()
        self.news = asyncio.Event()
        self.moved = asyncio.Event()
        #: Cursor after the last answer that its reader was told.
        self.told = 0
        self.restarts = 0
        self.began = time.monotonic()
        self.ended: float | None = None

    @property
    def id(self) -> str:
        """Its name."""
        return self.core.spec.id

    @property
    def held(self) -> bool:
        """True while nothing more is to be handed out, because what was answered is not taken."""
        return self.log.full or self.unmerged.full or (self.paper is not None and self.paper.full)

    @property
    def ahead(self) -> bool:
        """True where what is answered is written before it is acted on."""
        return self.paper is not None and self.core.spec.journal == "ahead"

    def whole(self, piece: Slice) -> Slice:
        """The slice with all that its Mapper needs, where the job is one small block: it has nothing to fetch.

        To fetch a specification and a block takes three of Ray's calls, about 3 ms of CPU in all.
        """
        data = self.blocks.get(piece.block)
        if len(self.core.book.firsts) > 1 or not isinstance(data, bytes) or len(self.spec) > SMALL_BYTES:
            return piece
        return msgspec.structs.replace(piece, spec=self.spec, data=data)

    # Answers ----------------------------------------------------------------------------------------------------------

    def take(self, new: list[ItemDone]) -> Iterator[Absorb]:
        """New answers of items; yields what its Reducer is to be told."""
        grows = self.core.spec.grows
        for done in new:
            self.log.add(self._quietly(done))
            if grows:
                self.unmerged.add(done)
        yield from self.absorbs(new)

    def absorbs(self, new: list[ItemDone]) -> Iterator[Absorb]:
        """What its Reducer is to be told of new answers."""
        if self.core.spec.reduces:
            for some in batches(new):
                yield Absorb(self.id, tuple(some))

    def merged(self, message: NodesDone) -> None:
        """Nodes of its tree are finished; those told twice count once, but are billed."""
        self.settle(self.judge(message)[0])

    def judge(self, message: NodesDone, skip: int = 0) -> tuple[list[Node], list[ItemDone]]:
        """Of finished nodes, those that count, and those that are only billed; the first `skip` are passed over."""
        new: list[Node] = []
        extra: list[ItemDone] = []
        for place, done in enumerate(message.done[skip:], skip):
            children = message.children[place] if place < len(message.children) else ()
            node = Node(done, children, self.core.spec.grows and message.root == done.item)
            counts = self._counts(node)
            if counts:
                new.append(node)
            elif not self.rooted_again(node):
                extra.append(done)
        return new, extra

    @staticmethod
    def rooted_again(node: Node) -> bool:
        """True of a node that was told before it could be known that it is the root."""
        return node.root and node.children == (node.done.item,)

    def _counts(self, node: Node) -> bool:
        if self.rooted_again(node):
            new = self.core.nodes.root < 0
        else:
            new = self.is_new(node.done, node.children)
            self.core.node_answered(node.done, again=not new)
        if node.root and new:
            self.core.rooted(node.done.item)
        return new

    def settle(self, nodes: Iterable[Node]) -> None:
        """These nodes count, which is written where that has to be."""
        for node in nodes:
            if self.core.spec.grows and not self.rooted_again(node):
                self.unmerged.merge(node.done, node.children)
            self.log.add(node.done if node.root else self._quietly(node.done), node=True)

    def is_new(self, done: ItemDone, children: tuple[int, ...]) -> bool:
        """True of a node that was not merged before; it counts as merged from now on."""
        if self.core.spec.grows:
            return self.unmerged.claim(done, children)
        new = done.item not in self.nodes
        self.nodes.add(done.item)
        return new

    def tried_again(self, items: Iterable[int]) -> None:
        """These items are tried again: what was made of their answers is made anew."""
        items = list(items)
        self.core.again(items)
        for item in items:
            self.unmerged.drop(item)
        if self.core.spec.reduces:
            self.nodes.clear()
            self.core.nodes.reset()

    def row_of(self, done: ItemDone, *, node: bool) -> Row:
        """An answer as its reader is given it."""
        return node, done if node and done.item == self.core.nodes.root else self._quietly(done)

    def _quietly(self, done: ItemDone) -> ItemDone:
        return msgspec.structs.replace(done, data=b"") if self.core.spec.quiet and not done.error else done

    def retold(self) -> Iterator[Payload]:
        """All that a new Reducer has to know; merged nodes are told, so that none is paid for twice."""
        yield ReduceOpen(self.id)
        if self.core.spec.grows:
            for some in batches(self.unmerged):
                yield Absorb(self.id, tuple(some))
            if self.core.sealed:
                yield Sealed(self.id, self.core.total)
            return
        # Nodes first, from the root down: an answer that comes before that of the node above it would have that node
        # merged, and paid for, again. Of what was tried again, only the last answer counts.
        nodes = {done.item: done for node, done in self.log if node and done.item in self.nodes}
        for some in batches(nodes[node] for node in sorted(nodes, reverse=True)):
            yield Absorb(self.id, nodes=tuple(some))
        marks = self.core.book.marks
        items = {done.item: done for node, done in self.log if not node and marks[done.item]}
        for some in batches(items.values()):
            yield Absorb(self.id, tuple(some))

    # For readers ------------------------------------------------------------------------------------------------------

    def behind(self, cursor: int, heard: int) -> bool:
        """True when there is something new for a reader."""
        return self.ended is not None or cursor < self.log.end or -1 < heard < self.events.end

    def untold(self) -> list[ItemDone]:
        """Answers that its reader has not been told."""
        rows = list(self.log)
        return [done for _, done in rows[max(0, len(rows) - (self.log.end - self.told)) :]]

    def page(
        self,
        cursor: int,
        heard: int,
        accounts: tuple[ProviderSnapshot, ...],
        *,
        rows: list[Row] | None = None,
        paused: str = "",
    ) -> Page:
        """What is new since `cursor`, and since `heard` where that is not -1; `rows` where the log has none."""
        core = self.core
        rows = self.log.read(cursor) if rows is None else rows
        end = cursor + len(rows)
        self.told = max(self.told, end)
        events, hear, missed = self.events.since(heard) if heard >= 0 else ((), 0, 0)
        # A reader that is behind hears that the job is over with the last page, not before.
        over = self.ended is not None and end == self.log.end and (heard < 0 or hear == self.events.end)
        return Page(
            state=core.state if over else self.state,
            cursor=end,
            total=core.total,
            sealed=core.sealed,
            done=core.done,
            failed=core.failed,
            running=core.running,
            nodes_done=core.nodes.done,
            bill=core.bill,
            items=tuple(done for node, done in rows if not node),
            nodes=tuple(done for node, done in rows if node),
            restarts=self.restarts,
            accounts=accounts,
            error=core.error,
            events=events,
            heard=hear,
            missed=missed,
            parked=len(core.parking) - len(self.unsafe),
            root=core.nodes.root,
            paused=paused,
            standing=core.book.standing,
            recalled=core.recalled,
        )

    @property
    def state(self) -> JobState:
        """What is said of it while its reader has not heard all: it waits for people only when they may be asked."""
        state = self.core.state
        return "running" if state not in LIVE or (state == "waiting" and self.unsafe) else state

    def row(self, *, owner: str, now: float) -> JobRow:
        """The job as the Journal keeps it; `now` is wall-clock time. For a job that is journaled."""
        assert self.paper is not None
        core = self.core
        return msgspec.structs.replace(
            self.paper.base,
            state=core.state,
            owner=owner,
            updated=now,
            total=core.total,
            done=core.done,
            failed=core.failed,
            standing=core.book.standing,
            parked=len(core.parking),
            cost=core.bill.cost,
            open_cost=core.bill.open_cost,
            error=core.error or core.book.first_error,
            cursor=self.paper.places,
        )

    def status(self, *, now: float) -> JobStatus:
        """The job, for people."""
        core = self.core
        return JobStatus(
            id=core.spec.id,
            title=core.spec.title,
            state=core.state if self.ended is not None else self.state,
            total=core.total,
            done=core.done,
            failed=core.failed,
            cost=core.bill.cost,
            age_s=now - self.began,
            tenant=core.spec.tenant,
            parked=len(core.parking) - len(self.unsafe),
            parent=core.spec.parent,
        )


def weight(done: ItemDone) -> int:
    """About how many bytes an answer is on the wire."""
    return 64 + len(done.data) + len(done.error) + len(done.parked)


def batches(answers: Iterable[ItemDone]) -> Iterator[list[ItemDone]]:
    """Answers in order, as lists of at most `TELL_BYTES`; one that is larger is alone."""
    some: list[ItemDone] = []
    size = 0
    for done in answers:
        if some and size + weight(done) > TELL_BYTES:
            yield some
            some, size = [], 0
        some.append(done)
        size += weight(done)
    if some:
        yield some
