"""The OpenAI format: published examples, every status, and ten thousand broken bodies."""

import json
import random
from typing import Any

import pytest

from understudy.protocols.chat import ChatReply, ChatRequest, Document, Message, Text, Usage
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
from understudy.protocols.wire.openai import MAX_REPLY, classify, decode, encode

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


VALUES: list[Any] = [
    None,
    True,
    0,
    -1,
    1.5,
    1e308,
    10**30,
    "",
    "x",
    "\ud800",
    [],
    {},
    [[]],
    [None],
    {"message": {}},
    "9" * 300,
]


def mutate(value: Any, rng: random.Random) -> Any:
    """The same JSON with something in it replaced, dropped, added or doubled."""
    if isinstance(value, dict) and value and rng.random() < 0.9:
        key = rng.choice(list(value))
        if rng.random() < 0.15:
            return {other: one for other, one in value.items() if other != key}
        return {**value, key: mutate(value[key], rng)}
    if isinstance(value, list) and value and rng.random() < 0.9:
        place = rng.randrange(len(value))
        return [*value[:place], mutate(value[place], rng), *value[place + (rng.random() < 0.8) :]]
    return rng.choice(VALUES)


def garble(data: bytes, rng: random.Random) -> bytes:
    """The same bytes with some replaced, cut out or doubled."""
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(data) + 1)
        data = rng.choice(
            [data[:at] + rng.randbytes(1) + data[at + 1 :], data[:at], data[at:], data[:at] + data[at // 2 :]]
        )
    return data


def read_or_refuse(body: bytes) -> ChatReply | CallError:
    try:
        return decode(body)
    except CallError as error:
        return error


def test_any_bytes_are_a_reply_or_an_error_of_ours() -> None:
    """Ten thousand mutated replies and errors: a `ChatReply` or a `CallError`, never anything else."""
    rng = random.Random(20_261_121)
    refused: dict[str, Any] = {"error": {"message": "no", "type": "t", "param": None, "code": "model_not_found"}}
    read = 0
    for number in range(10_000):
        start = mutate(PUBLISHED if number % 2 else refused, rng)
        body = json.dumps(start).encode()
        if number % 3 == 0:
            body = garble(body, rng)
        reply = read_or_refuse(body)
        if isinstance(reply, ChatReply):
            read += 1
            assert isinstance(reply.text, str)
            assert min(reply.usage.input_tokens, reply.usage.output_tokens) >= 0
        else:
            assert "\n" not in str(reply)
        status = rng.choice([100, 302, 400, 401, 404, 418, 429, 500, 599])
        error = classify(status, {"retry-after": body[:20].decode("latin-1")}, body, wall=0.0)
        assert isinstance(error, CallError)
        assert len(str(error)) <= 320
    assert 500 < read < 9500, "the mutations are neither harmless nor hopeless"
