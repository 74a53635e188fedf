"""An actor's post office: says things to peers by name, and hands what arrives to the right handler."""

import asyncio
import inspect
import os
import time
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Final, Protocol, TypeVar

import structlog

from ...protocols.envelope import Envelope, ids, pack, unpack
from ...protocols.errors import ActorDied, ActorError, MailboxFull, UnderstudyError
from ...protocols.messages import Down, Failure, Message, Payload
from .outbox import Outbox

log = structlog.get_logger(__name__)

P = TypeVar("P", bound=Message)
Handler = Callable[[Envelope, Any], Payload | Awaitable[Payload | None] | None]


class Peer(Protocol):
    """Somebody who can be given a batch. `deliver` returns when the peer has taken it, and raises when it is dead."""

    async def deliver(self, batch: bytes) -> None:
        """Takes a batch packed by `understudy.protocols.envelope.pack`."""


Resolve = Callable[[str], Awaitable[Peer]]

FIND_S: Final = 20.0
"""How long a peer that can't be found is looked for: an actor that is restarted on a loaded machine takes seconds."""


class Post:
    """Coalesces what is said to a peer within one turn of the loop, and all that is said while a batch is on its way.

    Each peer has at most one batch in flight, so batches grow by themselves when a peer is slow. Nothing is lost
    silently: an ask whose peer dies is answered with `ActorDied`; a tell whose peer dies is reported to `on_down`.

    Args:
        name: this actor's name; replies to it come by that name.
        resolve: finds a peer by name; raises `ActorDied` when there is none.
        on_down: called with a peer's name when a batch to it failed.
    """

    def __init__(self, name: str, resolve: Resolve, *, on_down: Callable[[str], None] | None = None) -> None:
        self.name = name
        self._resolve = resolve
        self._on_down = on_down
        self._ids = ids(f"{name}-{os.urandom(4).hex()}")
        self._lines: dict[str, _Line] = {}
        self._asks: dict[str, tuple[str, asyncio.Future[Payload]]] = {}
        self._handlers: dict[type[Any], Handler] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        #: Ray calls and messages sent, for the benchmarks.
        self.batches = self.messages = 0

    # Saying -----------------------------------------------------------------------------------------------------------

    def tell(self, to: str, payload: Payload, *, weight: int = 256, **fields: Any) -> str:
        """Says `payload` to `to` and does not wait; `fields` are those of `Envelope`. Returns the message's id.

        Raises:
            MailboxFull: the peer is so slow that its outbox is full.
        """
        envelope = Envelope(next(self._ids), self.name, payload, **fields)
        line = self._lines.get(to)
        if line is None:
            line = self._lines[to] = _Line(to)
        if not line.outbox.offer(envelope, weight=weight, now=time.monotonic()):
            raise MailboxFull(f"{self.name}: the outbox for {to} is full ({len(line.outbox)} messages wait)")
        if line.task is None:
            line.task = asyncio.get_running_loop().create_task(self._send(line))
        return envelope.id

    async def ask(self, to: str, payload: Payload, *, timeout: float, **fields: Any) -> Payload:
        """Says `payload` and waits for the answer.

        Raises:
            ActorDied: the peer died before it answered, or there is none of that name.
            TimeoutError: no answer within `timeout` seconds.
            UnderstudyError: the peer's handler failed; the text is its own.
        """
        future: asyncio.Future[Payload] = asyncio.get_running_loop().create_future()
        ident = self.tell(to, payload, deadline=timeout, **fields)
        self._asks[ident] = (to, future)
        try:
            answer = await asyncio.wait_for(future, timeout)
        finally:
            self._asks.pop(ident, None)
        if isinstance(answer, Failure):
            raise UnderstudyError(answer.text)
        return answer

    async def _send(self, line: "_Line") -> None:
        try:
            while len(line.outbox):
                await asyncio.sleep(0)  # one turn of the loop: what is said meanwhile joins the batch
                if line.peer is None:
                    line.peer = await self._find(line.to)
                batch = line.outbox.cut(now=time.monotonic())
                if batch:
                    self.batches += 1
                    self.messages += len(batch)
                    await line.peer.deliver(pack(batch))
        except Exception as error:  # noqa: BLE001 - whatever Ray raises here means: not delivered
            log.debug("not_delivered", to=line.to, cause=str(error).split("\n", 1)[0])
            self._broken(line)
        finally:
            line.task = None

    async def _find(self, name: str) -> Peer:
        """The peer of that name; one that is not there yet (it starts, or is restarted) is waited for."""
        patience = time.monotonic() + FIND_S
        pause = 0.02
        while True:
            try:
                return await self._resolve(name)
            except ActorDied:
                if time.monotonic() > patience:
                    raise
            await asyncio.sleep(pause)
            pause = min(pause * 2, 0.5)

    def _broken(self, line: "_Line") -> None:
        """What was said on this line is lost: its asks are answered, and the next message begins a new line."""
        if self._lines.get(line.to) is line:
            del self._lines[line.to]
            self._answer_asks(line.to)
            if self._on_down is not None:
                self._on_down(line.to)

    def _answer_asks(self, name: str) -> None:
        for ident, (to, future) in list(self._asks.items()):
            if to == name and not future.done():
                future.set_exception(ActorDied(f"{name} died before it answered {ident}"))

    def renew(self, name: str) -> None:
        """The actor of that name is a new one: nothing that was said to its predecessor reaches it.

        Without this, a delivery to the predecessor that fails late would take messages for the successor with it.
        """
        line = self._lines.pop(name, None)
        if line is not None:
            self._answer_asks(name)
            if line.task is not None:
                line.task.cancel()

    # Hearing ----------------------------------------------------------------------------------------------------------

    def on(self, kind: type[P], handler: Callable[[Envelope, P], Payload | Awaitable[Payload | None] | None]) -> None:
        """Hands each message of that type to `handler(envelope, payload)`; what it returns is the answer to an ask."""
        self._handlers[kind] = handler

    def receive(self, data: bytes) -> None:
        """Takes a batch: answers go to who waits, all else to the handlers, in order."""
        for envelope in unpack(data):
            if envelope.answer:
                _, future = self._asks.get(envelope.cause, ("", None))
                if future is not None and not future.done():
                    future.set_result(envelope.payload)
                elif isinstance(envelope.payload, Failure):  # a tell that failed there: nobody else would hear of it
                    log.warning("failed_there", actor=envelope.sender, cause=envelope.payload.text)
            else:
                self._handle(envelope)

    def _handle(self, envelope: Envelope) -> None:
        if isinstance(envelope.payload, Down):
            self.renew(envelope.payload.name)
        handler = self._handlers.get(type(envelope.payload))
        if handler is None:
            log.warning("no_handler", actor=self.name, kind=envelope.kind, sender=envelope.sender)
            self.answer(envelope, Failure("ActorError", f"{self.name} takes no {envelope.kind}"))
            return
        try:
            answer = handler(envelope, envelope.payload)
        except UnderstudyError as error:
            answer = Failure(type(error).__name__, str(error))
        except Exception as error:  # the rest of the batch is handled, and the sender learns that we live
            log.exception("handler_failed", actor=self.name, kind=envelope.kind)
            answer = Failure(type(error).__name__, f"{self.name}: {error}")
        if inspect.isawaitable(answer):
            self.spawn(self._answer_later(envelope, answer))
        elif answer is not None:
            self.answer(envelope, answer)

    async def _answer_later(self, envelope: Envelope, answer: Awaitable[Payload | None]) -> None:
        try:
            payload = await answer
        except UnderstudyError as error:
            payload = Failure(type(error).__name__, str(error))
        except Exception as error:  # an ask is answered also by a handler that breaks
            log.exception("handler_failed", actor=self.name, kind=envelope.kind)
            payload = Failure(type(error).__name__, f"{self.name}: {error}")
        if payload is not None:
            self.answer(envelope, payload)

    def answer(self, envelope: Envelope, payload: Payload) -> None:
        """Answers an ask."""
        self.tell(envelope.sender, payload, cause=envelope.id, job=envelope.job, answer=True)

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Runs `work` beside; it is kept alive and cancelled by `close`."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def drain(self) -> None:
        """Returns when all that was said has been taken or has failed."""
        while tasks := [line.task for line in self._lines.values() if line.task is not None]:
            await asyncio.wait(tasks)

    async def close(self) -> None:
        """Stops; every open ask is answered with `ActorDied`."""
        for ident, (to, future) in list(self._asks.items()):
            if not future.done():
                future.set_exception(ActorDied(f"{self.name} stopped while {to} had not answered {ident}"))
        for task in [*self._tasks, *(line.task for line in self._lines.values() if line.task is not None)]:
            task.cancel()


class _Line:
    """The way to one incarnation of a peer: what is still to be said, and the task that says it."""

    __slots__ = ("outbox", "peer", "task", "to")

    def __init__(self, to: str) -> None:
        self.to = to
        self.outbox = Outbox()
        self.peer: Peer | None = None
        self.task: asyncio.Task[None] | None = None


class LocalPeers:
    """Peers in one process: the fake that tests and single-process runs use instead of Ray."""

    def __init__(self) -> None:
        self._posts: dict[str, Post] = {}
        self._dead: set[str] = set()

    def open(self, name: str, *, on_down: Callable[[str], None] | None = None) -> Post:
        """A post office by that name, which the others find."""
        post = Post(name, self.resolve, on_down=on_down)
        self._posts[name] = post
        self._dead.discard(name)
        return post

    def kill(self, name: str) -> None:
        """From now on nothing is delivered to `name`."""
        self._dead.add(name)

    async def resolve(self, name: str) -> Peer:
        """The peer of that name. Raises `ActorDied` when there is none."""
        if name not in self._posts or name in self._dead:
            raise ActorDied(f"there is no actor {name}")
        return _LocalPeer(self, name)

    def deliver(self, name: str, batch: bytes) -> None:
        """Gives a batch to the post office of that name."""
        if name in self._dead:
            raise ActorError(f"{name} is dead")
        self._posts[name].receive(batch)


class _LocalPeer:
    def __init__(self, peers: LocalPeers, name: str) -> None:
        self._peers = peers
        self._name = name

    async def deliver(self, batch: bytes) -> None:
        await asyncio.sleep(0)
        self._peers.deliver(self._name, batch)
