"""What the Journal keeps: rows, and what is asked of it. Wall-clock times are seconds since 1970, money is picodollars.

A row is written once, or set as a whole, so that rows told twice count once: a sender that heard no answer sends again.
"""

from typing import Literal

import msgspec

from .jobs import JobState


class JobRow(msgspec.Struct, frozen=True, array_like=True):
    """A job as it stands; set as a whole by whoever has it.

    That is the Director while it waits in the queue or is dead, and the Supervisor from its start to its end.

    Attributes:
        id: unique.
        state: see `JobState`.
        owner: the cluster that runs it; only a command moves it to another.
        title: for people.
        tenant: who it is for.
        parent: the job it works for, or empty.
        key: who submits under the same key again, for the same tenant, gets this job; empty for none.
        priority: 0 goes first, 9 last.
        attempt: how often it was begun.
        attempts: how often it may be begun before it is a dead letter.
        due: it is not begun before.
        created: when it was handed in.
        updated: when this row was set.
        total: items so far.
        done: items with an answer.
        failed: those of them without success.
        standing: those of them where a declared or older answer stands in and a model should be asked again.
        parked: items that wait for people.
        cost: what is known to be charged.
        open_cost: what may have been charged besides.
        error: why it failed, in one line.
        trace: W3C trace context.
        cursor: its answers are numbered up to here.
    """

    id: str
    state: JobState
    owner: str = ""
    title: str = ""
    tenant: str = ""
    parent: str = ""
    key: str = ""
    priority: int = 5
    attempt: int = 0
    attempts: int = 1
    due: float = 0.0
    created: float = 0.0
    updated: float = 0.0
    total: int = 0
    done: int = 0
    failed: int = 0
    standing: int = 0
    parked: int = 0
    cost: int = 0
    open_cost: int = 0
    error: str = ""
    trace: str = ""
    cursor: int = 0


class SpecRow(msgspec.Struct, frozen=True, array_like=True):
    """What a job is. Written once.

    Attributes:
        job: its id.
        spec: a `JobSpec`.
        nodes: how many nodes of its tree are to be answered.
        meta: what the driver that handed it in needs to finish its own work; opaque here.
    """

    job: str
    spec: bytes
    nodes: int = 0
    meta: bytes = b""


class BlockRow(msgspec.Struct, frozen=True, array_like=True):
    """A block of a job's items, as it was handed in. Written once."""

    job: str
    number: int
    count: int
    data: bytes


class AnswerRow(msgspec.Struct, frozen=True, array_like=True):
    """The answer of an item, or of a node of the reduce tree. Written once, by place.

    Attributes:
        job: its job.
        place: answers of a job are numbered from 0 in the order they were acted on: what a reader's cursor counts. Of
            an item that was answered more often (it was tried again) the later answer counts.
        node: True for a node.
        item: its number.
        data: an `ItemDone`.
        keys: what its parts are known by, by their contents; see `ItemDone.keys`.
    """

    job: str
    place: int
    node: bool
    item: int
    data: bytes
    keys: tuple[bytes, ...] = ()


NoteKind = Literal["sealed", "parked", "verdict", "again", "extra", "merged"]


class NoteRow(msgspec.Struct, frozen=True, array_like=True):
    """Something else that a job's Supervisor has to know to go on. Written once, by place.

    Attributes:
        job: its job.
        place: notes of a job are numbered from 0.
        after: answers that were there before it.
        kind: `sealed`: no more blocks come. `parked`: an item waits for people (`ItemDone`). `verdict`: a person's
            answer (item, path, `Verdict`). `again`: items that are tried again (list of numbers). `extra`: what was
            paid for an answer that was there already (`ItemDone` without data). `merged`: answers that a node has
            merged, of a tree that grows (node, list of children).
        data: MessagePack.
    """

    job: str
    place: int
    after: int
    kind: NoteKind
    data: bytes = b""


class StepRow(msgspec.Struct, frozen=True, array_like=True):
    """A step of an item that is finished, so that it is not run again. Written once, by item, era and path.

    Attributes:
        job: its job.
        item: its number.
        era: how often the item has parked or was tried again before; what an earlier era has used is billed already.
        path: of the step.
        hash: of what the step was given: it is finished only for that.
        data: opaque here.
    """

    job: str
    item: int
    era: int
    path: str
    hash: bytes
    data: bytes


class SpentRow(msgspec.Struct, frozen=True, array_like=True):
    """What a job counts against the budgets of a day (days since 1970, UTC); set as a whole."""

    day: int
    tenant: str
    job: str
    amount: int


class ValueRow(msgspec.Struct, frozen=True, array_like=True):
    """A named value; set as a whole, and gone when it is empty."""

    name: str
    value: bytes


class Append(msgspec.Struct, frozen=True, array_like=True):
    """Rows that are written together or not at all."""

    jobs: tuple[JobRow, ...] = ()
    specs: tuple[SpecRow, ...] = ()
    blocks: tuple[BlockRow, ...] = ()
    answers: tuple[AnswerRow, ...] = ()
    notes: tuple[NoteRow, ...] = ()
    steps: tuple[StepRow, ...] = ()
    spent: tuple[SpentRow, ...] = ()
    values: tuple[ValueRow, ...] = ()

    @property
    def weight(self) -> int:
        """About how many bytes it takes."""
        size = sum(len(one.spec) + len(one.meta) for one in self.specs) + sum(len(one.data) for one in self.blocks)
        size += sum(len(one.data) + 96 for one in self.answers) + sum(len(one.data) + 64 for one in self.notes)
        size += sum(len(one.data) + len(one.path) + 64 for one in self.steps)
        return size + 256 * (len(self.jobs) + len(self.specs)) + 64 * (len(self.spent) + len(self.values))


class JobsAsk(msgspec.Struct, frozen=True, array_like=True):
    """Which jobs are wanted: those that fit all that is given, the newest first.

    `children`: also those that work for others. `before`: created before that time, for the next page.
    """

    ids: tuple[str, ...] = ()
    states: tuple[JobState, ...] = ()
    owner: str = ""
    tenant: str | None = None
    key: str = ""
    parent: str = ""
    children: bool = False
    before: float = 0.0
    limit: int = 1000


class Recalled(msgspec.Struct, frozen=True, array_like=True):
    """An earlier answer with the contents that were asked for: the `ItemDone`, and which of its parts it is."""

    data: bytes
    part: int


class Swept(msgspec.Struct, frozen=True, array_like=True):
    """What `gc` has done: jobs that are gone, bytes of the store before and after."""

    jobs: int
    before: int
    after: int


class JournalStats(msgspec.Struct, frozen=True, array_like=True):
    """What a Journal has done since it began, for people and benchmarks. Bytes are those of the rows' own contents."""

    store: str
    rows: int
    commits: int
    bytes: int
    paused: str = ""
