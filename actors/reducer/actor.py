"""The Reducer actor: the shell that merges nodes as soon as their tree says they are ready."""

import asyncio
import dataclasses
from collections.abc import Mapping
from typing import cast

from ...protocols.envelope import Envelope
from ...protocols.errors import ConfigError, UnderstudyError
from ...protocols.jobs import JobSpec
from ...protocols.messages import Absorb, CancelJob, ItemDone, JobBroken, NodesDone, ReduceOpen, Sealed
from ..call.caller import Caller
from ..call.switchboard import Switchboard
from ..interpreter import Interpreter, load
from ..mailbox.ray_peer import RayPeer, ray_resolver
from ..mapper.blocks import decode_spec
from ..shell import ActorShell, log
from .core import TreeCore
from .growing import Merge
from .merging import Growing, Merging


@dataclasses.dataclass(slots=True)
class _Tree:
    """A job's tree that was drawn before, as the Reducer holds it."""

    home: str
    spec: JobSpec
    interpreter: Interpreter
    caller: Caller
    core: TreeCore
    #: Answers of nodes that their parents still need.
    answers: dict[int, ItemDone] = dataclasses.field(default_factory=dict)
    tasks: set[asyncio.Task[None]] = dataclasses.field(default_factory=set)

    def cancel(self) -> None:
        """Stops all merges."""
        for task in self.tasks:
            task.cancel()


@dataclasses.dataclass(slots=True)
class _Grown:
    """A job's tree that grows while answers come."""

    home: str
    spec: JobSpec
    merging: Merging
    #: True once the Supervisor was told which node is the root.
    rooted: bool = False

    def cancel(self) -> None:
        """Stops all merges."""
        self.merging.cancel()


class Reducer(ActorShell):
    """Holds partial reduce trees. When it dies, its Supervisor tells its successor all answers again."""

    def __init__(self, name: str, namespace: str) -> None:
        super().__init__(name, namespace)
        self._trees: dict[str, _Tree | _Grown] = {}
        #: What came for a job before its tree was open, in order.
        self._early: dict[str, list[Absorb | Sealed]] = {}
        self._board = Switchboard(self.post)
        self.post.on(ReduceOpen, self._open)
        self.post.on(Absorb, self._absorb)
        self.post.on(Sealed, self._absorb)
        self.post.on(CancelJob, self._cancel)

    def _open(self, envelope: Envelope, message: ReduceOpen) -> None:
        # At once, not in the task: answers may stand in the same batch, right behind.
        self._early.setdefault(message.job, [])
        self.post.spawn(self._open_tree(envelope.sender, message.job))

    async def _open_tree(self, home: str, job: str) -> None:
        try:
            tree = await self._load(home, job)
        except Exception as error:  # noqa: BLE001 - whatever it is, the Supervisor has to hear of it
            self._early.pop(job, None)
            text = f"{self.name} can't open the job: {type(error).__name__}: {error}".split("\n", 1)[0]
            self.post.tell(home, JobBroken(job, text), job=job)
            return
        early = self._early.pop(job, None)
        if early is None:  # cancelled meanwhile
            await self._board.end(tree.spec)
            return
        self._trees[job] = tree
        for told in early:
            self._take(tree, told)

    async def _load(self, home: str, job: str) -> _Tree | _Grown:
        peer = await ray_resolver(self.namespace)(home)
        assert isinstance(peer, RayPeer)
        spec = decode_spec(await peer.handle.spec.remote(job))
        interpreter = load(spec)
        caller = self._board.caller(spec)
        if spec.grows:
            return self._grown(home, spec, interpreter, caller)
        return _Tree(home, spec, interpreter, caller, TreeCore(interpreter.tree()))

    def _absorb(self, _: Envelope, told: Absorb | Sealed) -> None:
        if told.job in self._early:
            self._early[told.job].append(told)
        elif told.job in self._trees:
            self._take(self._trees[told.job], told)

    def _take(self, tree: _Tree | _Grown, told: Absorb | Sealed) -> None:
        if isinstance(tree, _Grown):
            self._grow(tree, told)
        elif isinstance(told, Absorb):
            self._fill(tree, told)

    # Trees that grow --------------------------------------------------------------------------------------------------

    def _grown(self, home: str, spec: JobSpec, interpreter: Interpreter, caller: Caller) -> _Grown:
        if not hasattr(interpreter, "growing"):
            raise ConfigError(
                f"{spec.interpreter} has no growing tree: give it the methods of Growing, or clear `grows`"
            )
        meaning = cast(Growing, interpreter)

        async def merge(what: Merge, children: Mapping[int, ItemDone]) -> ItemDone:
            return await meaning.merge(what, children, caller)

        def told(what: Merge, done: ItemDone) -> None:
            self._tell_node(tree, done, what.children)

        merging = Merging(meaning.growing(), size=meaning.size, merge=merge, width=spec.width, told=told)
        tree = _Grown(home, spec, merging)
        return tree

    def _grow(self, tree: _Grown, told: Absorb | Sealed) -> None:
        if isinstance(told, Sealed):
            tree.merging.seal(told.total)
        else:
            for done in (*told.nodes, *told.items):
                tree.merging.absorb(done)
        self._tell_root(tree)

    def _tell_root(self, tree: _Grown) -> None:
        root = tree.merging.root
        if root is not None and not tree.rooted:
            again = ItemDone(root.item, root.data, root.error, root.model, degraded=root.degraded)
            self._tell_node(tree, again, (root.item,))

    def _tell_node(self, tree: _Grown, done: ItemDone, children: tuple[int, ...]) -> None:
        tree.rooted = done.item == tree.merging.tree.root
        message = NodesDone(tree.spec.id, (done,), (children,), root=done.item if tree.rooted else -1)
        weight = 128 + len(done.data) + 5 * len(children)
        self.post.tell(tree.home, message, job=tree.spec.id, weight=weight)

    # Trees that were drawn before -------------------------------------------------------------------------------------

    def _fill(self, tree: _Tree, absorb: Absorb) -> None:
        # Nodes first, parents before children: what was reduced before a restart is not reduced again.
        for node in sorted(absorb.nodes, key=lambda done: done.item, reverse=True):
            self._answered(tree, node)
        for item in absorb.items:
            for leaf in tree.interpreter.leaves(item):
                self._answered(tree, leaf)

    def _answered(self, tree: _Tree, done: ItemDone) -> None:
        if tree.core.answered(done.item):
            return
        tree.answers[done.item] = done
        for ready in tree.core.absorb(done.item):
            children = {child: tree.answers.pop(child) for child in tree.core.children[ready]}
            task = asyncio.get_running_loop().create_task(self._reduce(tree, ready, children))
            tree.tasks.add(task)
            task.add_done_callback(tree.tasks.discard)

    async def _reduce(self, tree: _Tree, node: int, children: dict[int, ItemDone]) -> None:
        try:
            done = await tree.interpreter.reduce(node, children, tree.caller)
        except UnderstudyError as error:
            done = ItemDone(node, error=str(error))
        except Exception as error:  # noqa: BLE001 - a fault in one node keeps all others
            log.exception("node_failed", job=tree.spec.id, node=node)
            done = ItemDone(node, error=f"{type(error).__name__}: {error}"[:500])
        message = NodesDone(tree.spec.id, (done,))
        self.post.tell(tree.home, message, job=tree.spec.id, weight=128 + len(done.data))
        self._answered(tree, done)

    def _cancel(self, _: Envelope, cancel: CancelJob) -> None:
        self._early.pop(cancel.job, None)
        tree = self._trees.pop(cancel.job, None)
        if tree is not None:
            tree.cancel()
            self.post.spawn(self._board.end(tree.spec))

    def on_peer_down(self, name: str) -> None:
        """A Provider can't be reached: its channel asks the successor."""
        self._board.provider_down(name)

    async def stop(self) -> None:
        """Closes the sockets and gives the permits back."""
        await self._board.close()
        await super().stop()
