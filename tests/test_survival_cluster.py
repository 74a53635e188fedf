"""Jobs whose actors are SIGKILLed in the middle, judged by the simulator's ledger: nothing lost, nothing paid twice."""

import json
import os
import signal
from collections import Counter
from pathlib import Path

import pytest
from cluster_tools import Cluster, answered, configuration, repository, wait_until
from flow_runs import flow_file

from understudy.cluster.simulator import Answer, Latency, Settings, SimulatorProcess

pytestmark = pytest.mark.cluster

WIDTH = 8
FILES = 60
SLOW = Latency(median_s=0.4, sigma=0.2)
NOTES = 200
FLOW = """
name: wide
run:
  kind: chain
  steps:
    - {id: plan, kind: call, model: small, prompt: "Plan it", max_tokens: 16}
    - kind: map_reduce
      over: input
      concurrency: 16
      budget: 400
      map: {kind: call, model: small, prompt: "Note {{ chunk }}", max_tokens: 16}
      reduce:
        kind: call
        model: small
        max_tokens: 32
        prompt: "Merge {% for part in parts %}{{ part.name }}: {{ part.value }} {% endfor %}"
"""


def kill(cluster: Cluster, pids: dict[str, int], victim: str) -> None:
    """SIGKILLs an actor: the one that was there before the job; a second time its successor.

    Whoever asks for a process id while a Supervisor is taken over waits for that, and the job would be over.
    """
    pid = pids.pop(victim, 0)
    if pid:
        os.kill(pid, signal.SIGKILL)
    else:
        cluster.kill(victim)


@pytest.mark.parametrize(
    ("victims", "paid_twice"),
    [
        (("supervisor",), 0),
        (("journal",), 0),
        (("director",), 0),
        (("reducer",), WIDTH),
        (("supervisor", "supervisor"), 0),
        (("supervisor", "journal", "reducer"), WIDTH),
        (("mapper", "supervisor"), WIDTH),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, tuple) else "",
)
def test_no_file_is_lost_or_paid_twice(
    cluster: Cluster, tmp_path: Path, victims: tuple[str, ...], paid_twice: int
) -> None:
    """Each file is in the report once; only calls that were in flight in a process that died are made again."""
    root = repository(tmp_path / "repo", files=FILES)
    with SimulatorProcess(Settings(answer=Answer(mode="digest"), latency=SLOW)) as simulator:
        config = configuration(tmp_path, simulator, concurrency=WIDTH)
        arguments = ("digest", str(root), "--json", "--fresh", "--config", str(config), "--out", str(tmp_path / "out"))
        pids = {victim: cluster.pid(victim) for victim in victims}
        running = cluster.start(*arguments, "--concurrency", str(WIDTH))
        for number, victim in enumerate(victims, 1):
            wait_until(lambda so_many=12 * number: answered(simulator) >= so_many)  # type: ignore[misc]
            kill(cluster, pids, victim)
        out, err = running.communicate(timeout=110)
        ledger = [record for record in simulator.ledger() if record.outcome == "ok"]
    assert running.returncode == 0, err
    assert json.loads(out)["complete"]
    report = json.loads((tmp_path / "out" / "report.json").read_bytes())
    files = Counter(entry["path"] for entry in report["entries"] if entry["kind"] == "file")
    assert (len(files), set(files.values())) == (FILES, {1})
    twice = sum(count - 1 for count in Counter(record.content_hash for record in ledger).values())
    assert twice <= paid_twice


@pytest.mark.parametrize(
    ("victims", "paid_twice"),
    [(("supervisor",), 0), (("mapper-0", "mapper-1"), 2 * 16), (("mapper-0", "supervisor", "reducer"), 2 * 16)],
    ids=lambda value: "-".join(value) if isinstance(value, tuple) else "",
)
def test_no_step_is_lost_or_paid_twice(
    cluster: Cluster, tmp_path: Path, victims: tuple[str, ...], paid_twice: int
) -> None:
    """A run with a job of its own for its many items, and whoever drives that: its first step is called once."""
    with SimulatorProcess(Settings(latency=SLOW)) as simulator:
        config = str(configuration(tmp_path, simulator))
        inputs = tmp_path / "words.json"
        inputs.write_text(json.dumps([f"word {number}" for number in range(NOTES)]))
        arguments = ("run", flow_file(tmp_path, FLOW), "--input", f"@{inputs}", "--config", config, "--json")
        pids = {victim: cluster.pid(victim) for victim in victims}
        running = cluster.start(*arguments)
        for number, victim in enumerate(victims, 1):
            wait_until(lambda so_many=40 * number: answered(simulator) >= so_many)  # type: ignore[misc]
            kill(cluster, pids, victim)
        out, err = running.communicate(timeout=110)
        ledger = [record for record in simulator.ledger() if record.outcome == "ok"]
    assert running.returncode == 0, err
    assert json.loads(out)["output"]
    calls = Counter(record.content_hash for record in ledger)
    assert len(calls) >= 1 + NOTES
    assert sum(count - 1 for count in calls.values()) <= paid_twice
    first = min(ledger, key=lambda record: record.t)
    assert calls[first.content_hash] == 1
