"""The router: who answers a request for a route, best first."""

import random
from collections.abc import Callable, Collection, Mapping
from typing import Final

from ...protocols.errors import ConfigError, PrivacyRefused
from ...protocols.routes import Candidate, Route
from ...protocols.suggest import did_you_mean
from .balance import Balancer, balancer
from .view import View

PATIENCE_S: Final = 1.0
"""A candidate that is blocked for less than this keeps its place: a second is shorter than most answers take."""

Seen = tuple[Candidate, View]


class Router:
    """Orders the candidates of a route.

    Args:
        routes: as configured.
        rng: for the policies that draw.
    """

    def __init__(self, routes: Mapping[str, Route], *, rng: random.Random) -> None:
        self._rng = rng
        self._groups = {name: _groups(route) for name, route in routes.items()}

    def candidates(
        self,
        route: str,
        view: Callable[[Candidate], View],
        *,
        tokens: int,
        private: bool = False,
        excluded: Collection[str] = (),
    ) -> tuple[Candidate, ...]:
        """All candidates that could answer, best first.

        The order is by rank, and among equals by the route's policy; then the free ones come first, the blocked after
        them by when they are free, those that are down last, since somebody may have mended the key.

        Args:
            route: a name under models.
            view: what is known of a candidate now.
            tokens: prompt and answer together; candidates with smaller windows are left out, unless none has a larger
                one: then all are kept, so that the overflow policy can act.
            private: only private candidates.
            excluded: `account/model` of candidates that must not be called.

        Raises:
            ConfigError: there is no such route.
            PrivacyRefused: none of its candidates is private, and the request must not leave.
        """
        groups = self._groups.get(route)
        if groups is None:
            raise ConfigError(_unknown(route, self._groups))
        if len(groups) == 1 and len(groups[0][1]) == 1 and not private and not excluded:
            return groups[0][1]
        seen = [(policy, [(one, view(one)) for one in equals]) for policy, equals in groups]
        if excluded:
            seen = [
                (policy, [p for p in pairs if f"{p[0].account}/{p[0].model}" not in excluded]) for policy, pairs in seen
            ]
        if private:
            seen = [(policy, [pair for pair in pairs if pair[1].private]) for policy, pairs in seen]
            if not any(pairs for _, pairs in seen):
                raise PrivacyRefused(no_private(route), sent=False)
        if any(_fits(pair, tokens) for _, pairs in seen for pair in pairs):
            seen = [(policy, [pair for pair in pairs if _fits(pair, tokens)]) for policy, pairs in seen]
        free = [pair for policy, pairs in seen for pair in self._balanced(policy, pairs)]
        return tuple(candidate for candidate, _ in sorted(free, key=_health))

    def _balanced(self, policy: Balancer, pairs: list[Seen]) -> list[Seen]:
        """Those who can be called now in the policy's order, so that a blocked one takes no turn; then the others."""
        ready = [pair for pair in pairs if _health(pair)[0] == 0]
        if len(ready) < 2:
            return pairs
        order = policy.order([one for one, _ in ready], [seen for _, seen in ready], self._rng)
        return [ready[place] for place in order] + [pair for pair in pairs if _health(pair)[0]]


def no_private(route: str) -> str:
    """The text of the error when what must not leave has nowhere to go."""
    return (
        f"{route}: the request must not leave, and no candidate is private; add one whose account says `private: true`"
    )


def _unknown(route: str, known: Mapping[str, object]) -> str:
    return f"there is no model {route!r} in models{did_you_mean(route, known)} (defined: {', '.join(sorted(known))})"


def _groups(route: Route) -> tuple[tuple[Balancer, tuple[Candidate, ...]], ...]:
    ranks: dict[int, list[Candidate]] = {}
    for place, candidate in enumerate(route.candidates):
        ranks.setdefault(place if candidate.rank is None else candidate.rank, []).append(candidate)
    return tuple((balancer(route.balance), tuple(ranks[rank])) for rank in sorted(ranks))


def _fits(pair: Seen, tokens: int) -> bool:
    window = pair[1].window or pair[0].window
    return not window or window >= tokens


def _health(pair: Seen) -> tuple[int, float]:
    view = pair[1]
    if view.down:
        return 2, 0.0
    return (1, view.blocked_s) if view.blocked_s > PATIENCE_S else (0, 0.0)
