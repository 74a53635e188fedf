"""The router in its first form: the configured order, healthy accounts first."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Final

from ...protocols.config import Candidate
from ...protocols.errors import ConfigError

_PATIENCE_S: Final = 1.0
"""A candidate that is blocked for less than this keeps its place: a second is shorter than most answers take."""


@dataclasses.dataclass(frozen=True, slots=True)
class Health:
    """What is known of an account: until when nobody may call it, and whether it is down."""

    blocked_until: float = 0.0
    down: bool = False


class Router:
    """Orders the candidates of a route.

    Args:
        routes: for each route its candidates, best first, as configured.
    """

    def __init__(self, routes: Mapping[str, Sequence[Candidate]]) -> None:
        self._routes = {name: tuple(candidates) for name, candidates in routes.items()}

    def candidates(
        self, route: str, health: Mapping[str, Health], *, now: float, tokens: int = 0
    ) -> tuple[Candidate, ...]:
        """All candidates that could answer, best first.

        Free ones come in the configured order, then the blocked by when they are free, then those that are down (last,
        since somebody may have mended the key).
        A candidate whose window is smaller than `tokens` is left out, unless none is larger.

        Raises:
            ConfigError: there is no such route.
        """
        known = self._routes.get(route)
        if known is None:
            raise ConfigError(f"there is no model {route!r} in models (defined: {', '.join(sorted(self._routes))})")
        if len(known) == 1:
            return known
        fitting = [one for one in known if one.window is None or one.window >= tokens] or list(known)

        def rank(candidate: Candidate) -> tuple[int, float]:
            state = health.get(candidate.account, Health())
            if state.down:
                return 2, 0.0
            wait = state.blocked_until - now
            return (1, wait) if wait > _PATIENCE_S else (0, 0.0)

        return tuple(sorted(fitting, key=rank))
