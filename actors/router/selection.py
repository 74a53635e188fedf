"""Selecting a model: hard constraints first, then a weighted score of cost, latency and quality.

Each candidate's row explains itself: by the constraint that excluded it, or by three parts of a score, from 0 to 1:

- cost: 1 - cost / the dearest eligible candidate's; 0 where no price is known.
- latency: 1 - latency / the slowest eligible candidate's; 0.5 where none was measured or configured.
- quality: the candidate's `quality` in the request's domain, else its `default`, else 0.5.

The slowest and the dearest are those of this request, so that a score ranks and means nothing by itself.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

import msgspec

from ...protocols.routes import Candidate, Route
from ...protocols.routing import Weights
from .core import PATIENCE_S
from .view import View

_UNKNOWN = 0.5


class Constraints(msgspec.Struct, frozen=True):
    """What a candidate has to keep.

    Attributes:
        max_cost: picodollars for this call by estimate; -1 for no bound. An unknown price keeps no bound.
        max_latency_s: typical seconds; None for no bound. An unknown latency keeps any bound: it has to be tried first.
        private: only private accounts.
        tokens: prompt and answer together, for the window.
        rich: the request has pictures, tools or a response format, which the embedded model can't do anything with.
    """

    max_cost: int = -1
    max_latency_s: float | None = None
    private: bool = False
    tokens: int = 0
    rich: bool = False


class Row(msgspec.Struct, frozen=True):
    """One candidate, and why it was chosen or not.

    Attributes:
        route: the route it stands behind.
        candidate: `account/model`.
        rank: its rank in the route; 0 is tried first.
        excluded: the constraint that it breaks; empty for those that can be chosen.
        cost: picodollars by estimate; -1 when unknown.
        latency_s: 0 when unknown.
        score: the weighted mean of the parts.
        parts: cost, latency, quality.
    """

    route: str
    candidate: str
    rank: int
    excluded: str
    cost: int
    latency_s: float
    score: float = 0.0
    parts: tuple[float, float, float] = (0.0, 0.0, 0.0)


Entry = tuple[Row, Candidate, View]


def score(
    routes: Mapping[str, Route],
    view: Callable[[Candidate], View],
    *,
    domain: str,
    weights: Weights,
    constraints: Constraints,
    plain: Collection[str] = (),
) -> tuple[Row, ...]:
    """A row for each candidate of each route, those that can be chosen first, by score.

    Args:
        routes: those that may be chosen.
        view: what is known of a candidate.
        domain: of the request.
        weights: of the parts; only their ratios count.
        constraints: what excludes.
        plain: accounts of embedded models.
    """
    entries = list(_entries(routes, view, constraints, plain))
    fair = [entry for entry in entries if not entry[0].excluded]
    dearest = max((row.cost for row, _, _ in fair), default=0)
    slowest = max((row.latency_s for row, _, _ in fair), default=0.0)
    scored = [_scored(entry, domain, weights, dearest, slowest) for entry in fair]
    scored.sort(key=lambda row: -row.score)
    return (*scored, *(entry[0] for entry in entries if entry[0].excluded))


def best_route(rows: Sequence[Row]) -> str:
    """The route whose first eligible candidate has the best score; empty when nobody is eligible.

    A route is as good as who would answer: its candidates of the least rank. A cheap last resort behind a dear model
    doesn't make the route cheap.
    """
    fair = [row for row in rows if not row.excluded]
    first: dict[str, int] = {}
    for row in fair:
        first[row.route] = min(row.rank, first.get(row.route, row.rank))
    answering = [row for row in fair if row.rank == first[row.route]]
    return max(answering, key=lambda row: row.score).route if answering else ""


def _entries(
    routes: Mapping[str, Route], view: Callable[[Candidate], View], constraints: Constraints, plain: Collection[str]
) -> Iterable[Entry]:
    for name, route in routes.items():
        for place, candidate in enumerate(route.candidates):
            seen = view(candidate)
            rank = place if candidate.rank is None else candidate.rank
            reason = _excluded(candidate, seen, constraints, plain)
            latency = seen.latency_s or candidate.latency_s or 0.0
            yield Row(name, f"{candidate.account}/{candidate.model}", rank, reason, seen.cost, latency), candidate, seen


def _excluded(candidate: Candidate, view: View, constraints: Constraints, plain: Collection[str]) -> str:
    latency = view.latency_s or candidate.latency_s or 0.0
    window = view.window or candidate.window or 0
    tests = (
        (constraints.private and not view.private, "not private"),
        (constraints.rich and candidate.account in plain, "no tools, no pictures, no JSON"),
        (constraints.max_cost >= 0 and view.cost < 0, "price unknown, cost bound"),
        (0 <= constraints.max_cost < view.cost, "costs too much"),
        (constraints.max_latency_s is not None and latency > constraints.max_latency_s, "too slow"),
        (0 < window < constraints.tokens, "window too small"),
        (view.down, "down"),
        (view.blocked_s > PATIENCE_S, f"blocked for {view.blocked_s:.0f} s"),
    )
    return next((reason for holds, reason in tests if holds), "")


def _scored(entry: Entry, domain: str, weights: Weights, dearest: int, slowest: float) -> Row:
    row, candidate, _ = entry
    cost = 0.0 if row.cost < 0 else 1 - row.cost / dearest if dearest > 0 else 1.0
    latency = 1 - row.latency_s / slowest if row.latency_s and slowest else _UNKNOWN
    quality = candidate.quality.get(domain, candidate.quality.get("default", _UNKNOWN))
    total = weights.cost + weights.latency + weights.quality
    sum_ = weights.cost * cost + weights.latency * latency + weights.quality * quality
    return msgspec.structs.replace(row, score=sum_ / total if total else quality, parts=(cost, latency, quality))
