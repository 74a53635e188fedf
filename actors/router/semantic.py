"""The semantic stage: which example is a request most like? Without a model and without a network.

Texts become TF-IDF vectors over stemmed words and over the 4-grams of characters inside words, which forgive
inflection, typing errors and compounds; likeness is their cosine (Salton and Buckley, "Term-weighting approaches in
automatic text retrieval", 1988). A request that is longer than an example could be is looked at twice, its first and
its last `_SPAN` words, since the instruction stands at one of the ends.
"""

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Final

import msgspec

from ..embedded.terms import STOPWORDS, stem
from .reading import fold

_SPAN: Final = 48
"""Words at each end that are compared."""

Vector = dict[str, float]


class Match(msgspec.Struct, frozen=True):
    """How like a request is to the likest example of a route: cosine, 0 to 1."""

    route: str
    similarity: float
    example: str


class Examples:
    """The examples of all routes, as vectors.

    Args:
        examples: for each route, requests that belong there.
    """

    def __init__(self, examples: Mapping[str, Sequence[str]]) -> None:
        texts = [(route, text) for route, several in examples.items() for text in several]
        counts = [_features(fold(text).split()) for _, text in texts]
        seen = Counter(feature for count in counts for feature in count)
        self._count = len(texts)
        self._idf = {feature: self._weight(number) for feature, number in seen.items()}
        self._texts: Final = texts
        #: For each feature the examples that hold it, with its part of their unit vectors.
        self._postings: dict[str, list[tuple[int, float]]] = {}
        for place, count in enumerate(counts):
            for feature, value in _unit(self._vector(count)).items():
                self._postings.setdefault(feature, []).append((place, value))

    def __bool__(self) -> bool:
        """True when there are examples."""
        return bool(self._texts)

    def likest(self, words: Sequence[str], allowed: Callable[[str], bool] = lambda _: True) -> tuple[Match, ...]:
        """For each allowed route its likest example, the likest route first; routes that share nothing are left out.

        Args:
            words: of the request, folded, in order.
            allowed: which routes may be chosen.
        """
        spans = [words] if len(words) <= 2 * _SPAN else [words[:_SPAN], words[-_SPAN:]]
        best: dict[str, tuple[float, int]] = {}
        for span in spans:
            for place, similarity in self._similar(span).items():
                route = self._texts[place][0]
                if similarity > best.get(route, (0.0, 0))[0] and allowed(route):
                    best[route] = (similarity, place)
        found = [Match(route, min(value, 1.0), self._texts[place][1]) for route, (value, place) in best.items()]
        return tuple(sorted(found, key=lambda match: (-match.similarity, match.route)))

    def _similar(self, words: Sequence[str]) -> dict[int, float]:
        dots: dict[int, float] = {}
        for feature, value in _unit(self._vector(_features(words))).items():
            for place, part in self._postings.get(feature, ()):
                dots[place] = dots.get(place, 0.0) + value * part
        return dots

    def _vector(self, count: Mapping[str, float]) -> Vector:
        unseen = self._weight(0)
        return {feature: value * self._idf.get(feature, unseen) for feature, value in count.items()}

    def _weight(self, number: int) -> float:
        """Smoothed inverse document frequency: 1 for what is in all examples, more for what is rare."""
        return math.log((1 + self._count) / (1 + number)) + 1


def _features(words: Sequence[str]) -> dict[str, float]:
    """Each feature once, with its weight: how often a word is repeated tells little in a request."""
    telling = [word for word in words if word not in STOPWORDS] or words
    return {feature: weight for word in telling for feature, weight in _of_word(word)}


@lru_cache(maxsize=16_384)
def _of_word(word: str) -> tuple[tuple[str, float], ...]:
    padded = f"^{word[:40]}$"
    grams = {padded[at : at + 4] for at in range(max(1, len(padded) - 3))}
    share = 1 / len(grams)
    return ((stem(word), 1.0), *((f"#{gram}", share) for gram in sorted(grams)))


def _unit(vector: Vector) -> Vector:
    norm = math.sqrt(sum(value * value for value in vector.values()))
    return {feature: value / norm for feature, value in vector.items()} if norm else {}
