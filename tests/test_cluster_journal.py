"""The Journal actor on a real cluster: its process is killed in mid-appends, and nothing acknowledged is lost."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from cluster_tools import Cluster

pytestmark = pytest.mark.cluster

DRIVER = Path(__file__).with_name("journal_driver.py")


def test_every_acknowledged_row_outlives_the_actors_kills(cluster: Cluster, tmp_path: Path) -> None:
    """Three SIGKILLs in mid-appends: what was acknowledged before each is there, and in the end all of it, once."""
    done = subprocess.run(
        [sys.executable, str(DRIVER), f"sqlite:{tmp_path / 'journal.db'}"],
        env=cluster.environ,
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["kills"] == 3
    assert found["lost"] == []
    assert found["places"] == list(range(found["count"]))
    assert found["done"] == found["count"] - 1
