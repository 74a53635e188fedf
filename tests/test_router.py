"""The order of candidates against a naive sort, and that private stays private."""

import random
from collections import Counter
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from understudy.actors.router.core import Router
from understudy.actors.router.view import View
from understudy.protocols.config import Candidate, Route
from understudy.protocols.errors import ConfigError, PrivacyRefused

NAMES = "abcdef"
POLICIES = ["ordered", "round_robin", "weighted", "least_busy", "latency", "cheapest"]
candidates = st.lists(
    st.builds(
        Candidate,
        account=st.sampled_from(NAMES),
        model=st.just("m"),
        window=st.none() | st.integers(100, 900),
        rank=st.none() | st.integers(0, 2),
    ),
    min_size=1,
    max_size=6,
    unique_by=lambda one: one.account,
)
seen = st.fixed_dictionaries(
    dict.fromkeys(
        NAMES,
        st.builds(
            View,
            blocked_s=st.sampled_from([0.0, 0.5, 1.5, 30.0]),
            down=st.booleans(),
            free=st.sampled_from([-1.0, 0.0, 0.5]),
            latency_s=st.sampled_from([0.0, 0.3, 2.0]),
            cost=st.sampled_from([-1, 3, 9]),
            private=st.booleans(),
        ),
    )
)


def router(route: list[Candidate], balance: str = "ordered", seed: int = 0) -> Router:
    return Router({"r": Route.model_validate({"candidates": route, "balance": balance})}, rng=random.Random(seed))


def sees(views: dict[str, View]) -> Callable[[Candidate], View]:
    return lambda candidate: views[candidate.account]


def health(view: View) -> tuple[int, float]:
    return (2, 0.0) if view.down else (1, view.blocked_s) if view.blocked_s > 1 else (0, 0.0)


@given(candidates, seen, st.integers(0, 1000))
def test_healthy_first_then_by_when_they_are_free(route: list[Candidate], views: dict[str, View], tokens: int) -> None:
    """Without balancing: by rank, then free ones first, blocked ones by when they are free, down ones last."""
    found = router(route).candidates("r", sees(views), tokens=tokens)
    fitting = [one for one in route if (one.window or 10**9) >= tokens] or route
    ranked = sorted(fitting, key=lambda one: route.index(one) if one.rank is None else one.rank)
    assert list(found) == sorted(ranked, key=lambda one: health(views[one.account]))


@given(candidates, seen, st.integers(0, 1000), st.sampled_from(POLICIES), st.integers(0, 99))
def test_no_order_ever_holds_a_candidate_that_is_not_private(
    route: list[Candidate], views: dict[str, View], tokens: int, balance: str, seed: int
) -> None:
    """What must not leave goes to private candidates only, whatever policy, rank, health or window, or nowhere."""
    private = {one.account for one in route if views[one.account].private}
    one = router(route, balance, seed)
    if not private:
        with pytest.raises(PrivacyRefused) as refusal:
            one.candidates("r", sees(views), tokens=tokens, private=True)
        assert not refusal.value.sent
        return
    found = one.candidates("r", sees(views), tokens=tokens, private=True)
    assert found
    assert {one.account for one in found} <= private


@given(candidates, seen, st.sampled_from(POLICIES), st.integers(0, 99))
def test_balancing_only_reorders_equals_that_can_be_called(
    route: list[Candidate], views: dict[str, View], balance: str, seed: int
) -> None:
    """With any policy nobody is lost, health goes first, and ranks stay in order among the healthy."""
    found = router(route, balance, seed).candidates("r", sees(views), tokens=0)
    assert Counter(one.account for one in found) == Counter(one.account for one in route)
    if len(route) > 1:
        states = [health(views[one.account]) for one in found]
        assert states == sorted(states)
    ready = [one for one in found if health(views[one.account])[0] == 0]
    ranks = [route.index(one) if one.rank is None else one.rank for one in ready]
    assert ranks == sorted(ranks)


def test_a_blocked_equal_takes_no_turn() -> None:
    """While one of three is blocked the other two share the turns evenly."""
    route = [Candidate(account=name, model="m", rank=0) for name in "abc"]
    views = {"a": View(), "b": View(blocked_s=60), "c": View()}
    one = router(route, "round_robin")
    firsts = Counter(one.candidates("r", sees(views), tokens=0)[0].account for _ in range(10))
    assert firsts == {"a": 5, "c": 5}


def test_the_window_of_the_view_counts_too() -> None:
    """A window that the price table knows leaves a candidate out as a configured one does."""
    route = [Candidate(account="a", model="m"), Candidate(account="b", model="m")]
    views = {"a": View(window=10), "b": View(window=100)}
    assert [one.account for one in router(route).candidates("r", sees(views), tokens=50)] == ["b"]
    assert [one.account for one in router(route).candidates("r", sees(views), tokens=500)] == ["a", "b"]


def test_an_unknown_route_names_the_known_ones() -> None:
    """The error says which routes there are, and which may have been meant."""
    routes = {name: Route(candidates=()) for name in ("beta", "alpha")}
    with pytest.raises(
        ConfigError, match=r"no model 'betta' in models \(did you mean 'beta'\?\) \(defined: alpha, beta"
    ):
        Router(routes, rng=random.Random(0)).candidates("betta", sees({}), tokens=0)
