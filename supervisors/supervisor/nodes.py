"""A job's reduce tree as its money sees it: how many nodes are to be merged, and what is held back for them."""

import dataclasses
from collections.abc import Mapping

from ...protocols.jobs import JobSpec
from ...protocols.messages import ItemDone
from ..budgets import Purse


@dataclasses.dataclass(frozen=True, slots=True)
class Node:
    """A node of the reduce tree that counts: its answer, what it merged, and whether it is known to be the root."""

    done: ItemDone
    children: tuple[int, ...] = ()
    root: bool = False


class Nodes:
    """Money that merging may cost is kept from the items until the nodes are merged.

    Of a tree that was drawn before, each node has an equal part of it. How many nodes a tree that grows will have,
    nobody knows: what is held back shrinks by what they cost, and the rest is free when the root is there.

    Args:
        spec: the job.
        purse: what the job takes from the day.
        wanted: nodes that are to be answered, of a tree that was drawn before.
    """

    def __init__(self, spec: JobSpec, purse: Purse, wanted: int) -> None:
        self._spec = spec
        self._purse = purse
        self._wanted = wanted
        self.done = 0
        #: Number of the root of a tree that grows, once it has an answer; -1 before.
        self.root = -1
        self._spent = 0
        #: Counted in the purse for nodes that are to be merged, and on which day; None before it was asked for.
        self._holding: int | None = None
        self._day = 0

    @property
    def held(self) -> bool:
        """True when the day has been charged with what merging may cost."""
        return self._holding is not None

    def hold(self, *, day: int) -> bool:
        """True when the day has room for merging, which is counted at once and corrected node by node."""
        if self._holding is None and self._purse.reserve(self._spec.held_back, day=day):
            self._holding, self._day = self._spec.held_back, day
            self._purse.settle(self._holding, self._holding, day=day)
        return self._holding is not None

    @property
    def left(self) -> int:
        """Picodollars of the job's own budget that are kept for nodes."""
        if self._spec.grows:
            return max(self._spec.held_back - self._spent, 0) if self.root < 0 else 0
        return int(self._spec.held_back * max(self._wanted - self.done, 0) / max(self._wanted, 1))

    def answered(self, done: ItemDone, *, day: int) -> None:
        """A node was merged."""
        self.done += 1
        self._spent += done.spent
        part = done.spent if self._spec.grows else self._spec.held_back // max(self._wanted, 1)
        last = not self._spec.grows and self.done >= self._wanted
        self._release((self._holding or 0) if last else part, done.spent, day=day)

    def recall(self, done: ItemDone) -> None:
        """A node that was merged, and paid for, before this process began."""
        self.done += 1
        self._spent += done.spent

    def reset(self) -> None:
        """All is merged anew."""
        self.done = self._spent = 0
        self.root = -1
        self._holding = None

    def without(self, counted: Mapping[int, int]) -> dict[int, int]:
        """What a job has counted by day, less what is held back here."""
        return {day: amount - (self._holding or 0) * (day == self._day) for day, amount in counted.items()}

    def rooted(self, node: int, *, day: int) -> None:
        """That node is the root of a tree that grows: nothing more is merged."""
        self.root = node
        self.close(day=day)

    def close(self, *, day: int) -> None:
        """What is still held is given back."""
        self._release(self._holding or 0, 0, day=day)

    def _release(self, most: int, spent: int, *, day: int) -> None:
        """Up to `most` of what is held for merging turned out to cost `spent`."""
        part = min(most, self._holding or 0)
        if self._holding is not None:
            self._holding -= part
            day = self._day
        self._purse.settle(0, spent - part, day=day)

    @property
    def finished(self) -> bool:
        """True when nothing is left to be merged, of a job that has items."""
        return self.root >= 0 if self._spec.grows else self.done >= self._wanted
