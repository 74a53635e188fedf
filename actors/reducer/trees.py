"""The trees that a Reducer holds: each merges nodes as soon as it can, and says which it has merged."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, cast

from ...protocols.errors import ConfigError, UnderstudyError
from ...protocols.jobs import JobSpec
from ...protocols.messages import Absorb, ItemDone, NodesDone, Sealed
from ..call.caller import Caller
from ..interpreter import Interpreter
from ..shell import log
from .core import TreeCore
from .growing import Merge
from .merging import Growing, Merging


class Node(NamedTuple):
    """A node that is finished: its answer; of a tree that grows what it merged, and whether it is the root."""

    done: ItemDone
    children: tuple[int, ...] = ()
    root: bool = False

    @property
    def weight(self) -> int:
        """About how many bytes it takes in a message."""
        return 128 + len(self.done.data) + 18 * len(self.done.keys) + 5 * len(self.children)


def nodes_done(job: str, nodes: Sequence[Node], serial: int) -> NodesDone:
    """The message that tells of these nodes, the last of which has that number."""
    grown = any(node.children for node in nodes)
    return NodesDone(
        job,
        tuple(node.done for node in nodes),
        tuple(node.children for node in nodes) if grown else (),
        root=next((node.done.item for node in nodes if node.root), -1),
        serial=serial,
    )


class DrawnTree:
    """A job's tree that was drawn before.

    Args:
        spec: the job.
        interpreter: its meaning.
        caller: calls models for it.
        told: hears of each finished node, before anything that follows from it.
    """

    def __init__(self, spec: JobSpec, interpreter: Interpreter, caller: Caller, told: Callable[[Node], None]) -> None:
        self._spec = spec
        self._interpreter = interpreter
        self._caller = caller
        self._told = told
        self._core = TreeCore(interpreter.tree())
        #: Answers of nodes that their parents still need.
        self._answers: dict[int, ItemDone] = {}
        self._merging: dict[int, asyncio.Task[None]] = {}

    def take(self, told: Absorb | Sealed) -> None:
        """Answers came in; what is told twice counts once."""
        if isinstance(told, Sealed):
            return
        # Nodes first, parents before children: what was reduced before a restart is not reduced again.
        for node in sorted(told.nodes, key=lambda done: done.item, reverse=True):
            self._answered(node)
        for item in told.items:
            for leaf in self._interpreter.leaves(item):
                self._answered(leaf)

    def _answered(self, done: ItemDone) -> None:
        if self._core.answered(done.item):
            return
        self._answers[done.item] = done
        for ready in self._core.absorb(done.item):
            children = {child: self._answers.pop(child) for child in self._core.children[ready]}
            self._merging[ready] = asyncio.get_running_loop().create_task(self._reduce(ready, children))

    async def _reduce(self, node: int, children: dict[int, ItemDone]) -> None:
        done = await self._answer(node, children)
        self._merging.pop(node, None)
        self._told(Node(done))
        self._answered(done)

    async def _answer(self, node: int, children: dict[int, ItemDone]) -> ItemDone:
        try:
            return await self._interpreter.reduce(node, children, self._caller)
        except UnderstudyError as error:
            return ItemDone(node, error=str(error))
        except Exception as error:  # noqa: BLE001 - a fault in one node keeps all others
            log.exception("node_failed", job=self._spec.id, node=node)
            return ItemDone(node, error=f"{type(error).__name__}: {error}"[:500])

    @property
    def merging(self) -> tuple[int, ...]:
        """Nodes that are being merged."""
        return tuple(self._merging)

    def cancel(self) -> None:
        """Stops all merges."""
        for task in self._merging.values():
            task.cancel()


class GrownTree:
    """A job's tree that grows while answers come.

    Args:
        spec: the job.
        interpreter: its meaning, which has the methods of `Growing`, too.
        caller: calls models for it.
        told: hears of each finished node, before anything that follows from it.

    Raises:
        ConfigError: the interpreter has no such methods.
    """

    def __init__(self, spec: JobSpec, interpreter: Interpreter, caller: Caller, told: Callable[[Node], None]) -> None:
        if not hasattr(interpreter, "growing"):
            raise ConfigError(
                f"{spec.interpreter} has no growing tree: give it the methods of Growing, or clear `grows`"
            )
        meaning = cast(Growing, interpreter)
        self._told = told
        #: True once the Supervisor was told which node is the root.
        self._rooted = False

        async def merge(what: Merge, children: Mapping[int, ItemDone]) -> ItemDone:
            return await meaning.merge(what, children, caller)

        self._merging = Merging(
            meaning.growing(),
            size=meaning.size,
            merge=merge,
            width=spec.width,
            told=lambda what, done: self._tell(done, what.children),
        )

    def take(self, told: Absorb | Sealed) -> None:
        """Answers came in, or their number; what is told twice counts once."""
        if isinstance(told, Sealed):
            self._merging.seal(told.total)
        else:
            for done in (*told.nodes, *told.items):
                self._merging.absorb(done)
        root = self._merging.root
        if root is not None and not self._rooted:
            again = ItemDone(root.item, root.data, root.error, root.model, degraded=root.degraded)
            self._tell(again, (root.item,))

    def _tell(self, done: ItemDone, children: tuple[int, ...]) -> None:
        self._rooted = done.item == self._merging.tree.root
        self._told(Node(done, children, root=self._rooted))

    @property
    def merging(self) -> tuple[int, ...]:
        """Nodes that are being merged: a tree that grows needs nobody to know."""
        return ()

    def cancel(self) -> None:
        """Stops all merges."""
        self._merging.cancel()
