"""What a Supervisor decides about one job: who works on which items, and when it is over."""

from collections.abc import Iterable
from typing import Final

from ...protocols.jobs import LIVE, Bill, JobSpec, JobState, Verdict
from ...protocols.messages import ItemDone, Slice
from ..budgets import Purse, Spending
from .book import ItemBook
from .nodes import Nodes
from .outcome import Outcome, Send
from .parking import Parking, questions, unparked

AHEAD: Final = 4
"""Widths of work a Mapper has in hand: with 2 it waited for slices at 3,000 calls a second."""
BLOCKS_WAITING: Final = 8
"""Blocks of a job that lets its answers go that may wait to be handed out; a block is about 1 MB."""


class JobCore:
    """One job's items: each is waiting, out with one Mapper, parked, or done; a Mapper that dies gives its items back.

    A Mapper is given `AHEAD` times its width, so that it never waits for a message; more only when it has answered.
    All answers are kept whatever becomes of the others (allSettled). A slice is handed out only when the highest price
    of its items fits into what is left of the job's budget, the tenant's day and everybody's day.

    An item that is done costs one byte. One that is parked (it waits for people) costs its memo, and no room with any
    Mapper; when it has all verdicts it goes before all else. What it cost until it was parked is on the bill already:
    the answer after it names only what came since, and is given on with both.

    Args:
        spec: what to do.
        nodes: how many nodes of the reduce tree are to be answered.
        spending: what all jobs have spent; own by default.
    """

    def __init__(self, spec: JobSpec, nodes: int = 0, spending: Spending | None = None) -> None:
        self.spec = spec
        self._purse = Purse(spending or Spending(), spec.tenant, own=spec.tenant_day, everybody=spec.day)
        self._ahead = spec.journal == "ahead"
        #: The day it is, as it was last told.
        self._day = 0
        self.nodes = Nodes(spec, self._purse, nodes)
        #: True while nothing can be sent until another job gives money back.
        self.starved = False
        self.state: JobState = "open"
        self.error = ""
        self.bill = Bill()
        self.sealed = False
        self.book = ItemBook()
        self.parking = Parking()
        #: Items and nodes that nobody was asked for.
        self.recalled = 0
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
        return self.book.add_block(count)

    @property
    def total(self) -> int:
        """Items so far."""
        return self.book.total

    @property
    def done(self) -> int:
        """Items that have an answer."""
        return self.book.done

    @property
    def failed(self) -> int:
        """Those of them without success."""
        return self.book.failed

    @property
    def freed(self) -> list[int]:
        """Blocks that nobody needs any more; the shell takes them out."""
        return self.book.freed

    @property
    def room(self) -> bool:
        """True when another block may join. A job that keeps its answers holds all of itself anyway: it always may."""
        return self.spec.keep or len(self.book.waiting) < BLOCKS_WAITING

    def seal(self) -> None:
        """No more blocks will come."""
        self.sealed = True
        self._rest()

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
        if self.state not in LIVE:
            return
        for item in sorted((one for one in lost if not self.book.marks[one]), reverse=True):
            self.book.first_of_all(item)
            if self._ahead:
                self.book.begun.add(item)

    def hand_out(self, *, day: int = 0, held: bool = False) -> list[Send]:
        """Slices for Mappers that have room, the emptiest first.

        Args:
            day: the day in UTC, as a number that rises.
            held: True while nothing more may be asked for, because nobody takes what was answered.
        """
        self._day, self.starved = day, False
        if self.state not in LIVE:
            return []
        sends = [] if held else self._slices()
        if self.book.waiting and not held and not self._affordable():
            self._stop_spending()
        self._rest(held=held)
        return sends

    def _rest(self, *, held: bool = False) -> None:
        """A job of which nothing can go on but what people have to answer waits for them.

        Not before it is sealed: who hands it in leaves a job that waits, and would take its other items along.
        """
        idle = self.sealed and len(self.parking) and not self.running and (held or not self.book.waiting)
        if self.state == "running" and idle:
            self.state = "waiting"
        elif self.state == "waiting" and not idle:
            self.state = "running"

    def _slices(self) -> list[Send]:
        sends: list[Send] = []
        width = self.spec.width
        while self.book.waiting and self._out and self._affordable():
            name = min(self._out, key=lambda one: len(self._out[one]))
            room = AHEAD * width - len(self._out[name])
            # Topped up a width at a time, not item by item: a slice is a message.
            if room < width:
                break
            self.state = "running"
            sends.append(self._send(name, width))
        return sends

    def _send(self, name: str, most: int) -> Send:
        run = self.book.waiting[0]
        stop = min(run.stop, run.start + min(most, self._payable()))
        first = self.book.firsts[run.block]
        states, eras = self.parking.states(first, run.start, stop), self.book.states(first, run.start, stop)
        piece = Slice(self.spec.id, run.block, run.start, stop, states, eras)
        if stop == run.stop:
            self.book.waiting.popleft()
        else:
            run.start = stop
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
        if not most or not self.nodes.hold(day=self._day):
            return 0
        return min(most, self._purse.left(day=self._day) // self.spec.item_cost) if self.spec.item_cost else most

    def _payable_by_job(self) -> int:
        if self.spec.max_cost < 0:
            return 1 << 30
        spent = self.bill.cost + self.bill.open_cost
        left = self.spec.max_cost - spent - self._reserved - self.nodes.left
        return max(left // self.spec.item_cost, 0) if self.spec.item_cost else (1 << 30 if left > 0 else 0)

    def _affordable(self) -> bool:
        return self._payable() > 0

    def _stop_spending(self) -> None:
        """Nothing is out and nothing more can be paid: what waits fails by name."""
        if any(self._out.values()):
            return
        text = f"the job's budget of ${self.spec.max_cost / 1e12:.4f} is used up"
        if self._payable_by_job():
            wanted = self.spec.item_cost if self.nodes.held else self.spec.held_back
            text = self._purse.lack(wanted, day=self._day)
            self.starved = not text
            if self.starved:
                return
        while self.book.waiting:
            run = self.book.waiting.popleft()
            first = self.book.firsts[run.block]
            self.refused += [ItemDone(first + place, error=f"not sent: {text}") for place in range(run.start, run.stop)]

    # Answers ----------------------------------------------------------------------------------------------------------

    def answered(self, mapper: str, done: Iterable[ItemDone], *, now: float = 0.0) -> list[ItemDone]:
        """Answers came from a Mapper; returns those that are new: see `judge`."""
        return self.judge(mapper, done, now=now).answers

    def judge(self, mapper: str, done: Iterable[ItemDone], *, now: float = 0.0) -> Outcome:
        """Answers came from a Mapper. An item answered twice counts once, but is billed.

        What is parked is no answer: it is billed and waits from `now` (monotonic seconds) on.
        """
        outcome = Outcome()
        for one in done:
            self.bill = self.bill.add(one)
            if not self._settled(mapper, one) or self.book.marks[one.item]:
                outcome.extra.append(one)
            elif asks := questions(one):
                self.parking.park(one.item, one.parked, asks, now=now)
                self.parking.use(one)
                outcome.parked.append(one)
            else:
                if self.parking.used(one.item):
                    outcome.extra.append(one)
                outcome.answers.append(self.parking.whole(unparked(one) if one.parked else one))
                self._mark(outcome.answers[-1])
        return outcome

    def _mark(self, done: ItemDone) -> None:
        """The item is done."""
        self.book.mark(done)
        self.recalled += done.recalled
        self.parking.forget(done.item)

    def _settled(self, mapper: str, one: ItemDone) -> bool:
        """Settles what was reserved for an answer; False where it is parked too late to be taken."""
        out = self._out.get(mapper, {})
        if one.item in out:
            self._reserved -= self.spec.item_cost
            self._purse.settle(self.spec.item_cost, one.spent, day=out.pop(one.item))
            return True
        if (mapper, one.item) in self._lost:
            self._settle_late(mapper, one)
            self._reserved -= self.spec.item_cost
            # What was parked by a Mapper that was thought dead is taken as long as nobody else works on the item, and
            # never in place of verdicts that are there already: the item is run again, and asks again.
            back = self.book.take_back(one.item)
            return not (one.parked and self.parking.state(one.item)) and (back or not one.parked)
        if one.spent:
            self._purse.settle(0, one.spent, day=self._day)
        # Somebody that this Supervisor has given nothing: its predecessor had.
        self.book.take_back(one.item)
        return not one.parked

    def _settle_late(self, mapper: str, done: ItemDone) -> None:
        self._purse.settle(0, done.spent - self.spec.item_cost, day=self._lost.pop((mapper, done.item)))

    def resume(self, item: int, path: str, verdict: Verdict) -> bool:
        """A person has answered; True when the item goes on, before all else. Raises as `Parking.answer` does."""
        ready = self.parking.answer(item, path, verdict)
        if ready >= 0:
            self._turn(ready)
            self.book.first_of_all(ready)
            self._rest()
        return ready >= 0

    def node_answered(self, done: ItemDone, *, again: bool = False) -> None:
        """A node of the reduce tree was merged.

        With `again` its first answer was under way when its Reducer died, so that it was merged, and paid for, twice.
        """
        self.bill = self.bill.add(done)
        self.recalled += done.recalled and not again
        if again:
            self._purse.settle(0, done.spent, day=self._day)
        else:
            self.nodes.answered(done, day=self._day)

    def rooted(self, node: int) -> None:
        """A node that was answered is the root of the tree, which grows."""
        self.nodes.rooted(node, day=self._day)

    def again(self, items: Iterable[int]) -> None:
        """These items are tried again, before all others; what was paid for them stays on the bill."""
        for item in sorted(items, reverse=True):
            if self.book.marks[item]:
                self.book.clear(item)
                self.book.turn(item)
                self.parking.again(item)
                self.book.first_of_all(item)

    def _turn(self, item: int) -> None:
        if self._ahead:
            self.book.turn(item)

    def counted(self) -> dict[int, int]:
        """What the job counts against budgets of days, without what is held back for merging."""
        return self.nodes.without(self._purse.counted)

    # The end ----------------------------------------------------------------------------------------------------------

    def close(self) -> None:
        """The job is over: what is out counts as spent, since it may have been, until it is answered after all."""
        for mapper, items in self._out.items():
            for item, day in items.items():
                self._lost[mapper, item] = day
                self._purse.settle(self.spec.item_cost, self.spec.item_cost, day=day)
        self._out = {}
        self.parking.clear()
        self.nodes.close(day=self._day)

    def billed(self, done: Iterable[ItemDone]) -> None:
        """What was used by a job that worked for an item of this one, and that the item was never told of."""
        for one in done:
            self.bill = self.bill.add(one)
            self._purse.settle(0, one.spent, day=self._day)

    def after(self, mapper: str, done: Iterable[ItemDone]) -> None:
        """Answers that come when the job is over: they are only counted against the day."""
        for one in done:
            if (mapper, one.item) in self._lost:
                self._settle_late(mapper, one)
            elif one.spent:
                self._purse.settle(0, one.spent, day=self._day)

    def cancel(self) -> None:
        """Somebody asked to stop."""
        if self.state in LIVE:
            self.state = "cancelled"
            self.book.waiting.clear()
            self.parking.clear()

    def fail(self, error: str) -> None:
        """The job can't go on; answers that are there stay."""
        self.cancel()
        self.state, self.error = "failed", error

    @property
    def finished(self) -> bool:
        """True when every item and every node has an answer, and no more will come."""
        done = self.sealed and self.book.done == self.book.total
        return done and (self.nodes.finished or (self.spec.grows and not self.total))

    @property
    def running(self) -> int:
        """Items that Mappers have now."""
        return sum(len(out) for out in self._out.values())

    def validate(self) -> None:
        """Asserts the invariants; called after each test."""
        book = self.book
        book.validate()
        waiting = [book.firsts[run.block] + place for run in book.waiting for place in range(run.start, run.stop)]
        out = [item for items in self._out.values() for item in items]
        parked = list(self.parking)
        both = waiting + parked + [item for item in out if not book.marks[item]]
        assert len(both) == len(set(both)), "an item is in two places"
        if self.state in LIVE:
            assert sorted(set(both)) == [item for item, mark in enumerate(book.marks) if not mark]
