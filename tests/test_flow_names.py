"""Tests of the names in templates: what is refused before a run is what would fail in it, by the interpreter itself."""

import asyncio
import re
from typing import Any

import msgspec
from flow_nodes import chain, each, flow, value
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from understudy.protocols.config import Config, encode
from understudy.protocols.jobs import JobSpec
from understudy.protocols.workflow import Flow
from understudy.protocols.workflow import encode as encode_flow
from understudy.protocols.workflow.result import FlowResult
from understudy.protocols.workflow.spec import FlowSpec, item
from understudy.supervisors.patterns.interpreter import PATH, FlowInterpreter
from understudy.supervisors.workflow.check import check

UNDEFINED = re.compile(r"'[ (]*(\w+)[^']*' is (?:undefined|not defined)")
NAMES = st.sampled_from(
    ["input", "previous", "a", "b", "item", "index", "draft", "results", "answer", "route", "parts", "error"]
)
VALUE = NAMES.map(lambda name: value("{{ " + name + " }}"))


def _named(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.dictionaries(st.sampled_from(["x", "y"]), inner, min_size=2, max_size=2)


def _around(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    named = st.tuples(inner, st.sampled_from([None, "a", "b"])).map(
        lambda it: {**it[0], **({"id": it[1]} if it[1] else {})}
    )
    return st.one_of(
        st.lists(named, min_size=1, max_size=3).map(lambda steps: chain(*steps)),
        inner.map(lambda it: each(it, over="[1, 2]")),
        st.tuples(_named(inner), inner).map(lambda it: {"kind": "parallel", "branches": it[0], "then": it[1]}),
        st.tuples(_named(inner), NAMES).map(
            lambda it: {"kind": "route", "rules": [{"when": it[1], "to": "x"}], "branches": it[0], "generalist": "y"}
        ),
        st.tuples(inner, NAMES).map(
            lambda it: {"kind": "ladder", "rungs": [it[0], it[0]], "quality": {"rule": f"({it[1]}) is none"}}
        ),
        inner.map(
            lambda it: {
                "kind": "evaluate",
                "generate": it,
                "evaluate": value("{{ draft }}"),
                "accept": "draft == verdict",
            }
        ),
        st.tuples(inner, inner).map(
            lambda it: {
                "kind": "map_reduce",
                "over": "[1, 2]",
                "map": it[0],
                "reduce": it[1],
                "as": "item",
                "budget": 300,
            }
        ),
        inner.map(lambda it: {**value("{{ nope() }}"), "on_error": {"then": "alternative", "alternative": it}}),
    )


def _run(one: Flow) -> list[str]:
    """What failed in a run, and why."""
    spec = msgspec.msgpack.encode(FlowSpec(encode_flow(one)))
    interpreter = FlowInterpreter(JobSpec("j", "t", PATH, spec, encode(Config())))
    caller: Any = None  # no step calls a model
    done = asyncio.run(interpreter.map(0, item("x"), caller))
    result = msgspec.msgpack.decode(done.data, type=FlowResult)
    return (
        [step.note for step in result.steps]
        + [done.error]
        + [cause for one in result.coverage for *_, cause in one.missing]
    )


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.recursive(VALUE, _around, max_leaves=6))
def test_names_are_known_where_the_interpreter_knows_them(node: dict[str, Any]) -> None:
    """A workflow whose names were found to be defined never fails for one that is not; one that did was refused."""
    one = flow(node)
    unknown = {name for flaw in check(one) for name in re.findall(r"no step defines '(\w+)'", flaw.text)}
    missed = {name for note in _run(one) for name in UNDEFINED.findall(note)} - {"nope"}
    assert missed <= unknown


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(NAMES, st.sampled_from(["a", "b", "c", None])), min_size=1, max_size=4))
def test_each_name_that_is_refused_would_fail(steps: list[tuple[str, str | None]]) -> None:
    """In a chain, where every step is run, a workflow fails for an unknown name exactly when it is refused for one."""
    one = flow(chain(*(value("{{ " + name + " }}", **({"id": own} if own else {})) for name, own in steps)))
    refused = any("no step defines" in flaw.text for flaw in check(one))
    assert refused == any(UNDEFINED.search(note) for note in _run(one))
