"""Does a JSON Schema contradict itself? Found before a model is paid to try.

A search for a least fixpoint, as tableaux do it: all that holds of one value is gathered (through `$ref` and `allOf`),
branches of `anyOf` and `oneOf` are tried, and what an object or a list must hold is asked in the same way. A goal that
comes again below itself would need a value without an end. What this module knows nothing of (patterns, formats,
`if`, `contains`, …) is taken to be satisfiable, so a schema that is called unsatisfiable is.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final
from urllib.parse import unquote

from .bounds import Flaw, Part, contradiction, enumerates, least, required, standing

_STEPS: Final = 10_000
"""Goals that are looked at before the search gives up and finds nothing; each nested value is one, and each branch."""

_DEPTH: Final = 60
"""Levels of nesting, and choices for one value, before it does so too: each takes a few frames of Python's stack."""

_DRAFTS: Final = ("draft-06", "draft-07", "2019-09", "2020-12")
_NAMED: Final = ("properties", "patternProperties", "dependentSchemas")
_NESTED: Final = (
    *("allOf", "anyOf", "oneOf", "prefixItems", "items", "additionalProperties"),
    *("not", "if", "then", "else", "contains", "propertyNames"),
)
_NEVER: Final = "`false` allows no value; allow something, or do not ask for it"
_ENDLESS: Final = "needs a value like itself inside, without an end; make what leads back optional, or allow null"


def flaw(schema: Mapping[str, object]) -> tuple[str, str]:
    """Where a schema can not be satisfied, and why.

    Drafts 6, 7, 2019-09 and 2020-12 are known (the last where `$schema` is missing); others are not looked at.

    Args:
        schema: a JSON Schema, as read from JSON. References to other documents are taken to be satisfiable.

    Returns:
        The JSON pointer of the schema in question ("" is the whole) and one line that says why no value fits and how to
        mend it; ("", "") when no contradiction was found. A satisfiable schema is never called unsatisfiable; one that
        is not may be missed. A `$ref` that leads nowhere is a flaw wherever it stands: validators refuse it.
    """
    said = str(schema.get("$schema", _DRAFTS[-1]))
    draft = next((name for name in _DRAFTS if name in said), "")
    if not draft:
        return "", ""
    root = _Root(schema, draft)
    found = root.astray() or _Search(root).why([Part("", schema)], frozenset())
    return (found.pointer, found.reason) if found else ("", "")


class _Root:
    """The document: which schemas stand where in it, and where its references lead.

    References are not followed in a document with an `$id` below its root, because they may then mean something else.
    """

    def __init__(self, schema: Mapping[str, Any], draft: str) -> None:
        self._schema = schema
        self.old = draft.startswith("draft")
        """Beside a `$ref` nothing counts."""
        self.tuples = draft != _DRAFTS[-1]
        """The first items of a list stand under `items` and not under `prefixItems`."""
        below = [node for node in _objects(schema) if node is not schema]
        self._one = not any(isinstance(node.get("$id"), str) for node in below)
        names = ("$anchor", "$dynamicAnchor")
        self._anchors = {name for node in [schema, *below] for key in names if isinstance(name := node.get(key), str)}

    def target(self, schema: Mapping[str, Any]) -> tuple[str, Any] | None:
        """Pointer and schema that its `$ref` leads to, None where there is none or it is not followed."""
        reference = schema.get("$ref")
        if not self._one or not isinstance(reference, str) or not (reference == "#" or reference.startswith("#/")):
            return None
        pointer, found = "", self._schema
        for name in reference.split("/")[1:]:
            key = unquote(name).replace("~1", "/").replace("~0", "~")
            found, pointer = _step(found, key), _join(pointer, key)
        return pointer, found

    def astray(self) -> Flaw | None:
        """The first `$ref` that leads nowhere, among all schemas that can be reached."""
        waiting: list[tuple[str, Any]] = [("", self._schema)]
        seen: set[str] = set()
        while waiting:
            pointer, schema = waiting.pop()
            if pointer in seen or not isinstance(schema, Mapping):
                continue
            seen.add(pointer)
            if self._lost(schema):
                return Flaw(pointer, f"`$ref` {schema['$ref']!r} leads nowhere; define it, or correct the name")
            waiting += _below(pointer, schema)
            waiting += [target] if (target := self.target(schema)) else []
        return None

    def _lost(self, schema: Mapping[str, Any]) -> bool:
        target = self.target(schema)
        if target is not None:
            return not isinstance(target[1], Mapping | bool)
        name = schema.get("$ref")
        return self._one and isinstance(name, str) and name.startswith("#") and unquote(name[1:]) not in self._anchors


class _Search:
    """One search; the goals it has looked at are counted over the whole of it."""

    def __init__(self, root: _Root) -> None:
        self._root = root
        self._left = _STEPS

    def why(self, schemas: Sequence[Part], above: frozenset[frozenset[str]]) -> Flaw | None:
        """Why no value fits all of them; None when one may. `above` are the goals of the values that hold this one."""
        return None if len(above) > _DEPTH else self._choose(schemas, frozenset(), above)

    def _choose(self, schemas: Sequence[Part], chosen: frozenset[str], above: frozenset[frozenset[str]]) -> Flaw | None:
        """Tries the branches of the first choice that is open; without one, looks inside."""
        self._left -= 1
        if self._left < 0 or len(chosen) > _DEPTH:
            return None
        parts = self._gather(schemas)
        found = parts if isinstance(parts, Flaw) else contradiction(parts)
        if isinstance(parts, Flaw) or found:
            return found
        choice = next((choice for part in parts for choice in _choices(part) if choice[0] not in chosen), None)
        if choice is None:
            return self._inside(parts, above)
        pointer, branches = choice
        flaws: list[Flaw] = []
        for branch in branches:
            found = self._choose([*parts, branch], chosen | {pointer}, above)
            if found is None:
                return None
            flaws.append(found)
        why = f"no branch can be met (the first: {flaws[0].reason.partition(';')[0]}); mend one of them"
        return flaws[0] if len(flaws) == 1 else Flaw(pointer, why)

    def _gather(self, schemas: Sequence[Part]) -> list[Part] | Flaw:
        """All that holds of the same value, through `allOf` and `$ref`, each once."""
        parts: dict[str, Part] = {}
        waiting: list[tuple[str, Any]] = [*reversed(schemas)]
        while waiting:
            pointer, schema = waiting.pop()
            if schema is False:
                return Flaw(pointer, _NEVER)
            if pointer in parts or not isinstance(schema, Mapping):
                continue
            refers = self._root.old and "$ref" in schema
            parts[pointer] = Part(pointer, {} if refers else schema)
            waiting += [target] if (target := self._root.target(schema)) else []
            if refers:
                continue
            if schema.get("not") is True or schema.get("not") == {}:
                return Flaw(pointer, "`not` forbids every value; name what is not wanted, or leave it out")
            waiting += reversed(_listed(pointer, schema, "allOf"))
        return list(parts.values())

    def _inside(self, parts: Sequence[Part], above: frozenset[frozenset[str]]) -> Flaw | None:
        """Why no value that is right by itself can hold what it must hold."""
        kinds = standing(parts)
        if enumerates(parts) or not {"array", "object"}.issuperset(kinds):
            return None
        goal = frozenset(part.pointer for part in parts)
        if goal in above:
            return Flaw(parts[0].pointer, _ENDLESS)
        found: Flaw | None = None
        for kind in kinds:
            nested = self._items(parts) if kind == "array" else self._members(parts)
            inner = (self.why(goals, above | {goal}) for goals in nested)
            found = next((flaw for flaw in inner if flaw), None)
            if found is None:
                return None
        return found

    def _members(self, parts: Sequence[Part]) -> Iterator[list[Part]]:
        """For each name that an object must have, all that its value has to fit."""
        for name in required(parts):
            yield [Part(*one) for part in parts for one in _member(part, name)]

    def _items(self, parts: Sequence[Part]) -> Iterator[list[Part]]:
        """For each place that a list must have, all that its value has to fit; the last stands for all that follow."""
        key = "items" if self._root.tuples else "prefixItems"
        firsts = [_listed(part.pointer, part.schema, key) for part in parts]
        longest = max(map(len, firsts), default=0)
        for place in range(min(least(parts, "minItems"), longest + 1)):
            goals: list[Part] = []
            for part, first in zip(parts, firsts, strict=True):
                rest = part.schema.get("items")
                if place < len(first):
                    goals.append(Part(*first[place]))
                elif isinstance(rest, Mapping | bool):
                    goals.append(Part(_join(part.pointer, "items"), rest))
            yield goals


def _choices(part: Part) -> Iterator[tuple[str, list[Part]]]:
    """Its choices: one branch of each has to be met. That it is only one for `oneOf` is not looked at."""
    for keyword in ("anyOf", "oneOf"):
        branches = _listed(part.pointer, part.schema, keyword)
        if branches:
            yield _join(part.pointer, keyword), [Part(*branch) for branch in branches]


def _member(part: Part, name: str) -> Iterator[tuple[str, Any]]:
    properties = part.schema.get("properties")
    if isinstance(properties, Mapping) and name in properties:
        yield _join(_join(part.pointer, "properties"), name), properties[name]
    elif not part.schema.get("patternProperties") and "additionalProperties" in part.schema:
        yield _join(part.pointer, "additionalProperties"), part.schema["additionalProperties"]


def _listed(pointer: str, schema: Mapping[str, Any], keyword: str) -> list[tuple[str, Any]]:
    several = schema.get(keyword)
    place = _join(pointer, keyword)
    return [(_join(place, str(at)), one) for at, one in enumerate(several)] if isinstance(several, list) else []


def _below(pointer: str, schema: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """The schemas that stand in a schema."""
    for keyword in _NESTED:
        yield _join(pointer, keyword), schema.get(keyword)
        yield from _listed(pointer, schema, keyword)
    for keyword in _NAMED:
        several, place = schema.get(keyword), _join(pointer, keyword)
        if isinstance(several, Mapping):
            yield from ((_join(place, name), one) for name, one in several.items())


def _objects(root: object) -> Iterator[Mapping[str, Any]]:
    waiting = [root]
    while waiting:
        node = waiting.pop()
        if isinstance(node, Mapping):
            yield node
            waiting += node.values()
        elif isinstance(node, list):
            waiting += node


def _step(found: Any, key: str) -> Any:
    if isinstance(found, Mapping):
        return found.get(key)
    return found[int(key)] if isinstance(found, list) and key.isdecimal() and int(key) < len(found) else None


def _join(pointer: str, key: str) -> str:
    escaped = key.replace("~", "~0").replace("/", "~1")
    return f"{pointer}/{escaped}"
