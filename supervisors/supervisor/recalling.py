"""A job's core as a successor makes it again, from what its predecessor has written and what others hold."""

from collections.abc import Iterable, Mapping

from ...protocols.jobs import Verdict
from ...protocols.messages import ItemDone
from .core import JobCore
from .parking import questions


class RecallingCore(JobCore):
    """A `JobCore` that is told what was; then `begin_anew`, then what Mappers hold (`held`), and it goes on."""

    def recall(self, done: ItemDone) -> None:
        """An answer that a predecessor has written. What it used is billed already where it waited for people."""
        if not self.parking.used(done.item):
            self.bill = self.bill.add(done)
        self._mark(done)

    def recall_node(self, done: ItemDone, *, new: bool) -> None:
        """A node that a predecessor has written; it counts where it is `new`."""
        self.bill = self.bill.add(done)
        self.recalled += done.recalled
        if new:
            self.nodes.recall(done)

    def recall_parked(self, done: ItemDone, *, now: float) -> None:
        """An item that waits for people, as a predecessor has written it."""
        self.bill = self.bill.add(done)
        self.parking.park(done.item, done.parked, questions(done), now=now)
        self.parking.use(done)

    def recall_verdict(self, item: int, path: str, verdict: Verdict) -> None:
        """A person's answer, as a predecessor has written it."""
        if self.parking.answer(item, path, verdict) >= 0:
            self._turn(item)

    def recall_extra(self, done: ItemDone) -> None:
        """What was paid besides, as a predecessor has written it."""
        self.bill = self.bill.add(done)

    def begin_anew(self, counted: Mapping[int, int], begun: Iterable[int] = ()) -> None:
        """All is read: what has no answer waits. `begun` are items of which steps are known, `counted` is by day."""
        self._purse.counted = dict(counted)
        self.book.begun.update(item for item in begun if item < self.total and not self.book.marks[item])
        self._settle_in()
        if self.done or len(self.parking):
            self.state = "running"

    def held(self, mapper: str, items: Iterable[int], *, day: int) -> None:
        """A Mapper that outlived a predecessor has these items in hand; what others have, or is done, is not."""
        self.mapper_up(mapper)
        taken = {item for out in self._out.values() for item in out}
        free = [one for one in items if one < self.total and not self.book.marks[one] and one not in taken]
        mine = [item for item in free if item not in self.parking]
        self._out[mapper].update(dict.fromkeys(mine, day))
        cost = len(mine) * self.spec.item_cost
        self._reserved += cost
        self._purse.reserve(cost, day=day, anyway=True)
        self._settle_in()
        if mine and self.state == "open":
            self.state = "running"

    def _settle_in(self) -> None:
        out = [item for items in self._out.values() for item in items]
        resumed = [item for item in self.parking.resumed() if item not in out]
        self.book.wait_anew([*self.parking, *out], resumed)
