"""Cuts a text to so many tokens, at the end of a line or a word where one is near, never inside a character.

A cut text says so: a marker stands where something is missing, and tells how much. Lengths are found by bisection on
the characters, since a counter can only be asked; a text is counted about ten times, and never much more of it than is
kept.
"""

import unicodedata
from collections.abc import Callable
from typing import Final

Count = Callable[[str], int]

_CHARS_A_TOKEN: Final = 4
_NEAR: Final = 8
"""A line or word may end within this part of what is kept (1/8), and `_FAR` characters, of where the tokens do."""
_FAR: Final = 400
_JOINERS: Final = "\u200d\ufe0f\u20e3"
"""Zero-width joiner, emoji selector, keycap."""


def marker(tokens: int, lines: int = 0) -> str:
    """What stands in place of what was left out."""
    return f"[… {tokens} tokens{f' ({lines} lines)' if lines else ''} left out …]"


_LONGEST: Final = marker(10**8, 10**7) + "\n\n"


def marker_tokens(count: Count) -> int:
    """Tokens that a marker may have."""
    return count(_LONGEST)


def last(text: str, tokens: int, count: Count) -> tuple[str, int]:
    """(the end of `text`, where it begins in it), of at most so many tokens with its marker; ("", len) if too few."""
    if count(text) <= tokens:
        return text, 0
    start = len(text) - _most(len(text), tokens - count(_LONGEST), count, lambda size: text[len(text) - size :])
    start = _line_begins(text, start)
    if start >= len(text):
        return "", len(text)
    # A marker on a line of its own stands for one of the lines that are left out.
    end = "\n" if text[start - 1] == "\n" else " "
    return f"{marker(count(text[:start]), text.count(chr(10), 0, start))}{end}{text[start:]}", start


def both_ends(text: str, tokens: int, count: Count) -> str:
    """Beginning and end of `text`, of at most so many tokens with the marker between them; "" if that is too few."""
    if count(text) <= tokens:
        return text
    half = (tokens - count(_LONGEST)) // 2
    head = _line_ends(text, _most(len(text), half, count, lambda size: text[:size]))
    tail = len(text) - _most(len(text) - head, half, count, lambda size: text[len(text) - size :])
    tail = _line_begins(text, tail)
    if not head or tail >= len(text):
        return ""
    middle = text[head:tail]
    before = "" if text[head - 1] == "\n" else "\n"
    after = "" if text[tail] == "\n" else "\n"
    return f"{text[:head]}{before}{marker(count(middle), middle.count(chr(10)))}{after}{text[tail:]}"


def first(text: str, tokens: int, count: Count) -> str:
    """The beginning of `text` of at most so many tokens; no marker."""
    if count(text) <= tokens:
        return text
    return text[: _line_ends(text, _most(len(text), tokens, count, lambda size: text[:size]))]


def _most(limit: int, tokens: int, count: Count, piece: Callable[[int], str]) -> int:
    """The most characters, to 2 %, whose `piece` has at most so many tokens."""
    if tokens <= 0:
        return 0
    low, high = 0, min(limit, tokens * _CHARS_A_TOKEN)
    while high < limit and count(piece(high)) <= tokens:
        low, high = high, min(limit, 2 * high)
    if count(piece(high)) <= tokens:
        return high
    while high - low > max(1, low // 64):
        middle = (low + high) // 2
        if count(piece(middle)) <= tokens:
            low = middle
        else:
            high = middle
    return low


def _line_begins(text: str, at: int) -> int:
    """Where a line begins soon after `at`, else a word, else a character."""
    if at in (0, len(text)) or text[at - 1] == "\n":
        return at
    end = at + min(_FAR, (len(text) - at) // _NEAR)
    line = text.find("\n", at, end) + 1
    if line:
        return line
    word = text.find(" ", at, end) + 1
    if word:
        return word
    while at < len(text) and _joined(text, at):
        at += 1
    return at


def _line_ends(text: str, at: int) -> int:
    """Where a line ends shortly before `at`, else a word, else a character."""
    if at in (0, len(text)) or text[at - 1] == "\n":
        return at
    start = at - min(_FAR, at // _NEAR)
    near = text.rfind("\n", start, at) + 1 or text.rfind(" ", start, at) + 1
    if near:
        return near
    while at and _joined(text, at):
        at -= 1
    return at


def _joined(text: str, at: int) -> bool:
    """True when the code points before and after `at` are seen as one character; a plain form of UAX #29."""
    before, after = text[at - 1], text[at]
    if after in _JOINERS or before == "\u200d" or unicodedata.combining(after):
        return True
    flags = "\U0001f1e6" <= before <= "\U0001f1ff" and "\U0001f1e6" <= after <= "\U0001f1ff"
    return flags or "\U0001f3fb" <= after <= "\U0001f3ff" or (before, after) == ("\r", "\n")
