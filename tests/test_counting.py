"""Counting as the target counts: which vocabulary, and what a request adds to its texts."""

import math
from concurrent.futures import ThreadPoolExecutor

import pytest
import splintr
from hypothesis import given
from hypothesis import strategies as st

from understudy.actors.counting import _encode, counter, message_tokens, prompt_tokens
from understudy.actors.embedded import tokens
from understudy.protocols.chat import (
    ChatRequest,
    Document,
    Image,
    Message,
    Question,
    ResponseFormat,
    Text,
    Tool,
    ToolCall,
    ToolResult,
)

SAMPLE = "Zwölf Boxkämpfer jagen Viktor quer über den großen Sylter Deich. def f(x): return x  # 你好, мир <|im_end|>\n"


@pytest.mark.parametrize(
    ("kind", "model", "vocabulary"),
    [
        ("openai", "gpt-4o-mini", "o200k_base"),
        ("openai", "gpt-5-nano", "o200k_base"),
        ("openai", "o3", "o200k_base"),
        ("azure", "o4-mini", "o200k_base"),
        ("openai", "openai/gpt-oss-120b", "o200k_base"),
        ("openai", "gpt-4-turbo", "cl100k_base"),
        ("azure", "gpt-35-turbo", "cl100k_base"),
        ("openai", "text-embedding-3-small", "cl100k_base"),
        ("gemini", "gemini-2.5-pro", "gemma3"),
        ("gemini", "models/whatever-comes", "gemma3"),
        ("openai", "google/gemma-2-9b-it", "gemma2"),
        ("openai", "gemma3:27b", "gemma3"),
        ("openai", "llama-3.3-70b-versatile", "llama3"),
        ("openai", "llama2:13b", "llama2"),
        ("openai", "deepseek-chat", "deepseek_v3"),
        ("openai", "Qwen/Qwen3-8B", "qwen3"),
        ("openai", "qwen2.5-coder", "qwen2"),
        ("openai", "mistral-large-latest", "mistral_v3"),
        ("openai", "Mixtral-8x7B", "mistral_v1"),
        ("openai", "moonshotai/kimi-k2", "kimi_k2"),
        ("openai", "glm-4.6", "glm4"),
        ("openai", "microsoft/phi-4", "phi4"),
    ],
)
def test_each_family_is_counted_with_its_own_vocabulary(kind: str, model: str, vocabulary: str) -> None:
    """The count is what that vocabulary gives, and texts of special tokens count as any other."""
    exact = splintr.Tokenizer.from_pretrained(vocabulary).encode_ordinary(SAMPLE)
    assert counter(kind, model)(SAMPLE) == len(exact)


@pytest.mark.parametrize(("kind", "model"), [("anthropic", "claude-sonnet-4-5"), ("openai", "anthropic/claude-x")])
def test_claude_is_counted_with_a_factor(kind: str, model: str) -> None:
    """Nobody knows its vocabulary: 1.2 tokens for one of o200k, rounded up."""
    assert counter(kind, model)(SAMPLE) == math.ceil(1.2 * tokens.count(SAMPLE))
    assert counter(kind, model)("") == 0


def test_what_nobody_knows_is_counted_on_the_safe_side() -> None:
    """An unknown model counts a tenth more than o200k; the embedded one counts with o200k itself."""
    assert counter("openai", "my-own")("word " * 1_000) > tokens.count("word " * 1_000)
    assert counter("embedded", "extractive") is tokens.count


def test_a_vocabulary_is_loaded_when_it_is_first_counted_with_and_once() -> None:
    """Asking for a counter loads nothing; eight threads that count at once load one vocabulary."""
    _encode.cache_clear()
    count = counter("openai", "olmo-2-7b")
    assert _encode.cache_info().currsize == 0
    with ThreadPoolExecutor(8) as pool:
        found = set(pool.map(count, [SAMPLE] * 32))
    assert len(found) == 1
    assert _encode.cache_info().misses == 1


def words(text: str) -> int:
    """A counter that can be checked by hand."""
    return len(text.split())


def test_everything_that_a_prompt_holds_is_counted() -> None:
    """Each part, each turn, each tool and the schema add what they hold, and an image its flat estimate."""
    said = [
        Message("system", (Text("be brief"),)),
        Message("user", (Document("a.py", "one two three"), Question("why so"), Image(b"x"))),
        Message("assistant", (ToolCall("1", "look", '{"a": 1}'),)),
        Message("tool", (ToolResult("1", "look", "found it"),)),
    ]
    assert [message_tokens(one, words) for one in said] == [4 + 2, 4 + 7 + 3 + 1600, 4 + 8 + 3, 4 + 2]
    plain = ChatRequest("m", tuple(said))
    assert prompt_tokens(plain, words) == 3 + sum(message_tokens(one, words) for one in said)
    armed = ChatRequest(
        "m", plain.messages, tools=(Tool("look", "looks up", "{}"),), response_format=ResponseFormat("{}")
    )
    assert prompt_tokens(armed, words) == prompt_tokens(plain, words) + (12 + 4) + (12 + 1)


@given(st.lists(st.text(max_size=50), max_size=8))
def test_a_longer_conversation_never_counts_less(texts: list[str]) -> None:
    """Each further turn adds at least its overhead."""
    count = counter("openai", "gpt-4o")
    messages = [Message("user", (Text(text),)) for text in texts]
    counts = [prompt_tokens(ChatRequest("m", tuple(messages[:end])), count) for end in range(len(messages) + 1)]
    assert counts == sorted(set(counts))
