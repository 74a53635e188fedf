"""Tests of workflow files: what is read, the one line that a mistake becomes, and that what is written reads back."""

from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
from flow_trees import flows
from hypothesis import HealthCheck, given, settings

from understudy.cluster.flow_file import dump, flow_of, load, parse, schema
from understudy.cluster.yaml_file import read_yaml
from understudy.protocols.errors import ConfigError
from understudy.protocols.workflow import Chain, Flow
from understudy.protocols.workflow.nodes import KINDS

SAMPLE = """\
x-strict: &strict {type: object, properties: {label: {type: string}}, required: [label], additionalProperties: false}
name: triage
run:
  kind: chain
  steps:
    - kind: call
      id: classify
      prompt: |
        Which kind of issue is it?
        {{ input }}
      output: *strict
    - kind: parallel
      as: word
      over: "[1, 2]"
      each: {kind: value, value: "{{ word }} {{ index }}"}
      on_error: skip
    - {kind: use, flow: other, with: "{{ classify.label }}"}
flows:
  other: {kind: value, value: 2024-01-01}
"""

JUDGE = jsonschema_rs.validator_for(schema(), offline=True)
STEP = """\
run:
  kind: chain
  steps:
    - %s
"""


def mistake(text: str) -> str:
    """The line that a mistaken file becomes."""
    with pytest.raises(ConfigError) as caught:
        parse(text)
    message = str(caught.value)
    assert "\n" not in message
    return message


def mistakes(text: str) -> list[str]:
    """All lines that a mistaken file becomes."""
    document = read_yaml(text, "flow.yaml")
    found = flow_of(document)
    assert isinstance(found, list)
    return [one.told("flow.yaml") for one in found]


def test_sample_is_read() -> None:
    """A file with anchors, blocks, aliases of keys and a word as a policy is read as it says."""
    flow, document = parse(SAMPLE)
    assert isinstance(flow.run, Chain)
    first, second, _ = flow.run.steps
    assert first.id == "classify"
    assert second.on_error is not None
    assert second.on_error.then == "skip"
    assert flow.flows["other"].value == "2024-01-01"  # type: ignore[union-attr]
    assert document.place(("run", "steps", 1, "each", "value")) == (15, 27)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("run: {kind: cal}", "1:13: run.kind: no kind of step is called 'cal' (did you mean 'call'?)"),
        ("run: {}", "1:1: run.kind: is missing: say which kind of step it is, one of call, function, value"),
        ("run: {prompt: hi}", "1:1: run.kind: is missing: write `kind: call`, whose keys these are"),
        ("run: {kind: [x]}", "1:13: run.kind: must be text: one of call, function"),
        ("run: call", "1:6: run: must be a step: a mapping with a `kind`, such as `kind: call`"),
        ("run:", "1:5: run: must be a step: a mapping with a `kind`"),
        ("name: x", "1:1: run: is missing"),
        ("kind: call\nprompt: x", "1:1: kind: a step can't stand alone; put it under `run:`"),
        ("accounts: {}\nmodels: {}", "1:1: accounts: this is a configuration and no workflow; give it by --config"),
        ("run: {kind: value, value: .nan}", "1:20: run.value: must be a finite number"),
        ("{}", "1:1: run: is missing"),
        ("[1]", "1:1: must be a mapping with keys such as name and run"),
        ("runs: {kind: value, value: 1}", "1:1: runs: unknown key (did you mean 'run'?) (and 1 more)"),
        ("run: {kind: value, value: 1}\nflows: {a b: {kind: value, value: 1}}", "2:9: flows.a b: must be letters"),
        ("run: {kind: value, value: 1}\ninput: 3", "2:8: input: must be a JSON Schema (a mapping), or module:Model"),
        ("run: {kind: value, value: 1}\nmax_cost: 0", "2:11: max_cost: must be greater than 0"),
        ("run: {kind: value\n", "2:1: not YAML"),
        ("run: {kind: value, kind: call}", "1:20: duplicate key 'kind'; keep one"),
    ],
)
def test_mistakes_in_a_flow(text: str, line: str) -> None:
    """Each mistake is one line with its place, its key, what is wrong and how to mend it."""
    assert mistake(text).startswith(f"flow.yaml:{line}")


@pytest.mark.parametrize(
    ("step", "line"),
    [
        ("{kind: call, promt: hi}", "4:20: run.steps[0].promt: unknown key (did you mean 'prompt'?)"),
        ("{kind: value, value: 1, zzz: 1}", "4:31: run.steps[0].zzz: unknown key; known here: value"),
        ("{kind: call}", "4:7: run.steps[0].prompt: is missing: a call has a `prompt`, or `messages`"),
        ("{kind: call, prompt: 1}", "4:28: run.steps[0].prompt: must be text; put it into quotes"),
        ('{kind: call, prompt: x, stream: "yes"}', "4:39: run.steps[0].stream: must be true or false"),
        ('{kind: call, prompt: x, max_tokens: "3"}', "4:43: run.steps[0].max_tokens: must be a whole number"),
        ("{kind: call, prompt: x, output: [1]}", "4:39: run.steps[0].output: must be a JSON Schema (a mapping), or"),
        ("{kind: call, prompt: x, overflow: cut}", "4:41: run.steps[0].overflow: must be 'fail', 'larger'"),
        ("{kind: value, value: 1, on_error: skp}", "4:41: run.steps[0].on_error: must be 'fail', 'skip', 'default'"),
        ("{kind: value, value: 1, on_error: 3}", "4:41: run.steps[0].on_error: must be a word, such as `skip`, or a"),
        (
            "{kind: value, value: 1, on_error: {the: skip}}",
            "4:42: run.steps[0].on_error.the: unknown key (did you mean 'then'?)",
        ),
        ("{kind: value, value: 1, on_error: default}", "4:41: run.steps[0].on_error: is missing: `then: default`"),
        ("{kind: value, value: 1, id: input}", "4:35: run.steps[0].id: can't be 'input': templates know that name"),
        ("{kind: value, value: 1, gate: {}}", "4:31: run.steps[0].gate.stop: is missing"),
        ("{kind: parallel, branches: {}}", "4:34: run.steps[0].branches: is missing: name `branches`, or a list"),
        (
            "{kind: parallel, branches: {call: {kind: cal}}}",
            "4:48: run.steps[0].branches.call.kind: no kind of step is called 'cal'",
        ),
        (
            "{kind: parallel, branches: {0x: {kind: value, value: 1}}}",
            "4:35: run.steps[0].branches.0x: must be letters, digits and '_', with a letter first",
        ),
        (
            "{kind: parallel, over: x, as: index, each: {kind: value, value: 1}}",
            "4:37: run.steps[0].as: can't be 'index': that is the item's number",
        ),
        ("{kind: function, call: nope}", "4:30: run.steps[0].call: must be an import path, such as package.module"),
        ("{kind: use, flow: x, with_: 1, with: 2}", "4:28: run.steps[0].with_: unknown key (did you mean 'with'?)"),
        (
            "{kind: route, branches: {a: {kind: value, value: 1}}, rules: [{when: x, to: b}]}",
            "4:83: run.steps[0].rules[0].to: no branch is called 'b' (defined: a)",
        ),
        (
            "{kind: ladder, rungs: [{kind: value, value: 1}], quality: {rule: x}}",
            "4:29: run.steps[0].rungs: must have 2 or more; it has 1",
        ),
        (
            "{kind: ladder, rungs: [{kind: value}, {kind: value, value: 1}], quality: {rule: x}}",
            "4:30: run.steps[0].rungs[0].value: is missing",
        ),
    ],
)
def test_mistakes_in_a_step(step: str, line: str) -> None:
    """Mistakes below a step are told by the keys that the file has, without what pydantic puts between."""
    assert mistake(STEP % step).startswith(f"flow.yaml:{line}")


def test_all_mistakes_are_known() -> None:
    """Each mistake is told once, by line, and a list is not called short since one in it is wrong."""
    text = STEP % "{kind: valu}\n    - {kind: call, prompt: [], output: 3}\n    - {kind: value}"
    assert [line.split(": ", 1)[0] for line in mistakes(text)] == [
        "flow.yaml:4:14",
        "flow.yaml:5:28",
        "flow.yaml:5:40",
        "flow.yaml:6:7",
    ]


def test_a_secret_in_the_wrong_place_is_not_repeated() -> None:
    """What stands where a kind should is not told again when it is long: it may be a key."""
    assert "sk-" not in mistake("run: {kind: sk-0123456789abcdef0123456789abcdef}")


def test_deep_nesting_is_refused_in_words() -> None:
    """A file that nests deeper than anybody writes is refused, not crashed on."""
    text = "run: " + "{kind: retry, node: " * 200 + "{kind: value, value: 1}" + "}" * 200
    assert "nested too deeply" in mistake(text)


def test_twenty_chains_in_each_other_are_read() -> None:
    """Steps nest as deep as a person may want."""
    text = "run: " + "{kind: chain, steps: [" * 20 + "{kind: value, value: 1}" + "]}" * 20
    assert isinstance(parse(text)[0].run, Chain)


def test_file_is_loaded(tmp_path: Path) -> None:
    """A file is read from its path, and one that is not there is named."""
    path = tmp_path / "flow.yaml"
    path.write_text(SAMPLE, encoding="utf-8")
    assert load(path)[0] == parse(SAMPLE)[0]
    with pytest.raises(ConfigError, match=r"nope\.yaml: no such file; check the path given to the command"):
        load(tmp_path / "nope.yaml")
    with pytest.raises(ConfigError, match=r"is a folder; give the file$"):
        load(tmp_path)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(flows())
def test_what_is_written_reads_back(flow: Flow) -> None:
    """A workflow of whatever kinds, written as YAML, reads back as an equal one, and is written alike again."""
    text = dump(flow)
    again, _ = parse(text)
    assert again == flow
    assert dump(again) == text


def test_prompts_of_several_lines_stand_as_blocks() -> None:
    """A long prompt is written as its author would write it."""
    text = dump(parse(SAMPLE)[0])
    assert "prompt: |\n" in text
    assert "  Which kind of issue is it?\n" in text
    assert "&" not in text


def validator() -> Any:
    """Of the JSON Schema."""
    jsonschema = pytest.importorskip("jsonschema")
    drawn = schema()
    jsonschema.Draft202012Validator.check_schema(drawn)
    return jsonschema.Draft202012Validator(drawn)


def test_sample_fits_the_schema() -> None:
    """The JSON Schema is a valid one, accepts the sample with its aliases and anchors, and refuses what is wrong."""
    judge = validator()
    sample = read_yaml(SAMPLE, "x").plain
    judge.validate({**sample, "x-any": 1})
    assert schema()["title"] == "understudy workflow"
    assert not judge.is_valid({"run": {"prompt": "x"}})
    assert not judge.is_valid({"run": {"kind": "call", "promt": "x"}})
    assert not judge.is_valid({"run": {"kind": "value", "value": 1, "on_error": "skp"}})


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(flows())
def test_whatever_is_read_fits_the_schema(flow: Flow) -> None:
    """An editor with the schema finds no fault with a workflow whose form is right."""
    JUDGE.validate(flow.model_dump(mode="json", exclude_unset=True, by_alias=True))


def test_every_key_of_the_schema_has_a_description() -> None:
    """An editor that uses the schema can explain each key of each kind."""
    parts = schema()["$defs"]
    for model in KINDS.values():
        for key, value in parts[model.__name__]["properties"].items():
            assert value.get("description") or key == "kind", f"{model.__name__}.{key}"
