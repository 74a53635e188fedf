"""A job as its Supervisor holds it: its core, what its reader has yet to read, what a new Reducer has to be told."""

import asyncio
import time
from collections.abc import Iterable, Iterator
from typing import Any, Final

import msgspec

from ...protocols.jobs import LIVE, JobStatus, Page
from ...protocols.messages import Absorb, ItemDone, NodesDone, Payload, ProviderSnapshot, ReduceOpen, Sealed
from .core import JobCore
from .log import AnswerLog, EventLog
from .unmerged import Unmerged

TELL_BYTES: Final = 64_000
"""Answers that are told together: below what a batch may carry (see `understudy.actors.mailbox.outbox`)."""


class Job:
    """One job.

    Args:
        core: decides.
        spec: the job's specification, encoded.
        reducer: the actor that holds its tree.
        driver: the Mapper that drives it, for a job that works for another; else empty.
    """

    def __init__(self, core: JobCore, spec: bytes, reducer: str, driver: str = "") -> None:
        self.core = core
        self.spec = spec
        self.reducer = reducer
        self.driver = driver
        #: References to the bytes of blocks that are not done, by number.
        self.blocks: dict[int, Any] = {}
        # A tree that was drawn before is told all answers again when its Reducer dies: they have to be kept.
        self.log = AnswerLog(keep=core.spec.keep or (core.spec.reduces and not core.spec.grows))
        self.events = EventLog()
        self.unmerged = Unmerged()
        #: Finished nodes of a tree that was drawn before.
        self._nodes: set[int] = set()
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
        return self.log.full or self.unmerged.full

    # Answers ----------------------------------------------------------------------------------------------------------

    def take(self, new: list[ItemDone]) -> Iterator[Absorb]:
        """New answers of items; yields what its Reducer is to be told."""
        grows = self.core.spec.grows
        for done in new:
            self.log.add(self._quietly(done))
            if grows:
                self.unmerged.add(done)
        if self.core.spec.reduces:
            for some in batches(new):
                yield Absorb(self.id, tuple(some))

    def merged(self, message: NodesDone) -> None:
        """Nodes of its tree are finished; those told twice count once, but are billed."""
        for place, done in enumerate(message.done):
            children = message.children[place] if place < len(message.children) else ()
            root = self.core.spec.grows and message.root == done.item
            if root and children == (done.item,):  # it was told before it could be known that it is the root
                new = self.core.nodes.root < 0
            else:
                new = self._is_new(done, children)
                self.core.node_answered(done, again=not new)
            if root and new:
                self.core.rooted(done.item)
            if new:
                self.log.add(done if root else self._quietly(done), node=True)

    def _is_new(self, done: ItemDone, children: tuple[int, ...]) -> bool:
        if self.core.spec.grows:
            return self.unmerged.merge(done, children)
        new = done.item not in self._nodes
        self._nodes.add(done.item)
        return new

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
        # merged, and paid for, again.
        for some in batches(sorted((done for node, done in self.log if node), key=lambda done: -done.item)):
            yield Absorb(self.id, nodes=tuple(some))
        for some in batches(done for node, done in self.log if not node):
            yield Absorb(self.id, tuple(some))

    # For readers ------------------------------------------------------------------------------------------------------

    def behind(self, cursor: int, heard: int) -> bool:
        """True when there is something new for a reader."""
        return self.ended is not None or cursor < self.log.end or -1 < heard < self.events.end

    def untold(self) -> list[ItemDone]:
        """Answers that its reader has not been told."""
        rows = list(self.log)
        return [done for _, done in rows[max(0, len(rows) - (self.log.end - self.told)) :]]

    def page(self, cursor: int, heard: int, accounts: tuple[ProviderSnapshot, ...]) -> Page:
        """What is new since `cursor`, and since `heard` where that is not -1."""
        core = self.core
        rows = self.log.read(cursor)
        end = cursor + len(rows)
        self.told = max(self.told, end)
        events, hear, missed = self.events.since(heard) if heard >= 0 else ((), 0, 0)
        # A reader that is behind hears that the job is over with the last page, not before.
        over = self.ended is not None and end == self.log.end and (heard < 0 or hear == self.events.end)
        return Page(
            state=core.state if over or core.state in LIVE else "running",
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
            parked=len(core.parking),
            root=core.nodes.root,
        )

    def status(self, *, now: float) -> JobStatus:
        """The job, for people."""
        core = self.core
        return JobStatus(
            id=core.spec.id,
            title=core.spec.title,
            state=core.state,
            total=core.total,
            done=core.done,
            failed=core.failed,
            cost=core.bill.cost,
            age_s=now - self.began,
            tenant=core.spec.tenant,
            parked=len(core.parking),
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
