"""Runs `understudy import-litellm` from its options to its exit code."""

import io
import sys
from pathlib import Path
from typing import Any

import orjson
from rich.console import Console
from rich.table import Table
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap
from ruamel.yaml.representer import RoundTripRepresenter

from ...protocols.config import Config
from ...protocols.errors import ConfigError, UsageError
from ...protocols.references import names
from ..config_file import parse, read, read_yaml
from .convert import Outcome, convert

WIDTH = 80


def import_litellm(source: Path, out: Path, *, json: bool = False, force: bool = False) -> int:
    """Converts a file, checks the result, writes it, and says what became of it. Returns the exit code.

    Raises:
        UsageError: the file can't be read, nothing in it can be used, or `out` exists; nothing was written.
    """
    document = read_yaml(read(source), str(source))
    if "model_list" not in document.plain:
        raise ConfigError(f"{source}: has no model_list, so it is no LiteLLM configuration")
    outcome = convert(document)
    if not outcome.config["models"]:
        first = f": {outcome.notes[0].key}: {outcome.notes[0].text}" if outcome.notes else ""
        raise ConfigError(f"{source}: none of its deployments can be used{first}")
    text = render(outcome.config, source.name)
    config = parse(text, str(out))  # what is written can be read
    to_pipe = str(out) == "-"
    if to_pipe and not json:
        sys.stdout.write(text)
    elif not to_pipe:
        _write(out, text, force=force)
    if json:
        sys.stdout.write(orjson.dumps(_plain(outcome, config, out, text), option=orjson.OPT_INDENT_2).decode() + "\n")
    else:
        console = Console(stderr=to_pipe, width=WIDTH, highlight=False)
        _show(console, outcome, config, source)
        if not to_pipe:
            console.print(f"written: {out}", markup=False, soft_wrap=True)
    return 0


def render(config: dict[str, Any], source: str) -> str:
    """A configuration as YAML: one line for each candidate and each group of settings."""
    writer = YAML()
    writer.Representer = _Representer
    writer.width = 120
    writer.indent(mapping=2, sequence=4, offset=2)
    sink = io.StringIO()
    sink.write(f"# Written by `understudy import-litellm` from {ascii(source)[1:-1]}.\n")
    writer.dump(_layout(config), sink)
    return sink.getvalue()


class _Representer(RoundTripRepresenter):
    """Writes `null`, where the round-trip form leaves nothing."""


_Representer.add_representer(type(None), lambda self, _: self.represent_scalar("tag:yaml.org,2002:null", "null"))


def _layout(value: Any, depth: int = 0) -> Any:
    if isinstance(value, list):
        return [_layout(one, depth + 1) for one in value]
    if not isinstance(value, dict):
        return int(value) if isinstance(value, float) and value.is_integer() and abs(value) < 1e15 else value
    laid = CommentedMap((key, _layout(one, depth + 1)) for key, one in value.items())
    if value and depth >= 3 and not any(isinstance(one, list) for one in value.values()):
        laid.fa.set_flow_style()
    return laid


def _write(out: Path, text: str, *, force: bool) -> None:
    try:
        with out.open("w" if force else "x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise UsageError(f"{out}: is there already; give another --out, or --force to replace it") from None
    except OSError as error:
        raise UsageError(f"{out}: can't be written: {error.strerror or error}") from None


def _variables(config: Config) -> list[str]:
    found = {name for account in config.accounts.values() for _, text in account.texts() for name in names(text)}
    return sorted(found)


def _show(console: Console, outcome: Outcome, config: Config, source: Path) -> None:
    table = Table(title=f"{len(config.models)} models", title_justify="left")
    for name in ("model", "rank", "account", "called there"):
        table.add_column(name, justify="right" if name == "rank" else "left", overflow="fold")
    for route, settings in config.models.items():
        for place, one in enumerate(settings.candidates):
            rank = place if one.rank is None else one.rank
            table.add_row("" if place else route, str(rank + 1), one.account, one.model)
    console.print(table, markup=False)
    for note in outcome.notes:
        where = ":".join(str(part) for part in (source, *note.place))
        console.print(f"{where}: {note.key}: {note.text}", style="yellow", markup=False, soft_wrap=True)
    if variables := _variables(config):
        console.print(f"set before use: {', '.join(variables)}", markup=False, soft_wrap=True)


def _plain(outcome: Outcome, config: Config, out: Path, text: str) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "out": None if str(out) == "-" else str(out),
        "models": {
            route: [f"{one.account}/{one.model}" for one in settings.candidates]
            for route, settings in config.models.items()
        },
        "variables": _variables(config),
        "notes": [
            {"line": note.place[0], "column": note.place[1], "key": note.key, "text": note.text}
            for note in outcome.notes
        ],
    }
    return shown | ({"yaml": text} if str(out) == "-" else {})
