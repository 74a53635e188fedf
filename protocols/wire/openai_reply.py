"""What a provider that speaks OpenAI's format answers: whole replies, streams, errors.

Source: OpenAI's API reference, *Chat completions*: "The chat completion object", "The chat completion chunk object";
the guide *Error codes*.
"""

from collections.abc import Mapping, Sequence
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
from .reading import MAX_REPLY, NOTHING, Count, bounded, loaded, plain, raw_words, read, words
from .sse import Event
from .streams import EventStream

_FINISH: Final[Mapping[str | None, Finish]] = {
    "stop": "stop",
    "length": "length",
    "content_filter": "filtered",
    "tool_calls": "tool_calls",
    "function_call": "tool_calls",
    None: "stop",
}
_WITHHELD: Final = "the provider's content filter withheld the answer"


class _Details(msgspec.Struct):
    cached_tokens: Count | None = 0
    reasoning_tokens: Count | None = 0


class _Usage(msgspec.Struct):
    prompt_tokens: Count | None = 0
    completion_tokens: Count | None = 0
    total_tokens: Count | None = 0
    prompt_tokens_details: _Details | None = None
    completion_tokens_details: _Details | None = None


class _Function(msgspec.Struct):
    name: str | None = ""
    arguments: str | None = ""


class _Call(msgspec.Struct):
    id: str | None = ""
    index: Count | None = None
    function: _Function | None = None


class _Message(msgspec.Struct):
    content: str | None = None
    refusal: str | None = None
    tool_calls: list[_Call] | None = None


class _Choice(msgspec.Struct):
    message: _Message
    finish_reason: str | None = None


class _Completion(msgspec.Struct):
    choices: list[_Choice]
    id: str | None = ""
    model: str | None = ""
    usage: _Usage | None = None


class _StreamChoice(msgspec.Struct):
    delta: _Message | None = None
    finish_reason: str | None = None
    index: Count | None = 0


class _Chunk(msgspec.Struct):
    choices: list[_StreamChoice] | None = None
    id: str | None = ""
    model: str | None = ""
    usage: _Usage | None = None
    error: msgspec.Raw = NOTHING


_DECODER: Final = msgspec.json.Decoder(_Completion)
_CHUNKS: Final = msgspec.json.Decoder(_Chunk)


def decode(body: bytes) -> ChatReply:
    """The reply in a 200's body.

    Raises:
        InvalidReply: the body is not a chat completion.
        ContentFiltered: the provider's filter withheld the answer.
        CallError: the body is an error: some gateways send it with a 200.
    """
    if len(body) > MAX_REPLY:
        raise InvalidReply(f"the reply has {len(body)} bytes; more than {MAX_REPLY} are refused", status=200)
    try:
        completion = _DECODER.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        if isinstance(error, msgspec.ValidationError) and _is_error(said := loaded(body)):
            raise refusal(200, said) from None
        raise InvalidReply(f"the reply is not a chat completion: {words(str(error))}", status=200) from None
    if not completion.choices:
        raise InvalidReply("the reply has no choices", status=200)
    choice = completion.choices[0]
    message = choice.message
    finish = _FINISH.get(choice.finish_reason, "stop")
    text = message.content or ""
    if finish == "filtered" and not text:
        raise ContentFiltered(words(message.refusal or "", _WITHHELD), status=200)
    if message.tool_calls:
        return _with_tools(completion, text or message.refusal or "", finish, message.tool_calls)
    return ChatReply(
        text=text or message.refusal or "",
        model=completion.model or "",
        usage=_usage(completion.usage),
        finish=finish,
        id=completion.id or "",
    )


def _with_tools(completion: _Completion, text: str, finish: Finish, asked: Sequence[_Call]) -> ChatReply:
    """A reply that asks for tools. It says `stop` when the request named the tool: that is no end of the turn."""
    bounded(len(asked))
    calls = tuple(_tool_call(call, place) for place, call in enumerate(asked) if call.function is not None)
    return ChatReply(
        text=text,
        model=completion.model or "",
        usage=_usage(completion.usage),
        finish="tool_calls" if calls and finish == "stop" else finish,
        id=completion.id or "",
        tool_calls=calls,
    )


def _tool_call(call: _Call, place: int) -> ToolCall:
    function = call.function or _Function()
    return ToolCall(call.id or f"call_{place}", function.name or "", function.arguments or "{}")


def _usage(usage: _Usage | None) -> Usage:
    """`cached_tokens` are part of the prompt's, `reasoning_tokens` of the completion's.

    Some servers count the reasoning beside the completion instead, and their total tells so.
    """
    if usage is None:
        return Usage()
    cached = usage.prompt_tokens_details.cached_tokens if usage.prompt_tokens_details else 0
    reasoning = usage.completion_tokens_details.reasoning_tokens if usage.completion_tokens_details else 0
    prompt, output = usage.prompt_tokens or 0, usage.completion_tokens or 0
    if reasoning and usage.total_tokens == prompt + output + reasoning:
        output += reasoning
    return Usage(max(prompt, 0), max(output, 0), max(cached or 0, 0), max(reasoning or 0, 0))


class OpenAIStream(EventStream):
    """Chunks with deltas, a chunk with the usage and no choices, `[DONE]`."""

    def __init__(self) -> None:
        super().__init__()
        self._id = ""
        self._model = ""
        self._finish: str | None = None
        self._said = self._counted = self._done = False
        self._refusal: list[str] = []
        self._calls: dict[int, _Begun] = {}

    def _take(self, event: Event) -> None:
        if self._done:
            return
        if event.data.strip() == b"[DONE]":
            self._done = True
            return
        chunk = read(_CHUNKS, event.data, "a chunk of a chat completion")
        if bytes(chunk.error) != b"null":
            raise refusal(200, {"error": loaded(bytes(chunk.error))})
        self._id = self._id or chunk.id or ""
        self._model = self._model or chunk.model or ""
        if chunk.usage is not None:
            self._counted, self.usage = True, _usage(chunk.usage)
        for choice in chunk.choices or ():
            if not choice.index:  # one answer is asked for; others would be another's
                self._take_choice(choice)

    def _take_choice(self, choice: _StreamChoice) -> None:
        self._finish = choice.finish_reason or self._finish
        delta = choice.delta
        if delta is None:
            return
        if delta.content:
            self._said = True
            self._say(delta.content)
        if delta.refusal:
            self._refusal.append(delta.refusal)
            if not self._said:
                self._say(delta.refusal)
        for place, call in enumerate(delta.tool_calls or ()):
            self._take_call(place, call)

    def _take_call(self, place: int, call: _Call) -> None:
        begun = self._calls.setdefault(place if call.index is None else call.index, _Begun())
        bounded(len(self._calls))
        begun.id = begun.id or call.id or ""
        if call.function is not None:
            begun.name = begun.name or call.function.name or ""
            begun.arguments.append(call.function.arguments or "")

    def _reply(self) -> ChatReply:
        # Without [DONE] the usage shows that nothing is missing: it is what comes last.
        if not self._done and (self._finish is None or not self._counted):
            raise ConnectionFault("the stream ended before the reply did")
        finish = _FINISH.get(self._finish, "stop")
        if finish == "filtered" and not self._said:
            raise ContentFiltered(words("".join(self._refusal), _WITHHELD), status=200)
        calls = tuple(call.whole(place) for place, (_, call) in enumerate(sorted(self._calls.items())))
        if calls and finish == "stop":
            finish = "tool_calls"
        return ChatReply(self.text, self._model, self.usage, finish, self._id, calls)


class _Begun:
    """A tool call that comes in pieces."""

    def __init__(self) -> None:
        self.id = ""
        self.name = ""
        self.arguments: list[str] = []

    def whole(self, place: int) -> ToolCall:
        return ToolCall(self.id or f"call_{place}", self.name, "".join(self.arguments) or "{}")


# Errors ---------------------------------------------------------------------------------------------------------------

_BY_STATUS: Final[Mapping[int, type[CallError]]] = {
    401: AuthRejected,
    403: AuthRejected,
    404: ModelNotFound,
    408: ServerFault,
    409: ServerFault,
    429: RateLimited,
}
_BY_CODE: Final[Mapping[str, type[CallError]]] = {
    "context_length_exceeded": ContextTooLong,
    "string_above_max_length": ContextTooLong,
    "content_filter": ContentFiltered,
    "content_policy_violation": ContentFiltered,
    "ResponsibleAIPolicyViolation": ContentFiltered,
    "invalid_api_key": AuthRejected,
    "model_not_found": ModelNotFound,
    "DeploymentNotFound": ModelNotFound,
    # OpenAI answers 429 also when the account has no money left; waiting does not mend that.
    "insufficient_quota": AuthRejected,
}
_IN_STREAM: Final[Mapping[str, type[CallError]]] = {
    "rate_limit_exceeded": RateLimited,
    "rate_limit_error": RateLimited,
    "requests": RateLimited,
    "tokens": RateLimited,
    "invalid_request_error": BadRequest,
    "authentication_error": AuthRejected,
}


def classify(status: int, headers: Mapping[str, str], body: bytes, *, wall: float) -> CallError:
    """The error that a reply other than 200 stands for. `wall` is seconds since the epoch, for Retry-After dates."""
    said = loaded(body)
    wait = retry_after(headers, wall=wall)
    return refusal(status, said if isinstance(said, dict) else raw_words(body), wait=wait)


def refusal(status: int, said: Any, *, wait: float | None = None) -> CallError:
    """The error that a provider's error object, or its bare words, stand for.

    With a status of 200 (in mid-stream) the object's own code and type decide, and what they leave open is a fault of
    the server.
    """
    message, codes = _said(said)
    kind = next((_BY_CODE[code] for code in codes if code in _BY_CODE), None)
    meant = status
    if status == 200:
        kind = kind or next((_IN_STREAM[code] for code in codes if code in _IN_STREAM), None)
        meant = next((int(code) for code in codes if len(code) == 3 and code.isdecimal() and code >= "4"), 500)
    kind = kind or _BY_STATUS.get(meant) or (ServerFault if meant >= 500 else BadRequest)
    if kind is BadRequest and ("maximum context length" in message or "context window" in message):
        kind = ContextTooLong
    where = f"HTTP {status}" if status != 200 else "in the reply"
    return kind(f"{where}: {message}", retry_after=wait, status=status)


def _is_error(said: Any) -> bool:
    return isinstance(said, dict) and bool(said.get("error"))


def _said(said: Any) -> tuple[str, tuple[str, ...]]:
    """The provider's own words, and its codes, the most telling first.

    OpenAI wraps them in `error`; vLLM says the same without; FastAPI servers say `detail`.
    """
    if isinstance(said, str):
        return words(said), ()
    error = said.get("error", said)
    if not isinstance(error, dict):
        return words(plain(error)), ()
    inner = error.get("innererror")
    codes = [inner.get("code") if isinstance(inner, dict) else None, error.get("code"), error.get("type")]
    text = plain(error.get("message")) or plain(error.get("detail"))
    return words(text), tuple(plain(code) for code in codes if plain(code))
