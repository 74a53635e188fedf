"""Which lines of source files answer a question.

A window of lines is scored by how much of the question it holds: the saturated term frequencies of BM25
(Robertson, Zaragoza: "The Probabilistic Relevance Framework", 2009) with fixed weights in place of document
frequencies. Fixed weights make the scores of different calls comparable, so that a reduce call can merge
them.
"""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from ...protocols.chat import Document
from .files import is_test
from .sentences import split
from .terms import COMMON, pieces, stem, terms
from .tokens import count, cut

NONE = "No passage answers this."

_WINDOW = 6
_MOST_HITS = 400
_MOST_PASSAGES = 12
_LINE_CHARACTERS = 160
# A passage that scores less than this share of the best one is noise beside it.
_WORTH = 0.4
_LEAST_SCORE = 0.2
_SATURATION = 0.5

_IDENTIFIER = re.compile(r"`([^`]+)`|\b(\w+(?:\.\w+)+|\w*_\w+|[a-z]+[A-Z]\w*|[A-Z][a-z]+[A-Z]\w*|\w+(?=\(\)))")
_DEFINES = (
    r"^[ \t]*(?:export |default |pub(?:\([\w ]+\))? |public |private |static |async |abstract |final "
    r"|const |let |var )*"
    r"(?:def|class|func|function|fn|struct|interface|trait|enum|type|module|object|record|#define)[ \t]+"
)
_DEFINITION = re.compile(_DEFINES + r"(?:\([^()\n]{0,60}\)[ \t]*)?([\w$]+)")
_PASSAGE = re.compile(r"^\[(\d+\.\d\d)\] (.+?):(\d+): ?(.*)$")


class Query(NamedTuple):
    """A question as weighted stems, and the identifiers it names."""

    weights: dict[str, float]
    identifiers: frozenset[str]

    @property
    def total(self) -> float:
        """The score of a window that holds every term once and defines nothing."""
        return sum(self.weights.values()) or 1.0


class Passage(NamedTuple):
    """Lines that bear on the question; `text` keeps their relative indentation."""

    score: float
    path: str
    line: int
    text: str


def query(question: str) -> Query:
    """The question's telling terms; identifiers weigh double, words common in all source half."""
    named = {(found[0] or found[1]).strip("()") for found in _IDENTIFIER.findall(question)}
    identifiers = frozenset(name.rpartition(".")[2] for name in named if name)
    inside = {stem(piece) for name in identifiers for piece in pieces(name)}
    weights: dict[str, float] = {}
    common = {stem(word) for word in COMMON}
    for term in terms(question):
        weights[term] = 2.0 if term in inside else 0.5 if term in common else 1.0
    return Query(weights, identifiers)


def find(documents: Sequence[Document], asked: Query) -> list[Passage]:
    """The passages worth showing, best first."""
    if not asked.weights:
        return []
    hit = _pattern(asked)
    found = [passage for document in documents for passage in _in_document(document, asked, hit)]
    return best(found)


def told(document: Document, asked: Query) -> list[Passage]:
    """What an answer in free words says about the question: its sentences, as passages of line 1."""
    if document.text.strip().startswith(NONE.rstrip(".")):
        return []
    sentences = [piece for line in document.text.splitlines() for piece in split(line.strip())]
    scored = [(_coverage(Counter(terms(sentence)), asked), sentence) for sentence in sentences[:200]]
    return [Passage(score, document.name, 1, sentence) for score, sentence in scored if score >= _LEAST_SCORE]


def best(found: Sequence[Passage]) -> list[Passage]:
    """The best of the passages, best first, without repeats and without what is noise beside the best."""
    ranked = sorted(found, key=lambda one: (-one.score, one.path, one.line))
    if not ranked:
        return []
    floor = max(ranked[0].score * _WORTH, _LEAST_SCORE)
    kept: list[Passage] = []
    for passage in ranked:
        if passage.score < floor or len(kept) >= _MOST_PASSAGES:
            break
        if not any(_same(passage, other) for other in kept):
            kept.append(passage)
    return kept


def _same(one: Passage, other: Passage) -> bool:
    if one.text == other.text:
        return True
    return one.path == other.path and abs(one.line - other.line) < _WINDOW // 2


def _pattern(asked: Query) -> re.Pattern[str]:
    # A stem may have lost its last letter to a changed ending (retry, retries), so it is looked for without
    # it.
    stems = [re.escape(term[:-1] if term.endswith("y") and len(term) > 3 else term) for term in asked.weights]
    return re.compile("|".join(sorted(stems, key=len, reverse=True)), re.IGNORECASE)


def _in_document(document: Document, asked: Query, hit: re.Pattern[str]) -> Iterator[Passage]:
    lines = document.text.split("\n")
    bags: dict[int, Counter[str]] = {}
    for place, line in enumerate(lines):
        if len(bags) >= _MOST_HITS:
            break
        if hit.search(line[:2_000]):
            bag = Counter(term for term in terms(line[:2_000]) if term in asked.weights)
            if bag:
                bags[place] = bag
    path_bonus = 0.15 * _coverage(Counter(terms(document.name)), asked)
    scale = 0.8 if is_test(document.name) else 1.0
    taken: set[int] = set()
    scored = [(_window_score(place, lines, bags, asked), place) for place in bags]
    for score, place in sorted(scored, key=lambda one: (-one[0], one[1]))[: _MOST_PASSAGES * 2]:
        span = _span(place, lines, bags)
        if score > 0 and taken.isdisjoint(span):
            taken.update(span)
            text = _trim(lines[span.start : span.stop])
            yield Passage(scale * (score + path_bonus), document.name, document.first_line + span.start, text)


def _window_score(place: int, lines: Sequence[str], bags: dict[int, Counter[str]], asked: Query) -> float:
    bag = Counter[str]()
    for near in range(place, min(place + _WINDOW, len(lines))):
        if near > place and not lines[near].strip():
            break
        bag.update(bags.get(near, {}))
    score = _coverage(bag, asked)
    defined = _DEFINITION.match(lines[place])
    if defined is not None:
        own = Counter(stem(piece) for piece in pieces(defined[1]))
        score += 1.0 if defined[1] in asked.identifiers else 0.5 * _coverage(own, asked)
    return score


def _coverage(bag: Counter[str], asked: Query) -> float:
    """0 … 1: the weighted share of the question's terms, each saturating with its frequency."""
    held = sum(
        weight * bag[term] * (1 + _SATURATION) / (bag[term] + _SATURATION) / (1 + _SATURATION)
        for term, weight in asked.weights.items()
        if term in bag
    )
    return held / asked.total


def _span(place: int, lines: Sequence[str], bags: dict[int, Counter[str]]) -> range:
    """The lines shown: to the last one that bears on the question; a definition takes two more along."""
    end = last = place
    least = place + 2 if _DEFINITION.match(lines[place]) else place
    for near in range(place, min(place + _WINDOW, len(lines))):
        if near > place and not lines[near].strip():
            break
        end = near
        if near in bags or near <= least:
            last = near
    return range(place, min(end, last) + 1)


def _trim(lines: Sequence[str]) -> str:
    tabless = [line.expandtabs(4).rstrip() for line in lines]
    margin = min((len(line) - len(line.lstrip()) for line in tabless if line), default=0)
    cutted = [line[margin:] for line in tabless]
    return "\n".join(f"{line[:_LINE_CHARACTERS]}…" if len(line) > _LINE_CHARACTERS else line for line in cutted)


def write(found: Sequence[Passage], max_tokens: int) -> str:
    """One `[score] path:line: text` a passage, best first, further lines indented; as many as fit."""
    text = ""
    for passage in found:
        first, *more = passage.text.split("\n")
        place = f"[{passage.score:.2f}] {' '.join(passage.path.split())}:{passage.line}: {first}"
        entry = "\n".join([place.rstrip(), *(f"    {line}" for line in more)])
        longer = f"{text}\n{entry}" if text else entry
        if count(longer) > max_tokens:
            break
        text = longer
    if not text and found:
        return cut(f"[{found[0].score:.2f}] {found[0].path}:{found[0].line}: {found[0].text}", max_tokens)
    return text or cut(NONE, max_tokens)


def read(text: str) -> list[Passage]:
    """The passages that `write` wrote into a text; other lines are passed over."""
    found: list[Passage] = []
    for line in text.split("\n"):
        matched = _PASSAGE.match(line)
        if matched is not None:
            found.append(Passage(float(matched[1]), matched[2], int(matched[3][:12]), matched[4]))
        elif found and line.startswith("    "):
            found[-1] = found[-1]._replace(text=f"{found[-1].text}\n{line[4:]}")
    return found
