"""A holder's channel to one account: takes a permit, calls, settles. The shell around `Lease`."""

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Protocol

from ...protocols.chat import ChatReply, ChatRequest
from ...protocols.errors import CallError, QuotaImpossible, UnderstudyError
from ...protocols.messages import LeaseAsk, LeaseGrant, Outcome, Revoke
from ...protocols.wire import openai as openai_wire
from .calibration import Calibration
from .lease import Lease, Permit

if TYPE_CHECKING:  # aiohttp takes 0.1 s to import: a driver, or a mapper that only extracts, never pays it
    from .transport import Transport


class Blocked(UnderstudyError):
    """Raised to a call that waits for a permit when nobody may call the account for `seconds` (`state`: why)."""

    def __init__(self, account: str, seconds: float, state: str) -> None:
        super().__init__(f"{account} may not be called for {seconds:.1f} s ({state})")
        self.seconds = seconds
        self.state = state


class Channel(Protocol):
    """A way to one account. `call` raises `CallError` for what went wrong at the provider, `Blocked` before it."""

    account: str

    async def call(self, request: ChatRequest, model: str, *, tokens: int, cost: "Cost") -> ChatReply:
        """One attempt."""

    async def close(self) -> None:
        """Closes every socket."""


Cost = Callable[[ChatReply], int]
"""Picodollars of a reply, -1 where no price is known."""


class HttpChannel:
    """A channel over HTTP, with a lease from the account's Provider.

    Args:
        account: the account's name.
        transport: where requests go.
        say: gives a `LeaseAsk` to the Provider; must not block.
    """

    def __init__(
        self, account: str, transport: "Transport", say: Callable[[LeaseAsk], None], *, lease: Lease | None = None
    ) -> None:
        self.account = account
        self.lease = lease or Lease()
        self._transport = transport
        self._say = say
        self._calibration = Calibration()
        #: Calls that wait for a permit: what each reserves, and the future that its permit resolves.
        self._waiting: deque[tuple[int, asyncio.Future[Permit]]] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0
        self._pumping = False

    # Calling ----------------------------------------------------------------------------------------------------------

    async def call(self, request: ChatRequest, model: str, *, tokens: int, cost: Cost) -> ChatReply:
        """One attempt; `tokens` is our count of the prompt.

        Raises:
            CallError: what went wrong at the provider, or on the way.
            Blocked: nobody may call this account now.
        """
        size = self._calibration.reserve(tokens) + request.max_tokens
        permit = self.lease.take(size, now=time.monotonic()) if not self._waiting else None
        if permit is None:
            permit = await self._wait(size)
        outcome: Outcome = "cancelled"
        used, picos, output, worked = size, 0, 0, 0.0
        try:
            reply, worked = await self._attempt(request, model)
            used, outcome, picos, output = reply.usage.total or size, "ok", cost(reply), reply.usage.output_tokens
            self._calibration.learn(tokens, reply.usage.input_tokens)
        except CallError as error:
            outcome = error.kind
            used = 0 if error.kind == "rate_limited" or not error.sent else size
            if error.kind == "rate_limited" and error.retry_after is not None:
                self.lease.told_to_wait(error.retry_after, now=time.monotonic())
            raise
        finally:
            now = time.monotonic()
            self.lease.end(permit, tokens=used, outcome=outcome, cost=picos, output=output, now=now, worked_s=worked)
            self._pump()
        return reply

    async def _attempt(self, request: ChatRequest, model: str) -> tuple[ChatReply, float]:
        """The reply, and how long the provider says it worked on it."""
        reply = await self._transport.post(openai_wire.encode(request, model))
        if reply.status == 200:
            return openai_wire.decode(reply.body), openai_wire.worked_s(reply.headers)
        raise openai_wire.classify(reply.status, reply.headers, reply.body, wall=time.time())

    async def _wait(self, size: int) -> Permit:
        now = time.monotonic()
        if now < self.lease.blocked_until:
            raise Blocked(self.account, self.lease.blocked_until - now, self.lease.state)
        future: asyncio.Future[Permit] = asyncio.get_running_loop().create_future()
        self._waiting.append((size, future))
        self._pump()
        try:
            permit = await future
        except asyncio.CancelledError:
            if future.done() and not future.cancelled() and future.exception() is None:
                self.lease.unused(future.result(), now=time.monotonic())
            self._pump()
            raise
        permit.at = now = time.monotonic()  # the request leaves now, not when the permit was given
        if now < self.lease.blocked_until:
            self.lease.unused(permit, now=now)
            self._pump()
            raise Blocked(self.account, self.lease.blocked_until - now, self.lease.state)
        return permit

    # The lease --------------------------------------------------------------------------------------------------------

    def granted(self, grant: LeaseGrant) -> None:
        """A grant came from the Provider."""
        now = time.monotonic()
        self.lease.granted(grant, now=now)
        if grant.too_large:
            self._fail_too_large(grant.too_large)
        if grant.blocked_s > 0:
            self._fail_waiting(Blocked(self.account, grant.blocked_s, grant.state))
        self._wake()
        self._pump()

    def revoked(self, revoke: Revoke) -> None:
        """Nobody may call the account for a while."""
        self.lease.revoked(revoke, now=time.monotonic())
        self._fail_waiting(Blocked(self.account, revoke.blocked_s, revoke.state))
        self._pump()

    def provider_down(self) -> None:
        """The Provider died; ask its successor."""
        self.lease.provider_down()
        asyncio.get_running_loop().call_later(0.2, self._pump)

    def _fail_too_large(self, quota: int) -> None:
        for size, future in self._waiting:
            if size > quota and not future.done():
                text = f"{self.account}: a call needs {size} tokens, the quota is {quota} a window"
                future.set_exception(QuotaImpossible(text, sent=False))

    def _fail_waiting(self, error: Blocked) -> None:
        while self._waiting:
            _, future = self._waiting.popleft()
            if not future.done():
                future.set_exception(error)

    def _wake(self) -> None:
        """Gives permits to as many waiting calls as there are permits for, in order."""
        now = time.monotonic()
        while self._waiting:
            size, future = self._waiting[0]
            if not future.done():
                permit = self.lease.take(size, now=now)
                if permit is None:
                    return
                future.set_result(permit)
            self._waiting.popleft()

    def _pump(self) -> None:
        """Says to the Provider what is to be said, once a turn of the loop at most."""
        if not self._pumping:
            self._pumping = True
            asyncio.get_running_loop().call_soon(self._pump_now)

    def _pump_now(self) -> None:
        self._pumping = False
        now = time.monotonic()
        if self._waiting and self.lease.requests:
            self._wake()
        sizes = [size for size, future in self._waiting if not future.done()] if self._waiting else []
        ask = self.lease.ask(sizes, len(sizes), now=now)
        if ask is not None:
            self._say(ask)
        self._arm(self.lease.next_wake(now=now), now=now)

    def _arm(self, at: float | None, *, now: float) -> None:
        if self._timer is not None:
            if at is not None and self._timer_at <= at and self._timer_at > now:
                return
            self._timer.cancel()
            self._timer = None
        if at is not None:
            self._timer_at = at
            self._timer = asyncio.get_running_loop().call_later(max(at - now, 0.001), self._pump)

    async def close(self) -> None:
        """Closes the sockets and says what is left to say."""
        self._fail_waiting(Blocked(self.account, 0.0, "closed"))
        self.lease.close()
        if self._timer is not None:
            self._timer.cancel()
        with contextlib.suppress(UnderstudyError):
            self._pump_now()
        if self._timer is not None:
            self._timer.cancel()
        await self._transport.close()


class EmbeddedChannel:
    """The embedded provider: answers on this machine, in a thread, without a lease.

    Args:
        account: the account's name.
        answer: the pure, CPU-bound function that answers a request.
    """

    def __init__(self, account: str, answer: Callable[[ChatRequest], ChatReply]) -> None:
        self.account = account
        self._answer = answer
        # One thread: the work holds the interpreter's lock, and a second one would only take turns with it.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="embedded")

    async def call(self, request: ChatRequest, model: str, *, tokens: int, cost: Cost) -> ChatReply:  # noqa: ARG002 - the protocol's
        """Answers in a worker thread, so that the actor's loop goes on."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._answer, request)

    async def close(self) -> None:
        """Lets what runs end, drops what waits."""
        self._thread.shutdown(wait=False, cancel_futures=True)
