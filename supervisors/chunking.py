"""Cutting texts for map-reduce: large ones at their own boundaries, with overlap; small ones together in one call."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Final

import msgspec

from ..actors.embedded.languages import detect
from ..protocols.digest import Chunk
from .digest.pack import pack
from .digest.split import SMALLEST_BUDGET, split
from .digest.tokens import count

_TOKEN_CHARS: Final = 16  # few tokens are longer, so an overlap lies within so many characters a token


class Piece(msgspec.Struct, frozen=True):
    """A consecutive part of a text, with the end of the part before it in front.

    Attributes:
        name: of the text; empty where only one was given.
        number: which part of `of`, from 1.
        of: parts of the text; 1 where it fits as it is.
        first_line: of the part itself, without its overlap; lines are inclusive, from 1.
        last_line: as above.
        tokens: all that is read: part and overlap.
        overlap_chars: how many characters at the beginning of `text` are the end of the part before.
        text: overlap and part.
    """

    name: str
    number: int
    of: int
    first_line: int
    last_line: int
    tokens: int
    overlap_chars: int
    text: str

    @property
    def own(self) -> str:
        """The part without its overlap: those of all pieces, joined, give the text back."""
        return self.text[self.overlap_chars :]

    @property
    def label(self) -> str:
        """What an answer about it names: the text's name, and which lines where there is more than one piece."""
        if self.of == 1:
            return self.name
        lines = f"lines {self.first_line}-{self.last_line}"
        return f"{self.name} ({lines})" if self.name else lines


def chunks(texts: Sequence[tuple[str, str]] | str, *, tokens: int, overlap: int = 0) -> list[Piece]:
    """The pieces of texts, in order, each of at most `tokens`.

    A text that fits is one piece. Others are cut at syntax or paragraph boundaries (see `split`; the language is told
    by name and text), and each piece but the first repeats up to `overlap` tokens of the one before, from the beginning
    of a line or a word where there is one.

    Args:
        texts: names and texts, or one text.
        tokens: budget of a piece, its overlap included.
        overlap: tokens to repeat; at most half of `tokens`.

    Raises:
        ValueError: when nothing could be cut to that.
    """
    if not 0 <= overlap <= tokens // 2 or tokens - overlap < SMALLEST_BUDGET:
        least = max(2 * overlap, overlap + SMALLEST_BUDGET)
        raise ValueError(
            f"{tokens} tokens are too few with an overlap of {overlap}: use {least} or more, or repeat less"
        )
    named = [("", texts)] if isinstance(texts, str) else texts
    return [piece for name, text in named for piece in _pieces(name, text, tokens, overlap)]


def bundles(pieces: Sequence[Piece], *, tokens: int) -> list[tuple[Piece, ...]]:
    """Pieces that one call reads together, each piece once; packed as a digest's files are (see `pack`).

    Whole texts share a call of at most `tokens`, a line for each name included, and at most `MOST_FILES` texts. A part
    of a larger text has a call of its own, also where it passes `tokens` with that line.
    """
    held = [Chunk(one.name, place, one.of, 1, 1, one.tokens, "", "") for place, one in enumerate(pieces)]
    return [tuple(pieces[chunk.number] for chunk in one.chunks) for one in pack(held, tokens)]


def _pieces(name: str, text: str, tokens: int, overlap: int) -> list[Piece]:
    language = detect(name, text)
    parts = split(name, text, language, tokens)
    if len(parts) > 1 and overlap:
        parts = split(name, text, language, tokens - overlap)
    fronts = ["", *(_front(before.text, after.text, tokens, overlap) for before, after in pairwise(parts))]
    return [_piece(part, front) for part, front in zip(parts, fronts, strict=True)]


def _piece(part: Chunk, front: str) -> Piece:
    tokens = count(front + part.text) if front else part.tokens
    text = front + part.text
    return Piece(part.path, part.number, part.of, part.first_line, part.last_line, tokens, len(front), text)


def _front(before: str, part: str, tokens: int, overlap: int) -> str:
    """What of the text before stands in front of a part: as much as is wanted and fits."""
    front = _tail(before, overlap)
    # Tokens may differ where two texts meet, by a few at most.
    while front and count(front + part) > tokens:
        front = front[len(front) // 2 + 1 :]
    return front


def _tail(text: str, most: int) -> str:
    """The end of a text, of at most so many tokens; from the start of a line, else of a word, in its first half."""
    low, high = max(0, len(text) - most * _TOKEN_CHARS), len(text)
    while low < high:
        middle = (low + high) // 2
        if count(text[middle:]) > most:
            low = middle + 1
        else:
            high = middle
    if low == 0 or text[low - 1] == "\n":
        return text[low:]
    half = (low + len(text)) // 2
    for mark in ("\n", " "):
        if (place := text.find(mark, low - 1, half)) >= 0:
            return text[place + 1 :]
    return text[low:]
