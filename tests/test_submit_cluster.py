"""Jobs on a Ray cluster elsewhere, for real: a head of its own on the loopback interface, with Ray's own token."""

import contextlib
import dataclasses
import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from cluster_tools import COMMAND, Finished, answered, configuration, repository, wait_until

from understudy.cluster.simulator import Answer, Latency, Settings, SimulatorProcess

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(300)]

KEY = "sk-canary-elsewhere-3b1f"


@dataclasses.dataclass(frozen=True)
class Head:
    """A Ray head that runs, and the environment of somebody who may talk to it."""

    address: str
    token: Path
    environ: dict[str, str]

    def run(self, *arguments: str, **variables: str) -> Finished:
        """`understudy ARGUMENTS --address ...`, to its end."""
        done = subprocess.run(
            [*COMMAND, *arguments, "--address", self.address],
            env=self.environ | variables,
            capture_output=True,
            text=True,
            timeout=200,
            check=False,
        )
        return Finished(done.returncode, done.stdout, done.stderr)


def _ports(count: int) -> list[int]:
    """Free ports outside those that Ray hands to its workers."""
    found: list[int] = []
    port = 21_000 + secrets.randbelow(9_000)
    while len(found) < count:
        port += 1
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            found.append(port)
    return found


@pytest.fixture(scope="module")
def head(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Head]:
    """A head with a dashboard and a token; its nodes have the simulator's key, who submits has not."""
    folder = tmp_path_factory.mktemp("head")
    token = folder / "token"
    token.write_text(secrets.token_hex(24))
    token.chmod(0o600)
    gcs, dashboard, agent, client = _ports(4)
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("RAY_", "UNDERSTUDY_"))}
    environ |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(token), "UNDERSTUDY_HOME": str(folder / "mine")}
    # A folder of its own with a short name: in the usual one it would note itself as this machine's cluster, which
    # others would find, and the paths of Ray's sockets may have 107 characters. Its Python is called by a path there,
    # too: Ray starts what a job brings along by a command line without quotes, which a blank in a path would break.
    ray = Path(tempfile.mkdtemp(prefix="ray-"))
    (ray / "python").symlink_to(sys.prefix)
    binary = ray / "python" / "bin"
    theirs = {**environ, "SIM_KEY": KEY, "UNDERSTUDY_HOME": str(folder / "theirs")}
    theirs["PATH"] = f"{binary}{os.pathsep}{environ['PATH']}"
    command = [
        str(binary / "python"),
        "-m",
        "ray.scripts.scripts",
        "start",
        "--head",
        "--block",
        "--include-dashboard=true",
        "--num-cpus=2",
    ]
    command += ["--dashboard-host=127.0.0.1", "--node-ip-address=127.0.0.1", "--disable-usage-stats"]
    command += [f"--port={gcs}", f"--dashboard-port={dashboard}", f"--dashboard-agent-listen-port={agent}"]
    command += [f"--ray-client-server-port={client}", "--object-store-memory=150000000", f"--temp-dir={ray}"]
    with (folder / "head.log").open("wb") as log:
        child = subprocess.Popen(command, env=theirs, stdout=log, stderr=log, cwd=folder)
    try:
        wait_until(lambda: _listens(dashboard) or child.poll() is not None, seconds=60)
        assert child.poll() is None, (folder / "head.log").read_text()[-2_000:]
        yield Head(f"http://127.0.0.1:{dashboard}", token, environ)
    finally:
        # Asked alone, Ray's blocking start was seen to stay for more than half a minute.
        below = psutil.Process(child.pid).children(recursive=True) if child.poll() is None else []
        for process in below:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.terminate()
        child.terminate()
        _, alive = psutil.wait_procs(below, timeout=10)
        for process in alive:
            process.kill()
        child.kill()
        child.wait()
        shutil.rmtree(ray, ignore_errors=True)


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _flow(folder: Path) -> Path:
    """A workflow with a function of its own."""
    (folder / "own_words.py").write_text(
        'def loud(text: str) -> str:\n    """Upper case."""\n    return text.upper()\n'
    )
    path = folder / "flow.yaml"
    path.write_text(
        "name: louder\nrun:\n  kind: chain\n  steps:\n"
        '    - {id: up, kind: function, call: "own_words:loud", args: {text: "{{ input }}"}}\n'
        '    - {kind: call, prompt: "{{ up }}"}\n'
    )
    return path


def test_workflow_runs_elsewhere(head: Head, tmp_path: Path) -> None:
    """Inputs travel, each is asked once, results come home; no secret leaves this machine or the cluster's nodes."""
    (tmp_path / "inputs.jsonl").write_text("".join(f'"word {number}"\n' for number in range(20)))
    with SimulatorProcess(Settings(keys=(KEY,))) as simulator:
        arguments = ("submit", str(_flow(tmp_path)), "--inputs", str(tmp_path / "inputs.jsonl"), "--json")
        config = configuration(tmp_path, simulator)
        done = head.run(*arguments, "--config", str(config), "--out", str(tmp_path / "out"))
        assert done.code == 0, done.err
        assert answered(simulator) == 20
    rows = [json.loads(line) for line in (tmp_path / "out" / "results.jsonl").read_text().splitlines()]
    assert sorted(row["number"] for row in rows) == list(range(20))
    assert done.json["state"] == "done"
    assert KEY not in done.out + done.err


def test_digest_outlives_who_submitted_it(head: Head, tmp_path: Path) -> None:
    """The submitting process is SIGKILLed: the job goes on, and status, logs and its report are had from anywhere."""
    root = repository(tmp_path / "repo", files=20)
    settings = Settings(answer=Answer(mode="digest"), keys=(KEY,), latency=Latency(median_s=1.0))
    with SimulatorProcess(settings) as simulator:
        config = configuration(tmp_path, simulator, concurrency=4)
        child = subprocess.Popen(
            [*COMMAND, "submit", "digest", str(root), "--config", str(config), "--address", head.address],
            env=head.environ,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert child.stdout is not None
        job = child.stdout.readline().split()[0]
        wait_until(lambda: answered(simulator) >= 3, seconds=90)
        child.kill()
        child.wait()
        child.stdout.close()
        running = head.run("fetch", job, "--out", str(tmp_path / "out"))
        assert running.code == 2
        assert "running" in running.err
        followed = head.run("logs", job, "-f")
        assert followed.code == 0, followed.err
        done = head.run("fetch", job, "--out", str(tmp_path / "out"), "--json")
        assert done.code == 0, done.err
        summary = simulator.summary()
    assert summary.duplicate_calls == 0
    report = json.loads((tmp_path / "out" / "report.json").read_bytes())
    assert sum(entry["kind"] == "file" for entry in report["entries"]) == 20
    assert done.json["outcome"]["complete"]
    assert "::understudy" not in followed.out


def test_cancel_from_elsewhere_closes_the_calls(head: Head, tmp_path: Path) -> None:
    """`cancel` ends the job's driver and its calls on the cluster."""
    root = repository(tmp_path / "repo", files=30)
    settings = Settings(answer=Answer(mode="digest"), keys=(KEY,), latency=Latency(median_s=2.0))
    with SimulatorProcess(settings) as simulator:
        config = configuration(tmp_path, simulator, concurrency=2)
        sent = head.run("submit", "digest", str(root), "--config", str(config), "--no-wait", "--json")
        assert sent.code == 0, sent.err
        wait_until(lambda: answered(simulator) >= 2, seconds=90)
        stopped = head.run("cancel", sent.json["id"])
        assert stopped.code == 0, stopped.err
        assert "cancelled" in stopped.out
        wait_until(lambda: simulator.health()["in_flight"] == 0, seconds=10)
        sent_by_then = len(simulator.ledger())
        time.sleep(1.5)
        assert len(simulator.ledger()) == sent_by_then < 30


def test_refusals_are_one_line(head: Head, tmp_path: Path) -> None:
    """A wrong token, none at all, an unknown job, and a variable that the nodes have not."""
    wrong = tmp_path / "wrong"
    wrong.write_text(secrets.token_hex(24))
    refused = head.run("fetch", "some-job", RAY_AUTH_TOKEN_PATH=str(wrong))
    assert refused.code == 2
    assert "does not take this token" in refused.err
    nothing = {"RAY_AUTH_MODE": "", "RAY_AUTH_TOKEN_PATH": "", "HOME": str(tmp_path)}
    assert "asks for a token" in head.run("fetch", "some-job", **nothing).err
    assert "no such job" in head.run("fetch", "some-job").err
    with SimulatorProcess() as simulator:
        config = configuration(tmp_path, simulator)
        config.write_text(config.read_text().replace("SIM_KEY", "OTHER_KEY"))
        flow = _flow(tmp_path)
        lacking = head.run("submit", str(flow), "--input", "x", "--config", str(config), "--out", str(tmp_path / "o"))
        assert lacking.code == 2
        assert "not set on the cluster's nodes: OTHER_KEY" in lacking.out
        assert not simulator.ledger()
