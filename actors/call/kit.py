"""What all callers of one configuration share in a process: routes, prices, health, latencies, hedgers, answers."""

import random
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final

from ...protocols.chat import ChatRequest, Usage
from ...protocols.config import Candidate, Config, Hedging, Route
from ...protocols.errors import ConfigError
from ...protocols.suggest import did_you_mean
from ..channel.channel import Channel, Cost
from ..guard import Deadlines
from ..prices import PriceBook, Rate, estimate
from ..prices import cost as cost_of
from ..router.core import Router
from ..router.view import View
from .answers import AnswerCache
from .hedging import Hedger

if TYPE_CHECKING:
    from ..router.chooser import Chooser

_DECAY: Final = 0.1
"""Weight of the newest answer in a candidate's mean latency."""


class Way:
    """One candidate as this process knows it.

    Attributes:
        name: `account/model`.
        kind: of its account.
        rate: its price, or None.
        window: tokens it can read and write together; 0 when unknown.
        private: what must not leave may go there.
        latency_s: decayed mean of what its answers took; the configured one until there was one.
        cost: picodollars of what a call used, -1 without a price.
    """

    __slots__ = ("candidate", "cost", "kind", "latency_s", "name", "private", "rate", "seen", "window")

    def __init__(self, candidate: Candidate, config: Config, prices: PriceBook) -> None:
        account = config.accounts[candidate.account]
        self.candidate = candidate
        self.name = f"{candidate.account}/{candidate.model}"
        self.kind = account.kind
        self.private = account.is_private
        self.rate = prices.rate(candidate)
        self.window = prices.window(candidate) or 0
        self.latency_s = candidate.latency_s or 0.0
        self.seen = False
        self.cost = _cost(self.rate)

    def answered(self, took_s: float) -> None:
        """An answer took so long."""
        self.latency_s = took_s if not self.seen else self.latency_s + _DECAY * (took_s - self.latency_s)
        self.seen = True

    def estimate(self, tokens: int, max_tokens: int) -> int:
        """The most a request may cost, picodollars; -1 without a price."""
        return -1 if self.rate is None else estimate(self.rate, tokens, max_tokens)

    def may_have_cost(self, usage: Usage, text: str, tokens: int, max_tokens: int) -> int:
        """What a request may have cost whose reply was never seen to its end; 0 without a price."""
        if self.rate is None:
            return 0
        output = max(usage.output_tokens, len(text) // 2) if text else max_tokens
        return estimate(self.rate, max(usage.input_tokens, tokens), min(output, max_tokens))


def _cost(rate: Rate | None) -> Cost:
    if rate is None:
        return lambda _: -1
    return lambda usage: cost_of(rate, usage)


class Kit:
    """See the module.

    Args:
        config: the configuration.
        prices: of its candidates.
        rng: for jitter and for balancing.
    """

    def __init__(self, config: Config, prices: PriceBook, *, rng: random.Random) -> None:
        self.config = config
        self.prices = prices
        self.rng = rng
        self.router = Router(config.models, rng=rng)
        self.deadlines = Deadlines()
        self._chooser: Chooser | None = None
        self._ways: dict[int, Way] = {}
        self._hedgers: dict[str, Hedger] = {}
        self._answers: dict[str, AnswerCache] = {}
        #: Until when nobody may call an account, by what the last refusal said; infinite when its key was rejected.
        self._blocked: dict[str, float] = {}

    @property
    def chooser(self) -> "Chooser":
        """Finds the route of a request that names none; made when it is first needed."""
        if self._chooser is None:
            from ..router.chooser import Chooser  # noqa: PLC0415 - most configurations never choose

            self._chooser = Chooser(self.config, self.prices)
        return self._chooser

    def route(self, name: str) -> Route:
        """The route of that name. Raises `ConfigError` when there is none."""
        try:
            return self.config.models[name]
        except KeyError:
            known = sorted(self.config.models)
            hint = did_you_mean(name, known)
            raise ConfigError(f"there is no model {name!r} in models{hint} (defined: {', '.join(known)})") from None

    def way(self, candidate: Candidate) -> Way:
        """What is known of a candidate."""
        # By identity: two routes may name one model with other prices and bounds, and are called in turn.
        known = self._ways.get(id(candidate))
        if known is None:
            known = self._ways[id(candidate)] = Way(candidate, self.config, self.prices)
        return known

    def hedger(self, route: str, settings: Hedging) -> Hedger:
        """The hedger of a route."""
        known = self._hedgers.get(route)
        if known is None:
            known = self._hedgers[route] = Hedger(settings, rng=self.rng)
        return known

    @property
    def hedgers(self) -> Mapping[str, Hedger]:
        """The hedgers by route, of those routes that were called."""
        return self._hedgers

    def answers(self, route: str) -> AnswerCache | None:
        """The answers that a route keeps, if it does."""
        settings = self.config.models[route].cache
        if settings is None:
            return None
        known = self._answers.get(route)
        if known is None:
            known = self._answers[route] = AnswerCache(settings.max_bytes)
        return known

    def refused(self, account: str, seconds: float, *, down: bool) -> None:
        """The account said that nobody may call it for so long, or that its key is not good."""
        if seconds or down:
            self._blocked[account] = float("inf") if down else time.monotonic() + seconds

    def viewer(
        self, channel: Callable[[str], Channel], request: ChatRequest, tokens: int
    ) -> Callable[[Candidate], View]:
        """What a call sees of each candidate now."""

        def view(candidate: Candidate) -> View:
            way, out = self.way(candidate), channel(candidate.account)
            until = self._blocked.get(candidate.account, 0.0)
            down = until == float("inf")
            return View(
                blocked_s=0.0 if down or not until else max(0.0, until - time.monotonic()),
                down=down,
                in_flight=out.in_flight,
                free=out.free,
                latency_s=way.latency_s,
                cost=way.estimate(tokens, request.max_tokens),
                window=way.window,
                private=way.private,
            )

        return view

    def mended(self, account: str) -> None:
        """The account has answered."""
        self._blocked.pop(account, None)
