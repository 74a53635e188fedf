"""The Reducer actor: the shell that merges nodes as soon as `TreeCore` says they are ready."""

import asyncio
import dataclasses

from ...protocols.envelope import Envelope
from ...protocols.errors import UnderstudyError
from ...protocols.jobs import JobSpec
from ...protocols.messages import Absorb, CancelJob, ItemDone, JobBroken, NodesDone, ReduceOpen
from ..call.caller import Caller
from ..call.switchboard import Switchboard
from ..interpreter import Interpreter, load
from ..mailbox.ray_peer import RayPeer, ray_resolver
from ..mapper.blocks import decode_spec
from ..shell import ActorShell, log
from .core import TreeCore


@dataclasses.dataclass(slots=True)
class _Tree:
    """A job's tree as the Reducer holds it."""

    home: str
    spec: JobSpec
    interpreter: Interpreter
    caller: Caller
    core: TreeCore
    #: Answers of nodes that their parents still need.
    answers: dict[int, ItemDone] = dataclasses.field(default_factory=dict)
    tasks: set[asyncio.Task[None]] = dataclasses.field(default_factory=set)


class Reducer(ActorShell):
    """Holds partial reduce trees. When it dies, its Supervisor tells its successor all answers again."""

    def __init__(self, name: str, namespace: str) -> None:
        super().__init__(name, namespace)
        self._trees: dict[str, _Tree] = {}
        #: What came for a job before its tree was open, in order.
        self._early: dict[str, list[Absorb]] = {}
        self._board = Switchboard(self.post)
        self.post.on(ReduceOpen, self._open)
        self.post.on(Absorb, self._absorb)
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
        for absorb in early:
            self._take(tree, absorb)

    async def _load(self, home: str, job: str) -> _Tree:
        peer = await ray_resolver(self.namespace)(home)
        assert isinstance(peer, RayPeer)
        spec = decode_spec(await peer.handle.spec.remote(job))
        interpreter = load(spec)
        return _Tree(home, spec, interpreter, self._board.caller(spec), TreeCore(interpreter.tree()))

    def _absorb(self, _: Envelope, absorb: Absorb) -> None:
        if absorb.job in self._early:
            self._early[absorb.job].append(absorb)
        elif absorb.job in self._trees:
            self._take(self._trees[absorb.job], absorb)

    def _take(self, tree: _Tree, absorb: Absorb) -> None:
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
            for task in tree.tasks:
                task.cancel()
            self.post.spawn(self._board.end(tree.spec))

    def on_peer_down(self, name: str) -> None:
        """A Provider can't be reached: its channel asks the successor."""
        self._board.provider_down(name)

    async def stop(self) -> None:
        """Closes the sockets and gives the permits back."""
        await self._board.close()
        await super().stop()
