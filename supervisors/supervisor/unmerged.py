"""What a Reducer's successor has to be told of a tree that grows: the answers that no finished node has merged."""

from collections.abc import Iterable, Iterator
from typing import Final

from ...protocols.messages import ItemDone

FULL_BYTES: Final = 64_000_000
"""While answers of more bytes wait to be merged, nothing more is handed out: merging is slower than mapping.

It can't stay so: what waits is either being merged, or stands behind items that are out, or is part of a group that is
not complete, which is less than one merge reads at each level.
"""


class Unmerged:
    """Answers of items and nodes by number, until the node that merged them is finished.

    See `understudy.actors.reducer.growing` for the tree. Nothing is kept of what is merged: that a node is new shows in
    its children being here.
    """

    def __init__(self) -> None:
        self._answers: dict[int, ItemDone] = {}
        self._bytes = 0

    def add(self, done: ItemDone) -> None:
        """The answer of an item or a node."""
        self._answers[done.item] = done
        self._bytes += len(done.data)

    def merge(self, done: ItemDone, children: Iterable[int]) -> bool:
        """A node is finished: its answer stands for those of its children. False where that was known already."""
        gone = [self._answers.pop(child) for child in children if child in self._answers]
        if not gone:
            return False
        self._bytes -= sum(len(one.data) for one in gone)
        self.add(done)
        return True

    @property
    def full(self) -> bool:
        """True while mapping has to wait for merging."""
        return self._bytes > FULL_BYTES

    def __len__(self) -> int:
        return len(self._answers)

    def __iter__(self) -> Iterator[ItemDone]:
        return iter(self._answers.values())
