"""Digests that find what is there already, on a real cluster and judged by the simulator's ledger."""

import json
import signal
import subprocess
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from cluster_tools import Cluster, answered, configuration, repository, wait_until

from understudy.cluster.simulator import Answer, Latency, Settings, SimulatorProcess

pytestmark = pytest.mark.cluster

SLOW = Latency(median_s=1.0, sigma=0.2)


def _report(folder: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((folder / "report.json").read_bytes())
    return loaded


def _files(report: dict[str, Any]) -> Counter[str]:
    return Counter(entry["path"] for entry in report["entries"] if entry["kind"] == "file")


def test_a_second_digest_pays_for_what_was_edited(cluster: Cluster, tmp_path: Path) -> None:
    """One map call, and a reduce call for its folder and the root; its plan says so before; `--fresh` pays for all."""
    root = repository(tmp_path / "repo", files=20)
    with SimulatorProcess(Settings(answer=Answer(mode="summary"))) as simulator:
        config = configuration(tmp_path, simulator)
        arguments = ("digest", str(root), "--json", "--config", str(config), "--out", str(tmp_path / "out"))
        first = cluster.run(*arguments)
        assert first.code == 0, first.err
        paid = answered(simulator)
        (root / "part3" / "file003.txt").write_text("It says something else now. " + "word " * 1200)
        plan = cluster.run(*arguments, "--plan").json
        assert (plan["files_known"], plan["map_calls"], plan["reduce_calls"]) == (19, 1, 2)
        second = cluster.run(*arguments)
        assert second.code == 0, second.err
        assert "19 of 20 files are known from earlier digests" in second.err
        ledger = [record for record in simulator.ledger() if record.outcome == "ok"][paid:]
        assert len(ledger) == second.json["bill"]["calls"] == 3
        assert second.json["files"]["known"] == 19
        assert second.json["complete"]
        before = answered(simulator)
        fresh = cluster.run(*arguments, "--fresh")
        assert fresh.json["files"]["known"] == 0
        assert answered(simulator) - before == fresh.json["bill"]["calls"] >= 20


def test_a_digest_outlives_its_driver(cluster: Cluster, tmp_path: Path) -> None:
    """SIGKILLed in mid-job, `understudy resume` follows the job and writes the report; nothing is paid for twice."""
    root = repository(tmp_path / "repo", files=40)
    with SimulatorProcess(Settings(answer=Answer(mode="digest"), latency=SLOW)) as simulator:
        config = configuration(tmp_path, simulator, concurrency=8)
        arguments = ("--config", str(config), "--out", str(tmp_path / "out"), "--concurrency", "8")
        running = cluster.start("digest", str(root), *arguments)
        wait_until(lambda: answered(simulator) >= 10)
        running.send_signal(signal.SIGKILL)
        assert running.wait(10) == -signal.SIGKILL
        _closed(running)
        job = cluster.run("jobs", "--json").json[0]["id"]
        resumed = cluster.run("resume", job, "--json")
        ledger = [record for record in simulator.ledger() if record.outcome == "ok"]
    assert resumed.code == 0, resumed.err
    assert resumed.json["complete"]
    files = _files(_report(tmp_path / "out"))
    assert len(files) == 40
    assert set(files.values()) == {1}
    assert max(Counter(record.content_hash for record in ledger).values()) == 1
    assert resumed.json["bill"]["calls"] == len(ledger)
    again = cluster.run("replay", job, "--json")
    assert again.code == 0, again.out + again.err


def _closed(running: subprocess.Popen[str]) -> None:
    for pipe in (running.stdout, running.stderr):
        if pipe is not None:
            pipe.close()
