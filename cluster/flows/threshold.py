"""Writes a ladder's `threshold` into its workflow's file: that one value, and nothing else in it is touched."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap

from ...protocols.errors import ConfigError
from ..flow_file import FLOW
from ..yaml_file import read

KEY: Final = "threshold"
_SCALAR: Final = re.compile(r"[^\s,}\]#]+")
_KIND: Final = re.compile(r"""(["']?)ladder\1""")


def write(path: Path, place: Sequence[str | int], threshold: float) -> None:
    """Puts the threshold into the file at the ladder's place. Raises `ConfigError` where it can't be written."""
    text = read(path, FLOW)
    changed = written(text, place, threshold, str(path))
    beside = path.with_name(f".{path.name}.new")
    try:
        beside.write_text(changed, encoding="utf-8", newline="")
        beside.replace(path)
    except OSError as error:
        beside.unlink(missing_ok=True)
        raise ConfigError(f"{path}: {error.strerror or error}; write `{KEY}: {threshold:g}` by hand") from None


def written(text: str, place: Sequence[str | int], threshold: float, name: str = "flow.yaml") -> str:
    """The text of the file with the threshold in it; comments and the form of all else stay.

    Raises:
        ConfigError: the ladder's keys come from somewhere else (`<<`), so that there is no place for another.
    """
    root = _parsed(text)
    node = _at(root, place)
    changed = _changed(text, node, f"{threshold:g}")
    if changed is not None:
        found = _parsed(changed)
        if _at(found, place).get(KEY) == threshold and _same(root, found, place):
            return changed
    line = node.lc.line + 1
    raise ConfigError(f"{name}:{line}: the threshold can't be written here; write `{KEY}: {threshold:g}` by hand")


def _parsed(text: str) -> Any:
    return YAML(typ="rt", pure=True).load(text)


def _at(root: Any, place: Sequence[str | int]) -> Any:
    for key in place:
        root = root[key]
    return root


def _changed(text: str, node: CommentedMap, value: str) -> str | None:
    lines = text.splitlines(keepends=True)
    try:
        if KEY in node:
            row, column = node.lc.value(KEY)
            old = _SCALAR.match(lines[row], column)
            return None if old is None else _spliced(lines, row, old.start(), old.end(), value)
        row, column = node.lc.value("kind")
    except KeyError:
        return None
    kind = _KIND.match(lines[row], column)
    if kind is None:
        return None
    if node.fa.flow_style():
        return _spliced(lines, row, kind.end(), kind.end(), f", {KEY}: {value}")
    _, indent = node.lc.key("kind")
    body = lines[row].rstrip("\r\n")
    end = lines[row][len(body) :] or "\n"
    return _spliced(lines, row, len(body), len(body), f"{end}{' ' * indent}{KEY}: {value}")


def _spliced(lines: list[str], row: int, start: int, stop: int, value: str) -> str:
    line = lines[row]
    return "".join([*lines[:row], line[:start], value, line[stop:], *lines[row + 1 :]])


def _same(before: Any, after: Any, place: Sequence[str | int]) -> bool:
    """True when the two differ in that threshold alone."""
    for root in (before, after):
        _at(root, place).pop(KEY, None)
    return bool(before == after)
