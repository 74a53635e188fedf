"""Submits a job to a cluster elsewhere and stays with it; leaving leaves it running."""

import sys
from pathlib import Path

import orjson

from . import looking
from .api import STOPPED, come_back, ended, plain
from .client import connect
from .following import follow
from .markers import Reader
from .submitting import Work, submit


def send(address: str, work: Work, out: Path | None, *, wait: bool, json: bool) -> int:
    """Runs `understudy submit --address`; the exit code is the command's own on the cluster.

    Raises:
        UsageError: bad input, nobody at the address, or a refused token; nothing was sent.
        UnderstudyError: the cluster could not take it.
    """
    job = submit(address, work)
    if not wait:
        if json:
            sys.stdout.write(orjson.dumps(plain(job)).decode() + "\n")
        else:
            sys.stdout.write(f"{job.id}{come_back(address, job.id)}")
        return 0
    # What a person reads goes to standard error with --json, so that standard output is JSON alone.
    shown = sys.stderr if json else sys.stdout
    shown.write(f"{job.id} at {address}\n")
    shown.flush()

    def show(text: str) -> None:
        shown.write(text)
        shown.flush()

    reader = Reader()
    try:
        follow(address, connect(address), job.id, reader, show)
        show(reader.end())
        found = looking.status(address, job.id)
    except KeyboardInterrupt:
        sys.stderr.write(come_back(address, job.id))
        return STOPPED
    return ended(found, reader.outcome, looking.save(reader, out or Path(job.id)), json=json)
