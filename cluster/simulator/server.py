"""The simulator's sockets: HTTP in, plans carried out, HTTP out. No decisions here.

aiohttp's low-level server without its router, and replies written as ready bytes.
"""

import asyncio
import gc
import os
import signal
import sys
import time
from dataclasses import dataclass
from typing import cast

import orjson
from aiohttp import web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.http_parser import RawRequestMessage
from aiohttp.streams import StreamReader
from aiohttp.web_protocol import RequestHandler
from pydantic import ValidationError

from .dialect import Dialect, Failure, Stamp, Target
from .dialect_openai import error_body
from .engine import Engine
from .judge import summary_to_json
from .ledger import Ledger, to_lines
from .plan import Plan
from .routes import find, key_of, lister
from .settings import Control, Settings

_PAGE = 100_000  # records in one answer of /ledger: 35 MB, and 50 ms of the loop


class _RawReply:
    """A reply whose bytes are ready, in the shape that aiohttp's server asks of a response."""

    __slots__ = ("_data", "_transport", "keep_alive")

    def __init__(self, request: web.BaseRequest, data: bytes) -> None:
        self.keep_alive = request.keep_alive
        self._transport = request.transport
        self._data = data

    async def prepare(self, request: web.BaseRequest) -> None:
        """Nothing: the head is part of the bytes."""

    async def write_eof(self) -> None:
        """Hand the bytes to the socket."""
        if self._transport is None:
            raise ConnectionResetError("the client is gone")
        if self._data:
            self._transport.write(self._data)


def _raw(request: web.BaseRequest, data: bytes) -> web.StreamResponse:
    # aiohttp asks for prepare(), write_eof() and keep_alive only. Measured, 64 in flight, CPU of the server a
    # call (means of three interleaved runs on a busy machine): 117 us this way, 146 by web.Response, 177
    # through the router as well.
    return cast("web.StreamResponse", _RawReply(request, data))


class Handler:
    """Answers one HTTP request after another with what the engine decides."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._started_wall = time.time()
        self._pages = {
            ("GET", "/ledger"): self._ledger,
            ("GET", "/ledger/summary"): self._summary,
            ("GET", "/health"): self._health,
            ("POST", "/control"): self._control,
        }

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        """Route a request by its path."""
        path, _, query = request.raw_path.partition("?")
        if request.method == "POST":
            target = find(path, query, request.headers)
            if target is not None:
                return await self._call(request, target, query)
        page = self._pages.get((request.method, path))
        if page is not None:
            return await page(request)
        dialect = lister(path, request.headers) if request.method == "GET" else None
        if dialect is not None:
            return self._models(request, dialect, query)
        return _refusal(404, f"Unknown request URL: {request.method} {path}.")

    async def _call(self, request: web.BaseRequest, target: Target, query: str) -> web.StreamResponse:
        key = key_of(target.dialect, request.headers, query)
        peer = request.protocol.peername
        port = peer[1] if isinstance(peer, tuple) else 0
        engine = self.engine
        try:
            body = await request.read()
        except web.HTTPRequestEntityTooLarge:
            plan = engine.too_large(key, now=time.monotonic(), wall=time.time(), port=port, target=target)
        else:
            plan = engine.arrive(
                body,
                key,
                now=time.monotonic(),
                wall=time.time(),
                port=port,
                request_id=request.headers.get("x-request-id"),
                target=target,
            )
        try:
            if plan.delay_s > 0:
                await asyncio.sleep(plan.delay_s)
            reply = await _carry_out(plan, request)
        except (asyncio.CancelledError, ConnectionError):
            engine.finish(plan, now=time.monotonic(), client_left=True)
            raise
        engine.finish(plan, now=time.monotonic())
        return reply

    def _models(self, request: web.BaseRequest, dialect: Dialect, query: str) -> web.StreamResponse:
        if not self.engine.knows(key_of(dialect, request.headers, query)):
            spoken = dialect.error(Failure("auth"), Stamp(0, time.time()))
            return _json(spoken.body, spoken.status)
        return _json(dialect.models(self.engine.settings.models, self._started_wall))

    async def _ledger(self, request: web.BaseRequest) -> web.StreamResponse:
        try:
            since = int(request.query.get("since", "0"))
            limit = int(request.query.get("limit", str(_PAGE)))
        except ValueError:
            return _refusal(400, "since and limit are whole numbers.")
        page = self.engine.ledger.page(max(0, since), max(0, min(limit, _PAGE)))
        return web.Response(body=to_lines(page), content_type="application/x-ndjson")

    async def _summary(self, _: web.BaseRequest) -> web.StreamResponse:
        return _json(summary_to_json(self.engine.summary()))

    async def _health(self, _: web.BaseRequest) -> web.StreamResponse:
        engine = self.engine
        state = {"status": "ok", "in_flight": engine.in_flight, "requests": engine.ledger.arrived}
        return _json(orjson.dumps(state))

    async def _control(self, request: web.BaseRequest) -> web.StreamResponse:
        try:
            command = Control.model_validate_json(await request.read())
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"])) or "the body"
            return _refusal(400, f"{where}: {first['msg']}")
        self.engine.control(command)
        return _json(b'{"status":"ok"}')


async def _carry_out(plan: Plan, request: web.BaseRequest) -> web.StreamResponse:
    """Do what a plan says. Raises ConnectionError if the client is gone."""
    transport = request.transport
    if transport is None:
        raise ConnectionResetError("the client is gone")
    if plan.action == "reply":
        return _raw(request, plan.parts[0])
    for index, part in enumerate(plan.parts):
        if index and plan.pause_s > 0:
            await asyncio.sleep(plan.pause_s)
        transport.write(part)
        plan.sent = index + 1
    if plan.hold_s > 0:
        await asyncio.sleep(plan.hold_s)
    if plan.action != "stream":
        # Flushes what was written, then ends the connection: the client misses the rest of the reply.
        transport.close()
    return _raw(request, b"")


def _json(body: bytes, status: int = 200) -> web.StreamResponse:
    return web.Response(body=body, status=status, content_type="application/json")


def _refusal(status: int, message: str, code: str | None = None) -> web.StreamResponse:
    return _json(error_body(message, "invalid_request_error", code), status)


@dataclass(slots=True)
class Running:
    """A simulator that serves: where, and its books."""

    engine: Engine
    host: str
    port: int
    _web: web.Server
    _listener: asyncio.Server

    @property
    def url(self) -> str:
        """Base URL without a path; the protocol is under ``/v1``."""
        return f"http://{self.host}:{self.port}"

    @property
    def ledger(self) -> Ledger:
        """The live ledger."""
        return self.engine.ledger

    async def close(self) -> None:
        """Stop listening and close every connection; requests in flight are booked as cancelled."""
        self._listener.close()
        for connection in self._web.connections:
            connection.force_close()
        # One turn for the connections to be told, which cancels their handlers.
        await asyncio.sleep(0)
        await self._web.shutdown(timeout=0.5)
        await self._listener.wait_closed()


async def serve(settings: Settings, host: str = "127.0.0.1", port: int = 0) -> Running:
    """Start a simulator in this loop; port 0 takes a free one. Raises OSError if the address is taken."""
    engine = Engine(settings, now=time.monotonic())
    loop = asyncio.get_running_loop()

    def make_request(
        message: RawRequestMessage,
        payload: StreamReader,
        protocol: RequestHandler,
        writer: AbstractStreamWriter,
        task: "asyncio.Task[None]",
    ) -> web.BaseRequest:
        return web.BaseRequest(message, payload, protocol, writer, task, loop, client_max_size=settings.max_body_bytes)

    server = web.Server(Handler(engine), request_factory=make_request, handler_cancellation=True, access_log=None)
    listener = await loop.create_server(server, host, port, backlog=4096)
    bound = listener.sockets[0].getsockname()[1]
    return Running(engine, host, bound, server, listener)


def run(settings: Settings, host: str = "127.0.0.1", port: int = 8080, *, stop_with_stdin: bool = False) -> None:
    """Serve in this process until SIGINT or SIGTERM, or until stdin is closed if so asked.

    Prints one JSON line ``{"url", "pid"}`` to stdout once it listens. Raises OSError if the address is taken.
    """
    asyncio.run(_run(settings, host, port, stop_with_stdin=stop_with_stdin))


async def _run(settings: Settings, host: str, port: int, *, stop_with_stdin: bool) -> None:
    running = await serve(settings, host, port)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    if stop_with_stdin:
        _on_stdin_end(stop)
    # What lives now lives to the end: the collector need not look at it again.
    gc.freeze()
    sys.stdout.write(orjson.dumps({"url": running.url, "pid": os.getpid()}).decode() + "\n")
    sys.stdout.flush()
    await stop.wait()
    await running.close()


def _on_stdin_end(stop: asyncio.Event) -> None:
    loop = asyncio.get_running_loop()
    fd = sys.stdin.fileno()

    def read() -> None:
        if not os.read(fd, 4096):
            loop.remove_reader(fd)
            stop.set()

    loop.add_reader(fd, read)
