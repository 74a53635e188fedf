"""Patterns on a real cluster: one run holds many of them, and comes to the same as in one process; by the ledger."""

import json
import time
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from cluster_tools import Cluster, wait_until
from flow_patterns import FAILS, PATTERNS
from flow_runs import charged, flow_file, functions
from flow_tools import LATENCY, call, chain, flow_config, says, simulator_settings

from understudy.cluster.simulator import SimulatorProcess
from understudy.protocols.config import encode
from understudy.protocols.workflow import Flow
from understudy.protocols.workflow import encode as encode_flow

pytestmark = pytest.mark.cluster

CHOSEN = (
    "chain",
    "parallel_then",
    "escalate",
    "ladder",
    "consensus",
    "evaluate",
    "orchestrate",
    "collapse",
    "tree",
    "refine",
)
SOME = tuple(pattern for pattern in PATTERNS if pattern.name in CHOSEN)


def run(cluster: Cluster, folder: Path, sim: SimulatorProcess, node: Any, given: Any = "x", **flow: Any) -> Any:
    """What `understudy run` tells of a workflow as JSON, and its exit code."""
    config = folder / "understudy.yaml"
    config.write_bytes(encode(flow_config(sim.url, dead=False)).replace(b"MATRIX_KEY", b"SIM_KEY"))
    path = flow_file(folder, encode_flow(Flow.model_validate({"run": node, **flow})).decode())
    data = folder / "input.json"
    data.write_text(json.dumps(given))
    done = cluster.run("run", path, "--input", f"@{data}", "--config", str(config), "--json")
    assert done.out, done.err
    return done.json


def fails(folder: Path) -> dict[str, Any]:
    """A step that fails: a function beside the workflow."""
    return {"kind": "function", "call": f"{functions(folder)}:fail"}


def _branches(victim: Any = None) -> dict[str, Any]:
    return {pattern.name: pattern.build(victim or pattern.victim) for pattern in SOME}


def test_all_patterns_side_by_side(cluster: Cluster, tmp_path: Path) -> None:
    """Each comes to what it comes to alone; together they ask what each of them asks, and cost what is charged."""
    with SimulatorProcess(simulator_settings()) as sim:
        told = run(cluster, tmp_path, sim, {"kind": "parallel", "branches": _branches()})
        records, spent = sim.ledger(), charged(sim)
    assert told["error"] is None
    assert told["output"] == {pattern.name: pattern.value(pattern.output) for pattern in SOME}
    assert sorted(record.model for record in records) == sorted(model for pattern in SOME for model in pattern.asked)
    assert Decimal(told["bill"]["dollars"]) == spent
    took = max(record.t_end or 0.0 for record in records) - min(record.t for record in records)
    longest = LATENCY["slow"] + 2 * LATENCY["middling"]  # the tree's: its slowest map, and two levels of merges
    assert took == pytest.approx(longest, rel=0.1)


def test_all_patterns_with_a_step_that_fails(cluster: Cluster, tmp_path: Path) -> None:
    """Those that go on without it do, the others are named, and no success is lost."""
    with SimulatorProcess(simulator_settings()) as sim:
        told = run(cluster, tmp_path, sim, {"kind": "parallel", "branches": _branches(fails(tmp_path))})
        spent = charged(sim)
    expected = {pattern.name: None if pattern.fails == FAILS else pattern.fails for pattern in SOME}
    assert told["output"] == expected
    assert told["degraded"] is True
    failed = {step["path"] for step in told["steps"] if step["state"] == "failed"}
    assert {f"run/{name}" for name, value in expected.items() if value is None} <= failed
    assert Decimal(told["bill"]["dollars"]) == spent


def test_a_wide_fan_out_keeps_every_success(cluster: Cluster, tmp_path: Path) -> None:
    """Of 300 items at all Mappers a third fails: each success is in its place, each failure is told."""
    item = {
        "kind": "route",
        "rules": [{"when": "item % 3 == 0", "to": "bad"}],
        "generalist": "good",
        "branches": {
            "bad": fails(tmp_path),
            "good": chain(says("instant", 1, "{{ item }}"), {"kind": "value", "value": "{{ item * previous }}"}),
        },
    }
    node = {
        "kind": "parallel",
        "over": "input",
        "each": item,
        "then": {"kind": "value", "value": ["{{ results }}", "{{ errors | length }}"]},
    }
    with SimulatorProcess(simulator_settings()) as sim:
        told = run(cluster, tmp_path, sim, node, list(range(300)))
        records, spent = sim.ledger(), charged(sim)
    assert told["error"] is None
    assert told["output"] == [[None if number % 3 == 0 else number for number in range(300)], 100]
    assert told["degraded"] is True
    assert sum(record.outcome == "ok" for record in records) == 200
    assert Decimal(told["bill"]["dollars"]) == spent


def test_a_wide_map_reduce_names_what_is_missing(cluster: Cluster, tmp_path: Path) -> None:
    """Of 300 chunks some fail, one is skipped: those are missing by name, and all others are covered."""
    item = {
        "kind": "route",
        "rules": [{"when": "index in (7, 150)", "to": "bad"}],
        "generalist": "good",
        "branches": {
            "bad": fails(tmp_path),
            "good": {**says("instant", "m", "{{ chunk }}"), "when": "index != 40"},
        },
    }
    node = {
        "kind": "map_reduce",
        "over": "input",
        "map": item,
        "reduce": says("instant", "r", "merge {{ parts }}"),
        "budget": 600,
    }
    with SimulatorProcess(simulator_settings()) as sim:
        told = run(cluster, tmp_path, sim, node, [f"chunk {number}" for number in range(300)])
        records, spent = sim.ledger(), charged(sim)
    assert (told["error"], told["output"]) == (None, "r")
    [one] = told["coverage"]
    missing = [entry[0] if isinstance(entry, list) else entry["chunk"] for entry in one["missing"]]
    assert missing == [7, 40, 150]
    assert [number for first, stop in one["covered"] for number in range(first, stop)] == [
        number for number in range(300) if number not in missing
    ]
    assert one["merges"] == sum(record.outcome == "ok" for record in records) - 297
    assert Decimal(told["bill"]["dollars"]) == spent


def test_a_budget_holds_over_all_mappers(cluster: Cluster, tmp_path: Path) -> None:
    """Of 300 calls at all Mappers only so many are sent as the money is sure to pay for, by the provider's books."""
    each = {**call("instant", "say {{ item }}"), "on_error": "skip"}
    node = {"kind": "budget", "max_cost": 0.002, "node": {"kind": "parallel", "over": "input", "each": each}}
    with SimulatorProcess(simulator_settings()) as sim:
        told = run(cluster, tmp_path, sim, node, list(range(300)))
        spent = charged(sim)
    assert spent <= Decimal("0.002")
    assert Decimal(told["bill"]["dollars"]) == spent


def test_a_budget_holds_over_maps_and_merges(cluster: Cluster, tmp_path: Path) -> None:
    """Of 300 maps and their merges no more is spent than the budget, by the provider's books."""
    node = {
        "kind": "map_reduce",
        "over": "input",
        "map": call("instant", "say {{ chunk }}"),
        "reduce": call("instant", "merge {{ parts }}"),
        "budget": 600,
    }
    with SimulatorProcess(simulator_settings()) as sim:
        told = run(cluster, tmp_path, sim, {"kind": "budget", "max_cost": 0.003, "node": node}, list(range(300)))
        spent = charged(sim)
    assert Decimal("0.001") < spent <= Decimal("0.003")
    assert Decimal(told["bill"]["dollars"]) == spent
    assert "budget" in json.dumps(told)


def test_time_that_is_over_ends_the_work_at_all_mappers(cluster: Cluster, tmp_path: Path) -> None:
    """A wide fan-out that takes too long is ended everywhere: its sockets are closed, and nothing is sent any more."""
    each = {"kind": "parallel", "over": "input", "each": call("asleep", "say {{ item }}")}
    node = {"kind": "timeout", "seconds": 1.5, "node": each, "on_error": {"then": "default", "default": "D"}}
    with SimulatorProcess(simulator_settings()) as sim:
        told = run(cluster, tmp_path, sim, chain(node, says("instant", "after", "{{ previous }}")), list(range(300)))
        wait_until(lambda: all(record.t_end is not None for record in sim.ledger()), seconds=10)
        records = sim.ledger()
        time.sleep(0.5)
        assert len(sim.ledger()) == len(records)
    assert (told["error"], told["output"]) == (None, "after")
    hung = [record for record in records if record.model == "asleep"]
    [after] = [record for record in records if record.model == "instant"]
    assert hung
    assert {record.outcome for record in hung} == {"cancelled"}
    assert max(record.t_end or 0.0 for record in hung) - after.t <= 0.25


def test_a_budget_has_room_for_large_items(cluster: Cluster, tmp_path: Path) -> None:
    """Items of many tokens are sent where the money is there, however it is shared out to the Mappers."""
    each = call("instant", "say {{ item }}")
    node = {"kind": "budget", "max_cost": 5.0, "node": {"kind": "parallel", "over": "input", "each": each}}
    with SimulatorProcess(simulator_settings()) as sim:
        told = run(cluster, tmp_path, sim, node, [f"{number} " + "word " * 8_000 for number in range(150)])
        records, spent = sim.ledger(), charged(sim)
    assert told["error"] is None
    assert len([one for one in told["output"] if one]) == len(records) == 150
    assert Decimal(told["bill"]["dollars"]) == spent
