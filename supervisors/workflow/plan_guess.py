"""What stands in for an output that nobody has seen yet: a text of the size it may have, which templates can read.

Plans are made by filling in the workflow's own templates, so that the text around a variable, loops over parts and the
like count as they are. What is not known is a `Guess`: as a text it is filler of so many tokens; asked for a field or
for its items it gives smaller guesses, by its JSON Schema where there is one. Pure.
"""

import dataclasses
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any, Final, Self

import orjson

ITEMS: Final = 4
"""Items of a list that nobody has seen, typically."""
MOST_ITEMS: Final = 16
"""The same at most, where no schema says."""
_SHOWN: Final = 200_000
"""Tokens of copies that a list holds at most: more fits no window, and would fill memory."""
_DEEP: Final = 12
_SMALL: Final = 4
"""Tokens of a number or a word of JSON."""
_CHARS: Final = 3
"""Characters of a token, from below."""


@lru_cache(maxsize=256)
def _filler(tokens: int) -> str:
    return ("word" + " word" * (tokens - 1)) if tokens > 0 else ""


class Guess(str):
    """See the module. What is its own has long names: templates ask it for fields of any name.

    Attributes:
        guessed_tokens: how many it has.
        guessed_schema: what it fits.
        guessed_most: it is the most there can be.
    """

    __slots__ = ("_root", "guessed_most", "guessed_schema", "guessed_tokens")

    guessed_tokens: int
    guessed_schema: Mapping[str, Any]
    guessed_most: bool
    _root: Mapping[str, Any]

    def __new__(cls, tokens: int, schema: Mapping[str, Any] | None = None, *, generous: bool, root: Any = None) -> Self:
        """A text of so many tokens."""
        self = super().__new__(cls, _filler(tokens))
        self.guessed_tokens, self.guessed_most = tokens, generous
        self.guessed_schema = schema or {}
        self._root = self.guessed_schema if root is None else root
        return self

    def __getitem__(self, key: Any) -> Any:
        """A field by its name; characters by their places, as of any text."""
        return self.guessed_field(key) if isinstance(key, str) else str(self)[key]

    def __iter__(self) -> Iterator[Any]:
        """Items, as if it were a list."""
        return iter(self.guessed_items())

    def guessed_field(self, name: str) -> Any:
        """What stands under a name; the most one field can hold is all there is."""
        known = self.guessed_schema.get("properties", {})
        tokens = self.guessed_tokens if self.guessed_most else max(1, self.guessed_tokens // max(2, len(known)))
        return self._part(known.get(name, {}), tokens)

    def guessed_items(self, unbounded: int = 0) -> list[Any]:
        """As many as is guessed (or as is said), within what the schema bounds, of equal sizes."""
        count = unbounded or (MOST_ITEMS if self.guessed_most else ITEMS)
        schema = self.guessed_schema
        top = schema.get("maxItems")
        if isinstance(top, int):
            count = top if self.guessed_most else min(count, top)
        if isinstance(schema.get("minItems"), int):
            count = max(count, schema["minItems"])
        inner = schema.get("items")
        tokens = max(1, self.guessed_tokens // max(count, 1))
        return [self._part(inner if isinstance(inner, Mapping) else {}, tokens) for _ in range(count)]

    def _part(self, schema: Any, tokens: int) -> Any:
        return guessed(schema, tokens, generous=self.guessed_most, root=self._root)


def is_bounded(value: Any) -> bool:
    """False for a guess at a list whose length no schema bounds."""
    return not isinstance(value, Guess) or isinstance(value.guessed_schema.get("maxItems"), int)


def guessed(schema: Any, tokens: int, *, generous: bool, root: Any = None) -> Any:
    """A value that a schema allows: what is small by its nature as it is, all else as a guess of `tokens`."""
    root = schema if root is None else root
    schema = _resolved(schema, root)
    values = [schema["const"]] if "const" in schema else schema.get("enum")
    if values:
        return max(values, key=lambda value: len(orjson.dumps(value)))
    small: dict[Any, Any] = {"boolean": True, "integer": 1, "number": 1, "null": None}
    kind = schema.get("type")
    if isinstance(kind, str) and kind in small:
        return small[kind]
    return Guess(tokens, schema, generous=generous, root=root)


def bound(schema: Any, root: Any = None, deep: int = 0) -> int | None:
    """The most tokens that JSON of a schema can have, about; None where nothing bounds it."""
    root = schema if root is None else root
    schema = _resolved(schema, root)
    if "const" in schema or "enum" in schema:
        values = [schema["const"]] if "const" in schema else schema["enum"]
        return max((len(orjson.dumps(value)) for value in values), default=1) // _CHARS + 1
    kind = schema.get("type")
    if kind in ("boolean", "integer", "number", "null"):
        return _SMALL
    if kind == "string" and isinstance(schema.get("maxLength"), int):
        return int(schema["maxLength"]) // _CHARS + 2
    return _nested(schema, kind, root, deep) if deep < _DEEP else None


def _nested(schema: Mapping[str, Any], kind: Any, root: Any, deep: int) -> int | None:
    if kind == "array" and isinstance(schema.get("maxItems"), int):
        one = bound(schema.get("items", {}), root, deep + 1)
        return None if one is None else int(schema["maxItems"]) * (one + 1) + 2
    if kind == "object" and schema.get("additionalProperties") is False:
        parts = {name: bound(one, root, deep + 1) for name, one in schema.get("properties", {}).items()}
        sizes = [part + len(name) // _CHARS + 4 for name, part in parts.items() if part is not None]
        return None if len(sizes) < len(parts) else sum(sizes) + 2
    return None


def _resolved(schema: Any, root: Any) -> Mapping[str, Any]:
    """The schema that a reference stands for; of several that may hold the first that says something."""
    for _ in range(_DEEP):
        if not isinstance(schema, Mapping):
            return {}
        reference = schema.get("$ref")
        if isinstance(reference, str) and reference.startswith("#/"):
            found: Any = root
            for part in reference[2:].split("/"):
                found = found.get(part, {}) if isinstance(found, Mapping) else {}
            schema = found
            continue
        choices = schema.get("anyOf") or schema.get("oneOf") or schema.get("allOf")
        if not isinstance(choices, list):
            return schema
        schema = next((one for one in choices if isinstance(one, Mapping) and one.get("type") != "null"), {})
    return {}


@dataclasses.dataclass(frozen=True, slots=True)
class Both:
    """A value as it typically is, and as large as it may be; `known` where it is the value itself."""

    typical: Any
    most: Any
    known: bool = False

    @classmethod
    def sure(cls, value: Any) -> Self:
        """A value that is known."""
        return cls(value, value, known=True)

    @classmethod
    def text(cls, typical: int, most: int, schema: Mapping[str, Any] | None = None) -> Self:
        """One that nobody has seen, of so many tokens."""
        return cls(guessed(schema or {}, typical, generous=False), guessed(schema or {}, most, generous=True))


def repeated(value: Any, count: int) -> list[Any]:
    """A list of copies, cut where it is longer than any model reads."""
    size = value.guessed_tokens if isinstance(value, Guess) else 8
    return [value] * min(count, max(2, _SHOWN // max(size, 1)))
