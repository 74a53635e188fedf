"""A holder's channel to one account: takes a permit, calls, settles. The shell around `Lease`."""

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Final, Protocol

from ...protocols.chat import ChatReply, ChatRequest, Usage
from ...protocols.errors import CallError, PrivacyRefused, QuotaImpossible, UnderstudyError
from ...protocols.messages import LeaseAsk, LeaseGrant, Outcome, Revoke
from ...protocols.wire.codec import Codec
from .calibration import Calibration
from .lease import Lease, Permit
from .trace import Trace

if TYPE_CHECKING:  # aiohttp takes 0.1 s to import: a driver, or a mapper that only extracts, never pays it
    from .transport import Reply, Streamed, Transport

HEAR_S: Final = 0.25
"""What headers say of the quotas is read so often; a refusal's always."""


class Blocked(UnderstudyError):
    """Raised to a call that waits for a permit when nobody may call the account for `seconds` (`state`: why)."""

    def __init__(self, account: str, seconds: float, state: str) -> None:
        super().__init__(f"{account} may not be called for {seconds:.1f} s ({state})")
        self.seconds = seconds
        self.state = state


class Channel(Protocol):
    """A way to one account. `call` raises `CallError` for what went wrong at the provider, `Blocked` before it.

    `account` is its name; `free` is of 0 to 1, or -1 where nothing is known.
    """

    account: str

    @property
    def in_flight(self) -> int:
        """Calls that are out."""

    @property
    def free(self) -> float:
        """Part of the quota that was free lately."""

    async def call(
        self,
        request: ChatRequest,
        model: str,
        *,
        tokens: int,
        cost: "Cost",
        trace: Trace,
        gate: "Gate | None" = None,
        on_text: "OnText | None" = None,
    ) -> ChatReply:
        """One attempt."""

    async def close(self) -> None:
        """Settles what is to be settled."""


Cost = Callable[[Usage], int]
"""Picodollars of what a call used, -1 where no price is known."""

Gate = Callable[[ChatRequest], str]
"""Why a request must not leave for an account that is not private; empty when it may."""

OnText = Callable[[str], Awaitable[None]]
"""Takes a piece of a streamed answer; while it waits nothing more is read from the socket."""


class HttpChannel:
    """A channel over HTTP, with a lease from the account's Provider.

    Args:
        account: the account's name.
        codec: the provider's wire format.
        transport: where requests go; its owner closes it.
        say: gives a `LeaseAsk` to the Provider; must not block.
        lease: the permits, of one share.
        private: what must not leave may go there.
        gap_s: the longest silence in a stream.
    """

    def __init__(
        self,
        account: str,
        codec: Codec,
        transport: "Transport",
        say: Callable[[LeaseAsk], None],
        *,
        lease: Lease | None = None,
        private: bool = False,
        gap_s: float = 30.0,
    ) -> None:
        self.account = account
        self.lease = lease or Lease()
        self._codec = codec
        self._transport = transport
        self._say = say
        self._private = private
        self._gap_s = gap_s
        self._calibration = Calibration()
        #: Calls that wait for a permit: what each reserves, and the future that its permit resolves.
        self._waiting: deque[tuple[int, asyncio.Future[Permit]]] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0
        self._pumping = self._closed = False
        self._heard_at = 0.0

    @property
    def in_flight(self) -> int:
        """Calls that are out."""
        return self.lease.in_flight

    @property
    def free(self) -> float:
        """Part of the quota that was free when permits were granted last."""
        return self.lease.free

    # Calling ----------------------------------------------------------------------------------------------------------

    async def call(
        self,
        request: ChatRequest,
        model: str,
        *,
        tokens: int,
        cost: Cost,
        trace: Trace,
        gate: Gate | None = None,
        on_text: OnText | None = None,
    ) -> ChatReply:
        """One attempt; `tokens` is our count of the prompt. With `on_text` the answer is streamed.

        Raises:
            CallError: what went wrong at the provider, or on the way.
            Blocked: nobody may call this account now.
            PrivacyRefused: the gate says that it must not leave.
        """
        if gate is not None and not self._private and (reason := gate(request)):
            raise PrivacyRefused(f"{self.account} is not private: {reason}", sent=False)
        body = self._codec.encode(request, model, stream=on_text is not None)
        size = self._calibration.reserve(tokens) + request.max_tokens
        permit = self.lease.take(size, now=time.monotonic()) if not self._waiting else None
        if permit is None:
            permit = await self._wait(size)
        outcome: Outcome = "cancelled"
        used, picos, output, worked = size, 0, 0, 0.0
        try:
            trace.sent(permit.at)
            if on_text is None:
                reply, worked = await self._attempt(model, body)
            else:
                reply = await self._stream(model, body, trace, on_text)
            trace.usage = usage = reply.usage
            used, outcome, picos, output = usage.total or size, "ok", cost(usage), usage.output_tokens
            self._calibration.learn(tokens, usage.input_tokens)
        except CallError as error:
            error.args = (self._transport.redact(str(error)),)  # also a 200's body may say what we sent
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

    async def _attempt(self, model: str, body: bytes) -> tuple[ChatReply, float]:
        """The reply, and how long the provider says it worked on it."""
        codec = self._codec
        reply = await self._transport.post(codec.target(model, stream=False), body)
        self._hear(reply)
        if reply.status == 200:
            return codec.decode(reply.body), codec.worked_s(reply.headers)
        raise codec.classify(reply.status, reply.headers, reply.body, wall=time.time())

    async def _stream(self, model: str, body: bytes, trace: Trace, on_text: OnText) -> ChatReply:
        codec = self._codec
        async with self._transport.stream(codec.target(model, stream=True), body) as reply:
            self._hear(reply)
            if reply.status != 200:
                raise codec.classify(reply.status, reply.headers, await _whole(reply, self._gap_s), wall=time.time())
            decoder = codec.stream()
            try:
                while piece := await reply.read(self._gap_s):
                    text = decoder.feed(piece)
                    if text:
                        trace.first_at = trace.first_at or time.monotonic()
                        await on_text(text)
                return decoder.finish()
            finally:
                trace.usage, trace.text = decoder.usage, decoder.text

    def _hear(self, reply: "Reply | Streamed") -> None:
        """Passes on what the headers say of the quotas; not for each reply, since reading them costs 2 µs."""
        now = time.monotonic()
        if now >= self._heard_at + HEAR_S or reply.status == 429:
            self._heard_at = now
            told = self._codec.limits(reply.headers, wall=time.time())
            if told is not None:
                self.lease.tell(told, now=now)

    async def _wait(self, size: int) -> Permit:
        if self._closed:  # grants are not heard any more
            raise Blocked(self.account, 0.0, "ended")
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
        """Gives the permits back and says what is left to say; the sockets are the transport's."""
        self._closed = True
        self._fail_waiting(Blocked(self.account, 0.0, "ended"))
        self.lease.close()
        if self._timer is not None:
            self._timer.cancel()
        with contextlib.suppress(UnderstudyError):
            self._pump_now()
        if self._timer is not None:
            self._timer.cancel()


async def _whole(reply: "Streamed", gap_s: float) -> bytes:
    """The body of a refusal, as far as anybody reads it."""
    pieces: list[bytes] = []
    while sum(map(len, pieces)) < 65_536 and (piece := await reply.read(gap_s)):
        pieces.append(piece)
    return b"".join(pieces)
