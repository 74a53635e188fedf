"""What Anthropic answers: whole messages, streams of events, errors.

Source: Anthropic's API reference, *Messages*, "Returns"; *Streaming messages*; *Errors*; *Handling stop reasons*.
"""

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from ..chat import ChatReply, Finish, ToolCall, Usage
from ..errors import (
    AuthRejected,
    BadRequest,
    CallError,
    ConnectionFault,
    ContentFiltered,
    ContextTooLong,
    InvalidReply,
    ModelNotFound,
    RateLimited,
    ServerFault,
)
from ..retry_after import retry_after
from .reading import Count, bounded, compact, count, loaded, plain, raw_words, read, words
from .sse import Event
from .streams import EventStream

FORMAT: Final = "understudy_format_"
"""A call of a tool whose name begins so is the answer itself, in a format that was asked for."""

_FINISH: Final[Mapping[str | None, Finish]] = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "pause_turn": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "refusal": "filtered",
    None: "stop",
}
_REFUSED: Final = "the model's safety classifiers stopped the answer"


class _Details(msgspec.Struct):
    thinking_tokens: Count | None = None


class _Usage(msgspec.Struct):
    input_tokens: Count | None = None
    output_tokens: Count | None = None
    cache_read_input_tokens: Count | None = None
    cache_creation_input_tokens: Count | None = None
    output_tokens_details: _Details | None = None


class _Block(msgspec.Struct):
    type: str
    text: str | None = None
    id: str | None = None
    name: str | None = None
    input: msgspec.Raw = msgspec.Raw(b"{}")


class _Message(msgspec.Struct):
    content: list[_Block]
    id: str | None = ""
    model: str | None = ""
    stop_reason: str | None = None
    usage: _Usage | None = None


class _Delta(msgspec.Struct):
    type: str | None = None
    text: str | None = None
    partial_json: str | None = None
    stop_reason: str | None = None


class _Told(msgspec.Struct):
    """Any event of a stream."""

    type: str
    index: Count | None = None
    message: _Message | None = None
    content_block: _Block | None = None
    delta: _Delta | None = None
    usage: _Usage | None = None


_DECODER: Final = msgspec.json.Decoder(_Message)
_EVENTS: Final = msgspec.json.Decoder(_Told)


def decode(body: bytes) -> ChatReply:
    """The reply in a 200's body.

    Raises:
        InvalidReply: the body is not a message.
        ContentFiltered: the model refused, and said nothing.
        CallError: the body is an error: some gateways send it with a 200.
    """
    try:
        message = read(_DECODER, body, "a message")
    except InvalidReply:
        said = loaded(body)
        if isinstance(said, dict) and said.get("type") == "error":
            raise refusal(200, said) from None
        raise
    texts: list[str] = []
    calls: list[ToolCall] = []
    for block in message.content:
        if block.type == "text":
            texts.append(block.text or "")
        elif block.type == "tool_use":
            written = compact(bytes(block.input))
            if (block.name or "").startswith(FORMAT):
                texts.append(written)
            else:
                calls.append(ToolCall(block.id or f"call_{len(calls)}", block.name or "", written))
    usage = _usage(message.usage or _Usage())
    return _reply(message, "".join(texts), usage, message.stop_reason, tuple(calls))


def _reply(
    message: _Message, text: str, usage: Usage, stop_reason: str | None, calls: tuple[ToolCall, ...]
) -> ChatReply:
    bounded(len(calls))
    finish = _FINISH.get(stop_reason, "stop")
    if finish == "filtered" and not text:
        raise ContentFiltered(_REFUSED, status=200)
    if finish == "tool_calls" and not calls:  # the tool was a format, and its arguments are the text
        finish = "stop"
    return ChatReply(text, message.model or "", usage, finish, message.id or "", calls)


def _usage(usage: _Usage) -> Usage:
    """`input_tokens` are those after the last cache breakpoint only: what was read and written comes beside it."""
    cached, written = count(usage.cache_read_input_tokens), count(usage.cache_creation_input_tokens)
    thinking = usage.output_tokens_details.thinking_tokens if usage.output_tokens_details else 0
    return Usage(
        count(usage.input_tokens) + cached + written, count(usage.output_tokens), cached, count(thinking), written
    )


def _merged(old: _Usage, new: _Usage) -> _Usage:
    """What a later event counts replaces what an earlier one did: counts are cumulative."""
    told = {name: value for name in _Usage.__struct_fields__ if (value := getattr(new, name)) is not None}
    return msgspec.structs.replace(old, **told)


class AnthropicStream(EventStream):
    """message_start, blocks that start, grow and stop, message_delta with the counts, message_stop."""

    def __init__(self) -> None:
        super().__init__()
        self._message: _Message | None = None
        self._counts = _Usage()
        self._stop_reason: str | None = None
        self._done = False
        self._calls: dict[int, tuple[_Block, list[str]]] = {}

    def _take(self, event: Event) -> None:
        if self._done:
            return
        if event.name == "error":
            raise refusal(200, loaded(event.data) or raw_words(event.data))
        told = read(_EVENTS, event.data, "an event of a message")
        index = told.index or 0
        if told.type == "content_block_delta" and told.delta is not None:
            self._grow(index, told.delta)
        elif told.type == "content_block_start" and told.content_block is not None:
            self._start(index, told.content_block)
        elif told.type == "message_start" and told.message is not None:
            self._message = told.message
            self._count(told.message.usage)
        elif told.type == "message_delta":
            self._stop_reason = (told.delta.stop_reason if told.delta else None) or self._stop_reason
            self._count(told.usage)
        elif told.type == "message_stop":
            self._done = True
        elif told.type == "error":
            raise refusal(200, loaded(event.data))

    def _count(self, usage: _Usage | None) -> None:
        if usage is not None:
            self._counts = _merged(self._counts, usage)
            self.usage = _usage(self._counts)

    def _start(self, index: int, block: _Block) -> None:
        if block.type == "text":
            self._say(block.text)
        elif block.type == "tool_use":
            self._calls[index] = (block, [])
            bounded(len(self._calls))

    def _grow(self, index: int, delta: _Delta) -> None:
        if delta.type == "text_delta":
            self._say(delta.text)
        elif delta.type == "input_json_delta" and index in self._calls:
            block, pieces = self._calls[index]
            if (block.name or "").startswith(FORMAT):
                self._say(delta.partial_json)
            else:
                pieces.append(delta.partial_json or "")

    def _reply(self) -> ChatReply:
        if not self._done or self._message is None:
            raise ConnectionFault("the stream ended before the message did")
        calls: list[ToolCall] = []
        for _, (block, pieces) in sorted(self._calls.items()):
            if not (block.name or "").startswith(FORMAT):
                written = compact("".join(pieces) or bytes(block.input))
                calls.append(ToolCall(block.id or f"call_{len(calls)}", block.name or "", written))
        return _reply(self._message, self.text, self.usage, self._stop_reason, tuple(calls))


# Errors ---------------------------------------------------------------------------------------------------------------

_BY_TYPE: Final[Mapping[str, type[CallError]]] = {
    "invalid_request_error": BadRequest,
    "authentication_error": AuthRejected,
    "billing_error": AuthRejected,  # no money left: waiting does not mend that
    "permission_error": AuthRejected,
    "not_found_error": ModelNotFound,
    "request_too_large": ContextTooLong,
    "rate_limit_error": RateLimited,
    "api_error": ServerFault,
    "overloaded_error": ServerFault,
    "timeout_error": ServerFault,
    "gateway_timeout_error": ServerFault,
}
_BY_STATUS: Final[Mapping[int, type[CallError]]] = {
    401: AuthRejected,
    402: AuthRejected,
    403: AuthRejected,
    404: ModelNotFound,
    408: ServerFault,
    409: ServerFault,
    413: ContextTooLong,
    429: RateLimited,
}
_BY_WORDS: Final[tuple[tuple[str, type[CallError]], ...]] = (
    ("prompt is too long", ContextTooLong),
    ("exceed context limit", ContextTooLong),
    ("credit balance is too low", AuthRejected),
    ("content filtering policy", ContentFiltered),
)
"""An `invalid_request_error` says what it is in its words only."""


def classify(status: int, headers: Mapping[str, str], body: bytes, *, wall: float) -> CallError:
    """The error that a reply other than 200 stands for. `wall` is seconds since the epoch, for Retry-After dates."""
    said = loaded(body)
    wait = retry_after(headers, wall=wall)
    return refusal(status, said if isinstance(said, dict) else raw_words(body), wait=wait)


def refusal(status: int, said: Any, *, wait: float | None = None) -> CallError:
    """The error that an error object, or bare words, stand for. A status of 200 is an event in mid-stream."""
    error = said.get("error") if isinstance(said, dict) else said
    if isinstance(error, dict):
        message, name = words(plain(error.get("message"))), plain(error.get("type"))
    else:
        message, name = words(plain(error)), ""
    meant = 500 if status == 200 else status
    kind = _BY_TYPE.get(name) or _BY_STATUS.get(meant) or (ServerFault if meant >= 500 else BadRequest)
    if kind is BadRequest:
        kind = next((better for hint, better in _BY_WORDS if hint in message.lower()), kind)
    where = f"HTTP {status}" if status != 200 else "in the reply"
    return kind(f"{where}: {message}", retry_after=wait, status=status)
