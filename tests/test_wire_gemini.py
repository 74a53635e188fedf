"""The Gemini format: requests as published, replies, every error."""

import base64
import json
from typing import Any

import pytest
from wire_vectors import GEMINI_USAGE, WEATHER, dumped, gemini_response

from understudy.protocols.chat import ChatRequest, Image, Message, Part, ResponseFormat, Role, Text, Tool, ToolCall
from understudy.protocols.chat import ToolResult as Result
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
from understudy.protocols.wire.gemini import CODEC, STAND_IN, classify, decode, encode

MODEL = "gemini-2.5-flash"


def said(*turns: tuple[Role, Part], model: str = MODEL, **more: Any) -> dict[str, Any]:
    messages = tuple(Message(role, (part,)) for role, part in turns)
    body: dict[str, Any] = json.loads(encode(ChatRequest("route", messages, **more), model))
    return body


def test_a_plain_request() -> None:
    """System texts stand apart, turns are user's and model's, sampling has its own names."""
    more: dict[str, Any] = {"max_tokens": 64, "temperature": 0.5, "top_p": 0.9, "seed": 7, "stop": ("END",)}
    turns: list[tuple[Role, Part]] = [("system", Text("Be brief.")), ("user", Text("Hi")), ("assistant", Text("Yes?"))]
    assert said(*turns, ("user", Text("Go")), ("user", Text("on")), **more) == {
        "systemInstruction": {"parts": [{"text": "Be brief."}]},
        "contents": [
            {"role": "user", "parts": [{"text": "Hi"}]},
            {"role": "model", "parts": [{"text": "Yes?"}]},
            {"role": "user", "parts": [{"text": "Go"}, {"text": "on"}]},
        ],
        "generationConfig": {
            "maxOutputTokens": 64,
            "temperature": 0.5,
            "topP": 0.9,
            "seed": 7,
            "stopSequences": ["END"],
        },
    }
    assert said(("system", Text("Go")))["contents"] == [{"role": "user", "parts": [{"text": "Go"}]}]
    assert CODEC.headers("k") == {"x-goog-api-key": "k"}
    assert CODEC.headers(None) == {}


@pytest.mark.parametrize(
    ("model", "path"),
    [
        (MODEL, "/models/gemini-2.5-flash"),
        ("models/gemini-2.5-flash", "/models/gemini-2.5-flash"),
        ("tunedModels/mine-7", "/tunedModels/mine-7"),
        ("a b?c", "/models/a%20b%3Fc"),
    ],
)
def test_the_model_stands_in_the_path(model: str, path: str) -> None:
    """Whole replies and streams are two methods; no name can break out of the path."""
    assert CODEC.target(model, stream=False) == f"{path}:generateContent"
    assert CODEC.target(model, stream=True) == f"{path}:streamGenerateContent?alt=sse"


def test_tools_and_their_results() -> None:
    """Calls keep their id and their signature; results name their function; a failure says so."""
    body = said(
        ("user", Text("Weather?")),
        ("assistant", ToolCall("c1", "get_weather", '{"location": "Zürich"}', "c2ln")),
        ("assistant", ToolCall("c2", "now")),
        ("tool", Result("c1", "get_weather", "sunny")),
        ("tool", Result("c2", "now", "no clock", failed=True)),
        tools=(WEATHER, Tool("now")),
        tool_choice="get_weather",
    )
    assert body["contents"][1]["parts"] == [
        {
            "functionCall": {"id": "c1", "name": "get_weather", "args": {"location": "Zürich"}},
            "thoughtSignature": "c2ln",
        },
        {"functionCall": {"id": "c2", "name": "now", "args": {}}},
    ]
    assert body["contents"][2]["parts"] == [
        {"functionResponse": {"id": "c1", "name": "get_weather", "response": {"output": "sunny"}}},
        {"functionResponse": {"id": "c2", "name": "now", "response": {"error": "no clock"}}},
    ]
    described = {"name": "get_weather", "description": WEATHER.description}
    assert body["tools"] == [
        {
            "functionDeclarations": [
                {**described, "parametersJsonSchema": json.loads(WEATHER.schema)},
                {"name": "now", "description": "now"},
            ]
        }
    ]
    calling = {"mode": "ANY", "allowedFunctionNames": ["get_weather"]}
    assert body["toolConfig"] == {"functionCallingConfig": calling}


@pytest.mark.parametrize(("choice", "mode"), [("auto", None), ("none", "NONE"), ("required", "ANY")])
def test_the_choice_of_a_tool(choice: str, mode: str | None) -> None:
    """Each way to choose, by its name there."""
    sent = said(("user", Text("x")), tools=(WEATHER,), tool_choice=choice).get("toolConfig")
    assert sent == (None if mode is None else {"functionCallingConfig": {"mode": mode}})


def test_calls_of_other_models_get_a_stand_in_signature() -> None:
    """Models that insist on a signature get the published stand-in, on the first of parallel calls; others none."""
    turns: list[tuple[Role, Part]] = [
        ("user", Text("x")),
        ("assistant", ToolCall("1", "a")),
        ("assistant", ToolCall("2", "b")),
    ]
    parts = said(*turns, model="gemini-3-pro-preview")["contents"][1]["parts"]
    assert [part.get("thoughtSignature") for part in parts] == [STAND_IN, None]
    parts = said(*turns)["contents"][1]["parts"]
    assert [part.get("thoughtSignature") for part in parts] == [None, None]


def test_images_and_formats() -> None:
    """Bytes inline, URLs as files; JSON by its type, a schema as JSON Schema."""
    parts = said(("user", Image(b"\x89PNG")), ("user", Image(url="https://x.org/a.png")))["contents"][0]["parts"]
    assert parts == [
        {"inlineData": {"mimeType": "image/png", "data": base64.b64encode(b"\x89PNG").decode()}},
        {"fileData": {"mimeType": "image/png", "fileUri": "https://x.org/a.png"}},
    ]
    config = said(("user", Text("x")), response_format=ResponseFormat(WEATHER.schema))["generationConfig"]
    assert config["responseMimeType"] == "application/json"
    assert config["responseJsonSchema"] == json.loads(WEATHER.schema)
    assert "responseJsonSchema" not in said(("user", Text("x")), response_format=ResponseFormat())["generationConfig"]


@pytest.mark.parametrize(
    ("reason", "finish"),
    [
        ("STOP", "stop"),
        ("MAX_TOKENS", "length"),
        ("OTHER", "stop"),
        (None, "stop"),
        *((name, "filtered") for name in ("SAFETY", "RECITATION", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII")),
    ],
)
def test_reasons_to_finish(reason: str | None, finish: str) -> None:
    """Each published reason is ours; a withheld answer without words is an error."""
    assert decode(dumped(gemini_response([{"text": "Words."}], reason))).finish == finish
    if finish == "filtered":
        with pytest.raises(ContentFiltered, match=reason):
            decode(dumped({"candidates": [{"finishReason": reason, "safetyRatings": []}]}))


def test_a_blocked_prompt_is_filtered() -> None:
    """`promptFeedback` comes without any candidate."""
    with pytest.raises(ContentFiltered, match="PROHIBITED_CONTENT"):
        decode(dumped({"promptFeedback": {"blockReason": "PROHIBITED_CONTENT"}, "usageMetadata": GEMINI_USAGE}))


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"{}",
        b"[]",
        b'{"candidates": []}',
        b'{"candidates": [1]}',
        b'{"candidates": [{"finishReason": "MALFORMED_FUNCTION_CALL"}]}',
        b"[" * 100_000,
        b'{"candidates": [{"content": {"parts": [{"functionCall": {"args": ' + b"[" * 100_000,
    ],
    ids=range(9),
)
def test_what_is_no_answer_is_an_invalid_reply(body: bytes) -> None:
    """Anything else, and a call that the provider itself could not read."""
    with pytest.raises(InvalidReply) as error:
        decode(body)
    assert "\n" not in str(error.value)


RETRY = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "34.074824224s"}
INFO = {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID", "domain": "googleapis.com"}


@pytest.mark.parametrize(
    ("code", "status", "message", "details", "kind"),
    [
        (400, "INVALID_ARGUMENT", "Request contains an invalid argument.", [], BadRequest),
        (400, "INVALID_ARGUMENT", "API key not valid. Please pass a valid API key.", [INFO], AuthRejected),
        (400, "INVALID_ARGUMENT", "Key of another sort.", [INFO], AuthRejected),
        (
            400,
            "INVALID_ARGUMENT",
            "The input token count (1200000) exceeds the maximum number of tokens allowed (1048576).",
            [],
            ContextTooLong,
        ),
        (400, "FAILED_PRECONDITION", "Please enable billing.", [], AuthRejected),
        (401, "UNAUTHENTICATED", "No credentials.", [], AuthRejected),
        (403, "PERMISSION_DENIED", "Your API key was reported as leaked.", [], AuthRejected),
        (404, "NOT_FOUND", "models/x is not found for API version v1beta", [], ModelNotFound),
        (429, "RESOURCE_EXHAUSTED", "You exceeded your current quota.", [RETRY], RateLimited),
        (500, "INTERNAL", "An internal error has occurred.", [], ServerFault),
        (503, "UNAVAILABLE", "The model is overloaded.", [], ServerFault),
        (504, "DEADLINE_EXCEEDED", "Deadline exceeded.", [], ServerFault),
        (418, "", "", [], BadRequest),
        (429, "", "", [], RateLimited),
        (599, "", "", [], ServerFault),
    ],
)
def test_each_error(code: int, status: str, message: str, details: list[Any], kind: type[CallError]) -> None:
    """Gemini, *Troubleshooting*: each status, alone and as the only one of a list; `RetryInfo` is the wait."""
    said = {"error": {"code": code, "message": message, "status": status, "details": details}}
    for body in (dumped(said), dumped([said])):
        error = classify(code, {}, body, wall=0.0)
        assert type(error) is kind
        assert str(error) == f"HTTP {code}: {message or 'no message'}"
        assert error.retry_after == (34.074824224 if RETRY in details else None)
    waits = {seconds: classify(code, {"retry-after": seconds}, dumped(said), wall=0.0).retry_after for seconds in "19"}
    assert waits == ({"1": 34.074824224, "9": 34.074824224} if RETRY in details else {"1": 1.0, "9": 9.0})


@pytest.mark.parametrize("delay", ["", "x", "-1s", "1e9s", "nan", None, 5, {}, "999999999999s"])
def test_a_strange_delay_is_survived(delay: Any) -> None:
    """A delay that is none is not heeded, one that is too long is bounded."""
    body = dumped({"error": {"code": 429, "details": [{"retryDelay": delay}, 1, None]}})
    wait = classify(429, {}, body, wall=0.0).retry_after
    assert wait == {"999999999999s": 86_400.0, 5: 5.0}.get(delay if isinstance(delay, str | int) else "")
