"""How bytes reach a provider: a small protocol, and its aiohttp implementation.

aiohttp's client costs 101 µs of CPU a call at 64 in flight; httpx 15 times as much, because its pool is searched for
each request. So httpx has no place on this path.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Mapping
from typing import Protocol

import aiohttp
from aiohttp.hdrs import CONTENT_ENCODING
from yarl import URL

from ...protocols.config import Timeouts
from ...protocols.errors import CallTimeout, ConnectionFault, InvalidReply
from ..guard import Deadlines, Guard

MAX_REPLY = 16 * 1024 * 1024
"""A larger reply is refused while it is read, so that no provider fills our memory."""
_PIECE = 64 * 1024
_CAUSE = 300
"""Characters of what an error of the connection says."""


class Reply(Protocol):
    """What a transport gives back: status, headers looked up without regard to case, and the whole body."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class HttpReply:
    """A reply that was read to its end."""

    __slots__ = ("body", "headers", "status")

    def __init__(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        self.status = status
        self.headers = headers
        self.body = body


class Streamed(Protocol):
    """A reply whose body is read piece by piece; what is not read is not fetched either."""

    status: int
    headers: Mapping[str, str]

    async def read(self, patience_s: float) -> bytes:
        """The next piece, empty at the end.

        Raises:
            CallTimeout: none came within `patience_s`.
            ConnectionFault: the connection broke.
        """


class Transport(Protocol):
    """Posts one body and reads one reply, whole or piece by piece. `target` is a path below the provider's URL."""

    async def post(self, target: str, body: bytes) -> Reply:
        """Sends `body`.

        Raises:
            CallTimeout: no whole reply in time.
            ConnectionFault: no connection, or it broke; `sent` tells whether the provider can have seen the request.
            InvalidReply: the reply is too large.
        """

    def stream(self, target: str, body: bytes) -> contextlib.AbstractAsyncContextManager[Streamed]:
        """Sends `body`; the same errors. Leaving before the end closes the connection."""

    def redact(self, text: str) -> str:
        """`text` without any secret that the transport sends."""

    async def close(self) -> None:
        """Closes every connection."""


class AiohttpTransport:
    """One provider endpoint over one aiohttp session; connections are kept alive and reused.

    Args:
        url: the account's base URL.
        headers: sent with each request, the key among them; never shown.
        timeouts: of one attempt.
    """

    def __init__(self, url: str, headers: Mapping[str, str], timeouts: Timeouts) -> None:
        self._base = url.rstrip("/")
        self._urls: dict[str, URL] = {}
        self._headers = {"Content-Type": "application/json", **headers}
        # What must never come back in an error's text, should a provider repeat it. Short words are no secrets.
        words = [value.split()[-1] for value in headers.values() if value.split()]
        self._secrets = [word for word in words if len(word) >= 8]
        self._timeouts = timeouts
        self._deadlines = Deadlines()
        self._session: aiohttp.ClientSession | None = None

    def __repr__(self) -> str:
        return f"AiohttpTransport({self.where()})"

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            # No total: aiohttp makes a timer and two timer contexts for it a request, 12 µs; a guard costs 1 µs.
            timeout = aiohttp.ClientTimeout(total=None, sock_connect=self._timeouts.connect_s)
            # No limit of connections: how many calls are out is decided by leases, nowhere else.
            connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=60, ttl_dns_cache=60)
            self._session = aiohttp.ClientSession(
                connector=connector,
                headers=self._headers,
                timeout=timeout,
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=True,
            )
        return self._session

    def _url(self, target: str) -> URL:
        url = self._urls.get(target)
        if url is None:
            # Already encoded: a colon in Gemini's paths has to stay one.
            url = self._urls[target] = URL(self._base + target, encoded=True)
        return url

    async def post(self, target: str, body: bytes) -> HttpReply:
        """See `Transport.post`."""
        session = self._session or self._open()
        started = time.monotonic()
        guard = Guard(started + self._timeouts.total_s, self._deadlines)
        try:
            with guard:
                return await self._post(session, target, body)
        except TimeoutError as error:
            raise self._late(error, started) from None
        except (aiohttp.ClientError, OSError) as error:
            raise self.fault(error) from None
        raise CallTimeout(f"no answer from {self.where()} within {time.monotonic() - started:.1f} s")

    async def _post(self, session: aiohttp.ClientSession, target: str, body: bytes) -> HttpReply:
        # Redirects are not followed: they would carry the key to another host.
        reply = await session.post(self._url(target), data=body, allow_redirects=False)
        # Not `async with`, 2 µs: a connection whose reply was read to its end is free by then, any other one is closed.
        try:
            body = await _read(reply)
        except BaseException:
            reply.close()
            raise
        return HttpReply(reply.status, reply.headers, body if reply.status == 200 else self.cleaned(body))

    @contextlib.asynccontextmanager
    async def stream(self, target: str, body: bytes) -> AsyncIterator["AiohttpStream"]:
        """See `Transport.stream`."""
        session = self._session or self._open()
        started = time.monotonic()
        first_until = started + (self._timeouts.first_s or self._timeouts.total_s)
        reply = None
        try:
            with Guard(first_until, self._deadlines):
                reply = await session.post(self._url(target), data=body, allow_redirects=False)
        except TimeoutError as error:
            raise self._late(error, started) from None
        except (aiohttp.ClientError, OSError) as error:
            raise self.fault(error) from None
        if reply is None:
            raise CallTimeout(f"{self.where()}: no first words for {time.monotonic() - started:.1f} s")
        try:
            yield AiohttpStream(reply, self, first_until, started + self._timeouts.total_s)
        finally:
            reply.close()  # a connection whose reply was read to its end is kept by then; any other one is closed

    def redact(self, text: str) -> str:
        """See `Transport.redact`."""
        for secret in self._secrets:
            text = text.replace(secret, "[secret]")
            # An error repeats so many characters of a provider's words and no more: they may end within a secret.
            cut = next((size for size in range(len(secret) - 1, 5, -1) if text.endswith(secret[:size])), 0)
            text = f"{text[:-cut]}[secret]" if cut else text
        return text

    def cleaned(self, body: bytes) -> bytes:
        """`body` without any secret."""
        for secret in self._secrets:
            body = body.replace(secret.encode(), b"[secret]")
        return body

    def _late(self, error: TimeoutError, started: float) -> CallTimeout | ConnectionFault:
        if isinstance(error, aiohttp.ConnectionTimeoutError):
            text = f"no connection to {self.where()} within {self._timeouts.connect_s:g} s"
            return ConnectionFault(text, sent=False)
        return CallTimeout(f"no answer from {self.where()} within {time.monotonic() - started:.1f} s")

    def fault(self, error: Exception) -> ConnectionFault:
        """What an error of the connection is to a caller."""
        if isinstance(error, aiohttp.ClientConnectorError):
            return ConnectionFault(f"no connection to {self.where()}: {error.strerror or error}", sent=False)
        cause = " ".join(self.redact(str(error)).split())[:_CAUSE] or type(error).__name__
        return ConnectionFault(f"the connection to {self.where()} broke: {cause}")

    def where(self) -> str:
        """Host and port, for error texts."""
        url = self._url("")
        return f"{url.host}:{url.port}"

    async def close(self) -> None:
        """Closes every connection."""
        if self._session is not None:
            await self._session.close()
            self._session = None


class AiohttpStream:
    """See `Streamed`. The reader's own buffer is the back-pressure: it stops reading the socket at 128 KB."""

    def __init__(
        self, reply: aiohttp.ClientResponse, owner: AiohttpTransport, first_until: float, until: float
    ) -> None:
        self.status = reply.status
        self.headers: Mapping[str, str] = reply.headers
        self._reply = reply
        self._owner = owner
        self._first_until = first_until
        self._until = until
        self._first = True

    async def read(self, patience_s: float) -> bytes:
        """See `Streamed.read`."""
        now = time.monotonic()
        patience_s = self._first_until - now if self._first else patience_s
        wait_s = max(0.001, min(patience_s, self._until - now))
        owner = self._owner
        try:
            async with asyncio.timeout(wait_s):
                piece = await self._reply.content.readany()
        except TimeoutError:
            what = "no first words" if self._first else "silence in mid-stream"
            raise CallTimeout(f"{owner.where()}: {what} for {wait_s:.1f} s") from None
        except (aiohttp.ClientError, OSError) as error:
            raise owner.fault(error) from None
        self._first = False
        return piece if self.status == 200 else owner.cleaned(piece)


async def _read(reply: aiohttp.ClientResponse) -> bytes:
    """The whole body, up to `MAX_REPLY` bytes."""
    length = reply.content_length
    if (length or 0) > MAX_REPLY:
        raise InvalidReply(f"the reply has {length} bytes; more than {MAX_REPLY} are refused")
    # What is compressed may be larger than it says.
    known = length is not None and CONTENT_ENCODING not in reply.headers
    return await reply.read() if known else await _bounded(reply.content)


async def _bounded(content: aiohttp.StreamReader) -> bytes:
    """A body of unknown length, up to `MAX_REPLY` bytes."""
    pieces, size = [], 0
    async for piece in content.iter_chunked(_PIECE):
        pieces.append(piece)
        size += len(piece)
        if size > MAX_REPLY:
            raise InvalidReply(f"the reply has more than {MAX_REPLY} bytes, which are refused")
    return b"".join(pieces)
