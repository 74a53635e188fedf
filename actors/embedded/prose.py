"""Documents in prose: their title, their sections and their central sentences.

Sentences are ranked by how close they are to the document's tf-idf centroid (Radev, Jing, Styś, Tam:
"Centroid-based summarization of multiple documents", 2004) and chosen greedily against repetition (Carbonell,
Goldstein: "The use of MMR", 1998). The result depends on the text alone.
"""

import math
import re
from collections import Counter
from collections.abc import Iterator, Sequence

from .compose import Item, Listing, Sketch
from .sentences import clip, finish, plain, split
from .terms import STOPWORDS, terms

_MAX_SENTENCES = 300
_MAX_CHARACTERS = 120_000
_FENCE = re.compile(r"^[ ]{0,3}(```|~~~)")
_HEADING = re.compile(r"^#{1,6}\s+(.+?)\s*#*$")
_UNDERLINE = re.compile(r"^([=\-~^\"'*+#:.`_])\1{2,}\s*$")
_FRONT_MATTER = re.compile(r"\A---\r?\n.*?\n(?:---|\.\.\.)\r?\n", re.DOTALL)
_COMMENT = re.compile(r"<!--.*?(?:-->|\Z)", re.DOTALL)
_TAG = re.compile(
    r"<(script|style|svg|pre)\b.*?(?:</\1>|\Z)|</(?:p|div|li|h[1-6]|tr|td|ul|ol|section)>",
    re.DOTALL | re.IGNORECASE,
)
_SKIPPED = re.compile(
    r"^\s*(?:\||\.\. |[*+-]\s*$|\[[^\]]+\]:\s|:[\w -]+:|<|>|!\[|\[!\[|https?://\S+$|[+|][-=+|]{3,}|"
    r"[A-Z]\w*(?:-[A-Z]\w*)+: |[\w/-]+(?:\.\w+)?:?\s{2,}[#\w(-])"
)
_BULLET = re.compile(r"^\s{0,6}(?:[-*+•]|\d{1,3}[.)])\s+")
_FIELD = re.compile(
    r"^(?:copyright|author|date|version|status|last[- ]modified|content-type|pep|created)\b.{0,40}:",
    re.IGNORECASE,
)
_WORDY = re.compile(r"[^\W\d_]{2,}")
_LEGAL = re.compile(r"copyright (?:\(c\)|©|\d{4})|all rights reserved|\(c\) (?:copyright )?\d{4}", re.IGNORECASE)
_GENERIC = frozenset(
    {
        "about",
        "changelog",
        "contents",
        "documentation",
        "index",
        "introduction",
        "license",
        "of",
        "overview",
        "readme",
        "table",
    }
)


def summarise(text: str, *, whole: bool = True) -> Sketch:
    """Two to four sentences of a document and its headings; with `whole` False the text begins in the middle."""
    headings: list[str] = []
    found: list[str] = []
    for kind, block in blocks(text[:_MAX_CHARACTERS]):
        if kind == "heading":
            headings.append(block)
        elif len(found) < _MAX_SENTENCES:
            found.extend(piece for piece in split(block) if telling(piece))
    lead = central(found, 3, first=whole)
    title = headings[0] if headings and whole else ""
    if title and not _repeats(title, lead[0] if lead else ""):
        lead = [f"{clip(title, 10).rstrip(':.')}: {lead[0]}", *lead[1:]] if lead else [finish(title)]
    names = list(dict.fromkeys(headings[1:] if title else headings))
    sections = Listing("Sections", tuple(Item(clip(name, 8)) for name in names[:12]), max(0, len(names) - 12))
    return Sketch(tuple(clip(piece, 40) for piece in lead), (sections,) if names else ())


def _repeats(title: str, sentence: str) -> bool:
    mine = set(terms(title))
    return title.lower() in _GENERIC or not mine or len(mine & set(terms(sentence))) * 2 >= len(mine)


def telling(sentence: str) -> bool:
    """True of what reads as a sentence: words enough, and mostly letters."""
    words = sentence.split()
    letters = sum(map(str.isalpha, sentence))
    if _LEGAL.search(sentence) or (letters > 12 * len(words) and sentence.isascii()):
        return False
    if sentence[:1].islower() and sentence.split(" ", 1)[0] in STOPWORDS:
        return False  # the tail of a sentence that markup cut
    if not sentence.isascii() and letters > 12:
        return True
    return len(_WORDY.findall(sentence)) >= 4 and letters * 10 >= len(sentence) * 6


def blocks(text: str) -> Iterator[tuple[str, str]]:
    """The headings and paragraphs of Markdown, reStructuredText or plain text, without code, tables and markup."""
    text = _TAG.sub("\n\n", _COMMENT.sub("", _FRONT_MATTER.sub("", text))) if "<" in text or "---" in text else text
    paragraph: list[str] = []
    lines = text.expandtabs(4).splitlines()
    in_code = False
    for number, line in enumerate(lines):
        follower = lines[number + 1] if number + 1 < len(lines) else ""
        if _FENCE.match(line):
            in_code = not in_code
        heading = None if in_code else _heading(line, follower)
        blank = not line.strip() or in_code or _FENCE.match(line) or _UNDERLINE.match(line) or _is_code(line, paragraph)
        if (blank or heading or _BULLET.match(line)) and paragraph:
            yield "paragraph", plain(" ".join(paragraph))
            paragraph = []
        if heading:
            yield "heading", heading
        elif not blank and not _SKIPPED.match(line) and not _FIELD.match(line):
            paragraph.append(_BULLET.sub("", line).strip())
    if paragraph:
        yield "paragraph", plain(" ".join(paragraph))


def _is_code(line: str, paragraph: Sequence[str]) -> bool:
    return line.startswith("    ") and not paragraph and not _BULLET.match(line)


def _heading(line: str, follower: str) -> str | None:
    found = _HEADING.match(line)
    if found is not None:
        return plain(found[1])
    text = line.strip()
    underlined = _UNDERLINE.match(follower) and len(follower.rstrip()) * 2 >= len(text) > 1
    if underlined and not _UNDERLINE.match(line) and not line.startswith(" " * 4) and len(text) < 100:
        return plain(text)
    return None


def central(found: Sequence[str], most: int, *, first: bool = True) -> list[str]:
    """The `most` most central sentences, in their order; with `first`, the opening one is always among them."""
    found = list(dict.fromkeys(found))[:_MAX_SENTENCES]
    if len(found) <= most:
        return found
    bags = [Counter(terms(sentence)) for sentence in found]
    frequency = Counter(term for bag in bags for term in bag)
    centroid = Counter[str]()
    for bag in bags:
        centroid.update(bag)
    weight = {term: math.log1p(centroid[term]) * math.log(1 + len(found) / (1 + frequency[term])) for term in frequency}
    scores = [_closeness(bag, weight) * _place(place, len(found)) for place, bag in enumerate(bags)]
    chosen = [0] if first else []
    covered = set(bags[0]) if first else set[str]()
    while len(chosen) < most:
        rest = [place for place in range(len(found)) if place not in chosen]
        best = max(rest, key=lambda place: scores[place] * _fresh(bags[place], covered, weight))
        chosen.append(best)
        covered |= set(bags[best])
    return [found[place] for place in sorted(chosen)]


def _closeness(bag: Counter[str], weight: dict[str, float]) -> float:
    # Sentences of about fifteen telling words carry most; the root keeps long ones from winning by length
    # alone.
    return sum(weight[term] for term in bag) / math.sqrt(max(len(bag), 15)) if bag else 0.0


def _place(place: int, size: int) -> float:
    return 1.0 + 0.5 * (1 - place / size)


def _fresh(bag: Counter[str], covered: set[str], weight: dict[str, float]) -> float:
    total = sum(weight[term] for term in bag)
    return sum(weight[term] for term in bag if term not in covered) / total if total else 0.0
