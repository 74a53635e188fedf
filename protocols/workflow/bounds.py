"""What keywords of a JSON Schema say together about one value, nested values aside: types, bounds, sizes, enum."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple


class Part(NamedTuple):
    """A schema that a value has to fit (an object, or a boolean that no bound asks about), and the pointer to it."""

    pointer: str
    schema: Any


class Flaw(NamedTuple):
    """Where a schema can not be satisfied, and one line that says why and how to mend it."""

    pointer: str
    reason: str


KINDS: Final = ("null", "boolean", "string", "integer", "fraction", "array", "object")
"""Types, with `number` in two: a whole number is both `integer` and `number`, also when it is written 1.0."""

_OF_TYPE: Final = {
    **{kind: frozenset({kind}) for kind in KINDS if kind != "fraction"},
    "number": frozenset({"integer", "fraction"}),
}
_SIZES: Final = {
    "string": ("minLength", "maxLength"),
    "array": ("minItems", "maxItems"),
    "object": ("minProperties", "maxProperties"),
}


def contradiction(parts: Sequence[Part]) -> Flaw | None:
    """Why nothing fits all these schemas, as far as it can be seen without looking at nested values."""
    kinds = frozenset(KINDS)
    for part in parts:
        left = kinds & types(part)
        if not left:
            if part.schema.get("type") == []:
                return Flaw(part.pointer, "`type` is an empty list, so no value fits; name a type, or leave it out")
            why = f"no type is left: `type` {part.schema['type']!r} and what else applies have none in common"
            return Flaw(part.pointer, f"{why}; change the one or the other")
        kinds = left
    flaws = [flaw for kind in KINDS if kind in kinds and (flaw := _against(kind, parts))]
    return flaws[0] if len(flaws) == len(kinds) else _enumerated(parts)


def standing(parts: Sequence[Part]) -> list[str]:
    """The kinds that are left; all but `array` and `object` are then certain to have a value, without an enum."""
    kinds = frozenset(KINDS)
    for part in parts:
        kinds &= types(part)
    return [kind for kind in KINDS if kind in kinds and _against(kind, parts) is None]


def enumerates(parts: Sequence[Part]) -> bool:
    """True when values are listed, by `enum` or `const`."""
    return any("const" in part.schema or isinstance(part.schema.get("enum"), list) for part in parts)


def required(parts: Sequence[Part]) -> dict[str, Part]:
    """The names an object must have, and who says so first."""
    names: dict[str, Part] = {}
    for part in parts:
        wanted = part.schema.get("required")
        for name in wanted if isinstance(wanted, list) else ():
            if isinstance(name, str):
                names.setdefault(name, part)
    return names


def least(parts: Sequence[Part], keyword: str) -> int:
    """The greatest of the lower bounds of a size (`minItems`, …); 0 where there is none."""
    return max((size for part in parts if (size := _size(part.schema.get(keyword))) is not None), default=0)


def types(part: Part) -> frozenset[str]:
    """Kinds that `type` allows: all of them where it is missing or not one of JSON Schema's own."""
    said = part.schema.get("type", list(_OF_TYPE))
    names = [said] if isinstance(said, str) else said
    if not isinstance(names, list) or not all(isinstance(name, str) and name in _OF_TYPE for name in names):
        return frozenset(KINDS)
    return frozenset[str]().union(*(_OF_TYPE[name] for name in names))


def _against(kind: str, parts: Sequence[Part]) -> Flaw | None:
    if kind in ("integer", "fraction"):
        return _numbers(kind, parts)
    if kind not in _SIZES:
        return None
    return _sizes(kind, parts) or (_names(parts) if kind == "object" else None)


class _Bound(NamedTuple):
    value: float
    strict: bool
    words: str
    pointer: str


def _bounds(parts: Sequence[Part], side: str) -> list[_Bound]:
    names = ((f"{side}imum", False), (f"exclusive{side.capitalize()}imum", True))
    return [
        _Bound(value, strict, f"{name} {value}", part.pointer)
        for part in parts
        for name, strict in names
        if (value := _number(part.schema.get(name))) is not None
    ]


def _numbers(kind: str, parts: Sequence[Part]) -> Flaw | None:
    lows, highs = _bounds(parts, "min"), _bounds(parts, "max")
    if not lows or not highs:
        return None
    low = max(lows, key=lambda bound: (bound.value, bound.strict))
    high = min(highs, key=lambda bound: (bound.value, not bound.strict))
    if kind == "integer":
        first = math.floor(low.value) + 1 if low.strict else math.ceil(low.value)
        last = math.ceil(high.value) - 1 if high.strict else math.floor(high.value)
        if first <= last:
            return None
        what = "no whole number lies between"
    elif low.value < high.value or (low.value == high.value and not low.strict and not high.strict):
        return None
    else:
        what = "no number lies between"
    return Flaw(high.pointer, f"{what} {low.words} and {high.words}; move one of them")


def _sizes(kind: str, parts: Sequence[Part]) -> Flaw | None:
    lower, upper = _SIZES[kind]
    low = least(parts, lower)
    for part in parts:
        high = _size(part.schema.get(upper))
        if high is not None and high < low:
            return Flaw(part.pointer, f"{lower} {low} is greater than {upper} {high}; move one of them")
    return None


def _names(parts: Sequence[Part]) -> Flaw | None:
    """Contradictions about which names an object has."""
    wanted = required(parts)
    fewest = least(parts, "minProperties")
    for part in parts:
        most = _size(part.schema.get("maxProperties"))
        if most is not None and len(wanted) > most:
            return Flaw(part.pointer, f"{len(wanted)} names are required, but maxProperties is {most}; raise it")
        named = closed(part)
        if named is None:
            continue
        for name in wanted:
            if name not in named:
                why = f"`{name}` is required, but `additionalProperties: false` forbids it"
                return Flaw(part.pointer, f"{why}; add it to properties, or take it out of required")
        if fewest > len(named):
            why = f"minProperties is {fewest}, but only {len(named)} names are allowed"
            return Flaw(part.pointer, f"{why}; lower it, or allow more")
    return None


def closed(part: Part) -> frozenset[str] | None:
    """The only names a part allows; None where it allows others, or may do so by a pattern."""
    if part.schema.get("additionalProperties") is not False or part.schema.get("patternProperties"):
        return None
    properties = part.schema.get("properties")
    return frozenset(properties) if isinstance(properties, Mapping) else frozenset()


def _enumerated(parts: Sequence[Part]) -> Flaw | None:
    lists = [(part, values) for part in parts for values in _listed(part)]
    if not lists:
        return None
    part, values = lists[0]
    if not values:
        return Flaw(part.pointer, "`enum` is empty, so no value fits; list the values that are allowed")
    if any(_fits(value, parts) and all(value in others for _, others in lists) for value in values):
        return None
    which = "`const`" if "const" in part.schema else "every value of `enum`"
    return Flaw(part.pointer, f"{which} breaks what else is said of this value; change the one or the other")


def _listed(part: Part) -> list[list[Any]]:
    values = part.schema.get("enum")
    const = [[part.schema["const"]]] if "const" in part.schema else []
    return [*const, *([values] if isinstance(values, list) else [])]


def _fits(value: Any, parts: Sequence[Part]) -> bool:
    """False when a listed value breaks a type, a bound, a size or `required`."""
    kind = _kind(value)
    if any(kind not in types(part) for part in parts):
        return False
    if kind in ("integer", "fraction"):
        return all(_over(value, bound) for bound in _bounds(parts, "min")) and all(
            _under(value, bound) for bound in _bounds(parts, "max")
        )
    if kind not in _SIZES:
        return True
    if kind == "object" and not required(parts).keys() <= value.keys():
        return False
    lower, upper = _SIZES[kind]
    highs = [size for part in parts if (size := _size(part.schema.get(upper))) is not None]
    return least(parts, lower) <= len(value) and all(len(value) <= high for high in highs)


def _over(value: float, bound: _Bound) -> bool:
    return value > bound.value or (value == bound.value and not bound.strict)


def _under(value: float, bound: _Bound) -> bool:
    return value < bound.value or (value == bound.value and not bound.strict)


def _kind(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return "null" if value is None else "boolean"
    if isinstance(value, int | float):
        return "integer" if isinstance(value, int) or value.is_integer() else "fraction"
    if isinstance(value, str):
        return "string"
    return "array" if isinstance(value, list) else "object"


def _number(value: object) -> float | None:
    """A bound; draft 4's booleans, and what is no finite number, are none."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return value


def _size(value: object) -> int | None:
    number = _number(value)
    return None if number is None or number != int(number) else int(number)
