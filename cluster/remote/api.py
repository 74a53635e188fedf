"""What `--address` means to the commands that look at jobs: each prints, and returns the exit code."""

import sys
from pathlib import Path
from typing import Any

import msgspec
import orjson

from ...protocols.errors import UsageError
from ..live import duration
from . import looking
from .looking import RemoteJob

OK, ERROR, STOPPED = 0, 1, 130


def listed(address: str, *, json: bool = False) -> int:
    """Prints our jobs at the cluster, the newest first. Raises `UsageError` when nobody is there."""
    found = looking.listed(address)
    if json:
        _print([plain(one) for one in found])
        return OK
    for one in found:
        sys.stdout.write(f"{one.id:<28} {one.state:<10} {_took(one):>10}  {one.title}\n")
    if not found:
        sys.stdout.write("no jobs of understudy\n")
    return OK


def status(address: str, job: str, *, json: bool = False) -> int:
    """Prints how a job stands. Raises `UsageError` when there is none of that id."""
    found = looking.status(address, job)
    if json:
        _print(plain(found))
        return OK
    took = _took(found)
    sys.stdout.write(f"{found.id}: {found.state}{f' ({took})' if took else ''}: {found.title}\n")
    if found.state == "failed":
        sys.stdout.write(f"{found.message}\n")
    return OK


def logs(address: str, job: str, follow: bool = False, *, json: bool = False, out: Path | None = None) -> int:
    """Prints a job's log; with `follow` to its end. Files that the job has sent home go to `out`, where it is given."""
    if json:
        raise UsageError("logs --json: the log of a job elsewhere is plain text; see  understudy status JOB --json")
    try:
        looking.logs(address, job, follow, _show, out)
    except KeyboardInterrupt:
        sys.stderr.write(come_back(address, job))
        return STOPPED
    return OK


def cancel(address: str, job: str, *, json: bool = False) -> int:
    """Stops a job at the cluster, and waits until it has stopped."""
    found = looking.cancel(address, job)
    if json:
        _print(plain(found))
    else:
        sys.stdout.write(f"{found.id}: {found.state}\n")
    return OK if found.over else ERROR


def fetch(address: str, job: str, out: Path, *, json: bool = False) -> int:
    """Writes a job's files below `out`, and prints how it ended; the exit code is its command's own."""
    found, outcome, written = looking.fetch(address, job, out)
    if not found.over:
        raise UsageError(f"{found.id} is {found.state}: its results come at its end; {_hint(address, found.id)}")
    return ended(found, outcome, written, json=json)


def ended(found: RemoteJob, outcome: dict[str, Any] | None, written: list[Path], *, json: bool) -> int:
    """Prints how a job ended; returns its command's exit code."""
    told = outcome or {}
    code = told.get("exit", found.exit)
    if code is None:
        code = OK if found.state == "done" else ERROR
    if json:
        _print({**plain(found), "exit": code, "outcome": told.get("outcome"), "files": [str(path) for path in written]})
        return int(code)
    sys.stdout.write(f"{found.id}: {found.state} after {_took(found)}\n")
    if told.get("outcome") is not None:
        _print(told["outcome"])
    if found.state == "failed" and outcome is None:
        sys.stdout.write(f"{found.message}\n")
    for path in written:
        sys.stdout.write(f"{path}\n")
    return int(code)


def plain(job: RemoteJob) -> dict[str, Any]:
    """As JSON tells it."""
    found: dict[str, Any] = msgspec.to_builtins(job)
    return found


def come_back(address: str, job: str) -> str:
    """What somebody is told who leaves while the job goes on."""
    return (
        f"\nthe job goes on; come back with\n  understudy logs {job} --address {address} -f\n"
        f"  understudy fetch {job} --address {address}\n  understudy cancel {job} --address {address}\n"
    )


def _hint(address: str, job: str) -> str:
    return f"follow it with  understudy logs {job} --address {address} -f"


def _took(job: RemoteJob) -> str:
    return duration(job.ended - job.started) if job.ended and job.started else ""


def _show(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()


def _print(value: object) -> None:
    sys.stdout.write(orjson.dumps(value, option=orjson.OPT_INDENT_2).decode() + "\n")
