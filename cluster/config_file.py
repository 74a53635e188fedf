"""Reads `understudy.yaml`, and tells line and column of a mistake.

How the file is read stands in `yaml_file`. Its values are judged as JSON values would be: `true` is not a number, and
`"600"` is not one either.
"""

import json
import re
from pathlib import Path
from typing import Any, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from ..protocols.config import AUTO, Config
from ..protocols.errors import ConfigError
from ..protocols.suggest import did_you_mean
from .yaml_file import MAX_BYTES, PLAIN, Document, Location, Place, dotted, first_of, read, read_yaml

__all__ = [
    "FILE_NAME",
    "MAX_BYTES",
    "Document",
    "Location",
    "Place",
    "dotted",
    "load",
    "parse",
    "read",
    "read_yaml",
    "schema",
]

FILE_NAME = "understudy.yaml"


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
        raise document.explain(error, _Words(document)) from None
    _import_policies(config, document)
    return config


def _import_policies(config: Config, document: Document) -> None:
    """Policies of one's own are made once, so that what is wrong with one is told before anything is sent."""
    for name, route in config.models.items():
        if ":" in route.balance:
            from ..actors.router.balance import balancer  # noqa: PLC0415 - only for those who bring their own

            try:
                balancer(route.balance)
            except ConfigError as error:
                raise first_of(document.name, [document.mistake(("models", name, "balance"), str(error))]) from None


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


class _Words:
    """The mistakes of a configuration; see `Speaker`."""

    def __init__(self, document: Document) -> None:
        self._document = document

    def written(self, detail: ErrorDetails) -> Location:
        """A route that is a list in the file has no key `candidates` there."""
        location = _location(detail)
        if len(location) > 2 and location[0] == "models" and location[2] == "candidates":
            models = self._document.plain["models"]
            if isinstance(models, dict) and isinstance(models.get(location[1]), list):
                return location[:2] + location[3:]
        return location

    def sentence(self, detail: ErrorDetails, location: Location) -> str:  # noqa: ARG002 - keys are known by the model's place
        """What is wrong."""
        return _sentence(detail, _location(detail))


def _location(detail: ErrorDetails) -> Location:
    location = tuple(part for part in detail["loc"] if part != "[key]")
    return location + tuple(detail.get("ctx", {}).get("path", ()))


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
    return PLAIN.get(kind) or detail["msg"].replace("Input should", "must", 1)


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
