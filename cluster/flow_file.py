"""Workflows as files: read with line and column of each mistake, written to be read back, and their JSON Schema.

A file is YAML 1.2, read as `understudy.yaml` is: see `yaml_file`. That a name in a template is defined, a function can
be imported and the like is looked at afterwards, by `flows.validate`.
"""

import io
import json
import math
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.scalarstring import DoubleQuotedScalarString, LiteralScalarString

from ..protocols.workflow.nodes import KINDS, Flow
from .flow_words import FlowWords
from .yaml_file import About, Document, Location, Mistake, first_of, read, read_yaml

FLOW: Final = About(
    what="a workflow",
    empty="a workflow has at least a step to `run`",
    keys="name and run",
    asked="the command",
    depth=150,
)


def load(path: Path) -> tuple[Flow, Document]:
    """The workflow in a file, and where in it everything stands.

    Raises:
        ConfigError: the file can't be read, is no YAML, or says something that isn't understood: the first mistake as
            one line `FILE:line:column: run.steps[1].prompt: what is wrong`, and how many there are besides.
    """
    return parse(read(path, FLOW), str(path))


def parse(text: str, name: str = "flow.yaml") -> tuple[Flow, Document]:
    """The workflow that `text` says; `name` is the file's name in error messages. Raises `ConfigError` as `load`."""
    document = read_yaml(text, name, FLOW)
    read_in = flow_of(document)
    if isinstance(read_in, Flow):
        return read_in, document
    raise first_of(name, read_in)


def flow_of(document: Document) -> Flow | list[Mistake]:
    """The workflow that a document says, else all that is wrong with its form."""
    if "run" not in document.plain and document.plain.get("kind") in KINDS:
        return [document.mistake(("kind",), "a step can't stand alone; put it under `run:`")]
    for key in ("accounts", "models"):
        if "run" not in document.plain and key in document.plain:
            return [document.mistake((key,), "this is a configuration and no workflow; give it by --config")]
    endless = [document.mistake(at, "must be a finite number") for at in _not_finite(document.plain, ())]
    if endless:
        return endless
    try:
        return Flow.model_validate_json(json.dumps(document.plain), strict=True)
    except ValidationError as error:
        return document.mistakes(error, FlowWords(document))


def _not_finite(value: Any, at: Location) -> list[Location]:
    if isinstance(value, float):
        return [] if math.isfinite(value) else [at]
    if isinstance(value, dict):
        return [found for key, one in value.items() for found in _not_finite(one, (*at, key))]
    if isinstance(value, list):
        return [found for place, one in enumerate(value) for found in _not_finite(one, (*at, place))]
    return []


# Writing --------------------------------------------------------------------------------------------------------------


def dump(flow: Flow) -> str:
    """The workflow as YAML that reads back to an equal one; texts of several lines stand as blocks."""
    writer = YAML(typ="rt")
    writer.width = 2**20  # a line that is folded is no longer what its author wrote
    writer.representer.ignore_aliases = lambda *_: True
    writer.indent(mapping=2, sequence=4, offset=2)
    stream = io.StringIO()
    writer.dump(_blocks(flow.model_dump(mode="json", exclude_unset=True, by_alias=True)), stream)
    return stream.getvalue()


def _blocks(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _blocks(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_blocks(one) for one in value]
    if not isinstance(value, str):
        return value
    if _is_block(value):
        return LiteralScalarString(value)
    # Other line breaks than `\n` (U+0085, U+2028, …) are only kept where they are escaped.
    return value if value.isprintable() else DoubleQuotedScalarString(value)


def _is_block(text: str) -> bool:
    """Whether a text can stand as a block and be read back letter for letter; others are written in quotes."""
    lines = text.split("\n")
    return (
        len(lines) > 1
        and bool(text.strip())
        and not text[0].isspace()
        and all(line == line.rstrip() and all(sign.isprintable() for sign in line) for line in lines)
    )


# For editors ----------------------------------------------------------------------------------------------------------


def schema() -> dict[str, Any]:
    """JSON Schema (draft 2020-12) of a workflow's file, for editors and for `understudy schema --flow`."""
    drawn = Flow.model_json_schema()
    parts = drawn["$defs"]
    for model in KINDS.values():
        part = parts[model.__name__]
        part["required"] = ["kind", *(name for name in part.get("required", ()) if name != "kind")]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **drawn,
        "patternProperties": {"^x-": {}},
        "title": "understudy workflow",
    }
