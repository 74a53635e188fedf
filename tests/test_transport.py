"""The aiohttp transport against a real server on the loopback interface."""

import asyncio
import socket

import pytest
from aiohttp import web

from understudy.actors.channel.transport import AiohttpTransport
from understudy.protocols.config import Timeouts
from understudy.protocols.errors import CallTimeout, ConnectionFault

pytestmark = pytest.mark.sockets

KEY = "sk-canary-0123456789"


async def _serve(handler: object) -> tuple[web.ServerRunner, str]:
    runner = web.ServerRunner(web.Server(handler), shutdown_timeout=0.1)  # type: ignore[arg-type]
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    return runner, f"http://127.0.0.1:{runner.addresses[0][1]}/v1"


def _transport(url: str, **timeouts: float) -> AiohttpTransport:
    return AiohttpTransport(url, {"Authorization": f"Bearer {KEY}"}, Timeouts(**timeouts))


async def test_a_repeated_key_is_redacted() -> None:
    """A provider that repeats the key in its error leaks it nowhere."""

    async def refuse(request: web.BaseRequest) -> web.Response:
        return web.json_response({"error": {"message": f"bad key {request.headers['Authorization']}"}}, status=401)

    runner, url = await _serve(refuse)
    transport = _transport(url)
    reply = await transport.post(b"{}")
    await transport.close()
    await runner.cleanup()
    assert reply.status == 401
    assert KEY.encode() not in reply.body
    assert b"[secret]" in reply.body


async def test_no_answer_in_time() -> None:
    """A server that does not answer in time is a timeout, which the provider may have seen."""

    async def silent(_: web.BaseRequest) -> web.Response:
        await asyncio.get_running_loop().create_future()
        raise AssertionError

    runner, url = await _serve(silent)
    transport = _transport(url, total_s=0.1)
    with pytest.raises(CallTimeout) as caught:
        await transport.post(b"{}")
    await transport.close()
    await runner.cleanup()
    assert caught.value.sent


async def test_nobody_listens() -> None:
    """A refused connection was certainly never sent, so it can't have been billed."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    transport = _transport(f"http://127.0.0.1:{port}/v1")
    with pytest.raises(ConnectionFault) as caught:
        await transport.post(b"{}")
    await transport.close()
    assert not caught.value.sent
