"""What the tests on a real cluster share: the session-wide cluster's environment, and running the command in it."""

import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

from understudy.cluster.simulator import SimulatorProcess

CANARIES = {
    f"CANARY_{kind.upper()}": f"sk-canary-{kind}-7c1e9f04b2d8"
    for kind in ("openai", "azure", "anthropic", "gemini", "header")
}
"""Keys that must be seen nowhere, planted in the environment of the wide cluster."""
COMMAND = (sys.executable, "-m", "understudy")


@dataclasses.dataclass(frozen=True)
class Finished:
    """A command that has ended: its exit code and what it printed."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Standard output as JSON."""
        return json.loads(self.out)


@dataclasses.dataclass(frozen=True)
class Cluster:
    """The session-wide local cluster: commands that run with `environ` find it warm."""

    environ: dict[str, str]
    mappers: int = 2

    def run(self, *arguments: str, **variables: str) -> Finished:
        """Runs `understudy ARGUMENTS` to its end."""
        done = subprocess.run(
            [*COMMAND, *arguments],
            env=self.environ | variables,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        return Finished(done.returncode, done.stdout, done.stderr)

    def start(self, *arguments: str, **variables: str) -> subprocess.Popen[str]:
        """Starts `understudy ARGUMENTS` and returns at once."""
        return subprocess.Popen(
            [*COMMAND, *arguments],
            env=self.environ | variables,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def attach(self) -> "Driver":
        """A driver of its own process, for what no command does; use it as a context manager."""
        return Driver(self)

    def pid(self, name: str) -> int:
        """The process id of a living actor."""
        children = self.run("status", "--json").json["children"]
        return int(next(child["pid"] for child in children if child["name"].startswith(name)))

    def kill(self, name: str) -> None:
        """SIGKILLs one actor's process: one of ours, by its id."""
        pid = self.pid(name)
        assert pid > 1, f"{name} is not up"  # 0 would be this process's own group
        os.kill(pid, signal.SIGKILL)


class Driver:
    """A driver in a process of its own, commanded line by line; see `cluster_driver`."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._child: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        command = (sys.executable, str(Path(__file__).with_name("cluster_driver.py")), str(self._cluster.mappers))
        self._child = subprocess.Popen(
            command, env=self._cluster.environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        return self

    def __exit__(self, *_: object) -> None:
        child, self._child = self._child, None
        assert child is not None
        assert child.stdin is not None
        assert child.stdout is not None
        child.stdin.close()
        child.stdout.close()
        try:
            child.wait(20)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()

    def ask(self, command: str, **arguments: Any) -> Any:
        """The answer to a command."""
        child = self._child
        assert child is not None
        assert child.stdin is not None
        assert child.stdout is not None
        child.stdin.write(json.dumps({"command": command, **arguments}) + "\n")
        child.stdin.flush()
        line = child.stdout.readline()
        assert line, f"the driver ended at the command {command!r}; its error is above"
        return json.loads(line)

    def account(self, name: str) -> dict[str, Any]:
        """What is known of an account now."""
        [found] = [one for one in self.ask("status")["accounts"] if one["account"] == name]
        return dict(found)


def wait_until(true: Callable[[], bool], *, seconds: float = 60.0) -> None:
    """Returns when `true()`; fails when that takes too long. For real processes, which no told clock can drive."""
    deadline = time.monotonic() + seconds
    while not true():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not so within {seconds:g} s")
        time.sleep(0.05)


def answered(simulator: SimulatorProcess) -> int:
    """Calls that the simulator has answered so far, by its own ledger."""
    return sum(record.outcome == "ok" for record in simulator.ledger())


def configuration(folder: Path, simulator: SimulatorProcess, **limits: float) -> Path:
    """An `understudy.yaml` for the simulator's `sim-small`."""
    path = folder / "understudy.yaml"
    lines = "\n".join(f"      {key}: {value}" for key, value in limits.items())
    path.write_text(
        "accounts:\n"
        "  sim:\n"
        f"    base_url: {simulator.url}/v1\n"
        "    api_key: ${SIM_KEY}\n"
        + (f"    limits:\n{lines}\n" if lines else "")
        + "models:\n  small:\n    - {account: sim, model: sim-small, price: {input: 0.15, output: 0.6}}\n",
        encoding="utf-8",
    )
    return path


def repository(folder: Path, *, files: int, words: int = 1200) -> Path:
    """A folder with `files` text files, each large enough for a map call of its own."""
    for number in range(files):
        path = folder / f"part{number % 5}" / f"file{number:03}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"File {number}. " + f"word{number} " * words, encoding="utf-8")
    return folder


def start_cluster(folder: Path, *, mappers: int = 0, **variables: str) -> Cluster:
    """Starts a local cluster with a home and a key of its own, and perhaps with more variables and mappers."""
    environ = {
        **os.environ,
        "UNDERSTUDY_HOME": str(folder),
        "SIM_KEY": "sk-planted-by-the-tests-0001",
        "COLUMNS": "80",
        **variables,
    }
    for name in ("RAY_ADDRESS", "RAY_AUTH_MODE", "RAY_AUTH_TOKEN_PATH"):
        environ.pop(name, None)
    cluster = Cluster(environ, mappers or len(os.sched_getaffinity(0)))
    up = cluster.run("up", *(("--mappers", str(mappers)) if mappers else ()))
    assert up.code == 0, up.err
    return cluster
