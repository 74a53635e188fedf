"""What kind of request it is: complexity, domain, urgency, cost tolerance, and the tier that follows from them.

The default is a handful of heuristics over words, no model: it costs microseconds and explains itself by the words it
saw. Any object with the methods of `Classifier` takes its place.

| field | heuristic |
|---|---|
| complexity | `high`: several steps ("step by step", first … then, analyze … summarize) and reasoning (why, how, explain, compare, evaluate), or two demanding words (prove, architecture, root cause …); `medium`: reasoning, something to be created (write, create, generate, design, imagine), one demanding word, or a prompt of 4,000 tokens; else `low`. "How many" and "how do I" ask for a fact. |
| domain | most votes of the words in `lexicon`, at least 2; `general` without |
| urgency | what the caller says; else `realtime` for "urgent", "asap", "right now"; else `normal` |
| tolerance | what the caller says; else `low` for "cheap", "low cost", `high` for "highest quality", "no matter the cost"; else `medium` |
| tier | personal data → `private`; high complexity → `premium` (`standard` at low tolerance); realtime → `fast`; low complexity at low tolerance, or without words that need more → `fast`; medium at high tolerance → `premium`; else `standard` |
"""  # noqa: E501 - a row of a table is a line

from collections.abc import Iterable, Mapping
from typing import Final, Literal, Protocol

import msgspec

from ...protocols.routing import Complexity, Tolerance, Urgency
from . import lexicon
from .reading import Reading

Tier = Literal["fast", "standard", "premium", "private"]

_LONG: Final = 4000
"""A prompt of so many tokens is no simple lookup."""
_ENOUGH: Final = 2
"""Votes that a domain needs: one word that is also common elsewhere is not enough."""
_NOTHING: Final[frozenset[str]] = frozenset()


class Classification(msgspec.Struct, frozen=True):
    """What kind of request it is.

    Attributes:
        complexity: what it asks of a model.
        domain: of `lexicon.DOMAINS`, or any other that a classifier of one's own knows.
        tokens: of the prompt.
        pii: kinds of personal data found, sorted; empty where none was, or where nobody had to know.
        urgency: who waits.
        tolerance: what it may cost.
        tier: what follows.
        evidence: for each field the words it was told by; nothing for a field that is at its default.
    """

    complexity: Complexity
    domain: str
    tokens: int
    pii: tuple[str, ...]
    urgency: Urgency
    tolerance: Tolerance
    tier: Tier
    evidence: dict[str, tuple[str, ...]]


class Classifier(Protocol):
    """Tells what kind of request a text is."""

    words: frozenset[str]
    """Folded words that `Reading.hits` is to tell of."""

    def classify(
        self, reading: Reading, *, tokens: int, urgency: Urgency | None = None, tolerance: Tolerance | None = None
    ) -> Classification:
        """The classification of a text, without personal data, which is nobody's choice: see `with_pii`."""
        ...


def with_pii(classification: Classification, kinds: Iterable[str]) -> Classification:
    """The classification of a request that holds these kinds of personal data."""
    found = tuple(sorted(kinds))
    if not found:
        return classification
    return msgspec.structs.replace(
        classification, pii=found, tier="private", evidence={**classification.evidence, "pii": found}
    )


class Heuristics:
    """The default classifier; see the table above."""

    words = lexicon.WORDS

    def classify(
        self, reading: Reading, *, tokens: int, urgency: Urgency | None = None, tolerance: Tolerance | None = None
    ) -> Classification:
        """Looks at the words of the text that the lexicon knows."""
        hits = reading.hits
        evidence: dict[str, tuple[str, ...]] = {}
        facets = 0
        for word in hits:
            facets |= lexicon.FACETS.get(word, 0)
        complexity = _complexity(reading, hits if facets & 1 else _NOTHING, tokens, evidence)
        domain = _domain(reading, hits, evidence)
        urgency = urgency or (_urgency(reading, hits, evidence) if facets & 2 else "normal")
        tolerance = tolerance or (_tolerance(reading, hits, evidence) if facets & 4 else "medium")
        tier = tier_of(complexity, urgency, tolerance)
        return Classification(complexity, domain, tokens, (), urgency, tolerance, tier, evidence)


def tier_of(complexity: Complexity, urgency: Urgency, tolerance: Tolerance) -> Tier:
    """The tier for a request without personal data."""
    if complexity == "high":
        return "standard" if tolerance == "low" else "premium"
    if urgency == "realtime" or complexity == "low":
        return "standard" if complexity == "low" and tolerance == "high" else "fast"
    return "premium" if tolerance == "high" else "standard"


def _complexity(
    reading: Reading, hits: frozenset[str], tokens: int, evidence: dict[str, tuple[str, ...]]
) -> Complexity:
    reasoning = sorted(hits & lexicon.REASONING)
    if "how" in hits and len(reasoning) == 1 and _phrases(lexicon.PLAIN_HOW, reading, hits):
        reasoning = []
    demanding = [*sorted(hits & lexicon.DEMANDING), *_phrases(lexicon.DEMANDING_PHRASES, reading, hits)]
    steps = _steps(reading, hits)
    told = (*steps, *reasoning, *demanding)
    if (steps and reasoning) or len(demanding) > 1:
        evidence["complexity"] = told
        return "high"
    told = told or tuple(sorted(hits & lexicon.CREATIVE))
    if told and not (steps and len(told) == len(steps)):
        evidence["complexity"] = told
        return "medium"
    if tokens >= _LONG:
        evidence["complexity"] = (f"{tokens:,} tokens",)
        return "medium"
    return "low"


def _steps(reading: Reading, hits: frozenset[str]) -> tuple[str, ...]:
    if hits.isdisjoint(lexicon.STEPS):
        return ()
    found = _phrases(lexicon.STEP_PHRASES, reading, hits)
    if "first" in hits and "then" in hits and reading.folded.find(" first ") < reading.folded.rfind(" then "):
        found = (*found, "first … then")
    if ("analyze" in hits or "analyse" in hits) and (" summari" in reading.folded):
        found = (*found, "analyze … summarize")
    return found


def _domain(reading: Reading, hits: frozenset[str], evidence: dict[str, tuple[str, ...]]) -> str:
    votes: dict[str, int] = {}
    table = lexicon.DOMAIN_WORDS
    for word in hits:
        for domain, weight in table.get(word, ()):
            votes[domain] = votes.get(domain, 0) + weight
    fenced = "`" in reading.text and "```" in reading.text  # one character is found ten times faster than three
    if fenced:
        votes["code"] = votes.get("code", 0) + 2
    if not votes or (most := max(votes.values())) < _ENOUGH:
        return "general"
    best = next(domain for domain in lexicon.DOMAINS if votes.get(domain) == most)
    told = sorted(hits & lexicon.DOMAIN_SETS[best])
    evidence["domain"] = (*told, "```") if best == "code" and fenced else tuple(told)
    return best


def _urgency(reading: Reading, hits: frozenset[str], evidence: dict[str, tuple[str, ...]]) -> Urgency:
    told = (*sorted(hits & lexicon.HURRY), *_phrases(lexicon.HURRY_PHRASES, reading, hits))
    if not told:
        return "normal"
    evidence["urgency"] = told
    return "realtime"


def _tolerance(reading: Reading, hits: frozenset[str], evidence: dict[str, tuple[str, ...]]) -> Tolerance:
    low = (*sorted(hits & lexicon.THRIFT), *_phrases(lexicon.THRIFT_PHRASES, reading, hits))
    high = _phrases(lexicon.LAVISH_PHRASES, reading, hits)
    if low or high:
        evidence["tolerance"] = high or low
    return "high" if high else "low" if low else "medium"


def _phrases(table: Mapping[str, tuple[str, ...]], reading: Reading, hits: frozenset[str]) -> tuple[str, ...]:
    if hits.isdisjoint(table):
        return ()
    return tuple(phrase for key, phrases in table.items() if key in hits for phrase in phrases if reading.says(phrase))
