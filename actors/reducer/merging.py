"""Carries out the merges of a growing tree, so many at once, while answers still come."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Protocol

import msgspec
import structlog

from ...protocols.errors import UnderstudyError
from ...protocols.messages import ItemDone
from .growing import GrowingTree, Merge, items_of

if TYPE_CHECKING:  # a driver may merge without calling anybody
    from ..call.caller import Caller

log = structlog.get_logger(__name__)


class Growing(Protocol):
    """What an interpreter has besides `Interpreter` where its jobs' trees grow (`JobSpec.grows`)."""

    def growing(self) -> GrowingTree:
        """A new tree with this job's budget: the tokens that the children of one merge may have together."""

    def size(self, done: ItemDone) -> int:
        """Tokens that an answer takes in a merge, with whatever introduces it there. Not asked for failed ones."""

    async def merge(self, merge: Merge, children: Mapping[int, ItemDone], caller: "Caller") -> ItemDone:
        """The answer of `merge.node`, from those of its children, in order. At least one child has an answer."""


Merged = Callable[[Merge, ItemDone], None]
"""Is told each finished node, when its tree has taken it in and before anything that follows from it can finish."""


class Merging:
    """A growing tree with the answers that are not merged yet, and the merges that run.

    Failures become the node's: an exception in `merge` is its error, and a merge of failed children is none.

    Args:
        tree: decides.
        size: tokens an answer takes in a merge.
        merge: makes a node's answer.
        width: merges at once.
        told: hears of each finished node.
    """

    def __init__(
        self,
        tree: GrowingTree,
        *,
        size: Callable[[ItemDone], int],
        merge: Callable[[Merge, Mapping[int, ItemDone]], Awaitable[ItemDone]],
        width: int,
        told: Merged,
    ) -> None:
        self.tree = tree
        self.merges = 0
        self._size = size
        self._merge = merge
        self._width = width
        self._told = told
        self._answers: dict[int, ItemDone] = {}
        self._ready: deque[Merge] = deque()
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def root(self) -> ItemDone | None:
        """The root's answer, once it is there."""
        return None if self.tree.root is None else self._answers[self.tree.root]

    @property
    def idle(self) -> bool:
        """True when no merge runs or waits."""
        return not self._tasks and not self._ready

    def absorb(self, done: ItemDone) -> None:
        """An answer, or a failure, of an item or a node; told twice counts once."""
        if self.tree.answered(done.item):
            return
        failed, size = bool(done.error), 0
        if not failed:
            try:
                size = self._size(done)
            except Exception as error:  # an answer that can't be read is a failed one, by name
                log.exception("answer_unreadable", item=done.item)
                done, failed = (
                    ItemDone(done.item, error=f"can't be merged: {type(error).__name__}: {error}"[:500]),
                    True,
                )
        self._answers[done.item] = done
        self._begin(self.tree.absorb(done.item, size, failed=failed))

    def seal(self, total: int) -> None:
        """There are `total` items and no more."""
        self._begin(self.tree.seal(total))

    async def settled(self) -> None:
        """Returns when no merge runs or waits."""
        while self._tasks:
            await asyncio.wait(self._tasks)
            await asyncio.sleep(0)  # what follows from a merge is begun by its task's callback

    def cancel(self) -> list[asyncio.Task[None]]:
        """Stops all merges, and begins no other; returns those that are ending."""
        self._width = 0
        self._ready.clear()
        for task in self._tasks:
            task.cancel()
        return list(self._tasks)

    def _begin(self, merges: list[Merge]) -> None:
        self._ready.extend(merges)
        while self._ready and len(self._tasks) < self._width:
            merge = self._ready.popleft()
            children = {child: self._answers.pop(child) for child in merge.children}
            task = asyncio.get_running_loop().create_task(self._work(merge, children))
            self._tasks.add(task)
            task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._begin([])

    async def _work(self, merge: Merge, children: Mapping[int, ItemDone]) -> None:
        done = await self._answer(merge, children) if merge.good else _all_failed(merge, children)
        if done.item != merge.node:
            done = msgspec.structs.replace(done, item=merge.node)
        if not self._width:
            return
        self.merges += bool(merge.good)
        self.absorb(done)
        self._told(merge, done)

    async def _answer(self, merge: Merge, children: Mapping[int, ItemDone]) -> ItemDone:
        try:
            return await self._merge(merge, children)
        except UnderstudyError as error:
            return ItemDone(merge.node, error=str(error))
        except asyncio.CancelledError:
            if not self._width:
                raise
            return ItemDone(merge.node, error="the merge was cancelled")
        except Exception as error:  # a fault in one node keeps all others
            log.exception("node_failed", node=merge.node)
            return ItemDone(merge.node, error=f"{type(error).__name__}: {error}"[:500])


def _all_failed(merge: Merge, children: Mapping[int, ItemDone]) -> ItemDone:
    cause = min(child.error for child in children.values()).rpartition("parts failed: ")[2]
    return ItemDone(merge.node, error=f"all {len(items_of(merge.node))} parts failed: {cause}"[:500])
