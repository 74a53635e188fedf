"""Reads a YAML file that people write, and tells line and column of a mistake.

YAML 1.2 (no `no` that becomes False, no `010` that becomes 8), read without any tag that could construct an object;
keys at the top that begin with `x-` are left alone, so that anchors have a place. Each mistake becomes one line,
`understudy.yaml:7:5: accounts.openai.limits.rpmm: unknown key (did you mean 'rpm'?)`, and never repeats a value, which
may be a key in the wrong place.
"""

import dataclasses
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple, Protocol

from pydantic import ValidationError
from pydantic_core import ErrorDetails
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.constructor import DuplicateKeyError, RoundTripConstructor
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.scalarbool import ScalarBoolean

from ..protocols.errors import ConfigError

MAX_BYTES = 1_000_000
MAX_VALUES = 100_000  # after aliases are followed: nine nested aliases can make 10^9 values of 1 kB

Location = tuple[str | int, ...]
Place = tuple[int, int]  # line and column, from 1


class Mistake(NamedTuple):
    """What is wrong in a file, and where: they sort by line.

    Attributes:
        line: from 1.
        column: from 1.
        path: the key as a person writes it, `models.fast[0]`; empty for the whole.
        text: what is wrong, and how to mend it.
    """

    line: int
    column: int
    path: str
    text: str

    def told(self, name: str) -> str:
        """The whole line, with the file's name."""
        key = f"{self.path}: " if self.path else ""
        return f"{name}:{self.line}:{self.column}: {key}{self.text}"


PLAIN: Final = {  # pydantic speaks of JSON's types, the file is YAML
    "missing": "is missing",
    "int_type": "must be a whole number, without quotes, point or exponent",
    "float_type": "must be a number, without quotes",
    "bool_type": "must be true or false, without quotes",
    "string_type": "must be text; put it into quotes",
    "model_type": "must be a mapping",
    "dict_type": "must be a mapping",
    "tuple_type": "must be a list",
    "string_pattern_mismatch": "must be letters, digits, '.', '_' and '-', with a letter or digit first",
}


@dataclasses.dataclass(frozen=True, slots=True)
class About:
    """What is said of a kind of file.

    Attributes:
        what: it is, for one that is too large.
        empty: what to do about an empty one.
        keys: the keys to begin with.
        asked: what named the file.
        depth: how deep values may nest.
    """

    what: str
    empty: str
    keys: str
    asked: str
    depth: int = 32


CONFIG: Final = About(
    what="a configuration",
    empty="leave the file out for the embedded default, or define accounts and models",
    keys="accounts and models",
    asked="--config",
)


class Speaker(Protocol):
    """Puts pydantic's errors into the words of one kind of file."""

    def written(self, detail: ErrorDetails) -> Location | None:
        """Where the mistake is, as the file has it; None for one that only follows from another."""
        ...

    def sentence(self, detail: ErrorDetails, location: Location) -> str:
        """What is wrong there, and how to mend it."""
        ...


def read(path: Path, about: About = CONFIG) -> str:
    """The text of a file.

    Raises:
        ConfigError: it can't be read, is too large, or is not UTF-8.
    """
    try:
        if path.is_dir():
            raise ConfigError(f"{path}: is a folder; give the file{_example(path, about)}")
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
        if len(data) > MAX_BYTES:
            raise ConfigError(f"{path}: larger than {MAX_BYTES:,} bytes; this can't be {about.what}")
        return data.decode("utf-8-sig")
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file; check the path given to {about.asked}") from None
    except OSError as error:
        raise ConfigError(f"{path}: can't be read: {error.strerror or error}") from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not UTF-8 text (byte {error.start}); save it as UTF-8") from None


def _example(path: Path, about: About) -> str:
    return f", for example {path / 'understudy.yaml'}" if about is CONFIG else ""


def read_yaml(text: str, name: str, about: About = CONFIG) -> "Document":
    """The values of a YAML text, each with its place.

    Raises:
        ConfigError: it is no YAML, or no mapping; one line with `name:line:column`.
    """
    return Document(name, _yaml(text, name), about)


class _Constructor(RoundTripConstructor):
    """Leaves dates as text: `anthropic-version: 2023-06-01` is a header's value, not a day."""


_Constructor.add_constructor("tag:yaml.org,2002:timestamp", lambda self, node: self.construct_scalar(node))


def _yaml(text: str, name: str) -> object:
    reader = YAML(typ="rt")
    reader.Constructor = _Constructor
    try:
        return reader.load(text)
    except DuplicateKeyError as error:
        key = re.search(r'duplicate key "(.*?)" with', error.problem or "")
        raise ConfigError(
            f"{name}{_mark(error)}: duplicate key {key[1]!r}; keep one" if key else f"{name}: duplicate key"
        ) from None
    except MarkedYAMLError as error:
        raise ConfigError(f"{name}{_mark(error)}: not YAML: {error.problem or error.context}") from None
    except (YAMLError, ValueError, RecursionError) as error:
        reason = getattr(error, "reason", None) or "nested too deeply, or a value that can't be read"
        raise ConfigError(f"{name}: not YAML: {reason}") from None


def _mark(error: MarkedYAMLError) -> str:
    mark = error.problem_mark or error.context_mark
    return f":{mark.line + 1}:{mark.column + 1}" if mark else ""


class Document:
    """A parsed file as plain values (`plain`), with the place of each key and of each value."""

    def __init__(self, name: str, root: object, about: About = CONFIG) -> None:
        self.name = name
        self._keys: dict[Location, Place] = {}
        self._values: dict[Location, Place] = {}
        self._left = MAX_VALUES
        self._depth = about.depth
        if root is None:
            raise ConfigError(f"{name}: empty; {about.empty}")
        if not isinstance(root, CommentedMap):
            raise ConfigError(f"{name}:1:1: must be a mapping with keys such as {about.keys}")
        plain = self._convert(root, ())
        self.plain: dict[str, Any] = {key: value for key, value in plain.items() if not key.startswith("x-")}

    def place(self, location: Location) -> Place:
        """Line and column, from 1, of the key or item at `location`, else of the nearest above it."""
        return self._nearest(location)

    def mistake(self, location: Location, text: str) -> Mistake:
        """A mistake at a key or an item."""
        return Mistake(*self.place(location), dotted(location), text)

    def explain(self, error: ValidationError, speaker: Speaker) -> ConfigError:
        """The first mistake by line, as one line of text, with the number of the others.

        A missing key comes last: where another is unknown, that one is often the same key mistyped.
        """
        return first_of(self.name, self.mistakes(error, speaker))

    def mistakes(self, error: ValidationError, speaker: Speaker) -> list[Mistake]:
        """Each mistake once: by line, missing keys last."""
        found: list[tuple[bool, Mistake]] = []
        for detail in error.errors(include_url=False):
            location = speaker.written(detail)
            if location is not None:
                found.append((detail["type"] == "missing", self._mistake(detail, location, speaker)))
        return list(dict.fromkeys(mistake for _, mistake in sorted(found)))

    def _mistake(self, detail: ErrorDetails, location: Location, speaker: Speaker) -> Mistake:
        of_key = detail["type"] == "extra_forbidden" or "[key]" in detail["loc"]
        place = (self._keys if of_key else self._values).get(location) or self._nearest(location)
        return Mistake(*place, dotted(location), speaker.sentence(detail, location))

    def _nearest(self, location: Location) -> Place:
        while location not in self._keys and location:
            location = location[:-1]
        return self._keys.get(location, (1, 1))

    def _convert(self, node: Any, at: Location) -> Any:
        self._left -= 1
        if self._left < 0 or len(at) > self._depth:
            raise ConfigError(f"{self.name}: nested too deeply, or aliases make more than {MAX_VALUES:,} values")
        if isinstance(node, CommentedMap):
            return {str(key): self._child(node, key, (*at, str(key))) for key in node}
        if isinstance(node, CommentedSeq):
            return [self._child(node, place, (*at, place)) for place in range(len(node))]
        if isinstance(node, ScalarBoolean):  # one with an anchor: it counts as a number else
            return bool(node)
        if node is None or isinstance(node, bool | int | float | str):
            return node
        line, column = self._nearest(at)
        raise ConfigError(
            f"{self.name}:{line}:{column}: {dotted(at)}: must be text, a number, a list or a mapping; "
            "leave YAML tags out and put text into quotes"
        )

    def _child(self, parent: CommentedMap | CommentedSeq, key: Any, at: Location) -> Any:
        mark = (parent.lc.data or {}).get(key)  # None for a key that came by `<<`
        if mark:
            self._keys[at] = (mark[0] + 1, mark[1] + 1)
            self._values[at] = (mark[-2] + 1, mark[-1] + 1)
        return self._convert(parent[key], at)


def first_of(name: str, mistakes: Sequence[Mistake]) -> ConfigError:
    """The first of several mistakes in the file `name` as an error, with the number of the others."""
    more = f" (and {len(mistakes) - 1} more)" if len(mistakes) > 1 else ""
    return ConfigError(mistakes[0].told(name) + more)


def dotted(location: Location) -> str:
    """`("models", "fast", 0)` as a person writes it: `models.fast[0]`."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in location)
    return text.removeprefix(".")
