"""Bad input gets one clear line and exit code 2, and spends nothing."""

import socket
from pathlib import Path

import pytest
from cluster_tools import Cluster, configuration

from understudy.cluster.simulator import Settings, SimulatorProcess

pytestmark = pytest.mark.cluster


def _refused(cluster: Cluster, *arguments: str, says: str, **variables: str) -> None:
    done = cluster.run("digest", *arguments, **variables)
    lines = [line for line in done.err.splitlines() if line.strip()]
    assert done.code == 2, done.err + done.out
    assert len(lines) == 1, done.err
    assert says in lines[0]


@pytest.fixture
def source(tmp_path: Path) -> str:
    """A folder with one file."""
    folder = tmp_path / "source"
    folder.mkdir()
    (folder / "a.txt").write_text("Some text.")
    return str(folder)


def _config(tmp_path: Path, text: str) -> str:
    path = tmp_path / "understudy.yaml"
    path.write_text(text)
    return str(path)


def test_no_such_path(cluster: Cluster) -> None:
    """A path that is not there."""
    _refused(cluster, "/no/such/folder", says="/no/such/folder: no such path")


def test_empty_folder(cluster: Cluster, tmp_path: Path) -> None:
    """A folder without a file."""
    (tmp_path / "empty").mkdir()
    _refused(cluster, str(tmp_path / "empty"), says="the folder is empty")


def test_git_url(cluster: Cluster) -> None:
    """A URL is not a folder: it is to be cloned first."""
    _refused(cluster, "https://example.org/a/b.git", says="clone")


def test_unknown_key(cluster: Cluster, tmp_path: Path, source: str) -> None:
    """A key that does not exist, with the nearest one that does."""
    config = _config(tmp_path, "acounts:\n  a: {kind: embedded}\n")
    _refused(cluster, source, "--config", config, says="did you mean 'accounts'?")


def test_missing_variable(cluster: Cluster, tmp_path: Path, source: str) -> None:
    """A reference to a variable that is not set."""
    text = "accounts:\n  a: {api_key: '${NO_SUCH_KEY}'}\nmodels:\n  m: [{account: a, model: gpt-4o}]\n"
    _refused(cluster, source, "--config", _config(tmp_path, text), says="NO_SUCH_KEY")


def test_quota_of_zero(cluster: Cluster, tmp_path: Path, source: str) -> None:
    """A quota of 0 could never send anything."""
    text = "accounts:\n  a: {limits: {rpm: 0}}\nmodels:\n  m: [{account: a, model: gpt-4o}]\n"
    _refused(cluster, source, "--config", _config(tmp_path, text), says="greater than 0")


def test_unreachable_endpoint(cluster: Cluster, tmp_path: Path, source: str) -> None:
    """A port where nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    text = f"accounts:\n  a: {{base_url: 'http://127.0.0.1:{port}/v1'}}\nmodels:\n  m: [{{account: a, model: x}}]\n"
    _refused(cluster, source, "--config", _config(tmp_path, text), says="nobody answers")


def test_wrong_key_and_unknown_model(cluster: Cluster, tmp_path: Path, source: str) -> None:
    """A key that the provider refuses, and a model that it does not have; its ledger stays empty."""
    with SimulatorProcess(Settings(keys=("another",))) as simulator:
        config = str(configuration(tmp_path, simulator))
        _refused(cluster, source, "--config", config, says="refuses the key")
        assert not [record for record in simulator.ledger() if record.outcome == "ok"]
    with SimulatorProcess(Settings(keys=(cluster.environ["SIM_KEY"],))) as simulator:
        path = configuration(tmp_path, simulator)
        path.write_text(path.read_text().replace("sim-small", "sim-smal"))
        _refused(cluster, source, "--config", str(path), says="did you mean 'sim-small'?")
        assert simulator.ledger() == []


def test_bad_options(cluster: Cluster, source: str) -> None:
    """Options with values that make no sense."""
    _refused(cluster, source, "--max-cost", "0", says="--max-cost")
    _refused(cluster, source, "--concurrency", "0", says="--concurrency")
    _refused(cluster, source, "--map-model", "extractve", says="did you mean 'extractive'?")
