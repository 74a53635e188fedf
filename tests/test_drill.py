"""The command on a real Ray cluster: what people see, and what scripts get."""

from pathlib import Path

import pytest
from cluster_tools import Cluster

CONFIG = """
accounts:
  first: {api_key: "${UNSET_BY_EVERYBODY}"}
  second: {kind: anthropic}
models:
  chat:
    - {account: first, model: m, price: {input: 1, output: 2}}
    - {account: second, model: n, price: {input: 2, output: 4}}
"""


@pytest.fixture
def config(tmp_path: Path) -> str:
    path = tmp_path / "understudy.yaml"
    path.write_text(CONFIG)
    return str(path)


@pytest.mark.cluster
def test_the_second_account_takes_over_while_the_first_is_down(cluster: Cluster, config: str) -> None:
    """Every call is answered, by whom is told, no key is needed, and it costs more than in the calm."""
    done = cluster.run("drill", config, "--calls", "60", "--scenario", "provider-down", "--speed", "30", "--json")
    assert done.code == 0, done.err
    calm, down = done.json["scenarios"]
    assert calm["answered"] == down["answered"] == 60
    assert calm["answered_by"] == {"first": 60}
    assert down["answered_by"]["second"] >= 20
    assert calm["extra_calls"] == 0
    assert down["met"]["server"] >= 1
    assert down["extra_cost"] > 0


@pytest.mark.cluster
def test_a_table_is_printed_and_unanswered_calls_are_exit_code_1(cluster: Cluster, config: str, tmp_path: Path) -> None:
    """Where everybody refuses the key nothing can be answered: the share, the cause and the exit code say so."""
    path = tmp_path / "nobody.yaml"
    path.write_text("name: nobody\nseconds: 10\nevents: [{account: all, outage: auth}]\n")
    done = cluster.run("drill", config, "--calls", "10", "--scenario", str(path), "--speed", "20")
    assert done.code == 1, done.err
    lines = done.out.splitlines()
    assert max(map(len, lines)) <= 80
    assert any(line.startswith("calm") and "100 %" in line for line in lines)
    assert any(line.startswith("nobody: ") and "key refused" in line for line in lines)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--scenario", "none-such"), "--scenario 'none-such'"),
        (("--route", "cat"), "did you mean 'chat'"),
        (("--speed", "0"), "--speed"),
        (("--calls", "0"), "--calls"),
    ],
)
@pytest.mark.cluster
def test_bad_input_is_one_line(cluster: Cluster, config: str, arguments: tuple[str, ...], told: str) -> None:
    """What is wrong is told before anything is started."""
    done = cluster.run("drill", config, *arguments)
    assert (done.code, done.out) == (2, "")
    assert told in done.err
    assert len(done.err.strip().splitlines()) == 1


@pytest.mark.cluster
def test_the_embedded_account_has_nothing_to_drill(cluster: Cluster, tmp_path: Path) -> None:
    """It can't be down: one line says so."""
    path = tmp_path / "embedded.yaml"
    path.write_text("models:\n  chat: [{account: embedded, model: extractive}]\n")
    done = cluster.run("drill", str(path))
    assert done.code == 2
    assert "nothing to drill" in done.err
