"""Which schemas go to a provider as strict ones: never one that it would refuse."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from understudy.protocols.wire.schemas import strict_for_anthropic, strict_for_openai

STRING = {"type": "string"}


def closed(properties: dict[str, Any], **more: Any) -> dict[str, Any]:
    fixed = {"type": "object", "additionalProperties": False}
    return {**fixed, "properties": properties, "required": list(properties), **more}


def deep(levels: int) -> dict[str, Any]:
    schema: dict[str, Any] = STRING
    for _ in range(levels):
        schema = closed({"a": schema})
    return schema


NODE = closed({"next": {"anyOf": [{"$ref": "#/$defs/node"}, {"type": "null"}]}})


@pytest.mark.parametrize(
    ("schema", "openai", "anthropic"),
    [
        (closed({"a": STRING}), True, True),
        (closed({"a": {"type": ["string", "null"]}, "b": {"type": "array", "items": closed({})}}), True, True),
        (closed({"a": {"enum": ["x", 1]}, "b": {"const": 1}}), True, True),
        (closed({"a": STRING}, required=[]), False, True),
        (closed({"a": STRING}, additionalProperties=True), False, False),
        ({"type": "object", "properties": {"a": STRING}, "required": ["a"]}, False, False),
        (closed({"a": {"type": "object"}}), False, False),
        (closed({"a": {"type": ["object", "null"]}}), False, False),
        (closed({"a": {"type": "integer", "minimum": 0}}), True, False),
        (closed({"a": {"type": "string", "minLength": 1}}), False, False),
        (closed({"a": {**STRING, "default": ""}}), False, True),
        (closed({"a": {"allOf": [STRING]}}), False, False),
        (closed({"a": {"anyOf": [STRING, closed({})]}}), True, True),
        ({"anyOf": [closed({})]}, False, False),
        (closed({"a": {"$ref": "#/$defs/x"}}, **{"$defs": {"x": STRING}}), True, True),
        (closed({"a": {"$ref": "#/$defs/node"}}, **{"$defs": {"node": NODE}}), True, False),
        (closed({"a": {"$ref": "#"}}), True, False),
        (closed({"a": {"$ref": "#/$defs/gone"}}), True, False),
        (deep(9), True, True),
        (deep(10), False, False),
        (closed({"a": {"enum": list(range(1001))}}), False, False),
        (closed({"a": True}), False, False),
        (closed({"a": {"anyOf": "x"}}), False, False),
        ({"type": "string"}, False, False),
        ({}, False, False),
    ],
)
def test_what_is_legal(schema: dict[str, Any], openai: bool, anthropic: bool) -> None:
    """Each published limit, for both providers."""
    assert (strict_for_openai(schema), strict_for_anthropic(schema)) == (openai, anthropic)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.sampled_from(["object", "string", "#", "#/$defs/a"]),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(
                    [
                        "type",
                        "properties",
                        "required",
                        "additionalProperties",
                        "anyOf",
                        "$defs",
                        "definitions",
                        "$ref",
                        "enum",
                        "items",
                        "a",
                    ]
                ),
                inner,
                max_size=5,
            )
        ),
        max_leaves=25,
    )
)
def test_any_json_is_judged(schema: Any) -> None:
    """Whatever object stands for a schema: a verdict, never an exception."""
    if isinstance(schema, dict):
        assert isinstance(strict_for_openai(json.loads(json.dumps(schema))), bool)
        assert isinstance(strict_for_anthropic({"type": "object", "additionalProperties": False, **schema}), bool)
