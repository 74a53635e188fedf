"""The OpenAI chat-completions format as pure encode, decode and classify.

Source: OpenAI's API reference, *Chat Completions*; spoken by vLLM, Ollama, Azure, Groq and many others.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Final

import msgspec
import orjson

from ..chat import ChatReply, ChatRequest, Finish, Usage, render_message
from ..errors import (
    AuthRejected,
    BadRequest,
    CallError,
    ContentFiltered,
    ContextTooLong,
    InvalidReply,
    ModelNotFound,
    RateLimited,
    ServerFault,
)
from ..retry_after import retry_after
from .codec import Codec, LimitsTold, StreamDecoder

PATH: Final = "/chat/completions"
MAX_REPLY: Final = 16 * 1024 * 1024
"""A larger reply is refused: no chat answer comes near it."""

_FINISH: Final[Mapping[str | None, Finish]] = {
    "stop": "stop",
    "length": "length",
    "content_filter": "filtered",
    "tool_calls": "tool_calls",
    "function_call": "tool_calls",
    None: "stop",
}


_Count = Annotated[int, msgspec.Meta(le=1 << 40)]  # what is larger is no count, and no message could carry it


class _Details(msgspec.Struct):
    cached_tokens: _Count | None = 0
    reasoning_tokens: _Count | None = 0


class _Usage(msgspec.Struct):
    prompt_tokens: _Count | None = 0
    completion_tokens: _Count | None = 0
    prompt_tokens_details: _Details | None = None
    completion_tokens_details: _Details | None = None


class _Message(msgspec.Struct):
    content: str | None = None
    refusal: str | None = None


class _Choice(msgspec.Struct):
    message: _Message
    finish_reason: str | None = None


class _Completion(msgspec.Struct):
    choices: list[_Choice]
    id: str | None = ""
    model: str | None = ""
    usage: _Usage | None = None


_DECODER: Final = msgspec.json.Decoder(_Completion)


def encode(request: ChatRequest, model: str, *, stream: bool = False) -> bytes:  # noqa: ARG001 - under way
    """The request's body for `model`, as the provider calls it."""
    body: dict[str, Any] = {
        "model": model,
        "messages": [{"role": message.role, "content": render_message(message)} for message in request.messages],
        "max_tokens": request.max_tokens,
    }
    if request.temperature is not None:
        body["temperature"] = request.temperature
    if request.seed is not None:
        body["seed"] = request.seed
    if request.stop:
        body["stop"] = list(request.stop)
    return orjson.dumps(body)


def decode(body: bytes) -> ChatReply:
    """The reply in a 200's body.

    Raises:
        InvalidReply: the body is not a chat completion.
        ContentFiltered: the provider's filter withheld the answer.
    """
    if len(body) > MAX_REPLY:
        raise InvalidReply(f"the reply has {len(body)} bytes; more than {MAX_REPLY} are refused", status=200)
    try:
        completion = _DECODER.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidReply(f"the reply is not a chat completion: {error}", status=200) from None
    if not completion.choices:
        raise InvalidReply("the reply has no choices", status=200)
    choice = completion.choices[0]
    finish = _FINISH.get(choice.finish_reason, "stop")
    text = choice.message.content or ""
    if finish == "filtered" and not text:
        raise ContentFiltered(choice.message.refusal or "the provider's content filter withheld the answer", status=200)
    return ChatReply(
        text=text or choice.message.refusal or "",
        model=completion.model or "",
        usage=_usage(completion.usage),
        finish=finish,
        id=completion.id or "",
    )


def _usage(usage: _Usage | None) -> Usage:
    if usage is None:
        return Usage()
    cached = usage.prompt_tokens_details.cached_tokens if usage.prompt_tokens_details else 0
    reasoning = usage.completion_tokens_details.reasoning_tokens if usage.completion_tokens_details else 0
    counts = (usage.prompt_tokens, usage.completion_tokens, cached, reasoning)
    return Usage(*(max(count or 0, 0) for count in counts))


def worked_s(headers: Mapping[str, str]) -> float:
    """How long the provider says it worked on the request (`openai-processing-ms`), 0 where it does not say."""
    told = headers.get("openai-processing-ms")
    return int(told) / 1000 if told is not None and told.isdecimal() and len(told) < 9 else 0.0


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
    "invalid_api_key": AuthRejected,
    "model_not_found": ModelNotFound,
    # OpenAI answers 429 also when the account has no money left; waiting does not mend that.
    "insufficient_quota": AuthRejected,
}


def classify(status: int, headers: Mapping[str, str], body: bytes, *, wall: float) -> CallError:
    """The error that a reply other than 200 stands for. `wall` is seconds since the epoch, for Retry-After dates."""
    message, code = _said(body)
    wait = retry_after(headers, wall=wall)
    kind = _BY_CODE.get(code) or _BY_STATUS.get(status) or (ServerFault if status >= 500 else BadRequest)
    if kind is BadRequest and ("maximum context length" in message or "context window" in message):
        kind = ContextTooLong
    return kind(f"HTTP {status}: {message}", retry_after=wait, status=status)


def _said(body: bytes) -> tuple[str, str]:
    """The provider's own words, in one line of at most 300 characters, and its error code."""
    try:
        error = orjson.loads(body[:65_536]).get("error")
        if isinstance(error, dict):
            text, code = str(error.get("message") or ""), str(error.get("code") or error.get("type") or "")
        else:
            text, code = str(error or ""), ""
    except (orjson.JSONDecodeError, AttributeError):
        text, code = body[:300].decode("utf-8", "replace"), ""
    return " ".join(text.split())[:300] or "no message", code


class OpenAI:
    """See `understudy.protocols.wire.codec.Codec`."""

    def target(self, model: str, *, stream: bool) -> str:  # noqa: ARG002 - the protocol's
        """One path for all."""
        return PATH

    def headers(self, key: str | None) -> dict[str, str]:
        """A bearer token."""
        return {"Authorization": f"Bearer {key}"} if key is not None else {}

    encode = staticmethod(encode)
    decode = staticmethod(decode)
    classify = staticmethod(classify)
    worked_s = staticmethod(worked_s)

    def stream(self) -> StreamDecoder:
        """Under way."""
        raise NotImplementedError

    def limits(self, headers: Mapping[str, str], *, wall: float) -> LimitsTold | None:  # noqa: ARG002 - under way
        """Under way."""
        return None


CODEC: Final[Codec] = OpenAI()
