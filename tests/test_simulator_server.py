"""The simulator over real sockets, with a client that is not the project's."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from email.utils import parsedate_to_datetime
from typing import Any

import aiohttp
import orjson
import psutil
import pytest
import pytest_asyncio

from understudy.cluster.simulator import (
    Answer,
    Faults,
    Latency,
    Outage,
    Quota,
    Running,
    Settings,
    SimulatorProcess,
    serve,
    settings_from_options,
)

pytestmark = pytest.mark.sockets

Start = Callable[..., Awaitable[Running]]


@pytest_asyncio.fixture
async def start() -> AsyncIterator[Start]:
    """Starts simulators that the test's end closes."""
    started: list[Running] = []

    async def begin(**fields: Any) -> Running:
        started.append(await serve(Settings(**fields)))
        return started[-1]

    yield begin
    for running in started:
        await running.close()


@pytest_asyncio.fixture
async def client() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


def chat(client: aiohttp.ClientSession, running: Running, text: str = "hi", key: str = "k", **fields: Any) -> Any:
    data = {"model": "sim-small", "messages": [{"role": "user", "content": text}], **fields}
    url = f"{running.url}/v1/chat/completions"
    return client.post(url, json=data, headers={"Authorization": f"Bearer {key}"})


async def control(client: aiohttp.ClientSession, running: Running, **changes: Any) -> None:
    async with client.post(f"{running.url}/control", json=changes) as reply:
        assert reply.status == 200


async def until(condition: Callable[[], bool], limit_s: float = 5.0) -> None:
    """Give the loop turns until a condition holds."""
    async with asyncio.timeout(limit_s):
        while not condition():  # noqa: ASYNC110 (the server has no event to wait for)
            await asyncio.sleep(0.001)


async def test_answers_in_the_protocol(start: Start, client: aiohttp.ClientSession) -> None:
    """A completion, its usage, its headers, and the same numbers in the ledger."""
    running = await start(quota=Quota(rpm=10, tpm=1000))
    async with chat(client, running, max_tokens=5) as reply:
        data = await reply.json()
        assert reply.status == 200
        assert reply.headers["x-ratelimit-limit-requests"] == "10"
        assert reply.headers["x-ratelimit-remaining-requests"] == "9"
        assert reply.headers["x-ratelimit-remaining-tokens"] == "990"
        assert reply.headers["x-ratelimit-reset-requests"] == "1m0s"
    assert data["usage"] == {"prompt_tokens": 5, "completion_tokens": 5, "total_tokens": 10}
    assert data["choices"][0]["finish_reason"] == "length"
    assert len(data["choices"][0]["message"]["content"]) == 20
    (record,) = running.ledger.records
    assert (record.outcome, record.status, record.prompt_tokens, record.accepted) == ("ok", 200, 5, True)
    assert record.cost == "0.00000375"
    async with client.get(f"{running.url}/ledger/summary") as reply:
        assert (await reply.json())["cost"] == "0.00000375"


async def test_serves_its_pages(start: Start, client: aiohttp.ClientSession) -> None:
    """Models, health, the ledger by pages; anything else is not found, a bad command is refused."""
    running = await start(keys=("k",))
    for _ in range(3):
        async with chat(client, running) as reply:
            assert reply.status == 200
    async with client.get(f"{running.url}/v1/models", headers={"Authorization": "Bearer k"}) as reply:
        assert [model["id"] for model in (await reply.json())["data"]] == ["sim-small", "sim-large"]
    async with client.get(f"{running.url}/health") as reply:
        assert await reply.json() == {"status": "ok", "in_flight": 0, "requests": 3}
    async with client.get(f"{running.url}/ledger?since=1&limit=1") as reply:
        assert [orjson.loads(line)["ordinal"] for line in (await reply.read()).splitlines()] == [1]
    for method, path, body, status in (
        ("GET", "/v1/models", None, 401),
        ("GET", "/nothing", None, 404),
        ("GET", "/ledger?since=x", None, 400),
        ("POST", "/control", b'{"outrage": "drop"}', 400),
    ):
        async with client.request(method, running.url + path, data=body) as reply:
            assert (reply.status, path) == (status, path)


async def test_refuses_wrong_keys_models_and_sizes(start: Start, client: aiohttp.ClientSession) -> None:
    """401, 404 and 413 in the provider's shape, on the ledger without the key."""
    running = await start(keys=("right",), max_body_bytes=2000)
    async with chat(client, running, key="wrong-key") as reply:
        assert reply.status == 401
        assert (await reply.json())["error"]["code"] == "invalid_api_key"
    async with chat(client, running, key="right", model="none") as reply:
        assert reply.status == 404
        assert (await reply.json())["error"]["code"] == "model_not_found"
    async with chat(client, running, text="x" * 3000, key="right") as reply:
        assert reply.status == 413
    outcomes = [record.outcome for record in running.ledger.records]
    assert outcomes == ["refused_401", "refused_404", "refused_413"]
    async with client.get(f"{running.url}/ledger") as reply:
        text = await reply.text()
    assert "wrong-key" not in text
    assert "right" not in text


@pytest.mark.parametrize("form", ["seconds", "ms", "date"])
async def test_a_full_window_is_a_429(start: Start, client: aiohttp.ClientSession, form: str) -> None:
    """The second request of one is told when to come back, truthfully, in each form."""
    running = await start(quota=Quota(rpm=1, window_s=5.0), retry_after=form)
    for status in (200, 429):
        async with chat(client, running) as reply:
            assert reply.status == status
    told = {
        "seconds": lambda: float(reply.headers["Retry-After"]),
        "ms": lambda: float(reply.headers["retry-after-ms"]) / 1000,
        "date": lambda: parsedate_to_datetime(reply.headers["Retry-After"]).timestamp() - time.time(),
    }[form]()
    assert 4.0 < told <= 6.0
    assert running.ledger.records[1].retry_after_s == pytest.approx(told, abs=0.1)


async def test_too_many_at_once_is_a_429(start: Start, client: aiohttp.ClientSession) -> None:
    """With one slot, a call beside another one is refused, and after it is served."""
    running = await start(quota=Quota(concurrency=1), latency=Latency(median_s=0.1))
    first = asyncio.ensure_future(chat(client, running).__aenter__())
    await until(lambda: running.engine.in_flight == 1)
    async with chat(client, running) as reply:
        assert reply.status == 429
    (await first).close()
    async with chat(client, running) as reply:
        assert reply.status == 200


async def test_outages_start_and_stop(start: Start, client: aiohttp.ClientSession) -> None:
    """One by the settings' window, one by command; both end."""
    planned = await start(outages=(Outage(start_s=0, end_s=3600, kind="error_500"),))
    async with chat(client, planned) as reply:
        assert reply.status == 500
    running = await start()
    statuses = []
    for command in ("error_503", "off"):
        await control(client, running, outage=command)
        async with chat(client, running) as reply:
            statuses.append(reply.status)
    assert statuses == [503, 200]
    assert [record.outcome for record in running.ledger.records] == ["outage", "ok"]


async def test_a_drop_and_a_cut_end_the_connection(start: Start, client: aiohttp.ClientSession) -> None:
    """A dropped call has no reply at all, a cut one an incomplete body; both are on the ledger."""
    dropping = await start(faults=Faults(drop=1.0))
    with pytest.raises(aiohttp.ServerDisconnectedError):
        await chat(client, dropping)
    cutting = await start(faults=Faults(cut=1.0))
    for stream in (False, True):
        reply = await chat(client, cutting, stream=stream)
        assert reply.status == 200
        with pytest.raises(aiohttp.ClientPayloadError):
            await reply.read()
    assert [record.outcome for record in dropping.ledger.records] == ["dropped"]
    assert [record.outcome for record in cutting.ledger.records] == ["cut", "cut"]


async def test_broken_json_comes_as_a_200(start: Start, client: aiohttp.ClientSession) -> None:
    """A malformed reply is whole by HTTP and broken by JSON; errors by rate are 500 or 503."""
    running = await start(faults=Faults(malformed=1.0))
    async with chat(client, running) as reply:
        assert reply.status == 200
        with pytest.raises(orjson.JSONDecodeError):
            orjson.loads(await reply.read())
    await control(client, running, faults={"error_503": 1.0})
    async with chat(client, running) as reply:
        assert reply.status == 503
    assert [record.outcome for record in running.ledger.records] == ["malformed", "error_503"]


@pytest.mark.parametrize("kind", ["slow", "hung"])
async def test_a_client_that_leaves_is_noticed(start: Start, client: aiohttp.ClientSession, kind: str) -> None:
    """Within 250 ms the ledger says when it went, the slot is free, and nothing is billed."""
    faults = Faults(timeout=1.0 if kind == "hung" else 0.0)
    running = await start(latency=Latency(median_s=30.0), faults=faults)
    call = asyncio.ensure_future(chat(client, running).__aenter__())
    await until(lambda: running.engine.in_flight == 1)
    call.cancel()
    left = time.monotonic()
    await until(lambda: running.engine.in_flight == 0)
    (record,) = running.ledger.records
    assert record.t_end is not None
    assert record.t_end - left < 0.25
    assert (record.outcome, record.client_left) == ("timeout" if kind == "hung" else "cancelled", True)
    assert (record.status, record.cost) == (0, "0")


async def test_a_hung_call_ends_at_the_cap(start: Start, client: aiohttp.ClientSession) -> None:
    """A client more patient than the cap sees the connection close."""
    running = await start(faults=Faults(timeout=1.0), timeout_cap_s=0.05)
    with pytest.raises(aiohttp.ServerDisconnectedError):
        await chat(client, running)
    assert (running.ledger.records[0].outcome, running.ledger.records[0].client_left) == ("timeout", False)


@pytest.mark.parametrize("include_usage", [True, False])
async def test_streams_with_usage(start: Start, client: aiohttp.ClientSession, include_usage: bool) -> None:
    """The deltas add up to the unary answer; the usage comes last if asked for; the connection lives on."""
    running = await start(latency=Latency(per_output_token_s=0.0005), answer=Answer(tokens=50))
    async with chat(client, running) as reply:
        whole = (await reply.json())["choices"][0]["message"]["content"]
    async with chat(client, running, stream=True, stream_options={"include_usage": include_usage}) as reply:
        assert reply.content_type == "text/event-stream"
        lines = [line for line in (await reply.text()).split("\n\n") if line]
    assert lines.pop() == "data: [DONE]"
    chunks = [orjson.loads(line.removeprefix("data: ")) for line in lines]
    if include_usage:
        usage = chunks.pop()
        assert usage["choices"] == []
        assert usage["usage"]["completion_tokens"] == 50
    assert "".join(chunk["choices"][0]["delta"].get("content", "") for chunk in chunks) == whole
    assert chunks[-1]["choices"][0]["finish_reason"] == "stop"
    first, second = running.ledger.records
    assert (second.stream, second.outcome) == (True, "ok")
    assert first.client_port == second.client_port


def test_a_process_of_its_own_starts_answers_and_stops() -> None:
    """The child serves, can be commanded and read, and is gone after its context."""
    with SimulatorProcess(Settings(keys=("k",))) as simulator:
        simulator.control(refuse_next={"count": 1, "after_s": 2.0})
        statuses = asyncio.run(_ask_twice(simulator.url))
        assert statuses == [429, 200]
        assert [record.status for record in simulator.ledger()] == statuses
        assert simulator.summary().refused_429 == 1
        simulator.control(reset_ledger=True)
        assert simulator.health()["requests"] == 0
        pid = simulator.pid
        with pytest.raises(RuntimeError, match="404"):
            simulator._ask("GET", "/nothing")
    with pytest.raises(ProcessLookupError):
        os.kill(pid, signal.SIG_DFL)


def test_a_process_that_cannot_start_says_so(capfd: pytest.CaptureFixture[str]) -> None:
    """A taken port ends the child with one line, and the parent with an error."""
    with SimulatorProcess() as first, pytest.raises(RuntimeError, match="code 1"):
        SimulatorProcess(port=first.port).__enter__()
    assert "simulator: 127.0.0.1" in capfd.readouterr().err


def test_a_process_does_not_outlive_its_parent() -> None:
    """When its parent is killed without a word, the child's stdin closes and it goes."""
    code = (
        "from understudy.cluster.simulator import SimulatorProcess\n"
        "import sys\n"
        "with SimulatorProcess() as simulator:\n"
        "    print(simulator.pid, flush=True)\n"
        "    sys.stdin.read()\n"
    )
    command = [sys.executable, "-c", code]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        parent.kill()
    with contextlib.suppress(psutil.NoSuchProcess):
        psutil.Process(pid).wait(10)


async def _ask_twice(url: str) -> list[int]:
    data = {"model": "sim-small", "messages": [{"role": "user", "content": "hi"}]}
    statuses = []
    async with aiohttp.ClientSession(headers={"Authorization": "Bearer k"}) as client:
        for _ in range(2):
            async with client.post(f"{url}/v1/chat/completions", json=data) as reply:
                statuses.append(reply.status)
    return statuses


def test_options_overlay_a_file(tmp_path: Any) -> None:
    """What the command line says wins; what it leaves out is the file's; what neither says is the default."""
    path = tmp_path / "settings.json"
    path.write_text('{"seed": 3, "quota": {"rpm": 5, "tpm": 7}, "answer": {"mode": "digest"}}')
    settings = settings_from_options(path, rpm=9, window_s=6.0)
    assert settings.quota == Quota(rpm=9, tpm=7, window_s=6.0)
    assert (settings.seed, settings.answer.mode) == (3, "digest")
    assert settings.models == Settings().models
    path.write_text('{"sed": 3}')
    with pytest.raises(ValueError, match="sed"):
        settings_from_options(path)
