"""What single models want otherwise than their provider's format has it: tables by prefix of the model's name.

The first row that fits wins; a path before the name (`openai/o3`) is not looked at. A model that no row names is taken
to want what the format says. Each row is one line to add when a provider publishes another exception.

Sources: OpenAI, *Reasoning models* ("unsupported parameters"); Anthropic, *Structured outputs* ("supported models") and
*Migrating to Claude 4.7* ("sampling parameters"); Google, *Thought signatures* ("FAQ").
"""

import functools
from typing import Final, Literal, NamedTuple


class OpenAIRule(NamedTuple):
    """How a model of an OpenAI-like provider is asked.

    `limit` is the field of `max_tokens`; without `sampling` temperature and top_p are left out, since the model refuses
    any other than its default.
    """

    limit: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    sampling: bool = True


class AnthropicRule(NamedTuple):
    """How a Claude is asked: whether it knows `output_config.format`, and whether temperature or top_p may be sent.

    Never both of them: Claude 4.1 and later refuse that.
    """

    structured: bool = False
    sampling: bool = True


class GeminiRule(NamedTuple):
    """How a Gemini is asked: with `signed`, function calls that it did not make itself need a stand-in signature."""

    signed: bool = True


_REASONING: Final = OpenAIRule("max_completion_tokens", sampling=False)
OPENAI: Final[tuple[tuple[tuple[str, ...], OpenAIRule], ...]] = (
    (("gpt-5-chat", "gpt-5.1-chat", "gpt-5.2-chat", "gpt-5.3-chat"), OpenAIRule("max_completion_tokens")),
    (("o1", "o3", "o4", "gpt-5", "gpt-6", "codex-mini"), _REASONING),
)

_CLAUDE_4: Final = ("opus-4-5", "opus-4-6", "sonnet-4-5", "sonnet-4-6", "haiku-4-5")
_CLAUDE_5: Final = ("opus-4-7", "opus-4-8", "opus-5", "sonnet-5", "haiku-5", "fable-", "mythos-")
ANTHROPIC: Final[tuple[tuple[tuple[str, ...], AnthropicRule], ...]] = (
    (tuple(f"claude-{name}" for name in _CLAUDE_4), AnthropicRule(structured=True)),
    (tuple(f"claude-{name}" for name in _CLAUDE_5), AnthropicRule(structured=True, sampling=False)),
)

GEMINI: Final[tuple[tuple[tuple[str, ...], GeminiRule], ...]] = (
    (("gemini-1", "gemini-2", "gemma", "learnlm"), GeminiRule(signed=False)),
)


def _name(model: str) -> str:
    return model.rpartition("/")[2]


@functools.lru_cache(1024)
def openai(model: str) -> OpenAIRule:
    """The rule of an OpenAI-like model."""
    name = _name(model)
    return next((rule for prefixes, rule in OPENAI if name.startswith(prefixes)), OpenAIRule())


@functools.lru_cache(1024)
def anthropic(model: str) -> AnthropicRule:
    """The rule of a Claude."""
    name = _name(model)
    return next((rule for prefixes, rule in ANTHROPIC if name.startswith(prefixes)), AnthropicRule())


@functools.lru_cache(1024)
def gemini(model: str) -> GeminiRule:
    """The rule of a Gemini."""
    name = _name(model)
    return next((rule for prefixes, rule in GEMINI if name.startswith(prefixes)), GeminiRule())
