"""What a Reducer's successor has to be told of a tree that grows: the answers that no finished node has merged."""

from collections.abc import Iterator, Sequence
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
        #: Answers that will be here when they are written, and those that a node has merged that is not written yet.
        self._coming: set[int] = set()
        self._claimed: set[int] = set()

    def expect(self, item: int) -> None:
        """The answer of that item will be added when it is written."""
        self._coming.add(item)

    def claim(self, done: ItemDone, children: Sequence[int]) -> bool:
        """A node is finished, and will be merged here when that is written. False where it was known already."""
        here = [child for child in children if child in self._answers or child in self._coming]
        mine = [child for child in here if child not in self._claimed]
        if mine:
            self._claimed.update(mine)
            self._coming.add(done.item)
        return bool(mine)

    def drop(self, item: int) -> None:
        """The item is tried again."""
        gone = self._answers.pop(item, None)
        self._bytes -= len(gone.data) if gone else 0

    def add(self, done: ItemDone) -> None:
        """The answer of an item or a node; of an item that was tried again the later one counts."""
        self.drop(done.item)
        self._answers[done.item] = done
        self._coming.discard(done.item)
        self._bytes += len(done.data)

    def merge(self, done: ItemDone, children: Sequence[int]) -> bool:
        """A node is finished: its answer stands for those of its children. False where that was known already."""
        self._claimed.difference_update(children)
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
