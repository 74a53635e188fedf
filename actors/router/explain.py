"""A decision in full: what each stage saw, also those that were not asked."""

from collections.abc import Callable

import msgspec

from ...protocols.call import CallOptions
from ...protocols.chat import ChatRequest
from ...protocols.errors import BudgetSpent, PrivacyRefused
from ...protocols.routes import Candidate
from ...protocols.routing import Urgency
from .chooser import Chooser, Decision
from .classify import Classification
from .rules import Compiled, Facts
from .selection import Row
from .semantic import Match
from .view import View


class RuleLook(msgspec.Struct, frozen=True):
    """What came of a rule.

    Attributes:
        place: from 1, in the order of the configuration.
        route: where it sends requests.
        asks: its conditions, as configured.
        failed: the first condition that doesn't hold; empty when all hold.
        found: the word, the match or the class by which it holds.
    """

    place: int
    route: str
    asks: str
    failed: str
    found: str


class Explanation(msgspec.Struct, frozen=True):
    """A decision and all that could have led to another one.

    Attributes:
        decision: None where the request is refused.
        refused: why; empty where it isn't.
        classification: what kind of request it is.
        rules: each rule, in order.
        matches: the likest example of each route, whatever the likeness.
        rows: each candidate, with its score or what excludes it.
    """

    decision: Decision | None
    refused: str
    classification: Classification
    rules: tuple[RuleLook, ...]
    matches: tuple[Match, ...]
    rows: tuple[Row, ...]


def explain(
    chooser: Chooser,
    request: ChatRequest,
    options: CallOptions,
    *,
    tokens: int,
    view: Callable[[Candidate], View] | None = None,
    urgency: Urgency | None = None,
) -> Explanation:
    """Decides on a request, and says what every stage saw; the arguments are those of `Chooser.decide`.

    Raises:
        ConfigError: there is no such route.
    """
    decision, refused = None, ""
    try:
        decision = chooser.decide(request, options, tokens=tokens, view=view, urgency=urgency)
    except (PrivacyRefused, BudgetSpent) as error:
        refused = str(error)
    case = chooser.case(request, options, tokens=tokens, view=view, urgency=urgency)
    return Explanation(
        decision=decision,
        refused=refused,
        classification=case.classification,
        rules=tuple(_look(one, case) for one in chooser.rules.compiled),
        matches=chooser.examples.likest(case.reading.words),
        rows=chooser.rows(case, case.classification),
    )


def _look(one: Compiled, facts: Facts) -> RuleLook:
    failed = one.fails(facts)
    asks = one.rule.model_dump(exclude={"route"}, exclude_defaults=True, mode="json")
    listed = "; ".join(f"{key}: {_plain(value)}" for key, value in asks.items())
    return RuleLook(one.place + 1, one.rule.route, listed or "anything", failed, "" if failed else _found(one, facts))


def _found(one: Compiled, facts: Facts) -> str:
    found = [one.contained(facts.reading) if one.rule.contains else ""]
    found.append(one.matched(facts.reading) if one.pattern else "")
    if one.classified:
        seen = facts.plain
        asked = {"domain": one.rule.domain, "complexity": one.rule.complexity, "urgency": one.rule.urgency}
        found.extend(str(getattr(seen, key)) for key, wanted in asked.items() if wanted)
    return ", ".join(text for text in found if text)


def _plain(value: object) -> str:
    return ", ".join(str(one) for one in value) if isinstance(value, list) else str(value).lower()
