"""How far several answers to one question agree.

Short answers, labels and numbers agree or do not, once case, spacing and punctuation are put aside. Prose agrees by
degrees: the Dice coefficient (1945) of its word bigrams, counted with their repeats, which is the F1 score of ROUGE-2
(Lin 2004). JSON agrees field by field.
"""

import dataclasses
import itertools
import json
import re
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Final

LIKE: Final = 0.5
"""From this similarity on two texts of prose stand in one group."""
SHORT: Final = 8
"""Most words of a short answer, which is compared as a whole."""
_MOST_CHARS: Final = 40_000  # read of one text: the cost of a comparison stays bounded, at about 2 ms a text
_MOST_JSON: Final = 200_000
_DEPTH: Final = 32
# Han, kana and Hangul are written without spaces: each sign is a word.
_WORD: Final = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]|[^\W\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]+")
_NUMBER: Final = re.compile(r"[+-]?(?:\d+|\d{1,3}(?:,\d{3})+)(?:\.\d*)?(?:e[+-]?\d{1,3})?")
_FENCE: Final = re.compile(r"\s*```[a-z]*\n(.*)\n```\s*", re.DOTALL)
_MEANT: Final = "%#&@+-$"  # signs that are part of a word: A+, C#, -x


@dataclasses.dataclass(frozen=True, slots=True)
class Agreement:
    """What several answers have in common.

    Attributes:
        score: the mean similarity of all pairs, 0 to 1 (for labels: Fleiss' observed agreement of one subject, 1971).
            One answer alone agrees with itself: 1.
        groups: positions of the answers that are alike, each group ascending, the largest group first, of equal
            ones the one with the earliest answer.
    """

    score: float
    groups: tuple[tuple[int, ...], ...]

    @property
    def majority(self) -> float:
        """Share of the answers in the largest group (the vote of self-consistency, Wang et al. 2023)."""
        return len(self.groups[0]) / sum(map(len, self.groups))


@dataclasses.dataclass(frozen=True, slots=True)
class _Prose:
    """A text of more than `SHORT` words: the bigrams of its words, and how many there are."""

    bigrams: Counter[tuple[str, str]]
    size: int


def agreement(values: Sequence[object], *, like: float = LIKE) -> Agreement:
    """How far answers agree.

    The order of the answers changes nothing but the positions named. The cost is that of comparing each pair of
    *different* answers: 64 answers of 1,000 words take about 0.2 s.

    Args:
        values: texts, or values as JSON knows them; a text that holds a JSON object or list is read as such.
        like: from this similarity on two texts of prose are linked; all else is linked if it is equal, JSON if all its
            fields are. A group is what links hold together (single linkage).

    Raises:
        ValueError: there are no answers.
    """
    if not values:
        raise ValueError("agreement of no answers")
    distinct: dict[str, list[int]] = {}
    for position, value in enumerate(values):
        distinct.setdefault(_key(value), []).append(position)
    forms = [_form(values[places[0]]) for places in distinct.values()]
    places = list(distinct.values())
    # Terms of the mean in ascending order: sums of floats would else depend on the order of the answers.
    terms = [1.0 for own in places for _ in itertools.combinations(own, 2)]
    parent = list(range(len(forms)))
    for one, other in itertools.combinations(range(len(forms)), 2):
        alike = _similar(forms[one], forms[other])
        terms += [alike] * (len(places[one]) * len(places[other]))
        if _same(forms[one], forms[other], like):
            parent[_root(parent, other)] = _root(parent, one)
    score = sum(sorted(terms)) / len(terms) if terms else 1.0
    return Agreement(min(1.0, score), _groups(parent, places))


def similarity(one: object, other: object) -> float:
    """How alike two answers are, 0 to 1: the same in both directions, 1 for an answer and itself."""
    return _similar(_form(one), _form(other))


def most_detailed(values: Sequence[object]) -> int:
    """Position of the answer with the most different content words (those of four letters, with a digit, or a sign).

    Of equal ones the longer text, then the earlier answer.

    Raises:
        ValueError: there are no answers.
    """
    if not values:
        raise ValueError("the most detailed of no answers")
    return max(range(len(values)), key=lambda position: (*_detail(values[position]), -position))


def _detail(value: object) -> tuple[int, int]:
    text = value if isinstance(value, str) else " ".join(_leaves(value, 0))
    words = {word for word in _words(text) if len(word) > 3 or not word.isascii() or any(map(str.isdigit, word))}
    return len(words), len(text)


def _leaves(value: object, depth: int) -> list[str]:
    """What a JSON value says, without what its fields are called."""
    if depth > _DEPTH:
        return []
    if isinstance(value, Mapping):
        return [leaf for inner in value.values() for leaf in _leaves(inner, depth + 1)]
    if isinstance(value, list | tuple):
        return [leaf for inner in value for leaf in _leaves(inner, depth + 1)]
    return [str(value)]


def _key(value: object) -> str:
    """Equal for values that say exactly the same; others are compared."""
    return repr(value)


def _words(text: str) -> list[str]:
    return _WORD.findall(unicodedata.normalize("NFKC", text[:_MOST_CHARS]).casefold())


def _form(value: object, depth: int = 0) -> Any:
    """A value in the form in which it is compared: numbers as floats, short texts as text, prose as `_Prose`."""
    if depth > _DEPTH:
        return repr(value)
    if isinstance(value, str):
        read = _read(value) if depth == 0 else None
        return _text(value) if read is None else _form(read, 1)
    if isinstance(value, Mapping):
        return {str(name): _form(inner, depth + 1) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_form(inner, depth + 1) for inner in value]
    if isinstance(value, bool) or value is None:
        return value
    return _number(str(value)) if isinstance(value, int | float) else repr(value)


def _read(text: str) -> object:
    """The JSON object or list that a text holds, also in a code fence; None if it is just text."""
    fenced = _FENCE.fullmatch(text) if len(text) <= _MOST_JSON else None
    inner = fenced.group(1) if fenced else text
    if inner.lstrip()[:1] not in ("{", "[") or len(inner) > _MOST_JSON:
        return None
    try:
        return json.loads(inner)
    except (ValueError, RecursionError):
        return None


def _text(text: str) -> object:
    words = _words(text)
    if len(words) > SHORT:
        bigrams = Counter(itertools.pairwise(words))
        return _Prose(bigrams, len(words) - 1)
    plain = " ".join(filter(None, map(_bare, unicodedata.normalize("NFKC", text[:_MOST_CHARS]).casefold().split())))
    return _number(plain or text.strip())


def _bare(word: str) -> str:
    """A word without the punctuation around it; one of dashes or bullets is none."""
    if not any(map(str.isalnum, word)):
        return ""
    start, end = 0, len(word)
    while _is_outside(word[start]):
        start += 1
    while _is_outside(word[end - 1]):
        end -= 1
    return word[start:end]


def _is_outside(sign: str) -> bool:
    return not sign.isalnum() and sign not in _MEANT


def _number(text: str) -> object:
    """A float for what is written like a number, else the text."""
    return float(text.replace(",", "")) if len(text) < 40 and _NUMBER.fullmatch(text) else text


def _similar(one: Any, other: Any) -> float:
    if isinstance(one, _Prose) and isinstance(other, _Prose):
        return 2.0 * sum((one.bigrams & other.bigrams).values()) / (one.size + other.size)
    if isinstance(one, dict) and isinstance(other, dict):
        names = sorted({*one, *other})
        return _mean([_similar(one[name], other[name]) if name in one and name in other else 0.0 for name in names])
    if isinstance(one, list) and isinstance(other, list):
        pairs = [_similar(left, right) for left, right in zip(one, other, strict=False)]
        return _mean(pairs + [0.0] * abs(len(one) - len(other)))
    return float(type(one) is type(other) and one == other)


def _same(one: Any, other: Any, like: float) -> bool:
    """True if two answers belong together: a label that differs is not made up for by a reason that is alike."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_same(one[name], other[name], like) for name in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_same, one, other, itertools.repeat(like)))
    return _similar(one, other) >= (like if isinstance(one, _Prose) else 1.0)


def _mean(terms: list[float]) -> float:
    return sum(terms) / len(terms) if terms else 1.0


def _root(parent: list[int], node: int) -> int:
    while parent[node] != node:
        parent[node] = parent[parent[node]]
        node = parent[node]
    return node


def _groups(parent: list[int], places: list[list[int]]) -> tuple[tuple[int, ...], ...]:
    found: dict[int, list[int]] = {}
    for node, own in enumerate(places):
        found.setdefault(_root(parent, node), []).extend(own)
    groups = [tuple(sorted(group)) for group in found.values()]
    return tuple(sorted(groups, key=lambda group: (-len(group), group[0])))
