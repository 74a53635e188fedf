"""Approvals on a real Ray cluster: a run pauses, costs nothing, and goes on without repeating anything."""

from pathlib import Path
from typing import Any

import pytest
from cluster_tools import Cluster, Finished, answered, configuration
from flow_runs import flow_file, functions, lines_file, results_of

from understudy.cluster.simulator import SimulatorProcess

pytestmark = pytest.mark.cluster


def _flow(folder: Path, on_error: str = "fail") -> str:
    module, book = functions(folder), folder / "book.txt"
    text = f"""
name: asked
run:
  kind: chain
  steps:
    - {{id: draft, kind: call, model: small, prompt: "Draft: {{{{ input }}}}", max_tokens: 16}}
    - {{kind: function, call: "{module}:note", args: {{book: "{book}"}}}}
    - id: agreed
      kind: approve
      title: "Send it?"
      show: "{{{{ draft }}}}"
      value: "{{{{ draft }}}}"
      on_error: {on_error}
    - {{kind: value, value: "sent: {{{{ agreed }}}}"}}
"""
    return flow_file(folder, text)


def _pause(cluster: Cluster, flow: str, config: str) -> tuple[Finished, str]:
    done = cluster.run("run", flow, "--input", "words", "--config", config, "--json")
    assert done.code == 4, done.err + done.out
    [waiting] = done.json["waiting"]
    return done, waiting["job"]


def _waiting(cluster: Cluster, job: str) -> list[dict[str, Any]]:
    return [one for one in cluster.run("approvals", "--json").json if one["job"] == job]


def test_a_run_pauses_and_goes_on_with_what_was_edited(cluster: Cluster, tmp_path: Path) -> None:
    """Exit code 4 with the ask; it is listed; approved with an edit it ends, and nothing ran again."""
    with SimulatorProcess() as simulator:
        config = str(configuration(tmp_path, simulator))
        done, job = _pause(cluster, _flow(tmp_path), config)
        [waiting] = done.json["waiting"]
        [ask] = waiting["asks"]
        assert (ask["path"], ask["title"], ask["editable"]) == ("run/2", "Send it?", True)
        assert ask["show"] == ask["value"]
        [listed] = _waiting(cluster, job)
        assert listed["asks"] == waiting["asks"]
        shown = cluster.run("approvals")
        assert f"understudy approve {job}" in shown.out
        answer = cluster.run("approve", job, "--edit", '"x"', "--note", "well", "--json")
        assert answered(simulator) == 1
    assert answer.code == 0, answer.err + answer.out
    [result] = answer.json["results"]
    assert result["output"] == "sent: x"
    assert result["bill"]["calls"] == 1
    assert "edited: well" in {step["path"]: step["note"] for step in result["steps"]}["run/2"]
    assert (tmp_path / "book.txt").read_text() == "called\n"
    assert _waiting(cluster, job) == []


def test_a_rejection_is_a_failure_of_the_step(cluster: Cluster, tmp_path: Path) -> None:
    """Rejected, the step's policy says what follows: its default stands in, the note is told; no second answer."""
    with SimulatorProcess() as simulator:
        config = str(configuration(tmp_path, simulator))
        _, job = _pause(cluster, _flow(tmp_path, "{then: default, default: nothing}"), config)
        answer = cluster.run("reject", job, "--note", "too dear", "--json")
        assert answered(simulator) == 1
    assert answer.code == 0, answer.err + answer.out
    [result] = answer.json["results"]
    assert result["output"] == "sent: nothing"
    assert result["degraded"] is True
    assert "too dear" in {step["path"]: step["note"] for step in result["steps"]}["run/2"]
    again = cluster.run("approve", job)
    assert again.code == 2
    assert len(again.err.splitlines()) == 1, again.err


def test_several_runs_are_answered_one_by_one(cluster: Cluster, tmp_path: Path) -> None:
    """Two of three inputs ask: each is answered by its number, and the job goes on to its end with the last answer."""
    text = """
name: several
run:
  kind: chain
  steps:
    - {kind: approve, title: "{{ input }}?", value: "{{ input }}", when: "input != 'calm'"}
    - {kind: value, value: "{{ previous or 'calm' }}"}
"""
    flow, out = flow_file(tmp_path, text), tmp_path / "results.jsonl"
    inputs = lines_file(tmp_path, ["first", "calm", "last"])
    done = cluster.run("run", flow, "--inputs", inputs, "--out", str(out), "--json")
    assert done.code == 4, done.err + done.out
    waiting = {one["item"]: one for one in done.json["waiting"]}
    assert sorted(waiting) == [0, 2]
    assert [one["output"] for one in results_of(out)] == ["calm"]
    job = waiting[0]["job"]
    vague = cluster.run("approve", job)
    assert vague.code == 2, vague.out
    assert "name the item: waiting are 0, 2" in vague.err
    first = cluster.run("approve", job, "--item", "2", "--json")
    assert first.code == 4, first.err
    assert [one["item"] for one in first.json] == [0]
    last = cluster.run("reject", job, "--json")
    assert last.code == 3, last.err
    ended = {one["number"]: (one["output"], bool(one["error"])) for one in last.json["results"]}
    assert ended == {0: (None, True), 1: ("calm", False), 2: ("last", False)}


def test_what_people_read_of_an_ask(cluster: Cluster, tmp_path: Path) -> None:
    """Without a terminal the run ends with the ask and how to answer it; rejected without a policy it has failed."""
    with SimulatorProcess() as simulator:
        config = str(configuration(tmp_path, simulator))
        done = cluster.run("run", _flow(tmp_path), "--input", "words", "--config", config)
        assert done.code == 4, done.err
        assert "Send it?" in done.out
        job = next(word for word in done.out.split() if word.startswith("asked-"))
        assert f"understudy approve {job}" in done.out
        answer = cluster.run("reject", job, "--note", "no")
    assert answer.code == 3, answer.err + answer.out
    assert "failed: " in answer.out
    assert ": no" in answer.out


def test_an_unknown_job_is_one_clear_line(cluster: Cluster) -> None:
    """Approving what nobody knows: exit code 2 and a line that says so."""
    done = cluster.run("approve", "nobody-1234")
    assert done.code == 2, done.out
    [line] = done.err.splitlines()
    assert "nobody-1234" in line
    assert "waits for nobody" in line
