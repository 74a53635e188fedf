"""Bad workflows by the command itself: one line with place and remedy, exit code 2, and nobody is asked or started.

The address of a cluster leads nowhere, so that a command which went on would fail by another cause.
"""

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from cluster_tools import COMMAND, Finished, configuration
from flow_runs import functions, lines_file

from understudy.cluster.simulator import SimulatorProcess

pytestmark = pytest.mark.sockets

HEAD = "name: bad\nrun:\n  kind: chain\n  steps:\n"
MISTAKES = {
    "unknown node": ("    - {kind: cal, prompt: x}", "5:14", "kind of step.*did you mean 'call'"),
    "missing branch": (
        (
            "    - kind: route\n      rules: [{when: 'true', to: nowhere}]\n      generalist: a\n"
            "      branches: {a: {kind: value, value: 1}}"
        ),
        "6:34",
        "no branch is called 'nowhere'",
    ),
    "missing generalist": (
        "    - kind: route\n      generalist: b\n      branches: {a: {kind: value, value: 1}}",
        "6:19",
        r"no branch is called 'b' \(defined: a\)",
    ),
    "cycle by reference": (
        "    - {kind: use, flow: a}\nflows:\n  a: {kind: use, flow: b}\n  b: {kind: use, flow: a}",
        r"\d+:\d+",
        "a.*b.*a",
    ),
    "unknown variable": ("    - {kind: call, prompt: 'Say {{ drafft }}'}", "5:20", "no step defines 'drafft'"),
    "unknown function": ("    - {kind: function, call: 'no_such_module_here:f'}", "5:24", "no_such_module_here"),
    "missing function": ("    - {kind: function, call: 'MODULE:nofe'}", "5:24", "nofe.*write it as module:function"),
    "impossible schema": (
        "    - kind: call\n      prompt: x\n      output: {type: integer, minimum: 5, maximum: 3}",
        r"7:\d+",
        "minimum|maximum",
    ),
    "unknown model": ("    - {kind: call, prompt: x, model: smal}", "5:31", "did you mean 'small'"),
    "unknown key": ("    - {kind: call, prompt: x, temprature: 1}", r"5:\d+", "did you mean 'temperature'"),
    "no YAML": ("    - {kind: call", r"\d+:\d+", "."),
}


@pytest.fixture(scope="module")
def simulator() -> Iterator[SimulatorProcess]:
    """One provider for all: its ledger stays empty."""
    with SimulatorProcess() as running:
        yield running


def command(folder: Path, *arguments: str) -> Finished:
    """Runs a command with a home of its own, and no cluster."""
    environ = {**os.environ, "UNDERSTUDY_HOME": str(folder / "home"), "RAY_ADDRESS": "127.0.0.1:1", "SIM_KEY": "k"}
    done = subprocess.run([*COMMAND, *arguments], env=environ, capture_output=True, text=True, timeout=60, check=False)
    return Finished(done.returncode, done.stdout, done.stderr)


@pytest.mark.parametrize("name", MISTAKES)
def test_a_bad_workflow_is_refused_with_its_place(simulator: SimulatorProcess, tmp_path: Path, name: str) -> None:
    """`FILE:line:column: where: what is wrong, and how to mend it`, in one line; nothing asked, nothing started."""
    text, place, says = MISTAKES[name]
    flow = tmp_path / "bad.yaml"
    flow.write_text(HEAD + text.replace("MODULE", functions(tmp_path)) + "\n")
    config = str(configuration(tmp_path, simulator))
    done = command(tmp_path, "run", str(flow), "--input", "x", "--config", config)
    assert done.code == 2, done.out
    [line] = done.err.splitlines()
    assert re.match(rf"^understudy: {flow}:{place}: ", line), line
    assert re.search(says, line), line
    assert done.out == ""
    assert simulator.ledger() == []
    assert not (tmp_path / "home" / "cluster.json").exists()


def test_a_workflow_that_is_not_there_or_wants_more(simulator: SimulatorProcess, tmp_path: Path) -> None:
    """No such file, no input where one is wanted, an input that does not fit, options that make no sense."""
    flow = tmp_path / "good.yaml"
    flow.write_text("name: good\ninput: {type: array}\nrun: {kind: call, prompt: '{{ input }}'}\n")
    config = ("--config", str(configuration(tmp_path, simulator)))
    given, lines = ("--input", "[1]"), lines_file(tmp_path, [[1]])
    refused = {
        (str(tmp_path / "no.yaml"), *config): "no.yaml",
        (str(flow), *config): "wants an input: give --input",
        (str(flow), "--input", "words", *config): "--input: ",
        (str(flow), *given, "--inputs", "x.jsonl", *config): "--input and --inputs",
        (str(flow), *given, "--max-cost", "0", *config): "--max-cost",
        (str(flow), *given, "--max-cost", "0.000000001", *config): "nothing was spent; raise --max-cost",
        (str(flow), *given, "--concurrency", "0", *config): "--concurrency",
        (str(flow), "--inputs", lines, "--out", lines, *config): "that is the file of the inputs",
        (str(flow), "--inputs", lines, "--out", "/no/such/folder/out", *config): "--out /no/such/folder/out: ",
        (str(flow), "--inputs", str(tmp_path / "no.jsonl"), *config): "check the path given to --inputs",
    }
    for arguments, says in refused.items():
        done = command(tmp_path, "run", *arguments)
        assert done.code == 2, (arguments, done.out, done.err)
        [line] = done.err.splitlines()
        assert says in line
    assert Path(lines).read_text() == "[1]\n"
    assert simulator.ledger() == []


def test_a_plan_needs_no_key_and_asks_nobody(simulator: SimulatorProcess, tmp_path: Path) -> None:
    """`--plan` tells calls and dollars as a table and as JSON, without an input and without a key."""
    flow = tmp_path / "good.yaml"
    flow.write_text("name: good\ninput: {type: string}\nrun: {kind: call, prompt: '{{ input }}'}\n")
    config = tmp_path / "understudy.yaml"
    config.write_text(configuration(tmp_path, simulator).read_text().replace("SIM_KEY", "NO_SUCH_KEY_HERE"))
    shown = command(tmp_path, "run", str(flow), "--plan", "--config", str(config))
    assert shown.code == 0, shown.err
    assert "about 1 calls" in shown.out
    told = command(tmp_path, "run", str(flow), "--plan", "--json", "--config", str(config))
    assert told.json["typical"]["calls"] == 1
    assert simulator.ledger() == []


def test_nobody_waits_where_nothing_runs(tmp_path: Path) -> None:
    """Without a cluster `approvals` is empty, and `approve` says so in a line; neither starts one."""
    environ = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
    environ["UNDERSTUDY_HOME"] = str(tmp_path / "home")
    for arguments, code, says in (
        (("approvals", "--json"), 0, "[]"),
        (("approvals",), 0, "nothing waits"),
        (("approve", "job-1"), 2, "no local cluster is running"),
        (("reject", "job-1"), 2, "no local cluster is running"),
    ):
        done = subprocess.run(
            [*COMMAND, *arguments], env=environ, capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == code, done.stderr
        assert says in done.stdout + done.stderr
    assert not (tmp_path / "home" / "cluster.json").exists()
