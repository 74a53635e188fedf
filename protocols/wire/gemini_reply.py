"""What Gemini answers: whole replies, streams, errors.

Source: Google's Gemini API reference, *Generating content*: "GenerateContentResponse", "FinishReason",
"UsageMetadata"; *Troubleshooting guide*; google.rpc `Status`, `RetryInfo` and `ErrorInfo` (AIP-193).
"""

import re
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
from ..retry_after import LONGEST_S, retry_after
from .limits import duration
from .reading import NOTHING, Count, bounded, compact, count, loaded, plain, raw_words, read, words
from .sse import Event
from .streams import EventStream

_FILTERED: Final = (
    "SAFETY",
    "RECITATION",
    "LANGUAGE",
    "BLOCKLIST",
    "PROHIBITED_CONTENT",
    "SPII",
    "IMAGE_SAFETY",
    "IMAGE_PROHIBITED_CONTENT",
    "IMAGE_RECITATION",
    "MODEL_ARMOR",
)
_FINISH: Final[Mapping[str, Finish]] = {"MAX_TOKENS": "length", **dict.fromkeys(_FILTERED, "filtered")}
_MALFORMED: Final = ("MALFORMED_FUNCTION_CALL", "UNEXPECTED_TOOL_CALL", "TOO_MANY_TOOL_CALLS", "MALFORMED_RESPONSE")
"""The model wrote what the provider could not read. It may do better when it is asked again."""


class _Call(msgspec.Struct):
    name: str | None = ""
    id: str | None = ""
    args: msgspec.Raw = msgspec.Raw(b"{}")


class _Part(msgspec.Struct, rename="camel"):
    text: str | None = None
    thought: bool | None = False
    thought_signature: str | None = ""
    function_call: _Call | None = None


class _Content(msgspec.Struct):
    parts: list[_Part] | None = None


class _Candidate(msgspec.Struct, rename="camel"):
    content: _Content | None = None
    finish_reason: str | None = None
    finish_message: str | None = None
    index: Count | None = 0


class _Feedback(msgspec.Struct, rename="camel"):
    block_reason: str | None = None


class _Usage(msgspec.Struct, rename="camel"):
    prompt_token_count: Count | None = 0
    tool_use_prompt_token_count: Count | None = 0
    candidates_token_count: Count | None = 0
    thoughts_token_count: Count | None = 0
    cached_content_token_count: Count | None = 0


class _Response(msgspec.Struct, rename="camel"):
    candidates: list[_Candidate] | None = None
    prompt_feedback: _Feedback | None = None
    usage_metadata: _Usage | None = None
    model_version: str | None = ""
    response_id: str | None = ""
    error: msgspec.Raw = NOTHING


_DECODER: Final = msgspec.json.Decoder(_Response)


class _Answer:
    """What one or more responses came to: a stream is many of the same form."""

    def __init__(self) -> None:
        self.usage = Usage()
        self.finish: str | None = None
        self.complete = False
        self._message = ""
        self._blocked = ""
        self._model = ""
        self._id = ""
        self._calls: list[tuple[_Call, str]] = []

    def take(self, response: _Response) -> str:
        """The text of one response."""
        if bytes(response.error) != b"null":
            raise refusal(200, {"error": loaded(bytes(response.error))})
        self._model = self._model or response.model_version or ""
        self._id = self._id or response.response_id or ""
        if response.usage_metadata is not None:
            self.usage = _usage(response.usage_metadata)
        if response.prompt_feedback is not None and response.prompt_feedback.block_reason:
            self._blocked = response.prompt_feedback.block_reason
            self.complete = True
        for candidate in response.candidates or ():
            if not candidate.index:  # one answer is asked for
                return self._take_candidate(candidate)
        return ""

    def _take_candidate(self, candidate: _Candidate) -> str:
        if candidate.finish_reason:
            self.finish, self.complete = candidate.finish_reason, True
            self._message = candidate.finish_message or ""
        texts: list[str] = []
        for part in (candidate.content.parts if candidate.content else None) or ():
            if part.function_call is not None:
                self._calls.append((part.function_call, part.thought_signature or ""))
            elif part.text and not part.thought:
                texts.append(part.text)
        bounded(len(self._calls))
        return "".join(texts)

    def reply(self, text: str) -> ChatReply:
        """The whole. Raises `ContentFiltered` or `InvalidReply` where there is no answer."""
        if self._blocked and not text:
            raise ContentFiltered(f"the prompt was blocked: {words(self._blocked)}", status=200)
        finish = _FINISH.get(self.finish or "", "stop")
        if finish == "filtered" and not text:
            raise ContentFiltered(f"the answer was withheld: {self._why()}", status=200)
        if self.finish in _MALFORMED and not text:
            raise InvalidReply(f"the model's answer can't be used: {self._why()}", status=200)
        calls = tuple(self._call(place, *call) for place, call in enumerate(self._calls))
        if calls and finish == "stop":  # there is no reason of its own for them
            finish = "tool_calls"
        return ChatReply(text, self._model, self.usage, finish, self._id, calls)

    def _why(self) -> str:
        return words(f"{self.finish} {self._message}")

    def _call(self, place: int, call: _Call, signature: str) -> ToolCall:
        """Where a call has no id, the reply's and its place make one that is unique in a conversation."""
        made = f"call_{self._id}_{place}" if self._id else f"call_{place}"
        return ToolCall(call.id or made, call.name or "", compact(bytes(call.args)), signature)


def decode(body: bytes) -> ChatReply:
    """The reply in a 200's body.

    Raises:
        InvalidReply: the body is no answer.
        ContentFiltered: the prompt was blocked, or the answer withheld.
        CallError: the body is an error: some gateways send it with a 200.
    """
    answer = _Answer()
    response = read(_DECODER, body, "an answer of generateContent")
    text = answer.take(response)
    if not response.candidates and not answer.complete:
        raise InvalidReply("the reply has no candidates", status=200)
    return answer.reply(text)


def _usage(usage: _Usage) -> Usage:
    """Thoughts are billed as output and counted beside it; what was cached is part of the prompt."""
    thoughts = count(usage.thoughts_token_count)
    return Usage(
        count(usage.prompt_token_count) + count(usage.tool_use_prompt_token_count),
        count(usage.candidates_token_count) + thoughts,
        count(usage.cached_content_token_count),
        thoughts,
    )


class GeminiStream(EventStream):
    """Responses as events; the last one has a `finishReason`. Nothing else says that the stream is whole."""

    def __init__(self) -> None:
        super().__init__()
        self._answer = _Answer()

    def _take(self, event: Event) -> None:
        self._say(self._answer.take(read(_DECODER, event.data, "an answer of streamGenerateContent")))
        self.usage = self._answer.usage

    def _reply(self) -> ChatReply:
        if not self._answer.complete:
            raise ConnectionFault("the stream ended before the answer did")
        return self._answer.reply(self.text)


# Errors ---------------------------------------------------------------------------------------------------------------

_BY_RPC: Final[Mapping[str, type[CallError]]] = {
    "RESOURCE_EXHAUSTED": RateLimited,
    "UNAVAILABLE": ServerFault,
    "INTERNAL": ServerFault,
    "UNKNOWN": ServerFault,
    "ABORTED": ServerFault,
    "CANCELLED": ServerFault,
    "DEADLINE_EXCEEDED": ServerFault,
    "PERMISSION_DENIED": AuthRejected,
    "UNAUTHENTICATED": AuthRejected,
    "FAILED_PRECONDITION": AuthRejected,  # billing is not enabled, or the country is not served
    "NOT_FOUND": ModelNotFound,
    "INVALID_ARGUMENT": BadRequest,
    "OUT_OF_RANGE": BadRequest,
    "UNIMPLEMENTED": BadRequest,
}
_BY_STATUS: Final[Mapping[int, type[CallError]]] = {
    401: AuthRejected,
    403: AuthRejected,
    404: ModelNotFound,
    408: ServerFault,
    409: ServerFault,
    429: RateLimited,
}
_TOO_LONG: Final = re.compile(r"token count.{0,40}exceeds")


def classify(status: int, headers: Mapping[str, str], body: bytes, *, wall: float) -> CallError:
    """The error that a reply other than 200 stands for; the longest wait that it asks for, by header or `RetryInfo`."""
    said = loaded(body)
    if isinstance(said, list) and said:  # a stream's refusal comes as a list of one
        said = said[0]
    wait = retry_after(headers, wall=wall)
    return refusal(status, said if isinstance(said, dict) else raw_words(body), wait=wait)


def refusal(status: int, said: Any, *, wait: float | None = None) -> CallError:
    """The error that a `google.rpc.Status`, or bare words, stand for. A status of 200 is an error in mid-stream."""
    error = said.get("error") if isinstance(said, dict) else said
    if not isinstance(error, dict):
        error = {"message": error}
    message, details = words(plain(error.get("message"))), _details(error.get("details"))
    code = error.get("code")
    meant = status if status != 200 else code if isinstance(code, int) and 400 <= code < 600 else 500
    kind = _BY_RPC.get(plain(error.get("status"))) or _BY_STATUS.get(meant)
    kind = kind or (ServerFault if meant >= 500 else BadRequest)
    if kind is BadRequest:
        if _TOO_LONG.search(message):
            kind = ContextTooLong
        elif "API key" in message or any(detail.get("reason") == "API_KEY_INVALID" for detail in details):
            kind = AuthRejected
    where = f"HTTP {status}" if status != 200 else "in the reply"
    return kind(f"{where}: {message}", retry_after=_longest(wait, details), status=status)


def _details(details: Any) -> Sequence[dict[str, Any]]:
    return [one for one in details[:64] if isinstance(one, dict)] if isinstance(details, list) else []


def _longest(wait: float | None, details: Sequence[dict[str, Any]]) -> float | None:
    asked = [duration(plain(one.get("retryDelay"))) for one in details if "retryDelay" in one]
    waits = [min(seconds, LONGEST_S) for seconds in asked if seconds >= 0]
    return max([*waits, *([] if wait is None else [wait])], default=None)
