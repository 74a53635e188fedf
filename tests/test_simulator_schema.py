"""The least JSON of a schema, the prompt cache, and outages that come again."""

import importlib
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from understudy.cluster.simulator import Answer, Cache, Outage
from understudy.cluster.simulator.answers import write_reply
from understudy.cluster.simulator.cache import PromptCache
from understudy.cluster.simulator.faults import current_outage
from understudy.cluster.simulator.request import assemble
from understudy.cluster.simulator.schema import breaking, example

jsonschema: Any = importlib.import_module("jsonschema")

leaves = st.one_of(
    st.builds(lambda n: {"type": "string", "minLength": n}, st.integers(0, 9)),
    st.builds(lambda n: {"type": "integer", "minimum": n}, st.integers(-9, 9)),
    st.builds(lambda n: {"type": "number", "exclusiveMinimum": n}, st.integers(-9, 9)),
    st.just({"type": "boolean"}),
    st.just({"type": ["string", "null"]}),
    st.builds(lambda words: {"enum": words}, st.lists(st.text(max_size=5), min_size=1, max_size=3)),
)


def objects(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    fields = st.dictionaries(st.text("abc", min_size=1, max_size=3), inner, min_size=1, max_size=4)
    return fields.map(lambda found: {"type": "object", "properties": found, "required": sorted(found)[:2]})


schemas = st.recursive(
    leaves,
    lambda inner: st.one_of(
        objects(inner),
        st.builds(lambda item, n: {"type": "array", "items": item, "minItems": n}, inner, st.integers(0, 2)),
        st.lists(inner, min_size=1, max_size=3).map(lambda found: {"anyOf": found}),
    ),
    max_leaves=8,
)


@given(schemas)
def test_an_example_satisfies_its_schema(schema: Any) -> None:
    """A validator that is not ours accepts it."""
    jsonschema.validate(example(schema), schema)


@given(objects(schemas))
def test_a_broken_one_does_not(schema: Any) -> None:
    """The same validator refuses it."""
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(breaking(schema), schema)


def test_references_and_geminis_types_are_understood() -> None:
    """Local `$ref`s, recursion that need not be entered, `allOf`, and types in upper case."""
    node = {"type": "object", "properties": {"next": {"$ref": "#/$defs/node"}, "n": {"const": 3}}, "required": ["n"]}
    schema = {"$defs": {"node": node}, "type": "array", "items": {"$ref": "#/$defs/node"}, "minItems": 1}
    assert example(schema) == [{"n": 3}]
    assert example({"type": "OBJECT", "properties": {"a": {"type": "STRING"}}, "required": ["a"]}) == {"a": "text"}
    both = {"allOf": [{"properties": {"a": {"type": "null"}}, "required": ["a"]}, {"type": "object"}]}
    assert example(both) == {"a": None}
    endless = {"$defs": {"x": {"$ref": "#/$defs/x"}}, "$ref": "#/$defs/x"}
    assert example(endless) is None


def prompt(text: str) -> Any:
    return assemble("m", [("system", "s" * 64), ("user", text)], max_tokens=None, stream=False)


def test_only_a_common_beginning_is_cached() -> None:
    """Whole blocks from the start, of the same key and model; a change at the front loses all behind it."""
    cache = PromptCache(Cache(min_tokens=32))
    long = "".join(chr(65 + i % 26) for i in range(64 * 5))
    assert cache.use("k", prompt(long)) == (0, 96)
    assert cache.use("k", prompt(long)) == (96, 0)
    assert cache.use("k", prompt(long + "x" * 64)) == (96, 16)
    assert cache.use("k", prompt(long[:128] + "?" * 192)) == (48, 48)
    assert cache.use("other", prompt(long)) == (0, 96)
    assert cache.use("k", prompt("?" + long)) == (0, 96)
    assert cache.use("k", prompt("")) == (0, 0)


def test_an_outage_comes_again() -> None:
    """Six of each sixty seconds; a window that would pass its period is refused."""
    outages = [Outage(start_s=10, end_s=16, every_s=60)]
    down = [t for t in range(180) if current_outage(outages, elapsed_s=float(t))]
    assert down == [base + t for base in (0, 60, 120) for t in range(10, 16)]
    with pytest.raises(ValueError, match="every_s"):
        Outage(start_s=0, end_s=61, every_s=60)


def test_a_continuation_hashes_as_what_it_continues() -> None:
    """The partial answer and the wish to go on are no part of what is asked."""
    turns = [("user", "q")]
    asked = assemble("m", turns, max_tokens=None, stream=False)
    more = [("assistant", "half"), ("user", "Continue exactly where you stopped.")]
    for extra in (more[:1], more):
        again = assemble("m", turns + extra, max_tokens=None, stream=False)
        assert (again.partial, again.answer_hash) == ("half", asked.answer_hash)
        assert again.content_hash == asked.content_hash
    other = assemble("m", [*turns, more[0], ("user", "Mend it.")], max_tokens=None, stream=False)
    assert (other.partial, other.repair) == (None, True)
    assert orjson.dumps(other.answer_hash) != orjson.dumps(asked.answer_hash)


def test_content_decides_the_answer_where_settings_say_so() -> None:
    """By "content" every model and system prompt gives one answer; by "request" each gives its own."""
    asked = [assemble(model, [("system", model), ("user", "q")], max_tokens=None, stream=False) for model in ("a", "b")]
    for by, answers in (("content", 1), ("request", 2)):
        said = {write_reply(Answer.model_validate({"by": by}), one, cap=100).text for one in asked}
        assert len(said) == answers
