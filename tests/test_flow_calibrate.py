"""`understudy calibrate`: every rung of a ladder seen on labelled examples, and the threshold written into the file."""

import asyncio
import json
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest
from cluster_tools import Cluster
from matrix_tools import ENVIRON, KEY, account, picodollars, stage
from rich.console import Console

from understudy.cluster.flow_file import parse
from understudy.cluster.flows.calibrate import Options, calibrate
from understudy.cluster.flows.labelled import Correctness, Example, read
from understudy.cluster.flows.threshold import written
from understudy.cluster.simulator import Answer, ModelSettings, Settings, SimulatorProcess
from understudy.cluster.simulator.exam import Task, judged, right, truth
from understudy.cluster.simulator.exam import answer as exam_answer
from understudy.protocols.config import Config, encode
from understudy.protocols.errors import ConfigError, UsageError
from understudy.protocols.jobs import JobSpec
from understudy.protocols.messages import ItemDone
from understudy.protocols.workflow import Flow
from understudy.protocols.workflow import encode as encode_flow
from understudy.protocols.workflow.result import FlowResult
from understudy.protocols.workflow.spec import FlowSpec, item
from understudy.supervisors.calibration import Rung
from understudy.supervisors.calibration import calibrate as reference
from understudy.supervisors.patterns.interpreter import PATH, FlowInterpreter
from understudy.supervisors.workflow.probe import Seen, choose, probe, seen, spots

SEED = 11
SKILLS = {"small": 0.5, "best": 1.3, "judge": 1.0}
FLOW = """\
name: exam  # what it is for
run:
  kind: chain
  steps:
    # the ladder that is calibrated
    - kind: ladder   # cheap first
      rungs:
        - {kind: call, model: small, prompt: "{{ input }}", max_tokens: 60, output: &letter {type: object, properties: \
{answer: {enum: [A, B, C, D]}}, required: [answer], additionalProperties: false}}
        - {kind: call, model: best, prompt: "{{ input }}", max_tokens: 60, output: *letter}
      quality:
        judge:
          kind: call
          model: judge
          prompt: |-
            {{ input }}
            Candidate answer: {{ answer.answer }}
          max_tokens: 60
          output: {type: object, properties: {score: {type: number}}, required: [score], additionalProperties: false}
    - {kind: value, value: "{{ previous.answer }}"}  # what comes after is left out
"""


def interpreted(flow: Flow, config: Config) -> FlowInterpreter:
    """The interpreter of a workflow."""
    spec = msgspec.msgpack.encode(FlowSpec(encode_flow(flow)))
    return FlowInterpreter(JobSpec("j", "t", PATH, spec, encode(config)))


def over_sockets(
    flow: Flow, config: Config, options: Options, values: Sequence[Any], console: Console
) -> list[ItemDone]:
    """Runs the inputs in this process, over the transport."""
    del options, console

    async def run() -> list[ItemDone]:
        async with stage(config, ENVIRON) as opened:
            interpreter = interpreted(flow, config)
            works = (interpreter.map(number, item(value), opened.caller) for number, value in enumerate(values))
            return list(await asyncio.gather(*works))

    return asyncio.run(run())


def without_calls(
    flow: Flow, config: Config, options: Options, values: Sequence[Any], console: Console
) -> list[ItemDone]:
    """Runs a workflow that calls no model."""
    del options, console

    async def run() -> list[ItemDone]:
        interpreter = interpreted(flow, config)
        caller: Any = None
        return [await interpreter.map(number, item(value), caller) for number, value in enumerate(values)]

    return asyncio.run(run())


# On the simulator's exam ----------------------------------------------------------------------------------------------


def tasks(count: int) -> list[Task]:
    """Tasks of rising difficulty."""
    return [Task(f"t{number}", round(0.1 + 0.8 * number / count, 2), 4) for number in range(count)]


def text_of(task: Task) -> str:
    """A task as a prompt says it."""
    return f"Task {task.id} (difficulty {task.difficulty}, choices A-D): which is it?"


@pytest.fixture
def exam(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A simulator with three models of known skill; a folder with workflow, configuration and 300 labels."""
    monkeypatch.setenv("MATRIX_KEY", KEY)
    prices = {"small": 1, "best": 30, "judge": 2}
    models = {
        name: ModelSettings(skill=skill, input_price=Decimal(prices[name]), output_price=Decimal(prices[name] * 4))
        for name, skill in SKILLS.items()
    }
    with SimulatorProcess(Settings(seed=SEED, answer=Answer(mode="exam"), models=models)) as simulator:
        routes = {
            name: [{"account": "sim", "model": name, "price": {"input": price, "output": price * 4}}]
            for name, price in prices.items()
        }
        said = {"accounts": {"sim": account("openai", simulator.url, timeouts={"total_s": 20.0})}, "models": routes}
        (tmp_path / "understudy.yaml").write_text(json.dumps(said))
        (tmp_path / "flow.yaml").write_text(FLOW)
        labels = [{"input": text_of(task), "label": truth(SEED, task.id)} for task in tasks(300)]
        (tmp_path / "labels.jsonl").write_text("\n".join(map(json.dumps, labels)))
        yield tmp_path, simulator


def options_of(folder: Path, **fields: Any) -> Options:
    """What a test's command asks for."""
    said: dict[str, Any] = {
        "labelled": folder / "labels.jsonl",
        "config": folder / "understudy.yaml",
        "json": True,
    } | fields
    return Options(folder / "flow.yaml", **said)


def naive(task: Task) -> tuple[Rung, Rung]:
    """What both rungs make of a task, by the exam's own functions; the dear one costs ten times as much."""
    right_ = {name: right(SEED, name, task.id, SKILLS[name], task.difficulty) for name in ("small", "best")}
    letter = exam_answer(SEED, "small", task, SKILLS["small"])
    return Rung(judged(SEED, "judge", task, SKILLS["judge"], letter), right_["small"], 1), Rung(
        None, right_["best"], 10
    )


@pytest.mark.sockets
def test_a_threshold_is_found_on_labels_and_holds_in_the_ladder(exam: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """It is the one that the exam's own truth gives, costs are the ledger's, and the ladder then keeps both."""
    folder, simulator = exam
    options = options_of(folder, target=0.97, relative=True, answer="it.answer", write=True)
    assert calibrate(options, run=over_sockets) == 0
    told = json.loads(capsys.readouterr().out)
    expected = reference([naive(task) for task in tasks(300)], 0.97, delta=0.1, relative=True)
    spent = picodollars(simulator.ledger())
    assert len(simulator.ledger()) == 900
    assert float(told["spent"]) * 1e12 == pytest.approx(spent)
    found = [point for point in told["thresholds"] if point["threshold"] == told["threshold"]]
    assert found[0]["quality"] == told["quality"]
    assert told["written"]
    assert told["saving"] > 0.2
    assert told["threshold"] == expected.threshold
    assert told["quality"] == expected.quality
    assert told["share_low"] == expected.share_low
    assert told["n"] == 300

    text = (folder / "flow.yaml").read_text()
    assert [line for line in text.splitlines() if "threshold" not in line] == FLOW.splitlines()
    flow, _ = parse(text)
    simulator.control(reset_ledger=True)
    config = Config.model_validate_json((folder / "understudy.yaml").read_text())
    done = over_sockets(flow, config, options, [text_of(task) for task in tasks(300)], Console())
    said = [msgspec.msgpack.decode(one.data, type=FlowResult).value for one in done]
    correct = sum(one == truth(SEED, task.id) for one, task in zip(said, tasks(300), strict=True))
    assert correct / 300 == pytest.approx(told["quality"])
    assert picodollars(simulator.ledger()) / 1e12 == pytest.approx(float(told["cost"]))


@pytest.mark.sockets
def test_a_target_out_of_reach_is_told_and_nothing_is_written(exam: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 3, with what would help; the file stays as it is, and the table fits a terminal."""
    folder, _ = exam
    options = options_of(folder, target=0.999, answer="it.answer", write=True, json=False)
    assert calibrate(options, run=over_sockets) == 3
    out = capsys.readouterr().out
    assert "does not show 0.999" in " ".join(out.split())
    assert "last alone" in out
    assert max(map(len, out.splitlines())) <= 80
    assert (folder / "flow.yaml").read_text() == FLOW


# Without models -------------------------------------------------------------------------------------------------------


def value(template: str) -> dict[str, Any]:
    """A step that makes a value."""
    return {"kind": "value", "value": template}


def ladder(**fields: Any) -> dict[str, Any]:
    """Two rungs that say what the input says they do."""
    rungs = [value("{{ input.cheap }}"), value("{{ input.dear }}")]
    return {"kind": "ladder", "rungs": rungs, "quality": {"rule": "input.score"}, **fields}


def rungs_of(flow: Flow, given: Any, path: str = "") -> list[Seen] | None:
    """What the probe of a workflow shows of an input."""
    spot = choose(flow, path)
    [done] = without_calls(probe(flow, spot), Config(), None, [given], Console())  # type: ignore[arg-type]
    assert not done.error
    return seen(msgspec.msgpack.decode(done.data, type=FlowResult), spot.ladder)


GIVEN = {"cheap": "a", "dear": "b", "score": 0.25}
EXPECTED = [Seen("a", 0.25, 0), Seen("b", None, 0)]


@pytest.mark.parametrize(
    ("node", "path"),
    [
        (ladder(), "run"),
        ({"kind": "chain", "steps": [value("x"), ladder(id="it_is"), value("y")], "output": "z"}, "run/1"),
        ({"kind": "parallel", "branches": {"a": value("x"), "b": ladder()}}, "run/b"),
        (
            {"kind": "budget", "max_calls": 1, "node": {"kind": "timeout", "seconds": 9, "node": ladder()}},
            "run/node/node",
        ),
        ({"kind": "use", "flow": "inner"}, "run/inner"),
    ],
)
def test_a_ladder_is_seen_wherever_it_stands(node: dict[str, Any], path: str) -> None:
    """Whatever is around it: what comes before runs as it does, what comes after is left out."""
    flow = Flow.model_validate({"run": node, "flows": {"inner": ladder()}})
    assert rungs_of(flow, GIVEN, path) == EXPECTED
    spot = choose(flow, path)
    plain: Any = json.loads(encode_flow(flow))
    for key in spot.place:
        plain = plain[key]
    assert plain["kind"] == "ladder"


def test_steps_before_the_ladder_run_as_they_do() -> None:
    """The rungs and the judge know their outputs, and a sub-workflow that is used before stays what it is."""
    inner = {"kind": "chain", "steps": [ladder()]}
    steps = [
        {"kind": "use", "flow": "inner", "id": "first"},
        {"kind": "use", "flow": "inner", "with": {"cheap": "{{ first }}!", "dear": "c", "score": 1}},
    ]
    flow = Flow.model_validate({"run": {"kind": "chain", "steps": steps}, "flows": {"inner": inner}})
    assert [spot.path for spot in spots(flow)] == ["run/0/inner/0", "run/1/inner/0"]
    assert rungs_of(flow, GIVEN, "run/1/inner/0") == [Seen("b!", 1.0, 0), Seen("c", None, 0)]


def test_an_input_that_takes_another_branch_is_not_seen() -> None:
    """A route sends some inputs elsewhere: they say nothing about the ladder."""
    rules = [{"when": "input.cheap == 'a'", "to": "b"}]
    node = {"kind": "route", "rules": rules, "generalist": "a", "branches": {"a": value("x"), "b": ladder()}}
    flow = Flow.model_validate({"run": node})
    assert rungs_of(flow, GIVEN) == EXPECTED
    assert rungs_of(flow, {**GIVEN, "cheap": "z"}) is None


def test_a_rung_or_a_judge_that_fails_is_seen_as_the_ladder_sees_it() -> None:
    """No answer has no score; a judge that fails finds nothing good; a rule that fails leaves no answer."""
    flow = Flow.model_validate({"run": ladder(quality={"judge": value("{{ input.nothing.at.all }}")})})
    assert rungs_of(flow, GIVEN) == [Seen("a", 0.0, 0), Seen("b", None, 0)]
    assert rungs_of(flow, {"dear": "b"}) == [Seen(None, None, 0), Seen("b", None, 0)]
    assert rungs_of(Flow.model_validate({"run": ladder()}), {"cheap": "a", "dear": "b"}) == [
        Seen(None, None, 0),
        Seen("b", None, 0),
    ]
    judged_ = Flow.model_validate({"run": ladder(quality={"judge": value("{{ {'score': '0.5'} }}")})})
    assert rungs_of(judged_, GIVEN) == [Seen("a", 0.5, 0), Seen("b", None, 0)]


def test_samples_agree_as_in_the_ladder() -> None:
    """The score is how far the samples agree; calls of the second and later ones are made to differ."""
    flow = Flow.model_validate({"run": ladder(quality={"samples": 3})})
    assert rungs_of(flow, GIVEN) == [Seen("a", 1.0, 0), Seen("b", None, 0)]
    asked = {"kind": "chain", "steps": [{"kind": "call", "prompt": "x", "seed": 4}]}
    calls = Flow.model_validate({"run": {**ladder(quality={"samples": 3}), "rungs": [asked, value("b")]}})
    plain = json.loads(encode_flow(probe(calls, choose(calls, ""))))
    branches = plain["run"]["steps"][0]["branches"]
    found = [branches[f"rung_0_{place}"]["steps"][0]["steps"][0] for place in range(3)]
    assert [(one.get("seed"), one.get("temperature")) for one in found] == [(4, None), (5, 0.7), (6, 0.7)]


def test_which_ladder_is_asked_for() -> None:
    """One that is not there, none, several, or one in a loop: told with those there are."""
    two = Flow.model_validate({"name": "two", "run": {"kind": "chain", "steps": [ladder(), ladder()]}})
    with pytest.raises(UsageError, match="several ladders; name one by --step: run/0, run/1"):
        choose(two, "")
    with pytest.raises(UsageError, match=r"'run/2'.*did you mean"):
        choose(two, "run/2")
    with pytest.raises(UsageError, match="is not in it"):
        choose(Flow.model_validate({"run": value("x")}), "")
    loop = {"kind": "parallel", "over": "input", "each": ladder()}
    with pytest.raises(UsageError, match="inside a loop"):
        choose(Flow.model_validate({"run": loop}), "")


# Labels ---------------------------------------------------------------------------------------------------------------


def lines(folder: Path, *values: Any) -> Path:
    """A file of examples."""
    path = folder / "labels.jsonl"
    path.write_text("\n".join(one if isinstance(one, str) else json.dumps(one) for one in values))
    return path


def test_examples_are_read_with_their_lines(tmp_path: Path) -> None:
    """Empty lines count, so that a mistake is found where it is said to be."""
    path = lines(tmp_path, {"input": 1, "label": "a"}, "", {"input": 2, "label": "b", "more": 1})
    assert read(path, lambda _: "") == [Example(1, "a", 1), Example(2, "b", 3)]


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("no", r":1:\d+: not JSON"),
        ('{"input": 1}', ':1: must be a mapping with "input" and "label"'),
        ("", "no examples"),
    ],
)
def test_a_line_that_is_no_example_is_told(tmp_path: Path, line: str, text: str) -> None:
    """With file and line."""
    with pytest.raises(UsageError, match=text):
        read(lines(tmp_path, line), lambda _: "")
    with pytest.raises(UsageError, match=":1: it is too long"):
        read(lines(tmp_path, {"input": 1, "label": 1}), lambda _: "it is too long")
    with pytest.raises(UsageError, match="check the path given to --labelled"):
        read(tmp_path / "none", lambda _: "")


def test_an_answer_is_right_when_it_says_what_the_label_says() -> None:
    """Case, spacing and punctuation aside; of the output's part that is named; or by a condition of one's own."""
    assert Correctness()(" Paris. ", Example(0, "paris", 1))
    assert not Correctness()("Paris, France", Example(0, "paris", 1))
    assert Correctness()({"a": "X"}, Example(0, '{"a": "x"}', 1))
    assert Correctness(answer="it.a")({"a": "X"}, Example(0, "x", 1))
    assert Correctness(correct="label in it")("it is x", Example(0, "x", 1))
    broken = Correctness(answer="it.b.c")
    assert not broken({"a": 1}, Example(0, "x", 1))
    assert (broken.failed, broken.judged) == (1, 1)


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"answer": "it", "correct": "it"}, "give one of them"),
        ({"answer": "answer"}, "--answer: 'answer' is not known"),
        ({"correct": "it =="}, "--correct: .*no expression"),
    ],
)
def test_an_expression_that_can_not_judge_is_told(fields: dict[str, str], text: str) -> None:
    """Before anything is spent."""
    with pytest.raises(UsageError, match=text):
        Correctness(**fields)


def workflow(folder: Path, rule: str = "input.score") -> Path:
    """A workflow that needs no model, in a file."""
    path = folder / "flow.yaml"
    path.write_text(
        "run:\n  kind: ladder\n  threshold: 0.5  # by guess\n  rungs:\n"
        "    - {kind: value, value: '{{ input.cheap }}'}\n    - {kind: value, value: '{{ input.dear }}'}\n"
        f"  quality: {{rule: {rule}}}\n"
    )
    return path


def run_here(folder: Path, **fields: Any) -> int:
    """The command on a workflow without models."""
    said: dict[str, Any] = {"labelled": folder / "labels.jsonl", "target": 0.9, "json": True} | fields
    return calibrate(Options(folder / "flow.yaml", **said), run=without_calls)


def test_a_threshold_takes_the_place_of_the_one_that_was_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where the score tells right from wrong the threshold lies between; in the file one value changes."""
    before = workflow(tmp_path).read_text()
    examples = [
        {"input": {"cheap": "x" if place % 2 else "y", "dear": "x", "score": place % 2 * 0.5 + 0.25}, "label": "x"}
        for place in range(200)
    ]
    lines(tmp_path, *examples)
    assert run_here(tmp_path, write=True) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["threshold"] > 0.25
    text = (tmp_path / "flow.yaml").read_text()
    assert text == before.replace("threshold: 0.5 ", f"threshold: {told['threshold']:g} ")
    assert told["quality"] == 1.0


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"target": 1.0}, "--target 1: must be above 0 and below 1"),
        ({"confidence": 1.0}, "--confidence 1: must be between"),
        ({"concurrency": 0}, "--concurrency"),
        ({"answer": "it.nothing.at.all"}, "fits no output"),
    ],
)
def test_bad_options_are_told(tmp_path: Path, fields: dict[str, Any], text: str) -> None:
    """One line that says which option, and how to mend it."""
    workflow(tmp_path)
    lines(tmp_path, {"input": GIVEN, "label": "b"})
    with pytest.raises(UsageError, match=text):
        run_here(tmp_path, **fields)


def test_examples_that_never_come_to_the_ladder_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """All of them: bad input. Some of them: left out, and counted."""
    (tmp_path / "flow.yaml").write_text(
        "run:\n  kind: chain\n  steps:\n    - {kind: value, value: '{{ input.needed }}'}\n"
        "    - kind: ladder\n      rungs: [{kind: value, value: a}, {kind: value, value: b}]\n"
        "      quality: {rule: '1'}\n"
    )
    lines(tmp_path, {"input": {}, "label": "a"})
    with pytest.raises(UsageError, match="none of 1 examples came to the ladder at run/1: 1 failed"):
        run_here(tmp_path)
    lines(tmp_path, {"input": {}, "label": "a"}, *[{"input": {"needed": 1}, "label": "a"}] * 60)
    assert run_here(tmp_path, json=False) == 0
    out = capsys.readouterr().out
    assert "1 examples failed before the ladder" in out
    assert "--write puts it into the file" in out


# Writing --------------------------------------------------------------------------------------------------------------

RUNGS = "rungs: [{kind: value, value: a}, {kind: value, value: b}]"


@pytest.mark.parametrize(
    ("text", "place", "expected"),
    [
        (
            f"run:\n  kind: ladder # x\n  {RUNGS}\n",
            ("run",),
            f"run:\n  kind: ladder # x\n  threshold: 0.83\n  {RUNGS}\n",
        ),
        (
            f"run: {{kind: ladder, {RUNGS}}}\n",
            ("run",),
            f"run: {{kind: ladder, threshold: 0.83, {RUNGS}}}\n",
        ),
        (
            f"run: {{threshold: 0.7, kind: 'ladder', {RUNGS}}}",
            ("run",),
            f"run: {{threshold: 0.83, kind: 'ladder', {RUNGS}}}",
        ),
        (
            f'run:\r\n  kind: chain\r\n  steps:\r\n  -   {RUNGS}\r\n      kind: "ladder"\r\n',
            ("run", "steps", 0),
            f'run:\r\n  kind: chain\r\n  steps:\r\n  -   {RUNGS}\r\n      kind: "ladder"\r\n      threshold: 0.83\r\n',
        ),
        ("flows:\n  f:\n    kind: ladder", ("flows", "f"), "flows:\n  f:\n    kind: ladder\n    threshold: 0.83"),
    ],
)
def test_one_value_is_written_and_nothing_else_touched(text: str, place: tuple[str | int, ...], expected: str) -> None:
    """In blocks and in lines, with a threshold or without; comments and line ends stay."""
    assert written(text, place, 0.83) == expected


def test_a_ladder_whose_keys_come_from_elsewhere_is_not_written() -> None:
    """A merge key leaves no place for it: it is said what to write, and where."""
    text = f"x-base: &base\n  kind: ladder\n  {RUNGS}\nrun:\n  <<: *base\n  quality: {{rule: '1'}}\n"
    with pytest.raises(ConfigError, match=r"flow.yaml:5: .*write `threshold: 0.83` by hand"):
        written(text, ("run",), 0.83)


# On a cluster ---------------------------------------------------------------------------------------------------------


@pytest.mark.cluster
def test_the_commands_plan_and_calibrate(exam: Any, cluster: Cluster) -> None:
    """`run --plan` spends nothing; `calibrate` runs every rung as a job and writes the threshold."""
    folder, simulator = exam
    file = folder / "understudy.yaml"
    file.write_text(file.read_text().replace("MATRIX_KEY", "SIM_KEY"))  # what the session's cluster has
    paths = str(folder / "flow.yaml"), "--config", str(file), "--json"
    planned = cluster.run("run", *paths, "--plan", "--input", text_of(tasks(1)[0]))
    assert planned.code == 0, planned.err
    assert planned.json["most"]["calls"] == 6  # each of three answers by a schema may have to be mended once
    assert simulator.ledger() == []
    how = "--labelled", str(folder / "labels.jsonl"), "--target", "0.97", "--relative", "--answer", "it.answer"
    done = cluster.run("calibrate", *paths, *how, "--write")
    assert done.code == 0, done.err
    assert len(simulator.ledger()) == 900
    assert done.json["threshold"] == reference([naive(task) for task in tasks(300)], 0.97, relative=True).threshold
    assert f"threshold: {done.json['threshold']:g}" in (folder / "flow.yaml").read_text()
