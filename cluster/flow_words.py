"""What is wrong in a workflow's file, in the words of its author: pydantic's errors, put into plain ones."""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Annotated, Any, Final, Literal, get_args, get_origin

from pydantic import BaseModel
from pydantic_core import ErrorDetails

from ..protocols.strict import unknown
from ..protocols.suggest import did_you_mean
from ..protocols.workflow.basic import IMPORT_PATH
from ..protocols.workflow.nodes import KINDS, Flow
from ..protocols.workflow.step import Step
from .yaml_file import PLAIN, Document, Location

_KINDS: Final = ", ".join(KINDS)
_UNION: Final = re.compile(r"^(dict\[.*\]|str|function-.*|word|mapping)$")
"""What the branches of a union are called, such as `dict | str`; the file has no such key."""


class FlowWords:
    """See `Speaker`."""

    def __init__(self, document: Document) -> None:
        self._document = document

    def written(self, detail: ErrorDetails) -> Location | None:
        """Without the kinds and branches that pydantic puts into a location; None for lists that only seem short."""
        location = tuple(part for part, _ in _trail(detail["loc"]) if part is not None)
        location += tuple(detail.get("ctx", {}).get("path", ()))
        value, location = self._within(location)
        if detail["type"] == "too_short" and isinstance(value, list | dict):
            # Pydantic counts what is right: one that is wrong is told by itself.
            return None if len(value) >= detail["ctx"]["min_length"] else location
        if detail["type"] in ("union_tag_invalid", "union_tag_not_found"):
            return (*location, "kind")
        return location

    def _within(self, location: Location) -> tuple[Any, Location]:
        """(the value there, the location) without what lies below a text: `on_error: skip` has no `then` there."""
        value: Any = self._document.plain
        for place, part in enumerate(location):
            if not isinstance(value, list | dict):
                return value, location if value is None else location[:place]
            value = _at(value, part)
        return value, location

    def sentence(self, detail: ErrorDetails, location: Location) -> str:
        """What is wrong, and how to mend it."""
        kind, context = detail["type"], detail.get("ctx", {})
        *_, (_, annotation) = [(None, Flow), *_trail(detail["loc"])]
        said: dict[str, Callable[[], str]] = {
            "mistake": lambda: str(context["message"]),
            "extra_forbidden": lambda: _unknown_key(str(location[-1]), _above(detail["loc"])),
            "union_tag_invalid": lambda: self._unknown_kind(location),
            "union_tag_not_found": lambda: self._no_kind(location),
            "literal_error": lambda: _literal(str(context["expected"]), detail["input"]),
            "string_pattern_mismatch": lambda: _pattern(str(context["pattern"])),
            "string_too_long": lambda: f"must have at most {context['max_length']} letters",
            "too_short": lambda: f"must have {context['min_length']} or more; it has {context['actual_length']}",
            "json_invalid": lambda: "nested too deeply; put parts of it under `flows`, and `use` them",
        }
        if kind in said:
            return said[kind]()
        if kind in ("dict_type", "model_attributes_type") and _is_node(annotation):
            return "must be a step: a mapping with a `kind`, such as `kind: call`"
        if kind == "model_type" and detail["loc"][-1] == "mapping":
            return "must be a word, such as `skip`, or a mapping with `then`"
        if kind in ("dict_type", "string_type") and _is_schema(detail["loc"]):
            return "must be a JSON Schema (a mapping), or module:Model as text"
        return PLAIN.get(kind) or detail["msg"].replace("Input should", "must", 1)

    def _unknown_kind(self, location: Location) -> str:
        given, _ = self._within(location)
        return unknown("kind of step", given, KINDS) if isinstance(given, str) else f"must be text: one of {_KINDS}"

    def _no_kind(self, location: Location) -> str:
        """The kind that has all the keys there are is most likely meant."""
        given, _ = self._within(location[:-1])
        if isinstance(given, Mapping) and given:
            fits = [kind for kind, model in KINDS.items() if set(given) - _ANYWHERE <= set(_keys(model))]
            if len(fits) == 1 and set(given) - _ANYWHERE:
                return f"is missing: write `kind: {fits[0]}`, whose keys these are"
        return f"is missing: say which kind of step it is, one of {_KINDS}"


def _literal(expected: str, given: object) -> str:
    return f"must be {expected}" + did_you_mean(str(given), re.findall("'([^']*)'", expected))


def _pattern(pattern: str) -> str:
    if pattern == IMPORT_PATH:
        return "must be an import path, such as package.module:function"
    return PLAIN["string_pattern_mismatch"]


def _unknown_key(key: str, annotation: Any) -> str:
    model = next(
        (one for one in _alternatives(annotation) if isinstance(one, type) and issubclass(one, BaseModel)), None
    )
    known = list(_keys(model)) if model is not None else []
    found = did_you_mean(key, known)
    if found or model is None:
        return f"unknown key{found}"
    own = [name for name in known if name not in _ANYWHERE] or known
    return f"unknown key; known here: {', '.join(own)}"


def _keys(model: type[BaseModel]) -> Iterator[str]:
    for name, field in model.model_fields.items():
        yield field.serialization_alias or name


_ANYWHERE: Final = frozenset((*_keys(Step), "kind"))


# Where in the models a location is -----------------------------------------------------------------------------------


def _trail(loc: tuple[str | int, ...]) -> Iterator[tuple[str | int | None, Any]]:
    """For each part of pydantic's location: the part as the file has it (None: it has no such key), and its type."""
    annotation: Any = Flow
    for part in loc:
        if part == "[key]" or (isinstance(part, str) and _is_either(annotation) and _UNION.match(part)):
            yield None, annotation
        elif _is_node(annotation):
            annotation = KINDS.get(str(part))
            yield None, annotation
        else:
            annotation = _below(annotation, part)
            yield part, annotation


def _above(loc: tuple[str | int, ...]) -> Any:
    return [Flow, *(annotation for _, annotation in _trail(loc[:-1]))][-1]


def _below(annotation: Any, part: str | int) -> Any:
    for one in _alternatives(annotation):
        if isinstance(one, type) and issubclass(one, BaseModel):
            field = next((it for name, it in one.model_fields.items() if part in (name, it.serialization_alias)), None)
            return None if field is None else field.annotation
        if get_origin(one) is dict:
            return get_args(one)[1]
        if get_origin(one) is tuple:
            return get_args(one)[0]
    return None


def _alternatives(annotation: Any) -> list[Any]:
    if get_origin(annotation) is Annotated:
        return _alternatives(get_args(annotation)[0])
    if get_origin(annotation) in (dict, tuple, Literal) or not get_args(annotation):
        return [] if annotation in (None, type(None)) else [annotation]
    return [one for part in get_args(annotation) for one in _alternatives(part)]


def _is_node(annotation: Any) -> bool:
    found = _alternatives(annotation)
    return len(found) > 1 and all(isinstance(one, type) and issubclass(one, Step) for one in found)


def _is_either(annotation: Any) -> bool:
    found = _alternatives(annotation)
    return len(found) > 1 and not _is_node(annotation)


def _is_schema(loc: tuple[str | int, ...]) -> bool:
    return bool(loc) and isinstance(loc[-1], str) and _UNION.match(loc[-1]) is not None and _is_either(_above(loc))


def _at(value: Any, part: str | int) -> Any:
    if isinstance(value, dict):
        return value.get(part)
    return value[part] if isinstance(part, int) and part < len(value) else None
