"""Our processes on this machine: only descendants of this run's own keeper and nodes, told by their titles."""

import contextlib
import dataclasses
from collections.abc import Iterable, Sequence
from typing import Final

import psutil

_ROLES: Final = {
    "Supervisor": "supervisor",
    "Director": "director",
    "Mapper": "mapper",
    "Reducer": "reducer",
    "Provider": "provider",
    "JournalActor": "journal",
}
"""Ray titles a worker `ray::CLASS` or `ray::CLASS.method` once an actor lives in it."""


@dataclasses.dataclass(frozen=True, slots=True)
class Found:
    """An actor's process."""

    role: str
    process: psutil.Process

    @property
    def pid(self) -> int:
        """Its id."""
        return self.process.pid

    def kill(self) -> bool:
        """SIGKILL; False when it is gone already. An id that another process has meanwhile is left alone."""
        try:
            self.process.kill()
        except psutil.NoSuchProcess:
            return False
        return True


def role_of(title: str) -> str:
    """The role that a process title tells, or nothing."""
    if not title.startswith("ray::"):
        return ""
    return _ROLES.get(title.removeprefix("ray::").strip().partition(".")[0], "")


def actors(roots: Iterable[int]) -> list[Found]:
    """Our actors among all that descends from the processes `roots`."""
    found: list[Found] = []
    for process in descendants(roots):
        with contextlib.suppress(psutil.Error):
            words = process.cmdline()
            role = role_of(words[0]) if words else ""
            if role:
                found.append(Found(role, process))
    return found


def descendants(roots: Iterable[int]) -> list[psutil.Process]:
    """All that descends from `roots`, without themselves."""
    below: list[psutil.Process] = []
    for root in roots:
        with contextlib.suppress(psutil.Error):
            below += psutil.Process(root).children(recursive=True)
    return below


def raylets(roots: Iterable[int]) -> list[psutil.Process]:
    """The raylets among what descends from `roots`."""
    found = []
    for process in descendants(roots):
        with contextlib.suppress(psutil.Error):
            if process.name() == "raylet":
                found.append(process)
    return found


def end(processes: Sequence[psutil.Process], patience_s: float = 5.0) -> None:
    """Ends these processes: asked first, then killed."""
    for process in processes:
        with contextlib.suppress(psutil.Error):
            process.terminate()
    _, alive = psutil.wait_procs(processes, timeout=patience_s)
    for process in alive:
        with contextlib.suppress(psutil.Error):
            process.kill()
    psutil.wait_procs(alive, timeout=patience_s)
