"""A wheel of the code that runs here, made from its own files: no network, no build back end.

The cluster installs it with pip. It names no dependencies, so that pip has nothing to fetch there: they are expected
on the cluster's nodes, and `entry` says in one line which are not. The list travels in the wheel.
"""

import base64
import hashlib
import importlib.metadata
import os
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from ... import __version__
from .. import home

REQUIRES: Final = "needs.txt"
"""The dependencies, one a line, beside the wheel's other notes."""

_ROOT: Final = Path(__file__).resolve().parents[2]
_FOLDERS: Final = ("protocols", "actors", "supervisors", "cluster")
_LOOSE: Final = ("__init__.py", "__main__.py", "py.typed")
_DATE: Final = (1980, 1, 1, 0, 0, 0)  # a zip's first: the same files make the same bytes
_KEPT: Final = 3  # wheels of earlier states of the code


def wheel() -> Path:
    """The wheel's file, in this user's folder; made when the code has changed since the last one.

    Its version ends in a hash of its contents: Ray knows a wheel by its name, and would take another for the same.
    """
    files = list(_files())
    mark = hashlib.sha256()
    for name, data in files:
        mark.update(f"{name}:{len(data)}:".encode() + data)
    version = f"{__version__}+h{mark.hexdigest()[:12]}"
    folder = home.home() / "wheels"
    folder.mkdir(exist_ok=True, mode=0o700)
    path = folder / f"understudy-{version}-py3-none-any.whl"
    if not path.exists():
        temporary = path.with_suffix(f".{os.getpid()}")
        _write(temporary, version, files)
        temporary.replace(path)
        _forget(folder)
    return path


def _files() -> Iterator[tuple[str, bytes]]:
    """The package's files by their names in the wheel. A checkout and an installed package look alike."""
    for name in _LOOSE:
        yield f"understudy/{name}", (_ROOT / name).read_bytes()
    for folder in _FOLDERS:
        for path in sorted((_ROOT / folder).rglob("*")):
            if path.is_file() and path.suffix != ".pyc":
                yield f"understudy/{path.relative_to(_ROOT).as_posix()}", path.read_bytes()


def requirements() -> list[str]:
    """What understudy needs, by its own metadata; nothing where it was never installed."""
    try:
        needed = importlib.metadata.requires("understudy") or []
    except importlib.metadata.PackageNotFoundError:
        return []
    return [one for one in needed if "extra ==" not in one]


def _write(path: Path, version: str, files: list[tuple[str, bytes]]) -> None:
    notes = f"understudy-{version}.dist-info"
    everything = [
        *files,
        (f"{notes}/METADATA", f"Metadata-Version: 2.1\nName: understudy\nVersion: {version}\n".encode()),
        (f"{notes}/WHEEL", b"Wheel-Version: 1.0\nGenerator: understudy\nRoot-Is-Purelib: true\nTag: py3-none-any\n"),
        (f"{notes}/{REQUIRES}", "".join(f"{one}\n" for one in requirements()).encode()),
    ]
    record = "".join(f"{name},sha256={_hash(data)},{len(data)}\n" for name, data in everything)
    everything.append((f"{notes}/RECORD", f"{record}{notes}/RECORD,,\n".encode()))
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in everything:
            entry = zipfile.ZipInfo(name, _DATE)
            entry.external_attr = 0o644 << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, data)


def _hash(data: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()


def _forget(folder: Path) -> None:
    """Removes the oldest wheels, so that a developer's edits do not pile up."""
    for old in sorted(folder.glob("*.whl"), key=lambda path: path.stat().st_mtime)[:-_KEPT]:
        old.unlink(missing_ok=True)
