"""Replies as the providers publish them, whole and streamed, for the tests of the wire formats.

Each is written after the reference that is named beside it; a stream says the same as the whole reply of its name.
"""

import json
from typing import Any, NamedTuple

from understudy.protocols.chat import ChatReply, ChatRequest, Message, Text, Tool, ToolCall, Usage
from understudy.protocols.wire import anthropic, azure, gemini, openai
from understudy.protocols.wire.codec import Codec

CODECS: dict[str, Codec] = {
    "openai": openai.CODEC,
    "azure": azure.CODEC,
    "anthropic": anthropic.CODEC,
    "gemini": gemini.CODEC,
}


class Vector(NamedTuple):
    """One answer: its codec, its whole body, its stream, and what it means."""

    codec: Codec
    whole: bytes
    stream: bytes
    reply: ChatReply


def dumped(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode()


def data_events(*payloads: Any, end: str = "\n", done: bool = False) -> bytes:
    """Events without a name; `[DONE]` last where asked."""
    lines = [f"data: {json.dumps(payload, ensure_ascii=False)}{end}{end}" for payload in payloads]
    return "".join([*lines, *([f"data: [DONE]{end}{end}"] if done else [])]).encode()


def named_events(*payloads: dict[str, Any]) -> bytes:
    """Events named by their `type`."""
    return "".join(
        f"event: {payload['type']}\ndata: {json.dumps(payload, ensure_ascii=False)}\n\n" for payload in payloads
    ).encode()


WEATHER = Tool(
    "get_weather",
    "Get the current weather",
    '{"type":"object","properties":{"location":{"type":"string"}},"required":["location"]}',
)
ASKED = ChatRequest("route", (Message("user", (Text("What is the weather in Zürich?"),)),), tools=(WEATHER,))

# OpenAI: API reference, Chat completions, "Create a chat completion" (Default, Functions, Streaming). --------------

OPENAI_USAGE = {
    "prompt_tokens": 2006,
    "completion_tokens": 300,
    "total_tokens": 2306,
    "prompt_tokens_details": {"cached_tokens": 1920, "audio_tokens": 0},
    "completion_tokens_details": {
        "reasoning_tokens": 64,
        "audio_tokens": 0,
        "accepted_prediction_tokens": 0,
        "rejected_prediction_tokens": 0,
    },
}
_OPENAI_ID = {
    "id": "chatcmpl-123",
    "created": 1694268190,
    "model": "gpt-4o-mini",
    "system_fingerprint": "fp_44709d6fcb",
}


def openai_whole(message: dict[str, Any], finish: str) -> dict[str, Any]:
    choice = {"index": 0, "message": {"role": "assistant", "refusal": None, **message}, "logprobs": None}
    choices = [{**choice, "finish_reason": finish}]
    return {**_OPENAI_ID, "object": "chat.completion", "choices": choices, "usage": OPENAI_USAGE}


def openai_chunk(delta: dict[str, Any], finish: str | None = None) -> dict[str, Any]:
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
    return {**_OPENAI_ID, "object": "chat.completion.chunk", "choices": [choice], "usage": None}


OPENAI_LAST = {**_OPENAI_ID, "object": "chat.completion.chunk", "choices": [], "usage": OPENAI_USAGE}
_CALL_0 = {"id": "call_abc", "type": "function", "function": {"name": "get_weather", "arguments": ""}}
_CALL_1 = {"id": "call_def", "type": "function", "function": {"name": "get_weather", "arguments": ""}}
_ARGUMENTS = '{\n"location": "Zürich, 🏔"\n}'

OPENAI_TEXT = Vector(
    openai.CODEC,
    dumped(openai_whole({"content": "Grüezi! 👋 How can I help?"}, "stop")),
    data_events(
        openai_chunk({"role": "assistant", "content": "", "refusal": None}),
        openai_chunk({"content": "Grüezi! "}),
        openai_chunk({"content": "👋 How can"}),
        openai_chunk({"content": " I help?"}),
        openai_chunk({}, "stop"),
        OPENAI_LAST,
        done=True,
    ),
    ChatReply("Grüezi! 👋 How can I help?", "gpt-4o-mini", Usage(2006, 300, 1920, 64), "stop", "chatcmpl-123"),
)
OPENAI_TOOLS = Vector(
    openai.CODEC,
    dumped(
        openai_whole(
            {
                "content": None,
                "tool_calls": [
                    {**_CALL_0, "function": {"name": "get_weather", "arguments": _ARGUMENTS}},
                    {**_CALL_1, "function": {"name": "get_weather", "arguments": "{}"}},
                ],
            },
            "tool_calls",
        )
    ),
    data_events(
        openai_chunk({"role": "assistant", "content": None, "tool_calls": [{"index": 0, **_CALL_0}]}),
        openai_chunk({"tool_calls": [{"index": 0, "function": {"arguments": '{\n"loc'}}]}),
        openai_chunk({"tool_calls": [{"index": 0, "function": {"arguments": 'ation": "Zürich, 🏔"\n}'}}]}),
        openai_chunk({"tool_calls": [{"index": 1, **_CALL_1}]}),
        openai_chunk({"tool_calls": [{"index": 1, "function": {"arguments": "{}"}}]}),
        openai_chunk({}, "tool_calls"),
        OPENAI_LAST,
        done=True,
    ),
    ChatReply(
        "",
        "gpt-4o-mini",
        Usage(2006, 300, 1920, 64),
        "tool_calls",
        "chatcmpl-123",
        (ToolCall("call_abc", "get_weather", _ARGUMENTS), ToolCall("call_def", "get_weather", "{}")),
    ),
)

# Azure: Microsoft Learn, Content filtering, "Scenario details" and "Content streaming". ------------------------------

_SAFE = {"hate": {"filtered": False, "severity": "safe"}, "violence": {"filtered": False, "severity": "safe"}}
_PROMPT_FILTER = [{"prompt_index": 0, "content_filter_results": _SAFE}]
_azure_whole = openai_whole({"content": "Half an ans"}, "content_filter")
_azure_whole["prompt_filter_results"] = _PROMPT_FILTER
_azure_whole["choices"][0]["content_filter_results"] = {"hate": {"filtered": True, "severity": "high"}}
AZURE_CUT = Vector(
    azure.CODEC,
    dumped(_azure_whole),
    data_events(
        {"id": "", "object": "", "created": 0, "model": "", "choices": [], "prompt_filter_results": _PROMPT_FILTER},
        openai_chunk({"role": "assistant", "content": ""}),
        openai_chunk({"content": "Half an"}),
        openai_chunk({"content": " ans"}),
        {"id": "", "choices": [{"index": 0, "content_filter_offsets": {"check_offset": 44}, "finish_reason": None}]},
        openai_chunk({}, "content_filter"),
        OPENAI_LAST,
        done=True,
    ),
    ChatReply("Half an ans", "gpt-4o-mini", Usage(2006, 300, 1920, 64), "filtered", "chatcmpl-123"),
)

# Anthropic: API reference, Messages; Streaming messages, "Basic streaming request", "… with tool use". ---------------

ANTHROPIC_USAGE = {
    "input_tokens": 21,
    "cache_creation_input_tokens": 188,
    "cache_read_input_tokens": 1800,
    "cache_creation": {"ephemeral_5m_input_tokens": 188, "ephemeral_1h_input_tokens": 0},
    "output_tokens": 1,
    "service_tier": "standard",
}
_CLAUDE = "claude-sonnet-4-5-20250929"


def anthropic_whole(content: list[dict[str, Any]], stop: str, output: int) -> dict[str, Any]:
    named = {"id": "msg_013Zva2CMHLNnXjNJJKqJ2EF", "type": "message", "role": "assistant", "model": _CLAUDE}
    ended = {"stop_reason": stop, "stop_sequence": None}
    return {**named, "content": content, **ended, "usage": {**ANTHROPIC_USAGE, "output_tokens": output}}


def anthropic_stream(stop: str, output: int, *blocks: tuple[dict[str, Any], list[dict[str, Any]]]) -> bytes:
    began = {**anthropic_whole([], "", 1), "stop_reason": None}
    events: list[dict[str, Any]] = [{"type": "message_start", "message": began}]
    for index, (block, deltas) in enumerate(blocks):
        events.append({"type": "content_block_start", "index": index, "content_block": block})
        events.append({"type": "ping"})
        events += [{"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas]
        events.append({"type": "content_block_stop", "index": index})
    delta = {"stop_reason": stop, "stop_sequence": None}
    events.append({"type": "message_delta", "delta": delta, "usage": {"output_tokens": output}})
    return named_events(*events, {"type": "message_stop"})


def text_deltas(*texts: str) -> list[dict[str, Any]]:
    return [{"type": "text_delta", "text": text} for text in texts]


def json_deltas(*pieces: str) -> list[dict[str, Any]]:
    return [{"type": "input_json_delta", "partial_json": piece} for piece in pieces]


ANTHROPIC_TEXT = Vector(
    anthropic.CODEC,
    dumped(
        anthropic_whole(
            [
                {"type": "thinking", "thinking": "Let me see.", "signature": "EqQBCgIYAhIM"},
                {"type": "text", "text": "Grüezi! 👋"},
            ],
            "end_turn",
            15,
        )
    ),
    anthropic_stream(
        "end_turn",
        15,
        (
            {"type": "thinking", "thinking": "", "signature": ""},
            [
                {"type": "thinking_delta", "thinking": "Let me see."},
                {"type": "signature_delta", "signature": "EqQBCgIYAhIM"},
            ],
        ),
        ({"type": "text", "text": ""}, text_deltas("Grü", "ezi! ", "👋")),
    ),
    ChatReply("Grüezi! 👋", _CLAUDE, Usage(2009, 15, 1800, 0, 188), "stop", "msg_013Zva2CMHLNnXjNJJKqJ2EF"),
)
ANTHROPIC_TOOLS = Vector(
    anthropic.CODEC,
    dumped(
        anthropic_whole(
            [
                {"type": "text", "text": "Okay, let's check."},
                {"type": "tool_use", "id": "toolu_01T1x", "name": "get_weather", "input": {"location": "Zürich, CH"}},
                {"type": "tool_use", "id": "toolu_02T2y", "name": "now", "input": {}},
            ],
            "tool_use",
            89,
        )
    ),
    anthropic_stream(
        "tool_use",
        89,
        ({"type": "text", "text": ""}, text_deltas("Okay,", " let's check.")),
        (
            {"type": "tool_use", "id": "toolu_01T1x", "name": "get_weather", "input": {}},
            json_deltas("", '{"location":', ' "Zürich', ', CH"}'),
        ),
        ({"type": "tool_use", "id": "toolu_02T2y", "name": "now", "input": {}}, json_deltas("")),
    ),
    ChatReply(
        "Okay, let's check.",
        _CLAUDE,
        Usage(2009, 89, 1800, 0, 188),
        "tool_calls",
        "msg_013Zva2CMHLNnXjNJJKqJ2EF",
        (ToolCall("toolu_01T1x", "get_weather", '{"location":"Zürich, CH"}'), ToolCall("toolu_02T2y", "now", "{}")),
    ),
)

# Gemini: API reference, Generating content, "GenerateContentResponse"; Function calling; Thinking. -------------------

GEMINI_USAGE = {
    "promptTokenCount": 2152,
    "cachedContentTokenCount": 2027,
    "candidatesTokenCount": 710,
    "thoughtsTokenCount": 90,
    "totalTokenCount": 2952,
    "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 2152}],
}


def gemini_response(
    parts: list[dict[str, Any]], finish: str | None = None, usage: dict[str, Any] | None = None
) -> dict[str, Any]:
    candidate: dict[str, Any] = {"content": {"parts": parts, "role": "model"}, "index": 0}
    if finish:
        candidate["finishReason"] = finish
    said = {"candidates": [candidate], "modelVersion": "gemini-2.5-flash", "responseId": "mAitaLmkHPPlz7IPvtfUqQ4"}
    return {**said, "usageMetadata": usage or GEMINI_USAGE}


_PARTLY = {"promptTokenCount": 2152, "candidatesTokenCount": 3, "totalTokenCount": 2155}
GEMINI_TEXT = Vector(
    gemini.CODEC,
    dumped(gemini_response([{"text": "Thinking…", "thought": True}, {"text": "Grüezi! 👋 Hello."}], "STOP")),
    data_events(
        gemini_response([{"text": "Thinking…", "thought": True}], None, _PARTLY),
        gemini_response([{"text": "Grüezi! "}], None, _PARTLY),
        gemini_response([{"text": "👋 Hello."}], "STOP"),
        end="\r\n",
    ),
    ChatReply("Grüezi! 👋 Hello.", "gemini-2.5-flash", Usage(2152, 800, 2027, 90), "stop", "mAitaLmkHPPlz7IPvtfUqQ4"),
)
_GEMINI_CALLS: list[dict[str, Any]] = [
    {"functionCall": {"name": "get_weather", "args": {"location": "Zürich"}}, "thoughtSignature": "CpcBAdHtim8="},
    {"functionCall": {"id": "fc-7", "name": "now", "args": {}}},
]
GEMINI_TOOLS = Vector(
    gemini.CODEC,
    dumped(gemini_response(_GEMINI_CALLS, "STOP")),
    data_events(
        gemini_response(_GEMINI_CALLS[:1], None, _PARTLY),
        gemini_response(_GEMINI_CALLS[1:]),
        gemini_response([{"text": ""}], "STOP"),
        end="\r\n",
    ),
    ChatReply(
        "",
        "gemini-2.5-flash",
        Usage(2152, 800, 2027, 90),
        "tool_calls",
        "mAitaLmkHPPlz7IPvtfUqQ4",
        (
            ToolCall("call_mAitaLmkHPPlz7IPvtfUqQ4_0", "get_weather", '{"location":"Zürich"}', "CpcBAdHtim8="),
            ToolCall("fc-7", "now", "{}"),
        ),
    ),
)

VECTORS = {
    "openai text": OPENAI_TEXT,
    "openai tools": OPENAI_TOOLS,
    "azure cut": AZURE_CUT,
    "anthropic text": ANTHROPIC_TEXT,
    "anthropic tools": ANTHROPIC_TOOLS,
    "gemini text": GEMINI_TEXT,
    "gemini tools": GEMINI_TOOLS,
}
