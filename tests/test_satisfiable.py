"""Schemas that nothing can satisfy are found; one that something satisfies never is."""

from typing import Any

import jsonschema_rs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from understudy.protocols.workflow.satisfiable import flaw

Pair = tuple[dict[str, Any], Any]
NAMES = st.sampled_from(["a", "b", "c"])
LOOP = {"type": "object", "properties": {"next": {"$ref": "#/$defs/loop"}}, "required": ["next"]}


def closed(**more: Any) -> dict[str, Any]:
    return {"type": "object", "properties": {"a": {}}, "additionalProperties": False, **more}


CONTRADICTIONS: list[tuple[str, dict[str, Any], str, str]] = [
    ("no type", {"type": []}, "", "empty list"),
    ("empty enum", {"type": "string", "enum": []}, "", "`enum` is empty"),
    ("enum against type", {"type": "integer", "enum": ["1", 1.5, None]}, "", "`enum`"),
    ("const against type", {"type": "integer", "const": True}, "", "`const`"),
    ("const against enum", {"allOf": [{"const": 1}, {"enum": [2, 3]}]}, "/allOf/0", "`const`"),
    ("enum against a bound", {"enum": [1, 2], "exclusiveMinimum": 2}, "", "`enum`"),
    ("enum against a length", {"enum": ["ab", "abc"], "maxLength": 1}, "", "`enum`"),
    ("enum against required", {"const": {"a": 1}, "required": ["b"]}, "", "`const`"),
    ("minimum", {"type": "number", "minimum": 3, "maximum": 2}, "", "minimum 3 and maximum 2"),
    ("exclusive", {"type": "number", "exclusiveMinimum": 2, "maximum": 2}, "", "exclusiveMinimum 2"),
    ("no whole number", {"type": "integer", "minimum": 1.2, "maximum": 1.8}, "", "no whole number"),
    ("whole numbers excluded", {"type": "integer", "exclusiveMinimum": 1, "exclusiveMaximum": 2}, "", "no whole"),
    ("lengths", {"type": "string", "minLength": 3, "maxLength": 2}, "", "minLength 3"),
    ("items' number", {"type": "array", "minItems": 3, "maxItems": 2}, "", "minItems 3"),
    ("properties' number", {"type": "object", "minProperties": 3, "maxProperties": 2}, "", "minProperties 3"),
    ("too many required", {"type": "object", "required": ["a", "b"], "maxProperties": 1}, "", "2 names"),
    ("forbidden name", closed(required=["b"]), "", "`b` is required"),
    ("too few names", closed(minProperties=2), "", "only 1 names"),
    ("every type", {"type": ["string", "array"], "minLength": 2, "maxLength": 1, "maxItems": 0, "minItems": 1}, "", ""),
    ("disjoint allOf", {"allOf": [{"type": "string"}, {"type": ["integer", "null"]}]}, "/allOf/1", "no type is left"),
    ("allOf's bounds", {"type": "number", "allOf": [{"minimum": 5}, {"maximum": 3}]}, "/allOf/1", "minimum 5"),
    ("false", {"allOf": [True, False]}, "/allOf/1", "`false`"),
    ("not", {"not": {}}, "", "`not`"),
    (
        "a required property",
        {"type": "object", "properties": {"a": {"enum": []}}, "required": ["a"]},
        "/properties/a",
        "`enum`",
    ),
    ("escaped names", {"type": "object", "properties": {"a/~": False}, "required": ["a/~"]}, "/properties/a~1~0", ""),
    ("items", {"type": "array", "items": {"type": []}, "minItems": 1}, "/items", "empty list"),
    ("items after the first", {"type": "array", "prefixItems": [{}], "items": False, "minItems": 2}, "/items", ""),
    ("a first item", {"type": "array", "prefixItems": [{}, {"enum": []}], "minItems": 2}, "/prefixItems/1", ""),
    ("anyOf", {"anyOf": [{"enum": []}, {"type": []}]}, "/anyOf", "no branch"),
    ("anyOf against type", {"type": "null", "oneOf": [{"type": "string"}, {"const": 1}]}, "/oneOf", "no branch"),
    ("reference", {"$defs": {"x": {"enum": []}}, "$ref": "#/$defs/x"}, "/$defs/x", "`enum`"),
    ("reference beside", {"$defs": {"x": {"type": "null"}}, "$ref": "#/$defs/x", "type": "string"}, "/$defs/x", ""),
    ("nowhere", {"properties": {"a": {"$ref": "#/$defs/y"}}}, "/properties/a", "leads nowhere"),
    ("no anchor", {"items": {"$ref": "#y"}}, "/items", "leads nowhere"),
    ("endless", {"$defs": {"loop": LOOP}, "$ref": "#/$defs/loop"}, "/$defs/loop/properties/next", "without an end"),
    (
        "endless in a list",
        {
            "type": "object",
            "required": ["a"],
            "properties": {"a": {"type": "array", "minItems": 1, "items": {"$ref": "#"}}},
        },
        "/properties/a",
        "without an end",
    ),
]

FINE: list[tuple[str, dict[str, Any], Any]] = [
    ("another type escapes", {"minimum": 3, "maximum": 2, "minLength": 2, "maxLength": 1}, None),
    ("an optional property", closed(properties={"a": False}), {}),
    ("no item is needed", {"type": "array", "items": False}, []),
    ("a pattern may allow it", closed(required=["b"], patternProperties={"^b$": {}}), {"a": 1, "b": 2}),
    ("1.0 is whole", {"type": "integer", "const": 1.0}, 1),
    ("whole in a narrow place", {"type": "number", "minimum": 2, "maximum": 2}, 2),
    (
        "the loop ends",
        {
            "$defs": {
                "loop": {**LOOP, "properties": {"next": {"anyOf": [{"$ref": "#/$defs/loop"}, {"type": "null"}]}}}
            },
            "$ref": "#/$defs/loop",
        },
        {"next": None},
    ),
    (
        "the type beside a loop",
        {
            "$defs": {"loop": {"type": ["object", "null"], "properties": {"next": {"$ref": "#/$defs/loop"}}}},
            "allOf": [{"$ref": "#/$defs/loop"}, {"type": "object", "required": ["next"]}],
        },
        {"next": None},
    ),
    ("old drafts", {"$schema": "http://json-schema.org/draft-07/schema#", "items": [{"type": "null"}]}, [None]),
    (
        "beside a reference",
        {
            "$schema": "http://json-schema.org/draft-07/schema#",
            "definitions": {"x": {"type": "string"}},
            "properties": {"a": {"$ref": "#/definitions/x", "type": "integer"}},
            "required": ["a"],
        },
        {"a": "x"},
    ),
    ("an anchor", {"$defs": {"x": {"$anchor": "y", "type": "null"}}, "$ref": "#y"}, None),
]


@pytest.mark.parametrize(("name", "schema", "pointer", "words"), CONTRADICTIONS, ids=[one[0] for one in CONTRADICTIONS])
def test_a_contradiction_is_found(name: str, schema: dict[str, Any], pointer: str, words: str) -> None:
    """Each kind of contradiction is found, with its place and a line that says how to mend it."""
    where, why = flaw(schema)
    assert (where, words in why) == (pointer, True), (name, why)
    assert ";" in why
    assert "\n" not in why


@pytest.mark.parametrize(("name", "schema", "witness"), FINE, ids=[one[0] for one in FINE])
def test_what_can_be_satisfied_is_not_called_a_flaw(name: str, schema: dict[str, Any], witness: Any) -> None:
    """What looks like a contradiction and is none passes, by a value that a validator accepts."""
    jsonschema_rs.validate(schema, witness)
    assert flaw(schema) == ("", ""), name


def test_a_custom_draft_is_not_looked_at() -> None:
    """Keywords of a draft that is not known may mean anything."""
    assert flaw({"$schema": "https://example.org/mine", "type": []}) == ("", "")


def test_an_id_below_the_root_ends_what_is_known_of_references() -> None:
    """A reference in a part with an `$id` of its own leads somewhere else."""
    inner = {"$id": "https://example.org/inner", "$defs": {"x": {}}, "$ref": "#/$defs/x"}
    assert flaw({"properties": {"a": inner}, "required": ["a"]}) == ("", "")


def test_a_schema_that_is_too_large_to_search_is_let_pass_soon() -> None:
    """2^40 combinations of branches end by the bound of the search and not by the night."""
    choice = {"anyOf": [{"minimum": 1}, {"minimum": 2}]}
    assert flaw({"type": "integer", "allOf": [choice] * 40 + [{"anyOf": [{"type": "null"}]}]}) == ("", "")
    deep: dict[str, Any] = {"enum": []}
    for _ in range(200):
        deep = {"type": "array", "items": deep, "minItems": 1}
    assert flaw(deep) == ("", "")


scalars: st.SearchStrategy[Any] = st.one_of(
    st.none(), st.booleans(), st.integers(-3, 3), st.sampled_from([0.5, -1.5, 2.0]), st.text("xyz", max_size=3)
)
TYPES = ("null", "boolean", "integer", "number", "string", "array", "object")


def kind(value: Any) -> str:
    return next(name for name in TYPES if jsonschema_rs.is_valid({"type": name}, value))


@st.composite
def of_scalar(draw: st.DrawFn) -> Pair:
    value = draw(scalars)
    schema: dict[str, Any] = {"type": draw(st.sampled_from([kind(value), sorted({kind(value), "null"})]))}
    if isinstance(value, int | float) and not isinstance(value, bool):
        schema |= draw(st.sampled_from([{}, {"minimum": value}, {"exclusiveMinimum": value - 0.5, "maximum": value}]))
    if isinstance(value, str):
        schema |= draw(st.sampled_from([{}, {"minLength": len(value), "maxLength": len(value)}]))
    return draw(
        st.sampled_from([schema, {"const": value}, {"enum": [value, "other"]}, {**schema, "enum": [value]}])
    ), value


@st.composite
def of_object(draw: st.DrawFn, inner: st.SearchStrategy[Pair]) -> Pair:
    pairs = draw(st.dictionaries(NAMES, inner, max_size=3))
    value = {name: one for name, (_, one) in pairs.items()}
    more: dict[str, Any] = draw(st.fixed_dictionaries({}, optional={"additionalProperties": st.just(False)}))
    properties: dict[str, Any] = {name: schema for name, (schema, _) in pairs.items()}
    if draw(st.booleans()):
        properties["never"] = draw(
            st.sampled_from([False, {"enum": []}, {"type": "integer", "minimum": 2, "maximum": 1}])
        )
    sizes = draw(st.sampled_from([{}, {"minProperties": len(value), "maxProperties": len(value)}]))
    return {"type": "object", "properties": properties, "required": sorted(value), **more, **sizes}, value


@st.composite
def of_list(draw: st.DrawFn, inner: st.SearchStrategy[Pair]) -> Pair:
    firsts = draw(st.lists(inner, max_size=2))
    rest, value = draw(inner)
    again = draw(st.integers(0, 2))
    values = [one for _, one in firsts] + [value] * again
    items: Any = rest if again else draw(st.sampled_from([rest, False]))
    prefix = {"prefixItems": [schema for schema, _ in firsts]} if firsts else {}
    return {"type": "array", **prefix, "items": items, "minItems": len(values), "maxItems": len(values)}, values


@st.composite
def combined(draw: st.DrawFn, inner: st.SearchStrategy[Pair]) -> Pair:
    schema, value = draw(inner)
    other, _ = draw(inner)
    several = draw(st.sampled_from([[schema, other], [{"enum": []}, schema], [False, schema]]))
    return draw(st.sampled_from([{"anyOf": several}, {"allOf": [schema, {"type": kind(value)}, True]}])), value


pairs: st.SearchStrategy[Pair] = st.recursive(
    of_scalar(), lambda inner: st.one_of(of_object(inner), of_list(inner), combined(inner)), max_leaves=8
)


@given(pairs)
def test_a_schema_with_a_witness_has_no_flaw(pair: Pair) -> None:
    """A schema made around a value that satisfies it is never called unsatisfiable, also behind a reference."""
    schema, witness = pair
    jsonschema_rs.validate(schema, witness)
    assert flaw(schema) == ("", "")
    assert flaw({"$defs": {"x": schema}, "$ref": "#/$defs/x"}) == ("", "")


sizes = st.integers(0, 2)
TREE = st.deferred(lambda: schemas)
schemas: st.SearchStrategy[Any] = st.one_of(
    st.booleans(),
    st.builds(lambda name: {"$ref": f"#/$defs/{name}"}, st.sampled_from(["x", "y"])),
    st.fixed_dictionaries(
        {},
        optional={
            "type": st.lists(
                st.sampled_from(["null", "integer", "array", "object"]), min_size=1, max_size=2, unique=True
            ),
            "enum": st.lists(st.sampled_from([None, 0, 1, [], {}, [0]]), min_size=1, max_size=2),
            "minimum": sizes,
            "maximum": sizes,
            "exclusiveMinimum": sizes,
            "minItems": sizes,
            "maxItems": sizes,
            "items": TREE,
            "properties": st.dictionaries(st.just("a"), TREE, max_size=1),
            "required": st.sampled_from([[], ["a"]]),
            "additionalProperties": TREE,
            "anyOf": st.lists(TREE, min_size=1, max_size=2),
            "allOf": st.lists(TREE, min_size=1, max_size=2),
            "$ref": st.sampled_from(["#/$defs/x", "#/$defs/y"]),
        },
    ),
)


def values() -> list[Any]:
    """Everything small: what a naive search would try."""
    found: list[Any] = [None, 0, 1, 2, 3, 0.5, "s"]
    for _ in range(2):
        found += [[], *([one] for one in found[:12]), [found[0], found[0]], {}, *({"a": one} for one in found[:12])]
    return found


SMALL = values()


def refers_in_place(root: dict[str, Any]) -> bool:
    """A schema that is applied to a value by itself is undefined, and recursion without an end in validators."""

    def directly(schema: Any) -> list[Any]:
        inner = [*schema.get("anyOf", ()), *schema.get("allOf", ())] if isinstance(schema, dict) else []
        own = [schema["$ref"][-1]] if isinstance(schema, dict) and "$ref" in schema else []
        return own + [name for one in inner for name in directly(one)]

    leads = {name: set(directly(schema)) for name, schema in root["$defs"].items()}
    return "x" in leads["x"] or "y" in leads["y"] or ("y" in leads["x"] and "x" in leads["y"])


@given(schemas, schemas, schemas)
def test_a_naive_search_finds_nothing_where_there_is_a_flaw(schema: Any, one: Any, other: Any) -> None:
    """What is called unsatisfiable is satisfied by no small value, by a validator that is not ours."""
    root = {"$defs": {"x": one, "y": other}, "allOf": [schema]}
    if refers_in_place(root) or not flaw(root)[1]:
        return
    validator = jsonschema_rs.validator_for(root)
    assert [value for value in SMALL if validator.is_valid(value)] == []
