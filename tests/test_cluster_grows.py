"""A tree that grows, through real actors, with its Reducer killed in between."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from cluster_tools import Cluster

from understudy.actors.reducer.growing import items_of, level_of


@pytest.mark.cluster
def test_a_killed_reducer_costs_no_item_and_no_merge(cluster: Cluster) -> None:
    """Half of the items are merged when the Reducer is killed: the root covers each once, none is merged twice."""
    command = [sys.executable, str(Path(__file__).with_name("grows_driver.py")), str(cluster.mappers), "5000"]
    done = subprocess.run(command, env=cluster.environ, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert (told["state"], told["error"], told["done"]) == ("done", "", 5000)
    assert (items_of(told["root"]), level_of(told["root"]), told["answer"]) == (range(5000), 2, "5000")
    assert told["merges"] == 6
    assert told["restarts"] == 1
