"""The OpenAI format: requests and replies as published, every status."""

import base64
import json
from typing import Any

import pytest
from wire_vectors import ASKED, OPENAI_TOOLS, WEATHER

from understudy.protocols.chat import (
    ChatReply,
    ChatRequest,
    Document,
    Image,
    Message,
    ResponseFormat,
    Text,
    Tool,
    ToolCall,
    ToolResult,
    Usage,
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
from understudy.protocols.wire.openai import CODEC, MAX_REPLY, classify, decode, encode

# The example reply of OpenAI's API reference, Chat Completions, "Create chat completion".
PUBLISHED: dict[str, Any] = {
    "id": "chatcmpl-B9MBs8CjcvOU2jLn4n570S5qMJKcT",
    "object": "chat.completion",
    "created": 1741569952,
    "model": "gpt-4.1-2025-04-14",
    "choices": [
        {
            "index": 0,
            "message": {
                "role": "assistant",
                "content": "Hello! How can I assist you today?",
                "refusal": None,
                "annotations": [],
            },
            "logprobs": None,
            "finish_reason": "stop",
        }
    ],
    "usage": {
        "prompt_tokens": 19,
        "completion_tokens": 10,
        "total_tokens": 29,
        "prompt_tokens_details": {"cached_tokens": 4, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": 2,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    },
    "service_tier": "default",
}


def changed(**changes: Any) -> bytes:
    return json.dumps({**PUBLISHED, **changes}).encode()


def choice(content: str | None, finish: str | None, refusal: str | None = None) -> dict[str, Any]:
    return {
        "choices": [{"message": {"role": "assistant", "content": content, "refusal": refusal}, "finish_reason": finish}]
    }


def test_the_published_reply() -> None:
    """The reference's example is read whole, cached and reasoning tokens included."""
    reply = decode(json.dumps(PUBLISHED).encode())
    assert reply == ChatReply(
        text="Hello! How can I assist you today?",
        model="gpt-4.1-2025-04-14",
        usage=Usage(19, 10, 4, 2),
        finish="stop",
        id="chatcmpl-B9MBs8CjcvOU2jLn4n570S5qMJKcT",
    )


def test_the_request_holds_what_was_asked_and_nothing_else() -> None:
    """Messages, limits and sampling go out by their names; what is not set is not sent."""
    request = ChatRequest(
        "route",
        (Message("system", (Text("Be brief."),)), Message("user", (Text("See"), Document("a.py", "x = 1\n")))),
        max_tokens=64,
    )
    assert json.loads(encode(request, "gpt-x")) == {
        "model": "gpt-x",
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "See\n\n=== a.py (lines 1-1)\nx = 1\n"},
        ],
        "max_tokens": 64,
    }
    full = ChatRequest("route", (), max_tokens=1, temperature=0.0, seed=7, stop=("END",))
    body = json.loads(encode(full, "m"))
    assert (body["temperature"], body["seed"], body["stop"]) == (0.0, 7, ["END"])


@pytest.mark.parametrize(
    ("finish", "ours"),
    [
        ("stop", "stop"),
        ("length", "length"),
        ("tool_calls", "tool_calls"),
        ("function_call", "tool_calls"),
        (None, "stop"),
        ("invented", "stop"),
    ],
)
def test_reasons_to_finish(finish: str | None, ours: str) -> None:
    """Each published reason is ours; an unknown one is an ordinary end."""
    assert decode(changed(**choice("text", finish))).finish == ours


def test_a_withheld_answer_is_no_answer() -> None:
    """A filtered reply without text is an error; one with text says that it was cut."""
    with pytest.raises(ContentFiltered):
        decode(changed(**choice(None, "content_filter")))
    assert decode(changed(**choice("half", "content_filter"))).finish == "filtered"
    assert decode(changed(**choice(None, "stop", "I can't help with that."))).text == "I can't help with that."


@pytest.mark.parametrize(
    "changes",
    [
        {"usage": None},
        {"usage": {"prompt_tokens": None, "completion_tokens": None}},
        {"usage": {"prompt_tokens": -5, "completion_tokens": -1}},
        {"id": None, "model": None},
    ],
)
def test_missing_counts_are_zero(changes: dict[str, Any]) -> None:
    """An answer is not thrown away because its server counts badly; counts are never negative."""
    reply = decode(changed(**changes))
    assert reply.text.startswith("Hello")
    assert min(reply.usage.input_tokens, reply.usage.output_tokens) >= 0


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b"{}",
        b"<html>502</html>",
        b'{"choices": []}',
        b'{"choices": [{}]}',
        b'{"choices": [{"message": null}]}',
        b'{"choices": [{"message": {"content": [1]}}]}',
        b'{"choices": [{"message": {"content": "\xff"}}]}',
        b'{"usage": {"prompt_tokens": 99999999999999999999999}, "choices": [{"message": {"content": "x"}}]}',
        b"[" * 100_000,
        b'{"choices": [{"message": {"content": "x"}}], "x": ' + b"[" * 100_000,
        json.dumps(PUBLISHED).encode()[:-1],
        b" " * (MAX_REPLY + 1),
    ],
    ids=range(15),
)
def test_what_is_no_completion_is_an_invalid_reply(body: bytes) -> None:
    """Anything that is not a completion with an answer is one error, in one line."""
    with pytest.raises(InvalidReply) as error:
        decode(body)
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 500


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (400, "", BadRequest),
        (400, "context_length_exceeded", ContextTooLong),
        (400, "string_above_max_length", ContextTooLong),
        (400, "content_filter", ContentFiltered),
        (400, "content_policy_violation", ContentFiltered),
        (401, "invalid_api_key", AuthRejected),
        (401, "", AuthRejected),
        (403, "", AuthRejected),
        (404, "model_not_found", ModelNotFound),
        (404, "", ModelNotFound),
        (408, "", ServerFault),
        (409, "", ServerFault),
        (413, "", BadRequest),
        (422, "", BadRequest),
        (429, "rate_limit_exceeded", RateLimited),
        (429, "", RateLimited),
        (429, "insufficient_quota", AuthRejected),
        (500, "", ServerFault),
        (502, "", ServerFault),
        (503, "", ServerFault),
        (529, "", ServerFault),
        (302, "", BadRequest),
    ],
)
def test_each_status_and_code(status: int, code: str, kind: type[CallError]) -> None:
    """A refusal's class follows its code, then its status; the provider's words and the status are told."""
    body = json.dumps(
        {"error": {"message": "Provider says\nno.", "type": "x_error", "param": None, "code": code or None}}
    )
    error = classify(status, {"retry-after": "3"}, body.encode(), wall=0.0)
    assert type(error) is kind
    assert str(error) == f"HTTP {status}: Provider says no."
    assert (error.status, error.retry_after) == (status, 3.0)


def test_a_long_context_is_known_by_its_words_too() -> None:
    """Servers that send no code are understood by OpenAI's sentence."""
    body = b'{"error": {"message": "This model\'s maximum context length is 8192 tokens."}}'
    assert type(classify(400, {}, body, wall=0.0)) is ContextTooLong


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b"", "no message"),
        (b"Bad Gateway", "Bad Gateway"),
        (b'{"error": "plain"}', "plain"),
        (b'{"error": null}', "no message"),
        (b'{"error": {"message": null}}', "no message"),
        (b"\xff\xfe", "\ufffd\ufffd"),
        (b'["x"]', '["x"]'),
    ],
)
def test_words_of_any_server(body: bytes, text: str) -> None:
    """Whatever a server says is told in one line of bounded length."""
    assert str(classify(500, {}, body, wall=0.0)) == f"HTTP 500: {text}"
    assert len(str(classify(500, {}, body * 10_000, wall=0.0))) <= 320


def sent(*messages: Message, model: str = "gpt-4o", stream: bool = False, **more: Any) -> dict[str, Any]:
    body: dict[str, Any] = json.loads(encode(ChatRequest("route", messages, **more), model, stream=stream))
    return body


USER = Message("user", (Text("Weather?"),))


def test_a_stream_is_asked_for_with_its_usage() -> None:
    """Without `include_usage` a stream would not say what it cost."""
    body = sent(USER, stream=True)
    assert body["stream"] is True
    assert body["stream_options"] == {"include_usage": True}
    assert {"stream", "stream_options"} & set(sent(USER)) == set()
    assert CODEC.target("m", stream=True) == CODEC.target("m", stream=False) == "/chat/completions"


@pytest.mark.parametrize(
    ("model", "limit", "sampling"),
    [
        ("gpt-4o", "max_tokens", True),
        ("llama-3", "max_tokens", True),
        ("o1", "max_completion_tokens", False),
        ("o3-mini", "max_completion_tokens", False),
        ("openai/o4-mini", "max_completion_tokens", False),
        ("gpt-5-mini", "max_completion_tokens", False),
        ("gpt-5-chat-latest", "max_completion_tokens", True),
    ],
)
def test_reasoning_models_want_it_otherwise(model: str, limit: str, sampling: bool) -> None:
    """Their limit has another name, and any sampling but the default is refused: it is left out."""
    body = sent(USER, model=model, max_tokens=7, temperature=0.2, top_p=0.9)
    assert body[limit] == 7
    assert {"max_tokens", "max_completion_tokens"} & set(body) == {limit}
    assert {"temperature", "top_p"} & set(body) == ({"temperature", "top_p"} if sampling else set())


def test_tools_and_their_results() -> None:
    """A conversation with tools, as in OpenAI's guide *Function calling*: each result is a message of its own."""
    call = ToolCall("call_abc", "get_weather", '{"location": "Z"}')
    body = sent(
        USER,
        Message("assistant", (call,)),
        Message("tool", (ToolResult("call_abc", "get_weather", "sunny"), ToolResult("call_x", "now", "12:00"))),
        Message("assistant", (Text("Sunny."), Text("At noon."), call)),
        tools=(WEATHER, Tool("now")),
        tool_choice="required",
    )
    function = {"name": "get_weather", "arguments": call.arguments}
    calls = [{"id": "call_abc", "type": "function", "function": function}]
    assert body["messages"][1:] == [
        {"role": "assistant", "content": None, "tool_calls": calls},
        {"role": "tool", "tool_call_id": "call_abc", "content": "sunny"},
        {"role": "tool", "tool_call_id": "call_x", "content": "12:00"},
        {"role": "assistant", "content": "Sunny.\n\nAt noon.", "tool_calls": calls},
    ]
    described = {"name": "get_weather", "description": WEATHER.description, "parameters": json.loads(WEATHER.schema)}
    assert body["tools"][0] == {"type": "function", "function": described}
    assert body["tools"][1]["function"] == {"name": "now", "parameters": {"type": "object", "properties": {}}}
    assert body["tool_choice"] == "required"


@pytest.mark.parametrize(
    ("choice", "expected"),
    [("auto", None), ("none", "none"), ("get_weather", {"type": "function", "function": {"name": "get_weather"}})],
)
def test_the_choice_of_a_tool(choice: str, expected: Any) -> None:
    """Each way to choose, by its name there."""
    assert sent(USER, tools=(WEATHER,), tool_choice=choice).get("tool_choice") == expected


def test_images() -> None:
    """Pictures are parts between texts: bytes as a data URL, URLs as such."""
    message = Message("user", (Text("See"), Document("a", "x"), Image(b"\x89PNG"), Image(url="https://x.org/a.png")))
    assert sent(message)["messages"][0]["content"] == [
        {"type": "text", "text": "See\n\n=== a (lines 1-1)\nx"},
        {
            "type": "image_url",
            "image_url": {"url": "data:image/png;base64," + base64.b64encode(b"\x89PNG").decode()},
        },
        {"type": "image_url", "image_url": {"url": "https://x.org/a.png"}},
    ]


def test_formats() -> None:
    """A schema is strict only where that is legal; for any object some message has to speak of JSON."""
    closed = {"type": "object", "properties": {}, "required": [], "additionalProperties": False}
    for described, strict in ((closed, True), (json.loads(WEATHER.schema), False)):
        wanted = ResponseFormat(json.dumps(described), "report")
        named = {"name": "report", "schema": described, "strict": strict}
        assert sent(USER, response_format=wanted)["response_format"] == {"type": "json_schema", "json_schema": named}
    body = sent(USER, response_format=ResponseFormat())
    assert body["response_format"] == {"type": "json_object"}
    assert body["messages"][0] == {"role": "system", "content": "Answer with a JSON object."}
    system = Message("system", (Text("Be brief."),))
    hinted = sent(system, USER, response_format=ResponseFormat())["messages"]
    assert [message["role"] for message in hinted] == ["system", "user"]
    assert hinted[0]["content"] == "Be brief.\n\nAnswer with a JSON object."
    spoken = Message("user", (Text("As json, please."),))
    assert len(sent(spoken, response_format=ResponseFormat())["messages"]) == 1


def test_what_asks_for_tools_goes_out_as_it_came() -> None:
    """The calls of a reply, sent back with their results, are the calls that the provider made."""
    reply = OPENAI_TOOLS.reply
    body = json.loads(encode(ChatRequest("r", (*ASKED.messages, Message("assistant", reply.tool_calls))), "m"))
    made = json.loads(OPENAI_TOOLS.whole)["choices"][0]["message"]["tool_calls"]
    assert body["messages"][-1]["tool_calls"] == made


def test_a_named_tool_ends_a_turn_as_any_call_does() -> None:
    """OpenAI says `stop` when the request named the tool; calls without an id get one."""
    message = {"role": "assistant", "tool_calls": [{"type": "function", "function": {"name": "t", "arguments": None}}]}
    reply = decode(changed(choices=[{"message": message, "finish_reason": "stop"}]))
    assert (reply.finish, reply.tool_calls) == ("tool_calls", (ToolCall("call_0", "t", "{}"),))


def test_an_error_with_a_200_is_that_error() -> None:
    """Some gateways answer 200 with an error in the body."""
    with pytest.raises(RateLimited, match="in the reply: slow down"):
        decode(b'{"error": {"message": "slow down", "code": 429}}')
    with pytest.raises(InvalidReply, match="tools"):
        decode(changed(choices=[{"message": {"tool_calls": [{"function": {"name": "t"}}] * 200}}]))
