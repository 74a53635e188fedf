"""Fakes of what a channel stands on: a transport with scripted replies, and a Provider that grants what is asked."""

import asyncio
import json
from collections import deque
from collections.abc import Iterable, Mapping
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


class ScriptedTransport:
    """Answers each post with the next of its script: a reply, an error to raise, or a future to wait for.

    Args:
        script: what to answer, in order; when it is used up every further post is answered by `completion()`.
    """

    def __init__(self, script: Iterable[HttpReply | CallError | asyncio.Future[HttpReply]] = ()) -> None:
        self._script = deque(script)
        #: The bodies that were posted, decoded.
        self.posted: list[Any] = []
        self.closed = False

    async def post(self, body: bytes) -> HttpReply:
        """See `understudy.actors.channel.transport.Transport.post`."""
        self.posted.append(json.loads(body))
        answer = self._script.popleft() if self._script else completion()
        if isinstance(answer, CallError):
            raise answer
        return await answer if isinstance(answer, asyncio.Future) else answer

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
