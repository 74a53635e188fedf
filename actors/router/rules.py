"""Rules: the first whose conditions all hold decides.

Conditions are looked at from the cheapest to the dearest: numbers, the tenant, words, the pattern, and last what has to
be found out first. A classification is only made when a rule that got so far asks for one.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from typing import Final, Protocol

from ...protocols.errors import ConfigError
from ...protocols.routing import Rule, Urgency
from .classify import Classification
from .literal import required
from .reading import Reading, finder, fold, is_spaced


class Facts(Protocol):
    """What rules are asked about."""

    reading: Reading
    tokens: int
    tenant: str
    urgency: Urgency | None
    """What the caller says; a rule takes the classification's where it says nothing."""

    @property
    def plain(self) -> Classification:
        """The classification, made when it is first asked for."""
        ...

    @property
    def kinds(self) -> frozenset[str]:
        """Kinds of personal data in the request, found when they are first asked for."""
        ...


Condition = tuple[str, Callable[[Facts], bool]]


class Compiled:
    """One rule, made ready.

    Args:
        rule: as configured.
        place: its place in the list, from 0.

    Raises:
        ConfigError: `matches` is no regular expression.
    """

    def __init__(self, rule: Rule, place: int) -> None:
        self.rule = rule
        self.place = place
        #: Phrases of whole words, folded.
        self.phrases: Final = tuple(" ".join(fold(it).split()) for it in rule.contains if it.strip() and is_spaced(it))
        self._says: Final = finder(self.phrases)
        #: What is looked for as it is: it holds punctuation, or its script has no blanks.
        self.literals: Final = tuple(it.casefold() for it in rule.contains if it.strip() and not is_spaced(it))
        self.pattern: Final = _pattern(rule.matches, place)
        self.literal: Final = required(rule.matches) if rule.matches else ""
        self.classified: Final = bool(rule.domain or rule.complexity or rule.urgency)
        #: It holds only where one of its phrases is said.
        self.spoken: Final = bool(self.phrases and not self.literals)
        #: What has to hold, cheapest first; made once, since most rules have one condition of ten.
        self._conditions: Final = (*_of_numbers(rule), *self._of_text(), *_of_kind(rule))

    def fails(self, facts: Facts) -> str:
        """The first condition that doesn't hold; empty when all do."""
        for name, holds in self._conditions:
            if not holds(facts):
                return name
        return ""

    def _of_text(self) -> Iterator[Condition]:
        says, literals = self._says, self.literals
        if self.rule.contains and literals:
            yield "contains", lambda facts: says(facts.reading.folded) or bool(self.contained(facts.reading))
        elif self.rule.contains:
            yield "contains", lambda facts: says(facts.reading.folded)
        if self.pattern is not None:
            yield "matches", lambda facts: bool(self.matched(facts.reading))

    def contained(self, reading: Reading) -> str:
        """The first phrase of `contains` that the text holds; empty without."""
        spoken = (phrase for phrase in self.phrases if reading.says(phrase))
        return next(spoken, "") or next((literal for literal in self.literals if literal in reading.lower), "")

    def matched(self, reading: Reading) -> str:
        """What the pattern matched; empty without."""
        if self.literal and reading.text.isascii() and self.literal not in reading.lower:
            return ""
        found = self.pattern.search(reading.text) if self.pattern is not None else None
        return (found[0] or "(nothing)") if found else ""


class Rules:
    """All rules of a configuration, in order.

    Raises:
        ConfigError: a rule's `matches` is no regular expression.
    """

    def __init__(self, rules: Sequence[Rule]) -> None:
        self.compiled: Final = tuple(Compiled(rule, place) for place, rule in enumerate(rules))
        phrases = [phrase for one in self.compiled if one.spoken for phrase in one.phrases]
        # Most requests say none of the phrases of any rule: one search for all tells, where there are several.
        self._says: Final = finder(phrases) if len(phrases) > 1 else None
        self._others: Final = tuple(one for one in self.compiled if not one.spoken)

    def first(self, facts: Facts, allowed: Callable[[str], bool]) -> Compiled | None:
        """The first rule that holds and whose route is allowed."""
        silent = self._says is not None and not self._says(facts.reading.folded)
        for one in self._others if silent else self.compiled:
            if not one.fails(facts) and allowed(one.rule.route):
                return one
        return None


def _of_numbers(rule: Rule) -> Iterator[Condition]:
    least, most, tenants = rule.min_tokens, rule.max_tokens, frozenset(rule.tenant)
    if least is not None:
        yield "min_tokens", lambda facts: facts.tokens >= least
    if most is not None:
        yield "max_tokens", lambda facts: facts.tokens <= most
    if tenants:
        yield "tenant", lambda facts: facts.tenant in tenants


def _of_kind(rule: Rule) -> Iterator[Condition]:
    if rule.domain:
        yield "domain", lambda facts: facts.plain.domain in rule.domain
    if rule.complexity:
        yield "complexity", lambda facts: facts.plain.complexity in rule.complexity
    if rule.urgency:
        yield "urgency", lambda facts: (facts.urgency or facts.plain.urgency) in rule.urgency
    if rule.pii is not None:
        yield "pii", lambda facts: bool(facts.kinds) == rule.pii


def _pattern(text: str | None, place: int) -> re.Pattern[str] | None:
    if text is None:
        return None
    try:
        return re.compile(text, re.IGNORECASE)
    except re.error as error:
        raise ConfigError(f"routing.rules[{place}].matches: not a regular expression: {error}") from None
