"""Which fields of a node hold templates, and what stands in them."""

from collections.abc import Iterator
from functools import lru_cache
from typing import Any, get_args

from pydantic import BaseModel

from .step import EXPR, FILLED, TEMPLATE, Step

Place = tuple[str | int, ...]


def templated(model: BaseModel, at: Place = ()) -> Iterator[tuple[Place, str, Any]]:
    """(path from the node, mark, value) of each template, expression and filled value of a node.

    Those of steps inside are not among them; those of its policy, its gate and its rules are.
    """
    for name, field in type(model).model_fields.items():
        value = getattr(model, name)
        here = (*at, field.serialization_alias or name)
        mark = _mark(type(model), name)
        if mark and value is not None:
            yield from _values(value, here, mark)
        elif not mark:
            yield from _nested(value, here)


def _values(value: Any, at: Place, mark: str) -> Iterator[tuple[Place, str, Any]]:
    """A mapping of filled values is given value by value, so that each has a place."""
    if mark == FILLED and isinstance(value, dict):
        for key, one in value.items():
            yield from _values(one, (*at, key), mark)
    else:
        yield at, mark, value


def _nested(value: Any, at: Place) -> Iterator[tuple[Place, str, Any]]:
    if isinstance(value, BaseModel) and not isinstance(value, Step):
        yield from templated(value, at)
    elif isinstance(value, tuple):
        for place, one in enumerate(value):
            yield from _nested(one, (*at, place))


@lru_cache(maxsize=512)
def _mark(model: type[BaseModel], name: str) -> str:
    field = model.model_fields[name]
    return _marked((*field.metadata, field.annotation))


def _marked(parts: Any) -> str:
    for part in parts:
        if isinstance(part, str) and part in (TEMPLATE, EXPR, FILLED):
            return part
        found = _marked((*getattr(part, "__metadata__", ()), *get_args(part))) if not isinstance(part, str) else ""
        if found:
            return found
    return ""
