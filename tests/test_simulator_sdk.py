"""The providers' own SDKs talk to the simulator: what it says is what they accept, and they raise what they should."""

import importlib
import warnings
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
import pytest_asyncio

from understudy.cluster.simulator import Answer, Cache, FailNext, FaultKind, Quota, Running, Settings, serve
from understudy.cluster.simulator.settings import Control

pytestmark = [
    pytest.mark.sockets,
    # google-genai derives its session from aiohttp's, which aiohttp discourages.
    pytest.mark.filterwarnings("ignore:Inheritance class AiohttpClientSession:DeprecationWarning"),
]


def sdk(name: str) -> Any:
    """An SDK, whose own import may warn of what is deprecated in it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return importlib.import_module(name)


openai, anthropic, genai = sdk("openai"), sdk("anthropic"), sdk("google.genai")
genai_errors = sdk("google.genai.errors")

Start = Callable[..., Awaitable[Running]]
SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
    "required": ["city", "days"],
    "additionalProperties": False,
}
HI = [{"role": "user", "content": "hi"}]
HALLO = [{"role": "user", "parts": [{"text": "hi"}]}]
CHAT = {"model": "sim-small", "messages": HI}
MESSAGE = {"model": "sim-small", "messages": HI, "max_tokens": 200}
CONTENT = {"model": "sim-small", "contents": HALLO}


@pytest_asyncio.fixture
async def start() -> AsyncIterator[Start]:
    """Starts simulators that the test's end closes."""
    started: list[Running] = []

    async def begin(**fields: Any) -> Running:
        started.append(await serve(Settings(keys=("k",), **fields)))
        return started[-1]

    yield begin
    for running in started:
        await running.close()


def openai_client(running: Running, key: str = "k") -> Any:
    return openai.AsyncOpenAI(base_url=f"{running.url}/v1", api_key=key, max_retries=0)


def azure_client(running: Running, key: str = "k") -> Any:
    return openai.AsyncAzureOpenAI(azure_endpoint=running.url, api_key=key, api_version="2024-10-21", max_retries=0)


def anthropic_client(running: Running, key: str = "k") -> Any:
    return anthropic.AsyncAnthropic(base_url=running.url, api_key=key, max_retries=0)


def gemini_client(running: Running, key: str = "k") -> Any:
    return genai.Client(api_key=key, http_options={"base_url": running.url}).aio


def fail(running: Running, kind: FaultKind) -> None:
    running.engine.control(Control(fail_next=FailNext(kind=kind)))


@pytest.mark.parametrize("make", [openai_client, azure_client])
async def test_openais_sdk_chats(start: Start, make: Callable[[Running], Any]) -> None:
    """Whole and streamed, OpenAI's and Azure's form: the same text and usage."""
    running = await start(quota=Quota(rpm=10))
    async with make(running) as client:
        whole = await client.chat.completions.create(**CHAT)
        stream = await client.chat.completions.create(**CHAT, stream=True, stream_options={"include_usage": True})
        text = ""
        usage: Any = None
        async for chunk in stream:
            text += "".join(choice.delta.content or "" for choice in chunk.choices)
            usage = chunk.usage or usage
        raw = await client.chat.completions.with_raw_response.create(**CHAT)
    assert text == whole.choices[0].message.content
    assert whole.usage.total_tokens == usage.total_tokens == 37
    assert raw.headers["x-ratelimit-remaining-requests"] == "7"
    assert [record.outcome for record in running.ledger.records] == ["ok"] * 3


async def test_openais_sdk_calls_tools_and_parses(start: Start) -> None:
    """A tool's arguments, structured output by the SDK's own parser, and embeddings in base64."""
    running = await start(answer=Answer(tools="first"))
    tools = [{"type": "function", "function": {"name": "weather", "parameters": SCHEMA, "strict": True}}]
    form = {"type": "json_schema", "json_schema": {"name": "trip", "schema": SCHEMA, "strict": True}}
    async with openai_client(running) as client:
        called = await client.chat.completions.create(**CHAT, tools=tools)
        async with client.chat.completions.stream(**CHAT, tools=tools) as stream:
            streamed = await stream.get_final_completion()
        formed = await client.chat.completions.create(**CHAT, response_format=form)
        embedded = await client.embeddings.create(model="sim-small", input=["a b c", "d"])
        listed = [model.id async for model in client.models.list()]
    for completion in (called, streamed):
        (call,) = completion.choices[0].message.tool_calls
        assert (call.function.name, call.function.arguments) == ("weather", '{"city":"text","days":0}')
        assert completion.choices[0].finish_reason == "tool_calls"
    assert formed.choices[0].message.content == '{"city":"text","days":0}'
    assert [len(item.embedding) for item in embedded.data] == [64, 64]
    assert listed == ["sim-small", "sim-large"]


OPENAI_ERRORS: list[tuple[FaultKind, str]] = [
    ("refused_429", "RateLimitError"),
    ("insufficient_quota", "RateLimitError"),
    ("auth", "AuthenticationError"),
    ("bad_request", "BadRequestError"),
    ("context", "BadRequestError"),
    ("not_found", "NotFoundError"),
    ("error_500", "InternalServerError"),
    ("error_503", "InternalServerError"),
    ("overloaded", "InternalServerError"),
    ("drop", "APIConnectionError"),
]


@pytest.mark.parametrize(("kind", "name"), OPENAI_ERRORS)
@pytest.mark.parametrize("make", [openai_client, azure_client])
async def test_openais_sdk_raises(start: Start, make: Callable[[Running], Any], kind: FaultKind, name: str) -> None:
    """Each fault is the SDK's own class of error, whole and streamed."""
    running = await start()
    async with make(running) as client:
        for stream in (False, True):
            fail(running, kind)
            with pytest.raises(getattr(openai, name)):
                await client.chat.completions.create(**CHAT, stream=stream)


async def test_openais_sdk_raises_in_mid_stream(start: Start) -> None:
    """An error event is an APIError; a wrong key and code are told."""
    running = await start()
    async with openai_client(running) as client:
        fail(running, "stream_error")
        stream = await client.chat.completions.create(**CHAT, stream=True)
        with pytest.raises(openai.APIError):
            [chunk async for chunk in stream]
    async with openai_client(running, "wrong") as client:
        with pytest.raises(openai.AuthenticationError) as caught:
            await client.chat.completions.create(**CHAT)
    assert caught.value.code == "invalid_api_key"


async def test_anthropics_sdk_chats(start: Start) -> None:
    """Whole and by the SDK's stream, which adds the events up: the same message, cached tokens apart."""
    running = await start(cache=Cache(min_tokens=16))
    long = {**MESSAGE, "system": "be brief, " * 40}
    async with anthropic_client(running) as client:
        whole = await client.messages.create(**long)
        async with client.messages.stream(**long) as stream:
            text = "".join([piece async for piece in stream.text_stream])
            final = await stream.get_final_message()
        listed = [model.id async for model in client.models.list()]
    assert whole.content[0].text == text == final.content[0].text
    assert (whole.stop_reason, final.stop_reason) == ("end_turn", "end_turn")
    assert (whole.usage.cache_creation_input_tokens, whole.usage.cache_read_input_tokens) == (96, 0)
    assert (final.usage.input_tokens, final.usage.cache_read_input_tokens, final.usage.output_tokens) == (13, 96, 32)
    assert listed == ["sim-small", "sim-large"]


async def test_anthropics_sdk_calls_tools(start: Start) -> None:
    """A forced tool, whole and streamed: the input is an object that the SDK has put together."""
    running = await start()
    tools = [{"name": "weather", "input_schema": SCHEMA}]
    fields = {**MESSAGE, "tools": tools, "tool_choice": {"type": "tool", "name": "weather"}}
    async with anthropic_client(running) as client:
        whole = await client.messages.create(**fields)
        async with client.messages.stream(**fields) as stream:
            final = await stream.get_final_message()
        formed = await client.messages.create(
            **MESSAGE, output_config={"format": {"type": "json_schema", "schema": SCHEMA}}
        )
    for message in (whole, final):
        assert message.stop_reason == "tool_use"
        assert (message.content[0].name, message.content[0].input) == ("weather", {"city": "text", "days": 0})
    assert formed.content[0].text == '{"city":"text","days":0}'


ANTHROPIC_ERRORS: list[tuple[FaultKind, str, int]] = [
    ("refused_429", "RateLimitError", 429),
    ("insufficient_quota", "APIStatusError", 402),
    ("auth", "AuthenticationError", 401),
    ("bad_request", "BadRequestError", 400),
    ("context", "BadRequestError", 400),
    ("not_found", "NotFoundError", 404),
    ("error_500", "InternalServerError", 500),
    ("overloaded", "InternalServerError", 529),
]


@pytest.mark.parametrize(("kind", "name", "status"), ANTHROPIC_ERRORS)
async def test_anthropics_sdk_raises(start: Start, kind: FaultKind, name: str, status: int) -> None:
    """Each fault is the SDK's own class of error, with the request's id."""
    running = await start()
    async with anthropic_client(running) as client:
        for stream in (False, True):
            fail(running, kind)
            with pytest.raises(getattr(anthropic, name)) as caught:
                await client.messages.create(**MESSAGE, stream=stream)
            assert caught.value.status_code == status
            assert caught.value.request_id.startswith("req_sim_")


async def test_anthropics_sdk_raises_in_mid_stream(start: Start) -> None:
    """An error event, a dropped connection and a refusal are what the SDK says they are."""
    running = await start()
    async with anthropic_client(running) as client:
        fail(running, "stream_error")
        stream = await client.messages.create(**MESSAGE, stream=True)
        with pytest.raises(anthropic.APIStatusError):
            [event async for event in stream]
        fail(running, "drop")
        with pytest.raises(anthropic.APIConnectionError):
            await client.messages.create(**MESSAGE)
        fail(running, "filtered")
        assert (await client.messages.create(**MESSAGE)).stop_reason == "refusal"


async def test_geminis_sdk_chats(start: Start) -> None:
    """Whole and streamed: the same text, the usage of the last chunk."""
    running = await start()
    async with gemini_client(running) as client:
        whole = await client.models.generate_content(**CONTENT)
        chunks = [chunk async for chunk in await client.models.generate_content_stream(**CONTENT)]
    assert "".join(chunk.text for chunk in chunks) == whole.text
    assert len(chunks) == 4
    for reply in (whole, chunks[-1]):
        usage = reply.usage_metadata
        assert (usage.prompt_token_count, usage.candidates_token_count, usage.total_token_count) == (5, 32, 37)
        assert reply.candidates[0].finish_reason.name == "STOP"


async def test_geminis_sdk_calls_tools_and_parses(start: Start) -> None:
    """A function's arguments, and JSON that the SDK has parsed."""
    running = await start(answer=Answer(tools="first"))
    schema = {"type": "OBJECT", "properties": {"city": {"type": "STRING"}}, "required": ["city"]}
    tools = [{"function_declarations": [{"name": "weather", "parameters": schema}]}]
    form = {"response_mime_type": "application/json", "response_schema": schema}
    off = {"disable": True}
    async with gemini_client(running) as client:
        config = {"tools": tools, "automatic_function_calling": off}
        called = await client.models.generate_content(**CONTENT, config=config)
        formed = await client.models.generate_content(**CONTENT, config=form)
    (call,) = called.function_calls
    assert (call.name, call.args) == ("weather", {"city": "text"})
    assert formed.text == '{"city":"text"}'


GEMINI_ERRORS: list[tuple[FaultKind, str, int, str]] = [
    ("refused_429", "ClientError", 429, "RESOURCE_EXHAUSTED"),
    ("insufficient_quota", "ClientError", 429, "RESOURCE_EXHAUSTED"),
    ("auth", "ClientError", 403, "PERMISSION_DENIED"),
    ("bad_request", "ClientError", 400, "INVALID_ARGUMENT"),
    ("context", "ClientError", 400, "INVALID_ARGUMENT"),
    ("not_found", "ClientError", 404, "NOT_FOUND"),
    ("error_500", "ServerError", 500, "INTERNAL"),
    ("overloaded", "ServerError", 503, "UNAVAILABLE"),
]


@pytest.mark.parametrize(("kind", "name", "code", "status"), GEMINI_ERRORS)
async def test_geminis_sdk_raises(start: Start, kind: FaultKind, name: str, code: int, status: str) -> None:
    """Each fault is the SDK's own class of error, with google.rpc's status."""
    running = await start()
    async with gemini_client(running) as client:
        for method in (client.models.generate_content, _drained(client.models.generate_content_stream)):
            fail(running, kind)
            with pytest.raises(getattr(genai_errors, name)) as caught:
                await method(**CONTENT)
            assert (caught.value.code, caught.value.status) == (code, status)


def _drained(method: Callable[..., Any]) -> Callable[..., Awaitable[None]]:
    """A stream of the SDK asks only when it is read."""

    async def read(**fields: Any) -> None:
        async for _ in await method(**fields):
            pass

    return read


async def test_geminis_sdk_sees_what_was_withheld(start: Start) -> None:
    """A finish reason of SAFETY, or a prompt that was blocked."""
    running = await start()
    async with gemini_client(running) as client:
        fail(running, "filtered")
        reply = await client.models.generate_content(**CONTENT)
        assert reply.candidates[0].finish_reason.name == "SAFETY"
        running.engine.control(Control.model_validate({"faults": {"filtered": 1.0, "filtered_as": "error"}}))
        reply = await client.models.generate_content(**CONTENT)
        assert reply.prompt_feedback.block_reason.name == "SAFETY"
