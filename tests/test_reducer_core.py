"""Readiness in random trees, in random order, with answers told twice and nodes told before their children."""

import random

from hypothesis import given
from hypothesis import strategies as st

from understudy.actors.reducer.core import TreeCore


def random_tree(rng: random.Random, size: int) -> list[list[int]]:
    """Children of each node: each but the last hangs under some later one; at least one node has no child."""
    tree: list[list[int]] = [[] for _ in range(size)]
    for node in range(size - 1):
        tree[rng.randrange(node + 1, size)].append(node)
    return tree


sizes, seeds = st.integers(1, 40), st.integers(0, 1 << 30)


@given(sizes, seeds)
def test_every_node_becomes_ready_once_and_after_its_children(size: int, seed: int) -> None:
    """From leaves told in any order, some twice, each inner node is ready once: when its last child has an answer."""
    rng = random.Random(seed)
    tree = random_tree(rng, size)
    core, answered, ready = TreeCore(tree), set[int](), list[int]()
    todo = [node for node in range(size) if not tree[node]]
    todo += rng.choices(todo, k=rng.randint(0, len(todo)))
    while todo:
        node = todo.pop(rng.randrange(len(todo)))
        said = core.absorb(node)
        answered.add(node)
        for one in said:
            assert set(tree[one]) <= answered
        ready += said
        todo += said
        core.validate()
    assert sorted(ready) == [node for node in range(size) if tree[node]]
    assert core.finished


@given(sizes, seeds)
def test_nodes_told_again_are_not_given_again(size: int, seed: int) -> None:
    """After a restart: nodes that are told first, from the root down, are not given as ready; the rest is, once."""
    rng = random.Random(seed)
    tree = random_tree(rng, size)
    inner = [node for node in range(size) if tree[node]]
    known = {node for node in inner if rng.random() < 0.5}
    core = TreeCore(tree)
    ready = [one for node in sorted(known, reverse=True) for one in core.absorb(node)]
    leaves = [node for node in range(size) if not tree[node]]
    rng.shuffle(leaves)
    todo = leaves + ready
    given: list[int] = list(ready)
    while todo:
        said = core.absorb(todo.pop(rng.randrange(len(todo))))
        given += said
        todo += said
        core.validate()
    assert core.finished
    assert len(given) == len(set(given))
    assert set(given) == set(inner) - known


def test_answered_is_answered() -> None:
    """A node told twice counts once."""
    core = TreeCore([[], [], [0, 1]])
    assert core.absorb(0) == []
    assert core.answered(0)
    assert core.absorb(0) == []
    assert core.absorb(1) == [2]
    assert (core.left, core.absorb(1)) == (1, [])
    assert core.absorb(2) == []
    assert core.finished
