"""Taking one answer about several documents apart."""

import re
from collections.abc import Sequence
from typing import Final

_HEADING: Final = re.compile(r"^#{1,4}[ \t]+(.+?)[ \t]*#*$", re.MULTILINE)
_QUOTES: Final = "`'\"* "  # not underscores: `__init__.py` is a name


def sections(text: str, names: Sequence[str]) -> list[str]:
    """The section of each name, in order; empty where the answer has none for it.

    A section begins at a heading that is the name, with or without quotes or backticks. One document needs no heading.
    """
    if len(names) == 1:
        return [_without_heading(text, names[0])]
    wanted: dict[str, list[int]] = {}
    for place, name in enumerate(names):
        wanted.setdefault(name, []).append(place)
    found = [(match.start(), match.end(), match[1].strip(_QUOTES)) for match in _HEADING.finditer(text)]
    known = [(start, end, name) for start, end, name in found if name in wanted]
    result = [""] * len(names)
    for number, (_, end, name) in enumerate(known):
        stop = known[number + 1][0] if number + 1 < len(known) else len(text)
        if wanted[name]:
            result[wanted[name].pop(0)] = text[end:stop].strip()
    return result


def _without_heading(text: str, name: str) -> str:
    match = _HEADING.match(text.lstrip())
    if match is not None and match[1].strip(_QUOTES) == name:
        return text.lstrip()[match.end() :].strip()
    return text.strip()


_PASSAGE: Final = re.compile(r"^\[[0-9.]+\] (.+?):\d+:", re.MULTILINE)
NO_PASSAGE: Final = "No passage answers this."


def passages(text: str, names: Sequence[str]) -> list[str]:
    """An answer to a question, taken apart by the document each passage is from.

    A passage is a line `[score] path:line: …` with the lines that follow it. What stands before the first passage, and
    passages of unknown documents, go to the first name; a name without any gets `NO_PASSAGE`.
    """
    starts = [(match.start(), match[1]) for match in _PASSAGE.finditer(text)]
    parts: dict[str, list[str]] = {}
    lead = text[: starts[0][0]] if starts else text
    if lead.strip():
        parts[names[0]] = [lead.strip()]
    for number, (start, name) in enumerate(starts):
        stop = starts[number + 1][0] if number + 1 < len(starts) else len(text)
        parts.setdefault(name if name in names else names[0], []).append(text[start:stop].strip())
    return ["\n".join(parts.pop(name, [NO_PASSAGE])) for name in names]


def apart(text: str, names: Sequence[str], parts: Sequence[str], *, asked: bool) -> list[bool]:
    """Whether each part of an answer is about its document alone.

    It is not where one text stands for several documents, because nothing in it tells them apart. What a model says
    after its last passage is taken for that passage's own: it can't be told from the passage.
    """
    if len(names) == 1:
        return [bool(parts[0])]
    if not asked:
        return [bool(part) and part != text.strip() for part in parts]
    first = _PASSAGE.search(text)
    lead = text[: first.start() if first else len(text)].strip()
    if first is None:
        return [lead == NO_PASSAGE] * len(parts)
    return [bool(part) and not (place == 0 and lead) for place, part in enumerate(parts)]
