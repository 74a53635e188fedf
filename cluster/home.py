"""Where this user's local cluster keeps its few files."""

import contextlib
import fcntl
import os
import secrets
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec

from ..protocols.errors import UnderstudyError


class Local(msgspec.Struct, frozen=True):
    """A running local cluster: where it listens, who keeps it, and which code it runs.

    `born` is the keeper's start time in clock ticks since boot, so that a recycled process id is not taken for it.
    `journal` is the URL of its journal, references unresolved; empty for the default.
    """

    address: str
    pid: int
    born: int
    fingerprint: str
    journal: str = ""


def home() -> Path:
    """The folder, made when missing, readable by its owner only: `$UNDERSTUDY_HOME`, else below the user's cache."""
    named = os.environ.get("UNDERSTUDY_HOME")
    cache = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    path = Path(named) if named else Path(cache) / "understudy"
    path.mkdir(parents=True, exist_ok=True, mode=0o700)
    return path


def token_path() -> Path:
    """The file with the local cluster's token, made when missing. Ray refuses whoever does not have it."""
    path = home() / "ray-token"
    if not path.exists():
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_hex(32))
    return path


def born(pid: int) -> int:
    """When a process was started, in clock ticks since boot; 0 when there is none."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    except OSError:
        return 0
    fields = stat.rpartition(")")[2].split()
    return 0 if fields[0] in "ZX" else int(fields[19])  # one that nobody has reaped is dead all the same


def load() -> Local | None:
    """The local cluster, if one is running."""
    try:
        local = msgspec.json.decode((home() / "cluster.json").read_bytes(), type=Local)
    except (OSError, msgspec.DecodeError):
        return None
    return local if local.born and born(local.pid) == local.born else None


def save(local: Local) -> None:
    """Notes the running cluster."""
    path = home() / "cluster.json"
    temporary = path.with_suffix(".new")
    temporary.write_bytes(msgspec.json.encode(local))
    temporary.replace(path)


def forget() -> None:
    """There is no cluster any more."""
    (home() / "cluster.json").unlink(missing_ok=True)


@contextlib.contextmanager
def lock(timeout_s: float = 60.0) -> Iterator[None]:
    """One process at a time starts or stops the local cluster. Raises `UnderstudyError` when another takes too long."""
    with (home() / "lock").open("w") as file:
        deadline = time.monotonic() + timeout_s
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    text = f"another understudy has been starting or stopping the local cluster for {timeout_s:g} s"
                    raise UnderstudyError(text) from None
                time.sleep(0.02)
        yield
