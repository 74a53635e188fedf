"""Jobs that outlive who handed them in, on a real Ray cluster, judged by the simulator's ledger."""

import contextlib
import os
import signal
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cluster_tools import Cluster, answered, configuration, start_cluster, wait_until
from flow_runs import flow_file, functions, good, lines_file, results_of

from understudy.cluster.simulator import Latency, Settings, SimulatorProcess

pytestmark = pytest.mark.cluster

INPUTS = 60
PAIR = """
name: pair
run:
  kind: chain
  steps:
    - {id: draft, kind: call, model: small, prompt: "Draft {{ input }}", max_tokens: 16}
    - {kind: call, model: small, prompt: "Correct {{ input }}: {{ draft }}", max_tokens: 16}
"""
SLOW = Settings(latency=Latency(median_s=0.4, sigma=0.1))


def _begun(cluster: Cluster, folder: Path, simulator: SimulatorProcess) -> tuple[subprocess.Popen[str], Path]:
    """A run of many inputs that is in its middle, and where its results go."""
    out = folder / "out.jsonl"
    config = str(configuration(folder, simulator))
    inputs = lines_file(folder, [f"input {number}" for number in range(INPUTS)])
    how = ("--inputs", inputs, "--out", str(out), "--config", config, "--concurrency", "8", "--json")
    child = cluster.start("run", flow_file(folder, PAIR), *how)
    wait_until(lambda: answered(simulator) >= INPUTS // 2)
    return child, out


def _newest(cluster: Cluster) -> str:
    """The job that was begun last, whatever has become of it while this was asked."""
    return str(cluster.run("jobs", "--json").json[0]["id"])


def _all_there(out: Path) -> None:
    numbers = sorted(one["number"] for one in results_of(out))
    assert numbers == list(range(INPUTS)), "each run has one result"
    assert {one["error"] for one in results_of(out)} == {None}


def _paid_twice(simulator: SimulatorProcess) -> int:
    """Requests that were answered though the same was answered before."""
    seen = Counter(record.content_hash for record in good(simulator.ledger()))
    return sum(count - 1 for count in seen.values())


def test_a_driver_that_is_killed_is_replaced_by_resume(cluster: Cluster, tmp_path: Path) -> None:
    """SIGKILL in mid-run: the job goes on, `resume` writes every result once, and no call is made twice."""
    with SimulatorProcess(SLOW) as simulator:
        child, out = _begun(cluster, tmp_path, simulator)
        child.kill()
        child.communicate()
        job = _newest(cluster)
        done = cluster.run("resume", job, "--json")
        assert done.code == 0, done.err
        assert (done.json["done"], done.json["failed"], done.json["job"]) == (INPUTS, 0, job)
        assert len(good(simulator.ledger())) == 2 * INPUTS
    _all_there(out)
    again = cluster.run("resume", job[:-2], "--json")
    assert again.code == 0, again.err
    _all_there(out)


def test_the_supervisors_death_is_not_the_drivers(cluster: Cluster, tmp_path: Path) -> None:
    """SIGKILL of the Supervisor in mid-run: the same command ends well, with every result once."""
    with SimulatorProcess(SLOW) as simulator:
        child, out = _begun(cluster, tmp_path, simulator)
        cluster.kill("supervisor")
        told, errors = child.communicate(timeout=100)
        assert child.returncode == 0, errors + told
        assert _paid_twice(simulator) == 0, "mappers went on with what they had"
    _all_there(out)


@contextlib.contextmanager
def _own_cluster(folder: Path) -> Iterator[Cluster]:
    cluster = start_cluster(folder / "home", mappers=1)
    try:
        yield cluster
    finally:
        cluster.run("down")


def _kill_all(home: str) -> None:
    """SIGKILLs every process of the cluster with this home: its keeper, Ray's daemons, our actors."""
    mark = f"UNDERSTUDY_HOME={home}".encode()
    for path in Path("/proc").glob("[0-9]*/environ"):
        with contextlib.suppress(OSError):
            if mark in path.read_bytes().split(b"\0"):
                os.kill(int(path.parent.name), signal.SIGKILL)


def test_a_whole_clusters_death_costs_only_what_was_on_its_way(tmp_path: Path) -> None:
    """All processes are killed at once: `resume` starts a cluster that goes on, and pays again for calls in flight."""
    (tmp_path / "home").mkdir()
    with SimulatorProcess(SLOW) as simulator, _own_cluster(tmp_path) as cluster:
        child, out = _begun(cluster, tmp_path, simulator)
        _kill_all(cluster.environ["UNDERSTUDY_HOME"])
        child.communicate()
        before = len(good(simulator.ledger()))
        # Whoever was killed is there, dead, until its parent has looked.
        wait_until(lambda: cluster.run("jobs", "--json").json[0]["state"] == "interrupted")
        done = cluster.run("resume", _newest(cluster), "--json")
        assert done.code == 0, done.err
        assert done.json["done"] == INPUTS
        assert before < 2 * INPUTS
        assert _paid_twice(simulator) <= 2 * 8, "at most what was in flight, or not told yet"
    _all_there(out)


def _flaky(folder: Path) -> tuple[str, Path]:
    """A workflow whose last step fails until a file is there."""
    module = functions(folder)
    sesame = folder / "sesame"
    code = f'\n\ndef opened() -> str:\n    """Fails until the file is there."""\n    return open("{sesame}").read()\n'
    with (folder / f"{module}.py").open("a") as file:
        file.write(code)
    text = f"""
name: flaky
run:
  kind: chain
  steps:
    - {{id: draft, kind: call, model: small, prompt: "Draft {{{{ input }}}}", max_tokens: 16}}
    - {{kind: function, call: "{module}:note", args: {{book: "{folder / "book.txt"}"}}}}
    - {{kind: function, call: "{module}:opened"}}
"""
    return flow_file(folder, text), sesame


def test_failed_items_are_retried_from_where_they_were(cluster: Cluster, tmp_path: Path) -> None:
    """The last step fails: `retry` runs it alone; then the job replays, and `gc` forgets it."""
    flow, sesame = _flaky(tmp_path)
    with SimulatorProcess() as simulator:
        config = str(configuration(tmp_path, simulator))
        failed = cluster.run("run", flow, "--input", "words", "--config", config, "--json")
        assert failed.code == 3, failed.err
        job = failed.json["job"]
        shown = cluster.run("show", job)
        assert "draft" in shown.out
        assert f"understudy retry {job}" in shown.out
        [cause] = cluster.run("show", job, "--json").json["failures"]
        assert "No such file" in cause["cause"]
        sesame.write_text("open")
        done = cluster.run("retry", job, "--json")
        assert done.code == 0, done.err
        assert done.json["output"] == "open"
        assert answered(simulator) == 1
    assert (tmp_path / "book.txt").read_text() == "called\n"
    told = cluster.run("logs", job).out
    assert told.index("item 0 failed") < told.index("tried again") < told.index("item 0 done")
    replayed = cluster.run("replay", job, "--json")
    assert replayed.json == {"job": job, "items": 1, "same": True}, replayed.err
    swept = cluster.run("gc", "--job", job, "--json")
    assert swept.code == 0, swept.err
    assert swept.json["jobs"] == 1
    assert f"there is no job {job!r}" in cluster.run("show", job).err


def test_a_queued_run_is_waited_for_by_its_id(cluster: Cluster, tmp_path: Path) -> None:
    """`submit` comes back at once; the same key gets the same job; its result is read when it is done."""
    with SimulatorProcess() as simulator:
        config = str(configuration(tmp_path, simulator))
        flow = flow_file(tmp_path, PAIR)
        how = ("--input", "words", "--config", config, "--key", f"order-{tmp_path.name}", "--json")
        first, second = (cluster.run("submit", flow, *how) for _ in range(2))
        assert first.code == 0, first.err
        assert first.json["id"] == second.json["id"]
        done = cluster.run("resume", first.json["id"], "--json")
        assert done.code == 0, done.err
        assert isinstance(done.json["output"], str)
        assert answered(simulator) == 2


def test_a_cancelled_job_stays_cancelled(cluster: Cluster, tmp_path: Path) -> None:
    """`cancel` from another shell: the command that follows says so, and `jobs` shows it."""
    with SimulatorProcess(Settings(latency=Latency(median_s=5.0))) as simulator:
        config = str(configuration(tmp_path, simulator))
        child = cluster.start("run", flow_file(tmp_path, PAIR), "--input", "words", "--config", config)
        wait_until(lambda: simulator.health()["in_flight"] > 0)
        job = _newest(cluster)
        assert cluster.run("cancel", job).code == 0
        _, errors = child.communicate(timeout=60)
        assert child.returncode == 1
        assert "cancelled" in errors
    rows: list[dict[str, Any]] = cluster.run("jobs", "--json").json
    assert {row["id"]: row["state"] for row in rows}[job] == "cancelled"
