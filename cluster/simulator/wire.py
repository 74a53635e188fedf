"""HTTP as all dialects share it: heads, chunks, and the three forms of Retry-After."""

import math
from email.utils import formatdate

import orjson

from .settings import RetryAfterForm

_REASONS = {
    200: "OK",
    400: "Bad Request",
    401: "Unauthorized",
    402: "Payment Required",
    403: "Forbidden",
    404: "Not Found",
    413: "Payload Too Large",
    429: "Too Many Requests",
    500: "Internal Server Error",
    503: "Service Unavailable",
    529: "Overloaded",
}
_STATUS_LINES = {status: f"HTTP/1.1 {status} {reason}\r\n" for status, reason in _REASONS.items()}


def head(status: int, length: int | None, lines: str) -> bytes:
    """Status line and headers; ``length`` None: a chunked event stream; ``lines``: with their CRLF."""
    body = (
        "Content-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n"
        if length is None
        else f"Content-Type: application/json\r\nContent-Length: {length}\r\n"
    )
    return f"{_STATUS_LINES[status]}{body}{lines}\r\n".encode()


def chunked(data: bytes) -> bytes:
    """One chunk of a chunked body (RFC 9112 §7.1)."""
    return b"%x\r\n%b\r\n" % (len(data), data)


LAST_CHUNK = b"0\r\n\r\n"


def sse(data: object, name: str = "", end: bytes = b"\n\n") -> bytes:
    """One server-sent event of JSON data; with its name where the dialect names its events."""
    lead = f"event: {name}\n".encode() if name else b""
    return lead + b"data: " + orjson.dumps(data) + end


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
