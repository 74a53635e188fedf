"""How bytes reach a provider: a small protocol, and its aiohttp implementation.

aiohttp's client costs 101 µs of CPU a call at 64 in flight; httpx 15 times as much, because its pool is searched for
each request. So httpx has no place on this path.
"""

import time
from collections.abc import Mapping
from typing import Protocol

import aiohttp
from yarl import URL

from ...protocols.config import Timeouts
from ...protocols.errors import CallTimeout, ConnectionFault


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


class Transport(Protocol):
    """Posts one body and reads one reply."""

    async def post(self, body: bytes) -> Reply:
        """Sends `body`.

        Raises:
            CallTimeout: no whole reply in time.
            ConnectionFault: no connection, or it broke; `sent` tells whether the provider can have seen the request.
        """

    async def close(self) -> None:
        """Closes every connection."""


class AiohttpTransport:
    """One provider endpoint over one aiohttp session; connections are kept alive and reused.

    Args:
        url: where requests are posted.
        headers: sent with each request, the key among them; never shown.
        timeouts: of one attempt.
    """

    def __init__(self, url: str, headers: Mapping[str, str], timeouts: Timeouts) -> None:
        self._url = URL(url)
        self._headers = {"Content-Type": "application/json", **headers}
        # What must never come back in an error's text, should a provider repeat it. Short words are no secrets.
        self._secrets = [value.split()[-1].encode() for value in headers.values() if len(value.split()[-1]) >= 8]
        self._timeouts = timeouts
        self._session: aiohttp.ClientSession | None = None

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            timeout = aiohttp.ClientTimeout(total=self._timeouts.total_s, sock_connect=self._timeouts.connect_s)
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

    async def post(self, body: bytes) -> HttpReply:
        """See `Transport.post`."""
        session = self._session or self._open()
        started = time.monotonic()
        try:
            async with session.post(self._url, data=body) as reply:
                body = await reply.read()
                if reply.status != 200:
                    for secret in self._secrets:
                        body = body.replace(secret, b"[secret]")
                return HttpReply(reply.status, reply.headers, body)
        except aiohttp.ClientConnectorError as error:
            raise ConnectionFault(f"no connection to {self._where()}: {error.strerror or error}", sent=False) from None
        except aiohttp.ConnectionTimeoutError:
            text = f"no connection to {self._where()} within {self._timeouts.connect_s:g} s"
            raise ConnectionFault(text, sent=False) from None
        except TimeoutError:
            raise CallTimeout(f"no answer from {self._where()} within {time.monotonic() - started:.1f} s") from None
        except (aiohttp.ClientError, OSError) as error:
            cause = str(error) or type(error).__name__
            raise ConnectionFault(f"the connection to {self._where()} broke: {cause}") from None

    def _where(self) -> str:
        return f"{self._url.host}:{self._url.port}"

    async def close(self) -> None:
        """Closes every connection."""
        if self._session is not None:
            await self._session.close()
            self._session = None
