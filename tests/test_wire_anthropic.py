"""The Anthropic format: requests as published, replies, every error."""

import base64
import json
from typing import Any

import pytest
from wire_vectors import ASKED, WEATHER, anthropic_whole, dumped

from understudy.protocols.chat import (
    ChatRequest,
    Document,
    Image,
    Message,
    Part,
    ResponseFormat,
    Role,
    Text,
    Tool,
    ToolCall,
    ToolResult,
)
from understudy.protocols.errors import (
    AuthRejected,
    BadRequest,
    CallError,
    ContentFiltered,
    ContextTooLong,
    InvalidReply,
    ModelNotFound,
    RateLimited,
    ServerFault,
)
from understudy.protocols.wire.anthropic import CODEC, classify, decode, encode

OLD, NEW, NEWEST = "claude-3-5-haiku-latest", "claude-sonnet-4-5", "claude-opus-4-7"
CLOSED = '{"type":"object","properties":{"a":{"type":"string"}},"required":["a"],"additionalProperties":false}'


def said(*turns: tuple[Role, Part], model: str = NEW, **more: Any) -> dict[str, Any]:
    messages = tuple(Message(role, (part,)) for role, part in turns)
    body: dict[str, Any] = json.loads(encode(ChatRequest("route", messages, **more), model))
    return body


def test_a_plain_request() -> None:
    """System texts stand at the top, turns alternate, `max_tokens` is always there, nothing else is sent unasked."""
    body = said(
        ("system", Text("Be brief.")),
        ("user", Text("Hi")),
        ("user", Document("a.py", "x = 1\n")),
        ("assistant", Text("Hello")),
        ("system", Text("In German.")),
        ("user", Text("Again")),
        max_tokens=64,
    )
    assert body == {
        "model": NEW,
        "max_tokens": 64,
        "system": "Be brief.\n\nIn German.",
        "messages": [
            {
                "role": "user",
                "content": [{"type": "text", "text": "Hi"}, {"type": "text", "text": "=== a.py (lines 1-1)\nx = 1\n"}],
            },
            {"role": "assistant", "content": "Hello"},
            {"role": "user", "content": "Again"},
        ],
    }
    assert CODEC.target(NEW, stream=False) == CODEC.target(NEW, stream=True) == "/messages"
    assert CODEC.headers("k") == {"anthropic-version": "2023-06-01", "x-api-key": "k"}
    assert CODEC.headers(None) == {"anthropic-version": "2023-06-01"}


def test_what_would_be_refused_is_not_sent() -> None:
    """Empty texts, blank stop texts, white space at the end of a prefill, a conversation of a system text alone."""
    body = said(("user", Text("Go")), ("user", Text("")), ("assistant", Text("One, ")), stop=(" ", "END"))
    assert body["messages"] == [{"role": "user", "content": "Go"}, {"role": "assistant", "content": "One,"}]
    assert body["stop_sequences"] == ["END"]
    assert said(("system", Text("Go")))["messages"] == [{"role": "user", "content": "Go"}]
    assert said(("user", Text("Go")), ("assistant", Text(" ")))["messages"] == [{"role": "user", "content": "Go"}]


def test_sampling_by_model() -> None:
    """Temperature is at most 1 and goes before top_p; the newest models take neither; a seed there is never."""
    both: dict[str, Any] = {"temperature": 1.5, "top_p": 0.5, "seed": 3}
    assert {"temperature", "top_p", "seed"} & set(said(("user", Text("x")), **both)) == {"temperature"}
    assert said(("user", Text("x")), **both)["temperature"] == 1.0
    assert said(("user", Text("x")), top_p=0.5)["top_p"] == 0.5
    assert {"temperature", "top_p"} & set(said(("user", Text("x")), model=NEWEST, **both)) == set()


def test_tools_and_their_results() -> None:
    """A conversation with tools; results come first in their message, ids of other providers are made fit."""
    messages = (
        *ASKED.messages,
        Message("assistant", (Text("Let me see."), ToolCall("fn.weather:0", "get_weather", '{"location": "Zürich"}'))),
        Message("user", (Text("Hurry."),)),
        Message("tool", (ToolResult("fn.weather:0", "get_weather", "No such place", failed=True),)),
    )
    body = json.loads(encode(ChatRequest("route", messages, tools=(WEATHER,), tool_choice="required"), NEW))
    assert body["tools"] == [
        {"name": "get_weather", "description": WEATHER.description, "input_schema": json.loads(WEATHER.schema)}
    ]
    assert body["tool_choice"] == {"type": "any"}
    call = {"type": "tool_use", "id": "fn_weather_0", "name": "get_weather", "input": {"location": "Zürich"}}
    result = {"type": "tool_result", "tool_use_id": "fn_weather_0", "content": "No such place", "is_error": True}
    assert body["messages"][1]["content"] == [{"type": "text", "text": "Let me see."}, call]
    assert body["messages"][2] == {"role": "user", "content": [result, {"type": "text", "text": "Hurry."}]}


@pytest.mark.parametrize(
    ("choice", "sent"),
    [
        ("auto", None),
        ("none", {"type": "none"}),
        ("required", {"type": "any"}),
        ("get_weather", {"type": "tool", "name": "get_weather"}),
    ],
)
def test_the_choice_of_a_tool(choice: str, sent: dict[str, str] | None) -> None:
    """Each way to choose, by its name there."""
    assert said(("user", Text("x")), tools=(WEATHER,), tool_choice=choice).get("tool_choice") == sent


@pytest.mark.parametrize("arguments", ["", "  ", "{}", '{"a": 1}', "[1]", '{"a": ', "none"])
def test_arguments_are_always_an_object(arguments: str) -> None:
    """What a model wrote wrongly is not lost, and does not make the conversation unsendable."""
    sent = said(("user", Text("x")), ("assistant", ToolCall("1", "t", arguments)))["messages"][1]["content"][0]["input"]
    good = {"": {}, "  ": {}, "{}": {}, '{"a": 1}': {"a": 1}}
    assert sent == good.get(arguments, {"arguments": arguments})


def test_images() -> None:
    """Bytes go as base64 with their type, URLs as such."""
    content = said(("user", Image(b"\x89PNG")), ("user", Image(url="https://example.org/a.png")))["messages"][0][
        "content"
    ]
    data = {"type": "base64", "media_type": "image/png", "data": base64.b64encode(b"\x89PNG").decode()}
    assert content == [
        {"type": "image", "source": data},
        {"type": "image", "source": {"type": "url", "url": "https://example.org/a.png"}},
    ]


def test_a_format_by_model_and_schema() -> None:
    """Structured outputs where model and schema allow it; else one tool has to be called."""
    closed, free = ResponseFormat(CLOSED, "report"), ResponseFormat()
    body = said(("user", Text("x")), response_format=closed)
    assert body["output_config"] == {"format": {"type": "json_schema", "schema": json.loads(CLOSED)}}
    assert "tools" not in body
    for model, wanted in ((OLD, closed), (NEW, free), (NEW, ResponseFormat('{"type":"object","minProperties":1}'))):
        body = said(("user", Text("x")), model=model, response_format=wanted)
        name = f"understudy_format_{wanted.name}"
        assert body["tools"][0]["name"] == name
        assert body["tools"][0]["input_schema"]["type"] == "object"
        assert body["tool_choice"] == {"type": "tool", "name": name}
        assert "output_config" not in body


def test_a_format_beside_tools() -> None:
    """The format's tool stands beside the others; when a tool has to be called first, it is not offered."""

    def with_tools(choice: str) -> dict[str, Any]:
        more: dict[str, Any] = {"tools": (WEATHER,), "tool_choice": choice, "response_format": ResponseFormat()}
        return said(("user", Text("x")), **more)

    assert [tool["name"] for tool in with_tools("auto")["tools"]] == ["get_weather", "understudy_format_answer"]
    assert with_tools("auto")["tool_choice"] == {"type": "any"}
    assert with_tools("none")["tool_choice"] == {"type": "tool", "name": "understudy_format_answer"}
    assert [tool["name"] for tool in with_tools("required")["tools"]] == ["get_weather"]


def test_a_bad_schema_is_refused_before_it_is_sent() -> None:
    """A tool or a format whose schema is no JSON object: one clear error, nothing spent."""
    for more in ({"tools": (Tool("t", schema="{"),)}, {"response_format": ResponseFormat("[]")}):
        with pytest.raises(BadRequest, match=r"schema of the .* is no JSON object") as error:
            said(("user", Text("x")), **more)
        assert not error.value.sent


@pytest.mark.parametrize(
    ("reason", "finish"),
    [
        ("end_turn", "stop"),
        ("stop_sequence", "stop"),
        ("pause_turn", "stop"),
        ("max_tokens", "length"),
        ("model_context_window_exceeded", "length"),
        ("refusal", "filtered"),
        (None, "stop"),
        ("invented", "stop"),
    ],
)
def test_reasons_to_stop(reason: Any, finish: str) -> None:
    """Each published reason is ours."""
    whole = dumped(anthropic_whole([{"type": "text", "text": "Words."}], reason, 3))
    assert decode(whole).finish == finish


def test_a_refusal_without_words_is_an_error() -> None:
    """A refusal is never an empty answer."""
    with pytest.raises(ContentFiltered):
        decode(dumped(anthropic_whole([], "refusal", 0)))


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"{}",
        b"[]",
        b'{"content": [{}]}',
        b'{"content": "x"}',
        b"[" * 100_000,
        b'{"content": [{"type": "tool_use", "input": ' + b"[" * 100_000,
    ],
)
def test_what_is_no_message_is_an_invalid_reply(body: bytes) -> None:
    """Anything else is one error in one line."""
    with pytest.raises(InvalidReply) as error:
        decode(body)
    assert "\n" not in str(error.value)


def test_an_error_with_a_200_is_that_error() -> None:
    """Some gateways answer 200 with an error in the body."""
    with pytest.raises(ServerFault, match="in the reply: Overloaded"):
        decode(b'{"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}')


@pytest.mark.parametrize(
    ("status", "name", "message", "kind"),
    [
        (400, "invalid_request_error", "messages: at least one message is required", BadRequest),
        (400, "invalid_request_error", "prompt is too long: 208310 tokens > 200000 maximum", ContextTooLong),
        (400, "invalid_request_error", "input length and `max_tokens` exceed context limit: 1 + 2 > 3", ContextTooLong),
        (400, "invalid_request_error", "Your credit balance is too low to access the API.", AuthRejected),
        (400, "invalid_request_error", "Output blocked by content filtering policy", ContentFiltered),
        (401, "authentication_error", "invalid x-api-key", AuthRejected),
        (402, "billing_error", "There's an issue with your billing", AuthRejected),
        (403, "permission_error", "Your key may not use this", AuthRejected),
        (404, "not_found_error", "model: claude-9", ModelNotFound),
        (413, "request_too_large", "Request exceeds the maximum size", ContextTooLong),
        (413, "", "", ContextTooLong),
        (422, "", "", BadRequest),
        (429, "rate_limit_error", "Number of request tokens has exceeded your limit", RateLimited),
        (429, "", "", RateLimited),
        (500, "api_error", "Internal server error", ServerFault),
        (504, "timeout_error", "Request timed out", ServerFault),
        (529, "overloaded_error", "Overloaded", ServerFault),
        (529, "", "", ServerFault),
        (418, "invented_error", "teapot", BadRequest),
        (599, "invented_error", "x", ServerFault),
    ],
)
def test_each_error(status: int, name: str, message: str, kind: type[CallError]) -> None:
    """Anthropic, *Errors*: each type, and the words that tell an `invalid_request_error` apart."""
    body = dumped({"type": "error", "error": {"type": name, "message": message}, "request_id": "req_011CSHoEeqs5C35K"})
    error = classify(status, {"retry-after": "7"}, body, wall=0.0)
    assert type(error) is kind
    assert str(error) == f"HTTP {status}: {message or 'no message'}"
    assert (error.retry_after, error.status) == (7.0, status)


@pytest.mark.parametrize("body", [b"", b"Bad\nGateway", b'{"error": "x"}', b'{"error": {"message": [1]}}', b"\xff"])
def test_words_of_any_proxy(body: bytes) -> None:
    """Whatever stands before the provider says is told in one bounded line."""
    error = classify(502, {}, body * 1000, wall=0.0)
    assert type(error) is ServerFault
    assert "\n" not in str(error)
    assert len(str(error)) <= 320
