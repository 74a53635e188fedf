"""A planted key is nowhere to be seen: not in errors, results, logs, files, command lines, nor in what is printed.

The provider is the worst there is: whatever it says repeats all headers it was sent.
"""

import contextlib
import itertools
import json
import pickle
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import msgspec
import psutil
import pytest
from cluster_tools import CANARIES, Cluster
from matrix_tools import DIALECTS, Stage, configuration, question, stage

from understudy.actors.channel.channel import HttpChannel
from understudy.actors.channel.trace import Trace
from understudy.cluster import home
from understudy.protocols.config import Config
from understudy.protocols.errors import CallError

SECRETS = tuple(CANARIES.values())
STATUSES = (400, 404, 429, 500, 503, 529, 307, 302)
BODIES = ("error in a 200", "error event", "wrong words", "no json", "no http", "no gzip", "cut")
MODES = (*STATUSES, *BODIES)
TELLING = 14
"""So many characters of a key are a key: an error text may end within one."""


class _Echo(BaseHTTPRequestHandler):
    """Answers each request in the mode that its server is in, or in the next one."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, *_: Any) -> None:
        """Says nothing."""

    def do_GET(self) -> None:
        self._send(401, self._error(), "application/json")

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", "0")))
        server = self.server
        assert isinstance(server, EchoServer)
        mode = server.next_mode()
        if isinstance(mode, int):
            self._send(mode, self._error(), "application/json")
        else:
            self._say(mode)

    def _say(self, mode: str) -> None:
        heard, error = self._heard(), self._error()
        if mode == "error in a 200":
            self._send(200, error, "application/json")
        elif mode == "error event":
            self._send(200, b"event: error\r\ndata: " + error + b"\r\n\r\n", "text/event-stream")
        elif mode == "wrong words":
            self._send(200, self._wrong(), "application/json")
        elif mode == "no json":
            self._send(200, heard.encode(), "text/plain")
        elif mode == "no gzip":
            self._send(200, heard.encode(), "application/json", ("Content-Encoding", "gzip"))
        elif mode == "cut":
            self._send(200, error, "application/json", ("Content-Length", str(len(error) + 100)), length=False)
            self.close_connection = True
        else:
            self.wfile.write(f"HTTP/1.1 {heard} {heard}\r\n{heard}\r\n\r\n".encode())
            self.close_connection = True

    def _heard(self) -> str:
        assert isinstance(self.server, EchoServer)
        return self.server.padding + " ".join(f"{name}={value}" for name, value in self.headers.items())

    def _error(self) -> bytes:
        heard = self._heard()
        words = {"message": heard, "type": heard, "code": heard, "param": heard, "status": heard}
        details = [{"@type": heard, "reason": heard, "retryDelay": heard}]
        return json.dumps({"type": "error", "error": {**words, "details": details}, "request_id": heard}).encode()

    def _wrong(self) -> bytes:
        """Members of the right names with the wrong values."""
        heard = self._heard()
        message = {"role": heard, "content": {heard: heard}}
        choice = {"index": heard, "message": message, "finish_reason": heard, "content": heard}
        body = {"choices": [choice], "candidates": [choice], "content": [{"type": heard}], "usage": heard}
        return json.dumps(body | {"type": heard, "stop_reason": heard, "usageMetadata": heard}).encode()

    def _send(self, status: int, body: bytes, kind: str, *headers: tuple[str, str], length: bool = True) -> None:
        heard = self._heard()
        self.send_response(status, heard)
        told = [("Content-Type", kind), ("x-request-id", heard), ("Location", f"/{heard.replace(' ', '')}")]
        told += [("Retry-After", "0.05" if status == 429 else heard), ("x-ratelimit-limit-requests", heard)]
        for name, value in (*told, *headers):
            self.send_header(name, value)
        if length:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


class EchoServer(ThreadingHTTPServer):
    """`mode` None walks through all modes."""

    daemon_threads = True
    mode: int | str | None = None
    padding = ""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Echo)
        self._modes: Iterator[int | str] = itertools.cycle(MODES)
        self._lock = threading.Lock()
        self.requests = 0

    def next_mode(self) -> int | str:
        with self._lock:
            self.requests += 1
            return next(self._modes) if self.mode is None else self.mode

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


@pytest.fixture
def echo() -> Iterator[EchoServer]:
    """The worst provider, in threads of this process."""
    with EchoServer() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join(5.0)


def _account(kind: str, url: str) -> dict[str, Any]:
    return {
        "kind": kind,
        "base_url": f"{url}/v1",
        "api_key": f"${{CANARY_{kind.upper()}}}",
        "headers": {"X-Team-Secret": "${CANARY_HEADER}"},
        "timeouts": {"total_s": 5.0},
        "breaker": {"failures": 1000, "rate": 1.0, "window": 1000},
        "limits": {"learn": False},
    }


def _config(url: str) -> dict[str, Any]:
    """A route of its own for each kind."""
    return {
        "accounts": {kind: _account(kind, url) for kind in DIALECTS},
        "models": {
            kind: [{"account": kind, "model": "m", "price": {"input": 1.0, "output": 1.0}, "window": 100_000}]
            for kind in DIALECTS
        },
        "attempts": {"max_attempts": 4, "backoff_s": 0.0, "deadline_s": 2.0},
    }


def _seen(text: str | bytes) -> list[str]:
    """The planted keys that a text holds."""
    data = text.encode() if isinstance(text, str) else text
    return [secret for secret in SECRETS if secret[:TELLING].encode() in data]


def test_the_search_finds_a_key() -> None:
    """What would be found is found: else the other tests show nothing."""
    assert _seen(f"x{SECRETS[0]}y") == [SECRETS[0]]
    assert _seen(pickle.dumps(CallError(SECRETS[1]))) == [SECRETS[1]]


@pytest.mark.sockets
@pytest.mark.parametrize("kind", DIALECTS)
async def test_no_error_of_a_call_repeats_the_key(
    kind: str, echo: EchoServer, capfd: pytest.CaptureFixture[str]
) -> None:
    """Each mode, whole and streamed: results, their repr and pickle, and the log are clean."""
    for mode in (*MODES, 401, 403):
        echo.mode = mode
        for stream in (False, True):
            config = configuration({"bad": _account(kind, echo.url)}, max_attempts=2, deadline_s=1.0)
            before = echo.requests
            async with stage(config, CANARIES) as made:
                told = await made.call(question(), stream=stream)
                snapshot = made.providers["bad"]._core.snapshot(now=time.monotonic())
                shown = repr((made.board._transports, made.board._channels, made.caller, snapshot, told))
            result = told.outcome.result()
            where = (mode, stream, told.outcome.error)
            assert echo.requests > before, where
            assert told.outcome.reply is None, where
            assert told.outcome.error, where
            for data in (repr(result), shown, told.text, pickle.dumps(result), msgspec.msgpack.encode(result)):
                assert not _seen(data), where
    written = capfd.readouterr()
    assert not _seen(written.out + written.err)


@pytest.mark.sockets
@pytest.mark.parametrize("kind", DIALECTS)
async def test_no_exception_repeats_the_key(kind: str, echo: EchoServer) -> None:
    """What a channel raises is clean in itself: text, repr, pickle and cause; also where the text ends in a key."""
    async with stage(configuration({"bad": _account(kind, echo.url)}), CANARIES) as made:
        for mode, padding in [*((mode, 0) for mode in MODES), *(("error in a 200", size) for size in range(0, 300, 7))]:
            echo.mode, echo.padding = mode, "." * padding
            for stream in (False, True):
                error = await _raised(made, stream=stream)
                for shown in (str(error), repr(error), repr(error.__cause__), pickle.dumps(error)):
                    assert not _seen(shown), (mode, padding, shown)
                assert "\n" not in str(error)


async def _raised(made: Stage, *, stream: bool) -> CallError:
    """What one attempt raises."""

    async def hear(_: str) -> None: ...

    channel = made.caller.channel("bad")
    assert isinstance(channel, HttpChannel)
    channel.lease.told_to_wait(0.0, now=time.monotonic())  # an earlier 429 is not what is looked at
    on_text = hear if stream else None
    with pytest.raises(CallError) as caught:
        await channel.call(question(), "m", tokens=20, cost=lambda _: 0, trace=Trace(), on_text=on_text)
    return caught.value


@pytest.mark.cluster
def test_the_key_is_nowhere_on_a_cluster(
    wide_cluster: Cluster, echo: EchoServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Calls fail in every mode through real actors; then every place where a key could have been left is searched."""
    said: dict[str, str] = {}
    config = _config(echo.url)
    calls = [
        {"model": kind, "text": f"{kind} {number}", "stream": number % 2 == 1}
        for kind in DIALECTS
        for number in range(2 * len(MODES))
    ]
    with wide_cluster.attach() as driver:
        session_dir = Path(driver.ask("ready")["session_dir"])
        for mode in (None, 401):
            echo.mode = mode
            job = driver.ask("send", config=config, calls=calls, width=4)["job"]
            done = driver.ask("wait", job=job, seconds=60)
            assert done["state"] == "done"
            assert len(done["results"]) == len(calls)
            assert not any(result["reply"] for result in done["results"].values())
            said[f"results of mode {mode}"] = json.dumps(done)
            assert "[secret]" in json.dumps(done), "the provider did repeat the keys"
        states = {one["account"]: one["state"] for one in driver.ask("status")["accounts"]}
        assert {states[kind] for kind in DIALECTS} == {"down"}
        said |= _commands(wide_cluster, config, tmp_path)
        said |= _command_lines(wide_cluster, monkeypatch)
    assert echo.requests > len(MODES) * len(DIALECTS)
    assert {where: found for where, text in said.items() if (found := _seen(text))} == {}
    searched, holding = _searched(session_dir, Path(wide_cluster.environ["UNDERSTUDY_HOME"]), tmp_path)
    assert holding == {}
    assert searched > 20, "Ray's logs were not where they were looked for"


def _commands(cluster: Cluster, config: dict[str, Any], folder: Path) -> dict[str, str]:
    """What the commands print, of a job that can't be done and of what is known."""
    path = folder / "understudy.yaml"
    path.write_text(json.dumps(config), encoding="utf-8")
    source = folder / "source"
    source.mkdir()
    (source / "a.txt").write_text("Some text.")
    arguments = {
        "digest": ("digest", str(source), "--json", "--config", str(path), "--out", str(folder / "out")),
        "plan": ("digest", str(source), "--plan", "--config", str(path)),
        "status": ("status", "--json"),
        "status table": ("status",),
    }
    finished = {name: cluster.run(*words) for name, words in arguments.items()}
    assert finished["status"].json["accounts"]
    assert finished["digest"].code != 0
    return {name: done.out + done.err for name, done in finished.items()}


def _command_lines(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The command lines of the keeper and all below it: Ray's daemons and our actors."""
    monkeypatch.setenv("UNDERSTUDY_HOME", cluster.environ["UNDERSTUDY_HOME"])
    local = home.load()
    assert local is not None
    keeper = psutil.Process(local.pid)
    lines: dict[str, str] = {}
    for process in (keeper, *keeper.children(recursive=True)):
        with contextlib.suppress(psutil.NoSuchProcess):
            lines[f"command line of {process.name()} {process.pid}"] = "\0".join(process.cmdline())
    assert len(lines) > 8
    return lines


def _searched(*folders: Path) -> tuple[int, dict[str, list[str]]]:
    """How many files there are below the folders, and those that hold a key."""
    files = [path for folder in folders for path in folder.rglob("*") if path.is_file()]
    found: dict[str, list[str]] = {}
    for path in files:
        with contextlib.suppress(OSError):
            if keys := _seen(path.read_bytes()):
                found[str(path)] = keys
    return len(files), found


def test_the_configuration_holds_references_only() -> None:
    """What travels in a job's specification is the name of a variable, never its value."""
    config = Config.model_validate(_config("http://127.0.0.1:1"))
    assert not _seen(config.model_dump_json())
