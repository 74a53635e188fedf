"""The OpenAI protocol as a provider writes it: bodies, stream chunks, error shapes, rate-limit headers.

Source: platform.openai.com/docs/api-reference/chat and /docs/guides/rate-limits (headers in a reply).
"""

import math
from dataclasses import dataclass
from email.utils import formatdate
from typing import Any

import orjson

from .answers import TOKENIZER, TOKENS_PER_MESSAGE, ChatRequest, Reply
from .quota import Standing
from .settings import ModelSettings, RetryAfterForm

_REASONS = {
    200: "OK",
    400: "Bad Request",
    401: "Unauthorized",
    404: "Not Found",
    413: "Payload Too Large",
    429: "Too Many Requests",
    500: "Internal Server Error",
    503: "Service Unavailable",
}
_STATUS_LINES = {status: f"HTTP/1.1 {status} {reason}\r\n" for status, reason in _REASONS.items()}


@dataclass(frozen=True, slots=True)
class Stamp:
    """What names a reply: the request's ordinal and the wall time in seconds."""

    ordinal: int
    wall: float


def error_body(message: str, kind: str, code: str | None, param: str | None = None) -> bytes:
    """OpenAI's error object."""
    return orjson.dumps({"error": {"message": message, "type": kind, "param": param, "code": code}})


def usage(request: ChatRequest, reply: Reply) -> dict[str, int]:
    """OpenAI's usage object."""
    return {
        "prompt_tokens": request.prompt_tokens,
        "completion_tokens": reply.tokens,
        "total_tokens": request.prompt_tokens + reply.tokens,
    }


def completion_body(request: ChatRequest, reply: Reply, stamp: Stamp) -> bytes:
    """A whole chat.completion."""
    message = {"role": "assistant", "content": reply.text, "refusal": None}
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": reply.finish_reason}
    return orjson.dumps(
        {
            "id": f"chatcmpl-sim-{stamp.ordinal}",
            "object": "chat.completion",
            "created": int(stamp.wall),
            "model": request.model,
            "choices": [choice],
            "usage": usage(request, reply),
            "system_fingerprint": "fp_simulator",
        }
    )


def stream_events(request: ChatRequest, reply: Reply, stamp: Stamp, chunk_chars: int) -> list[bytes]:
    """The server-sent events of a streamed completion, ``[DONE]`` last; text is cut at ``chunk_chars``."""
    texts = [reply.text[at : at + chunk_chars] for at in range(0, len(reply.text), chunk_chars)]
    events = [_event(request, stamp, {"role": "assistant", "content": ""}, None)]
    events += [_event(request, stamp, {"content": text}, None) for text in texts]
    events.append(_event(request, stamp, {}, reply.finish_reason))
    if request.include_usage:
        events.append(_sse({**_chunk(request, stamp), "choices": [], "usage": usage(request, reply)}))
    events.append(b"data: [DONE]\n\n")
    return events


def _event(request: ChatRequest, stamp: Stamp, delta: dict[str, str], finish: str | None) -> bytes:
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
    chunk = {**_chunk(request, stamp), "choices": [choice]}
    if request.include_usage:
        chunk["usage"] = None
    return _sse(chunk)


def _chunk(request: ChatRequest, stamp: Stamp) -> dict[str, Any]:
    return {
        "id": f"chatcmpl-sim-{stamp.ordinal}",
        "object": "chat.completion.chunk",
        "created": int(stamp.wall),
        "model": request.model,
        "system_fingerprint": "fp_simulator",
    }


def _sse(data: object) -> bytes:
    return b"data: " + orjson.dumps(data) + b"\n\n"


def models_body(models: dict[str, ModelSettings], created: float) -> bytes:
    """``GET /v1/models``, with the fields a client of the simulator needs to count and to price."""
    data = [
        {
            "id": name,
            "object": "model",
            "created": int(created),
            "owned_by": "simulator",
            "context_window": model.context_window,
            "max_output_tokens": model.max_output,
            "input_price_per_million": format(model.input_price, "f"),
            "output_price_per_million": format(model.output_price, "f"),
            "tokenizer": TOKENIZER,
            "tokens_per_message": TOKENS_PER_MESSAGE,
        }
        for name, model in models.items()
    ]
    return orjson.dumps({"object": "list", "data": data})


def retry_after(form: RetryAfterForm, wait_s: float, *, wall: float) -> tuple[str, float]:
    """A header line that tells a client to wait at least ``wait_s``, and the seconds it truly tells.

    Each form rounds up: whole seconds, whole milliseconds, or an HTTP date (RFC 9110 §10.2.3), which has
    whole seconds of wall time.
    """
    if form == "ms":
        told_ms = math.ceil(wait_s * 1000)
        return f"retry-after-ms: {told_ms}\r\n", told_ms / 1000
    if form == "date":
        date = math.ceil(wall + wait_s)
        return f"Retry-After: {formatdate(date, usegmt=True)}\r\n", date - wall
    told = math.ceil(wait_s)
    return f"Retry-After: {told}\r\n", float(told)


def ratelimit_headers(standing: Standing) -> str:
    """The ``x-ratelimit-*`` lines of the limits that exist."""
    if standing.limit_requests is None and standing.limit_tokens is None:
        return ""
    reset = duration(standing.reset_s)
    lines = ""
    if standing.limit_requests is not None:
        lines = (
            f"x-ratelimit-limit-requests: {standing.limit_requests}\r\n"
            f"x-ratelimit-remaining-requests: {standing.remaining_requests}\r\n"
            f"x-ratelimit-reset-requests: {reset}\r\n"
        )
    if standing.limit_tokens is not None:
        lines += (
            f"x-ratelimit-limit-tokens: {standing.limit_tokens}\r\n"
            f"x-ratelimit-remaining-tokens: {standing.remaining_tokens}\r\n"
            f"x-ratelimit-reset-tokens: {reset}\r\n"
        )
    return lines


def duration(seconds: float) -> str:
    """Seconds in the form of OpenAI's reset headers, rounded up to ms: 20ms, 1.2s, 6m0s, 1h2m3.5s."""
    ms = math.ceil(max(0.0, seconds) * 1000 - 1e-6)
    if ms < 1000:
        return f"{ms}ms"
    minutes, rest_ms = divmod(ms, 60_000)
    rest = f"{rest_ms / 1000:g}s"
    if not minutes:
        return rest
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes}m{rest}" if hours else f"{minutes}m{rest}"


def head(status: int, length: int | None, extra: str, ordinal: int) -> bytes:
    """Status line and headers; ``length`` None: a chunked event stream; ``extra``: lines with their CRLF."""
    body = (
        "Content-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n"
        if length is None
        else f"Content-Type: application/json\r\nContent-Length: {length}\r\n"
    )
    return f"{_STATUS_LINES[status]}{body}x-request-id: sim-{ordinal}\r\n{extra}\r\n".encode()


def processing_header(seconds: float) -> str:
    """How long a request was worked on, as OpenAI tells it: whole milliseconds, never more than it was."""
    return f"openai-processing-ms: {int(seconds * 1000)}\r\n" if seconds else ""


def chunked(data: bytes) -> bytes:
    """One chunk of a chunked body (RFC 9112 §7.1)."""
    return b"%x\r\n%b\r\n" % (len(data), data)


LAST_CHUNK = b"0\r\n\r\n"
