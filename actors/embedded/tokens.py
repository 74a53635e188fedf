"""Counting and cutting by tokens of the `o200k` vocabulary, which ships inside splintr's wheel."""

from functools import lru_cache
from threading import Lock

import splintr

_loading = Lock()

# The longest o200k tokens are runs of 128 blanks; prose never comes near this many characters a token.
_CHARACTERS_A_TOKEN = 128


@lru_cache(maxsize=1)
def _load() -> splintr.AnyTokenizer:
    return splintr.Tokenizer.from_pretrained("o200k_base")


def _tokenizer() -> splintr.AnyTokenizer:
    with _loading:  # two threads that both miss the cache would load the vocabulary (50 ms, 32 MB) twice
        return _load()


def count(text: str) -> int:
    """Number of tokens; special-token texts such as `<|endoftext|>` count as ordinary text."""
    return len(_tokenizer().encode_ordinary(text))


def cut(text: str, tokens: int) -> str:
    """The longest beginning of `text`, up to trailing blanks, that holds at most `tokens` tokens."""
    text = text[: max(tokens, 0) * _CHARACTERS_A_TOKEN]
    ids = _tokenizer().encode_ordinary(text)
    if len(ids) <= tokens:
        return text
    for keep in range(tokens, 0, -1):
        # A cut inside a character decodes to U+FFFD; and a beginning may encode to more tokens than it was
        # cut from.
        piece = _tokenizer().decode_lossy(ids[:keep]).rstrip("\ufffd").rstrip()
        if count(piece) <= tokens:
            return piece
    return ""
