"""Jobs on a cluster elsewhere: what `--address` means to the commands that look at jobs."""

import contextlib
import time
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Any, Final, Literal

import msgspec

from ...protocols.errors import UsageError
from ...protocols.suggest import did_you_mean
from .client import connect, told
from .markers import Reader

State = Literal["pending", "running", "done", "failed", "cancelled"]
_STATES: Final[dict[str, State]] = {
    "PENDING": "pending",
    "RUNNING": "running",
    "SUCCEEDED": "done",
    "FAILED": "failed",
    "STOPPED": "cancelled",
}
OURS: Final = "understudy"
"""The key of a job's metadata that marks it as ours; its value is the version."""
STOP_S: Final = 20.0
"""A job that is told to stop has so long to close its calls and to keep what was answered."""


class RemoteJob(msgspec.Struct, frozen=True):
    """A job at a cluster's Jobs server.

    Attributes:
        id: what to name it by.
        state: of its driver there.
        title: for people.
        message: the server's words.
        started: seconds since 1970, 0 for not yet.
        ended: likewise.
        exit: the command's exit code, None until it has ended.
    """

    id: str
    state: State
    title: str = ""
    message: str = ""
    started: float = 0.0
    ended: float = 0.0
    exit: int | None = None

    @property
    def over(self) -> bool:
        """It has ended, one way or another."""
        return self.state not in ("pending", "running")


def listed(address: str) -> list[RemoteJob]:
    """Our jobs at the cluster, the newest first. Raises `UsageError` or `UnderstudyError` as `connect` does."""
    client = connect(address)
    return _listed(client)


def status(address: str, job: str) -> RemoteJob:
    """A job as it stands. Raises `UsageError` when there is none of that id."""
    client = connect(address)
    return _one(client, job)


def logs(address: str, job: str, follow: bool, show: Callable[[str], None], out: Path | None = None) -> RemoteJob:
    """Shows a job's log, to its end with `follow`; also after the line was cut: it is taken up where it was.

    Args:
        address: of the Jobs server.
        job: its id.
        follow: stay until the job is over.
        show: is given the log's lines for people, in pieces.
        out: where the files go that the job has sent home; None for nowhere.
    """
    from .following import follow as stay  # noqa: PLC0415 - aiohttp takes 0.2 s

    client = connect(address)
    found = _one(client, job)
    reader = Reader()
    if follow:
        stay(address, client, found.id, reader, show)
        found = _one(client, found.id)
    else:
        with told(address):
            show(reader.feed(client.get_job_logs(found.id)))
    show(reader.end())
    if out is not None:
        save(reader, out)
    return found


def cancel(address: str, job: str) -> RemoteJob:
    """Stops a job and waits until it has: its driver there ends as by Ctrl-C, and keeps what was answered."""
    client = connect(address)
    found = _one(client, job)
    if found.over:
        return found
    with told(address):
        client.stop_job(found.id)
    deadline = time.monotonic() + STOP_S + 10.0
    while time.monotonic() < deadline:
        found = _one(client, found.id)
        if found.over:
            break
        time.sleep(0.3)
    return found


def fetch(address: str, job: str, out: Path) -> tuple[RemoteJob, dict[str, Any] | None, list[Path]]:
    """A job, how its command ended (None: it has not), and its files, written below `out`."""
    client = connect(address)
    found = _one(client, job)
    reader = Reader()
    with told(address):
        reader.feed(client.get_job_logs(found.id))
    reader.end()
    return found, reader.outcome, save(reader, out)


def save(reader: Reader, out: Path) -> list[Path]:
    """Writes the files that a job has sent home; a path that leads out of the folder is not followed."""
    written = []
    for name, data in reader.files.items():
        inside = PurePosixPath(name)
        if inside.is_absolute() or ".." in inside.parts:
            continue
        path = out / inside
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        except OSError as error:
            raise UsageError(f"--out {path}: {error.strerror or error}") from None
        written.append(path)
    return written


def _listed(client: Any) -> list[RemoteJob]:
    with told(client.get_address()):
        found = [_job(one) for one in client.list_jobs() if one.submission_id and OURS in (one.metadata or ())]
    return sorted(found, key=lambda one: -one.started)


def _one(client: Any, job: str) -> RemoteJob:
    """The job of that id, or of the only one that begins so."""
    # Ray answers with an error where there is no such job; what else is wrong shows at the next call.
    with told(client.get_address()), contextlib.suppress(RuntimeError):
        return _job(client.get_job_info(job))
    known = [one.id for one in _listed(client)]
    begun = [one for one in known if one.startswith(job)]
    if len(begun) == 1:
        with told(client.get_address()):
            return _job(client.get_job_info(begun[0]))
    if begun:
        raise UsageError(f"{job}: several jobs begin so: {', '.join(begun[:5])}; give more of the id")
    raise UsageError(f"{job}: the cluster at {client.get_address()} has no such job{did_you_mean(job, known)}")


def _job(details: Any) -> RemoteJob:
    # Ray appends the log's last 20,000 characters.
    message = str(details.message or "").strip().split("\n", 1)[0].split(", last available logs", 1)[0]
    return RemoteJob(
        id=str(details.submission_id or details.job_id),
        state=_STATES[str(getattr(details.status, "value", details.status))],
        title=str((details.metadata or {}).get("title", "")),
        message=message[:300],
        started=(details.start_time or 0) / 1000,
        ended=(details.end_time or 0) / 1000,
        exit=details.driver_exit_code,
    )
