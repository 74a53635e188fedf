"""What is said about jobs: between a driver, the Director and a Supervisor. Seconds, and picodollars."""

from typing import Final, Literal

import msgspec

from .messages import ItemDone, ProviderSnapshot, StepEvent

JobState = Literal["queued", "open", "running", "waiting", "done", "cancelled", "failed", "dead"]
"""`queued`: it waits for its turn, or for its time. `waiting`: nothing runs, and people have to answer before anything
goes on. `dead`: it was tried as often as it may be, and waits for somebody to look at it.
"""

LIVE: Final = ("open", "running", "waiting")
"""States of a job that is not over."""


class JobSpec(msgspec.Struct, frozen=True):
    """A job: many items mapped alike and, where it has a reduction, merged.

    Attributes:
        id: unique.
        title: for people.
        interpreter: import path `module:Class` of what turns items into calls; see `understudy.actors.interpreter`.
        spec: the interpreter's own settings, opaque to everybody else.
        config: the configuration as JSON, with references, never with secrets.
        reduces: True where the interpreter has a tree to reduce.
        width: items a Mapper works on at once.
        weight: the job's share of a quota against other jobs.
        max_cost: the most it may spend, or -1 for no bound.
        item_cost: the most one item may cost, reserved before it is sent; 0 where no price is known.
        held_back: what merging may cost: kept from the budget until the nodes are merged.
        tenant: who it is for; empty where nobody is named.
        interactive: somebody waits for it: its calls go before all that are not.
        tenant_day: the most its tenant may spend in a day (UTC), or -1 for no bound.
        day: the most all tenants together may spend in a day, or -1 for no bound.
        grows: the reduce tree is not drawn before but grows as answers come; its root ends the job.
        total_width: items at once over all Mappers, for a child job; 0 for `width` at each.
        keep: answers stay with the Supervisor until the job is forgotten, so that a reader may begin anew; without it
            they are let go once its reader has asked for what comes after them.
        watch: tell of each step.
        parent: the job that this one works for; it ends with it. Empty for a job of its own.
        quiet: its reader is told that items and nodes are done, not what they answered; only failures and the root of a
            tree that grows come whole.
        journal: `ahead`: what is finished is journaled before it is acted on; `behind`: beside it, for work that costs
            nothing to do again; `off`: not at all.
        fresh: nothing that an earlier job has answered will do.
        trace: W3C trace context of whoever handed it in.
    """

    id: str
    title: str
    interpreter: str
    spec: bytes
    config: bytes
    reduces: bool = False
    width: int = 32
    weight: float = 1.0
    max_cost: int = -1
    item_cost: int = 0
    held_back: int = 0
    tenant: str = ""
    interactive: bool = False
    tenant_day: int = -1
    day: int = -1
    grows: bool = False
    total_width: int = 0
    keep: bool = True
    watch: bool = False
    parent: str = ""
    quiet: bool = False
    journal: Literal["ahead", "behind", "off"] = "off"
    fresh: bool = False
    trace: str = ""


class ApprovalAsk(msgspec.Struct, frozen=True, array_like=True):
    """A step that waits for a person: its path, what it is about, what is shown, and the value that may be edited."""

    path: str
    title: str
    show: str
    value: bytes = b"null"


class Verdict(msgspec.Struct, frozen=True, array_like=True):
    """A person's answer to an `ApprovalAsk`.

    Attributes:
        approved: False ends the step as rejected.
        value: JSON that takes the place of what was shown; empty where nothing was edited.
        note: why, for whoever reads the result.
        by: who answered.
    """

    approved: bool
    value: bytes = b""
    note: str = ""
    by: str = ""


class Resumed(msgspec.Struct, frozen=True, array_like=True):
    """What an item that was parked goes on with: what it had finished, and the answers by step path."""

    memo: bytes
    verdicts: dict[str, Verdict]


class Waiting(msgspec.Struct, frozen=True):
    """An approval that is open, for people."""

    job: str
    item: int
    title: str
    age_s: float
    asks: tuple[ApprovalAsk, ...]


class Bill(msgspec.Struct, frozen=True):
    """What a job used, summed over all attempts. `unpriced` counts calls whose price is not known in full.

    `cost` is picodollars over all known prices; `open_cost` is what may have been charged besides, for attempts whose
    reply was never seen to its end.
    """

    calls: int = 0
    attempts: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost: int = 0
    unpriced: int = 0
    open_cost: int = 0

    def add(self, done: ItemDone) -> "Bill":
        """This bill with one more answer on it."""
        return Bill(
            self.calls + bool(done.attempts),
            self.attempts + done.attempts,
            self.input_tokens + done.input_tokens,
            self.output_tokens + done.output_tokens,
            self.cost + done.known_cost,
            self.unpriced + (done.cost < 0),
            self.open_cost + done.open_cost,
        )


class Page(msgspec.Struct, frozen=True):
    """What is new about a job since a reader's cursor.

    Attributes:
        cursor: what to ask for next; all before it may be forgotten by the reader.
        total: items so far, and whether that is all (`sealed`).
        done: items with an answer; `failed` of them without success.
        running: items that Mappers have now.
        nodes_done: nodes of the reduce tree that have an answer.
        items: answers since the cursor, in the order they came.
        nodes: finished nodes of the reduce tree since the cursor.
        restarts: actors that died and were replaced while the job ran.
        accounts: the newest snapshots of the providers.
        events: what happened to steps since the reader last heard, for a job that is watched.
        heard: what to give as `heard` next time.
        missed: events that are gone because the reader was slow.
        parked: items that wait for people.
        root: number of the reduce tree's root once it has an answer; -1 before.
        paused: why nothing goes on for now (the journal can't be written), in one line; empty while it does.
        standing: items that have an answer that stands in, and should be tried again.
        recalled: items and nodes that were answered by what an earlier job has found.
    """

    state: JobState
    cursor: int
    total: int
    sealed: bool
    done: int
    failed: int
    running: int
    nodes_done: int
    bill: Bill
    items: tuple[ItemDone, ...] = ()
    nodes: tuple[ItemDone, ...] = ()
    restarts: int = 0
    accounts: tuple[ProviderSnapshot, ...] = ()
    error: str = ""
    events: tuple[StepEvent, ...] = ()
    heard: int = 0
    missed: int = 0
    parked: int = 0
    root: int = -1
    paused: str = ""
    standing: int = 0
    recalled: int = 0


class EnsureAsk(msgspec.Struct, frozen=True):
    """A driver needs the actors for this configuration.

    `proofs` maps each environment variable the configuration refers to, to an HMAC of its value with `nonce`, so that a
    cluster that was started with other keys can be told without any key being said. `mappers` of 0 stands for as many
    as there are. `journal` is the URL that is wished for, references unresolved; empty where any will do.
    """

    config: bytes
    mappers: int
    nonce: bytes = b""
    proofs: dict[str, bytes] = {}
    journal: str = ""


class EnsureReply(msgspec.Struct, frozen=True):
    """Who serves: names of the actors, and the variables that this cluster has not, or has with another value."""

    supervisor: str
    mappers: tuple[str, ...]
    reducers: tuple[str, ...]
    providers: dict[str, str]
    stale: tuple[str, ...] = ()
    journal: str = "journal"


class ChildStatus(msgspec.Struct, frozen=True):
    """One child of the Director, for people."""

    name: str
    role: str
    state: Literal["starting", "up", "restarting", "given up", "stopped"]
    pid: int
    restarts: int
    uptime_s: float


class JobStatus(msgspec.Struct, frozen=True):
    """One job, for people."""

    id: str
    title: str
    state: JobState
    total: int
    done: int
    failed: int
    cost: int
    age_s: float
    tenant: str = ""
    parked: int = 0
    parent: str = ""


class TenantStatus(msgspec.Struct, frozen=True):
    """What a tenant has spent since 00:00 UTC, picodollars; an empty name stands for jobs without a tenant."""

    name: str
    spent: int


class QueueStatus(msgspec.Struct, frozen=True, array_like=True):
    """The queue, for people: jobs that wait by priority, that wait for their time, that run, that are dead.

    `oldest_s` is how long the job that waits longest has waited since it could have begun.
    """

    waiting: dict[int, int] = {}
    delayed: int = 0
    running: int = 0
    dead: int = 0
    oldest_s: float = 0.0


class Status(msgspec.Struct, frozen=True):
    """What the Director knows, for people.

    `journal` is the Journal's URL, references unresolved; `journal_paused` why it can't be written now, empty while it
    can.
    """

    children: tuple[ChildStatus, ...]
    accounts: tuple[ProviderSnapshot, ...] = ()
    jobs: tuple[JobStatus, ...] = ()
    tenants: tuple[TenantStatus, ...] = ()
    idle_s: float = 0.0
    stops_after_s: float = 0.0
    queue: QueueStatus = QueueStatus()
    journal: str = ""
    journal_paused: str = ""
