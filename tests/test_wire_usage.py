"""Tokens that are billed: cached, written and reasoning ones are counted once, in every format, whole and streamed."""

import json
from typing import Any

import pytest
from wire_vectors import (
    anthropic_whole,
    data_events,
    dumped,
    gemini_response,
    named_events,
    openai_chunk,
    openai_whole,
)

from understudy.protocols.chat import Usage
from understudy.protocols.wire import anthropic, gemini, openai
from understudy.protocols.wire.codec import Codec


def openai_forms(usage: dict[str, Any]) -> tuple[Codec, bytes, bytes]:
    whole = {**openai_whole({"content": "x"}, "stop"), "usage": usage}
    last = {"choices": [], "usage": usage}
    return openai.CODEC, dumped(whole), data_events(openai_chunk({"content": "x"}, "stop"), last, done=True)


def anthropic_forms(usage: dict[str, Any]) -> tuple[Codec, bytes, bytes]:
    """As it is streamed: the prompt's counts first, the answer's last and cumulative."""
    whole = {**anthropic_whole([{"type": "text", "text": "x"}], "end_turn", 0), "usage": usage}
    begin = {**whole, "content": [], "stop_reason": None, "usage": {**usage, "output_tokens": 1}}
    end = {"output_tokens": usage["output_tokens"], "output_tokens_details": usage.get("output_tokens_details")}
    stream = named_events(
        {"type": "message_start", "message": begin},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "x"}},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 2}},
        {"type": "message_delta", "delta": {}, "usage": end},
        {"type": "message_stop"},
    )
    return anthropic.CODEC, dumped(whole), stream


def gemini_forms(usage: dict[str, Any]) -> tuple[Codec, bytes, bytes]:
    whole = gemini_response([{"text": "x"}], "STOP", usage)
    return (
        gemini.CODEC,
        dumped(whole),
        data_events(
            gemini_response([{"text": "x"}], None, {"promptTokenCount": 1}),
            {**whole, "candidates": [{"finishReason": "STOP"}]},
        ),
    )


CASES = {
    # LiteLLM #14849: $0.76 was reported where $0.18 was due, because tokens read from the cache were counted as input
    # a second time. Whoever prices input less what was cached and written at the full price can't make that mistake.
    "14849 openai": (
        openai_forms(
            {
                "prompt_tokens": 250_000,
                "completion_tokens": 100,
                "total_tokens": 250_100,
                "prompt_tokens_details": {"cached_tokens": 240_000},
            }
        ),
        Usage(250_000, 100, 240_000),
    ),
    "14849 anthropic": (
        anthropic_forms(
            {
                "input_tokens": 4,
                "cache_read_input_tokens": 240_000,
                "cache_creation_input_tokens": 9_996,
                "output_tokens": 100,
            }
        ),
        Usage(250_000, 100, 240_000, 0, 9_996),
    ),
    "14849 gemini": (
        gemini_forms(
            {
                "promptTokenCount": 250_000,
                "cachedContentTokenCount": 240_000,
                "candidatesTokenCount": 100,
                "totalTokenCount": 250_100,
            }
        ),
        Usage(250_000, 100, 240_000),
    ),
    # LiteLLM #8514: $26.74 was reported where the provider billed $770: what was written to a cache was not counted,
    # nor was the reasoning that came beside the answer.
    "8514 openai": (
        openai_forms(
            {
                "prompt_tokens": 100,
                "completion_tokens": 900,
                "total_tokens": 1000,
                "completion_tokens_details": {"reasoning_tokens": 800},
            }
        ),
        Usage(100, 900, 0, 800),
    ),
    "8514 openai, reasoning beside the answer": (
        openai_forms(
            {
                "prompt_tokens": 100,
                "completion_tokens": 100,
                "total_tokens": 1000,
                "completion_tokens_details": {"reasoning_tokens": 800},
            }
        ),
        Usage(100, 900, 0, 800),
    ),
    "8514 anthropic": (
        anthropic_forms(
            {
                "input_tokens": 10,
                "cache_creation_input_tokens": 100_000,
                "output_tokens": 500,
                "output_tokens_details": {"thinking_tokens": 400},
            }
        ),
        Usage(100_010, 500, 0, 400, 100_000),
    ),
    "8514 gemini": (
        gemini_forms(
            {
                "promptTokenCount": 100,
                "toolUsePromptTokenCount": 50,
                "candidatesTokenCount": 100,
                "thoughtsTokenCount": 800,
            }
        ),
        Usage(150, 900, 0, 800),
    ),
    "no details": (
        openai_forms({"prompt_tokens": 3, "completion_tokens": 4, "prompt_tokens_details": None}),
        Usage(3, 4),
    ),
    "nulls": (
        anthropic_forms(
            {
                "input_tokens": 3,
                "output_tokens": 4,
                "cache_read_input_tokens": None,
                "cache_creation_input_tokens": None,
            }
        ),
        Usage(3, 4),
    ),
    "negative": (gemini_forms({"promptTokenCount": -3, "candidatesTokenCount": 4}), Usage(0, 4)),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_each_token_is_counted_once(case: tuple[tuple[Codec, bytes, bytes], Usage]) -> None:
    """Input holds what was cached and written, output the reasoning; a stream counts as the whole reply does."""
    (codec, whole, stream), usage = case
    assert codec.decode(whole).usage == usage
    decoder = codec.stream()
    decoder.feed(stream)
    assert decoder.finish().usage == decoder.usage == usage
    assert usage.cached_tokens + usage.written_tokens <= usage.input_tokens
    assert usage.reasoning_tokens <= usage.output_tokens


def test_a_broken_stream_keeps_what_was_counted() -> None:
    """Anthropic tells the prompt's tokens first: they are known, and billed, also when the rest never comes."""
    _, _, stream = anthropic_forms(
        {"input_tokens": 10, "cache_read_input_tokens": 90, "cache_creation_input_tokens": 0, "output_tokens": 50}
    )
    decoder = anthropic.CODEC.stream()
    decoder.feed(stream[: stream.index(b"content_block_delta")])
    assert decoder.usage == Usage(100, 1, 90)
    assert json.loads(stream.split(b"data: ")[1].split(b"\n")[0])["type"] == "message_start"
