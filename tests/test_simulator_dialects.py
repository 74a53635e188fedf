"""Each dialect over a real socket, read by clients that are not the project's."""

from collections.abc import AsyncIterator, Awaitable, Callable
from decimal import Decimal
from typing import Any

import aiohttp
import orjson
import pytest
import pytest_asyncio
from simulator_clients import DIALECTS, ask, body, control, counts, headers, target

from understudy.cluster.simulator import (
    Answer,
    Cache,
    ModelSettings,
    Quota,
    Running,
    Settings,
    serve,
)

pytestmark = pytest.mark.sockets

Start = Callable[..., Awaitable[Running]]
SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "days": {"type": "integer", "minimum": 2}, "note": {"type": "string"}},
    "required": ["city", "days"],
}
LEAST = {"city": "text", "days": 2}
each_dialect = pytest.mark.parametrize("dialect", DIALECTS)
both_ways = pytest.mark.parametrize("stream", [False, True], ids=["unary", "stream"])


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


def tool_fields(dialect: str, choice: str = "auto") -> dict[str, Any]:
    """One tool, and how it may be chosen: auto, none or named."""
    if dialect == "gemini":
        mode = {"auto": "AUTO", "none": "NONE", "named": "ANY"}[choice]
        config: dict[str, Any] = {"mode": mode}
        if choice == "named":
            config["allowedFunctionNames"] = ["weather"]
        declared = [{"name": "weather", "parameters": SCHEMA}]
        return {"tools": [{"functionDeclarations": declared}], "toolConfig": {"functionCallingConfig": config}}
    if dialect == "anthropic":
        how = {"type": "tool", "name": "weather"} if choice == "named" else {"type": choice}
        return {"tools": [{"name": "weather", "input_schema": SCHEMA}], "tool_choice": how}
    function = {"name": "weather", "parameters": SCHEMA}
    forced = {"type": "function", "function": {"name": "weather"}}
    return {
        "tools": [{"type": "function", "function": function}],
        "tool_choice": forced if choice == "named" else choice,
    }


def format_fields(dialect: str) -> dict[str, Any]:
    """A request for JSON of the schema."""
    if dialect == "gemini":
        return {"generationConfig": {"responseMimeType": "application/json", "responseSchema": SCHEMA}}
    if dialect == "anthropic":
        return {"output_config": {"format": {"type": "json_schema", "schema": SCHEMA}}}
    return {"response_format": {"type": "json_schema", "json_schema": {"name": "trip", "schema": SCHEMA}}}


@each_dialect
@both_ways
async def test_an_answer_in_each_dialect(
    start: Start, client: aiohttp.ClientSession, dialect: str, stream: bool
) -> None:
    """Text, usage and the ledger agree, and a stream says what the whole reply says."""
    running = await start(answer=Answer(tokens=50, by="content"))
    whole = await ask(client, running, "openai", "tell me")
    answer = await ask(client, running, dialect, "tell me", stream=stream)
    assert (answer.status, answer.error, len(answer.text)) == (200, None, 200)
    assert answer.text == whole.text
    assert answer.finish == {"anthropic": "end_turn", "gemini": "STOP"}.get(dialect, "stop")
    assert answer.whole or not stream
    record = running.ledger.records[1]
    assert (record.dialect, record.kind, record.outcome, record.stream) == (dialect, "chat", "ok", stream)
    assert counts(dialect, answer.usage) == (record.prompt_tokens, 50, 0, 0)
    assert (record.prompt_tokens, record.sent_tokens) == (running.ledger.records[0].prompt_tokens, 50)
    assert record.content_hash == running.ledger.records[0].content_hash
    assert record.cost == running.ledger.records[0].cost


@each_dialect
async def test_an_answer_that_is_cut_says_so(start: Start, client: aiohttp.ClientSession, dialect: str) -> None:
    """The most tokens asked for bite, in the dialect's own field and word."""
    running = await start()
    limit = {"gemini": {"generationConfig": {"maxOutputTokens": 5}}}.get(dialect, {"max_tokens": 5})
    answer = await ask(client, running, dialect, **limit)
    assert answer.finish == {"anthropic": "max_tokens", "gemini": "MAX_TOKENS"}.get(dialect, "length")
    assert (len(answer.text), running.ledger.records[0].completion_tokens) == (20, 5)


async def test_the_quotas_headers_of_each_dialect(start: Start, client: aiohttp.ClientSession) -> None:
    """OpenAI's, Azure's and Anthropic's replies tell what is left; Gemini's tell nothing."""
    running = await start(quota=Quota(rpm=10, tpm=1000))
    openai, azure, anthropic, gemini = [await ask(client, running, dialect) for dialect in DIALECTS]
    assert openai.headers["x-ratelimit-remaining-requests"] == "9"
    assert azure.headers["x-ratelimit-remaining-requests"] == "8"
    assert anthropic.headers["anthropic-ratelimit-requests-limit"] == "10"
    assert anthropic.headers["anthropic-ratelimit-requests-remaining"] == "7"
    assert anthropic.headers["anthropic-ratelimit-tokens-remaining"] == str(1000 - 3 * (11 + 32))
    assert anthropic.headers["anthropic-ratelimit-tokens-reset"].endswith("Z")
    assert anthropic.headers["request-id"] == "req_sim_2"
    assert not [name for name in gemini.headers if "ratelimit" in name]


@each_dialect
@both_ways
async def test_tools_are_called(start: Start, client: aiohttp.ClientSession, dialect: str, stream: bool) -> None:
    """Under "first" the arguments satisfy the tool's schema; none if forbidden; a forced tool is called in any case."""
    running = await start(answer=Answer(tools="first"))
    answer = await ask(client, running, dialect, stream=stream, **tool_fields(dialect))
    assert orjson.loads(answer.arguments) == LEAST
    assert answer.text == ""
    assert answer.finish == {"anthropic": "tool_use", "gemini": "STOP"}.get(dialect, "tool_calls")
    answer = await ask(client, running, dialect, stream=stream, **tool_fields(dialect, "none"))
    assert (answer.arguments, bool(answer.text)) == ("", True)
    never = await start()
    answer = await ask(client, never, dialect, stream=stream, **tool_fields(dialect))
    assert (answer.arguments, bool(answer.text)) == ("", True)
    answer = await ask(client, never, dialect, stream=stream, **tool_fields(dialect, "named"))
    assert orjson.loads(answer.arguments) == LEAST
    last = never.ledger.records[-1]
    assert last.sent_tokens == last.completion_tokens


TOOL_RESULTS: dict[str, list[dict[str, Any]]] = {
    "openai": [
        {"role": "assistant", "content": None, "tool_calls": [{"id": "1", "function": {"name": "weather"}}]},
        {"role": "tool", "tool_call_id": "1", "content": "sunny"},
    ],
    "anthropic": [
        {"role": "assistant", "content": [{"type": "tool_use", "id": "1", "name": "weather", "input": {}}]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "1", "content": "sunny"}]},
    ],
    "gemini": [
        {"role": "model", "parts": [{"functionCall": {"name": "weather", "args": {}}}]},
        {"role": "user", "parts": [{"functionResponse": {"name": "weather", "response": {"is": "sunny"}}}]},
    ],
}


@pytest.mark.parametrize("dialect", TOOL_RESULTS)
async def test_a_tools_result_is_answered_in_words(start: Start, client: aiohttp.ClientSession, dialect: str) -> None:
    """After the result the model does not call again."""
    running = await start(answer=Answer(tools="first"))
    data = body(dialect, "how is it?", **tool_fields(dialect))
    data["contents" if dialect == "gemini" else "messages"] += TOOL_RESULTS[dialect]
    url = running.url + target(dialect, stream=False)
    async with client.post(url, json=data, headers=headers(dialect)) as reply:
        assert reply.status == 200
        assert b"the quick answer" in await reply.read()


@each_dialect
@both_ways
async def test_structured_output_satisfies_its_schema(
    start: Start, client: aiohttp.ClientSession, dialect: str, stream: bool
) -> None:
    """The answer is the least JSON of the schema; broken by the fault; in order again when it is to be mended."""
    running = await start()
    answer = await ask(client, running, dialect, stream=stream, **format_fields(dialect))
    assert orjson.loads(answer.text) == LEAST
    await control(client, running, faults={"schema_mismatch": 1.0})
    answer = await ask(client, running, dialect, stream=stream, **format_fields(dialect))
    assert orjson.loads(answer.text) == {"unexpected": True}
    answer = await ask(client, running, dialect, "q", "{}", "mend it", stream=stream, **format_fields(dialect))
    assert orjson.loads(answer.text) == LEAST
    free = await ask(client, running, dialect, stream=stream)
    assert free.text
    outcomes = [record.outcome for record in running.ledger.records]
    assert outcomes == ["ok", "schema_mismatch", "ok", "ok"]
    assert Decimal(running.ledger.records[1].cost) > 0


@each_dialect
@both_ways
async def test_a_continuation_gives_the_rest(
    start: Start, client: aiohttp.ClientSession, dialect: str, stream: bool
) -> None:
    """After a partial text, or that text and "Continue exactly", what is stitched is the whole answer, once."""
    running = await start(answer=Answer(tokens=60))
    whole = (await ask(client, running, dialect, "q")).text
    partial = whole[:101].rstrip()
    prefilled = await ask(client, running, dialect, "q", partial, stream=stream)
    continued = await ask(client, running, dialect, "q", partial, "Continue exactly where you stopped.", stream=stream)
    assert partial + prefilled.text == whole
    assert partial + continued.text == whole
    first, *others = running.ledger.records
    assert [record.continued for record in running.ledger.records] == [False, True, True]
    assert {record.content_hash for record in others} == {first.content_hash}


@each_dialect
@both_ways
async def test_cached_and_reasoning_tokens_are_told_and_billed(
    start: Start, client: aiohttp.ClientSession, dialect: str, stream: bool
) -> None:
    """The second prompt with a common beginning is read from the cache; the bill is exact to the last digit."""
    prices = {"input_price": "3", "output_price": "15", "cached_price": "0.3", "written_price": "3.75"}
    model = ModelSettings(**prices, reasoning_tokens=7)  # type: ignore[arg-type]
    running = await start(models={"sim-small": model}, cache=Cache(min_tokens=64), answer=Answer(tokens=20))
    long = "a long preamble, the same each time; " * 20
    for question in ("first?", "other?"):
        answer = await ask(client, running, dialect, long + question, stream=stream)
        record = running.ledger.records[-1]
        assert counts(dialect, answer.usage) == (
            record.prompt_tokens,
            27,
            record.cached_tokens,
            record.written_tokens,
        )
    first, second = running.ledger.records
    assert (first.cached_tokens, second.cached_tokens) == (0, 176)
    assert first.written_tokens == (176 if dialect == "anthropic" else 0)
    assert second.written_tokens == 0
    assert (second.prompt_tokens, second.completion_tokens, second.reasoning_tokens) == (197, 27, 7)
    # 21 plain, 176 cached and 27 of output, a millionth of a dollar each time its price.
    assert Decimal(second.cost) == Decimal("0.0005208")
    written = Decimal("3.75") if dialect == "anthropic" else Decimal(3)
    assert Decimal(first.cost) == (21 * Decimal(3) + 176 * written + 27 * Decimal(15)) / 1_000_000
    if dialect in ("openai", "azure"):
        assert answer.usage["completion_tokens_details"]["reasoning_tokens"] == 7


async def test_a_cache_by_rate_halves_its_share(start: Start, client: aiohttp.ClientSession) -> None:
    """With a rate of 1 each prompt that is long enough is half cached."""
    running = await start(cache=Cache(min_tokens=10, rate=1.0))
    answer = await ask(client, running, "openai", "x" * 80)
    assert answer.usage["prompt_tokens"] == 30
    assert answer.usage["prompt_tokens_details"]["cached_tokens"] == 15


@pytest.mark.parametrize("path", ["/v1/embeddings", "/openai/deployments/sim-small/embeddings?api-version=2024-10-21"])
async def test_embeddings(start: Start, client: aiohttp.ClientSession, path: str) -> None:
    """Unit vectors, nearer for texts that share words; prompt tokens alone are billed."""
    running = await start()
    texts = ["the cat sat on the mat", "a cat on a mat", "tax law of 1912"]
    data = {"model": "sim-small", "input": texts, "dimensions": 128}
    auth = {"Authorization": "Bearer k", "api-key": "k"}
    async with client.post(running.url + path, json=data, headers=auth) as reply:
        told = await reply.json()
    one, near, far = [item["embedding"] for item in told["data"]]
    assert len(one) == 128
    assert sum(x * x for x in one) == pytest.approx(1.0)
    assert sum(a * b for a, b in zip(one, near, strict=True)) > 2 * sum(a * b for a, b in zip(one, far, strict=True))
    assert told["usage"] == {"prompt_tokens": 6 + 4 + 4, "total_tokens": 14}
    (record,) = running.ledger.records
    assert (record.kind, record.outcome, record.cost) == ("embeddings", "ok", "0.0000021")
    async with client.post(running.url + path, json={**data, "input": []}, headers=auth) as reply:
        assert reply.status == 400


async def test_models_are_listed_in_each_form(start: Start, client: aiohttp.ClientSession) -> None:
    """OpenAI's and Anthropic's form by the headers, Gemini's by the path; with a wrong key in none."""
    running = await start(keys=("k",))
    for dialect, path in (("openai", "/v1/models"), ("anthropic", "/v1/models"), ("gemini", "/v1beta/models")):
        async with client.get(running.url + path, headers=headers(dialect)) as reply:
            data = await reply.json()
        if dialect == "gemini":
            assert [model["name"] for model in data["models"]] == ["models/sim-small", "models/sim-large"]
        else:
            assert [model["id"] for model in data["data"]] == ["sim-small", "sim-large"]
            assert ("has_more" in data) == (dialect == "anthropic")
        async with client.get(running.url + path, headers=headers(dialect, "wrong")) as reply:
            assert reply.status == (400 if dialect == "gemini" else 401)


async def test_geminis_key_may_stand_in_the_query(start: Start, client: aiohttp.ClientSession) -> None:
    """`?key=` is as good as the header, and is not on the ledger."""
    running = await start(keys=("secret",))
    url = f"{running.url}/v1beta/models/sim-small:generateContent?key=secret"
    async with client.post(url, json=body("gemini")) as reply:
        assert reply.status == 200
    assert "secret" not in str(running.ledger.records)


BROKEN: list[tuple[str, str, dict[str, str], Any]] = [
    ("/v1/messages", "anthropic", {"anthropic-version": ""}, None),
    ("/v1/messages", "anthropic", {}, {"model": "sim-small", "messages": [{"role": "user", "content": "x"}]}),
    ("/v1/messages", "anthropic", {}, {**body("anthropic"), "messages": []}),
    ("/v1/messages", "anthropic", {}, {**body("anthropic"), "messages": [{"role": "system", "content": "x"}]}),
    ("/v1/messages", "anthropic", {}, body("anthropic", "q", "ends in a space ")),
    ("/v1beta/models/sim-small:generateContent", "gemini", {}, {"contents": []}),
    ("/v1beta/models/sim-small:generateContent", "gemini", {}, {"contents": [{"role": "assistant", "parts": []}]}),
    ("/v1beta/models/sim-small:streamGenerateContent", "gemini", {}, body("gemini")),
    ("/v1/chat/completions", "openai", {}, {**body("openai"), "response_format": {"type": "xml"}}),
    ("/v1/chat/completions", "openai", {}, {**body("openai"), "tools": ["x"]}),
]


@pytest.mark.parametrize("case", BROKEN)
async def test_a_malformed_request_is_refused(
    start: Start, client: aiohttp.ClientSession, case: tuple[str, str, dict[str, str], Any]
) -> None:
    """What the provider would refuse gets its 400 with a sentence, and is on the ledger."""
    path, dialect, changes, data = case
    running = await start()
    sent = {name: value for name, value in {**headers(dialect), **changes}.items() if value}
    async with client.post(running.url + path, json=data or body(dialect), headers=sent) as reply:
        assert reply.status == 400
        assert (await reply.json())["error"]["message"]
    assert running.ledger.records[0].outcome == "refused_400"


async def test_azure_wants_a_version_and_knows_its_deployments(start: Start, client: aiohttp.ClientSession) -> None:
    """Without `api-version` there is no such page; an unknown deployment has Azure's own code."""
    running = await start()
    bare = f"{running.url}/openai/deployments/sim-small/chat/completions"
    async with client.post(bare, json=body("azure"), headers=headers("azure")) as reply:
        assert reply.status == 404
    answer = await ask(client, running, "azure", model="none")
    assert answer.error is not None
    assert (answer.status, answer.error["code"]) == (404, "DeploymentNotFound")
