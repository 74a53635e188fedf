"""Fakes of what a channel stands on: a transport with scripted replies, and a Provider that grants what is asked."""

import asyncio
import contextlib
import json
from collections import deque
from collections.abc import AsyncIterator, Iterable, Mapping
from typing import Any

from ...protocols.errors import CallError
from ...protocols.messages import LeaseAsk, LeaseGrant
from .channel import HttpChannel
from .transport import HttpReply


def completion(text: str = "fine", *, prompt: int = 10, output: int = 5, finish: str = "stop") -> HttpReply:
    """A reply of 200 that holds a chat completion with these token counts."""
    body = {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "model": "m-2026",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": finish}],
        "usage": {"prompt_tokens": prompt, "completion_tokens": output, "total_tokens": prompt + output},
    }
    return HttpReply(200, {}, json.dumps(body).encode())


def refusal(status: int, code: str = "", *, headers: Mapping[str, str] | None = None) -> HttpReply:
    """An error reply as OpenAI words it."""
    body = {"error": {"message": f"refused with {status}", "type": "error", "code": code or None}}
    return HttpReply(status, dict(headers or {}), json.dumps(body).encode())


def pieces(text: str = "fine", *, prompt: int = 10, output: int = 5, count: int = 3) -> list[bytes]:
    """A streamed chat completion of 200 in about `count` pieces of text, with these token counts at its end."""
    size = max(1, -(-len(text) // count))
    deltas: list[dict[str, Any]] = [
        {"choices": [{"index": 0, "delta": {"content": text[at : at + size]}, "finish_reason": None}]}
        for at in range(0, len(text), size)
    ]
    deltas.append({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
    deltas.append({"choices": [], "usage": {"prompt_tokens": prompt, "completion_tokens": output}})
    head = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "model": "m-2026"}
    return [*(b"data: " + json.dumps({**head, **delta}).encode() + b"\n\n" for delta in deltas), b"data: [DONE]\n\n"]


class ScriptedStream:
    """A streamed reply that is given piece by piece: bytes, or an error to raise in their place."""

    def __init__(self, script: Iterable[bytes | CallError], status: int = 200) -> None:
        self.status = status
        self.headers: Mapping[str, str] = {}
        self._script = deque(script)

    async def read(self, patience_s: float) -> bytes:  # noqa: ARG002 - the protocol's
        """See `understudy.actors.channel.transport.Streamed.read`."""
        await asyncio.sleep(0)
        piece = self._script.popleft() if self._script else b""
        if isinstance(piece, CallError):
            raise piece
        return piece


Scripted = HttpReply | CallError | asyncio.Future[HttpReply] | list[bytes | CallError]


class ScriptedTransport:
    """Answers each request with the next of its script.

    Args:
        script: what to answer, in order: a reply, an error to raise, a future to wait for, or a list of what a stream
            brings. When it is used up every further request is answered by `completion()`, or by `pieces()`.
    """

    def __init__(self, script: Iterable[Scripted] = ()) -> None:
        self._script = deque(script)
        #: The bodies that were posted, decoded, and where.
        self.posted: list[Any] = []
        self.targets: list[str] = []
        self.closed = False

    def _next(self, target: str, body: bytes) -> Scripted | None:
        self.posted.append(json.loads(body))
        self.targets.append(target)
        return self._script.popleft() if self._script else None

    async def post(self, target: str, body: bytes) -> HttpReply:
        """See `understudy.actors.channel.transport.Transport.post`."""
        answer = self._next(target, body) or completion()
        if isinstance(answer, CallError):
            raise answer
        assert not isinstance(answer, list)
        return await answer if isinstance(answer, asyncio.Future) else answer

    @contextlib.asynccontextmanager
    async def stream(self, target: str, body: bytes) -> AsyncIterator[ScriptedStream]:
        """See `understudy.actors.channel.transport.Transport.stream`."""
        answer = self._next(target, body) or list[bytes | CallError](pieces())
        if isinstance(answer, CallError):
            raise answer
        if isinstance(answer, list):
            yield ScriptedStream(answer)
            return
        reply = await answer if isinstance(answer, asyncio.Future) else answer
        yield ScriptedStream([reply.body], reply.status)

    def redact(self, text: str) -> str:
        """Nothing is secret here."""
        return text

    async def close(self) -> None:
        """Remembers that it was closed."""
        self.closed = True


class GenerousProvider:
    """Answers each ask of one channel in the next turn of the loop, with all it asked for unless told otherwise.

    Attributes:
        asks: what the channel said, in order.
        closed: while True nothing is granted and the asks wait.
    """

    def __init__(self, *, slots: bool = False) -> None:
        self.asks: list[LeaseAsk] = []
        self.closed = False
        self._slots = slots
        self._channel: HttpChannel | None = None

    def serve(self, channel: HttpChannel) -> HttpChannel:
        """This Provider answers that channel; gives the channel back."""
        self._channel = channel
        return channel

    def say(self, ask: LeaseAsk) -> None:
        """Hears an ask: the function that a channel is made with."""
        self.asks.append(ask)
        if ask.sizes and not self.closed:
            asyncio.get_running_loop().call_soon(self.grant, ask)

    def grant(self, ask: LeaseAsk) -> None:
        """Grants all that `ask` wants."""
        assert self._channel is not None
        slots = ask.slots if self._slots else -1
        grant = LeaseGrant(1, ask.number, requests=len(ask.sizes), tokens=sum(ask.sizes), slots=slots, ttl_s=3.0)
        self._channel.granted(grant)
