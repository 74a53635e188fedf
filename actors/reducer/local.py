"""A growing reduce tree in one process: for a fan-out that is too small to be a job of its own."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

import msgspec

from ...protocols.errors import UsageError
from ...protocols.messages import ItemDone
from .growing import GrowingTree, Merge
from .merging import Merging


class Grown(msgspec.Struct, frozen=True):
    """What became of a fan-out.

    Attributes:
        root: the root's answer, or its failure; None where there were no items.
        depth: levels of merges above the items.
        merges: how many merges were done.
        nodes: all nodes with their merges, in the order they finished, without their texts: for the bill, and for what
            is missing where.
    """

    root: ItemDone | None
    depth: int
    merges: int
    nodes: tuple[tuple[Merge, ItemDone], ...] = ()


async def grow(
    tree: GrowingTree,
    answers: AsyncIterator[ItemDone],
    merge: Callable[[Merge, Mapping[int, ItemDone]], Awaitable[ItemDone]],
    *,
    size: Callable[[ItemDone], int],
    width: int,
) -> Grown:
    """Merges `answers` (items 0 to n-1, each once, in any order) along `tree` while they come.

    Failures of items and merges become failures of nodes, see `Merging`. Leaving early, by cancelling or by an
    exception of `answers`, ends all merges first.

    Args:
        tree: a new one.
        answers: the items' answers; their end says how many there are.
        merge: makes a node's answer from its children's.
        size: tokens that an answer takes in a merge.
        width: merges at once, 1 or more.

    Raises:
        UsageError: when the answers end and some item below another has none.
    """
    nodes: list[tuple[Merge, ItemDone]] = []

    def told(what: Merge, done: ItemDone) -> None:
        nodes.append((what, msgspec.structs.replace(done, data=b"")))

    merging = Merging(tree, size=size, merge=merge, width=width, told=told)
    total = 0
    try:
        async for done in answers:
            merging.absorb(done)
            total = max(total, done.item + 1)
        merging.seal(total)
        await merging.settled()
    finally:
        if ending := merging.cancel():
            await asyncio.gather(*ending, return_exceptions=True)
    if not tree.finished:
        raise UsageError(f"some of the items 0 to {total - 1} have no answer: give one for each, or its error")
    return Grown(merging.root, tree.depth, merging.merges, tuple(nodes))
