"""The Python API on a real Ray cluster: a script as users write one, judged by the simulator's ledger."""

import json
import subprocess
import sys
from collections import Counter
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from cluster_tools import Cluster, configuration

from understudy.cluster.simulator import Latency, Record, Settings, SimulatorProcess

pytestmark = pytest.mark.cluster


@pytest.fixture(scope="module")
def told(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the script said of each scenario, and the ledger."""
    folder = tmp_path_factory.mktemp("api")
    before = flow_jobs(cluster)
    with SimulatorProcess(Settings(latency=Latency(median_s=0.1, per_output_token_s=0.005))) as simulator:
        config = str(configuration(folder, simulator))
        done = subprocess.run(
            [sys.executable, str(Path(__file__).with_name("api_driver.py")), config],
            env=cluster.environ,
            capture_output=True,
            text=True,
            timeout=150,
            check=False,
            cwd=folder,
        )
        ledger = simulator.ledger()
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    jobs = {name: state for name, state in flow_jobs(cluster).items() if name not in before}
    told: dict[str, Any] = json.loads(done.stdout)
    return told | {"ledger": ledger, "jobs": jobs}


def flow_jobs(cluster: Cluster) -> dict[str, str]:
    """The state of each job that runs a workflow."""
    return {job["id"]: job["state"] for job in cluster.run("status", "--json").json["jobs"] if "flow-" in job["id"]}


def test_a_chain_with_a_fallback(told: dict[str, Any]) -> None:
    """The fallback stands in for a function that fails; the script's own function ran elsewhere; the bill is exact."""
    ran = told["one"]
    assert ran["output"].startswith("KEPT: ")
    assert ran["degraded"] is True
    assert ran["calls"] == 1
    assert Decimal(ran["cost"]) == Decimal(told["ledger"][0].cost) > 0
    assert ran["states"]["run/1"] == "degraded"


def test_a_failed_run_raises(told: dict[str, Any]) -> None:
    """Why, in one line; an output that is no such model is told with its place."""
    step, output = told["failed"]
    assert "out of paper" in step
    assert output.startswith("the output is no Answer: at the top: ")


def test_an_output_is_the_model_that_was_asked_for(told: dict[str, Any]) -> None:
    """A pydantic object of the script's own class."""
    assert told["typed"]["kind"] == "Answer"
    assert isinstance(told["typed"]["number"], int)


def test_many_results_come_once_each_and_leaving_the_loop_cancels(told: dict[str, Any]) -> None:
    """60 numbers; then of a million inputs, taken as they are needed, next to nothing is asked in all the script."""
    assert told["many"]["numbers"] == list(range(60))
    assert told["many"]["taken"] == 5
    ledger: list[Record] = told["ledger"]
    assert len(ledger) < 400
    assert all(record.t_end is not None for record in ledger)


def test_words_come_as_they_are_said(told: dict[str, Any]) -> None:
    """In several parts, which are the output in the end."""
    assert told["words"]["heard"] == told["words"]["output"] != ""
    assert told["words"]["parts"] > 1


def test_a_script_answers_what_its_runs_ask(told: dict[str, Any]) -> None:
    """Approved ones go on, a rejected one's policy stands in."""
    assert told["asked"] == {"0": "yes", "1": "kept", "2": "yes"}


def test_one_run_never_costs_more_than_it_may(told: dict[str, Any]) -> None:
    """The bound of `max_cost` holds inside a single run, too."""
    assert 0 < Decimal(told["bounded"]["cost"]) <= Decimal("0.0004")
    assert told["bounded"]["degraded"] or told["bounded"]["error"]


def test_a_cancelled_task_cancels_its_job(told: dict[str, Any]) -> None:
    """Runs go on at once in a loop; a cancelled one ends within seconds, and long before its 200 calls."""
    assert told["beside"]["outputs"] == 3
    assert told["beside"]["ended"] == "CancelledError"
    assert told["beside"]["took"] < 5.0
    states = Counter(told["jobs"].values())
    assert states["cancelled"] == 3, "two loops that were left, and a task"
    assert set(states) == {"done", "cancelled"}


def test_a_process_attaches_again_when_it_has_detached(told: dict[str, Any]) -> None:
    """`close` ends nothing but the attachment."""
    assert told["again"] == "back"
