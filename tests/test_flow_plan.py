"""Plans of workflows: their laws, their bounds, and what the simulator's ledger says of them."""

import io
import math
from datetime import UTC, datetime
from typing import Any

import msgspec
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matrix_tools import account, configuration, picodollars, stage
from rich.console import Console

from understudy.actors.prices import PriceBook
from understudy.cluster.flows.plan import as_json, number, planned, show
from understudy.cluster.simulator import Answer, Settings, SimulatorProcess
from understudy.protocols.accounts import Limits
from understudy.protocols.config import Config, encode
from understudy.protocols.errors import ConfigError
from understudy.protocols.jobs import JobSpec
from understudy.protocols.workflow import Flow
from understudy.protocols.workflow import encode as encode_flow
from understudy.protocols.workflow.nodes import ADAPTER
from understudy.protocols.workflow.spec import FlowSpec, item
from understudy.supervisors.forecast import Demand, bounds
from understudy.supervisors.patterns.chunks import rough_size
from understudy.supervisors.patterns.interpreter import PATH, FlowInterpreter
from understudy.supervisors.workflow import templates
from understudy.supervisors.workflow.plan import Plan, Sum, dearest, plan
from understudy.supervisors.workflow.plan_guess import ITEMS, MOST_ITEMS, Both, Guess, bound, guessed
from understudy.supervisors.workflow.plan_load import makespan
from understudy.supervisors.workflow.plan_many import stretches

PRICES = {"small": {"input": 1, "output": 2}, "large": {"input": 10, "output": 20}}
NOW = datetime(2026, 11, 1, tzinfo=UTC)


def config(**account: Any) -> Config:
    """Routes `small` (first) and `large` at one account: 1 and 4 s a call."""
    models = {
        name: {"candidates": [{"account": "a", "model": name, "price": price, "window": 16_000, "latency_s": latency}]}
        for (name, price), latency in zip(PRICES.items(), (1.0, 4.0), strict=True)
    }
    return Config.model_validate({"accounts": {"a": account}, "models": models})


def plan_of(node: Any, *values: Any, settings_: Config | None = None, **said: Any) -> Plan:
    """The plan of a workflow with this one step."""
    own = settings_ or config()
    fields = {name: said.pop(name) for name in ("flows", "max_cost", "deadline_s", "input") if name in said}
    return plan(
        Flow.model_validate({"run": node, **fields}),
        own,
        PriceBook(own, at=NOW),
        values=values or ("some words",),
        **said,
    )


def call(prompt: str = "Say {{ input }}", **fields: Any) -> dict[str, Any]:
    """A call of a hundred tokens at most."""
    return {"kind": "call", "prompt": prompt, "max_tokens": 100, **fields}


def under(one: Sum, other: Sum) -> bool:
    """True when one sum is nowhere more than the other."""
    pairs = [
        (one.calls, other.calls),
        (one.input_tokens, other.input_tokens),
        (one.output_tokens, other.output_tokens),
        (one.cost, other.cost),
        (one.seconds, other.seconds),
    ]
    return all(a <= b for a, b in pairs if a is not None and b is not None)


# Laws -----------------------------------------------------------------------------------------------------------------


def _nested(inner: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[dict[str, Any]]:
    two = st.lists(inner, min_size=2, max_size=3)
    named = two.map(lambda nodes: {f"b{place}": one for place, one in enumerate(nodes)})
    return st.one_of(
        two.map(lambda nodes: {"kind": "chain", "steps": nodes}),
        st.builds(
            lambda nodes, width: {"kind": "parallel", "branches": nodes, "concurrency": width}, named, st.integers(1, 3)
        ),
        inner.map(lambda node: {"kind": "parallel", "over": "[1, 2, 3]", "each": node}),
        named.map(lambda nodes: {"kind": "route", "model": "small", "generalist": "b0", "branches": nodes}),
        st.builds(lambda nodes, judge: {"kind": "ladder", "rungs": nodes, "quality": {"judge": judge}}, two, inner),
        st.builds(lambda nodes, ensemble: {"kind": "consensus", "voters": nodes, "ensemble": ensemble}, named, inner),
        st.builds(
            lambda draft, judge, rounds: {"kind": "evaluate", "generate": draft, "evaluate": judge, "rounds": rounds},
            inner,
            inner,
            st.integers(1, 3),
        ),
        st.builds(lambda first, nodes: {"kind": "orchestrate", "plan": first, "workers": nodes}, inner, named),
        st.builds(
            lambda each, merge, budget: {
                "kind": "map_reduce",
                "over": "'some words and more of them. ' * 90",
                "chunk": {"tokens": 64},
                "map": each,
                "reduce": merge,
                "budget": budget,
            },
            inner,
            inner,
            st.integers(256, 2000),
        ),
        inner.map(lambda node: {"kind": "retry", "node": node, "attempts": 2}),
        inner.map(lambda node: {"kind": "timeout", "node": node, "seconds": 2.5}),
        inner.map(lambda node: {"kind": "budget", "node": node, "max_calls": 3, "max_cost": 0.0005}),
        st.builds(
            lambda node, other: {**node, "on_error": {"retries": 1, "then": "alternative", "alternative": other}},
            inner,
            inner,
        ),
    )


LEAVES = st.one_of(
    st.builds(
        lambda model, most, name: call(f"{{{{ {name} }}}} is what it is about", model=model, max_tokens=most),
        st.sampled_from(["small", "large"]),
        st.integers(1, 300),
        st.sampled_from(["input", "previous"]),
    ),
    st.just(call("Classify {{ input }}", output={"type": "object", "properties": {"label": {"type": "string"}}})),
    st.just({"kind": "value", "value": "{{ input }}"}),
)
NODES = st.recursive(LEAVES, _nested, max_leaves=6)


@settings(max_examples=60, deadline=None)
@given(NODES, st.text(max_size=40), st.integers(1, 5))
def test_what_is_typical_is_never_more_than_the_most(node: dict[str, Any], value: str, inputs: int) -> None:
    """In every step and in sum, whatever the workflow; and the totals are those of the outermost step."""
    found = plan_of(node, value, inputs=inputs)
    assert under(found.typical, found.most)
    assert all(under(row.typical, row.most) for row in found.rows)
    assert found.rows[0].most.calls == pytest.approx(found.most.calls, abs=0.01)
    assert found.dearest is not None
    assert found.most.cost is not None
    assert found.most.cost <= found.dearest * inputs + inputs


@settings(max_examples=30, deadline=None)
@given(st.lists(NODES, min_size=1, max_size=3))
def test_a_chain_is_the_sum_of_its_steps(nodes: list[dict[str, Any]]) -> None:
    """Calls, tokens, dollars and seconds of a chain are those of its steps, one after the other."""
    apart = [plan_of(_alone(node)) for node in nodes]
    whole = plan_of({"kind": "chain", "steps": [_alone(node) for node in nodes]})
    for side in ("typical", "most"):
        sums = [getattr(one, side) for one in apart]
        found = getattr(whole, side)
        for name in ("calls", "input_tokens", "output_tokens", "cost", "seconds"):
            expected = sum(getattr(one, name) for one in sums)
            assert getattr(found, name) == pytest.approx(expected, abs=len(nodes) + 0.01), (side, name)


def _alone(node: dict[str, Any]) -> dict[str, Any]:
    """The step as a sub-workflow whose input is a constant: nothing before it changes what it sees."""
    return {
        "kind": "parallel",
        "branches": {"only": {"kind": "chain", "steps": [{"kind": "value", "value": "x"}, node]}},
    }


@settings(max_examples=30, deadline=None)
@given(NODES, st.integers(2, 300))
def test_many_inputs_are_so_many_runs(node: dict[str, Any], inputs: int) -> None:
    """Calls, tokens and money grow with the inputs; time in waves of the runs at once."""
    one, many = plan_of(node), plan_of(node, inputs=inputs, width=50)
    assert many.inputs == inputs
    assert many.typical.calls == pytest.approx(one.typical.calls * inputs, rel=1e-3, abs=0.01)
    assert many.typical.cost == pytest.approx((one.typical.cost or 0) * inputs, abs=inputs + 1)
    assert many.most.cost == pytest.approx((one.most.cost or 0) * inputs, abs=inputs + 1)
    assert many.typical.seconds == pytest.approx(one.typical.seconds * math.ceil(inputs / 50), abs=0.01 * inputs)


@given(st.lists(st.floats(0, 10), max_size=12), st.integers(1, 5))
def test_a_makespan_is_that_of_workers_who_take_the_next_one(seconds: list[float], width: int) -> None:
    """As a naive simulation of workers; and longer work never ends sooner."""
    free = [0.0] * width
    for one in seconds:
        place = free.index(min(free))
        free[place] += one
    assert makespan(seconds, width) == pytest.approx(max(free) if seconds else 0.0)
    assert makespan([one * 1.5 for one in seconds], width) >= makespan(seconds, width)


def test_work_side_by_side_takes_as_long_as_the_slowest() -> None:
    """A parallel sums money and takes the longest branch; with less concurrency it takes waves."""
    branches = {"a": call(), "b": call(model="large"), "c": call(), "d": call()}
    wide = plan_of({"kind": "parallel", "branches": branches})
    narrow = plan_of({"kind": "parallel", "branches": branches, "concurrency": 1})
    assert (wide.typical.calls, wide.typical.seconds) == (4, 4.0)
    assert narrow.typical.seconds == 7.0
    assert narrow.typical.cost == wide.typical.cost
    raced = plan_of({"kind": "parallel", "branches": branches, "enough": 1})
    assert (raced.typical.seconds, raced.most.seconds) == (1.0, 4.0)


def test_a_route_is_its_classifier_and_one_branch() -> None:
    """Typically the mean of the branches, at most the dearest; a rule over what is known decides before the run."""
    branches = {"cheap": call(max_tokens=10), "dear": call(model="large", max_tokens=1000)}
    node = {"kind": "route", "model": "small", "generalist": "cheap", "branches": branches}
    found = plan_of(node)
    rows = {row.path: row for row in found.rows}
    assert found.typical.calls == found.most.calls == 2
    assert rows["run/dear"].typical.calls == 0.5
    assert found.most.cost == (rows["run/classifier"].most.cost or 0) + (rows["run/dear"].most.cost or 0)
    ruled = plan_of({**node, "rules": [{"when": "input == 'urgent'", "to": "dear"}]}, "urgent")
    assert ruled.typical.calls == 1
    assert [row.path for row in ruled.rows] == ["run", "run/dear"]


def test_a_ladder_climbs_rarely_and_at_most_to_its_top() -> None:
    """Typically the first rung, its judge and a share of the rest, which is told; at most all rungs."""
    node = {"kind": "ladder", "rungs": [call(), call(model="large")], "quality": {"judge": call("{{ answer }}")}}
    found = plan_of(node)
    assert found.typical.calls == pytest.approx(2.3)
    assert found.most.calls == 3
    assert any("70%" in what for what in found.assumed)
    sampled = plan_of({**node, "quality": {"samples": 5}})
    assert sampled.typical.calls == pytest.approx(5.3)
    assert sampled.most.calls == 6
    assert sampled.typical.seconds == pytest.approx(1.0 + 0.3 * 4.0)


def test_rounds_and_tasks_are_bounded_by_what_the_workflow_says() -> None:
    """An evaluator's rounds, an orchestrator's tasks and a retry's runs, typically few and at most all."""
    rounds = plan_of({"kind": "evaluate", "generate": call(), "evaluate": call("{{ draft }}"), "rounds": 5})
    assert (rounds.typical.calls, rounds.most.calls) == (4, 10)
    tasks = plan_of({"kind": "orchestrate", "plan": call(), "workers": {"w": call("{{ task }}")}, "most": 9})
    assert (tasks.typical.calls, tasks.most.calls) == (1 + ITEMS, 10)
    runs = plan_of({"kind": "retry", "node": call(), "attempts": 4})
    assert (runs.typical.calls, runs.most.calls) == (1, 4)
    known = plan_of({"kind": "orchestrate", "plan": {"kind": "value", "value": ["a", "b"]}, "workers": {"w": call()}})
    assert known.typical.calls == known.most.calls == 2


def test_a_policy_counts_at_most() -> None:
    """Retries, an alternative and an undo step are not typical."""
    policy = {"retries": 2, "then": "alternative", "alternative": call(model="large")}
    found = plan_of({**call(), "on_error": policy, "undo": call()})
    assert (found.typical.calls, found.most.calls) == (1, 3 + 1 + 1)
    assert found.most.seconds >= 3 * 1.0 + 4.0


def test_bounds_of_the_workflow_are_bounds_of_its_plan() -> None:
    """A budget's dollars, calls and tokens, a timeout's seconds, and those of the workflow itself."""
    steps = {"kind": "chain", "steps": [call(model="large")] * 4}
    assert plan_of({"kind": "budget", "node": steps, "max_calls": 2}).typical.calls == 2
    assert plan_of({"kind": "budget", "node": steps, "max_cost": 0.001}).most.cost == 10**9
    tokens = plan_of({"kind": "budget", "node": steps, "max_tokens": 100}).typical
    assert tokens.input_tokens + tokens.output_tokens == pytest.approx(100, abs=1)
    assert plan_of({"kind": "timeout", "node": steps, "seconds": 5}).most.seconds == 5
    whole = plan_of(steps, max_cost=0.001, deadline_s=3.0)
    assert (whole.most.cost, whole.dearest, whole.most.seconds) == (10**9, 10**9, 3.0)


def test_a_condition_that_is_known_not_to_hold_leaves_its_step_out() -> None:
    """What the input decides is decided in the plan; what a call decides is assumed to hold."""
    assert plan_of({**call(), "when": "input == 'no'"}, "yes").most.calls == 0
    unknown = {"kind": "chain", "steps": [call(id="a"), {**call(), "when": "a == 'x'"}]}
    assert plan_of(unknown).typical.calls == 2


def test_a_sub_workflow_is_planned_where_it_is_used() -> None:
    """With the input that it is given; one that uses itself is refused."""
    found = plan_of({"kind": "use", "flow": "inner", "with": "{{ input }}!"}, flows={"inner": call()})
    assert [row.path for row in found.rows] == ["run", "run/inner"]
    with pytest.raises(ConfigError, match="inner -> inner"):
        plan_of({"kind": "use", "flow": "inner"}, flows={"inner": {"kind": "use", "flow": "inner"}})


def test_a_model_that_is_not_defined_is_told() -> None:
    """By its name, with those there are."""
    with pytest.raises(ConfigError, match=r"'smal' in models.*did you mean 'small'"):
        plan_of(call(model="smal"))


def test_an_unknown_price_makes_the_cost_unknown() -> None:
    """In sum and where it stands; steps with a price keep theirs; `dearest` says so."""
    models = {
        "x": [{"account": "a", "model": "unheard-of"}],
        "small": [{"account": "a", "model": "s", "price": {"input": 1, "output": 1}}],
    }
    own = Config.model_validate({"accounts": {"a": {"base_url": "http://localhost:1/v1"}}, "models": models})
    found = plan_of({"kind": "chain", "steps": [call(model="x"), call(model="small")]}, settings_=own)
    assert found.typical_cost is None
    assert found.dearest is None
    assert [row.typical.cost is None for row in found.rows] == [True, True, False]
    assert found.unpriced == ("a/unheard-of",)
    prices = PriceBook(own, at=NOW)
    assert dearest(ADAPTER.validate_python(call(model="x")), own, prices) == -1
    assert dearest(ADAPTER.validate_python(call(model="small")), own, prices) > 0


def test_the_dearest_run_of_a_step_grows_with_what_it_is_given() -> None:
    """A step's variables are taken to have the size that is said, those of its loop among them."""
    own = config()
    prices = PriceBook(own, at=NOW)
    step = ADAPTER.validate_python(call("{{ chunk.text }} {{ other }}"))
    small, large = (dearest(step, own, prices, input_tokens=tokens) for tokens in (100, 1000))
    assert large - small == pytest.approx(2 * 900 * 1.15 * 1.1 * 10**6, rel=0.02)
    flow = Flow.model_validate({"run": call("{{ input }}"), "max_cost": 0.0001})
    assert dearest(flow, own, prices, input_tokens=10_000) == 10**8


# Time -----------------------------------------------------------------------------------------------------------------


def test_limits_bound_the_time() -> None:
    """What is beyond the first window waits for the next ones; calls at once share the account's slots."""
    assert bounds([Limits(rpm=60)], Demand(calls=60), "a") == {"60 requests a window at a": 0.0}
    assert bounds([Limits(rpm=60), Limits(rpm=60, window_s=30)], Demand(calls=300), "a") == {
        "120 requests a window at a": pytest.approx(60.0)
    }
    assert bounds([Limits(tpm=1000)], Demand(tokens=4000), "a") == {"1,000 tokens a window at a": pytest.approx(180.0)}
    assert bounds([Limits(concurrency=4)], Demand(busy_s=8), "a") == {"4 calls at once at a": 2.0}
    assert bounds([Limits(), Limits(rpm=1)], Demand(calls=99), "a") == {}
    found = plan_of(call(), inputs=600, settings_=config(limits={"rpm": 60}))
    assert found.typical.seconds == pytest.approx(540.0)
    assert found.bound == "60 requests a window at a"
    assert plan_of(call()).bound == "the steps one after the other"
    assert plan_of(call(), inputs=65).bound == "64 runs at once"


# Many items -----------------------------------------------------------------------------------------------------------


@given(st.lists(st.text(max_size=30), max_size=120), st.integers(1, 20))
def test_stretches_stand_for_all_items(items: list[str], most: int) -> None:
    """Every item is in one, none is larger than the largest of its stretch, and there are never more than asked for."""
    found = stretches(items, most)
    assert sum(one.count for one in found) == len(items)
    assert len(found) == min(most, len(items))
    if len(items) > most:
        bounds_ = [rough_size(one.largest[1]) for one in found for _ in range(one.count)]
        assert all(a <= b for a, b in zip(sorted(map(rough_size, items)), bounds_, strict=True))
    assert all(items[one.middle[0]] == one.middle[1] for one in found)


def test_many_items_are_planned_by_few_of_them() -> None:
    """Uneven items cost what they cost one by one, within a few percent, and at most not less."""
    items = ["word " * (1 + place * place % 997) for place in range(400)]
    each = {"kind": "parallel", "over": "input", "each": call("{{ item }}")}
    whole = plan_of(each, items)
    exact = [plan_of(call("{{ input }}"), one).typical.input_tokens for one in items]
    assert whole.typical.calls == 400
    assert whole.typical.input_tokens == pytest.approx(sum(exact), rel=0.05)
    assert sum(exact) <= whole.most.input_tokens <= sum(exact) * 1.1
    assert whole.typical.seconds == math.ceil(400 / 64)


def test_many_inputs_are_sampled() -> None:
    """Every so many-th and the largest of all: what one run may cost at most is known without reading all."""
    own = config()
    flow = Flow.model_validate({"run": call("{{ input }}")})
    prices = PriceBook(own, at=NOW)
    lines = ["word " * 10] * 5000
    lines[1234] = "word " * 10_000
    found = planned(flow, own, prices, iter(lines), 5000, concurrency=64)
    assert (found.inputs, found.typical.calls) == (5000, 5000)
    assert found.dearest is not None
    assert found.dearest >= 10_000 * 10**6
    assert planned(flow, own, prices, iter([]), -1, concurrency=64).inputs == 1


def test_a_list_nobody_has_seen_is_guessed_and_told() -> None:
    """Its length is an assumption, and the most is no bound then; a schema bounds it."""
    each = {"kind": "parallel", "over": "a.things", "each": call("{{ item }}")}
    found = plan_of({"kind": "chain", "steps": [call(id="a"), each]})
    assert (found.typical.calls, found.most.calls) == (1 + ITEMS, 1 + MOST_ITEMS)
    assert found.assumed == (f"run/1: `a.things` is not known yet: {ITEMS} items, at most {MOST_ITEMS}",)
    assert not found.bounded
    things = {"type": "array", "items": {"type": "string"}, "maxItems": 2}
    listing = call(id="a", output={"type": "object", "properties": {"things": things}})
    told = plan_of({"kind": "chain", "steps": [listing, each]})
    assert told.most.calls == 2 + 2
    assert told.bounded


def test_what_a_function_returns_is_no_bound() -> None:
    """Nobody knows how large it is; nor is an input that is not given."""
    step = {"kind": "function", "call": "os.path:basename", "args": {"p": "x"}}
    assert not plan_of({"kind": "chain", "steps": [step, call("{{ previous }}")]}).bounded
    own = config()
    flow = Flow.model_validate({"run": call("{{ input }}")})
    assert not plan(flow, own, PriceBook(own, at=NOW)).bounded
    assert plan_of(call("{{ input }}")).bounded


# Guesses --------------------------------------------------------------------------------------------------------------


@given(st.integers(1, 500), st.booleans())
def test_a_guess_has_the_size_it_is_said_to_have(tokens: int, generous: bool) -> None:
    """As a text; its fields and its items are never larger."""
    guess = Guess(tokens, generous=generous)
    assert Guess(tokens, generous=generous) == "word" + " word" * (tokens - 1)
    scope = {"it": guess, "steps": {}}
    for expression in ("it.some.field", "it['x']", "it|first"):
        value = templates.evaluate(expression, scope)
        assert isinstance(value, Guess)
        assert value.guessed_tokens <= tokens
    rendered = templates.render("{% for one in it %}{{ one.text }},{% endfor %}", scope)
    assert rendered.count(",") == (MOST_ITEMS if generous else ITEMS)


def test_a_guess_keeps_to_its_schema() -> None:
    """Words of an enum, numbers and booleans are what they are; references are followed."""
    schema = {
        "$defs": {"Case": {"type": "object", "properties": {"label": {"enum": ["bug", "feature"]}, "text": {}}}},
        "type": "object",
        "properties": {
            "case": {"$ref": "#/$defs/Case"},
            "sure": {"type": "boolean"},
            "score": {"anyOf": [{"type": "null"}, {"type": "number"}]},
            "tasks": {"type": "array", "minItems": 2, "maxItems": 3, "items": {"$ref": "#/$defs/Case"}},
        },
    }
    value = guessed(schema, 90, generous=True)
    scope = {"it": value}
    assert templates.evaluate("it.case.label", scope) == "feature"
    assert templates.evaluate("it.sure", scope) is True
    assert templates.evaluate("it.score > 0.5", scope)
    assert templates.render("{% for one in it.tasks %}{{ one.label }} {% endfor %}", scope) == "feature " * 3
    assert Both.text(1, 2, {"const": 5}).most == 5


@pytest.mark.parametrize(
    ("schema", "most"),
    [
        ({"type": "boolean"}, 4),
        ({"enum": ["a", "b"]}, 2),
        ({"type": "string"}, None),
        ({"type": "string", "maxLength": 30}, 12),
        ({"type": "array", "items": {"type": "boolean"}}, None),
        ({"type": "array", "maxItems": 2, "items": {"type": "boolean"}}, 12),
        ({"type": "object", "properties": {"a": {"type": "boolean"}}}, None),
        ({"type": "object", "properties": {"a": {"type": "boolean"}}, "additionalProperties": False}, 10),
        ({"type": "object", "properties": {"a": {"type": "string"}}, "additionalProperties": False}, None),
    ],
)
def test_a_closed_schema_bounds_an_answer(schema: dict[str, Any], most: int | None) -> None:
    """In tokens, where nothing in it is free."""
    assert bound(schema) == most


# Against real runs ----------------------------------------------------------------------------------------------------

TEXT = "Alpha beta gamma, delta and more of it, so that there is something to read in here. " * 60
PARTS = "Merge: {% for part in parts %}{{ part.name }}: {{ part.value }}\n{% endfor %}"
REAL: dict[str, tuple[dict[str, Any], Any]] = {
    "chain": ({"kind": "chain", "steps": [call(id="a"), call("More of {{ a }} and {{ previous }}")]}, TEXT),
    "parallel": ({"kind": "parallel", "branches": {"a": call(), "b": call()}, "then": call("{{ results }}")}, TEXT),
    "each": ({"kind": "parallel", "over": "input", "each": call("{{ item }}")}, ["one", "two " * 50, "three"]),
    "route": (
        {
            "kind": "route",
            "model": "chat",
            "generalist": "a",
            "branches": {"a": call(), "b": call("{{ input }} {{ input }}")},
        },
        TEXT,
    ),
    "map_reduce": (
        {
            "kind": "map_reduce",
            "chunk": {"tokens": 64, "overlap": 8},
            "map": call("Sum up {{ chunk.text }}"),
            "reduce": call(PARTS),
            "budget": 512,
        },
        TEXT,
    ),
    "tree": (
        {
            "kind": "map_reduce",
            "variant": "tree",
            "over": "input",
            "map": call("{{ chunk.text }}"),
            "reduce": call(PARTS),
        },
        [{"name": name, "text": name * 9} for name in ("a/x", "a/y", "a/b/u", "a/b/v", "c/z", "d")],
    ),
    "refine": (
        {
            "kind": "map_reduce",
            "variant": "refine",
            "chunk": {"tokens": 128},
            "map": call("{{ chunk.text }}"),
            "reduce": call("{{ draft }} {{ chunk.text }}"),
        },
        TEXT,
    ),
    "ladder": ({"kind": "ladder", "rungs": [call(), call()], "quality": {"rule": "0.3"}}, TEXT),
    "consensus": (
        {"kind": "consensus", "voters": {"a": call(), "b": call("x")}, "ensemble": call("{{ votes }}")},
        TEXT,
    ),
    "evaluate": (
        {
            "kind": "evaluate",
            "generate": call("Draft: {{ draft }} {{ verdict }}"),
            "evaluate": call(
                "{{ draft }}",
                output={"type": "object", "properties": {"accept": {"type": "boolean"}}, "required": ["accept"]},
            ),
        },
        TEXT,
    ),
    "orchestrate": (
        {
            "kind": "orchestrate",
            "plan": {"kind": "value", "value": ["a", "b", "c"]},
            "workers": {"w": call("{{ task }}")},
            "then": call("{{ results }}"),
        },
        TEXT,
    ),
    "nested": (
        {
            "kind": "parallel",
            "over": "input",
            "each": {
                "kind": "chain",
                "steps": [
                    call("{{ item }}", id="a"),
                    {
                        "kind": "ladder",
                        "rungs": [call("{{ a }}"), call("{{ a }}")],
                        "quality": {"judge": call("{{ answer }}")},
                    },
                ],
            },
        },
        ["one", "two"],
    ),
}


@pytest.mark.sockets
async def test_no_run_passes_the_most_that_was_planned() -> None:
    """The ledger's calls, tokens and cost of a run of each pattern are at most those of its plan, and not far below."""
    answers = Answer(tokens=(60, 100))
    with SimulatorProcess(Settings(retry_after="ms", answer=answers)) as simulator:
        own = configuration({"sim": account("openai", simulator.url)})
        prices = PriceBook(own, at=NOW)
        async with stage(own) as opened:
            for name, (node, value) in REAL.items():
                simulator.control(reset_ledger=True)
                flow = Flow.model_validate({"run": node})
                expected = plan(flow, own, prices, values=[value])
                spec = msgspec.msgpack.encode(FlowSpec(encode_flow(flow)))
                interpreter = FlowInterpreter(JobSpec("j", "t", PATH, spec, encode(own)))
                done = await interpreter.map(0, item(value), opened.caller)
                assert not done.error, name
                records = simulator.ledger()
                _compare(name, expected, len(records), done.input_tokens, done.output_tokens, picodollars(records))


def _compare(name: str, expected: Plan, *seen: int) -> None:
    most, usual = expected.most, expected.typical
    planned_ = (most.calls, most.input_tokens, most.output_tokens, most.cost or 0)
    assert all(a <= b for a, b in zip(seen, planned_, strict=True)), (name, seen, planned_)
    calls, tokens = seen[0], seen[1]
    assert calls >= usual.calls * 0.5, (name, calls, usual)
    assert tokens >= usual.input_tokens * 0.4, (name, tokens, usual)
    assert (expected.dearest or 0) >= seen[3]


# Showing --------------------------------------------------------------------------------------------------------------


def _shown(found: Plan) -> list[str]:
    console = Console(width=80, record=True, file=io.StringIO())
    show(found, console)
    return console.export_text().splitlines()


def test_a_plan_fits_a_terminal() -> None:
    """Eighty columns, also with large figures and long names; its totals in a line."""
    node = {
        "kind": "parallel",
        "over": "input",
        "each": call("{{ item }}", id="a_step_with_a_very_long_name", model="large"),
    }
    own = config()
    found = plan(
        Flow.model_validate({"run": node}), own, PriceBook(own, at=NOW), values=[["word " * 900] * 999], inputs=4000
    )
    lines = _shown(found)
    assert max(map(len, lines)) <= 80
    assert any("about 4.0M calls (at most 4.0M)" in line for line in lines)
    assert any("(bound by 64 runs at once)" in line for line in lines)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (1.3, "1.3"),
        (12, "12"),
        (999, "999"),
        (8100, "8.1k"),
        (99_960, "100k"),
        (1_000_000, "1.0M"),
        (4.2e9, "4.2G"),
    ],
)
def test_figures_are_short(value: float, text: str) -> None:
    """Three digits and a unit."""
    assert number(value) == text


def test_a_plan_as_json_says_what_the_table_says() -> None:
    """Totals, steps and assumptions; dollars as decimal texts."""
    found = plan_of({"kind": "ladder", "rungs": [call(), call()], "quality": {"rule": "0.5"}})
    told = orjson.loads(orjson.dumps(as_json(found)))
    assert told["most"]["calls"] == 2
    assert [step["path"] for step in told["steps"]] == ["run", "run/0", "run/1"]
    assert float(told["typical"]["dollars"]) == pytest.approx((found.typical_cost or 0) / 1e12)
    assert told["assumed"] == list(found.assumed)


def test_words_are_counted_as_they_are() -> None:
    """The input's own tokens are in the prompt, and a known prompt has no spread."""
    short, long = (plan_of(call("{{ input }}"), value) for value in ("a", "word " * 200))
    assert long.typical.input_tokens - short.typical.input_tokens >= 190
    assert long.typical.input_tokens == long.most.input_tokens
