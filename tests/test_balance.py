"""The balancing policies against naive references."""

import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from understudy.actors.router.balance import (
    POLICIES,
    Latency,
    LeastBusy,
    RoundRobin,
    Weighted,
    balancer,
    expected_waits,
)
from understudy.actors.router.view import View
from understudy.protocols.config import Candidate
from understudy.protocols.errors import ConfigError
from understudy.protocols.routes import BALANCES

weights = st.sampled_from([0.5, 1.0, 2.0, 7.0])
views = st.builds(
    View,
    in_flight=st.integers(0, 9),
    free=st.sampled_from([-1.0, 0.0, 0.25, 1.0]),
    latency_s=st.sampled_from([0.0, 0.1, 0.5, 3.0]),
    cost=st.sampled_from([-1, 0, 5, 90]),
)
groups = st.lists(st.tuples(weights, views), min_size=1, max_size=6).map(
    lambda rows: (
        [Candidate(account=f"a{place}", model="m", weight=weight) for place, (weight, _) in enumerate(rows)],
        [view for _, view in rows],
    )
)
Group = tuple[list[Candidate], list[View]]


def equal(count: int, weight: float = 1.0) -> list[Candidate]:
    return [Candidate(account=f"a{place}", model="m", weight=weight) for place in range(count)]


@pytest.mark.parametrize("name", sorted(POLICIES))
@given(group=groups, seed=st.integers(0, 99), turns=st.integers(1, 4))
def test_every_order_is_a_permutation(name: str, group: Group, seed: int, turns: int) -> None:
    """Whatever a policy prefers, each place occurs once, so that everybody can step in."""
    policy, rng = balancer(name), random.Random(seed)
    for _ in range(turns):
        assert sorted(policy.order(*group, rng)) == list(range(len(group[0])))


@given(count=st.integers(1, 7), rounds=st.integers(1, 9))
def test_round_robin_is_even(count: int, rounds: int) -> None:
    """After whole rounds each was first equally often, and the second is the next in turn."""
    policy, rng = RoundRobin(), random.Random(0)
    orders = [policy.order(equal(count), [View()] * count, rng) for _ in range(count * rounds)]
    assert Counter(order[0] for order in orders) == dict.fromkeys(range(count), rounds)
    assert all(order[1 % count] == (order[0] + 1) % count for order in orders)


def test_weighted_shares_converge_to_weight_times_free_capacity() -> None:
    """Of 20,000 draws each candidate is first in proportion to weight times free, within a percentage point."""
    candidates = [Candidate(account=f"a{w}", model="m", weight=w) for w in (1.0, 2.0, 4.0, 3.0)]
    seen = [View(), View(free=1.0), View(free=0.25), View(free=0.0)]
    policy, rng = Weighted(), random.Random(7)
    firsts = Counter(policy.order(candidates, seen, rng)[0] for _ in range(20_000))
    expected = {0: 1 / 4, 1: 2 / 4, 2: 1 / 4, 3: 0.0}
    assert all(abs(firsts[place] / 20_000 - share) < 0.01 for place, share in expected.items())


@given(group=groups, seed=st.integers(0, 999))
def test_weighted_puts_those_without_capacity_last(group: Group, seed: int) -> None:
    """Nobody with nothing free stands before somebody with something."""
    order = Weighted().order(*group, random.Random(seed))
    empty = [group[1][place].free == 0 for place in order]
    assert empty == sorted(empty)


@given(group=groups, seed=st.integers(0, 999))
def test_least_busy_is_by_calls_in_flight_over_weight(group: Group, seed: int) -> None:
    """The order never puts a busier one, for its weight, before a less busy one."""
    candidates, seen = group
    busy = [
        seen[place].in_flight / candidates[place].weight for place in LeastBusy().order(*group, random.Random(seed))
    ]
    assert busy == sorted(busy)


def test_least_busy_spreads_ties() -> None:
    """Equal ones share the first place by chance; not all callers choose the first."""
    rng = random.Random(3)
    firsts = Counter(LeastBusy().order(equal(4), [View()] * 4, rng)[0] for _ in range(4000))
    assert all(900 < firsts[place] < 1100 for place in range(4))


class Recorder(random.Random):
    """Remembers which two were drawn."""

    drawn: tuple[int, ...] = ()

    def sample(self, population, k, **_):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN003, ANN201
        self.drawn = tuple(super().sample(population, k))
        return list(self.drawn)


@given(group=groups, seed=st.integers(0, 999))
def test_two_choices_never_pick_the_worse_of_the_two(group: Group, seed: int) -> None:
    """The first is the better of the two that were drawn, unless one that was never measured is explored."""
    rng = Recorder(seed)
    order = Latency().order(*group, rng)
    waits = expected_waits(*group)
    if rng.drawn:
        assert order[0] in rng.drawn
        assert waits[order[0]] == min(waits[place] for place in rng.drawn)
    rest = [waits[place] for place in order[1:]]
    assert rest == sorted(rest)


@given(group=groups, seed=st.integers(0, 999))
def test_the_unmeasured_are_explored_first_once(group: Group, seed: int) -> None:
    """One without any latency goes first while it has no call in flight, and not because of it later."""
    order = Latency().order(*group, random.Random(seed))
    fresh = [place for place, view in enumerate(group[1]) if not view.latency_s and not view.in_flight]
    if fresh and len(order) > 1:
        assert order[0] in fresh


def test_two_choices_beat_chance() -> None:
    """Of servers that differ ten times in speed the fast ones get most calls, the slowest still some of them."""
    seen = [View(latency_s=seconds) for seconds in (0.1, 0.2, 0.5, 1.0)]
    rng = random.Random(5)
    firsts = Counter(Latency().order(equal(4), seen, rng)[0] for _ in range(6000))
    # Of 6 pairs the fastest is in 3, the next is best of 2, the third of 1, the slowest of none.
    assert [round(firsts[place] / 6000, 1) for place in range(4)] == [0.5, 0.3, 0.2, 0.0]


@given(group=groups)
def test_cheapest_is_by_price_among_those_with_capacity(group: Group) -> None:
    """A naive sort: with capacity, then known prices by amount, then unknown ones."""
    seen = group[1]
    order = balancer("cheapest").order(*group, random.Random(0))
    naive = sorted(range(len(seen)), key=lambda place: (seen[place].free == 0, seen[place].cost < 0, seen[place].cost))
    assert order == naive


def test_a_policy_of_ones_own() -> None:
    """An import path makes a policy; each group gets an instance of its own, whatever makes it."""
    path = "understudy.actors.router.balance:RoundRobin"
    assert isinstance(balancer(path), RoundRobin)
    assert balancer(path) is not balancer(path)
    assert balancer("round_robin") is not balancer("round_robin")


def test_names_are_those_of_the_configuration() -> None:
    """Whatever a configuration may name can be made, and the other way round."""
    assert tuple(POLICIES) == BALANCES


@pytest.mark.parametrize(
    "name", ["latncy", "no.such.module:X", "understudy.actors.router.balance:None_", ":", "random:Random"]
)
def test_an_unknown_policy_is_one_clear_line(name: str) -> None:
    """A mistyped name is told with its neighbour, a wrong path with what is wrong."""
    with pytest.raises(ConfigError, match=r"did you mean 'latency'|can't be imported|no method order"):
        balancer(name)
