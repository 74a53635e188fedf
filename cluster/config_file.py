"""Reads `understudy.yaml`, and tells line and column of a mistake.

The file is YAML 1.2 (no `no` that becomes False, no `010` that becomes 8), read without any tag that could
construct an object; keys at the top that begin with `x-` are left alone, so that anchors have a place. Its
values are judged as JSON values would be: `true` is not a number, and `"600"` is not one either. Each mistake
becomes one line, `understudy.yaml:7:5: accounts.openai.limits.rpmm: unknown key (did you mean 'rpm'?)`, and
never repeats a value, which may be a key in the wrong place.
"""

import json
import re
from pathlib import Path
from typing import Any, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.constructor import DuplicateKeyError, RoundTripConstructor
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from ..protocols.config import AUTO, Config
from ..protocols.errors import ConfigError
from ..protocols.suggest import did_you_mean

FILE_NAME = "understudy.yaml"
MAX_BYTES = 1_000_000
MAX_VALUES = 100_000  # after aliases are followed: nine nested aliases can make 10^9 values of 1 kB
MAX_DEPTH = 32

_PLAIN = {  # pydantic speaks of JSON's types, the file is YAML
    "missing": "is missing",
    "int_type": "must be a whole number, without quotes, point or exponent",
    "float_type": "must be a number, without quotes",
    "string_type": "must be text; put it into quotes",
    "model_type": "must be a mapping",
    "dict_type": "must be a mapping",
    "tuple_type": "must be a list",
    "string_pattern_mismatch": "must be letters, digits, '.', '_' and '-', with a letter or digit first",
}

Location = tuple[str | int, ...]
Place = tuple[int, int]  # line and column, from 1


def load(path: Path | None = None, *, folder: Path | None = None) -> Config:
    """The configuration in `path`, else in `understudy.yaml` of `folder`, else the embedded default.

    Args:
        path: a file that was asked for by name; it has to exist.
        folder: where to look otherwise; the working directory by default.

    Raises:
        ConfigError: the file can't be read, is no YAML, or says something that isn't understood.
    """
    if path is None:
        path = (folder or Path()) / FILE_NAME
        if not path.exists():
            return Config()
    return parse(read(path), str(path))


def parse(text: str, name: str = FILE_NAME) -> Config:
    """The configuration that `text` says; `name` is the file's name in error messages.

    Raises:
        ConfigError: one line with `name:line:column`, the key, what is wrong, and how to mend it.
    """
    document = read_yaml(text, name)
    if "model_list" in document.plain:
        raise ConfigError(
            f"{name}: is a LiteLLM configuration; convert it with  understudy import-litellm {name} --out {FILE_NAME}"
        )
    try:
        config = Config.model_validate_json(json.dumps(document.plain), strict=True)
    except ValidationError as error:
        raise document.explain(error) from None
    _import_policies(config, document)
    return config


def _import_policies(config: Config, document: "Document") -> None:
    """Policies of one's own are made once, so that what is wrong with one is told before anything is sent."""
    for name, route in config.models.items():
        if ":" in route.balance:
            from ..actors.router.balance import balancer  # noqa: PLC0415 - only for those who bring their own

            try:
                balancer(route.balance)
            except ConfigError as error:
                line, column = document.place(("models", name, "balance"))
                raise ConfigError(f"{document.name}:{line}:{column}: models.{name}.balance: {error}") from None


def schema() -> dict[str, Any]:
    """JSON Schema (draft 2020-12) of the file, for editors and for `understudy schema`."""
    drawn = Config.model_json_schema()
    models = drawn["properties"]["models"]
    models["additionalProperties"] = {
        "anyOf": [{"$ref": "#/$defs/Route"}, {"type": "array", "minItems": 1, "items": {"$ref": "#/$defs/Candidate"}}]
    }
    models["propertyNames"] = {"not": {"const": AUTO}}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **drawn,
        "patternProperties": {"^x-": {}},
        "title": "understudy.yaml",
        "description": "Accounts with their quotas, models as candidates, and how one is chosen.",
    }


def read(path: Path) -> str:
    """The text of a file.

    Raises:
        ConfigError: it can't be read, is too large, or is not UTF-8.
    """
    try:
        if path.is_dir():
            raise ConfigError(f"{path}: is a folder; give the file, for example {path / FILE_NAME}")
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
        if len(data) > MAX_BYTES:
            raise ConfigError(f"{path}: larger than {MAX_BYTES:,} bytes; this can't be a configuration")
        return data.decode("utf-8-sig")
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file; check the path given to --config") from None
    except OSError as error:
        raise ConfigError(f"{path}: can't be read: {error.strerror or error}") from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not UTF-8 text (byte {error.start}); save it as UTF-8") from None


def read_yaml(text: str, name: str) -> "Document":
    """The values of a YAML text, each with its place.

    Raises:
        ConfigError: it is no YAML, or no mapping; one line with `name:line:column`.
    """
    return Document(name, _yaml(text, name))


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

    def __init__(self, name: str, root: object) -> None:
        self.name = name
        self._keys: dict[Location, Place] = {}
        self._values: dict[Location, Place] = {}
        self._left = MAX_VALUES
        if root is None:
            raise ConfigError(
                f"{name}: empty; leave the file out for the embedded default, or define accounts and models"
            )
        if not isinstance(root, CommentedMap):
            raise ConfigError(f"{name}:1:1: must be a mapping with keys such as accounts and models")
        plain = self._convert(root, ())
        self.plain = {key: value for key, value in plain.items() if not key.startswith("x-")}

    def place(self, location: Location) -> Place:
        """Line and column, from 1, of the key or item at `location`, else of the nearest above it."""
        return self._nearest(location)

    def explain(self, error: ValidationError) -> ConfigError:
        """The first mistake by line, as one line of text, with the number of the others.

        A missing key comes last: where another is unknown, that one is often the same key mistyped.
        """
        lines = sorted((detail["type"] == "missing", *self._line(detail)) for detail in error.errors())
        more = f" (and {len(lines) - 1} more)" if len(lines) > 1 else ""
        return ConfigError(lines[0][-1] + more)

    def _line(self, detail: ErrorDetails) -> tuple[Place, str]:
        location = tuple(part for part in detail["loc"] if part != "[key]")
        location += tuple(detail.get("ctx", {}).get("path", ()))
        told = self._as_written(location)
        places = self._keys if detail["type"] == "extra_forbidden" or "[key]" in detail["loc"] else self._values
        place = places.get(told) or self._nearest(told)
        key = f"{dotted(told)}: " if told else ""
        return (
            place,
            f"{self.name}:{place[0]}:{place[1]}: {key}{_sentence(detail, location)}",
        )

    def _as_written(self, location: Location) -> Location:
        """Where the file has it: a route that is a list in the file has no key `candidates` there."""
        if len(location) > 2 and location[0] == "models" and location[2] == "candidates":
            models = self.plain["models"]
            if isinstance(models, dict) and isinstance(models.get(location[1]), list):
                return location[:2] + location[3:]
        return location

    def _nearest(self, location: Location) -> Place:
        while location not in self._keys and location:
            location = location[:-1]
        return self._keys.get(location, (1, 1))

    def _convert(self, node: Any, at: Location) -> Any:
        self._left -= 1
        if self._left < 0 or len(at) > MAX_DEPTH:
            raise ConfigError(f"{self.name}: nested too deeply, or aliases make more than {MAX_VALUES:,} values")
        if isinstance(node, CommentedMap):
            return {str(key): self._child(node, key, (*at, str(key))) for key in node}
        if isinstance(node, CommentedSeq):
            return [self._child(node, place, (*at, place)) for place in range(len(node))]
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


def dotted(location: Location) -> str:
    """`("models", "fast", 0)` as a person writes it: `models.fast[0]`."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in location)
    return text.removeprefix(".")


def _sentence(detail: ErrorDetails, location: Location) -> str:
    kind, context = detail["type"], detail.get("ctx", {})
    if kind == "extra_forbidden":
        return f"unknown key{did_you_mean(str(location[-1]), _keys_at(location[:-1]))}"
    if kind == "greater_than" and context.get("gt") == 0 and location[-1] in ("rpm", "tpm", "concurrency"):
        return "must be greater than 0: a quota of 0 would never send anything; leave it out for no limit"
    if kind == "literal_error":
        expected = str(context["expected"])
        return f"must be {expected}" + did_you_mean(str(detail["input"]), re.findall("'([^']*)'", expected))
    if kind == "mistake":
        return str(context["message"])
    if kind == "model_type" and len(location) == 2 and location[0] == "models":
        return "must be a list of candidates, or a mapping with candidates"
    return _PLAIN.get(kind) or detail["msg"].replace("Input should", "must", 1)


def _keys_at(location: Location) -> list[str]:
    """The keys that the model at `location` knows; none where no model stands."""
    annotation: Any = Config
    for part in location:
        if _is_model(annotation):
            annotation = annotation.model_fields[str(part)].annotation
        else:  # dict[Name, Account] and tuple[Candidate, ...]: the part is a name or a place
            annotation = get_args(annotation)[1 if get_origin(annotation) is dict else 0]
        if not _is_model(annotation) and type(None) in get_args(annotation):
            annotation = next(it for it in get_args(annotation) if it is not type(None))
    return list(annotation.model_fields) if _is_model(annotation) else []


def _is_model(annotation: object) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)
