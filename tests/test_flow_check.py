"""Tests of checking workflows before anything is spent: each mistake with its place and remedy, and nothing else."""

import json
from pathlib import Path
from typing import Any

import pytest
from flow_nodes import call, chain, each, evaluate, flow, many, route, value

from understudy.cluster.flows.validate import run, validate
from understudy.protocols.config import Config
from understudy.protocols.errors import ConfigError
from understudy.protocols.workflow import Flow
from understudy.supervisors.workflow.check import check, check_input

CONFIG = Config.model_validate(
    {
        "accounts": {"open": {"kind": "openai"}},
        "models": {"fast": {"candidates": [{"account": "open", "model": "m"}]}},
    }
)
LABEL = {"type": "object", "properties": {"label": {"type": "string"}}, "required": ["label"]}
SCORE = {"type": "object", "properties": {"score": {"type": "number"}}, "required": ["score"]}


def told(one: Flow, config: Config | None = CONFIG) -> list[str]:
    """All flaws as `path: text`, sorted."""
    return sorted("/".join(map(str, flaw.path)) + ": " + flaw.text for flaw in check(one, config))


FINE = [
    call("{{ input }} {{ previous }} {{ steps }} {{ range(3) }}"),
    chain(
        call("x", id="a", output=LABEL),
        value("{{ a.label }} {{ previous.label }} {{ steps.a.state }}"),
        output="{{ a }}",
    ),
    chain(value("{% for p in input %}{{ p.x }}{% endfor %}{% set q = 1 %}{{ q.y }}", id="a"), value("{{ a }}")),
    chain(value({"x": 1}, id="a"), value("{{ a.x }} {{ a.items() }}", gate={"stop": "it", "reason": "{{ it }}"})),
    chain(call("x", id="a"), value("{{ a.upper() }} {{ a | length }}")),
    chain(value(1, undo=value("{{ it }} {{ input }}")), value(2, on_error="compensate")),
    value("{{ 1 / 0 }}", on_error={"then": "default", "default": "{{ error }}"}),
    value(1, on_error={"then": "alternative", "alternative": value("{{ error }} {{ input }}")}),
    each(value("{{ item }} {{ index }}"), then=value("{{ results }} {{ errors }}")),
    each(each(value("{{ inner }} {{ item }}"), **{"as": "inner"})),
    {"kind": "parallel", "branches": {"a": value(), "b": value()}, "then": value("{{ results.a }} {{ results.b }}")},
    many(),
    many("collapse", collapse=call("{{ previous }}")),
    many("tree", reduce=call("{{ folder }} {{ parts }}")),
    many("refine", reduce=call("{{ draft }} {{ chunk }}")),
    many(chunk={"tokens": 100}, map=call("{{ chunk.text }} {{ chunk.first_line }}")),
    {
        "kind": "map_reduce",
        "variant": "rerank",
        "map": call("{{ chunk }}", output=SCORE),
        "judge": call("{{ candidates }}"),
    },
    {"kind": "ladder", "rungs": [value(), value()], "quality": {"judge": call("{{ answer }}")}},
    {"kind": "ladder", "rungs": [value(), value()], "quality": {"rule": "answer > 0"}},
    {"kind": "consensus", "voters": {"a": value(), "b": value()}, "ensemble": call("{{ votes.a }} {{ votes }}")},
    evaluate(),
    {
        "kind": "orchestrate",
        "plan": call("{{ input }}"),
        "workers": {"w": call("{{ task }}")},
        "then": call("{{ tasks }} {{ results }} {{ errors }}"),
    },
    route(branches={"a": value("{{ route }} {{ history }}")}, feedback={"until": "it == 1 and history | length > 1"}),
    route(branches={"a": {"kind": "escalate", "reason": "{{ input }}"}}, escalate=value("{{ escalation.reason }}")),
    {"kind": "approve", "value": "{{ input }}"},
    {"kind": "function", "call": "textwrap:dedent", "args": {"text": "{{ input }}"}},
    call("x", model="auto"),
]


@pytest.mark.parametrize("node", FINE, ids=lambda node: json.dumps(node)[:60])
def test_what_is_right_is_not_refused(node: dict[str, Any]) -> None:
    """Each pattern's own names are known where they are defined, and only there."""
    assert told(flow(node)) == []


WRONG = [
    # Names.
    (call("{{ inptu }}"), "run/prompt: no step defines 'inptu' (did you mean 'input'?)"),
    (
        chain(value("{{ b }}", id="a"), value(1, id="b")),
        "run/steps/0/value: no step defines 'b' (defined: input, previous, st",
    ),
    (chain(value("{{ a }}", id="a")), "run/steps/0/value: no step defines 'a'"),
    (chain(chain(value(1, id="a")), value("{{ a }}")), "run/steps/1/value: no step defines 'a'"),
    (
        {"kind": "parallel", "branches": {"x": chain(value(1, id="a"), value()), "y": value("{{ a }}")}},
        "run/branches/y/value: no step defines 'a'",
    ),
    (
        chain({"kind": "parallel", "branches": {"x": value(1, id="a")}}, value("{{ a }}")),
        "run/steps/1/value: no step defines",
    ),
    (value({"a": ["{{ x }}"]}), "run/value/a: no step defines 'x'"),
    (value(1, when="itme"), "run/when: no step defines 'itme'"),
    (each(value("{{ item }}"), then=value("{{ item }}")), "run/then/value: no step defines 'item'"),
    (each(value("{{ item }}"), over="inputs"), "run/over: no step defines 'inputs' (did you mean 'input'?)"),
    (many(reduce=call("{{ chunk }} {{ parts }}")), "run/reduce/prompt: no step defines 'chunk'"),
    (many("refine", reduce=call("{{ draft }} {{ chunk }} {{ parts }}")), "run/reduce/prompt: no step defines 'parts'"),
    (value("{{ error }}", on_error={"then": "default", "default": 1}), "run/value: no step defines 'error'"),
    (chain(value(1, gate={"stop": "it", "reason": "{{ x }}"})), "run/steps/0/gate/reason: no step defines 'x'"),
    (value("{{ steps.nope.state }}"), "run/value: no step has the id 'nope'"),
    # Attributes.
    (
        chain(call("x", id="a", output=LABEL), value("{{ a.labell }}")),
        "run/steps/1/value: `a.labell`: 'a' has no 'labell' (did",
    ),
    (chain(call("x", id="a", output=LABEL), value("{{ a['labell'] }}")), "run/steps/1/value: `a.labell`: 'a' has no"),
    (
        chain(call("x", id="a"), value("{{ a.label }}")),
        "run/steps/1/value: `a.label`: 'a' is a text and has no 'label'; give",
    ),
    (evaluate(evaluate=call("{{ draft }}")), "run/accept: `verdict.accept`: 'verdict' is a text and has no 'accept'"),
    (
        {"kind": "parallel", "branches": {"a": value()}, "then": value("{{ results.b }}")},
        "run/then/value: `results.b`: 'results' has no 'b' (defined: a)",
    ),
    (many("rerank", reduce=None, map=call("{{ chunk }}")), "run/score: `it.score`: 'it' is a text and has no 'score'"),
    # Templates.
    (call("a\n{{ x"), "run/prompt: is no template: unexpected end of template"),
    (call("a\n{% if input %}\n"), "run/prompt: is no template: Unexpected end of template."),
    (call("{{ input | nofilter }}"), "run/prompt: is no template: No filter named 'nofilter'"),
    (value(1, when="input ==", id="a"), "run/when: 'input ==' is no expression"),
    (value(1, when="{{ input }}"), "run/when: must be an expression without braces"),
    # Ids.
    (chain(value(1, id="a"), value(2, id="a")), "run/steps/1/id: 'a' is the id of steps[0] as well; choose another"),
    (
        chain(value(1, id="a"), chain(value(2, id="a"))),
        "run/steps/1/steps/0/id: 'a' is already the name of something here",
    ),
    (each(chain(value("{{ item }}", id="item"))), "run/each/steps/0/id: 'item' is already the name of something here"),
    (
        many("refine", map=call("{{ draft }}"), reduce=call("{{ draft }}"), **{"as": "draft"}),
        "run/as: can't be 'draft'",
    ),
    # What is ignored.
    (many(map=call("x")), "run/map: never mentions `chunk`"),
    (many(reduce=call("x")), "run/reduce: never mentions `parts`"),
    (many("refine", reduce=call("{{ chunk }}")), "run/reduce: never mentions `draft`"),
    (many("refine", reduce=call("{{ draft }}")), "run/reduce: never mentions `chunk`"),
    (many("collapse", collapse=call("x")), "run/collapse: never mentions `parts`"),
    (many(reduce={"kind": "use", "flow": "f"}), "run/reduce: never mentions `parts`"),
    (evaluate(evaluate=value({"accept": True})), "run/evaluate: never mentions `draft`"),
    (
        {"kind": "ladder", "rungs": [value(), value()], "quality": {"judge": call("?")}},
        "run/quality/judge: never mentions `answer`",
    ),
    # Where they lead.
    ({"kind": "escalate", "reason": "x"}, "run: no route around it has `escalate`"),
    (route(branches={"a": {"kind": "escalate", "reason": "x"}}), "run/branches/a: no route around it has `escalate`"),
    (route(escalate={"kind": "escalate", "reason": "x"}), "run/escalate: no route around it has `escalate`"),
    (value(1, gate={"stop": "it"}), "run/gate: is never looked at"),
    (each(value("{{ item }}", gate={"stop": "it"})), "run/each/gate: is never looked at"),
    (chain(value(1, undo=value())), "run/steps/0/undo: is never run: no step has `on_error: compensate`"),
    (
        chain(value(1, undo={"kind": "approve"}), value(1, on_error="compensate")),
        "run/steps/0/undo: can't stand in an `undo`",
    ),
    ({"kind": "use", "flow": "ff"}, "run/flow: no flow is called 'ff' (did you mean 'f'?)"),
    # Outside.
    (call("x", model="fasst"), "run/model: no route is called 'fasst' (did you mean 'fast'?)"),
    (route(model="nope"), "run/model: no route is called 'nope' (defined: auto, fast)"),
    ({"kind": "function", "call": "textwrap:dedentt"}, "run/call: 'textwrap:dedentt' can't be imported"),
    (
        {"kind": "function", "call": "no_such_module:f"},
        "run/call: 'no_such_module:f' can't be imported: No module named",
    ),
    ({"kind": "function", "call": "textwrap:dedent"}, "run/args: textwrap:dedent needs the argument 'text'; give it"),
    (
        {"kind": "function", "call": "textwrap:dedent", "args": {"txt": 1, "text": "x"}},
        "run/args/txt: textwrap:dedent has no such argument (did you mean 'text'?)",
    ),
    ({"kind": "function", "call": "string:digits"}, "run/call: 'string:digits' is no function"),
    (call("x", output="textwrap:TextWrapper"), "run/output: 'textwrap:TextWrapper' is no pydantic model"),
    (call("x", output={"type": "objct"}), "run/output: is no JSON Schema (at type)"),
    (call("x", output={"$ref": "https://example.com/schema"}), "run/output: is no JSON Schema"),
    (
        call(
            "x",
            output={
                "type": "object",
                "properties": {"a": {"type": "integer", "minimum": 2, "maximum": 1}},
                "required": ["a"],
            },
        ),
        "run/output/properties/a: no answer can ever fit it: no whole number lies between minimum 2 and maximum 1",
    ),
]


@pytest.mark.parametrize(("node", "flaw"), WRONG, ids=lambda one: one[:60] if isinstance(one, str) else "")
def test_each_mistake_is_told(node: dict[str, Any], flaw: str) -> None:
    """Each mistake has its place and its remedy, and is the only one that is told."""
    node = {key: one for key, one in node.items() if one is not None}
    [line] = told(flow(node, flows={"f": value("{{ input }}")}))
    assert line.startswith(flaw)


def test_circle_of_flows_is_named() -> None:
    """Flows that use each other without an end are refused, with the whole circle, once."""
    use = {"kind": "use"}
    flows = {
        "a": {**use, "flow": "b"},
        "b": chain({**use, "flow": "c"}),
        "c": each({**use, "flow": "a", "with": "{{ item }}"}),
    }
    [line] = told(flow({**use, "flow": "a"}, flows=flows))
    assert line.startswith("flows/c/each/flow: the flows use each other in a circle: a -> b -> c -> a;")


def test_escalation_is_followed_through_flows() -> None:
    """A flow may hand a case up where each of its users takes it, and is refused where one does not."""
    flows = {"hard": {"kind": "escalate", "reason": "x"}}
    use = {"kind": "use", "flow": "hard"}
    taken = route(branches={"a": use}, escalate=value())
    assert told(flow(taken, flows=flows)) == []
    [line] = told(flow(chain(taken, use), flows=flows))
    assert line.startswith("flows/hard: no route around it has `escalate`")


def test_a_flow_sees_its_own_input_alone() -> None:
    """What its user knows is not known in a sub-workflow."""
    [line] = told(flow(chain(value(1, id="a"), {"kind": "use", "flow": "f"}), flows={"f": value("{{ a }}")}))
    assert line.startswith("flows/f/value: no step defines 'a'")


def test_attributes_of_inputs_that_may_have_more() -> None:
    """An attribute that an open schema does not list is only refused where it looks mistyped."""
    given = {"type": "object", "properties": {"title": {"type": "string"}}}
    assert told(flow(value("{{ input.body }}"), input=given)) == []
    [line] = told(flow(value("{{ input.titel }}"), input=given))
    assert line.endswith("'input' has no 'titel' (did you mean 'title'?)")
    [line] = told(flow(value("{{ input.body }}"), input={**given, "additionalProperties": False}))
    assert line.endswith("'input' has no 'body' (defined: title)")


def test_nothing_is_imported_unless_it_may_be() -> None:
    """Without `importing` the code of others is not run."""
    one = flow(chain({"kind": "function", "call": "no_such_module:f"}, call("x", output="no_such_module:M", id="a")))
    assert check(one, CONFIG, importing=False) == []
    assert len(check(one, CONFIG)) == 2


def test_inputs_are_checked() -> None:
    """An input is compared with the schema, or the model, that the workflow names."""
    one = flow(value(), input={"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]})
    assert check_input(one, {"n": 1}) == ""
    assert check_input(one, {"n": "1"}).startswith("input.n: ")
    assert check_input(one, {}).startswith("input: ")
    assert check_input(flow(value()), {"any": 1}) == ""
    model = flow(value(), input="understudy.protocols.accounts:Limits")
    assert check_input(model, {"rpm": 5}) == ""
    assert check_input(model, {"rpm": 0}).startswith("input.rpm: ")


# The command ----------------------------------------------------------------------------------------------------------


def test_command_tells_every_mistake(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Mistakes are told a line each, in their order; as JSON with their places; a workflow without any is summed up."""
    path = tmp_path / "flow.yaml"
    path.write_text(
        'run:\n  kind: chain\n  steps:\n    - {kind: call, prompt: "{{ x }}"}\n    - {kind: use, flow: f}\n', "utf-8"
    )
    assert run(path) == 2
    out = capsys.readouterr()
    assert out.out == ""
    assert [line.removeprefix(f"{path}:").split(": ")[0] for line in out.err.splitlines()] == ["4:20", "5:19"]
    assert run(path, json=True) == 2
    first, second = json.loads(capsys.readouterr().out)
    assert first["path"] == "run.steps[0].prompt"
    assert (second["line"], second["column"], second["path"]) == (5, 19, "run.steps[1].flow")
    path.write_text("run: {kind: call, prompt: x}\n", "utf-8")
    assert run(path) == 0
    assert capsys.readouterr().out == f"{path}: fine: 1 step, 1 call, 1 model (extractive)\n"
    assert run(path, json=True) == 0
    assert json.loads(capsys.readouterr().out) == []


def test_modules_beside_the_file_are_found(tmp_path: Path) -> None:
    """A function in a module beside the workflow can be named; a module that breaks when imported is told."""
    (tmp_path / "beside_the_flow.py").write_text("def shout(text: str) -> str:\n    return text.upper()\n", "utf-8")
    (tmp_path / "broken_beside.py").write_text("raise RuntimeError('no')\n", "utf-8")
    path = tmp_path / "flow.yaml"
    path.write_text('run: {kind: function, call: "beside_the_flow:shout", args: {text: "{{ input }}"}}\n', "utf-8")
    assert validate(path, CONFIG).run.kind == "function"
    path.write_text('run: {kind: function, call: "broken_beside:shout"}\n', "utf-8")
    with pytest.raises(
        ConfigError, match=r"1:23: run\.call: 'broken_beside:shout' can't be imported: RuntimeError: no$"
    ):
        validate(path, CONFIG)


def test_first_mistake_is_raised_with_the_number_of_others(tmp_path: Path) -> None:
    """Who runs a workflow gets one line, as for a configuration."""
    path = tmp_path / "flow.yaml"
    path.write_text('run: {kind: call, prompt: "{{ x }}", model: nope}\n', "utf-8")
    with pytest.raises(ConfigError, match=r"flow\.yaml:1:19: run\.prompt: no step defines 'x' .* \(and 1 more\)$"):
        validate(path, CONFIG)
