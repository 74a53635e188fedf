"""The aiohttp transport against a real server on the loopback interface."""

import asyncio
import socket

import pytest
from aiohttp import web

from understudy.actors.channel.transport import MAX_REPLY, AiohttpTransport
from understudy.protocols.config import Timeouts
from understudy.protocols.errors import CallTimeout, ConnectionFault, InvalidReply

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
    reply = await transport.post("/chat", b"{}")
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
        await transport.post("/chat", b"{}")
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
        await transport.post("/chat", b"{}")
    await transport.close()
    assert not caught.value.sent


@pytest.mark.parametrize("whole", [True, False])
async def test_connections_are_used_again(whole: bool) -> None:
    """A reply that was read leaves its connection to the next request, whether its length was told or not."""
    ports = []

    async def talk(request: web.BaseRequest) -> web.StreamResponse:
        assert request.transport is not None
        ports.append(request.transport.get_extra_info("peername")[1])
        await request.read()
        if whole:
            return web.Response(body=b"fine")
        reply = web.StreamResponse()
        await reply.prepare(request)
        await reply.write(b"fine")
        return reply

    runner, url = await _serve(talk)
    transport = _transport(url)
    for _ in range(3):
        assert (await transport.post("/chat", b"{}")).body == b"fine"
    await transport.close()
    await runner.cleanup()
    assert len(ports) == 3
    assert len(set(ports)) == 1


async def _pieces(transport: AiohttpTransport, patience_s: float = 5.0) -> list[bytes]:
    found = []
    async with transport.stream("/chat", b"{}") as reply:
        while piece := await reply.read(patience_s):
            found.append(piece)
    return found


async def test_a_stream_is_read_as_it_comes() -> None:
    """Pieces arrive before the reply is complete, and the connection is used again after its end."""
    go_on = asyncio.Event()
    ports = set()

    async def talk(request: web.BaseRequest) -> web.StreamResponse:
        assert request.transport is not None
        ports.add(request.transport.get_extra_info("peername")[1])
        reply = web.StreamResponse()
        await reply.prepare(request)
        await reply.write(b"one")
        await go_on.wait()
        await reply.write(b"two")
        return reply

    runner, url = await _serve(talk)
    transport = _transport(url)
    async with transport.stream("/chat", b"{}") as reply:
        assert await reply.read(5.0) == b"one"
        go_on.set()
        assert await reply.read(5.0) == b"two"
        assert await reply.read(5.0) == b""
    assert b"".join(await _pieces(transport)) == b"onetwo"
    await transport.close()
    await runner.cleanup()
    assert len(ports) == 1


@pytest.mark.parametrize(("first_s", "gap_s", "said"), [(0.1, 5.0, "no first words"), (5.0, 0.1, "silence")])
async def test_a_stream_that_falls_silent(first_s: float, gap_s: float, said: str) -> None:
    """Silence before the first words and silence between two pieces each have their own patience."""

    async def stall(request: web.BaseRequest) -> web.StreamResponse:
        reply = web.StreamResponse()
        await reply.prepare(request)
        if said == "silence":
            await reply.write(b"one")
        await asyncio.get_running_loop().create_future()
        return reply

    runner, url = await _serve(stall)
    transport = _transport(url, first_s=first_s)
    with pytest.raises(CallTimeout, match=said):
        await _pieces(transport, gap_s)
    await transport.close()
    await runner.cleanup()


async def test_a_stream_that_is_left_closes_its_socket() -> None:
    """Leaving a stream before its end ends it at the provider."""
    gone = asyncio.Event()

    async def endless(request: web.BaseRequest) -> web.StreamResponse:
        reply = web.StreamResponse()
        await reply.prepare(request)
        try:
            await reply.write(b"one")
            await asyncio.get_running_loop().create_future()
        except asyncio.CancelledError:
            gone.set()
            raise
        return reply

    runner = web.ServerRunner(web.Server(endless, handler_cancellation=True), shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    transport = _transport(f"http://127.0.0.1:{runner.addresses[0][1]}/v1")
    async with transport.stream("/chat", b"{}") as reply:
        await reply.read(5.0)
    async with asyncio.timeout(2.0):
        await gone.wait()
    await transport.close()
    await runner.cleanup()


async def test_a_redirect_is_not_followed() -> None:
    """A redirect would carry the key to another host: it is a reply like any other, which its codec refuses."""

    async def away(_: web.BaseRequest) -> web.Response:
        return web.Response(status=307, headers={"Location": "http://127.0.0.1:1/"})

    runner, url = await _serve(away)
    transport = _transport(url)
    assert (await transport.post("/chat", b"{}")).status == 307
    await transport.close()
    await runner.cleanup()


@pytest.mark.parametrize("told", [True, False])
async def test_a_reply_without_end_is_refused(*, told: bool) -> None:
    """A reply above the bound is not read into memory, whether its length is told or not."""

    async def flood(request: web.BaseRequest) -> web.StreamResponse:
        reply = web.StreamResponse(headers={"Content-Length": str(MAX_REPLY + 1)} if told else {})
        await reply.prepare(request)
        piece = b"x" * 1_000_000
        for _ in range(17):
            await reply.write(piece)
        return reply

    runner, url = await _serve(flood)
    transport = _transport(url)
    with pytest.raises(InvalidReply):
        await transport.post("/chat", b"{}")
    await transport.close()
    await runner.cleanup()


def test_nothing_shown_of_a_transport_holds_its_key() -> None:
    """Neither its text nor its errors hold the key."""
    transport = _transport("http://127.0.0.1:9/v1")
    assert KEY not in repr(transport)
    assert transport.redact(f"no {KEY} here") == "no [secret] here"
