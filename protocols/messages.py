"""All messages, typed and frozen. Each travels in an `Envelope`; durations are seconds, money is picodollars."""

from typing import Literal

import msgspec

from .errors import FailureKind
from .steps import StepEvent as StepEvent  # noqa: PLC0414 - it is part of what is said
from .wire.codec import LimitsTold

Outcome = Literal["ok", "cancelled"] | FailureKind
"""How a call ended."""


class Message(msgspec.Struct, frozen=True):
    """Base of all payloads: the class name is the tag on the wire."""


# Between a holder of leases and a Provider ----------------------------------------------------------------------------


class Spent(msgspec.Struct, frozen=True, array_like=True):
    """One permit that was spent, told when its call ended.

    Attributes:
        age_s: how long before this message was sent the request left.
        took_s: from sending the request to its last byte.
        reserved: tokens that were reserved.
        tokens: tokens the provider counts for it (input and output); `reserved` where it did not say.
        outcome: how it ended.
        cost: picodollars, or -1 where no price is known.
        output: output tokens, for the latency sketch's size class.
        probe: True when the permit was the half-open probe.
        stale: True when the permit was of an earlier epoch than the ask it is told in: there is nothing to settle, only
            something to learn.
        transit_s: the longest the request may have been under way, where the reply told how long it was worked on;
            -1 where it did not, so that all of `took_s` may have been.
    """

    age_s: float
    took_s: float
    reserved: int
    tokens: int
    outcome: Outcome
    cost: int = 0
    output: int = 0
    probe: bool = False
    stale: bool = False
    transit_s: float = -1.0


class LeaseAsk(Message, frozen=True, tag=True, omit_defaults=True):
    """A holder settles what it spent, gives back what it does not need, and asks for more; all in one.

    Attributes:
        number: counts the holder's asks from 1; a repeated number is ignored, so a resend settles nothing twice.
        epoch: the Provider's epoch that the holder's permits came from; permits of another epoch are void.
        spent: permits that were spent and whose calls have ended.
        back_requests: unspent request permits given back.
        back_tokens: unspent tokens given back.
        back_slots: concurrency slots given back.
        back_probe: True when the half-open probe is among the permits given back.
        sizes: tokens that each of the first waiting calls needs, in order.
        slots: how many of those calls need a new concurrency slot.
        ahead: how many more calls of `ahead_size` tokens will be wanted soon.
        weight: the share's part against other shares of its tenant.
        interactive: True goes before all that are not.
        retry_after_s: the latest Retry-After the holder was told, or None.
        share: whose calls these are: quota is shared fairly between shares (a tenant's job), however many holders work
            for one. A holder has one lease for each share it works for; the Provider knows it as `sender` and share.
        tenant: the share's tenant; a tenant's shares together get what `tenant_weight` says.
        tenant_weight: the tenant's share against other tenants.
        told: what replies' headers have said of the quotas lately, or None.
        last: nothing follows: the share's work here is over and none of its calls is out.
    """

    number: int
    epoch: int = 0
    spent: tuple[Spent, ...] = ()
    back_requests: int = 0
    back_tokens: int = 0
    back_slots: int = 0
    back_probe: bool = False
    sizes: tuple[int, ...] = ()
    slots: int = 0
    ahead: int = 0
    ahead_size: int = 0
    weight: float = 1.0
    interactive: bool = False
    retry_after_s: float | None = None
    share: str = ""
    tenant: str = ""
    tenant_weight: float = 1.0
    told: LimitsTold | None = None
    last: bool = False


class LeaseGrant(Message, frozen=True, tag=True, omit_defaults=True):
    """Permits for a holder, or the reason why there are none for now.

    Attributes:
        epoch: of the Provider; it changes when the Provider is restarted.
        number: of the ask it answers.
        requests: calls that may be sent.
        tokens: tokens those calls may reserve together.
        slots: how many more calls may be in flight at once; -1 where concurrency has no limit.
        ttl_s: how long the permits are good, counted from `held_s` after the ask was sent.
        held_s: how long the ask waited at the Provider.
        blocked_s: nobody may call before that many seconds have passed (Retry-After, open breaker).
        state: the breaker's state.
        probe: True when this one permit is the half-open probe.
        p95_s: the account's observed p95 latency, 0 when unknown.
        too_large: where the first waiting call needs more than the whole token quota: that quota. 0 otherwise.
        share: of the ask it answers.
        free: part of the quota that is free now, 0 to 1, for whoever balances load; -1 where nothing limits it.
    """

    epoch: int
    number: int = 0
    requests: int = 0
    tokens: int = 0
    slots: int = -1
    ttl_s: float = 0.0
    held_s: float = 0.0
    blocked_s: float = 0.0
    state: Literal["closed", "open", "half_open", "down"] = "closed"
    probe: bool = False
    p95_s: float = 0.0
    too_large: int = 0
    share: str = ""
    free: float = -1.0


class Revoke(Message, frozen=True, tag=True, omit_defaults=True):
    """Provider to all holders: spend nothing more before `blocked_s` have passed, and give back what is unspent."""

    epoch: int
    blocked_s: float
    state: Literal["closed", "open", "half_open", "down"] = "closed"


class ProviderAsk(Message, frozen=True, tag=True, omit_defaults=True):
    """Asks a Provider for its snapshot."""


class Configure(Message, frozen=True, tag=True, omit_defaults=True):
    """The newest configuration of a Provider's account: `account` is an `Account` as JSON, references unresolved.

    Its limits, breaker and time-outs apply from now on; an account that was down is tried again.
    """

    account: bytes


class ProviderSnapshot(Message, frozen=True, tag=True, omit_defaults=True):
    """What a Provider knows of its account, for people.

    `used` counts against the window now, `leased` is out in leases; -1 stands for no limit or nothing known. `limit` is
    what applies: the smaller of what is configured and what is `told` by replies' headers, or where neither is known
    what was `learned` from refusals. `others` is what somebody else is presumed to have used of the same quota.
    """

    account: str
    state: str
    limit_requests: int
    limit_tokens: int
    limit_slots: int
    used_requests: int
    used_tokens: int
    leased_requests: int
    leased_tokens: int
    leased_slots: int
    blocked_s: float
    calls: int
    failures: int
    refused: int
    p50_s: float
    p95_s: float
    cost: int
    holders: int
    waiting: int
    messages: int
    shares: int = 0
    told_requests: int = -1
    told_tokens: int = -1
    learned_requests: int = -1
    others_requests: int = 0
    others_tokens: int = 0


# Between a Supervisor and its Mappers --------------------------------------------------------------------------------


class Slice(Message, frozen=True, tag=True, omit_defaults=True):
    """Work for a Mapper: the items `start` to `stop` (exclusive) of one block of a job.

    `states` holds, for items that were parked and go on, by their place in the block, what `Interpreter.resume` needs.
    `eras` holds, by place, how often an item has parked or was tried again before, for those that were begun already:
    the Journal may know of steps that they have finished.
    `spec` and `data` are the job's specification and the block, where the whole job is so small that it travels along;
    else they are empty, and fetched from the Supervisor.
    """

    job: str
    block: int
    start: int
    stop: int
    states: dict[int, bytes] = {}
    eras: dict[int, int] = {}
    spec: bytes = b""
    data: bytes = b""


class Used(msgspec.Struct, frozen=True, array_like=True):
    """What one candidate (`account/model`) was used for in an item; fields as in `ItemDone`."""

    model: str
    attempts: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost: int = 0
    open_cost: int = 0


class ItemDone(msgspec.Struct, frozen=True, array_like=True):
    """What became of one item.

    Attributes:
        item: its number in the job.
        data: the interpreter's answer, opaque here.
        error: one line when it failed, else empty.
        model: `account/model` that answered.
        attempts: requests sent for it.
        input_tokens: summed over all attempts.
        output_tokens: summed over all attempts.
        cost: picodollars over all attempts; -1 where no price is known.
        degraded: True where no model answered and a cached or declared answer stands in.
        hedges: how many of the attempts were hedges.
        open_cost: picodollars that may have been charged besides `cost`, for attempts whose reply was never seen to its
            end.
        used: the same by candidate, where others than `model` were asked; empty where `model` alone was.
        parked: not empty where the item is not done but waits for people: all that was finished so far, opaque here and
            given back when it goes on; `data` then holds what is asked, as `list[ApprovalAsk]`.
        keys: what the parts of `data` are known by: 16 bytes each, made of all that they were answered from. A later
            job that wants an answer from the same is given this one.
        standing: a declared or an older answer stands in because no model could be asked: it should be tried again.
        recalled: nobody was asked: an earlier job's answer was at hand.
        trace: what led to it, as `understudy.protocols.tracing.records.PartRecord`; empty where nobody notes it.
    """

    item: int
    data: bytes = b""
    error: str = ""
    model: str = ""
    attempts: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost: int = 0
    degraded: bool = False
    hedges: int = 0
    open_cost: int = 0
    used: tuple[Used, ...] = ()
    parked: bytes = b""
    keys: tuple[bytes, ...] = ()
    standing: bool = False
    recalled: bool = False
    trace: bytes = b""

    @property
    def known_cost(self) -> int:
        """Picodollars of those attempts whose price is known."""
        return sum(max(one.cost, 0) for one in self.used) if self.used else max(self.cost, 0)

    @property
    def spent(self) -> int:
        """Picodollars that count against budgets: what is known to be charged, and what may have been."""
        return self.known_cost + self.open_cost


class Results(Message, frozen=True, tag=True, omit_defaults=True):
    """Items a Mapper has finished. It keeps them until it is told that they are `Taken`.

    `serial` counts the answers that the Mapper has told of the job, these included.
    """

    job: str
    done: tuple[ItemDone, ...]
    serial: int = 0


class Taken(Message, frozen=True, tag=True, omit_defaults=True):
    """The first `serial` answers that were told of a job are safe: who told them may forget them."""

    job: str
    serial: int


class HoldAsk(Message, frozen=True, tag=True, omit_defaults=True):
    """A Supervisor that takes the place of one that died asks a Mapper or Reducer what it has in hand.

    `jobs` are those that go on; what the asked one has of other jobs of this Supervisor is to be dropped.
    """

    jobs: tuple[str, ...]


class Held(msgspec.Struct, frozen=True, array_like=True):
    """What a Mapper has of one job: items that wait or run, and answers that were not taken, up to `serial`."""

    job: str
    items: tuple[int, ...]
    done: tuple[ItemDone, ...] = ()
    serial: int = 0


class Holds(Message, frozen=True, tag=True, omit_defaults=True):
    """The answer to `HoldAsk`."""

    held: tuple[Held, ...] = ()


class Steps(Message, frozen=True, tag=True, omit_defaults=True):
    """What happened to steps lately; only told for jobs that somebody watches (`JobSpec.watch`)."""

    job: str
    events: tuple[StepEvent, ...]


class CancelJob(Message, frozen=True, tag=True, omit_defaults=True):
    """Stop all work for a job: sockets are closed, permits given back, nothing more is answered for it."""

    job: str


# Between a Supervisor and a Reducer ----------------------------------------------------------------------------------


class ReduceOpen(Message, frozen=True, tag=True, omit_defaults=True):
    """A Reducer is to hold a job's reduce tree; it fetches the job's specification from the Supervisor."""

    job: str


class Absorb(Message, frozen=True, tag=True, omit_defaults=True):
    """Answers for a job's tree: items that were mapped, and nodes that were reduced before a Reducer was restarted.

    What is told twice counts once.
    """

    job: str
    items: tuple[ItemDone, ...] = ()
    nodes: tuple[ItemDone, ...] = ()


class Sealed(Message, frozen=True, tag=True, omit_defaults=True):
    """No more items will come: there are `total` of them. What is left can be merged, and the last node is the root."""

    job: str
    total: int


class NodesDone(Message, frozen=True, tag=True, omit_defaults=True):
    """Nodes that a Reducer has finished; `ItemDone.item` is the node's number.

    Attributes:
        children: of each node, what it merged, where the tree grows as answers come (see `GrowingTree`): those answers
            are needed by nobody any more. Empty where the tree was drawn before.
        root: the number of the root, when it is among `done`; -1 otherwise.
    """

    job: str
    done: tuple[ItemDone, ...]
    children: tuple[tuple[int, ...], ...] = ()
    root: int = -1
    serial: int = 0


# Between the Director and a Supervisor -------------------------------------------------------------------------------


class StartJobs(Message, frozen=True, tag=True, omit_defaults=True):
    """It is these jobs' turn: the Supervisor reads them from the Journal and works on them."""

    jobs: tuple[str, ...]


class JobEnded(Message, frozen=True, tag=True, omit_defaults=True):
    """A job is over, and journaled as that.

    Attributes:
        job: its id.
        state: done, failed or cancelled.
        failed: items without success.
        standing: items whose answer stands in for one that should be tried again.
        error: why the job, or the first of its items, failed.
    """

    job: str
    state: str
    failed: int = 0
    standing: int = 0
    error: str = ""


# About actors --------------------------------------------------------------------------------------------------------


class Hello(Message, frozen=True, tag=True, omit_defaults=True):
    """An actor is up: its name, its role, its process id, and how often it was restarted."""

    name: str
    role: str
    pid: int
    restarts: int = 0


class JobBroken(Message, frozen=True, tag=True, omit_defaults=True):
    """An actor can't work for the job at all, and why; the job can't go on."""

    job: str
    error: str


class Down(Message, frozen=True, tag=True, omit_defaults=True):
    """An actor is gone. `restarting` tells whether it comes back under the same name."""

    name: str
    restarting: bool


class Failure(Message, frozen=True, tag=True, omit_defaults=True):
    """The answer to an ask that failed: the error's class name and its one line."""

    error: str
    text: str


class Done(Message, frozen=True, tag=True, omit_defaults=True):
    """The answer to an ask that has nothing more to say."""


Payload = (
    LeaseAsk
    | LeaseGrant
    | Revoke
    | ProviderAsk
    | Configure
    | ProviderSnapshot
    | Slice
    | Results
    | Taken
    | HoldAsk
    | Holds
    | StartJobs
    | JobEnded
    | CancelJob
    | Steps
    | ReduceOpen
    | Absorb
    | Sealed
    | NodesDone
    | Hello
    | JobBroken
    | Down
    | Failure
    | Done
)
