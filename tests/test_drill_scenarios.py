"""Scenarios: which are known, what a file may say, and how they are played faster."""

from pathlib import Path

import pytest

from understudy.cluster.drill import scenarios
from understudy.cluster.drill.scenarios import BUILT_IN, Event, Scenario, accounts_hit, choose, command, read
from understudy.cluster.simulator.settings import Faults, Latency
from understudy.protocols.errors import UsageError

ACCOUNTS = ("first", "second")


def test_all_plays_each_scenario_once_and_the_calm_before_them() -> None:
    """What others are compared with comes first."""
    names = [one.name for one in choose("all")]
    assert names[0] == "calm"
    assert sorted(names) == sorted(BUILT_IN)


def test_one_scenario_has_a_calm_of_its_own_length_before_it() -> None:
    """Streams are compared with streams."""
    calm, cuts = choose("mid-stream-cuts")
    assert (calm.name, calm.stream, calm.seconds, calm.events) == ("calm", True, cuts.seconds, ())
    assert [one.name for one in choose("calm")] == ["calm"]


def test_an_unknown_name_gets_a_hint() -> None:
    """A mistyped name is answered by what was meant."""
    with pytest.raises(UsageError, match="did you mean 'provider-down'"):
        choose("provider-dwon")


@pytest.mark.parametrize("one", BUILT_IN.values(), ids=str)
def test_built_in_scenarios_end_well_or_tell_their_end(one: Scenario) -> None:
    """Every event falls into the scenario, hits an account, and can be told to a simulator."""
    for event in one.events:
        assert event.at_s <= one.seconds
        assert accounts_hit(event, ACCOUNTS) == ("first",)
        command(event, 10.0)


def test_a_file_is_read(tmp_path: Path) -> None:
    """A scenario of one's own, in YAML."""
    path = tmp_path / "mine.yaml"
    path.write_text(
        "name: mine\nseconds: 30\nevents:\n"
        "  - {at_s: 5, account: all, outage: error_500}\n"
        "  - {at_s: 9, account: second, outage: 'off', faults: {drop: 0.5}}\n"
    )
    _, mine = choose(str(path))
    assert (mine.name, mine.seconds, len(mine.events)) == ("mine", 30.0, 2)
    assert accounts_hit(mine.events[0], ACCOUNTS) == ACCOUNTS
    assert command(mine.events[1], 2.0).faults == Faults(drop=0.5, refused_after_s=0.5)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("name: [", "not YAML"),
        ("just words", "an object"),
        ("name: x\nevents: [{at: 5}]", "events.0.at"),
        ("name: x\nseconds: 10\nevents: [{at_s: 11}]", "within the 10 seconds"),
        ("name: x\nevents: [{outage: fire}]", "events.0.outage"),
        ("name: x\nevents: [{faults: {drop: 2}}]", "events.0.faults.drop"),
    ],
)
def test_a_wrong_file_gets_one_line_that_names_it(tmp_path: Path, text: str, told: str) -> None:
    """File and key are told, and nothing is a traceback."""
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    with pytest.raises(UsageError) as raised:
        read(path)
    assert str(path) in str(raised.value)
    assert told in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    """A path that leads nowhere is a usage error."""
    with pytest.raises(UsageError, match="No such file"):
        choose(str(tmp_path / "none.yaml"))


@pytest.mark.parametrize("account", ["third", 2, -1])
def test_an_event_needs_an_account_of_the_route(account: str | int) -> None:
    """Neither a name nor a place beyond the route's accounts will do."""
    with pytest.raises(UsageError, match="none of the route's: first, second"):
        accounts_hit(Event(account=account), ACCOUNTS)


def test_faster_means_all_seconds_are_divided() -> None:
    """Shares and factors stay, seconds shrink."""
    latency = Latency(median_s=2.0, sigma=0.5, tail_rate=0.1, tail_factor=7.0, per_output_token_s=0.1)
    faster = scenarios.faster(latency, 4.0)
    assert (faster.median_s, faster.per_output_token_s) == (0.5, 0.025)
    assert (faster.sigma, faster.tail_rate, faster.tail_factor) == (0.5, 0.1, 7.0)
