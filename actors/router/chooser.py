"""The choice of a route: named, by rule, by example, by a classifier model, by score, or the generalist.

Personal data restricts every stage where `routing.pii` says so: a route without a private candidate can't be chosen,
and `Decision.private` has to be handed on to the router, which leaves the other candidates of the chosen route out.
"""

from collections.abc import Callable, Collection, Mapping
from typing import Final, Literal

import msgspec

from ...protocols.call import CallOptions
from ...protocols.chat import ChatRequest, Image
from ...protocols.config import AUTO, Config
from ...protocols.errors import BudgetSpent, ConfigError, PrivacyRefused
from ...protocols.routes import Candidate, Route
from ...protocols.routing import Tolerance, Urgency
from ...protocols.suggest import did_you_mean
from ..prices import PICO, PriceBook
from . import asking, selection
from .classify import Classification, Classifier, Heuristics, with_pii
from .core import no_private
from .pii import request_kinds
from .reading import Reading, asked, vocabulary
from .rules import Rules
from .semantic import Examples, Match
from .view import View, cold_view

Stage = Literal["named", "rule", "example", "classifier", "score", "generalist"]


class Decision(msgspec.Struct, frozen=True):
    """Which route a request takes, and why.

    Attributes:
        route: a name under models. Where `question` is set, the one it takes if the classifier gives no answer.
        stage: who decided.
        why: one line.
        private: only private candidates of the route may be called; also for the classifier's question.
        excluded: candidates of the route (`account/model`) that break a bound of cost or latency, or can't do what is
            asked; they must not be called for this request.
        question: what the classifier model has to be asked first; hand its answer to `Chooser.answered`.
        classification: what kind of request it is; None where nobody had to know.
        rows: the candidates that were scored; empty where it didn't come to that.
        matches: the likest example of each route, where examples were looked at.
        choices: the routes that the classifier may name.
    """

    route: str
    stage: Stage
    why: str
    private: bool = False
    excluded: tuple[str, ...] = ()
    question: ChatRequest | None = None
    classification: Classification | None = None
    rows: tuple[selection.Row, ...] = ()
    matches: tuple[Match, ...] = ()
    choices: tuple[str, ...] = ()


class Case:
    """One request while it is decided on; each fact is found when it is first asked for.

    Args:
        request: as it came.
        options: of the call.
        tokens: of the prompt.
        view: what is known of a candidate.
        classifier: for its classification.
        known: the words to be looked for.
        urgency: what the caller says.
        tolerance: what the caller says.
    """

    def __init__(
        self,
        request: ChatRequest,
        options: CallOptions,
        *,
        tokens: int,
        view: Callable[[Candidate], View] | None,
        classifier: Classifier,
        known: frozenset[bytes],
        urgency: Urgency | None,
        tolerance: Tolerance | None,
    ) -> None:
        self.request = request
        self.options = options
        self.tokens = tokens
        self.tenant = options.tenant
        self.view = view
        self.reading = Reading(asked(request), known)
        self.private = options.private
        self.urgency = urgency or ("realtime" if options.interactive else "batch" if options.job else None)
        self._tolerance = tolerance
        self._classifier = classifier
        self._kinds: frozenset[str] | None = None
        self._plain: Classification | None = None

    # Not `cached_property`: until Python 3.12 it takes a lock.
    @property
    def kinds(self) -> frozenset[str]:
        """Kinds of personal data in the whole request."""
        if self._kinds is None:
            self._kinds = request_kinds(self.request)
        return self._kinds

    @property
    def plain(self) -> Classification:
        """The classification before personal data is looked for."""
        if self._plain is None:
            self._plain = self._classifier.classify(
                self.reading, tokens=self.tokens, urgency=self.urgency, tolerance=self._tolerance
            )
        return self._plain

    @property
    def classification(self) -> Classification:
        """The whole classification."""
        return with_pii(self.plain, self.kinds)


class Chooser:
    """Chooses routes for a configuration.

    Args:
        config: models and routing.
        prices: what candidates cost, for decisions that are given no view.
        classifier: instead of the heuristics.

    Raises:
        ConfigError: a rule's `matches` is no regular expression.
    """

    def __init__(self, config: Config, prices: PriceBook, *, classifier: Classifier | None = None) -> None:
        self._config: Final = config
        self._routing: Final = config.routing
        self._prices = prices
        self._classifier = classifier or Heuristics()
        self.rules: Final = Rules(config.routing.rules)
        self.examples: Final = Examples(config.routing.examples)
        self._known = vocabulary(self._classifier.words)
        self._private_routes = frozenset(
            name
            for name, route in config.models.items()
            if any(config.accounts[it.account].is_private for it in route.candidates)
        )
        self._embedded = frozenset(name for name, account in config.accounts.items() if account.kind == "embedded")

    def decide(
        self,
        request: ChatRequest,
        options: CallOptions,
        *,
        tokens: int,
        view: Callable[[Candidate], View] | None = None,
        urgency: Urgency | None = None,
        tolerance: Tolerance | None = None,
    ) -> Decision:
        """The route of a request, or the question for the classifier model.

        Args:
            request: its `model` is a route, or `auto`.
            options: of the call; `interactive` means realtime, a `job` means batch, unless `urgency` says otherwise.
            tokens: of the prompt.
            view: what is known of a candidate now; without it what the configuration tells.
            urgency: how soon it is wanted.
            tolerance: what it may cost.

        Raises:
            ConfigError: there is no such route.
            PrivacyRefused: the request must not leave, and no route has a private candidate.
            BudgetSpent: no candidate keeps the bounds of cost and latency.
        """
        case = self.case(request, options, tokens=tokens, view=view, urgency=urgency, tolerance=tolerance)
        if request.model != AUTO:
            return self._named(case)
        if case.private and not self._private_routes:
            raise PrivacyRefused(no_private(AUTO), sent=False)
        return self._by_rule(case) or self._by_rest(case)

    def case(
        self,
        request: ChatRequest,
        options: CallOptions,
        *,
        tokens: int,
        view: Callable[[Candidate], View] | None = None,
        urgency: Urgency | None = None,
        tolerance: Tolerance | None = None,
    ) -> Case:
        """A request with what can be found out about it."""
        case = Case(
            request,
            options,
            tokens=tokens,
            view=view,
            classifier=self._classifier,
            known=self._known,
            urgency=urgency,
            tolerance=tolerance,
        )
        case.private = options.private or (self._routing.pii == "private_only" and bool(case.kinds))
        return case

    def answered(self, decision: Decision, text: str) -> Decision:
        """The decision after the classifier model answered; an answer that names no choice is as none."""
        named = asking.answer(text, decision.choices)
        if not named:
            return self.failed(decision)
        return msgspec.structs.replace(
            decision,
            route=named,
            stage="classifier",
            why=f"the classifier model says {named}",
            question=None,
            excluded=_excluded(decision.rows, named),
        )

    def failed(self, decision: Decision) -> Decision:
        """The decision when the classifier model gave no answer, or none that can be read."""
        stage: Stage = "score" if decision.route != self._routing.generalist else "generalist"
        why = "the classifier model gave no answer: " + (
            "the generalist takes it" if stage == "generalist" else "best score"
        )
        return msgspec.structs.replace(decision, stage=stage, question=None, why=why)

    # The stages -------------------------------------------------------------------------------------------------------

    def _named(self, case: Case) -> Decision:
        name = case.request.model
        if name not in self._config.models:
            known = self._config.models
            raise ConfigError(
                f"there is no model {name!r} in models{did_you_mean(name, known)} (defined: {', '.join(sorted(known))})"
            )
        if not self._allowed(case)(name):
            raise PrivacyRefused(no_private(name), sent=False)
        return Decision(name, "named", "the request names it", private=case.private)

    def _by_rule(self, case: Case) -> Decision | None:
        if not self.rules.compiled:
            return None
        found = self.rules.first(case, self._allowed(case))
        if found is None:
            return None
        return Decision(found.rule.route, "rule", f"rule {found.place + 1} holds", private=case.private)

    def _by_rest(self, case: Case) -> Decision:
        allowed = self._allowed(case)
        matches = self.examples.likest(case.reading.words, allowed) if self.examples else ()
        if matches and matches[0].similarity >= self._routing.similarity:
            why = f"{matches[0].similarity:.2f} like {_short(matches[0].example)!r}"
            return Decision(matches[0].route, "example", why, private=case.private, matches=matches)
        decision = msgspec.structs.replace(self._by_score(case), matches=matches)
        classifier = self._routing.classifier
        possible = {row.route for row in decision.rows if not _hard(row)}
        choices = self._choices(possible)
        if classifier is None or classifier not in possible or len(choices) < 2:
            return decision
        return msgspec.structs.replace(
            decision,
            stage="classifier",
            question=asking.question(classifier, case.reading.text, choices),
            choices=tuple(choices),
            why=f"no rule and no example decides: {classifier} is asked; without an answer {decision.route}",
        )

    def _by_score(self, case: Case) -> Decision:
        found = case.classification
        rows = self.rows(case, found)
        stage, route, why = self._of_rows(rows, found)
        return Decision(
            route,
            stage,
            why,
            private=case.private,
            excluded=_excluded(rows, route),
            classification=found,
            rows=rows,
        )

    def _of_rows(self, rows: tuple[selection.Row, ...], found: Classification) -> tuple[Stage, str, str]:
        generalist = self._routing.generalist
        if generalist is not None and any(row.route == generalist and not _hard(row) for row in rows):
            return "generalist", generalist, "nobody claims it: the generalist takes it"
        tier = {name for name, route in self._config.models.items() if route.tier == found.tier}
        in_tier = selection.best_route([row for row in rows if row.route in tier])
        route = in_tier or selection.best_route(rows) or selection.best_route(_softened(rows))
        if not route:
            raise _refusal(rows)
        why = (
            f"best score of tier {found.tier}" if in_tier else f"best score (no route of tier {found.tier} can take it)"
        )
        return "score", route, why

    def rows(self, case: Case, found: Classification) -> tuple[selection.Row, ...]:
        """Every candidate of every route, with its score or with what excludes it."""
        routing, options = self._routing, case.options
        bound = -1 if routing.max_cost is None else round(routing.max_cost * PICO)
        if options.max_cost >= 0:
            bound = options.max_cost if bound < 0 else min(bound, options.max_cost)
        constraints = selection.Constraints(
            max_cost=bound,
            max_latency_s=routing.max_latency_s,
            private=case.private,
            tokens=case.tokens + case.request.max_tokens,
            rich=_is_rich(case.request),
        )
        return selection.score(
            self._config.models,
            case.view or self._cold(case.tokens, case.request.max_tokens),
            domain=found.domain,
            weights=routing.weights,
            constraints=constraints,
            plain=self._embedded,
        )

    def _choices(self, possible: Collection[str]) -> dict[str, str]:
        """What the classifier may name: the routes that are described, else all."""
        described: Mapping[str, str] = self._routing.descriptions or {
            name: _purpose(route) for name, route in self._config.models.items()
        }
        return {name: purpose for name, purpose in described.items() if name in possible}

    def _allowed(self, case: Case) -> Callable[[str], bool]:
        return self._private_routes.__contains__ if case.private else self._config.models.__contains__

    def _cold(self, tokens: int, max_tokens: int) -> Callable[[Candidate], View]:
        return cold_view(self._config.accounts, self._prices, tokens=tokens, max_tokens=max_tokens)


_PASSING: Final = ("window too small", "down", "blocked")


def _hard(row: selection.Row) -> bool:
    """True when a constraint excludes the candidate that neither time nor a shorter request mends."""
    return bool(row.excluded) and not row.excluded.startswith(_PASSING)


def _excluded(rows: tuple[selection.Row, ...], route: str) -> tuple[str, ...]:
    return tuple(row.candidate for row in rows if row.route == route and _hard(row))


def _softened(rows: tuple[selection.Row, ...]) -> list[selection.Row]:
    return [msgspec.structs.replace(row, excluded="") for row in rows if not _hard(row)]


def _refusal(rows: tuple[selection.Row, ...]) -> PrivacyRefused | BudgetSpent:
    reasons = sorted({row.excluded for row in rows})
    if reasons == ["not private"]:
        return PrivacyRefused(no_private(AUTO), sent=False)
    return BudgetSpent(f"no model can take the request: {', '.join(reasons)}; raise the bound, or add a candidate")


def _is_rich(request: ChatRequest) -> bool:
    return bool(request.tools or request.response_format) or any(
        isinstance(part, Image) for message in request.messages for part in message.parts
    )


def _purpose(route: Route) -> str:
    return f"{route.tier} tier" if route.tier else "any request"


def _short(text: str, width: int = 60) -> str:
    plain = " ".join(text.split())
    return plain if len(plain) <= width else plain[: width - 1] + "…"
