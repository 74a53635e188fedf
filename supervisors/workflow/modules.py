"""A workflow's own functions and models: found in its own folders, and imported anew when their files have changed.

A cluster stays warm between two commands, so one process sees many workflows: two may have a `functions.py` each, and a
file may be edited between two runs. Python keeps what it imported first, by its name alone.
"""

import functools
import importlib
import sys
import threading
from collections.abc import Sequence
from contextvars import ContextVar
from pathlib import Path
from types import ModuleType
from typing import Any, Final

FOLDERS: Final[ContextVar[tuple[str, ...]]] = ContextVar("FOLDERS", default=())
"""Where the modules of the workflow are that is run here; none: where this process finds its own."""

_Stamp = tuple[int, int]
"""Size and time (ns) of a file."""


class Modules:
    """The modules of several workflows in one process; those of one are in `sys.modules` at a time.

    A function that imports something only when it runs may meet another workflow's module of that name; what stands at
    the top of a module never does.
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._own: dict[tuple[str, ...], dict[str, ModuleType]] = {}
        self._stamps: dict[str, _Stamp | None] = {}
        self._found: dict[tuple[tuple[str, ...], str], Any] = {}
        self._used: tuple[str, ...] = ()
        self._added: list[str] = []

    def look_again(self, folders: tuple[str, ...]) -> None:
        """Another job begins: what has changed in its folders since it was imported is forgotten, and what uses it."""
        with self._lock:
            own = self._own.get(folders, {})
            if all(_stamp(file) == self._stamps.get(file) for file in map(_file, own.values())):
                return
            self._use(())
            del self._own[folders]
            self._found = {key: one for key, one in self._found.items() if key[0] != folders}
            importlib.invalidate_caches()

    def imported(self, path: str, folders: tuple[str, ...]) -> Any:
        """What `module:name` is to a workflow of these folders.

        Raises:
            ImportError: there is no such module.
            AttributeError: the module has no such name.
            ValueError: the path is none.
        """
        with self._lock:
            key = (folders, path)
            if key not in self._found:
                self._found[key] = self._import(path, folders)
            return self._found[key]

    def _import(self, path: str, folders: tuple[str, ...]) -> Any:
        self._use(folders)
        before = set(sys.modules)
        module, _, name = path.partition(":")
        try:
            return functools.reduce(getattr, name.split("."), importlib.import_module(module))
        finally:
            own = self._own.setdefault(folders, {})
            for other in set(sys.modules) - before:
                if _is_of(other, folders):
                    own[other] = sys.modules[other]
                    file = _file(own[other])
                    self._stamps[file] = _stamp(file)

    def _use(self, folders: tuple[str, ...]) -> None:
        if folders == self._used:
            return
        for name, module in self._own.get(self._used, {}).items():
            if sys.modules.get(name) is module:
                del sys.modules[name]
        for folder in self._added:
            sys.path.remove(folder)
        self._added = [folder for folder in dict.fromkeys(folders) if folder not in sys.path]
        sys.path.extend(self._added)  # at the end: they hide nothing
        sys.modules.update(self._own.get(folders, {}))
        self._used = folders


def _file(module: ModuleType) -> str:
    return getattr(module, "__file__", None) or ""


def _stamp(file: str) -> _Stamp | None:
    try:
        stat = Path(file).stat()
    except OSError:
        return None
    return stat.st_size, stat.st_mtime_ns


def _is_of(name: str, folders: Sequence[str]) -> bool:
    """Whether a module was found by way of one of the folders; what is installed somewhere below them was not."""
    top = name.partition(".")[0]
    module = sys.modules.get(top)
    if module is None:
        return False
    inside = list(getattr(module, "__path__", ()))
    places = [Path(place) for place in inside] or [Path(_file(module)).with_suffix("")]
    return any(place.name == top and str(place.parent) in folders for place in places)


OWN: Final = Modules()
"""Those of this process."""


def imported(path: str) -> Any:
    """What `module:name` is to the workflow that is run here; see `Modules.imported`."""
    return OWN.imported(path, FOLDERS.get())
