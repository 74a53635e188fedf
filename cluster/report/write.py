"""Writes a report into a folder: `report.md`, `report.html` and `report.json`."""

import os
from pathlib import Path

import msgspec

from ...protocols.errors import UsageError
from ...protocols.report import Report
from . import html, markdown

FOLDER = "understudy-digest"


def write(report: Report, folder: Path) -> list[Path]:
    """Write the three files and return their paths, Markdown first.

    Each file is written beside its place and renamed into it, so that a reader finds the old one or the new,
    never a half; files of other names are left alone.

    Raises:
        UsageError: the folder can't be made or written to.
    """
    texts = {
        "report.md": markdown.render(report),
        "report.html": html.render(report),
        "report.json": msgspec.json.format(msgspec.json.encode(report), indent=1).decode() + "\n",
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return [_replace(folder / name, text) for name, text in texts.items()]
    except OSError as error:
        reason = error.strerror or str(error)
        raise UsageError(f"{folder}: can't be written: {reason}; give another folder with --out") from None


def _replace(path: Path, text: str) -> Path:
    beside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        beside.write_text(text, encoding="utf-8", newline="\n")
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)
    return path
