"""The supervision tree: who is started, restarted, announced and given up."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from understudy.protocols.config import Account, Candidate, Config, Route
from understudy.protocols.errors import ConfigError
from understudy.supervisors.children import ChildSpec, check, core_children, journal_child, provider_children
from understudy.supervisors.director.core import Announce, Reconfigure, Start, TreeOfActors
from understudy.supervisors.restart import RestartLimit

PROVIDER = ChildSpec("provider-a", "provider", "m:Provider", {"fresh": True})
MAPPER = ChildSpec("mapper-0", "mapper", "m:Mapper")
ONCE = ChildSpec("mapper-9", "mapper", "m:Mapper", restart="temporary")


def test_children_are_started_once() -> None:
    """What is needed and not there is started; asking again starts nothing."""
    tree = TreeOfActors()
    assert tree.ensure([PROVIDER, MAPPER], now=0.0) == [Start(PROVIDER), Start(MAPPER)]
    assert tree.ensure([PROVIDER, MAPPER], now=1.0) == []
    assert tree.names("mapper") == ("mapper-0",)
    assert tree.alive() == ()
    tree.up("mapper-0", 42, now=2.0)
    assert tree.alive() == ("mapper-0",)


def test_a_dead_child_is_announced_and_restarted_alone() -> None:
    """One for one: the others go on, and the successor has the same specification."""
    tree = TreeOfActors()
    tree.ensure([PROVIDER, MAPPER], now=0.0)
    tree.up("provider-a", 1, now=0.0)
    tree.up("mapper-0", 2, now=0.0)
    assert tree.died("mapper-0", now=5.0) == [Announce("mapper-0", restarting=True), Start(MAPPER)]
    assert tree.alive() == ("provider-a",)
    [_, status] = tree.status(now=6.0)
    assert (status.state, status.restarts) == ("restarting", 1)


@pytest.mark.parametrize("child", [PROVIDER, journal_child("u")])
def test_who_has_to_know_is_told_that_it_is_a_successor(child: ChildSpec) -> None:
    """A successor is told that it is not the first, also after it had been given up and is needed again."""
    tree = TreeOfActors(RestartLimit(intensity=1))
    tree.ensure([child], now=0.0)
    [_, start] = tree.died(child.name, now=1.0)
    assert isinstance(start, Start)
    assert start.spec.settings == {**child.settings, "fresh": False}
    assert tree.died(child.name, now=1.1) == [Announce(child.name, restarting=False)]
    [again] = tree.ensure([child], now=2.0)
    assert again.spec.settings["fresh"] is False


def test_a_provider_is_told_the_newest_configuration() -> None:
    """One that is there is told, and its successor begins with it; a new one and other children are not told."""
    tree = TreeOfActors()
    first = ChildSpec("provider-a", "provider", "m:Provider", {"settings": b"1", "fresh": True})
    second = ChildSpec("provider-a", "provider", "m:Provider", {"settings": b"2", "fresh": True})
    assert tree.reconfigure([first, MAPPER]) == []
    tree.ensure([first, MAPPER], now=0.0)
    assert tree.reconfigure([second, MAPPER]) == [Reconfigure("provider-a", b"2")]
    [_, start] = tree.died("provider-a", now=1.0)
    assert isinstance(start, Start)
    assert start.spec.settings == {"settings": b"2", "fresh": False}


def test_a_temporary_child_is_not_restarted() -> None:
    """It is announced as gone, and its second death says nothing."""
    tree = TreeOfActors()
    tree.ensure([ONCE], now=0.0)
    assert tree.died("mapper-9", now=1.0) == [Announce("mapper-9", restarting=False)]
    assert tree.died("mapper-9", now=1.0) == []
    assert tree.died("stranger", now=1.0) == []


@given(st.lists(st.tuples(st.floats(0, 5), st.sampled_from(["died", "up", "ensure"])), max_size=60))
def test_never_more_than_one_start_is_under_way(steps: list[tuple[float, str]]) -> None:
    """A name is started only when it is not there, never while it is up or on its way up."""
    tree, now, there = TreeOfActors(RestartLimit(intensity=3, period_s=10.0)), 0.0, False
    for gap, what in steps:
        now += gap
        effects: list[Announce | Start] = []
        if what == "ensure":
            effects += tree.ensure([MAPPER], now=now)
        elif what == "died" and there:
            effects += tree.died("mapper-0", now=now)
            there = False
        elif what == "up" and there:
            tree.up("mapper-0", 1, now=now)
        starts = [effect for effect in effects if isinstance(effect, Start)]
        assert len(starts) <= (0 if there else 1)
        there = there or bool(starts)
        assert set(tree.alive()) <= {"mapper-0"}


def test_specifications_are_checked_before_anything_starts() -> None:
    """Two of one name, or a path that is none, is an error that says which."""
    with pytest.raises(ConfigError, match="two children are called 'mapper-0'"):
        check([MAPPER, MAPPER])
    with pytest.raises(ConfigError, match="module:Class"):
        check([ChildSpec("x", "mapper", "nonsense")])
    check(core_children(3))


def test_each_account_but_the_embedded_has_a_provider() -> None:
    """A Provider's name tells accounts apart by what makes them one at the provider, and by nothing else."""
    local = Account(base_url="http://127.0.0.1:9/v1")
    config = Config(accounts={"a": local}, models={"m": Route(candidates=(Candidate(account="a", model="x"),))})
    children = provider_children(config)
    assert set(children) == {"a"}
    other = Config(accounts={"a": local.model_copy(update={"base_url": "http://127.0.0.1:8/v1"})}, models=config.models)
    assert provider_children(other)["a"].name != children["a"].name
    assert len(core_children(3, 2)) == 6
