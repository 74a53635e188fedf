"""What a run stands on: a source tree, a configuration, a cluster of its own, perhaps a second node."""

import dataclasses
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Final

import psutil

from understudy.cluster import home
from understudy.cluster.simulator import Answer, Latency, Quota, Settings

from . import processes
from .plan import WINDOW_S, Plan, files

COMMAND: Final = (sys.executable, "-m", "understudy")
_KEY: Final = "CHAOS_KEY"
_NOTED: Final = Path(tempfile.gettempdir()) / "ray" / "ray_current_cluster"


def quota(plan: Plan) -> Quota:
    """The provider's, and what the configuration says of it."""
    return Quota(rpm=plan.rpm, tpm=plan.tpm, window_s=WINDOW_S)


def simulated(plan: Plan) -> Settings:
    """The provider: some 3 s a call, so that calls are in flight at each kill, though a window is spent in bursts."""
    return Settings(
        seed=plan.seed,
        answer=Answer(mode="digest"),
        latency=Latency(median_s=3.0, sigma=0.4),
        quota=quota(plan),
    )


@dataclasses.dataclass(slots=True)
class World:
    """The folders and the environment of a run; everything lies below `folder`."""

    folder: Path
    plan: Plan
    environ: dict[str, str] = dataclasses.field(default_factory=dict)
    node: subprocess.Popen[bytes] | None = None

    def __post_init__(self) -> None:
        home = self.folder / "home"
        home.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.environ = {**os.environ, "UNDERSTUDY_HOME": str(home), _KEY: "sk-chaos", "COLUMNS": "80"}
        for name in ("RAY_ADDRESS", "RAY_AUTH_MODE", "RAY_AUTH_TOKEN_PATH", "UNDERSTUDY_JOURNAL"):
            self.environ.pop(name, None)

    @property
    def tree(self) -> Path:
        """What is digested."""
        return self.folder / "tree"

    @property
    def out(self) -> Path:
        """Where the report goes."""
        return self.folder / "out"

    @property
    def config(self) -> Path:
        """The configuration's file."""
        return self.folder / "understudy.yaml"

    def write(self, url: str) -> None:
        """The source tree, and a configuration for the provider at `url`."""
        for path, text in files(self.plan.items):
            file = self.tree / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8")
        price = "{input: 0.15, output: 0.6}"
        self.config.write_text(
            f"accounts:\n  sim:\n    base_url: {url}/v1\n    api_key: ${{{_KEY}}}\n"
            f"    limits: {{rpm: {self.plan.rpm}, tpm: {self.plan.tpm}, window_s: {WINDOW_S:g}}}\n"
            f"models:\n  small:\n    - {{account: sim, model: sim-small, price: {price}}}\n"
            "digest: {map_budget: 256, map_answer: 100}\n",
            encoding="utf-8",
        )

    def start(self, *arguments: str, sink: Path) -> subprocess.Popen[bytes]:
        """Starts `understudy ARGUMENTS`; what it prints goes to `sink`, errors beside it."""
        with sink.open("wb") as out, sink.with_suffix(".err").open("ab") as err:
            return subprocess.Popen([*COMMAND, *arguments], env=self.environ, stdout=out, stderr=err, cwd=self.folder)

    # The cluster ------------------------------------------------------------------------------------------------------

    def up(self) -> None:
        """Starts the cluster. Raises `RuntimeError` with its words when it does not come up."""
        done = subprocess.run(
            [*COMMAND, "up"], env=self.environ, capture_output=True, text=True, timeout=180, check=False
        )
        if done.returncode:
            raise RuntimeError(f"the cluster did not start: {done.stderr.strip()}")

    def local(self) -> home.Local | None:
        """The running cluster's notes, if there is one."""
        try:
            plain: dict[str, Any] = json.loads((self.folder / "home" / "cluster.json").read_bytes())
        except (OSError, ValueError):
            return None
        local = home.Local(**plain)
        return local if home.born(local.pid) == local.born else None

    def roots(self) -> list[int]:
        """The processes that all of ours descend from."""
        local = self.local()
        found = [] if local is None else [local.pid]
        if self.node is not None and self.node.poll() is None:
            found.append(self.node.pid)
        return found

    def add_node(self) -> None:
        """Starts a second node on this machine, in a process of ours that stays."""
        local = self.local()
        assert local is not None, "the cluster is up before a node joins it"
        environ = {
            **self.environ,
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN_PATH": str(self.folder / "home" / "ray-token"),
        }
        command = [str(Path(sys.executable).with_name("ray")), "start", f"--address={local.address}", "--block"]
        command += ["--num-cpus=1", "--object-store-memory=200000000", "--disable-usage-stats"]
        with (self.folder / "node.log").open("ab") as log:
            self.node = subprocess.Popen(command, env=environ, stdout=log, stderr=log, cwd=self.folder)

    def kill_node(self) -> int:
        """SIGKILLs the second node's raylet, waits for what hung on it to go, and returns its id; 0: there is none.

        The workers of a raylet end by themselves when it is gone; what does not within 20 s is ended here, so that no
        process of a dead node goes on beside its successor.
        """
        if self.node is None:
            return 0
        below = processes.descendants([self.node.pid])
        raylets = processes.raylets([self.node.pid])
        for raylet in raylets:
            raylet.kill()
        psutil.wait_procs(below, timeout=20.0)
        self._end_node(below)
        return raylets[0].pid if raylets else 0

    def _end_node(self, below: list[psutil.Process]) -> None:
        processes.end([one for one in below if one.is_running()])
        if self.node is not None:
            self.node.kill()
            self.node.wait()
            self.node = None

    def down(self) -> None:
        """Ends every process of this run."""
        local, roots = self.local(), self.roots()
        everything = processes.descendants(roots)
        self._end_node(processes.descendants([self.node.pid]) if self.node is not None else [])
        subprocess.run([*COMMAND, "down"], env=self.environ, capture_output=True, timeout=120, check=False)
        time.sleep(0.5)
        processes.end([one for one in everything if one.is_running()])
        # A node that joined has noted our cluster as this machine's own, where later ones would look for it.
        if local is not None and _NOTED.is_file() and _NOTED.read_text(encoding="utf-8").strip() == local.address:
            _NOTED.unlink(missing_ok=True)
