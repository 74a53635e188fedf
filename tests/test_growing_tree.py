"""Growing trees against a reference that is given all sizes at once: any order of arrival, restarts, failures."""

import random
from collections.abc import Sequence

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from understudy.actors.reducer.growing import GrowingTree, Merge, items_of, level_of, node_id

BUDGET = 100
Row = list[tuple[int, int, int, int, tuple[int, ...]]]
"""Neighbours of a level: first item, item after the last, tokens, how many are good, ids."""


def answer(node: int) -> tuple[int, bool]:
    """Tokens of a merge's answer, and whether the merge fails: as good as random, but a node's own."""
    rng = random.Random(node)
    return rng.choice((1, 5, 20, 45, 60, 120)), rng.random() < 0.1


def grouped(row: Row, lane: int) -> list[Row]:
    """The groups of a level, each lane by itself."""
    groups: list[Row] = []
    for entry in row:
        group = groups[-1] if groups else []
        new = not group or group[-1][0] // lane != entry[0] // lane
        crowd = sum(one[3] for one in group) > 1 and sum(one[2] for one in group) + entry[2] > BUDGET
        if new or (crowd and entry[3]):
            groups.append([])
        groups[-1].append(entry)
    return groups


def reference(items: Sequence[tuple[int, bool]], lane: int) -> tuple[int, dict[int, Merge]]:
    """The root and all merges, from all sizes at once."""
    row: Row = [(n, n + 1, 0 if bad else size, int(not bad), (n,)) for n, (size, bad) in enumerate(items)]
    merges: dict[int, Merge] = {}
    level = 0
    while not (len(row) == 1 and len(row[0][4]) == 1 and level_of(row[0][4][0])):
        width = lane << 4 * level
        level += 1
        above: Row = []
        for group in grouped(row, width):
            first, stop = group[0][0], group[-1][1]
            size, good = sum(one[2] for one in group), sum(one[3] for one in group)
            ids = tuple(ident for one in group for ident in one[4])
            ends = first == 0 and stop == len(items) and stop % width != 0
            if good <= 1 and len(ids) <= 64 and not ends:
                above.append((first, stop, size, good, ids))
                continue
            node = node_id(level, first, stop)
            cut = 0
            if size > BUDGET:
                cut = BUDGET if good == 1 else max(BUDGET // 2, BUDGET - min(one[2] for one in group if one[3]))
            merges[node] = Merge(node, ids, good, cut)
            made, bad = answer(node)
            bad = bad or not good
            above.append((first, stop, 0 if bad else made, int(not bad), (node,)))
        row = above
    return row[0][4][0], merges


class World:
    """What a Supervisor keeps, a tree, and merges that run; things happen in random order."""

    def __init__(self, items: Sequence[tuple[int, bool]], lane: int, rng: random.Random) -> None:
        self.items, self.lane, self.rng = items, lane, rng
        self.tree = GrowingTree(BUDGET, lane=lane)
        self.kept: dict[int, tuple[int, bool]] = {}
        self.running: dict[int, Merge] = {}
        self.finished: dict[int, Merge] = {}
        self.given: list[int] = []
        self.sealed = False

    def take(self, merges: list[Merge]) -> None:
        """The tree gives merges."""
        for merge in merges:
            assert merge.node not in self.running
            assert merge.node not in self.finished
            self.running[merge.node] = merge
            self.given.append(merge.node)
        self.tree.validate()

    def tell(self, node: int, size: int, bad: bool) -> None:
        """An answer is there."""
        self.kept[node] = (size, bad)
        self.take(self.tree.absorb(node, size, failed=bad))
        assert self.tree.answered(node)
        assert self.tree.absorb(node, size, failed=bad) == []

    def finish(self) -> None:
        """One of the running merges ends."""
        node = self.rng.choice(sorted(self.running))
        merge = self.finished[node] = self.running.pop(node)
        for child in merge.children:
            del self.kept[child]
        size, bad = answer(node)
        self.tell(node, size, bad or not merge.good)

    def restart(self) -> None:
        """The tree is lost: a new one is told what is kept, in any order."""
        self.tree = GrowingTree(BUDGET, lane=self.lane)
        self.running.clear()
        told = list(self.kept.items())
        self.rng.shuffle(told)
        cut = self.rng.randrange(len(told) + 1) if self.sealed else len(told)
        for node, (size, bad) in told[:cut]:
            self.take(self.tree.absorb(node, size, failed=bad))
        if self.sealed:
            self.take(self.tree.seal(len(self.items)))
        for node, (size, bad) in told[cut:]:
            self.take(self.tree.absorb(node, size, failed=bad))

    def run(self, restarts: float) -> None:
        """Everything happens, in random order, until the root is there."""
        todo = list(range(len(self.items)))
        reach = self.rng.choice((1, 3, len(todo) + 1))
        while todo or self.running or not self.sealed:
            dice = self.rng.random()
            if dice < restarts:
                self.restart()
            elif todo and (dice < 0.6 or not self.running):
                number = todo.pop(self.rng.randrange(min(reach, len(todo))))
                self.tell(number, *self.items[number])
            elif self.running:
                self.finish()
            if not self.sealed and (not todo or self.rng.random() < 0.02):
                self.sealed = True
                self.take(self.tree.seal(len(self.items)))


item = st.tuples(st.sampled_from((1, 10, 30, 45, 60, 99, 130)), st.booleans() | st.just(value=False))
jobs = st.lists(item, min_size=1, max_size=90) | st.lists(
    st.tuples(st.just(1), st.just(value=True)), max_size=90, min_size=1
)
lanes, seeds = st.sampled_from((2, 3, 8, 1 << 14)), st.integers(0, 1 << 30)


@given(jobs, lanes, seeds, st.sampled_from((0.0, 0.05)))
@example([(1, False)] * 64, 2, 1, 0.05)
def test_the_same_tree_whatever_the_order(items: list[tuple[int, bool]], lane: int, seed: int, restarts: float) -> None:
    """In any order of arrival, with restarts in between, exactly the reference's merges are done, each once."""
    world = World(items, lane, random.Random(seed))
    world.run(restarts)
    root, merges = reference(items, lane)
    assert world.finished == merges
    assert (world.tree.root, world.tree.finished, world.tree.depth) == (root, True, level_of(root))
    assert list(world.kept) == [root]
    if not restarts:
        assert len(world.given) == len(merges)


@given(jobs, lanes, seeds)
def test_every_item_is_covered_once_and_no_merge_passes_the_budget(
    items: list[tuple[int, bool]], lane: int, seed: int
) -> None:
    """Below the root stands each item once, under nodes that cover it; what a merge reads, cut as told, fits."""
    world = World(items, lane, random.Random(seed))
    world.run(0.0)
    root = world.tree.root
    assert root is not None
    assert items_of(root) == range(len(items))
    leaves: list[int] = []
    todo = [root]
    while todo:
        merge = world.finished[todo.pop()]
        sizes = [one for child in merge.children for one in [world_size(world, child)] if one]
        assert sum(min(one, merge.cut or one) for one in sizes) <= BUDGET
        assert len(sizes) == merge.good
        assert [number for child in merge.children for number in items_of(child)] == list(items_of(merge.node))
        leaves += [child for child in merge.children if not level_of(child)]
        todo += [child for child in merge.children if level_of(child)]
    assert sorted(leaves) == list(range(len(items)))


def world_size(world: World, node: int) -> int:
    """Tokens of an answer, 0 where it failed."""
    if not level_of(node):
        size, bad = world.items[node]
    else:
        size, bad = answer(node)
        bad = bad or not world.finished[node].good
    return 0 if bad else size


@given(st.integers(2, 300))
def test_what_fits_one_budget_is_one_merge(count: int) -> None:
    """N answers that fit are one merge of all, when the last is there and the job is sealed; not before."""
    tree = GrowingTree(count)
    merges = [one for number in range(count) for one in tree.absorb(number, 1)]
    assert merges == []
    node = node_id(1, 0, count)
    assert tree.seal(count) == [Merge(node, tuple(range(count)), count)]
    assert not tree.finished
    assert tree.absorb(node, 5) == []
    assert (tree.root, tree.depth) == (node, 1)


def test_a_single_item_is_merged_once() -> None:
    """The reduce step is applied to a job of one item too; one over the budget is cut to it."""
    tree = GrowingTree(100)
    assert tree.absorb(0, 130) == []
    assert tree.seal(1) == [Merge(node_id(1, 0, 1), (0,), 1, 100)]


def test_a_pair_over_the_budget_is_cut_no_more_than_needed() -> None:
    """The longer of two is cut to what the shorter leaves; two long ones to a half each."""
    tree = GrowingTree(100)
    assert [*tree.absorb(0, 10), *tree.absorb(1, 99)] == []
    assert tree.absorb(2, 80) == [Merge(node_id(1, 0, 2), (0, 1), 2, 90)]
    tree.absorb(3, 80)
    assert tree.seal(4) == [Merge(node_id(1, 2, 4), (2, 3), 2, 50)]


def test_merges_begin_before_the_last_item_is_there() -> None:
    """No barrier: a group is merged as soon as the next item would not fit."""
    tree = GrowingTree(100)
    given = [len(tree.absorb(number, 30)) for number in range(7)]
    assert given == [0, 0, 0, 1, 0, 0, 1]


def test_a_late_item_holds_up_its_lane_and_no_more() -> None:
    """With item 0 missing, answers of other lanes are merged, so that little waits."""
    tree = GrowingTree(100, lane=16)
    most = 0
    todo = list(range(1, 4000))
    for number in todo:
        merges = tree.absorb(number, 40)
        while merges:
            merges += tree.absorb(merges.pop().node, 40)
        most = max(most, tree.pending)
    assert most < 16 + 16 * 16 // 2 + 16 * 16 * 16 // 4
    assert tree.pending < most


def test_a_million_items_leave_nothing_behind() -> None:
    """What the tree holds does not grow with the items it has merged."""
    tree = GrowingTree(1000)
    most = 0
    for number in range(60_000):
        merges = tree.absorb(number, 10)
        while merges:
            merges += tree.absorb(merges.pop().node, 10)
        most = max(most, tree.pending)
    assert most < 300
    assert sum(map(len, tree._levels)) < 12


@pytest.mark.parametrize(("budget", "lane"), [(1, 16), (100, 1)])
def test_a_tree_that_can_not_grow_is_refused(budget: int, lane: int) -> None:
    """A budget or a lane for fewer than two is told at once."""
    with pytest.raises(ValueError, match="can't grow"):
        GrowingTree(budget, lane=lane)


def test_totals_that_contradict_are_refused() -> None:
    """An item beyond the total, or a second total, is a fault of the teller."""
    tree = GrowingTree(100)
    tree.absorb(4, 1)
    with pytest.raises(ValueError, match="5 items or more can't be sealed with 4"):
        tree.seal(4)
    assert tree.seal(6) == []
    assert tree.seal(6) == []
    with pytest.raises(ValueError, match="can't be sealed with 7"):
        tree.seal(7)
    with pytest.raises(ValueError, match="no item 6 among 6"):
        tree.absorb(6, 1)


def test_no_items_have_no_root() -> None:
    """A job without items is finished when it is sealed."""
    tree = GrowingTree(100)
    assert (tree.seal(0), tree.finished, tree.root, tree.depth) == ([], True, None, 0)


@given(st.integers(1, 31), st.integers(0, (1 << 29) - 2), st.integers(1, 1000))
def test_ids_tell_what_they_cover(level: int, first: int, count: int) -> None:
    """Level and items are read back from an id, which fits a signed 64-bit integer."""
    stop = min(first + count, (1 << 29) - 1)
    node = node_id(level, first, stop)
    assert node < 1 << 63
    assert (level_of(node), items_of(node)) == (level, range(first, stop))
    assert (level_of(first), items_of(first)) == (0, range(first, first + 1))
