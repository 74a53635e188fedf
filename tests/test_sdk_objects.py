"""What the formats encode and decode is what the providers' own SDKs send and understand; no network."""

import json
import re
import warnings
from collections.abc import Callable
from typing import Any

import httpx2
import pytest
from pydantic import TypeAdapter
from wire_vectors import (
    ANTHROPIC_TEXT,
    ANTHROPIC_TOOLS,
    AZURE_CUT,
    GEMINI_TEXT,
    GEMINI_TOOLS,
    OPENAI_TEXT,
    OPENAI_TOOLS,
    WEATHER,
    Vector,
    data_events,
    named_events,
    openai_chunk,
)

from understudy.protocols.chat import (
    ChatRequest,
    Image,
    Message,
    ResponseFormat,
    Text,
    ToolCall,
    ToolResult,
    Usage,
)
from understudy.protocols.wire import anthropic as our_anthropic
from understudy.protocols.wire import azure as our_azure
from understudy.protocols.wire import embeddings as our_embeddings
from understudy.protocols.wire import gemini as our_gemini
from understudy.protocols.wire import openai as our_openai

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # of the SDKs' own imports
    import anthropic
    import openai
    from anthropic.types import MessageCreateParams
    from google import genai
    from google.genai import types
    from openai.types.chat import CompletionCreateParams

PICTURE = Image(b"\x89PNG")
PICTURE_BASE64 = "iVBORw=="
ARGUMENTS = {"location": "Zürich"}
CLOSED: dict[str, Any] = {
    "type": "object",
    "properties": {"sky": {"type": "string"}},
    "required": ["sky"],
    "additionalProperties": False,
}
TOOL_TURNS = (
    Message("system", (Text("Be brief."),)),
    Message("user", (Text("Weather?"), PICTURE)),
    Message("assistant", (Text("Let me see."), ToolCall("call_1", "get_weather", json.dumps(ARGUMENTS)))),
    Message("tool", (ToolResult("call_1", "get_weather", "sunny"),)),
)
SCHEMA: dict[str, Any] = json.loads(WEATHER.schema)


class Wire:
    """A transport that keeps what the SDK sent, and answers with given bytes."""

    def __init__(self, body: bytes, kind: str = "application/json", status: int = 200) -> None:
        self.sent: list[httpx2.Request] = []
        self._answer: Callable[[], httpx2.Response] = lambda: httpx2.Response(
            status, content=body, headers={"content-type": kind}
        )

    def client(self) -> httpx2.Client:
        def answer(request: httpx2.Request) -> httpx2.Response:
            self.sent.append(request)
            return self._answer()

        return httpx2.Client(transport=httpx2.MockTransport(answer))

    def check(self, path: str, headers: dict[str, str], body: bytes) -> None:
        """Asserts that the SDK sent what we would have sent."""
        request = self.sent[-1]
        assert request.url.raw_path.decode() == path
        assert {name: request.headers[name] for name in headers} == headers
        assert camel(json.loads(request.content)) == json.loads(body)


def camel(value: Any) -> Any:
    """Protocol buffers' JSON may name a field either way, and Google's SDK does both in one request."""
    return json.loads(re.sub(r'"(mime_type|parameters_json_schema)":', _camel, json.dumps(value)))


def _camel(found: re.Match[str]) -> str:
    first, *rest = found[1].split("_")
    return '"' + first + "".join(map(str.capitalize, rest)) + '":'


def streamed(vector: Vector) -> Wire:
    return Wire(vector.stream, "text/event-stream")


# OpenAI ---------------------------------------------------------------------------------------------------------------

OPENAI_TOOL: Any = {
    "type": "function",
    "function": {"name": WEATHER.name, "description": WEATHER.description, "parameters": SCHEMA},
}
OPENAI_MESSAGES: Any = [
    {"role": "system", "content": "Be brief."},
    {
        "role": "user",
        "content": [
            {"type": "text", "text": "Weather?"},
            {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PICTURE_BASE64}"}},
        ],
    },
    {
        "role": "assistant",
        "content": "Let me see.",
        "tool_calls": [
            {"id": "call_1", "type": "function", "function": {"name": WEATHER.name, "arguments": json.dumps(ARGUMENTS)}}
        ],
    },
    {"role": "tool", "tool_call_id": "call_1", "content": "sunny"},
]


def openai_client(wire: Wire) -> openai.OpenAI:
    return openai.OpenAI(api_key="k", base_url="https://x.example/v1", http_client=wire.client(), max_retries=0)


def test_openai_sends_what_we_send() -> None:
    """Tools, pictures, a strict format, sampling, a stream: the SDK's request is ours, header, path and body."""
    wire = streamed(OPENAI_TEXT)
    stream = openai_client(wire).chat.completions.create(
        model="gpt-4o",
        messages=OPENAI_MESSAGES,
        max_tokens=64,
        temperature=0.5,
        top_p=0.9,
        seed=7,
        stop=["END"],
        tools=[OPENAI_TOOL],
        tool_choice={"type": "function", "function": {"name": WEATHER.name}},
        response_format={
            "type": "json_schema",
            "json_schema": {"name": "answer", "schema": CLOSED, "strict": True},
        },
        stream=True,
        stream_options={"include_usage": True},
    )
    request = ChatRequest(
        "route",
        TOOL_TURNS,
        max_tokens=64,
        temperature=0.5,
        top_p=0.9,
        seed=7,
        stop=("END",),
        tools=(WEATHER,),
        tool_choice=WEATHER.name,
        response_format=ResponseFormat(json.dumps(CLOSED)),
    )
    codec = our_openai.CODEC
    body = codec.encode(request, "gpt-4o", stream=True)
    wire.check("/v1" + codec.target("gpt-4o", stream=True), codec.headers("k"), body)
    assert sum(len(chunk.choices) for chunk in stream) == 5
    TypeAdapter(CompletionCreateParams).validate_json(body)


@pytest.mark.parametrize("vector", [OPENAI_TEXT, OPENAI_TOOLS, AZURE_CUT])
def test_openai_reads_what_we_read(vector: Vector) -> None:
    """Our vectors are the SDK's replies and streams; what its objects write, we read."""
    completion = openai_client(Wire(vector.whole)).chat.completions.create(model="m", messages=[])
    assert completion.choices[0].message.content == (vector.reply.text or None)
    assert vector.codec.decode(completion.to_json().encode()) == vector.reply
    chunks = list(openai_client(streamed(vector)).chat.completions.create(model="m", messages=[], stream=True))
    choices = [choice for chunk in chunks for choice in chunk.choices]
    assert "".join(getattr(choice.delta, "content", None) or "" for choice in choices) == vector.reply.text
    decoder = vector.codec.stream()
    decoder.feed(data_events(*(chunk.to_dict() for chunk in chunks), done=True))
    assert decoder.finish() == vector.reply


def test_azure_is_reached_where_we_reach_it() -> None:
    """The SDK's Azure client uses our path, query and header."""
    wire = Wire(OPENAI_TEXT.whole)
    client = openai.AzureOpenAI(
        api_key="k",
        azure_endpoint="https://x.example",
        api_version="2024-10-21",
        http_client=wire.client(),
        max_retries=0,
    )
    client.chat.completions.create(model="gpt4o-eu", messages=[{"role": "user", "content": "Hi"}], max_tokens=1024)
    codec = our_azure.CODEC
    body = codec.encode(ChatRequest("r", (Message("user", (Text("Hi"),)),)), "gpt4o-eu")
    wire.check(codec.target("gpt4o-eu", stream=False), codec.headers("k"), body)


def test_openai_fails_in_mid_stream_where_we_fail() -> None:
    """An error's frame is an error to the SDK as it is to us."""
    wire = Wire(data_events(openai_chunk({"content": "x"}), {"error": {"message": "no"}}), "text/event-stream")
    stream = openai_client(wire).chat.completions.create(model="m", messages=[], stream=True)
    with pytest.raises(openai.APIError):
        list(stream)


def test_openai_embeddings() -> None:
    """The SDK asks for base64 as we do, and reads the same numbers."""
    body = {"object": "list", "model": "m", "usage": {"prompt_tokens": 8, "total_tokens": 8}}
    data = [{"object": "embedding", "index": 0, "embedding": "AAAAPwAAgD8="}]
    whole = json.dumps({**body, "data": data}).encode()
    wire = Wire(whole)
    reply = openai_client(wire).embeddings.create(model="m", input=["x"], dimensions=2)
    asked = our_embeddings.EmbeddingRequest("route", ("x",), 2)
    wire.check("/v1" + our_embeddings.PATH, {}, our_embeddings.encode(asked, "m", form="base64"))
    assert our_embeddings.decode(whole).vectors == (tuple(reply.data[0].embedding),) == ((0.5, 1.0),)
    assert our_embeddings.decode(reply.to_json().encode()).usage == Usage(8)


# Anthropic ------------------------------------------------------------------------------------------------------------

CLAUDE = "claude-haiku-4-5"


def anthropic_client(wire: Wire) -> anthropic.Anthropic:
    return anthropic.Anthropic(api_key="k", base_url="https://x.example", http_client=wire.client(), max_retries=0)


def test_anthropic_sends_what_we_send() -> None:
    """System, pictures, tools and their results, a format, a stream: the SDK's request is ours."""
    wire = streamed(ANTHROPIC_TEXT)
    source: Any = {"type": "base64", "media_type": "image/png", "data": PICTURE_BASE64}
    messages: Any = [
        {"role": "user", "content": [{"type": "text", "text": "Weather?"}, {"type": "image", "source": source}]},
        {
            "role": "assistant",
            "content": [
                {"type": "text", "text": "Let me see."},
                {"type": "tool_use", "id": "call_1", "name": WEATHER.name, "input": ARGUMENTS},
            ],
        },
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "call_1", "content": "sunny"}]},
    ]
    stream = anthropic_client(wire).messages.create(
        model=CLAUDE,
        max_tokens=64,
        system="Be brief.",
        messages=messages,
        tools=[{"name": WEATHER.name, "description": WEATHER.description, "input_schema": SCHEMA}],
        tool_choice={"type": "tool", "name": WEATHER.name},
        stop_sequences=["END"],
        output_config={"format": {"type": "json_schema", "schema": CLOSED}},
        extra_body={"temperature": 0.5},
        stream=True,
    )
    request = ChatRequest(
        "route",
        TOOL_TURNS,
        max_tokens=64,
        temperature=0.5,
        stop=("END",),
        tools=(WEATHER,),
        tool_choice=WEATHER.name,
        response_format=ResponseFormat(json.dumps(CLOSED)),
    )
    codec = our_anthropic.CODEC
    body = codec.encode(request, CLAUDE, stream=True)
    # The SDK sends a later version, which has no temperature any more, and the key as a bearer token. Both versions and
    # both headers are served; ours are those that other servers of this format know, too.
    wire.check("/v1" + codec.target(CLAUDE, stream=True), {"authorization": "Bearer k"}, body)
    assert set(codec.headers("k")) == {"anthropic-version", "x-api-key"}
    assert "anthropic-version" in wire.sent[-1].headers
    assert [event.type for event in stream][-1] == "message_stop"
    TypeAdapter(MessageCreateParams).validate_json(body)


@pytest.mark.parametrize("vector", [ANTHROPIC_TEXT, ANTHROPIC_TOOLS])
def test_anthropic_reads_what_we_read(vector: Vector) -> None:
    """Our vectors are the SDK's messages and events; what its objects write, we read."""
    client = anthropic_client(Wire(vector.whole))
    message = client.messages.create(model=CLAUDE, max_tokens=1, messages=[{"role": "user", "content": "x"}])
    assert "".join(block.text for block in message.content if block.type == "text") == vector.reply.text
    assert vector.codec.decode(message.to_json().encode()) == vector.reply
    client = anthropic_client(streamed(vector))
    with client.messages.stream(model=CLAUDE, max_tokens=1, messages=[{"role": "user", "content": "x"}]) as stream:
        assert "".join(stream.text_stream) == vector.reply.text
        final = stream.get_final_message()
    assert vector.codec.decode(final.to_json().encode()) == vector.reply


def test_anthropic_events_as_the_sdk_writes_them() -> None:
    """Events that went through the SDK's types are understood; so are its errors in mid-stream."""
    client = anthropic_client(streamed(ANTHROPIC_TOOLS))
    user: Any = {"role": "user", "content": "x"}
    events = list(client.messages.create(model=CLAUDE, max_tokens=1, messages=[user], stream=True))
    decoder = ANTHROPIC_TOOLS.codec.stream()
    decoder.feed(named_events(*(event.to_dict() for event in events)))
    assert decoder.finish() == ANTHROPIC_TOOLS.reply
    failing = named_events({"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}})
    stream = anthropic_client(Wire(failing, "text/event-stream")).messages.create(
        model=CLAUDE, max_tokens=1, messages=[user], stream=True
    )
    with pytest.raises(anthropic.APIError):
        list(stream)


# Gemini ---------------------------------------------------------------------------------------------------------------

MODEL = "gemini-2.5-flash"


def gemini_client(wire: Wire) -> genai.Client:
    options = types.HttpOptions(base_url="https://x.example", api_version="v1beta", httpx_client=wire.client())
    return genai.Client(api_key="k", http_options=options)


def test_gemini_sends_what_we_send() -> None:
    """System, pictures, functions and their responses, a schema, sampling: the SDK's request is ours."""
    wire = Wire(GEMINI_TEXT.whole)
    function = types.FunctionDeclaration(
        name=WEATHER.name, description=WEATHER.description, parameters_json_schema=SCHEMA
    )
    result = types.FunctionResponse(id="call_1", name=WEATHER.name, response={"output": "sunny"})
    called = types.FunctionCall(id="call_1", name=WEATHER.name, args=ARGUMENTS)
    contents: Any = [
        types.Content(
            role="user",
            parts=[types.Part(text="Weather?"), types.Part.from_bytes(data=PICTURE.data, mime_type="image/png")],
        ),
        types.Content(role="model", parts=[types.Part(text="Let me see."), types.Part(function_call=called)]),
        types.Content(role="user", parts=[types.Part(function_response=result)]),
    ]
    calling = types.FunctionCallingConfig(
        mode=types.FunctionCallingConfigMode.ANY, allowed_function_names=[WEATHER.name]
    )
    gemini_client(wire).models.generate_content(
        model=MODEL,
        contents=contents,
        config=types.GenerateContentConfig(
            system_instruction=types.Content(parts=[types.Part(text="Be brief.")]),
            max_output_tokens=64,
            temperature=0.5,
            top_p=0.9,
            seed=7,
            stop_sequences=["END"],
            tools=[types.Tool(function_declarations=[function])],
            tool_config=types.ToolConfig(function_calling_config=calling),
            response_mime_type="application/json",
            response_json_schema=CLOSED,
        ),
    )
    request = ChatRequest(
        "route",
        TOOL_TURNS,
        max_tokens=64,
        temperature=0.5,
        top_p=0.9,
        seed=7,
        stop=("END",),
        tools=(WEATHER,),
        tool_choice=WEATHER.name,
        response_format=ResponseFormat(json.dumps(CLOSED)),
    )
    codec = our_gemini.CODEC
    body = codec.encode(request, MODEL)
    wire.check("/v1beta" + codec.target(MODEL, stream=False), codec.headers("k"), body)


@pytest.mark.parametrize("vector", [GEMINI_TEXT, GEMINI_TOOLS])
def test_gemini_reads_what_we_read(vector: Vector) -> None:
    """Our vectors are the SDK's responses and streams; what its objects write, we read."""
    reply = gemini_client(Wire(vector.whole)).models.generate_content(model=MODEL, contents="x")
    written = reply.model_dump_json(by_alias=True, exclude_none=True, exclude={"sdk_http_response"})
    assert vector.codec.decode(written.encode()) == vector.reply
    wire = streamed(vector)
    chunks = list(gemini_client(wire).models.generate_content_stream(model=MODEL, contents="x"))
    assert wire.sent[-1].url.raw_path.decode() == "/v1beta" + vector.codec.target(MODEL, stream=True)
    contents = [candidate.content for chunk in chunks for candidate in chunk.candidates or ()]
    parts = [part for content in contents if content for part in content.parts or ()]
    assert "".join(part.text or "" for part in parts if not part.thought) == vector.reply.text
    dumped = [json.loads(chunk.model_dump_json(by_alias=True, exclude_none=True)) for chunk in chunks]
    decoder = vector.codec.stream()
    decoder.feed(data_events(*dumped))
    assert decoder.finish() == vector.reply
