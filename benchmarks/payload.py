"""What every contestant sends: the same model, the same prompts."""

from typing import Final

import orjson

MODEL: Final = "sim-large"
MAX_TOKENS: Final = 64
_WORDS: Final = "Read this part of the source and say in two sentences what it does and whom it serves. "


def prompt(number: int, characters: int = 400) -> str:
    """The prompt of call `number`, `characters` long; no two are alike."""
    text = f"{number:08d}: " + _WORDS * (characters // len(_WORDS) + 1)
    return text[:characters]


def body(number: int) -> bytes:
    """The request of call `number` as raw bytes."""
    messages = [{"role": "user", "content": prompt(number)}]
    return orjson.dumps({"model": MODEL, "messages": messages, "max_tokens": MAX_TOKENS})
