"""Workflows in Python: each function makes the node that YAML makes; what other processes can't import is refused."""

import functools
import runpy
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

import understudy as us
from understudy.cluster.flow_file import dump, parse
from understudy.protocols.errors import UsageError
from understudy.protocols.workflow import ADAPTER, Flow, Step
from understudy.protocols.workflow.build import import_path
from understudy.protocols.workflow.nodes import encode_node


class Answer(BaseModel):
    """What a call has to answer."""

    text: str


class Worker:
    """Has functions of several kinds."""

    def bound(self) -> int:
        """Needs the object it is of."""
        return 1

    @staticmethod
    def free() -> int:
        """Needs nothing."""
        return 2

    def __call__(self) -> int:
        """Is called itself."""
        return 3


def top(number: int = 1) -> int:
    """A function that others can import."""
    return number


def same(step: Step, said: dict[str, Any]) -> bool:
    """Whether a step is what the same words in YAML make."""
    return ADAPTER.validate_python(said) == ADAPTER.validate_json(encode_node(step))


X: dict[str, Any] = {"kind": "call", "prompt": "x"}
Y: dict[str, Any] = {"kind": "call", "prompt": "y", "model": "large"}
BUILT: dict[str, tuple[Step, dict[str, Any]]] = {
    "call": (us.call("y", model="large"), Y),
    "chain": (us.chain("x", us.call("y", model="large"), id="c"), {"kind": "chain", "steps": [X, Y], "id": "c"}),
    "parallel": (
        us.parallel(a="x", b="x", quorum=1, then="x"),
        {"kind": "parallel", "branches": {"a": X, "b": X}, "quorum": 1, "then": X},
    ),
    "parallel of a mapping": (us.parallel({"then": "x"}), {"kind": "parallel", "branches": {"then": X}}),
    "each": (
        us.each("input.list", "x", as_="one", concurrency=4),
        {"kind": "parallel", "over": "input.list", "each": X, "as": "one", "concurrency": 4},
    ),
    "route": (
        us.route({"a": "x", "b": "x"}, generalist="a", rules=[("input == 1", "b")], escalate="x"),
        {
            "kind": "route",
            "branches": {"a": X, "b": X},
            "generalist": "a",
            "rules": [{"when": "input == 1", "to": "b"}],
            "escalate": X,
        },
    ),
    "map_reduce": (
        us.map_reduce("x", "x", over="input", chunk={"tokens": 100}),
        {"kind": "map_reduce", "map": X, "reduce": X, "over": "input", "chunk": {"tokens": 100}},
    ),
    "ladder": (
        us.ladder("x", "x", quality={"judge": "x"}, threshold=0.5),
        {"kind": "ladder", "rungs": [X, X], "quality": {"judge": X}, "threshold": 0.5},
    ),
    "consensus": (
        us.consensus({"a": "x", "b": "x"}, ensemble="x"),
        {"kind": "consensus", "voters": {"a": X, "b": X}, "ensemble": X},
    ),
    "evaluate": (us.evaluate("x", "x", rounds=2), {"kind": "evaluate", "generate": X, "evaluate": X, "rounds": 2}),
    "orchestrate": (
        us.orchestrate("x", {"w": "x"}, then="x"),
        {"kind": "orchestrate", "plan": X, "workers": {"w": X}, "then": X},
    ),
    "function": (us.function("a.b:c", args={"n": 1}), {"kind": "function", "call": "a.b:c", "args": {"n": 1}}),
    "value": (us.value({"a": "{{ input }}"}), {"kind": "value", "value": {"a": "{{ input }}"}}),
    "approve": (us.approve("Refund?", show="s"), {"kind": "approve", "title": "Refund?", "show": "s"}),
    "escalate": (us.escalate("hard", value=1), {"kind": "escalate", "reason": "hard", "value": 1}),
    "use": (us.use("f", {"a": 1}), {"kind": "use", "flow": "f", "with": {"a": 1}}),
    "retry": (us.retry("x", 5), {"kind": "retry", "node": X, "attempts": 5}),
    "timeout": (us.timeout("x", 2.5), {"kind": "timeout", "node": X, "seconds": 2.5}),
    "budget": (us.budget("x", max_calls=3), {"kind": "budget", "node": X, "max_calls": 3}),
    "undo": (us.call("x", undo=us.call("x")), {**X, "undo": X}),
}


@pytest.mark.parametrize("name", BUILT)
def test_each_function_makes_what_the_same_words_in_yaml_make(name: str) -> None:
    """The node is equal to the one that is read from data, after the way through its own encoding."""
    step, said = BUILT[name]
    assert same(step, said)


@pytest.mark.parametrize("name", BUILT)
def test_what_was_built_is_written_as_yaml_and_read_back(name: str) -> None:
    """Python to YAML and back is the same workflow."""
    flow = Flow(run=BUILT[name][0])  # type: ignore[arg-type]
    read, _ = parse(dump(flow))
    assert read == Flow.model_validate_json(flow.model_dump_json(exclude_unset=True, by_alias=True))


def test_a_schema_is_a_mapping_a_model_or_a_path() -> None:
    """A pydantic model is named by its import path."""
    assert us.call("x", output={"type": "object"}).output == {"type": "object"}
    assert us.call("x", output="a.b:C").output == "a.b:C"
    assert us.call("x", output=Answer).output == f"{Answer.__module__}:Answer"


@given(count=st.integers(1, 6))
def test_a_fallback_is_a_row_of_alternatives(count: int) -> None:
    """Against a naive reference: each step's alternative is the next, the last has none; encoded as well."""
    step: Any = ADAPTER.validate_json(encode_node(us.fallback(*(f"s{number}" for number in range(count)))))
    prompts = [step.prompt]
    while step.on_error is not None:
        assert step.on_error.then == "alternative"
        step = step.on_error.alternative
        prompts.append(step.prompt)
    assert prompts == [f"s{number}" for number in range(count)]


def test_a_fallback_leaves_its_steps_as_they_were() -> None:
    """A step that is used in two places is not changed by one of them."""
    first = us.call("x", id="a")
    us.fallback(first, "y")
    assert first.on_error is None
    assert "on_error" not in first.model_fields_set


def test_a_wrong_field_is_named() -> None:
    """A name that a node has not is no silent nothing."""
    with pytest.raises(ValidationError, match="temprature"):
        us.call("x", temprature=1)
    with pytest.raises(ValidationError, match="quorom"):
        us.parallel({"a": "x"}, quorom=1)


# Functions ------------------------------------------------------------------------------------------------------------


def test_a_functions_import_path() -> None:
    """Functions at the top of a module, and static ones of a class."""
    assert import_path(top) == f"{top.__module__}:top"
    assert us.function(Worker.free).call == f"{__name__}:Worker.free"


def inner() -> Any:
    """Makes a function that nobody can import."""

    def hidden() -> int:
        return 1

    return hidden


@pytest.mark.parametrize(
    ("work", "name"),
    [
        (lambda: 1, "<lambda>"),
        (inner(), "inner.<locals>.hidden"),
        (Worker().bound, "Worker.bound"),
        (functools.partial(top, 2), "functools.partial"),
        (Worker(), "Worker object"),
    ],
)
def test_what_other_processes_cant_import_is_refused(work: Any, name: str) -> None:
    """A lambda, an inner function, a bound method, a partial, an object: named, with the remedy."""
    with pytest.raises(
        UsageError, match=r"can't be imported by other processes: define it at the top of a module$"
    ) as e:
        us.function(work)
    assert name in str(e.value)


SCRIPT = """
from understudy.protocols.workflow.build import import_path

def work():
    return 1

import sys
sys.modules["__main__"].__dict__.update(work=work)
path = import_path(work)
"""


def test_a_scripts_own_function_has_the_scripts_name(tmp_path: Path) -> None:
    """In `python jobs.py` a function is of `__main__`; others import it as `jobs:work`."""
    path = tmp_path / "jobs.py"
    path.write_text(SCRIPT)
    assert runpy.run_path(str(path), run_name="__main__")["path"] == "jobs:work"
