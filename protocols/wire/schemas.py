"""Which JSON Schemas a provider can hold a model to.

Both providers compile the schema to a grammar and refuse, with a 400, what they can't compile. So what is not surely
within the published subset is asked for in a looser way, and checked when the answer is there.

Sources: OpenAI, *Structured outputs*, "Supported schemas"; Anthropic, *Structured outputs*, "JSON Schema limitations".
"""

from collections.abc import Iterator
from typing import Any, Final

MAX_DEPTH: Final = 10
MAX_PROPERTIES: Final = 5000
MAX_ENUM: Final = 1000

_COMMON: Final = {
    "type",
    "properties",
    "required",
    "additionalProperties",
    "items",
    "enum",
    "const",
    "anyOf",
    "$ref",
    "$defs",
    "definitions",
    "description",
    "title",
    "format",
}
_OPENAI: Final = _COMMON | {
    "pattern",
    "multipleOf",
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "minItems",
    "maxItems",
}
_ANTHROPIC: Final = _COMMON | {"default"}
_REF: Final = ("#/$defs/", "#/definitions/")


def strict_for_openai(schema: dict[str, Any]) -> bool:
    """True when `strict: true` is legal: every object closed, with all its properties required."""
    if "anyOf" in schema:
        return False
    return _legal(schema, _OPENAI, optional=False)


def strict_for_anthropic(schema: dict[str, Any]) -> bool:
    """True when `output_config.format` takes the schema: every object closed, and no schema within itself."""
    return _legal(schema, _ANTHROPIC, optional=True) and not _recursive(schema)


def _legal(schema: dict[str, Any], known: set[str], *, optional: bool) -> bool:
    if schema.get("type") != "object":
        return False
    properties = values = 0
    for depth, one in _walk(schema):
        if depth > MAX_DEPTH or not isinstance(one, dict) or not known.issuperset(one):
            return False
        if not _closed(one, optional=optional):
            return False
        listed = one.get("enum", [])
        properties += len(one.get("properties", ()))
        values += len(listed) if isinstance(listed, list) else MAX_ENUM + 1
        if properties > MAX_PROPERTIES or values > MAX_ENUM:
            return False
    return True


def _closed(schema: dict[str, Any], *, optional: bool) -> bool:
    kind = schema.get("type")
    if kind != "object" and not (isinstance(kind, list) and "object" in kind) and "properties" not in schema:
        return True
    properties, required = schema.get("properties", {}), schema.get("required", [])
    if schema.get("additionalProperties") is not False or not isinstance(properties, dict):
        return False
    if not isinstance(required, list) or not all(isinstance(name, str) for name in required):
        return False
    return optional or set(required) == set(properties)


def _walk(schema: Any, depth: int = 1) -> Iterator[tuple[int, Any]]:
    """The schema and all within it, with their depths; goes one level deeper than is legal, no further."""
    yield depth, schema
    if not isinstance(schema, dict) or depth > MAX_DEPTH:
        return
    for one in _below(schema):
        yield from _walk(one, depth + 1)


def _below(schema: dict[str, Any]) -> Iterator[Any]:
    for key in ("properties", "$defs", "definitions"):
        named = schema.get(key, {})
        yield from named.values() if isinstance(named, dict) else [None]
    if "items" in schema:
        yield schema["items"]
    options = schema.get("anyOf", [])
    yield from options if isinstance(options, list) else [None]


def _recursive(schema: dict[str, Any]) -> bool:
    """True when a definition refers to itself, through others or not, or when a reference leads nowhere known."""
    definitions = {**schema.get("definitions", {}), **schema.get("$defs", {})}
    edges = {name: list(_references(one)) for name, one in definitions.items()}
    root = list(_references({key: one for key, one in schema.items() if key not in ("$defs", "definitions")}))
    if not set(edges).issuperset([*root, *(target for targets in edges.values() for target in targets)]):
        return True
    while edges:
        leaves = [name for name, targets in edges.items() if not any(target in edges for target in targets)]
        if not leaves:
            return True
        for name in leaves:
            del edges[name]
    return False


def _references(schema: Any) -> Iterator[str]:
    for _, one in _walk(schema):
        if isinstance(one, dict) and "$ref" in one:
            target = one["$ref"]
            known = isinstance(target, str) and target.startswith(_REF)
            yield target.rpartition("/")[2] if known else "#"
