"""The channel to the embedded provider: no socket, no lease."""

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from ...protocols.chat import ChatReply, ChatRequest
from .channel import Cost, Gate, OnText
from .trace import Trace


class EmbeddedChannel:
    """The embedded provider: answers on this machine, in a thread, without a lease.

    Args:
        account: the account's name.
        answer: the pure, CPU-bound function that answers a request.
    """

    def __init__(self, account: str, answer: Callable[[ChatRequest], ChatReply]) -> None:
        self.account = account
        self._answer = answer
        self._out = 0
        # One thread: the work holds the interpreter's lock, and a second one would only take turns with it.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="embedded")

    @property
    def in_flight(self) -> int:
        """Calls that are out."""
        return self._out

    @property
    def free(self) -> float:
        """Nothing limits it."""
        return -1.0

    async def call(
        self,
        request: ChatRequest,
        model: str,  # noqa: ARG002 - the protocol's
        *,
        tokens: int,  # noqa: ARG002 - the protocol's
        cost: Cost,  # noqa: ARG002 - the protocol's
        trace: Trace,
        gate: Gate | None = None,  # noqa: ARG002 - nothing leaves this machine
        on_text: OnText | None = None,
    ) -> ChatReply:
        """Answers in a worker thread, so that the actor's loop goes on; a stream is one piece."""
        trace.sent(time.monotonic())
        self._out += 1
        try:
            reply = await asyncio.get_running_loop().run_in_executor(self._thread, self._answer, request)
        finally:
            self._out -= 1
        trace.usage = reply.usage
        if on_text is not None and reply.text:
            trace.first_at, trace.text = time.monotonic(), reply.text
            await on_text(reply.text)
        return reply

    async def close(self) -> None:
        """Lets what runs end, drops what waits."""
        self._thread.shutdown(wait=False, cancel_futures=True)
