"""This user's local Ray cluster: found warm, or started by a keeper; light enough to be begun before all else."""

import dataclasses
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Generic, TypeVar

from ..protocols.errors import UnderstudyError, UsageError
from . import home
from .fingerprint import fingerprint
from .journal_url import checked


def _cores() -> int:
    return max(1, len(os.sched_getaffinity(0)))


@dataclasses.dataclass(frozen=True, slots=True)
class Settings:
    """How a local cluster is started.

    Attributes:
        cores: for Ray.
        mappers: how many.
        idle_s: seconds without work until it stops; 0: never.
        journal: where what is finished is written, as a URL with its references unresolved. Empty where any will do:
            what a running cluster has, else a file of this user's. The default is `UNDERSTUDY_JOURNAL`.
        queue: fields of `understudy.supervisors.director.queue.QueueSettings` that are not to have their defaults.

    Raises:
        UsageError: the journal's URL can't be used; the text says why.
    """

    cores: int = dataclasses.field(default_factory=_cores)
    mappers: int = dataclasses.field(default_factory=_cores)
    idle_s: float = 900.0
    journal: str = dataclasses.field(default_factory=lambda: os.environ.get("UNDERSTUDY_JOURNAL", ""))
    queue: dict[str, float] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "journal", checked(self.journal))


def authenticate() -> None:
    """The local cluster has a token of its own, in a file that only this user can read."""
    os.environ["RAY_AUTH_MODE"] = "token"
    os.environ["RAY_AUTH_TOKEN_PATH"] = str(home.token_path())


def address(settings: Settings) -> str:
    """Where the local cluster listens; it is started when there is none, or one that runs other code.

    Raises:
        UsageError: it keeps another journal than is wished for.
        UnderstudyError: it did not start; the text says where its log is.
    """
    authenticate()
    mine = fingerprint()
    local = home.load()
    if local is not None and local.fingerprint == mine:
        return _same_journal(local, settings)
    with home.lock():
        local = home.load()
        if local is not None and local.fingerprint == mine:
            return _same_journal(local, settings)
        if local is not None:
            stop(local)
        return _start(settings)


def _same_journal(local: home.Local, settings: Settings) -> str:
    if settings.journal and settings.journal != local.journal:
        kept = local.journal or "its default file"
        raise UsageError(
            f"the running cluster keeps its journal in {kept}, not in {settings.journal}: run `understudy down`, then "
            "this command again, or leave out --journal and UNDERSTUDY_JOURNAL"
        )
    return local.address


def _start(settings: Settings) -> str:
    log = home.home() / "cluster.log"
    with log.open("wb") as sink:
        child = subprocess.Popen(  # noqa: S603 - our own module, by this interpreter
            [sys.executable, "-m", "understudy.cluster.keeper", json.dumps(dataclasses.asdict(settings))],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=sink,
            start_new_session=True,
            cwd="/",
        )
    import ray as _  # noqa: F401, PLC0415 - 0.4 s that pass while the keeper starts

    assert child.stdout is not None
    with child.stdout as told:
        line = told.readline()
    # The keeper outlives this process on purpose: nobody waits for it.
    child.returncode = 0
    try:
        return str(json.loads(line)["address"])
    except (ValueError, KeyError):
        raise UnderstudyError(f"the local Ray cluster did not start; {_last_words(log)}") from None


def _last_words(log: Path) -> str:
    lines = [line for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    return f"its log {log} ends: {lines[-1][:300]}" if lines else f"its log {log} is empty"


def stop(local: home.Local, timeout_s: float = 20.0) -> None:
    """Ends the local cluster: its keeper is told, and after `timeout_s` killed. No other process is touched."""
    if home.born(local.pid) != local.born:
        return
    os.kill(local.pid, signal.SIGTERM)
    deadline = time.monotonic() + timeout_s
    while home.born(local.pid) == local.born and time.monotonic() < deadline:
        time.sleep(0.02)
    if home.born(local.pid) == local.born:
        os.kill(local.pid, signal.SIGKILL)
    home.forget()


T = TypeVar("T")


class Opening(Generic[T]):
    """Does `work` in a thread, while the caller does something useful."""

    def __init__(self, work: Callable[[], T]) -> None:
        self._work = work
        self._found: list[T] = []
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._found.append(self._work())
        except BaseException as error:  # noqa: BLE001 - raised again in the thread that asks
            self._error = error

    def wait(self) -> T:
        """What came of the work, or the error that kept it from being done."""
        while self._thread.is_alive():
            self._thread.join(0.2)  # in pieces, so that Ctrl-C is heard
        if self._error is not None:
            raise self._error
        return self._found[0]


_early: list[Opening[str]] = []


def begin_early(arguments: Sequence[str]) -> None:
    """Begins to find the local cluster before the command line is even parsed, when it will surely be needed.

    Parsing and importing take 0.4 s, Ray takes 3 s to start. A command whose path does not exist starts nothing.
    """
    if not arguments or arguments[0] != "digest" or os.environ.get("RAY_ADDRESS"):
        return
    if {"--plan", "--help", "-h"} & set(arguments) or not any(os.path.lexists(word) for word in arguments[1:]):
        return
    _early.append(Opening(lambda: address(Settings())))


def opening(settings: Settings) -> Opening[str]:
    """The address of the local cluster, from what was begun early if the settings are the same, else begun now."""
    if _early and settings == Settings():
        return _early[0]
    return Opening(lambda: address(settings))
