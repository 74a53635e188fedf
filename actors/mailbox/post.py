"""An actor's post office: says things to peers by name, and hands what arrives to the right handler."""

import asyncio
import inspect
import os
import time
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Protocol, TypeVar

import structlog

from ...protocols.envelope import Envelope, ids, pack, unpack
from ...protocols.errors import ActorDied, ActorError, MailboxFull, UnderstudyError
from ...protocols.messages import Failure, Message, Payload
from .outbox import Outbox

log = structlog.get_logger(__name__)

P = TypeVar("P", bound=Message)
Handler = Callable[[Envelope, Any], Payload | None | Awaitable[Payload | None]]


class Peer(Protocol):
    """Somebody who can be given a batch. `deliver` returns when the peer has taken it, and raises when it is dead."""

    async def deliver(self, batch: bytes) -> None:
        """Takes a batch packed by `understudy.protocols.envelope.pack`."""


Resolve = Callable[[str], Awaitable[Peer]]


class Post:
    """Coalesces what is said to a peer within one turn of the loop, and all that is said while a batch is on its way.

    Each peer has at most one batch in flight, so batches grow by themselves when a peer is slow. Nothing is lost silently:
    an ask whose peer dies is answered with `ActorDied`; a tell whose peer dies is reported to `on_down`.

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
        self._outboxes: dict[str, Outbox] = {}
        self._sending: dict[str, asyncio.Task[None]] = {}
        self._peers: dict[str, Peer] = {}
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
        outbox = self._outboxes.setdefault(to, Outbox())
        if not outbox.offer(envelope, weight=weight, now=time.monotonic()):
            raise MailboxFull(f"{self.name}: the outbox for {to} is full ({len(outbox)} messages wait)")
        if to not in self._sending:
            self._sending[to] = asyncio.get_running_loop().create_task(self._send(to, outbox))
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

    async def _send(self, to: str, outbox: Outbox) -> None:
        try:
            while len(outbox):
                await asyncio.sleep(0)  # one turn of the loop: what is said meanwhile joins the batch
                batch = outbox.cut(now=time.monotonic())
                if batch:
                    await self._deliver(to, batch)
        finally:
            self._sending.pop(to, None)

    async def _deliver(self, to: str, batch: list[Envelope]) -> None:
        self.batches += 1
        self.messages += len(batch)
        try:
            peer = self._peers.get(to)
            if peer is None:
                peer = self._peers[to] = await self._resolve(to)
            await peer.deliver(pack(batch))
        except Exception as error:  # noqa: BLE001 - whatever Ray raises here means: not delivered
            log.debug("not_delivered", to=to, count=len(batch), cause=str(error).split("\n", 1)[0])
            self.peer_down(to)

    def peer_down(self, name: str) -> None:
        """The peer is dead: its asks are answered, its next message looks for it by name again."""
        self._peers.pop(name, None)
        if name in self._outboxes:
            self._outboxes[name].clear()
        for ident, (to, future) in list(self._asks.items()):
            if to == name and not future.done():
                future.set_exception(ActorDied(f"{name} died before it answered {ident}"))
        if self._on_down is not None:
            self._on_down(name)

    # Hearing ----------------------------------------------------------------------------------------------------------

    def on(self, kind: type[P], handler: Callable[[Envelope, P], Payload | None | Awaitable[Payload | None]]) -> None:
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
        handler = self._handlers.get(type(envelope.payload))
        if handler is None:
            log.warning("no_handler", actor=self.name, kind=envelope.kind, sender=envelope.sender)
            return
        try:
            answer = handler(envelope, envelope.payload)
        except UnderstudyError as error:
            answer = Failure(type(error).__name__, str(error))
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
        while self._sending:
            await asyncio.wait(list(self._sending.values()))

    async def close(self) -> None:
        """Stops; every open ask is answered with `ActorDied`."""
        for ident, (to, future) in list(self._asks.items()):
            if not future.done():
                future.set_exception(ActorDied(f"{self.name} stopped while {to} had not answered {ident}"))
        for task in [*self._tasks, *self._sending.values()]:
            task.cancel()


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
