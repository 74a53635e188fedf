"""Counting tokens as the model counts them that is asked: its own vocabulary where one is published.

The vocabularies lie inside splintr's wheel; each is loaded (10 to 200 ms) when it is first counted with, once a
process. Anthropic publishes none, nor does Google for Gemini: Claude is counted with `o200k` and a
factor, Gemini with the vocabulary of Gemma 3, which is that of Gemini 2.0 (*Gemma 3 Technical Report*, 2025).
"""

import math
import re
from collections.abc import Callable
from functools import cache, lru_cache
from threading import Lock
from typing import Final

from ..protocols.chat import ChatRequest, Image, Message, ToolCall, render_message
from .embedded.tokens import count as o200k

Count = Callable[[str], int]
"""Number of tokens of a text."""

_VOCABULARIES: Final = (
    # The model's name, wherever it stands in `vendor/name-of-the-model:variant`; the first that is found counts.
    (r"gpt-oss|gpt-4o|chatgpt-4o|gpt-4\.[1-9]|gpt-[5-9]|\bo[1-9]\b", "o200k_base"),
    (r"gpt-4|gpt-3\.5|gpt-35|text-embedding", "cl100k_base"),
    (r"gemini|gemma-?[3n]", "gemma3"),
    (r"gemma-?4", "gemma4"),
    (r"gemma", "gemma2"),
    (r"llama-?2|vicuna|tinyllama|codellama", "llama2"),
    (r"llama", "llama3"),
    (r"deepseek", "deepseek_v3"),
    (r"qwen-?3|qwq", "qwen3"),
    (r"qwen", "qwen2"),
    (r"mistral-7b|mixtral", "mistral_v1"),
    (r"mistral|ministral|magistral|devstral|codestral|pixtral", "mistral_v3"),
    (r"kimi-?k3", "kimi_k3"),
    (r"kimi|moonshot", "kimi_k2"),
    (r"glm", "glm4"),
    (r"phi-?[45]", "phi4"),
    (r"olmo", "olmo2"),
)
_NAMES: Final = tuple((re.compile(pattern, re.IGNORECASE), name) for pattern, name in _VOCABULARIES)
_BY_KIND: Final = {"gemini": "gemma3"}

_CLAUDE: Final = 1.2
"""Tokens of Claude for one of `o200k`: a guess on the safe side, until usage is compared with counts."""
_UNKNOWN: Final = 1.15
"""The same for a model whose vocabulary isn't known. On 200 kB of code and prose those of 100,000 tokens and more count
0.996 to 1.13 for one of `o200k`; those of 32,000, of 2023, 1.25."""

_MESSAGE: Final = 4
"""Tokens that a turn costs beside its text: its role, and where it begins and ends."""
_PRIMING: Final = 3
_TOOL: Final = 12
_CALL: Final = 8
_IMAGE: Final = 1600
"""An image, whatever its size: the most that Anthropic counts without resizing, and more than most cost elsewhere."""

_loading = Lock()


def counter(kind: str, model: str) -> Count:
    """Counts as `model`, reached by an account of `kind`, does; never raises, and special tokens count as text."""
    return _counter(kind, model)


@lru_cache(maxsize=256)
def _counter(kind: str, model: str) -> Count:
    if kind == "embedded":
        return o200k
    if kind == "anthropic" or "claude" in model.lower():
        return _times(_CLAUDE)
    name = next((name for pattern, name in _NAMES if pattern.search(model)), _BY_KIND.get(kind, ""))
    if not name:
        return _times(_UNKNOWN)
    return o200k if name == "o200k_base" else _of(name)


@cache
def _times(factor: float) -> Count:
    def count(text: str) -> int:
        return math.ceil(o200k(text) * factor)

    return count


@cache
def _of(vocabulary: str) -> Count:
    def count(text: str) -> int:
        with _loading:  # of two threads that come first, one loads
            encode = _encode(vocabulary)
        return len(encode(text))

    return count


@cache
def _encode(vocabulary: str) -> Callable[[str], list[int]]:
    import splintr  # noqa: PLC0415 - 20 ms, and most configurations count with `o200k` alone

    encode: Callable[[str], list[int]] = splintr.Tokenizer.from_pretrained(vocabulary).encode_ordinary
    return encode


def prompt_tokens(request: ChatRequest, count: Count) -> int:
    """About how many tokens the prompt has: messages with their overhead, images (a flat estimate), tools, schema."""
    tokens = _PRIMING + sum(message_tokens(message, count) for message in request.messages)
    tokens += sum(_TOOL + count(f"{tool.name} {tool.description} {tool.schema}") for tool in request.tools)
    if request.response_format is not None and request.response_format.schema:
        tokens += _TOOL + count(request.response_format.schema)
    return tokens


def message_tokens(message: Message, count: Count) -> int:
    """About how many tokens one turn adds to a prompt."""
    tokens = _MESSAGE + count(render_message(message))
    for part in message.parts:
        if isinstance(part, Image):
            tokens += _IMAGE
        elif isinstance(part, ToolCall):
            tokens += _CALL + count(f"{part.name} {part.arguments}{part.signature}")
    return tokens
