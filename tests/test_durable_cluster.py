"""Jobs that last, for real: outages, people, a store that is away, clusters that die; the simulator's ledger judges."""

import contextlib
import json
import os
import shutil
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cluster_tools import Cluster, answered, configuration, repository, wait_until
from durable_world import closed, kill_all, newest, own_cluster, paid_twice
from flow_runs import flow_file, functions
from journal_world import postgres_server

from understudy.cluster.simulator import Answer, Latency, Settings, SimulatorProcess

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(300)]

DIGEST = Settings(answer=Answer(mode="digest"), latency=Latency(median_s=0.5, sigma=0.1))
SLOW = Settings(answer=Answer(mode="digest"), latency=Latency(median_s=1.0, sigma=0.1))
"""100 files take 13 s at least: time for a command to be asked in the middle, on a busy machine, too."""
SIX = "name: six\nrun:\n  kind: chain\n  steps:\n" + "\n".join(
    f'    - {{kind: call, model: {model}, prompt: "Step {number} of {{{{ input }}}}: {{{{ previous }}}}", '
    "max_tokens: 16}"
    for number, model in enumerate(["small", "small", "small", "other", "small", "small"], 1)
)


def _two(folder: Path, simulator: SimulatorProcess, other: SimulatorProcess, *, degraded: str = "") -> str:
    """The configuration with a second provider, and the model `other` of that."""
    path = configuration(folder, simulator)
    account = f"  other:\n    base_url: {other.url}/v1\n    api_key: ${{SIM_KEY}}\nmodels:\n"
    text = path.read_text(encoding="utf-8").replace("models:\n", account)
    link = "{account: other, model: sim-small, price: {input: 0.15, output: 0.6}}"
    if degraded:
        text += f"  other: {{candidates: [{link}], degraded: {degraded}}}\n"
    else:
        text += f"  other:\n    - {link}\n"
    path.write_text(text + "attempts: {max_attempts: 2, backoff_s: 0.01, deadline_s: 20}\n", encoding="utf-8")
    return str(path)


# A provider is away --------------------------------------------------------------------------------------------------


def test_a_queued_run_goes_on_by_itself_after_an_outage(cluster: Cluster, tmp_path: Path) -> None:
    """Step 4 of 6 is answered 503 until the job has failed once: it is begun again, and steps 1 to 3 are not called."""
    with SimulatorProcess() as simulator, SimulatorProcess() as other:
        other.control(outage="error_503")
        config = _two(tmp_path, simulator, other)
        flow = flow_file(tmp_path, SIX)
        how = ("--input", "words", "--config", config, "--attempts", "20", "--json")
        job = cluster.run("submit", flow, *how).json["id"]
        wait_until(lambda: _row(cluster, job)["attempt"] >= 2)
        assert _row(cluster, job)["state"] != "done"
        assert (answered(simulator), answered(other)) == (3, 0)
        other.control(outage="off")
        done = cluster.run("resume", job, "--json")
        assert done.code == 0, done.err
        assert (answered(simulator), answered(other)) == (5, 1)
        assert len(simulator.ledger()) == 5
        assert paid_twice(simulator) == 0


def _row(cluster: Cluster, job: str) -> dict[str, Any]:
    return next(dict(row) for row in cluster.run("jobs", "--all", "--json").json if row["id"] == job)


def test_a_declared_answer_is_replaced_when_the_provider_is_back(tmp_path: Path) -> None:
    """The route is down: the declared answer comes at once, and the job is queued; later it has the real one."""
    flow = 'name: one\nrun: {kind: call, model: other, prompt: "Say {{ input }}", max_tokens: 16}\n'
    queue = {"standing_s": 2.0}
    with SimulatorProcess() as simulator, SimulatorProcess() as other, own_cluster(tmp_path, queue=queue) as cluster:
        other.control(outage="error_503")
        config = _two(tmp_path, simulator, other, degraded="Nobody is here")
        done = cluster.run("run", flow_file(tmp_path, flow), "--input", "words", "--config", config, "--json")
        assert done.code == 0, done.err
        assert (done.json["output"], done.json["degraded"], done.json["standing"]) == ("Nobody is here", True, 1)
        job = done.json["job"]
        assert _row(cluster, job)["state"] == "queued"
        other.control(outage="off")
        wait_until(lambda: not _row(cluster, job)["standing"])
        shown = cluster.run("show", job, "--json").json
        assert (shown["state"], shown["standing"]) == ("done", 0)
        [item] = shown["items"]
        assert item["output"] not in ("", None, "Nobody is here")
        assert not item["degraded"]
        assert answered(other) == 1


# People are asked ----------------------------------------------------------------------------------------------------


def test_a_function_before_ten_approvals_runs_once_whoever_dies(tmp_path: Path) -> None:
    """Between the approvals each of our actors is killed, and the whole cluster twice: what was done is done once."""
    module, book = functions(tmp_path), tmp_path / "book.txt"
    note = f'    - {{kind: function, call: "{module}:note", args: {{book: "{book}", what: done}}}}'
    asks = "\n".join(f'    - {{kind: approve, title: "go on {number}?"}}' for number in range(10))
    flow = flow_file(tmp_path, f"name: ten\nrun:\n  kind: chain\n  steps:\n{note}\n{asks}\n")
    deaths = {1: "supervisor", 2: "mapper", 3: "journal", 4: "director", 6: "supervisor"}
    with SimulatorProcess() as simulator, own_cluster(tmp_path) as cluster:
        config = str(configuration(tmp_path, simulator))
        asked = cluster.run("run", flow, "--input", "words", "--config", config, "--json")
        assert asked.code == 4, asked.err
        job = asked.json["waiting"][0]["job"]
        for number in range(10):
            if number in deaths:
                cluster.kill(deaths[number])
            elif number in (5, 8):
                kill_all(cluster) if number == 5 else cluster.run("down")
                asked = cluster.run("resume", job, "--json")
                assert asked.code == 4, asked.err
            if number in deaths:  # a command takes a second, on a busy machine three
                [waiting] = cluster.run("approvals", "--json").json
                assert [waiting["job"], *(ask["path"] for ask in waiting["asks"])] == [job, f"run/{number + 1}"]
            asked = cluster.run("approve", job, "--json")
            assert asked.code == (4 if number < 9 else 0), asked.err
    [result] = asked.json["results"]
    assert result["output"] == "done"
    assert book.read_text(encoding="utf-8") == "called\n"


# Clusters and drivers die --------------------------------------------------------------------------------------------


def test_a_digest_outlives_its_whole_cluster(tmp_path: Path) -> None:
    """SIGKILL of every process in mid-digest: `resume` ends it, and pays again at most for what was on its way."""
    root = repository(tmp_path / "repo", files=60)
    with SimulatorProcess(DIGEST) as simulator, own_cluster(tmp_path) as cluster:
        # Of an account with a limit of concurrency a new cluster would first wait for all calls that may be out.
        config = str(configuration(tmp_path, simulator))
        how = ("--config", config, "--out", str(tmp_path / "out"), "--concurrency", "8")
        child = cluster.start("digest", str(root), *how)
        wait_until(lambda: answered(simulator) >= 20)
        in_flight = simulator.health()["in_flight"]
        kill_all(cluster)
        child.communicate()
        before = answered(simulator)
        done = cluster.run("resume", newest(cluster)["id"], "--json")
        assert done.code == 0, done.err
        assert 20 <= before < 60
        assert paid_twice(simulator) <= in_flight + 8, "calls on their way, and answers of the last moment"
    _each_file_once(tmp_path / "out", 60)


def test_a_queued_digest_is_read_later(cluster: Cluster, tmp_path: Path) -> None:
    """`submit digest` comes back at once; `resume` waits for the job and writes its report."""
    root = repository(tmp_path / "repo", files=12)
    with SimulatorProcess(DIGEST) as simulator:
        config = str(configuration(tmp_path, simulator))
        queued = cluster.run("submit", "digest", str(root), "--config", config, "--json")
        assert queued.code == 0, queued.err
        done = cluster.run("resume", queued.json["id"], "--json")
        assert done.code == 0, done.err
        assert done.json["complete"]
        assert answered(simulator) == done.json["bill"]["calls"]
        assert paid_twice(simulator) == 0
    _each_file_once(Path(done.json["report"][0]).parent, 12)


def _each_file_once(out: Path, files: int) -> None:
    entries = json.loads((out / "report.json").read_bytes())["entries"]
    paths = Counter(entry["path"] for entry in entries if entry["kind"] == "file")
    assert len(paths) == files
    assert set(paths.values()) == {1}


# The store is away ---------------------------------------------------------------------------------------------------


def test_a_journal_in_postgresql_that_is_restarted(tmp_path: Path) -> None:
    """The server is away in mid-digest: the job says why it waits, goes on, and outlives its driver; nothing twice."""
    root = repository(tmp_path / "repo", files=100)
    with postgres_server() as server, SimulatorProcess(SLOW) as simulator:
        with own_cluster(tmp_path, PG_PASSWORD="geheim-7c1e9f04", UNDERSTUDY_JOURNAL=server.url()) as cluster:
            config = str(configuration(tmp_path, simulator, concurrency=8))
            child = cluster.start("digest", str(root), "--config", config, "--out", str(tmp_path / "out"))
            wait_until(lambda: answered(simulator) >= 20)
            server.stop("immediate")
            paused = _paused(cluster)
            assert "PostgreSQL" in paused
            assert "geheim" not in paused
            stood = answered(simulator)
            server.start()
            wait_until(lambda: answered(simulator) >= min(100, stood + 10))
            closed(child)
            done = cluster.run("resume", newest(cluster)["id"], "--json")
            assert done.code == 0, done.err
        assert done.json["complete"]
        assert paid_twice(simulator) == 0
    _each_file_once(tmp_path / "out", 100)


def _paused(cluster: Cluster) -> str:
    """Why all work waits, as `understudy status` says when it does."""
    told: list[str] = []

    def waits() -> bool:
        told.append(cluster.run("status", "--json").json["journal_paused"])
        return bool(told[-1])

    wait_until(waits)
    return told[-1]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 8 MB; skipped where none can be mounted."""
    disk = tmp_path / "disk"
    disk.mkdir()
    root = [] if os.getuid() == 0 else ["sudo", "-n"]
    mount = [*root, "mount", "-t", "tmpfs", "-o", f"size=8m,uid={os.getuid()},mode=700", "tmpfs", str(disk)]
    try:
        mounted = shutil.which(mount[0]) and subprocess.run(mount, capture_output=True, check=False).returncode == 0
        if not mounted:
            pytest.skip("only root can mount a small disk")
        yield disk
    finally:
        subprocess.run([*root, "umount", "-l", str(disk)], capture_output=True, check=False)


def test_a_full_disk_makes_a_digest_wait(tmp_path: Path, small_disk: Path) -> None:
    """The journal's disk is full in mid-digest: it says so and waits; when there is room it goes on, nothing twice."""
    root = repository(tmp_path / "repo", files=100)
    with SimulatorProcess(SLOW) as simulator:
        journal = f"sqlite:{small_disk / 'journal.db'}"
        with own_cluster(tmp_path, UNDERSTUDY_JOURNAL=journal) as cluster:
            config = str(configuration(tmp_path, simulator, concurrency=8))
            how = ("--config", config, "--out", str(tmp_path / "out"), "--json")
            child = cluster.start("digest", str(root), *how)
            wait_until(lambda: answered(simulator) >= 20)
            _filled(small_disk / "rubbish")
            assert "full" in _paused(cluster)
            stood = answered(simulator)
            (small_disk / "rubbish").unlink()
            told, errors = child.communicate(timeout=100)
            assert child.returncode == 0, errors
            assert 20 <= stood < 100
        assert json.loads(told)["complete"]
        assert paid_twice(simulator) == 0
    _each_file_once(tmp_path / "out", 100)


def _filled(path: Path) -> None:
    with contextlib.suppress(OSError), path.open("wb", buffering=0) as file:
        while True:
            file.write(b"\0" * 4096)
