"""Makes a request ready for one candidate: its window, its format's habits, and what an earlier attempt taught."""

from typing import TYPE_CHECKING, Final

import msgspec

from ...protocols.call import CallOptions
from ...protocols.chat import ChatReply, ChatRequest, Message, Usage
from ...protocols.config import Config
from ...protocols.errors import ContextTooLong
from ..channel.channel import Gate
from ..counting import counter
from ..router import pii
from . import aside, checking, shaping, stitching
from .fitting import Fitted, fit, with_summary
from .outcome import CallOutcome
from .policy import Change

if TYPE_CHECKING:
    from .kit import Way
    from .logical import LogicalCall

NOTHING: Final = Usage()
_SHRINK: Final = 0.7
"""What is left of a prompt that was refused as too long by a model whose window nobody knows."""


class Ready(msgspec.Struct, frozen=True):
    """A request ready for a candidate, the tokens of its prompt, and what was left out of it to fit the window."""

    request: ChatRequest
    tokens: int
    fitted: Fitted | None = None

    @property
    def summarise(self) -> ChatRequest | None:
        """What has to be asked before."""
        return self.fitted.summarise if self.fitted is not None else None


def prepare(call: "LogicalCall", way: "Way", change: Change, flaw: tuple[str, str] | None) -> Ready:
    """The call's request for a candidate, changed as the policy says.

    Args:
        call: the logical call.
        way: the candidate.
        change: what the policy wants changed.
        flaw: text and flaw of this candidate's last unusable reply.

    Raises:
        ContextTooLong: it can't be made to fit the window.
    """
    request, tokens, fitted = call.request, call.tokens, None
    if change == "repair" and flaw is not None:
        request = checking.repair_turn(request, *flaw)
        tokens += (len(flaw[0]) + len(flaw[1])) // 3
    elif change == "rephrase":
        request = shaping.rephrase(request)
    if emitted := call.emitted:
        request = stitching.continuation(request, emitted, prefill=way.kind == "anthropic")
        tokens += len(emitted) // 3
    if change == "shrink" or (way.window and tokens + request.max_tokens > way.window):
        fitted = _fitted(call, way, request, tokens, shrink=change == "shrink")
        if fitted is not None:
            request, tokens = fitted.request, fitted.tokens
    return Ready(_shaped(way, request), tokens, fitted)


def plain(call: "LogicalCall", way: "Way") -> Ready | None:
    """The call's request for a candidate as a hedge: None where it would have to be cut to fit."""
    if way.window and call.tokens + call.request.max_tokens > way.window:
        return None
    return Ready(_shaped(way, call.request), call.tokens)


def _shaped(way: "Way", request: ChatRequest) -> ChatRequest:
    most = way.candidate.max_output
    if most is not None and request.max_tokens > most:
        request = shaping.cap_output(request, most)
    return shaping.shape(request, way.kind, way.candidate.model)


def _fitted(call: "LogicalCall", way: "Way", request: ChatRequest, tokens: int, *, shrink: bool) -> Fitted | None:
    overflow = call.options.overflow or call.kit.config.models[call.request.model].overflow
    if overflow in ("fail", "larger"):  # our count is an estimate: the provider has the last word, which is free
        return None
    window = way.window
    if shrink:
        window = min(window or tokens + request.max_tokens, int(tokens * _SHRINK) + request.max_tokens)
    count = counter(way.kind, way.candidate.model)
    # A prompt that was refused has to become shorter: a shorter answer alone would send it again.
    fitted = fit(request, tokens=tokens, window=window, overflow=overflow, count=count, keep_output=shrink)
    if fitted is None:
        raise ContextTooLong(f"{tokens} tokens can't be cut to fit a window of {window}", sent=False)
    return fitted


async def summarised(call: "LogicalCall", way: "Way", ready: Ready) -> Ready:
    """The request with what was left out summarised by its own route; without it where that fails."""
    fitted, question = ready.fitted, ready.summarise
    assert fitted is not None
    assert question is not None
    if call.summary is None or call.summary[0] != question:  # a retry has it already
        said = await aside.ask(
            call,
            question,
            fitted.left_out,
            used=call.policy.attempts,
            private=call.options.private,
            keep=max(0, way.estimate(ready.tokens, ready.request.max_tokens)),
            overflow="truncate_middle",
        )
        call.policy.attempts += said.attempts
        call.summary = question, said.text
    summary = call.summary[1]
    return Ready(_shaped(way, with_summary(fitted, summary)) if summary else ready.request, ready.tokens)


# Small things ---------------------------------------------------------------------------------------------------------


def gate(config: Config, options: CallOptions) -> Gate | None:
    """Why a request must not leave; None where anything may."""
    if options.private:
        return _told_private
    return Looked(pii.gate) if config.routing.pii == "private_only" else None


class Looked:
    """A gate that looks through the same messages once: the router asks it, and so does the last gate."""

    __slots__ = ("_gate", "_messages", "_reason")

    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        self._messages: tuple[Message, ...] | None = None
        self._reason = ""

    def found_nothing(self, request: ChatRequest) -> None:
        """Somebody else has looked through these messages: they hold nothing."""
        self._messages, self._reason = request.messages, ""

    def __call__(self, request: ChatRequest) -> str:
        """See `Gate`."""
        if request.messages is not self._messages:
            self._messages, self._reason = request.messages, self._gate(request)
        return self._reason


def _told_private(_: ChatRequest) -> str:
    return "its sender says that it must not leave"


def budget(config: Config, options: CallOptions) -> int:
    """Picodollars that one logical call may cost; -1 for no bound."""
    if options.max_cost >= 0:
        return options.max_cost
    return -1 if config.budgets.call is None else round(config.budgets.call * 10**12)


def add_bill(outcome: CallOutcome, other: CallOutcome) -> None:
    """Puts a call that was made on the way on the same bill."""
    model = outcome.model
    for attempt in other.log:
        outcome.add(attempt)
    outcome.model = model


def with_model(request: ChatRequest, model: str) -> ChatRequest:
    """The request for another route."""
    return msgspec.structs.replace(request, model=model)


def with_text(reply: ChatReply, text: str) -> ChatReply:
    """The reply with another text."""
    return msgspec.structs.replace(reply, text=text)
