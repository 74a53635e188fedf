"""The least JSON that satisfies a JSON Schema, and some that does not.

Understands what providers accept for structured output: type (also Gemini's upper case), enum, const, required,
properties, items, anyOf and oneOf (the first), allOf, local $ref, and the bounds of numbers, texts and lists.
"""

import math
from typing import Any

_DEPTH = 24
_FORMATS = {
    "date": "2026-01-01",
    "date-time": "2026-01-01T00:00:00Z",
    "time": "00:00:00Z",
    "email": "nobody@example.org",
    "uuid": "00000000-0000-4000-8000-000000000000",
    "uri": "https://example.org/",
}


def example(schema: dict[str, Any]) -> Any:
    """The least value that the schema allows; null where it goes deeper than 24 levels."""
    return _value(schema, schema, 0)


def breaking(schema: dict[str, Any]) -> Any:
    """A value that the schema forbids, or None where this module knows none."""
    resolved = _resolve(schema, schema)
    wrong = {"unexpected": True}
    if "anyOf" in resolved or "oneOf" in resolved:
        return None
    if _type(resolved) != "object" or resolved.get("required") or resolved.get("additionalProperties") is False:
        return wrong
    for name, inner in resolved.get("properties", {}).items():
        return {name: "unexpected" if _type(_resolve(inner, schema)) == "object" else wrong}
    return None


def _value(schema: Any, root: dict[str, Any], depth: int) -> Any:
    if not isinstance(schema, dict) or depth > _DEPTH:
        return None
    schema = _resolve(schema, root)
    if "const" in schema:
        return schema["const"]
    if schema.get("enum"):
        return schema["enum"][0]
    for choice in ("anyOf", "oneOf"):
        if schema.get(choice):
            return _value(schema[choice][0], root, depth + 1)
    return _of_type(_type(schema), schema, root, depth)


def _of_type(kind: str, schema: dict[str, Any], root: dict[str, Any], depth: int) -> Any:
    if kind == "object":
        properties = schema.get("properties", {})
        return {name: _value(properties.get(name, {}), root, depth + 1) for name in schema.get("required", ())}
    if kind == "array":
        return [_value(schema.get("items", {}), root, depth + 1)] * int(schema.get("minItems", 0))
    if kind == "string":
        return _text(schema)
    if kind == "integer":
        return math.ceil(_least(schema))
    if kind == "number":
        return _least(schema)
    return False if kind == "boolean" else None


def _text(schema: dict[str, Any]) -> str:
    text = _FORMATS.get(str(schema.get("format")), "text").ljust(int(schema.get("minLength", 0)), ".")
    return text[: int(schema["maxLength"])] if "maxLength" in schema else text


def _least(schema: dict[str, Any]) -> float:
    least: float = schema.get("minimum", 0)
    if "exclusiveMinimum" in schema:
        least = schema["exclusiveMinimum"] + 1
    highest: float = schema.get("maximum", least)
    return min(least, highest)


def _type(schema: dict[str, Any]) -> str:
    kind = schema.get("type")
    if isinstance(kind, list):
        kind = kind[0] if kind else None
    if isinstance(kind, str):
        return kind.lower()
    return "object" if "properties" in schema else "array" if "items" in schema else "null"


def _resolve(schema: dict[str, Any], root: dict[str, Any]) -> dict[str, Any]:
    """The schema with its local references followed and its allOf merged."""
    for _ in range(_DEPTH):
        reference = schema.get("$ref")
        if not isinstance(reference, str):
            break
        schema = _follow(reference, root)
    merged = dict(schema)
    for part in schema.get("allOf", ()):
        inner = _resolve(part, root) if part is not schema else {}
        merged["properties"] = {**merged.get("properties", {}), **inner.get("properties", {})}
        merged["required"] = [*merged.get("required", ()), *inner.get("required", ())]
        merged = {**inner, **merged}
    return merged


def _follow(reference: str, root: dict[str, Any]) -> dict[str, Any]:
    found: Any = root
    for name in reference.removeprefix("#").strip("/").split("/"):
        if name:
            found = found.get(name.replace("~1", "/").replace("~0", "~"), {}) if isinstance(found, dict) else {}
    return found if isinstance(found, dict) else {}
