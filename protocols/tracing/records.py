"""What was done for one item or node, as spans are made of it: for the Journal, and for whoever collects spans.

One record holds the whole tree below an item: it is kept or dropped as a whole, so no span ever lacks its parent.
Durations are seconds; money is picodollars.
"""

from typing import Final, Literal

import msgspec

from ..call import Attempt, Rung

LEAST_WAIT_S: Final = 0.001
"""A shorter wait for a permit is an attribute of its attempt, and no span of its own."""


class CallRecord(msgspec.Struct, frozen=True, array_like=True, omit_defaults=True):
    """One logical call.

    Attributes:
        began_s: seconds after its item began.
        took_s: from the call to its answer.
        route: the model that was asked for, after a choice by `auto`.
        model: `account/model` that answered, or that failed last.
        rung: who answered in the end.
        attempts: all requests, in the order they ended; what a classifier or a summary took is among them.
        path: of the step it was made for; empty where the item has no steps.
        error: one line where it failed.
        finish: why the model stopped, as the reply says.
        max_tokens: the most the answer might have.
        asked: what was asked, and
        said: what was answered; both empty unless contents are captured.
    """

    began_s: float
    took_s: float
    route: str
    model: str
    rung: Rung
    attempts: tuple[Attempt, ...]
    path: str = ""
    error: str = ""
    finish: str = ""
    max_tokens: int = 0
    asked: str = ""
    said: str = ""

    @property
    def cost(self) -> int:
        """Picodollars over all attempts whose price is known."""
        return sum(max(0, one.cost) for one in self.attempts)


class StepNote(msgspec.Struct, frozen=True, array_like=True, omit_defaults=True):
    """One step of an item's workflow that ended.

    Attributes:
        path: where it stands in the workflow: `run/2`, `run/2/billing`.
        kind: of its node.
        state: how it ended; see `StepState`.
        began_s: seconds after its item began.
        took_s: seconds it took.
        id: its name to templates, empty where it has none.
        note: one line: why it failed or was skipped, what stood in, what was chosen.
        child: id of the job of its own that worked for it, or empty.
        quality: what it was judged to be worth, 0 to 1; -1 where nobody judged.
    """

    path: str
    kind: str
    state: str
    began_s: float
    took_s: float
    id: str = ""
    note: str = ""
    child: str = ""
    quality: float = -1.0


PartState = Literal["done", "degraded", "failed", "parked", "recalled"]


class PartRecord(msgspec.Struct, frozen=True, array_like=True, omit_defaults=True):
    """One item of a job, or one node of its reduce tree, as one actor worked on it.

    Attributes:
        span: its span's id.
        kind: which of the two.
        number: of the item or node.
        began: wall-clock seconds since 1970.
        took_s: until it was answered.
        state: how it ended. `recalled`: an earlier job's answer was at hand.
        actor: who worked.
        era: how often the item was begun again.
        error: one line where it failed.
        calls: logical calls, in the order they ended.
        steps: of an item's workflow, in the order they ended.
        links: spans of the items and nodes whose answers a node merges.
    """

    span: int
    kind: Literal["item", "node"]
    number: int
    began: float
    took_s: float
    state: PartState = "done"
    actor: str = ""
    era: int = 0
    error: str = ""
    calls: tuple[CallRecord, ...] = ()
    steps: tuple[StepNote, ...] = ()
    links: tuple[int, ...] = ()

    @property
    def cost(self) -> int:
        """Picodollars over all calls whose price is known."""
        return sum(call.cost for call in self.calls)


class JobRecord(msgspec.Struct, frozen=True, array_like=True, omit_defaults=True):
    """One run of a job, from its start to its end, as its Supervisor tells it.

    Attributes:
        job: its id.
        title: for people.
        began: wall-clock seconds since 1970.
        took_s: until it was over.
        state: how it ended.
        run: how often it was begun again before.
        tenant: who it is for.
        parent: the job it worked for, or empty.
        items: how many it had, and
        failed: how many of them failed.
        cost: the bill, and
        open_cost: what may have been charged besides.
        error: why it failed, in one line.
    """

    job: str
    title: str
    began: float
    took_s: float
    state: str
    run: int = 0
    tenant: str = ""
    parent: str = ""
    items: int = 0
    failed: int = 0
    cost: int = 0
    open_cost: int = 0
    error: str = ""


class AsideRecord(msgspec.Struct, frozen=True, array_like=True, omit_defaults=True):
    """Something that a command does for a job beside it: it reads, plans, writes the report.

    `name` is what it does; `began` wall-clock seconds since 1970; `details` are numbers and words for people.
    """

    name: str
    began: float
    took_s: float
    details: dict[str, str | int | float] = {}
    error: str = ""


_ENCODER: Final = msgspec.msgpack.Encoder()
_DECODER: Final = msgspec.msgpack.Decoder(PartRecord)


def pack_part(record: PartRecord) -> bytes:
    """As it stands in `ItemDone.trace`."""
    return _ENCODER.encode(record)


def unpack_part(data: bytes) -> PartRecord:
    """The record back. Raises `msgspec.ValidationError` when another version has written it."""
    return _DECODER.decode(data)
