"""What a job that works for a step has used, and which of it stands on a bill already.

Whoever begins the step's run anew goes on with that job, and is told all its answers again. In the same era nothing of
them was billed. In a later one (the item failed, and is tried again) all that was told by the end of the era before was
billed with the item that failed: a note says how much, summed by candidate, since answers come in any order.
"""

import asyncio
import contextlib
from collections.abc import Sequence
from typing import Any, Final, Literal

import msgspec

from ...protocols.jobs import Page
from ...protocols.messages import ItemDone, Used
from .finished import named
from .frame import Frame
from .tally import Tally

Again = Literal["", "failed", "standing"]
_LEAVE_S: Final = 1.0


class Sum(msgspec.Struct, frozen=True, array_like=True):
    """What was used: by candidate, and how many of the attempts were hedges."""

    lines: tuple[Used, ...] = ()
    hedges: int = 0


class Followed(msgspec.Struct, frozen=True, array_like=True):
    """What a step of an era has left behind of its job; it stands where a leaf step's `Finished` would.

    Attributes:
        billed: what earlier eras had billed of it.
        told: the same, and what this era has billed.
        again: which of its items are to be tried again when the step is: those that `failed`, else those of which the
            answer is `standing` in for another; empty for none.
    """

    billed: Sum
    told: Sum
    again: Again


_PACK: Final = msgspec.msgpack.Encoder()
_UNPACK: Final = msgspec.msgpack.Decoder(Followed)


class ChildBill:
    """The bill of one job that works for the step at a frame.

    Args:
        at: the step.
    """

    def __init__(self, at: Frame) -> None:
        self._at = at
        self._given = b""
        self._whole = Tally()
        self._failed: set[int] = set()
        self._standing: set[int] = set()
        #: What stands on the run's own bill by now, or on that of an earlier era.
        self._told = self._billed = Sum()

    def follow(self, job: str) -> dict[str, Any]:
        """The bill is that of the job with this id; how it is to be opened, besides: see `Host.children`."""
        self._given, once = named(job), self._at.run.once
        row = None if once is None else once.log.known(self._at.path, self._given)
        if once is None or row is None:
            return {}
        left = _UNPACK.decode(row.data)
        earlier = row.era != once.log.era
        self._told = self._billed = left.told if earlier else left.billed
        return {"again": left.again} if earlier and left.again else {}

    @property
    def spent(self) -> int:
        """Picodollars that count against the budgets around, whoever was billed for them."""
        return self._whole.spent

    def take(self, page: Page) -> None:
        """Items have ended, or nodes of the tree; what is new stands on the run's bill from now on."""
        for done in (*page.items, *page.nodes):
            self._item(done)
        tally = self._at.run.tally
        tally.of_child(self._whole, self._told.lines, self._told.hedges)
        self._told = Sum(_larger(self._whole.lines, self._told.lines), max(self._whole.hedges, self._told.hedges))

    def _item(self, done: ItemDone) -> None:
        self._whole.item(done)
        own = self._at.own
        own.calls += bool(done.attempts)
        own.attempts += done.attempts
        own.cost = -1 if own.cost < 0 or done.cost < 0 else own.cost + done.cost
        for where, there in ((self._failed, bool(done.error)), (self._standing, done.standing)):
            if there:
                where.add(done.item)
            else:  # it was tried again
                where.discard(done.item)

    async def leave(self, *, over: bool) -> None:
        """The step goes on without the job, which is `over` or not. Returns when that is on disk.

        Who is cancelled waits for that a second at most: a Journal that can't be written holds up no cancelling.
        """
        run = self._at.run
        run.tally.standing |= bool(self._standing)
        if run.once is not None and self._given:
            again: Again = "failed" if self._failed or not over else "standing" if self._standing else ""
            row = _PACK.encode(Followed(self._billed, self._told, again))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_LEAVE_S if _cancelled() else None):
                    await run.once.log.keep(self._at.path, self._given, row)


def _cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _larger(one: Sequence[Used], other: Sequence[Used]) -> tuple[Used, ...]:
    """By candidate, the larger of two sums of which one is a part of the other."""
    lines = {line.model: line for line in other}
    for line in one:
        known = lines.get(line.model)
        if known is None or line.attempts >= known.attempts:
            lines[line.model] = line
    return tuple(lines.values())
