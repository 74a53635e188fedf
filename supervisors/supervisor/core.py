"""What a Supervisor decides about one job: who works on which items, and when it is over."""

import contextlib
import dataclasses
from collections import deque
from collections.abc import Iterable
from typing import Final

from ...protocols.jobs import Bill, JobSpec, JobState
from ...protocols.messages import ItemDone, Slice
from ..budgets import Purse, Spending

AHEAD: Final = 4
"""Widths of work a Mapper has in hand: with 2 it waited for slices at 3,000 calls a second."""


@dataclasses.dataclass(frozen=True, slots=True)
class Send:
    """Effect: give the slice to the Mapper."""

    mapper: str
    piece: Slice


@dataclasses.dataclass(slots=True)
class _Run:
    """Consecutive items of one block that nobody has."""

    block: int
    start: int
    stop: int


class JobCore:
    """One job's items: each is waiting, out with one Mapper, or done; a Mapper that dies gives its items back.

    A Mapper is given `AHEAD` times its width, so that it never waits for a message; more only when it has answered.
    All answers are kept whatever becomes of the others (allSettled). A slice is handed out only when the highest price
    of its items fits into what is left of the job's budget, the tenant's day and everybody's day.

    Args:
        spec: what to do.
        nodes: how many nodes of the reduce tree are to be answered.
        spending: what all jobs have spent; own by default.
    """

    def __init__(self, spec: JobSpec, nodes: int = 0, spending: Spending | None = None) -> None:
        self.spec = spec
        self._purse = Purse(spending or Spending(), spec.tenant, own=spec.tenant_day, everybody=spec.day)
        #: The day it is, as it was last told.
        self._day = 0
        #: Counted in the purse for nodes that are to be merged, and on which day; None before it was asked for.
        self._holding: int | None = None
        self._holding_day = 0
        #: True while nothing can be sent until another job gives money back.
        self.starved = False
        #: Nodes of the reduce tree that are to be answered, and how many are.
        self.nodes_wanted = nodes
        self.nodes_done = 0
        self.state: JobState = "open"
        self.error = ""
        self.bill = Bill()
        self.sealed = False
        #: First item of each block; its length is the next block's first less its own.
        self._firsts: list[int] = []
        self.total = 0
        self._waiting: deque[_Run] = deque()
        self._done = bytearray()
        self.done = self.failed = 0
        #: Items out with each Mapper, and the day their money was reserved on.
        self._out: dict[str, dict[int, int]] = {}
        #: Money that may be spent for nothing else: for items that are out, and for `_lost`.
        self._reserved = 0
        #: (mapper, item) that were out when the Mapper died, with their day: those calls may have been paid, and may
        #: yet be answered. In the purse they count as spent, so that no other job waits for them.
        self._lost: dict[tuple[str, int], int] = {}
        #: Items that failed without being sent; the shell puts them through `answered`.
        self.refused: list[ItemDone] = []

    # Building ---------------------------------------------------------------------------------------------------------

    def add_block(self, count: int) -> int:
        """A block of `count` items joins; returns its number."""
        number = len(self._firsts)
        self._firsts.append(self.total)
        if count:
            self._waiting.append(_Run(number, 0, count))
        self._done.extend(bytes(count))
        self.total += count
        return number

    def seal(self) -> None:
        """No more blocks will come."""
        self.sealed = True

    # Mappers ----------------------------------------------------------------------------------------------------------

    def mapper_up(self, name: str) -> None:
        """A Mapper may be given work."""
        self._out.setdefault(name, {})

    def mapper_down(self, name: str) -> None:
        """A Mapper died: what it had and has not answered waits again, before all else; its reservation stays."""
        lost = self._out.pop(name, {})
        for item, day in lost.items():
            self._lost[name, item] = day
            self._purse.settle(self.spec.item_cost, self.spec.item_cost, day=day)
        if self.state not in ("open", "running"):
            return
        for item in sorted((one for one in lost if not self._done[one]), reverse=True):
            block, place = self._place(item)
            self._waiting.appendleft(_Run(block, place, place + 1))

    def _place(self, item: int) -> tuple[int, int]:
        low, high = 0, len(self._firsts) - 1
        while low < high:
            middle = (low + high + 1) // 2
            low, high = (middle, high) if self._firsts[middle] <= item else (low, middle - 1)
        return low, item - self._firsts[low]

    def hand_out(self, *, day: int = 0) -> list[Send]:
        """Slices for Mappers that have room, the emptiest first; `day` is the day in UTC, as a number that rises."""
        self._day, self.starved = day, False
        if self.state not in ("open", "running"):
            return []
        sends: list[Send] = []
        width = self.spec.width
        while self._waiting and self._out and self._affordable():
            name = min(self._out, key=lambda one: len(self._out[one]))
            room = AHEAD * width - len(self._out[name])
            # Topped up a width at a time, not item by item: a slice is a message.
            if room < width:
                break
            self.state = "running"
            sends.append(self._send(name, width))
        if self._waiting and not self._affordable():
            self._stop_spending()
        return sends

    def _send(self, name: str, most: int) -> Send:
        run = self._waiting[0]
        stop = min(run.stop, run.start + min(most, self._payable()))
        piece = Slice(self.spec.id, run.block, run.start, stop)
        if stop == run.stop:
            self._waiting.popleft()
        else:
            run.start = stop
        first = self._firsts[piece.block]
        self._out[name].update(dict.fromkeys(range(first + piece.start, first + piece.stop), self._day))
        cost = (piece.stop - piece.start) * self.spec.item_cost
        self._reserved += cost
        taken = self._purse.reserve(cost, day=self._day)
        assert taken, "a slice is dearer than what is left"
        return Send(name, piece)

    # Money ------------------------------------------------------------------------------------------------------------

    def _payable(self) -> int:
        """How many more items the budgets allow to be sent now."""
        most = self._payable_by_job()
        if not most or not self._held():
            return 0
        return min(most, self._purse.left(day=self._day) // self.spec.item_cost) if self.spec.item_cost else most

    def _held(self) -> bool:
        """True when the day has room for merging, which is counted at once and corrected node by node."""
        if self._holding is None and self._purse.reserve(self.spec.held_back, day=self._day):
            self._holding, self._holding_day = self.spec.held_back, self._day
            self._purse.settle(self._holding, self._holding, day=self._day)
        return self._holding is not None

    def _payable_by_job(self) -> int:
        if self.spec.max_cost < 0:
            return 1 << 30
        open_nodes = max(self.nodes_wanted - self.nodes_done, 0) / max(self.nodes_wanted, 1)
        spent = self.bill.cost + self.bill.open_cost
        left = self.spec.max_cost - spent - self._reserved - int(self.spec.held_back * open_nodes)
        return max(left // self.spec.item_cost, 0) if self.spec.item_cost else (1 << 30 if left > 0 else 0)

    def _affordable(self) -> bool:
        return self._payable() > 0

    def _stop_spending(self) -> None:
        """Nothing is out and nothing more can be paid: what waits fails by name."""
        if any(self._out.values()):
            return
        text = f"the job's budget of ${self.spec.max_cost / 1e12:.4f} is used up"
        if self._payable_by_job():
            wanted = self.spec.item_cost if self._holding is not None else self.spec.held_back
            text = self._purse.lack(wanted, day=self._day)
            self.starved = not text
            if self.starved:
                return
        while self._waiting:
            run = self._waiting.popleft()
            first = self._firsts[run.block]
            self.refused += [ItemDone(first + place, error=f"not sent: {text}") for place in range(run.start, run.stop)]

    # Answers ----------------------------------------------------------------------------------------------------------

    def answered(self, mapper: str, done: Iterable[ItemDone]) -> list[ItemDone]:
        """Answers came from a Mapper; returns those that are new. An item answered twice counts once, but is billed."""
        new = []
        out = self._out.get(mapper, {})
        for one in done:
            self.bill = self.bill.add(one)
            if one.item in out:
                self._reserved -= self.spec.item_cost
                self._purse.settle(self.spec.item_cost, one.spent, day=out.pop(one.item))
            elif (mapper, one.item) in self._lost:
                self._settle_late(mapper, one)
                self._late(one.item)
            elif one.spent:
                self._purse.settle(0, one.spent, day=self._day)
            if not self._done[one.item]:
                self._done[one.item] = 1
                self.done += 1
                self.failed += bool(one.error)
                new.append(one)
        return new

    def _settle_late(self, mapper: str, done: ItemDone) -> None:
        self._purse.settle(0, done.spent - self.spec.item_cost, day=self._lost.pop((mapper, done.item)))

    def _late(self, item: int) -> None:
        """A Mapper that was thought dead has answered: its cost is known, and nobody else need be given the item."""
        self._reserved -= self.spec.item_cost
        block, place = self._place(item)
        with contextlib.suppress(ValueError):
            self._waiting.remove(_Run(block, place, place + 1))

    def node_answered(self, done: ItemDone) -> None:
        """A node of the reduce tree was merged."""
        self.nodes_done += 1
        self.bill = self.bill.add(done)
        last = self.nodes_done >= self.nodes_wanted
        self._release((self._holding or 0) if last else self.spec.held_back // self.nodes_wanted, done.spent)

    def _release(self, most: int, spent: int) -> None:
        """Up to `most` of what is held for merging turned out to cost `spent`."""
        part = min(most, self._holding or 0)
        day = self._day if self._holding is None else self._holding_day
        if self._holding is not None:
            self._holding -= part
        self._purse.settle(0, spent - part, day=day)

    def close(self) -> None:
        """The job is over: what is out counts as spent, since it may have been, until it is answered after all."""
        for mapper, items in self._out.items():
            for item, day in items.items():
                self._lost[mapper, item] = day
                self._purse.settle(self.spec.item_cost, self.spec.item_cost, day=day)
        self._out = {}
        self._release(self._holding or 0, 0)

    def after(self, mapper: str, done: Iterable[ItemDone]) -> None:
        """Answers that come when the job is over: they are only counted against the day."""
        for one in done:
            if (mapper, one.item) in self._lost:
                self._settle_late(mapper, one)
            elif one.spent:
                self._purse.settle(0, one.spent, day=self._day)

    def cancel(self) -> None:
        """Somebody asked to stop."""
        if self.state in ("open", "running"):
            self.state = "cancelled"
            self._waiting.clear()

    def fail(self, error: str) -> None:
        """The job can't go on; answers that are there stay."""
        self.cancel()
        self.state, self.error = "failed", error

    @property
    def finished(self) -> bool:
        """True when every item and every node has an answer, and no more will come."""
        return self.sealed and self.done == self.total and self.nodes_done >= self.nodes_wanted

    @property
    def running(self) -> int:
        """Items that Mappers have now."""
        return sum(len(out) for out in self._out.values())

    def validate(self) -> None:
        """Asserts the invariants; called after each test."""
        assert self.done == sum(self._done)
        waiting = [self._firsts[run.block] + place for run in self._waiting for place in range(run.start, run.stop)]
        out = [item for items in self._out.values() for item in items]
        both = waiting + [item for item in out if not self._done[item]]
        assert len(both) == len(set(both)), "an item is in two places"
        if self.state in ("open", "running"):
            assert sorted(set(both)) == [item for item, done in enumerate(self._done) if not done]
