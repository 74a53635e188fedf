"""A reduce tree that is not drawn before but grows while answers come: which of them are merged together, and when.

**Shape.** Level 0 are the items in order. Neighbours of a level are collected until the next one would pass the budget;
the group is then merged and is one node of the next level, until one node covers every item: the root. So N items that
fit one budget are one merge, and a merge never reads more than its budget. The shape follows from the order of the
items and the sizes of the answers alone, never from the order of arrival: a replay builds the same tree.

**Nodes are named by what they cover.** An item is its own number. A node is its level, its first item and the item
after its last one in one integer (`node_id`, `level_of`, `items_of`), so whoever holds a node's id knows which items
its answer stands for.

**Lanes.** A level is cut into lanes of `LANE` items (16 times as many on each level above), and no group crosses a
lane's end. An item that is late holds up its lane, not the job: what waits in memory is bounded by what is out of order
in those lanes, however many items there are.

**Passing on.** A lane's last group may have one member that has an answer. It is merged with nothing: its members go on
to the next level as they are, and are named as children of the node that merges them there.

**After a restart** a new tree needs to be told, in any order, every answer that is not yet the child of a finished
node: items and nodes alike, failed ones too, and then the total once it is known (`seal`). Nothing else: a node's id
says which items (and nodes between) were used up by it. So the Supervisor's side is: keep each answer of an item or a
node; drop those that `NodesDone.children` lists; to a new Reducer tell `ReduceOpen`, then `Absorb` with all that are
kept, then `Sealed` if the job is sealed. A merge that was running when the Reducer died is given once more.
`NodesDone.root` comes with the root's answer. Where that node was told before anybody knew that it is the root (the job
was sealed later, or the Reducer was restarted), it is told once more, at no cost and as the child of itself.
"""

from bisect import bisect_right, insort
from typing import Final

import msgspec

LANE: Final = 1 << 14
_WIDER: Final = 4  # bits by which the lanes of a level are wider than those below
_PLACE: Final = 29  # bits of an item's number
MOST_ITEMS: Final = (1 << _PLACE) - 1
_CARRIED: Final = 64  # members passed on without a merge: failed ones go with the one that did not


def node_id(level: int, first: int, stop: int) -> int:
    """The id of the node at `level` (1 and up) that covers the items `first` to `stop` (exclusive)."""
    return level << 2 * _PLACE | first << _PLACE | stop


def level_of(node: int) -> int:
    """How many merges stand between the node and the items; 0 for an item."""
    return node >> 2 * _PLACE


def items_of(node: int) -> range:
    """Numbers of the items that a node covers; of an item, itself."""
    if not level_of(node):
        return range(node, node + 1)
    return range(node >> _PLACE & MOST_ITEMS, node & MOST_ITEMS)


class Merge(msgspec.Struct, frozen=True):
    """A merge that can be done now.

    Attributes:
        node: the id of what it makes; `items_of` tells which items that answers for.
        children: items and nodes in the order of the items, failed ones among them: whoever merges has to name those.
        good: how many children have an answer. With none there is nothing to read: the node has failed.
        cut: 0 where all children together fit the budget. Else the most tokens (as `size` counts them) that each may
            have: longer ones are cut to it by whoever merges. That happens only where two neighbours together pass the
            budget, or one alone does: a merge of fewer would never end.
    """

    node: int
    children: tuple[int, ...]
    good: int
    cut: int = 0


class _Entry(msgspec.Struct):
    """What waits for its group: the items up to `stop`, as one answer or as several that were passed on."""

    stop: int
    size: int
    good: int
    members: tuple[int, ...]


class _Lane:
    """A stretch of a level: collected up to the item `at`, of all up to `end`."""

    __slots__ = ("at", "end", "good", "group", "size", "used", "waiting")

    def __init__(self, start: int, end: int) -> None:
        self.at = start
        self.end = end
        #: What came before its turn, by first item.
        self.waiting: dict[int, _Entry] = {}
        #: Stretches (first, stop) that a finished node above has used up already, in order.
        self.used: list[tuple[int, int]] = []
        self.clear()

    def clear(self) -> None:
        """The group is closed; the next one begins."""
        self.group: list[_Entry] = []
        self.size = self.good = 0

    def knows(self, first: int) -> bool:
        """True when the answer that begins with this item was told, or was used up by a node above."""
        if first < self.at or first in self.waiting:
            return True
        place = bisect_right(self.used, (first, MOST_ITEMS)) - 1
        return place >= 0 and first < self.used[place][1]

    def used_next(self) -> bool:
        """True when what comes next was used up by a node above."""
        return bool(self.used) and self.used[0][0] <= self.at

    def pass_over(self) -> None:
        """Moves behind what was used up."""
        _, stop = self.used.pop(0)
        self.at = max(self.at, stop)
        for first in [first for first in self.waiting if first < self.at]:
            del self.waiting[first]


class GrowingTree:
    """Decides which answers are merged together, while they come.

    Args:
        budget: tokens that the children of a merge may have together.
        lane: items of a lane of the lowest level; smaller ones are for tests.
    """

    def __init__(self, budget: int, *, lane: int = LANE) -> None:
        if budget < 2 or lane < 2:
            raise ValueError(f"a tree of budget {budget} and lanes of {lane} can't grow: use 2 or more for both")
        self.budget = budget
        self.total: int | None = None
        #: The node that covers all items, once its answer is told; None before, and where there are no items.
        self.root: int | None = None
        self._lane = lane
        self._reached = 0
        self._levels: list[dict[int, _Lane]] = []

    # What is told -----------------------------------------------------------------------------------------------------

    def absorb(self, node: int, size: int, *, failed: bool = False) -> list[Merge]:
        """An item or a node has its answer of `size` tokens, or has failed; returns what can be merged by that.

        Told twice counts once.

        Raises:
            ValueError: when there is no such item.
        """
        items = items_of(node)
        if items.stop > (MOST_ITEMS if self.total is None else self.total):
            raise ValueError(f"there is no item {items.stop - 1} among {self.total or MOST_ITEMS}")
        self._reached = max(self._reached, items.stop)
        if self.answered(node):
            return []
        merges: list[Merge] = []
        for level in range(level_of(node)):
            merges += self._use_up(level, items)
        entry = _Entry(items.stop, 0 if failed else max(size, 1), int(not failed), (node,))
        return merges + self._place(level_of(node), items.start, entry)

    def seal(self, total: int) -> list[Merge]:
        """There are `total` items and no more; returns what can be merged by that.

        Raises:
            ValueError: when another total was told before, or items beyond it were.
        """
        if self.total == total:
            return []
        if self.total is not None or self._reached > total:
            raise ValueError(f"a job of {self._reached} items or more can't be sealed with {total}")
        self.total = total
        merges: list[Merge] = []
        level = 0
        while total and level < len(self._levels):  # levels may join while the ones below are closed
            lane = self._levels[level].get((total - 1) // self._width(level))
            if lane is not None:
                merges += self._close_last(level, lane)
            level += 1
        return merges

    # What is known ----------------------------------------------------------------------------------------------------

    def answered(self, node: int) -> bool:
        """True when the answer was told, or a node that covers it was."""
        level, first = level_of(node), items_of(node).start
        if level >= len(self._levels):
            return False
        lane = self._levels[level].get(first // self._width(level))
        return lane is not None and lane.knows(first)

    @property
    def finished(self) -> bool:
        """True when the root has its answer, or there is nothing to merge at all."""
        return self.root is not None or self.total == 0

    @property
    def depth(self) -> int:
        """Levels of merges between the root and the items; 0 before there is a root."""
        return 0 if self.root is None else level_of(self.root)

    @property
    def pending(self) -> int:
        """Answers that are in no group yet, or in one that is still open."""
        return sum(len(lane.waiting) + len(lane.group) for level in self._levels for lane in level.values())

    def validate(self) -> None:
        """Asserts the invariants; called after each test."""
        for level in self._levels:
            for lane in level.values():
                assert lane.at not in lane.waiting
                assert all(lane.at < first for first in (*lane.waiting, *dict(lane.used)))
                assert lane.at <= lane.end
                assert lane.good == sum(entry.good for entry in lane.group)
                assert lane.size == sum(entry.size for entry in lane.group)
                assert not lane.group or lane.group[-1].stop == lane.at
                assert lane.size <= self.budget or lane.good <= 2  # a pair is cut to fit

    # How it grows -----------------------------------------------------------------------------------------------------

    def _width(self, level: int) -> int:
        return self._lane << _WIDER * level

    def _at(self, level: int, first: int) -> _Lane:
        """The lane of a level in which an item lies."""
        while len(self._levels) <= level:
            self._levels.append({})
        width = self._width(level)
        number = first // width
        lanes = self._levels[level]
        if number not in lanes:
            lanes[number] = _Lane(number * width, (number + 1) * width)
        return lanes[number]

    def _place(self, level: int, first: int, entry: _Entry) -> list[Merge]:
        lane = self._at(level, first)
        lane.waiting[first] = entry
        return self._advance(level, lane)

    def _use_up(self, level: int, items: range) -> list[Merge]:
        """What a finished node above has merged is passed over; it is news only to a tree that was made anew."""
        merges: list[Merge] = []
        width = self._width(level)
        for start in range(items.start // width * width, items.stop, width):
            lane = self._at(level, start)
            first, stop = max(items.start, lane.at), min(items.stop, lane.end)
            if first < stop:
                insort(lane.used, (first, stop))
                merges += self._advance(level, lane)
        return merges

    def _advance(self, level: int, lane: _Lane) -> list[Merge]:
        """Collects what is next to what was collected, as far as that goes."""
        merges: list[Merge] = []
        while True:
            while lane.used_next():
                merges += self._close(level, lane)
                lane.pass_over()
            entry = lane.waiting.pop(lane.at, None)
            if entry is None:
                return merges + self._close_last(level, lane)
            if entry.good and lane.good > 1 and lane.size + entry.size > self.budget:
                merges += self._close(level, lane)
            lane.group.append(entry)
            lane.size += entry.size
            lane.good += entry.good
            lane.at = entry.stop

    def _close_last(self, level: int, lane: _Lane) -> list[Merge]:
        return self._close(level, lane) if lane.at in (lane.end, self.total) else []

    def _close(self, level: int, lane: _Lane) -> list[Merge]:
        """The group becomes a merge, or the root, or is passed on."""
        if not lane.group:
            return []
        group, good, size = lane.group, lane.good, lane.size
        lane.clear()
        first = items_of(group[0].members[0]).start
        members = tuple(member for entry in group for member in entry.members)
        whole = first == 0 and lane.at == self.total
        if whole and len(members) == 1 and level_of(members[0]):
            self.root = members[0]
            return []
        # The total may be told late, so the end of a lane is not taken for the end of the job: the next level is.
        ends = whole and lane.at != lane.end
        if good <= 1 and len(members) <= _CARRIED and not ends:
            return self._place(level + 1, first, _Entry(lane.at, size, good, members))
        return [Merge(node_id(level + 1, first, lane.at), members, good, self._cut(group, good, size))]

    def _cut(self, group: list[_Entry], good: int, size: int) -> int:
        if size <= self.budget:
            return 0
        smaller = min(entry.size for entry in group if entry.good)
        return self.budget if good <= 1 else max(self.budget // 2, self.budget - smaller)
