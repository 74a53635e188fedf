"""What is known of a step's output before it runs: which attributes a template can ask of it."""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from ...protocols.errors import ConfigError
from ...protocols.workflow.basic import Call, Value
from ...protocols.workflow.patterns import (
    Chain,
    Consensus,
    Evaluate,
    Ladder,
    MapReduce,
    Orchestrate,
    Parallel,
    Route,
)
from ...protocols.workflow.step import Schema, Step
from ...protocols.workflow.wrappers import Budget, Retry, Timeout
from ..patterns.call import schema_of


class Shape(NamedTuple):
    """What a variable is.

    Attributes:
        kind: `text`, `mapping`, `list`, `number`; empty where that is not known, and anything can be asked of it.
        names: the attributes a mapping has; None where it may have any.
        closed: it has these and no others; else one that is not among them is a mistake where it is nearly one.
    """

    kind: str = ""
    names: frozenset[str] | None = None
    closed: bool = True


ANY: Final = Shape()
TEXT: Final = Shape("text")
LIST: Final = Shape("list")
NUMBER: Final = Shape("number")
MAPPING: Final = Shape("mapping")
_KINDS: Final = {
    "string": TEXT,
    "array": LIST,
    "integer": NUMBER,
    "number": NUMBER,
    "object": MAPPING,
}
_TYPES: Final = {"text": str, "list": list, "number": float, "mapping": dict}
_ELSEWHERE: Final = ("$ref", "$dynamicRef", "allOf", "anyOf", "oneOf", "if")


def mapping(*names: str) -> Shape:
    """A mapping with these attributes and no others."""
    return Shape("mapping", frozenset(names))


def has(shape: Shape, attribute: str) -> bool:
    """True when a template may ask for it: also what Python's own texts and mappings can do."""
    if not shape.kind or (shape.kind == "mapping" and shape.names is None):
        return True
    if shape.kind == "list" and attribute.lstrip("-").isdecimal():
        return True
    if shape.kind == "text" and attribute.lstrip("-").isdecimal():
        return True
    return hasattr(_TYPES[shape.kind], attribute) or attribute in (shape.names or ())


def of_schema(schema: Schema | None, *, importing: bool, closed: bool = True) -> Shape:
    """What a value is that fits a schema.

    Args:
        schema: JSON Schema, or the import path of a model.
        importing: a model may be imported.
        closed: an attribute that is not listed is a mistake, also where the schema would allow it.
    """
    plain = _plain(schema) if importing or not isinstance(schema, str) else None
    if plain is None or any(key in plain for key in _ELSEWHERE):
        return ANY
    shape = _KINDS.get(str(plain.get("type")), ANY)
    properties = plain.get("properties")
    more = plain.get("additionalProperties")
    if shape is MAPPING and isinstance(properties, Mapping) and more in (None, False):
        return (
            shape
            if plain.get("patternProperties")
            else Shape("mapping", frozenset(properties), closed or more is False)
        )
    return shape


def _plain(schema: Schema | None) -> Mapping[str, Any] | None:
    try:
        return None if schema is None else schema_of(schema)
    except ConfigError:  # what can't be imported is told by another check
        return None
    except Exception:  # noqa: BLE001 - code of others runs when it is imported; what it raises is told there, too
        return None


def of_value(value: Any) -> Shape:
    """What a value with templates in it becomes."""
    if isinstance(value, dict):
        return mapping(*value)
    if isinstance(value, list | tuple):
        return LIST
    if isinstance(value, str):
        return TEXT if "{" not in value else ANY
    return NUMBER if isinstance(value, int | float) and not isinstance(value, bool) else ANY


class Shapes:
    """The shapes of steps' outputs.

    Args:
        importing: pydantic models may be imported to see what they have.
    """

    def __init__(self, *, importing: bool) -> None:
        self._importing = importing

    def of(self, node: Step) -> Shape:
        """What the step gives when it succeeds; nothing is known where something may stand in for it."""
        if node.on_error is not None and node.on_error.then in ("default", "alternative"):
            return ANY
        return self._of_kind(node)

    def _of_kind(self, node: Step) -> Shape:
        found = self._of_many(node)
        match node:
            case Call():
                found = TEXT if node.output is None else of_schema(node.output, importing=self._importing)
            case Value():
                found = of_value(node.value)
            case Chain():
                found = self._of_chain(node)
            case Retry() | Timeout() | Budget():
                found = self.of(node.node)
            case Evaluate():
                found = self.of(node.generate)
            case Ladder():
                found = self._one_of(*node.rungs)
            case Route():
                handed = (node.escalate,) if node.escalate is not None else ()
                found = self._one_of(*node.branches.values(), *handed)
        return found

    def _of_many(self, node: Step) -> Shape:
        found = ANY
        match node:
            case Parallel() | Orchestrate() if node.then is not None:
                found = self.of(node.then)
            case Parallel():
                found = LIST if node.each is not None else mapping(*node.branches)
            case Orchestrate():
                found = LIST
            case Consensus():
                found = mapping("answer", "agreement", "review", "votes")
            case MapReduce(variant="rerank"):
                found = mapping("answer", "score", "source") if node.top == 1 else LIST
            case MapReduce() if node.reduce is not None:
                found = self.of(node.reduce) if node.variant != "refine" else self._one_of(node.map, node.reduce)
        return found

    def _of_chain(self, node: Chain) -> Shape:
        if any(step.gate is not None for step in node.steps):
            return ANY
        return of_value(node.output) if node.output is not None else self.of(node.steps[-1])

    def _one_of(self, *nodes: Step) -> Shape:
        found = {self.of(node) for node in nodes}
        return found.pop() if len(found) == 1 else ANY
