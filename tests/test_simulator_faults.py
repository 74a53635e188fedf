"""Every way to fail, in each dialect, whole and streamed, over a real socket; the ledger names each."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from decimal import Decimal
from typing import Any

import aiohttp
import orjson
import pytest
import pytest_asyncio
from simulator_clients import DIALECTS, ask, body, control, headers, target, until

from understudy.cluster.simulator import Answer, Faults, Latency, Outage, Quota, Running, Settings, serve

pytestmark = pytest.mark.sockets

Start = Callable[..., Awaitable[Running]]
each_dialect = pytest.mark.parametrize("dialect", DIALECTS)
both_ways = pytest.mark.parametrize("stream", [False, True], ids=["unary", "stream"])

# kind: for OpenAI, Azure, Anthropic, Gemini: status and the word that classifies the error
WORDS: dict[str, list[tuple[int, str | None]]] = {
    "error_500": [(500, "server_error"), (500, "server_error"), (500, "api_error"), (500, "INTERNAL")],
    "error_503": [(503, "server_error"), (503, "server_error"), (503, "api_error"), (503, "UNAVAILABLE")],
    "overloaded": [(503, "server_error"), (503, "server_error"), (529, "overloaded_error"), (503, "UNAVAILABLE")],
    "context": [
        (400, "context_length_exceeded"),
        (400, "context_length_exceeded"),
        (400, "invalid_request_error"),
        (400, "INVALID_ARGUMENT"),
    ],
    "auth": [(401, "invalid_api_key"), (401, "401"), (401, "authentication_error"), (403, "PERMISSION_DENIED")],
    "not_found": [(404, "model_not_found"), (404, "DeploymentNotFound"), (404, "not_found_error"), (404, "NOT_FOUND")],
    "bad_request": [
        (400, "invalid_request_error"),
        (400, "invalid_request_error"),
        (400, "invalid_request_error"),
        (400, "INVALID_ARGUMENT"),
    ],
    "refused_429": [
        (429, "rate_limit_exceeded"),
        (429, "429"),
        (429, "rate_limit_error"),
        (429, "RESOURCE_EXHAUSTED"),
    ],
    "insufficient_quota": [
        (429, "insufficient_quota"),
        (429, "insufficient_quota"),
        (402, "billing_error"),
        (429, "RESOURCE_EXHAUSTED"),
    ],
}
MATRIX = [
    (kind, dialect, status, word)
    for kind, row in WORDS.items()
    for dialect, (status, word) in zip(DIALECTS, row, strict=True)
]


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


@pytest.mark.parametrize("case", MATRIX)
async def test_errors_in_the_dialects_words(
    start: Start, client: aiohttp.ClientSession, case: tuple[str, str, int, str]
) -> None:
    """By rate, by `fail_next` and as an outage, whole and streamed: same status, same word; then all is well."""
    kind, dialect, status, word = case
    running = await start(faults=Faults.model_validate({kind: 1.0}))
    for stream in (False, True):
        answer = await ask(client, running, dialect, stream=stream)
        assert answer.error is not None
        assert (answer.status, word in answer.error.values()) == (status, True)
    await control(client, running, faults={}, fail_next={"count": 1, "kind": kind})
    assert (await ask(client, running, dialect)).status == status
    await control(client, running, outage=kind)
    assert (await ask(client, running, dialect)).status == status
    await control(client, running, outage="off")
    assert (await ask(client, running, dialect)).status == 200
    records = running.ledger.records
    assert [record.outcome for record in records] == [kind, kind, kind, "outage", "ok"]
    assert [record.fault for record in records] == [kind, kind, kind, kind, ""]
    assert [record.cost for record in records[:4]] == ["0"] * 4


@each_dialect
@pytest.mark.parametrize("form", ["seconds", "ms", "date"])
async def test_a_full_window_tells_when_to_come_back(
    start: Start, client: aiohttp.ClientSession, dialect: str, form: str
) -> None:
    """By a header in the form of the settings, or by Gemini's RetryInfo; the ledger knows what was told."""
    running = await start(quota=Quota(rpm=1, window_s=5.0), retry_after=form)
    await ask(client, running, dialect)
    answer = await ask(client, running, dialect)
    told = running.ledger.records[1].retry_after_s
    assert told is not None
    assert 4.0 < told < 6.1
    if dialect == "gemini":
        assert answer.error is not None
        (info,) = [detail for detail in answer.error["details"] if detail["@type"].endswith("RetryInfo")]
        assert info["retryDelay"] == f"{told:.3f}s"
        assert "retry-after" not in answer.headers
    else:
        assert ("retry-after-ms" if form == "ms" else "retry-after") in answer.headers


@each_dialect
@both_ways
async def test_connections_that_break(start: Start, client: aiohttp.ClientSession, dialect: str, stream: bool) -> None:
    """A drop has no reply, a cut one an incomplete body, a timeout none until the cap."""
    running = await start(timeout_cap_s=0.05)
    broken: dict[str, type[Exception]] = {
        "drop": aiohttp.ServerDisconnectedError,
        "cut": aiohttp.ClientPayloadError,
        "timeout": aiohttp.ServerDisconnectedError,
        "stall": aiohttp.ClientPayloadError if stream else aiohttp.ServerDisconnectedError,
    }
    for kind, error in broken.items():
        await control(client, running, fail_next={"kind": kind})
        with pytest.raises(error):
            await ask(client, running, dialect, stream=stream)
    assert [record.outcome for record in running.ledger.records] == ["dropped", "cut", "timeout", "stall"]


@each_dialect
@both_ways
async def test_replies_that_can_not_be_read(
    start: Start, client: aiohttp.ClientSession, dialect: str, stream: bool
) -> None:
    """A malformed reply is a 200 with broken JSON; in a stream what came before it is whole."""
    running = await start(faults=Faults(malformed=1.0))
    with pytest.raises(orjson.JSONDecodeError):
        await ask(client, running, dialect, stream=stream)
    assert (running.ledger.records[0].outcome, running.ledger.records[0].status) == ("malformed", 200)


@each_dialect
async def test_a_stream_that_fails_in_its_middle(start: Start, client: aiohttp.ClientSession, dialect: str) -> None:
    """After a share of its events comes an error; a whole reply gets a 500 instead."""
    running = await start(faults=Faults(stream_error=1.0, cut_at=0.6), answer=Answer(tokens=80))
    answer = await ask(client, running, dialect, stream=True)
    assert answer.error is not None
    assert (answer.status, answer.whole) == (200, False)
    assert 0 < len(answer.text) < 320
    if dialect == "anthropic":
        assert answer.error["type"] == "overloaded_error"
    record = running.ledger.records[0]
    assert (record.outcome, record.sent_tokens * 4) == ("stream_error", len(answer.text))
    assert (await ask(client, running, dialect)).status == 500


@each_dialect
@both_ways
async def test_an_answer_that_the_filter_withholds(
    start: Start, client: aiohttp.ClientSession, dialect: str, stream: bool
) -> None:
    """As a finish reason with the first half of the text, or as an error, at Gemini as a blockReason."""
    running = await start(faults=Faults(filtered=1.0))
    answer = await ask(client, running, dialect, stream=stream)
    assert answer.finish == {"anthropic": "refusal", "gemini": "SAFETY"}.get(dialect, "content_filter")
    assert len(answer.text) == 64
    await control(client, running, faults={"filtered": 1.0, "filtered_as": "error"})
    answer = await ask(client, running, dialect, stream=stream)
    if dialect == "gemini":
        assert (answer.status, answer.finish) == (200, "SAFETY")
    else:
        assert answer.status == 400
    if dialect == "azure":
        assert answer.error is not None
        assert answer.error["innererror"]["code"] == "ResponsibleAIPolicyViolation"
    assert [record.outcome for record in running.ledger.records] == ["filtered", "filtered"]


@each_dialect
async def test_what_was_sent_of_a_stream_is_billed(start: Start, client: aiohttp.ClientSession, dialect: str) -> None:
    """Under "accepted" a cut stream costs its prompt and the tokens that left; under "answered" nothing."""
    running = await start(faults=Faults(cut=1.0, cut_at=0.5), answer=Answer(tokens=80), bill="accepted")
    with pytest.raises(aiohttp.ClientPayloadError):
        await ask(client, running, dialect, stream=True)
    (record,) = running.ledger.records
    assert 0 < record.sent_tokens < 80
    expected = (Decimal("0.15") * record.prompt_tokens + Decimal("0.60") * record.sent_tokens) / 1_000_000
    assert Decimal(record.cost) == expected
    free = await start(faults=Faults(cut=1.0), answer=Answer(tokens=80))
    with pytest.raises(aiohttp.ClientPayloadError):
        await ask(client, free, dialect, stream=True)
    assert free.ledger.records[0].cost == "0"


@each_dialect
async def test_a_client_that_leaves_a_stream(start: Start, client: aiohttp.ClientSession, dialect: str) -> None:
    """The ledger says within 250 ms when it went, and bills what it had by then under "accepted"."""
    running = await start(latency=Latency(per_output_token_s=0.01), answer=Answer(tokens=400), bill="accepted")
    url = running.url + target(dialect, stream=True)
    reply = await client.post(url, json=body(dialect, stream=True), headers=headers(dialect))
    while b"quick" not in await reply.content.readany():
        pass
    left = time.monotonic()
    reply.close()
    await until(lambda: running.engine.in_flight == 0)
    (record,) = running.ledger.records
    assert record.t_end is not None
    assert record.t_end - left < 0.25
    assert (record.client_left, record.outcome) == (True, "cancelled")
    assert 0 < record.sent_tokens < 400
    assert Decimal(record.cost) < Decimal("0.60") * 400 / 1_000_000


async def test_a_stalled_stream_says_a_little_first(start: Start, client: aiohttp.ClientSession) -> None:
    """The first words come, then nothing; the client's leaving is booked as the stall it was."""
    running = await start(faults=Faults(stall=1.0))
    url = running.url + target("openai", stream=True)
    reply = await client.post(url, json=body("openai", stream=True), headers=headers("openai"))
    heard = b""
    while b'{"content":' not in heard:
        heard += await reply.content.readany()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await reply.content.readany()
    reply.close()
    await until(lambda: running.engine.in_flight == 0)
    (record,) = running.ledger.records
    assert (record.outcome, record.client_left, record.sent_tokens) == ("stall", True, 8)


async def test_forced_faults_come_in_their_number(start: Start, client: aiohttp.ClientSession) -> None:
    """The next two fail, also where a quota refuses the second; the third is served as before."""
    running = await start(quota=Quota(concurrency=1))
    await control(client, running, fail_next={"count": 2, "kind": "malformed"})
    for _ in range(2):
        with pytest.raises(orjson.JSONDecodeError):
            await ask(client, running, "openai")
    assert (await ask(client, running, "openai")).status == 200


async def test_an_outage_of_answers_breaks_each_of_them(start: Start, client: aiohttp.ClientSession) -> None:
    """Kinds that need an answer work as outages, too, under their own names."""
    running = await start(outages=(Outage(start_s=0, end_s=3600, kind="filtered"),))
    assert (await ask(client, running, "openai")).finish == "content_filter"
    assert running.ledger.records[0].outcome == "filtered"


async def test_answers_change_by_command(start: Start, client: aiohttp.ClientSession) -> None:
    """The control's `answer` is what is said from then on."""
    running = await start()
    await control(client, running, answer={"mode": "fixed", "text": "so be it"})
    assert (await ask(client, running, "gemini", stream=True)).text == "so be it"
