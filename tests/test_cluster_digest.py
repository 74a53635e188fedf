"""The main job on a real Ray cluster, judged by the simulator's ledger."""

import json
import re
import signal
from collections import Counter
from pathlib import Path

import pytest
from cluster_tools import Cluster, answered, configuration, repository, wait_until

from understudy.cluster.simulator import Answer, Latency, Quota, Settings, SimulatorProcess

pytestmark = pytest.mark.cluster

KEY = {"SIM_KEY": "sk-canary-5f2b8c1d"}
SLOW = Latency(median_s=0.4, sigma=0.2)


def _report(folder: Path) -> dict[str, object]:
    loaded: dict[str, object] = json.loads((folder / "report.json").read_bytes())
    return loaded


def _files(report: dict[str, object]) -> Counter[str]:
    entries = report["entries"]
    assert isinstance(entries, list)
    return Counter(entry["path"] for entry in entries if entry["kind"] == "file")


def test_embedded_digest_accounts_for_every_file(cluster: Cluster, tmp_path: Path) -> None:
    """With no key every text file is summarised or packed, and all else is skipped with a reason."""
    root = tmp_path / "repo"
    (root / "pkg").mkdir(parents=True)
    (root / "README.md").write_text("# Sample\n\nA sample project that adds numbers.\n")
    (root / "pkg" / "adding.py").write_text('"""Adds numbers."""\n\n\ndef add(a, b):\n    return a + b\n')
    (root / "logo.png").write_bytes(b"\x89PNG\0\0")
    (root / "nothing.txt").write_text("")
    done = cluster.run("digest", str(root), "--json", "--out", str(tmp_path / "out"))
    assert done.code == 0, done.err
    files = done.json["files"]
    assert files["text"] == files["summarised"] + files["packed"] == 2
    assert files["reasons"] == {"binary": 1, "empty": 1}
    assert done.json["bill"]["dollars"] in {"0", "0.00"}
    assert "adding.py" in (tmp_path / "out" / "report.md").read_text()


def test_digest_over_http_pays_for_each_call_once(cluster: Cluster, tmp_path: Path) -> None:
    """Each pack is sent once, the bill is what the ledger says, and the key is nowhere to be seen."""
    root = repository(tmp_path / "repo", files=30)
    with SimulatorProcess(Settings(answer=Answer(mode="digest"), keys=(KEY["SIM_KEY"],))) as simulator:
        config = configuration(tmp_path, simulator)
        arguments = ("digest", str(root), "--json", "--config", str(config), "--out", str(tmp_path / "out"))
        done = cluster.run(*arguments, **KEY)
        assert done.code == 2, "the cluster was started without the key, and says so"
        assert "SIM_KEY" in done.err
        done = cluster.run(*arguments, SIM_KEY=cluster.environ["SIM_KEY"])
        assert done.code == 2
        assert "refuses the key" in done.err
        assert answered(simulator) == 0
    with SimulatorProcess(Settings(answer=Answer(mode="digest"), keys=(cluster.environ["SIM_KEY"],))) as simulator:
        config = configuration(tmp_path, simulator)
        done = cluster.run(*arguments)
        ledger = [record for record in simulator.ledger() if record.outcome == "ok"]
    assert done.code == 0, done.err
    bill = done.json["bill"]
    assert bill["calls"] == bill["attempts"] == len(ledger)
    assert bill["input_tokens"] == sum(record.prompt_tokens for record in ledger)
    assert bill["output_tokens"] == sum(record.completion_tokens for record in ledger)
    assert max(Counter(record.content_hash for record in ledger).values()) == 1
    texts = done.out + done.err + "".join(path.read_text() for path in (tmp_path / "out").iterdir())
    assert cluster.environ["SIM_KEY"] not in texts


@pytest.mark.parametrize("victim", ["mapper", "reducer"])
def test_killed_actor_loses_nothing(cluster: Cluster, tmp_path: Path, victim: str) -> None:
    """An actor is SIGKILLed in mid-job: the job completes, no file is missing, none stands in the report twice."""
    root = repository(tmp_path / "repo", files=60)
    settings = Settings(answer=Answer(mode="digest"), latency=SLOW)
    with SimulatorProcess(settings) as simulator:
        config = configuration(tmp_path, simulator, concurrency=8)
        running = cluster.start(
            "digest", str(root), "--json", "--config", str(config), "--out", str(tmp_path / "out"), "--concurrency", "8"
        )
        wait_until(lambda: answered(simulator) >= 15)
        cluster.kill(victim)
        out, err = running.communicate(timeout=100)
        ledger = [record for record in simulator.ledger() if record.outcome == "ok"]
    assert running.returncode == 0, err
    outcome = json.loads(out)
    assert outcome["complete"]
    files = _files(_report(tmp_path / "out"))
    assert len(files) == 60
    assert set(files.values()) == {1}
    twice = sum(count - 1 for count in Counter(record.content_hash for record in ledger).values())
    assert twice <= 16, "paid twice is at most what was in flight or unreported at the kill"


def test_killed_provider_never_passes_the_quota(cluster: Cluster, tmp_path: Path) -> None:
    """The Provider is SIGKILLed in mid-job: its successor waits out what nobody knows, and no window is passed."""
    root = repository(tmp_path / "repo", files=60)
    settings = Settings(answer=Answer(mode="digest"), quota=Quota(rpm=20, window_s=2.0))
    with SimulatorProcess(settings) as simulator:
        config = configuration(tmp_path, simulator, rpm=20, window_s=2.0)
        running = cluster.start("digest", str(root), "--json", "--config", str(config), "--out", str(tmp_path / "out"))
        wait_until(lambda: answered(simulator) >= 30)
        cluster.kill("provider-sim")
        _, err = running.communicate(timeout=100)
        summary = simulator.summary()
    assert running.returncode == 0, err
    assert summary.violations == 0
    assert "refused_429" not in summary.outcomes


def test_interrupt_keeps_what_is_finished(cluster: Cluster, tmp_path: Path) -> None:
    """Ctrl-C closes the sockets, keeps what was answered in a report, and says so."""
    root = repository(tmp_path / "repo", files=60)
    settings = Settings(answer=Answer(mode="digest"), latency=SLOW)
    with SimulatorProcess(settings) as simulator:
        config = configuration(tmp_path, simulator)
        arguments = ("--config", str(config), "--out", str(tmp_path / "out"), "--concurrency", "4")
        running = cluster.start("digest", str(root), *arguments)
        wait_until(lambda: answered(simulator) >= 10)
        running.send_signal(signal.SIGINT)
        out, err = running.communicate(timeout=60)
        wait_until(lambda: all(record.t_end is not None for record in simulator.ledger()), seconds=10)
        sent = len(simulator.ledger())
    assert running.returncode == 130, err
    kept = re.search(r"\((\d+) of 60 files\)", out)
    assert kept is not None, out
    assert 10 <= int(kept[1]) < 60
    assert sent < 60
    assert _report(tmp_path / "out")["cancelled"] is True


def test_status_names_accounts_jobs_and_actors(cluster: Cluster, tmp_path: Path) -> None:
    """`understudy status` shows what the actors know, as tables and as JSON, and starts nothing."""
    assert cluster.run("digest", str(repository(tmp_path / "repo", files=2)), "--out", str(tmp_path / "out")).code == 0
    shown = cluster.run("status")
    assert shown.code == 0
    assert "supervisor-0" in shown.out
    assert max(len(line) for line in shown.out.splitlines()) <= 80
    roles = {child["role"] for child in cluster.run("status", "--json").json["children"]}
    assert {"supervisor", "mapper", "reducer"} <= roles
