"""The job queue on a real cluster, whose Director is killed while jobs wait and run."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from cluster_tools import Cluster

COUNT = 200


@pytest.mark.cluster
def test_a_queue_outlives_its_director(cluster: Cluster, tmp_path: Path) -> None:
    """SIGKILLed in the middle: each job runs once, poison as often as it may, then is dead; a resend adds nothing."""
    script = Path(__file__).with_name("queue_driver.py")
    done = subprocess.run(
        [sys.executable, str(script), str(COUNT), str(tmp_path / "ran.txt")],
        env=cluster.environ,
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout.splitlines()[-1])
    assert (said["new"], said["again"], said["another"], said["redriven"]) == (COUNT, 0, True, COUNT // 50)
    poison = {f"{number:04}" for number in range(0, COUNT, 50)}
    assert {name for name, _, _ in said["dead"]} == poison
    assert all(attempt == 2 and "never succeeds" in error for _, attempt, error in said["dead"])
    runs = {f"{number:04}": 1 for number in range(COUNT)} | dict.fromkeys(poison, 2)
    # The four that were redriven at the end may have begun already.
    assert {name: min(times, runs[name]) for name, times in said["runs"].items()} == runs
    assert all(said["runs"][name] == 1 for name in runs if name not in poison)
