"""One attempt of a logical call, on its way."""

import asyncio
import time
from typing import TYPE_CHECKING

from ...protocols.call import Attempt, Role
from ...protocols.chat import ChatReply, Usage
from ...protocols.errors import CallError, ContentFiltered, InvalidReply
from ...protocols.messages import Outcome
from ..channel.channel import Blocked
from ..channel.trace import Trace
from ..guard import Guard
from . import checking
from .kit import Way
from .preparing import Ready, with_text
from .repairing import is_json
from .stitching import Stitcher

if TYPE_CHECKING:
    from .logical import LogicalCall

_UNSEEN = frozenset({"cancelled", "timeout", "connection", "invalid_reply"})
"""Ends of an attempt whose reply was not seen whole, or not understood: the provider may have charged all the same."""


class Out:
    """An attempt that is out.

    Attributes:
        call: whose it is.
        place: of its candidate, in the call's order.
        way: its candidate.
        role: why it is made.
        request: what is sent, prepared for this candidate.
        tokens: of its prompt, by our count.
        trace: what its channel tells.
        guard: ends it at the call's deadline, or when another one was faster.
        took_s: from the permit to the answer.
        flaw: what is wrong with a reply that came, and
        flawed: its text.
    """

    __slots__ = (
        "_began",
        "call",
        "flaw",
        "flawed",
        "guard",
        "place",
        "request",
        "role",
        "stitcher",
        "tokens",
        "took_s",
        "trace",
        "way",
    )

    def __init__(self, call: "LogicalCall", place: int, way: Way, role: Role, ready: Ready) -> None:
        self.call = call
        self.place = place
        self.way = way
        self.role: Role = role
        self.request = ready.request
        self.tokens = ready.tokens
        self.trace = Trace()
        self.guard = Guard(call.due, call.kit.deadlines)
        self.took_s = 0.0
        self.flaw = self.flawed = ""
        #: Keeps text from coming twice, where another attempt's stream is gone on with.
        self.stitcher: Stitcher | None = None
        self._began = 0.0

    @property
    def may_cost(self) -> int:
        """Picodollars that it may cost at most; 0 without a price."""
        return max(0, self.way.estimate(self.tokens, self.request.max_tokens))

    async def send(self) -> ChatReply | None:
        """The reply; None when nothing came of it and nobody is to blame: blocked, too late, or second.

        Raises:
            CallError: what went wrong.
        """
        call, way, guard = self.call, self.way, self.guard
        self._began = time.monotonic()
        try:
            # Waiting for a permit and the request itself end at the deadline; the policy then says which is spent.
            with guard:
                reply = await call.caller.channel(way.candidate.account).call(
                    self.request,
                    way.candidate.model,
                    tokens=self.tokens,
                    cost=way.cost,
                    trace=self.trace,
                    gate=call.gate,
                    on_text=None if call.on_text is None else self._text,
                )
                return await self._arrived(reply)
        except Blocked as blocked:
            call.blocked(self, blocked)
            return None
        except (_Told, _Withheld):
            raise
        except CallError as error:
            self._note(error.kind, sent=error.sent, status=error.status, error=str(error))
            raise
        except asyncio.CancelledError:
            self._cancelled()
            raise
        self._ended()
        return None

    async def _arrived(self, reply: ChatReply) -> ChatReply | None:
        self.took_s = time.monotonic() - self.trace.sent_at
        request = self.request
        if reply.finish == "filtered":  # it said something before the filter stopped it: paid for, and no answer
            self._note("filtered", usage=reply.usage, error="the provider's filter withheld the rest of the answer")
            raise _Withheld("the provider's filter withheld the rest of the answer", status=200)
        rest = ""
        if self.stitcher is not None:  # what is judged is the whole answer, of which an earlier stream had the start
            rest = self.stitcher.finish()
            reply = with_text(reply, self.call.emitted + rest)
        if request.response_format is not None or request.tools:
            reply = await self._settled(reply, rest)
        elif rest:
            await self.call.say(rest)
        self._note("ok", usage=reply.usage)
        self.way.answered(self.took_s)
        return reply if self.call.claim(self) else None

    async def _settled(self, reply: ChatReply, rest: str) -> ChatReply:
        """The reply as it was asked for; `rest` of it is still to be said to a stream's reader, who hears the same."""
        said = reply.text
        reply, self.flaw = checking.settle(reply, self.request)
        if self.flaw:
            self.flawed = reply.text
            self._note("invalid_reply", usage=reply.usage, error=self.flaw)
            raise _Told(self.flaw, status=200)
        if self.call.on_text is None:
            return reply
        if reply.text != said and not is_json(said):
            await self.call.revise(reply.text)
            return reply
        if rest:
            await self.call.say(rest)
        return with_text(reply, said)

    @property
    def answered_s(self) -> float:
        """From the permit to the answer; to the first words of a stream."""
        trace = self.trace
        return trace.first_at - trace.sent_at if trace.first_at else self.took_s

    async def _text(self, text: str) -> None:
        """A piece of the stream: the first attempt that has one goes on, all others end."""
        if not self.call.claim(self):
            await asyncio.get_running_loop().create_future()  # the cancellation that is under way arrives here
        if self.stitcher is not None:
            text = self.stitcher.feed(text)
        if text:
            await self.call.say(text)

    def _ended(self) -> None:
        """The guard has ended it."""
        if self.guard.ended == "deadline":
            self.call.policy.expire()
            self._note("timeout", error="the call's deadline is over")
        else:
            self._cancelled()

    def _cancelled(self) -> None:
        if self.trace.sent_at:
            self.call.second(self, time.monotonic() - self.trace.sent_at)
            self._note("cancelled")

    def _note(
        self, outcome: Outcome, *, usage: Usage | None = None, sent: bool = True, status: int = 0, error: str = ""
    ) -> None:
        """Puts the attempt on the call's bill; a told one stands there already."""
        trace, way, now = self.trace, self.way, time.monotonic()
        sent = sent and bool(trace.sent_at)
        known = usage if usage is not None else Usage()
        unseen = sent and usage is None and (outcome in _UNSEEN or status == 200)
        began = self._began - self.call.began
        self.call.outcome.add(
            Attempt(
                candidate=way.name,
                role=self.role,
                outcome=outcome,
                began_s=began,
                took_s=now - self._began,
                wait_s=max(0.0, (trace.sent_at or now) - self._began),
                sent=sent,
                usage=known,
                cost=way.cost(known) if usage is not None or unseen else 0,
                open_cost=way.may_have_cost(trace.usage, trace.text, self.tokens, self.request.max_tokens)
                if unseen
                else 0,
                first_s=trace.first_at - self._began if trace.first_at else -1.0,
                error=error,
            )
        )


class _Told(InvalidReply):
    """A reply whose attempt stands on the bill already."""


class _Withheld(ContentFiltered):
    """The same, of a reply that a filter broke off."""
