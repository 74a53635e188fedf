"""What the tests of jobs that last share: clusters that may die, their processes, and what was paid twice."""

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cluster_tools import Cluster, start_cluster, wait_until

from understudy.cluster.simulator import SimulatorProcess

_BEGIN = """
import json, sys
from understudy.cluster.local import Settings, address
address(Settings(mappers=1, queue=json.loads(sys.argv[1])))
"""


@contextlib.contextmanager
def own_cluster(folder: Path, *, queue: dict[str, float] | None = None, **variables: str) -> Iterator[Cluster]:
    """A cluster with one Mapper and a home of its own, which a test may kill; `queue`: fields of `QueueSettings`."""
    home = folder / "home"
    home.mkdir(exist_ok=True)
    if queue:
        environ = {**os.environ, "UNDERSTUDY_HOME": str(home), "SIM_KEY": "sk-planted-by-the-tests-0001", **variables}
        for name in ("RAY_ADDRESS", "RAY_AUTH_MODE", "RAY_AUTH_TOKEN_PATH"):
            environ.pop(name, None)
        # No command has options for how long the queue waits.
        subprocess.run([sys.executable, "-c", _BEGIN, json.dumps(queue)], env=environ, check=True, timeout=120)
        cluster = Cluster(environ, 1)
    else:
        cluster = start_cluster(home, mappers=1, **variables)
    try:
        yield cluster
    finally:
        cluster.run("down")


def kill_all(cluster: Cluster) -> None:
    """SIGKILLs every process of the cluster with this home: its keeper, Ray's daemons, our actors."""
    home = cluster.environ["UNDERSTUDY_HOME"]
    mark = f"UNDERSTUDY_HOME={home}".encode()
    for path in Path("/proc").glob("[0-9]*/environ"):
        with contextlib.suppress(OSError):
            if mark in path.read_bytes().split(b"\0"):
                os.kill(int(path.parent.name), signal.SIGKILL)
    # Whoever was killed is there, dead, until its parent has looked.
    keeper = int(json.loads((Path(home) / "cluster.json").read_bytes())["pid"])
    wait_until(lambda: not Path(f"/proc/{keeper}/exe").exists())


def newest(cluster: Cluster) -> dict[str, Any]:
    """The job that was begun last, as `understudy jobs` has it."""
    return dict(cluster.run("jobs", "--all", "--json").json[0])


def paid_twice(simulator: SimulatorProcess) -> int:
    """Requests that were answered though the same was answered before."""
    seen = Counter(record.content_hash for record in simulator.ledger() if record.outcome == "ok")
    return sum(count - 1 for count in seen.values())


def closed(child: subprocess.Popen[str]) -> None:
    """SIGKILLs a command and waits for it."""
    child.kill()
    child.communicate()
