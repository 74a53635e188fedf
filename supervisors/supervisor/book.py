"""The items of one job, by block: which of them wait, which are done and how, and which were begun before."""

import bisect
import dataclasses
from collections import deque
from collections.abc import Iterable, Iterator
from typing import Final, Literal, get_args

from ...protocols.errors import UsageError
from ...protocols.messages import ItemDone

_DONE: Final = 1
_FAILED: Final = 2
_STANDING: Final = 4
_WORDS: Final = 300
"""Characters of the first failure that are kept."""

Which = Literal["failed", "standing"]


def whichever(again: str) -> tuple[Which, ...]:
    """What `again` says. Raises `UsageError` where it says nothing that is known."""
    words = tuple(word for word in again.split(",") if word)
    known: tuple[Which, ...] = get_args(Which)
    if set(words) - set(known):
        raise UsageError(f"{again!r} can't be tried again: say {' or '.join(known)}")
    return tuple(one for one in known if one in words)


@dataclasses.dataclass(slots=True)
class Run:
    """Consecutive items of one block that nobody has."""

    block: int
    start: int
    stop: int


class ItemBook:
    """An item costs one byte: whether it is done, and how. One that was parked or tried again costs its era besides.

    Attributes:
        firsts: first item of each block; its length is the next block's first less its own.
        left: items of each block that are not done.
        freed: blocks that nobody needs any more, since all their items are done; the shell takes them out.
        waiting: items that nobody has, in the order in which they are handed out.
        marks: a byte for each item, 0 while it is not done.
        eras: how often an item has parked and gone on, or was tried again; those that have not are not there.
        begun: items that are not done, and of which steps may be known from somebody who died.
    """

    def __init__(self) -> None:
        self.firsts: list[int] = []
        self.left: list[int] = []
        self.freed: list[int] = []
        self.total = 0
        self.waiting: deque[Run] = deque()
        self.marks = bytearray()
        self.done = self.failed = self.standing = 0
        #: Why the first item failed that did.
        self.first_error = ""
        self.eras: dict[int, int] = {}
        self.begun: set[int] = set()

    def add_block(self, count: int) -> int:
        """A block of `count` items joins; returns its number."""
        number = len(self.firsts)
        self.firsts.append(self.total)
        self.left.append(count)
        if count:
            self.waiting.append(Run(number, 0, count))
        else:
            self.freed.append(number)
        self.marks.extend(bytes(count))
        self.total += count
        return number

    def place(self, item: int) -> tuple[int, int]:
        """The block of an item, and its place there."""
        block = bisect.bisect_right(self.firsts, item) - 1
        return block, item - self.firsts[block]

    def needs(self, block: int) -> bool:
        """True while an item of the block is not done."""
        return block < len(self.left) and self.left[block] > 0

    def first_of_all(self, item: int) -> None:
        """The item waits before all others."""
        block, place = self.place(item)
        self.waiting.appendleft(Run(block, place, place + 1))

    def take_back(self, item: int) -> bool:
        """Nobody else need be given the item; True where it waited."""
        block, place = self.place(item)
        for at, run in enumerate(self.waiting):
            if run.block == block and run.start <= place < run.stop:
                rest = [Run(block, run.start, place), Run(block, place + 1, run.stop)]
                del self.waiting[at]
                for one in reversed([one for one in rest if one.start < one.stop]):
                    self.waiting.insert(at, one)
                return True
        return False

    def mark(self, done: ItemDone) -> None:
        """The item is done, and with the last of its block the block."""
        self.marks[done.item] = _DONE | _FAILED * bool(done.error) | _STANDING * done.standing
        self.done += 1
        self.failed += bool(done.error)
        self.standing += done.standing
        self.first_error = self.first_error or done.error[:_WORDS]
        self.begun.discard(done.item)
        block, _ = self.place(done.item)
        self.left[block] -= 1
        if not self.left[block]:
            self.freed.append(block)

    def clear(self, item: int) -> None:
        """The item is not done any more; it waits nowhere yet."""
        mark, self.marks[item] = self.marks[item], 0
        self.done -= 1
        self.failed -= bool(mark & _FAILED)
        self.standing -= bool(mark & _STANDING)
        self.first_error = self.first_error if self.failed else ""
        block, _ = self.place(item)
        self.left[block] += 1
        if block in self.freed:
            self.freed.remove(block)

    def picked(self, which: Iterable[Which]) -> list[int]:
        """Items that have failed, or whose answer stands in."""
        wanted = sum({"failed": _FAILED, "standing": _STANDING}[one] for one in set(which))
        return [item for item, mark in enumerate(self.marks) if mark & wanted]

    def turn(self, item: int) -> None:
        """A new era of the item begins."""
        self.eras[item] = self.eras.get(item, 0) + 1

    def states(self, first: int, start: int, stop: int) -> dict[int, int]:
        """The eras of the items at `start` to `stop` of a block that were begun before, by their place in it."""
        if not self.eras and not self.begun:
            return {}
        known = {place: first + place for place in range(start, stop)}
        return {
            place: self.eras.get(item, 0) for place, item in known.items() if item in self.eras or item in self.begun
        }

    def wait_anew(self, elsewhere: Iterable[int], before_all: Iterable[int] = ()) -> None:
        """All that is not done waits, but what is `elsewhere`; some of it `before_all`."""
        self.waiting.clear()
        early = sorted(before_all)
        gone = {*elsewhere, *early}
        self.waiting.extend(self._run_of(item) for item in early)
        for run in self._runs(gone):
            self.waiting.append(run)

    def _run_of(self, item: int) -> Run:
        block, place = self.place(item)
        return Run(block, place, place + 1)

    def _runs(self, gone: set[int]) -> Iterator[Run]:
        for block, first in enumerate(self.firsts):
            if not self.left[block]:
                continue
            stop = self.firsts[block + 1] if block + 1 < len(self.firsts) else self.total
            start = first
            for item in range(first, stop + 1):
                if item == stop or self.marks[item] or item in gone:
                    if item > start:
                        yield Run(block, start - first, item - first)
                    start = item + 1

    def validate(self) -> None:
        """Asserts the invariants; called after each test."""
        assert self.done == sum(map(bool, self.marks))
        assert self.failed == len(self.picked(["failed"]))
        assert self.standing == len(self.picked(["standing"]))
        ends = [*self.firsts[1:], self.total][: len(self.firsts)]
        assert self.left == [
            sum(not mark for mark in self.marks[first:end]) for first, end in zip(self.firsts, ends, strict=True)
        ]
