"""Takes the JSON out of a model's text, and mends what is trivially broken: pure, and bounded in time.

First what can be done in one pass: the code fence and the words around it go, so do commas before a closing bracket,
and line ends inside strings are escaped. What that doesn't mend is given to json-repair, as long as it is small: it
takes 1 ms for what models write, but up to the cube of the length for what is far from JSON (1.5 s were measured for
1,500 characters, 8 s for 20,000; with the bounds below, 0.26 s at most over 8,000 random texts).
"""

import itertools
import json
import re
from typing import Final

import json_repair
import orjson

_FENCED: Final = re.compile(r"```[\w-]*[ \t]*\n(.*?)```", re.DOTALL)
_STRING_OR_COMMA: Final = re.compile(r'("(?:[^"\\]|\\.)*+"?)|,(?=\s*[}\]])', re.DOTALL)

_BRACKET: Final = re.compile(r"[\[\]{}]")

_MOST_CHARS: Final = 2_000
_MOST_BRACKETS: Final = 200
_MOST_OPEN: Final = 16
"""Brackets that may be open at once in what is given to json-repair."""
_MOST_LACKING: Final = 2
_ANY_CHARS: Final = 1_000_000


def repaired(text: str) -> str:
    """The JSON that `text` holds, as JSON; `text` itself where there is none, or too much is broken.

    What is JSON comes back unchanged, but for the blanks around it.
    """
    text = text.strip().removeprefix("\ufeff")
    if is_json(text) or len(text) > _ANY_CHARS:
        return text
    for piece in _pieces(text):
        mended = _mended(piece)
        if mended:
            return mended
    return text


def is_json(text: str) -> bool:
    """True for what RFC 8259 allows."""
    try:
        orjson.loads(text)
    except (orjson.JSONDecodeError, UnicodeEncodeError):
        return False
    return True


def _pieces(text: str) -> list[str]:
    """Where JSON may stand, likeliest first: between fences, then from the first bracket to the last."""
    fenced = _FENCED.search(text)
    found = [fenced[1].strip()] if fenced else []
    starts = [at for at in (text.find("{"), text.find("[")) if at >= 0]
    if starts:
        end = max(text.rfind("}"), text.rfind("]")) + 1
        found.append(text[min(starts) : end] if end > min(starts) else text[min(starts) :])
    return found


def _mended(piece: str) -> str:
    if is_json(piece):
        return piece
    piece = _STRING_OR_COMMA.sub(lambda found: found[1] or "", piece)
    try:
        # Not strict: strings may hold line ends as they are.
        return _dumped(json.loads(piece, strict=False, parse_constant=_refused))
    except (ValueError, TypeError, RecursionError):  # a TypeError by orjson: an integer of more than 64 bits
        return _by_library(piece) if _is_near(piece) else ""


def _is_near(piece: str) -> bool:
    """True for a text that is small and nearly balanced."""
    if len(piece) > _MOST_CHARS:
        return False
    brackets = _BRACKET.findall(piece)
    depths = list(itertools.accumulate(1 if one in "{[" else -1 for one in brackets)) or [0]
    return len(brackets) <= _MOST_BRACKETS and max(depths) <= _MOST_OPEN and abs(depths[-1]) <= _MOST_LACKING


def _by_library(piece: str) -> str:
    try:
        return _dumped(json_repair.repair_json(piece, return_objects=True, skip_json_loads=True))
    except (ValueError, RecursionError, TypeError):
        return ""


def _dumped(value: object) -> str:
    """As JSON; nothing for what is no object and no list: those are words that were taken for JSON."""
    return orjson.dumps(value).decode() if isinstance(value, dict | list) else ""


def _refused(name: str) -> None:
    raise ValueError(name)
