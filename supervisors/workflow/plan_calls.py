"""What one call of a model comes to: its prompt as it will be sent, its answer as large as it may be."""

import math
from collections.abc import Mapping
from random import Random
from typing import Any, Final, cast

from ...actors.call.caller import Caller
from ...actors.call.kit import Kit
from ...actors.counting import Count, counter, prompt_tokens
from ...actors.prices import PriceBook
from ...actors.router import asking
from ...protocols.chat import ChatRequest
from ...protocols.config import AUTO, Candidate, Config
from ...protocols.errors import ConfigError, StepFailed
from ...protocols.jobs import JobSpec
from ...protocols.workflow.basic import Call
from ...protocols.workflow.fields import templated
from ...protocols.workflow.nodes import Flow
from ..forecast import asked_first, call_cost, call_cost_at_most, call_seconds
from ..patterns.call import build, schema_of
from . import templates
from .frame import Frame, Run
from .memo import Memo
from .names import own_names
from .plan_guess import Both, bound
from .plan_load import Load, Span
from .plan_scope import Names, sides, size, sure

_OTHERS: Final = 1.1
"""A guess is filler, which every vocabulary counts alike; true words differ by some percent more at most."""
_SHOWN: Final = 1_500
"""Tokens of a request that a classifier is shown (see `asking.question`: 4,000 characters)."""
_REPAIR: Final = 200
"""Tokens that tell a model what is wrong with its answer, beside that answer."""


class Desk:
    """Stands where a caller stands, and calls nobody: it knows the configuration, the prices and the windows.

    Args:
        flow: what is planned.
        config: models and accounts.
        prices: of its candidates.
    """

    def __init__(self, flow: Flow, config: Config, prices: PriceBook) -> None:
        self.config = config
        self.prices = prices
        self.kit = Kit(config, prices, rng=Random(0))  # noqa: S311 - nothing is drawn
        self.caller = cast("Caller", self)
        self._run = Run(
            0,
            flow,
            self.caller,
            patterns={},
            spec=JobSpec("", "", "", b"", b""),
            host=None,
            memo=Memo(keeps=False),
            verdicts={},
            rng=self.kit.rng,
        )

    def call(self, node: Call, names: Names) -> tuple[Span, Both]:
        """(one run of a call, its output)."""
        typical, most = self._input(node, names)
        schema = None if node.output is None else schema_of(node.output)
        least = None if schema is None else bound(schema)
        answer = max(1, node.max_tokens // 2 if least is None else min(node.max_tokens // 2, least))
        # A model's own validators may ask for one more call, and each call for one turn that mends its answer.
        asks = 0 if schema is None else 2 if isinstance(node.output, str) else 1
        load = self._load(self.route(node), typical, most, answer, node.max_tokens, repairs=max(0, 2 * asks - 1))
        return load, Both.text(answer, node.max_tokens, schema)

    def question(self, route: str, question: Both, choices: Mapping[str, str]) -> Span:
        """One run of a call that classifies."""
        tokens, answer = [], 0
        for text in (question.typical, question.most):
            request = asking.question(route, str(text), choices)
            answer = request.max_tokens
            tokens.append(prompt_tokens(request, self._counter(route)))
        return self._load(route, tokens[0], math.ceil(tokens[1] * _OTHERS), max(1, answer // 2), answer)

    def route(self, node: Call) -> str:
        """The route a call takes."""
        return node.model or next(iter(self.config.models))

    def _load(self, route: str, typical: int, most: int, answer: int, longest: int, *, repairs: int = 0) -> Span:
        everybody = self.config.candidates_of([route])
        if not everybody:
            self.kit.route(route)  # says what is defined
        first = asked_first(self.config, route)
        repaired = most + longest + _REPAIR
        times = 1 + repairs
        costs = [call_cost(first, self.prices, typical, answer), self._at_most(everybody, most, longest)]
        if repairs and costs[1] >= 0:
            costs[1] += repairs * self._at_most(everybody, repaired, longest)
        slowest = call_seconds(everybody, self.config) * times
        span = Span.of(
            Load(1.0, typical, answer, max(costs[0], 0.0), call_seconds(first, self.config), costs[0] < 0),
            Load(times, most + repairs * repaired, times * longest, max(costs[1], 0.0), slowest, costs[1] < 0),
        )
        return span + self._choice(typical, most) if route == AUTO else span

    def _at_most(self, candidates: tuple[Candidate, ...], tokens: int, longest: int) -> float:
        return call_cost_at_most(candidates, self.prices, tokens, longest)

    def _choice(self, typical: int, most: int) -> Span:
        """What choosing a route for `auto` costs, where a model does it; rules and examples may decide before."""
        routing = self.config.routing
        if routing.classifier is None:
            return Span()
        choices = dict(routing.descriptions) or dict.fromkeys(self.config.models, "")
        empty = prompt_tokens(asking.question(routing.classifier, "", choices), self._counter(routing.classifier))
        shown = [empty + min(tokens, _SHOWN) for tokens in (typical, most)]
        return self._load(routing.classifier, shown[0], shown[1], 8, 16)

    # Prompts ----------------------------------------------------------------------------------------------------------

    def _input(self, node: Call, names: Names) -> tuple[int, int]:
        """Tokens of the prompt, typically and at most."""
        count = self._counter(self.route(node))
        typical, most = sides(names)
        if sure(frozenset(own_names(node)), names):
            tokens = self._tokens(node, typical, count)
            return tokens, tokens
        return self._tokens(node, typical, count), math.ceil(self._tokens(node, most, count) * _OTHERS)

    def _tokens(self, node: Call, scope: dict[str, Any], count: Count) -> int:
        try:
            return prompt_tokens(self._request(node, scope), count)
        except (StepFailed, ConfigError):  # a guess is not what the template takes it for
            texts = [text for _, _, value in templated(node) for text in templates.texts_in(value)]
            used = frozenset(own_names(node))
            return sum(map(count, texts)) + sum(size(value) for name, value in scope.items() if name in used)

    def _request(self, node: Call, scope: dict[str, Any]) -> ChatRequest:
        return build(node, Frame(self._run, "", scope, []))

    def _counter(self, route: str) -> Count:
        first = asked_first(self.config, route) or self.config.candidates_of([next(iter(self.config.models))])
        return counter(self.config.accounts[first[0].account].kind, first[0].model)
