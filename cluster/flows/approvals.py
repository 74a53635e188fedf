"""`understudy approvals`, `approve` and `reject`: what waits for people, and their answers."""

import getpass
import os
import time
from typing import Any, Final

import msgspec
import orjson
from rich.console import Console

from ...protocols.errors import UnderstudyError, UsageError
from ...protocols.jobs import Page, Verdict, Waiting
from ...protocols.journal import JobsAsk
from ...protocols.messages import ItemDone
from ...supervisors.children import SUPERVISOR
from ..jobs.access import opened, running
from ..session import Session
from . import ending
from .following import OK, PARTIAL, WAITING, left_alone
from .job import approvals, follow
from .results import read

_TRIES: Final = 5
"""A Supervisor that dies that often while it is told one thing has another trouble."""


def listed(*, json: bool) -> int:
    """Lists what waits. Returns the exit code."""
    if not running():
        ending.print_json([]) if json else Console().print(f"no local cluster is running: {_asleep()}")
        return OK
    with Session() as session:
        waiting = approvals(session)
    if json:
        ending.print_json(ending.waiting_as_json(waiting))
    elif waiting:
        ending.show_waiting(Console(), waiting)
    else:
        Console().print("nothing waits for people")
    return OK


def _asleep() -> str:
    """What is to be said of jobs that waited for people when their cluster ended."""
    with opened() as reading:
        rows = reading.run(lambda journal: journal.jobs(JobsAsk(states=("waiting",))))
    return f"wake what waits by: understudy resume {rows[0].id}" if rows else "nothing waits"


def _meant(session: Session, job: str) -> str:
    """The job that waits and whose id begins so; who answers says what is wrong with any other name."""
    waiting = {one.job for one in approvals(session)}
    fits = [name for name in waiting if job and name.startswith(job)]
    return fits[0] if len(fits) == 1 and job not in waiting else job


def answer(
    job: str, *, approved: bool, item: int = -1, step: str = "", edit: str | None, note: str, json: bool, wait: bool
) -> int:
    """Answers what a job asks; follows it to its end, or until it asks again. Returns the exit code.

    Raises:
        UsageError: nothing of that name waits, or the edit is no JSON.
        UnderstudyError: the job that went on was cancelled, or has failed as a whole.
    """
    value = b"" if edit is None else _edited(edit)
    verdict = Verdict(approved, value, note, os.environ.get("USER") or getpass.getuser())
    if not running():
        raise UsageError(f"no local cluster is running: {_asleep()}")
    began = time.monotonic()
    with Session() as session:
        job = _meant(session, job)
        went_on = _say(session, job, *_named(approvals(session, job), item, step), msgspec.msgpack.encode(verdict))
        console = Console(stderr=json)
        if not went_on:
            waiting = approvals(session, job)
            ending.print_json(ending.waiting_as_json(waiting)) if json else ending.show_waiting(console, waiting)
            return WAITING
        if not wait:
            ending.print_json({"job": job, "state": "running"}) if json else console.print("it goes on")
            return OK
        gathered: list[ItemDone] = []
        with left_alone(console, job):
            last = follow(session, job, lambda page: gathered.extend(page.items))
        waiting = approvals(session, job) if last.state == "waiting" else []
    return _told(last, gathered, waiting, console, json=json, seconds=time.monotonic() - began)


def _named(waiting: list[Waiting], item: int, step: str) -> tuple[int, str]:
    """The item and the step by name, where only one can be meant: said again, it is no answer to the next question."""
    several = [(one.item, ask.path) for one in waiting for ask in one.asks]
    meant = [(at, path) for at, path in several if item in (-1, at) and step in ("", path)]
    return meant[0] if len(meant) == 1 else (item, step)


def _say(session: Session, job: str, item: int, step: str, verdict: bytes) -> bool:
    """True when the item goes on by it. Where the Supervisor dies meanwhile, its successor knows whether it was heard.

    Raises:
        UsageError: nothing of that name waits.
    """
    for left in range(_TRIES, 0, -1):
        try:
            return bool(session.get(session.actor(SUPERVISOR).answer.remote(job, item, step, verdict)))
        except UsageError:
            raise
        except UnderstudyError:  # it died before it answered
            if left == 1:
                raise
            still = [(one.item, ask.path) for one in approvals(session, job) for ask in one.asks]
            if (item, step) not in still:
                return not any(at == item for at, _ in still)
    raise AssertionError("the last try returns or raises")


def _told(
    last: Page, gathered: list[ItemDone], waiting: list[Any], console: Console, *, json: bool, seconds: float
) -> int:
    if waiting:
        ending.print_json(ending.waiting_as_json(waiting)) if json else ending.show_waiting(console, waiting)
        return WAITING
    if last.state in ("failed", "cancelled"):
        raise UnderstudyError(f"the job was {last.state}: {last.error or 'by another command'}")
    code = PARTIAL if last.failed else OK
    results = [read(done) for done in gathered]
    if json:
        ending.print_json({"exit": code, "results": [one.plain() for one in results]})
    else:
        for one in results:
            ending.show_result(console, one, seconds)
    return code


def _edited(text: str) -> bytes:
    try:
        return orjson.dumps(orjson.loads(text))
    except orjson.JSONDecodeError:
        return orjson.dumps(text)  # words are taken as they are
