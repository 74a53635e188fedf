"""`understudy run` on a real Ray cluster, judged by the simulator's ledger."""

import json
import os
import pty
import signal
import subprocess
import time
from collections import Counter
from decimal import Decimal
from pathlib import Path

import pytest
from cluster_tools import COMMAND, Cluster, answered, configuration, wait_until
from flow_runs import charged, flow_file, functions, good, lines_file, results_of, screen

from understudy.cluster.simulator import Latency, Settings, SimulatorProcess

pytestmark = pytest.mark.cluster

CHAIN = """
name: pair
run:
  kind: chain
  steps:
    - {id: draft, kind: call, model: small, prompt: "Draft: {{ input }}"}
    - {id: final, kind: call, model: small, prompt: "Correct: {{ draft }}", max_tokens: 64}
"""
MANY = "name: each\nrun: {kind: call, model: small, prompt: 'Say {{ input }}', max_tokens: 16}\n"
WIDE = """
name: wide
run:
  kind: map_reduce
  over: input
  concurrency: 24
  budget: 400
  map: {kind: call, model: small, prompt: "Note {{ chunk }}", max_tokens: 16}
  reduce:
    kind: call
    model: small
    max_tokens: 32
    prompt: "Merge {% for part in parts %}{{ part.name }}: {{ part.value }} {% endfor %}"
"""


def test_a_run_prints_its_output_and_its_bill_is_the_ledgers(cluster: Cluster, tmp_path: Path) -> None:
    """A chain of two calls: output, steps and bill as JSON; every dollar and token is what the provider counted."""
    with SimulatorProcess() as simulator:
        config = str(configuration(tmp_path, simulator))
        done = cluster.run("run", flow_file(tmp_path, CHAIN), "--input", "words", "--config", config, "--json")
        records = simulator.ledger()
        spent = charged(simulator)
    assert done.code == 0, done.err
    told = done.json
    assert told["exit"] == 0
    assert isinstance(told["output"], str)
    assert told["output"]
    assert [(step["path"], step["state"]) for step in told["steps"]] == [
        ("run/0", "done"),
        ("run/1", "done"),
        ("run", "done"),
    ]
    assert told["bill"]["calls"] == told["bill"]["attempts"] == len(records) == 2
    assert Decimal(told["bill"]["dollars"]) == spent > 0
    assert told["bill"]["input_tokens"] == sum(record.prompt_tokens for record in records)
    assert told["bill"]["output_tokens"] == sum(record.completion_tokens for record in records)
    assert cluster.environ["SIM_KEY"] not in done.out + done.err


def test_a_failed_run_is_named_and_what_stood_in_is_told(cluster: Cluster, tmp_path: Path) -> None:
    """A run whose last step fails exits with 3, says which step and why, and what was degraded before."""
    module = functions(tmp_path)
    text = f"""
name: failing
run:
  kind: chain
  steps:
    - {{kind: call, model: small, prompt: "Say {{{{ input }}}}"}}
    - {{kind: function, call: "{module}:fail", on_error: {{then: default, default: instead}}}}
    - {{kind: function, call: "{module}:fail"}}
"""
    with SimulatorProcess() as simulator:
        arguments = ("run", flow_file(tmp_path, text), "--config", str(configuration(tmp_path, simulator)))
        done = cluster.run(*arguments, "--json")
        shown = cluster.run(*arguments)
        assert len(good(simulator.ledger())) == 4 // 2
    assert done.code == 3, done.err
    told = done.json
    assert told["exit"] == 3
    assert told["output"] is None
    assert "out of paper" in told["error"]
    assert told["degraded"] is True
    assert {step["path"]: step["state"] for step in told["steps"]}["run/1"] == "degraded"
    assert shown.code == 3
    assert "failed: " in shown.out
    assert "degraded: run/1: the default stands in:" in shown.out
    assert "\x1b" not in shown.out + shown.err, "piped output has no escape codes"


def test_many_inputs_give_each_result_once(cluster: Cluster, tmp_path: Path) -> None:
    """300 lines: each number stands in the file once, and the sum of their bills is the ledger's."""
    out = tmp_path / "results.jsonl"
    with SimulatorProcess() as simulator:
        config = str(configuration(tmp_path, simulator))
        inputs = lines_file(tmp_path, [f"word {number}" for number in range(300)])
        given = ("--inputs", inputs, "--out", str(out), "--config", config, "--json")
        done = cluster.run("run", flow_file(tmp_path, MANY), *given)
        spent = charged(simulator)
        assert answered(simulator) == 300
    assert done.code == 0, done.err
    told, results = done.json, results_of(out)
    assert (told["runs"], told["done"], told["failed"]) == (300, 300, 0)
    assert Decimal(told["dollars"]) == spent
    assert sorted(one["number"] for one in results) == list(range(300))
    assert sum(Decimal(one["bill"]["dollars"]) for one in results) == spent


def test_one_bad_line_is_refused_before_anything_is_spent(cluster: Cluster, tmp_path: Path) -> None:
    """The last of 300 lines is no JSON: one clear line with its number, exit code 2, no request, no results."""
    out = tmp_path / "results.jsonl"
    with SimulatorProcess() as simulator:
        config = str(configuration(tmp_path, simulator))
        inputs = lines_file(tmp_path, list(range(299)))
        with Path(inputs).open("a", encoding="utf-8") as file:
            file.write("{half\n")
        done = cluster.run("run", flow_file(tmp_path, MANY), "--inputs", inputs, "--out", str(out), "--config", config)
        assert simulator.ledger() == []
    assert done.code == 2
    assert done.err.startswith(f"understudy: {inputs}:300:2: not JSON")
    assert len(done.err.splitlines()) == 1
    assert not out.exists()


def test_runs_that_fail_take_nothing_from_the_others(cluster: Cluster, tmp_path: Path) -> None:
    """Half of 40 runs fail in a function beside the workflow: exit code 3, the others' results are there."""
    module, out = functions(tmp_path), tmp_path / "results.jsonl"
    text = f"name: half\nrun: {{kind: function, call: '{module}:odd', args: {{number: '{{{{ input }}}}'}}}}\n"
    inputs = lines_file(tmp_path, list(range(40)))
    done = cluster.run("run", flow_file(tmp_path, text), "--inputs", inputs, "--out", str(out), "--json")
    results = results_of(out)
    assert done.code == 3, done.err
    assert done.json["failed"] == 20
    assert {one["output"] for one in results if one["error"] is None} == set(range(1, 40, 2))
    assert all(f"{one['number']} is even" in one["error"] for one in results if one["number"] % 2 == 0)


def test_a_wide_map_reduce_covers_every_chunk_and_bills_every_call(cluster: Cluster, tmp_path: Path) -> None:
    """300 maps in a job of their own, merged in levels: every chunk is covered, every dollar is the ledger's."""
    with SimulatorProcess() as simulator:
        config = str(configuration(tmp_path, simulator))
        given = tmp_path / "input.json"
        given.write_text(json.dumps([f"chunk {number}" for number in range(300)]), encoding="utf-8")
        done = cluster.run("run", flow_file(tmp_path, WIDE), "--input", f"@{given}", "--config", config, "--json")
        asked, spent = answered(simulator), charged(simulator)
    assert done.code == 0, done.err
    [coverage] = done.json["coverage"]
    assert (coverage["total"], coverage["covered"], coverage["missing"]) == (300, [[0, 300]], [])
    assert coverage["depth"] >= 2
    assert asked == 300 + coverage["merges"] == done.json["bill"]["calls"]
    assert Decimal(done.json["bill"]["dollars"]) == spent


@pytest.mark.parametrize("victim", ["mapper-0", "reducer-0"])
def test_a_wide_map_reduce_outlives_an_actor(cluster: Cluster, tmp_path: Path, victim: str) -> None:
    """300 maps of one run while an actor is SIGKILLed: the answer covers every chunk, and no result is lost."""
    with SimulatorProcess(Settings(latency=Latency(median_s=0.15))) as simulator:
        config = str(configuration(tmp_path, simulator))
        given = tmp_path / "input.json"
        given.write_text(json.dumps([f"chunk {number}" for number in range(300)]), encoding="utf-8")
        running = cluster.start("run", flow_file(tmp_path, WIDE), "--input", f"@{given}", "--config", config, "--json")
        wait_until(lambda: answered(simulator) >= 60)
        cluster.kill(victim)
        out, err = running.communicate(timeout=100)
        hashes = Counter(record.content_hash for record in good(simulator.ledger()))
    assert running.returncode == 0, err + out
    [coverage] = json.loads(out)["coverage"]
    assert coverage["total"] == 300
    assert [list(one) for one in coverage["covered"]] == [[0, 300]]
    assert coverage["missing"] == []
    assert len(hashes) >= 300 + coverage["merges"]


def test_many_runs_outlive_a_mapper(cluster: Cluster, tmp_path: Path) -> None:
    """200 inputs while a Mapper is SIGKILLed: each has its result once, and little is paid for twice."""
    out = tmp_path / "results.jsonl"
    with SimulatorProcess(Settings(latency=Latency(median_s=0.2))) as simulator:
        config = str(configuration(tmp_path, simulator))
        inputs = lines_file(tmp_path, [f"word {number}" for number in range(200)])
        given = ("--inputs", inputs, "--out", str(out), "--config", config, "--json", "--concurrency", "16")
        running = cluster.start("run", flow_file(tmp_path, MANY), *given)
        wait_until(lambda: answered(simulator) >= 40)
        cluster.kill("mapper-0")
        told, err = running.communicate(timeout=100)
        hashes = Counter(record.content_hash for record in good(simulator.ledger()))
    assert running.returncode == 0, err + told
    results = results_of(out)
    assert Counter(one["number"] for one in results) == dict.fromkeys(range(200), 1)
    assert not [one["error"] for one in results if one["error"]]
    assert len(hashes) == 200
    assert sum(count - 1 for count in hashes.values()) <= 24, "twice is at most what was in flight or unreported"


def test_interrupt_closes_the_sockets_and_cancels_the_job(cluster: Cluster, tmp_path: Path) -> None:
    """Ctrl-C: exit code 130, no request later than a second after, all sockets closed, and the job is cancelled."""
    written = tmp_path / "results.jsonl"
    with SimulatorProcess(Settings(latency=Latency(median_s=1.0))) as simulator:
        config = str(configuration(tmp_path, simulator))
        inputs = lines_file(tmp_path, [f"word {number}" for number in range(400)])
        given = ("--inputs", inputs, "--out", str(written), "--config", config, "--concurrency", "8")
        running = cluster.start("run", flow_file(tmp_path, MANY.replace("each", "stopped")), *given)
        wait_until(lambda: written.exists() and len(results_of(written)) >= 8)
        moment = time.monotonic()
        running.send_signal(signal.SIGINT)
        out, err = running.communicate(timeout=60)
        wait_until(lambda: all(record.t_end is not None for record in simulator.ledger()), seconds=10)
        late = [record for record in simulator.ledger() if record.t > moment + 1.0]
    assert running.returncode == 130, err + out
    assert late == []
    kept = [one["number"] for one in results_of(written)]
    assert 8 <= len(kept) == len(set(kept)) < 400
    assert f"{len(kept)} of 400" in out
    states = {job["state"] for job in cluster.run("status", "--json").json["jobs"] if job["id"].startswith("stopped-")}
    assert states == {"cancelled"}


def test_the_live_display_shows_the_steps_and_leaves_nothing_behind(cluster: Cluster, tmp_path: Path) -> None:
    """On a terminal each step is seen with its sign while it runs; in the end only the outcome is there."""
    with SimulatorProcess(Settings(latency=Latency(median_s=0.5))) as simulator:
        config = str(configuration(tmp_path, simulator))
        ours, theirs = pty.openpty()
        running = subprocess.Popen(
            [*COMMAND, "run", flow_file(tmp_path, CHAIN), "--input", "words", "--config", config],
            env=cluster.environ | {"TERM": "xterm-256color", "COLUMNS": "100", "LINES": "40"},
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
        )
        os.close(theirs)
        told = _all_of(ours)
        assert running.wait(60) == 0, told
    assert "… " in told
    assert "✓ " in told
    seen = screen(told)
    assert not [line for line in seen if "✓" in line or "understudy" in line], seen
    assert any("2 calls" in line for line in seen), seen
    assert told.rindex("\x1b[?25h") > told.rindex("\x1b[?25l"), "the cursor is shown again"


def _all_of(terminal: int) -> str:
    told = b""
    while True:
        try:
            part = os.read(terminal, 65_536)
        except OSError:  # the other side is closed
            break
        if not part:
            break
        told += part
    os.close(terminal)
    return told.decode()


def test_a_function_that_was_edited_is_the_new_one(cluster: Cluster, tmp_path: Path) -> None:
    """The cluster stays warm between two commands; what a person changed in between is what runs."""
    module = functions(tmp_path)
    flow = flow_file(tmp_path, f"name: edited\nrun: {{kind: function, call: '{module}:odd', args: {{number: 1}}}}\n")
    assert cluster.run("run", flow, "--json").json["output"] == 1
    (tmp_path / f"{module}.py").write_text("def odd(number):\n    return number + 100\n")
    assert cluster.run("run", flow, "--json").json["output"] == 101


def test_two_workflows_may_have_functions_of_the_same_name(cluster: Cluster, tmp_path: Path) -> None:
    """`functions.py` beside the one is not that beside the other."""
    told = []
    for number in (1, 2):
        folder = tmp_path / f"flow{number}"
        folder.mkdir()
        (folder / "flow_own_twins.py").write_text(f"def work():\n    return {number}\n")
        flow = flow_file(folder, "name: twin\nrun: {kind: function, call: 'flow_own_twins:work'}\n")
        told.append(cluster.run("run", flow, "--json").json["output"])
    assert told == [1, 2]
