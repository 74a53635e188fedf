"""The Reducer actor: the shell that merges nodes as soon as their tree says they are ready."""

import dataclasses
from collections.abc import Callable

from ...protocols.envelope import Envelope
from ...protocols.jobs import JobSpec
from ...protocols.messages import (
    Absorb,
    CancelJob,
    Down,
    Held,
    HoldAsk,
    Holds,
    JobBroken,
    ReduceOpen,
    Sealed,
    Taken,
)
from ..call.caller import Caller
from ..call.switchboard import Switchboard
from ..interpreter import Interpreter, Remembering, load
from ..journal.api import Journal
from ..mailbox.persist import persist
from ..mailbox.ray_peer import RayPeer, ray_resolver
from ..mailbox.telling import Telling
from ..mapper.blocks import decode_spec
from ..shell import ActorShell, OwnJournal
from .trees import DrawnTree, GrownTree, Node, nodes_done


@dataclasses.dataclass(slots=True)
class _Work:
    """A job as a Reducer sees it."""

    home: str
    spec: JobSpec
    tree: DrawnTree | GrownTree
    telling: Telling[Node]


class Reducer(ActorShell):
    """Holds partial reduce trees. When it dies, its Supervisor tells its successor all answers again.

    When its Supervisor dies it goes on with what it has; the successor tells it everything again, which counts once,
    and is told again of all nodes that the predecessor had not taken.
    """

    def __init__(self, name: str, namespace: str, journal: Callable[[], Journal] | None = None) -> None:
        super().__init__(name, namespace)
        self._work: dict[str, _Work] = {}
        #: What came for a job before its tree was open, in order.
        self._early: dict[str, list[Absorb | Sealed]] = {}
        self._homes: dict[str, str] = {}
        self._own = OwnJournal(namespace, journal)
        self._board = Switchboard(self.post, journal=self._own)
        self.post.on(ReduceOpen, self._open)
        self.post.on(Absorb, self._absorb)
        self.post.on(Sealed, self._absorb)
        self.post.on(CancelJob, self._cancel)
        self.post.on(Taken, self._taken)
        self.post.on(HoldAsk, self._hold)
        self.post.on(Down, self._down)

    # Trees ------------------------------------------------------------------------------------------------------------

    def _open(self, envelope: Envelope, message: ReduceOpen) -> None:
        job = message.job
        if job in self._work or job in self._early:  # a Supervisor that is a successor tells everything again
            return
        # At once, not in the task: answers may stand in the same batch, right behind.
        self._early[job] = []
        self._homes[job] = envelope.sender
        self.post.spawn(self._open_tree(envelope.sender, job))

    async def _open_tree(self, home: str, job: str) -> None:
        try:
            work = await self._load(home, job)
        except Exception as error:  # noqa: BLE001 - whatever it is, the Supervisor has to hear of it
            self._early.pop(job, None)
            self._homes.pop(job, None)
            text = f"{self.name} can't open the job: {type(error).__name__}: {error}".split("\n", 1)[0]
            self.post.tell(home, JobBroken(job, text), job=job)
            return
        early = self._early.pop(job, None)
        if early is None:  # cancelled meanwhile
            await self._board.end(work.spec)
            return
        self._work[job] = work
        for told in early:
            work.tree.take(told)

    async def _load(self, home: str, job: str) -> _Work:
        spec = decode_spec(await persist(lambda: self._told_spec(home, job)))
        interpreter = load(spec)
        if isinstance(interpreter, Remembering) and spec.journal != "off" and not spec.fresh:
            from ..journal.memory import JournalMemory  # noqa: PLC0415 - only where somebody remembers

            interpreter.remember(JournalMemory(self._own()))
        return self._opened(home, spec, interpreter, self._board.caller(spec))

    def _opened(self, home: str, spec: JobSpec, interpreter: Interpreter, caller: Caller) -> _Work:
        kept = spec.journal != "off"
        telling = Telling[Node](
            self.post,
            home,
            spec.id,
            message=lambda nodes, serial: nodes_done(spec.id, nodes, serial if kept else 0),
            weigh=lambda node: node.weight,
            keep=kept,
        )

        def told(node: Node) -> None:
            telling.untaken.add(node)
            telling.flush()

        tree = GrownTree if spec.grows else DrawnTree
        return _Work(home, spec, tree(spec, interpreter, caller, told), telling)

    async def _told_spec(self, home: str, job: str) -> bytes:
        peer = await ray_resolver(self.namespace)(home)
        assert isinstance(peer, RayPeer)
        data: bytes = await peer.handle.spec.remote(job)
        return data

    def _absorb(self, _: Envelope, told: Absorb | Sealed) -> None:
        if told.job in self._early:
            self._early[told.job].append(told)
        elif told.job in self._work:
            self._work[told.job].tree.take(told)

    def _cancel(self, _: Envelope, cancel: CancelJob) -> None:
        self._drop(cancel.job)

    def _drop(self, job: str) -> None:
        self._early.pop(job, None)
        self._homes.pop(job, None)
        work = self._work.pop(job, None)
        if work is not None:
            work.telling.close()
            work.tree.cancel()
            self.post.spawn(self._board.end(work.spec))

    # The Supervisor ---------------------------------------------------------------------------------------------------

    def _taken(self, _: Envelope, taken: Taken) -> None:
        work = self._work.get(taken.job)
        if work is not None:
            work.telling.untaken.take(taken.serial)

    def _hold(self, envelope: Envelope, ask: HoldAsk) -> None:
        mine = [job for job, home in self._homes.items() if home == envelope.sender]
        for job in mine:
            if job not in ask.jobs:
                self._drop(job)
        works = [self._work[job] for job in mine if job in self._work]
        held = [Held(work.spec.id, work.tree.merging, (), work.telling.untaken.serial) for work in works]
        self.post.answer(envelope, Holds(tuple(held)))
        # Behind the answer, as they were told before: `Held` does not say what a node of a tree that grows has merged.
        for work in works:
            work.telling.again()

    def _down(self, _: Envelope, down: Down) -> None:
        self.on_peer_down(down.name)

    def on_peer_down(self, name: str) -> None:
        """A Provider's channel asks the successor; what a Supervisor was told is told again, until it is taken."""
        self._board.provider_down(name)
        for work in self._work.values():
            if work.home == name:
                work.telling.doubt()

    async def stop(self) -> None:
        """Closes the sockets and gives the permits back."""
        for job in [*self._work, *self._early]:
            self._drop(job)
        await self._board.close()
        await self._own.close()
        await super().stop()
