"""The command line's part about jobs that run elsewhere, or when it is their turn."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Parameter

from ..protocols.errors import UsageError

if TYPE_CHECKING:
    from ..protocols.queue import Submitted
    from .jobs.submitting import When
    from .remote.submitting import Work

Address = Annotated[str, Parameter(help="a Ray cluster's Jobs server, for example http://head:8265")]


def register(app: App) -> None:
    """Adds the commands."""
    for command in (submit, fetch):
        app.command(command)


def submit(
    what: Annotated[str, Parameter(help="a workflow's file, or the word digest")],
    path: Annotated[Path | None, Parameter(help="digest: folder or file to read")] = None,
    /,
    *,
    address: Address = "",
    input: Annotated[  # noqa: A002 - the workflow's own word
        str | None, Parameter(help="words, JSON, @FILE, or - for standard input", allow_leading_hyphen=True)
    ] = None,
    inputs: Annotated[Path | None, Parameter(help="many inputs: a JSON value a line")] = None,
    ask: Annotated[str, Parameter(help="digest: a question to answer instead of summarising")] = "",
    config: Annotated[Path | None, Parameter(help="configuration (default: understudy.yaml here)")] = None,
    map_model: Annotated[str | None, Parameter(help="digest: model that reads the source")] = None,
    reduce_model: Annotated[str | None, Parameter(help="digest: model that merges summaries")] = None,
    max_cost: Annotated[float | None, Parameter(help="most dollars to spend")] = None,
    tenant: Annotated[str, Parameter(help="for whom: whose budget of the day it spends")] = "",
    concurrency: Annotated[int, Parameter(help="calls or runs at once")] = 64,
    fresh: Annotated[bool, Parameter(help="digest: ask again what was answered before", negative="")] = False,
    key: Annotated[str, Parameter(help="queue: the same key again gets the same job")] = "",
    priority: Annotated[int, Parameter(help="queue: 0 goes first, 9 last")] = 5,
    delay: Annotated[float, Parameter(help="queue: seconds before it may begin")] = 0.0,
    attempts: Annotated[int, Parameter(help="queue: begun so often at most")] = 3,
    out: Annotated[Path | None, Parameter(help="--address: folder of the results (default: named as the job)")] = None,
    wait: Annotated[bool, Parameter(help="--address: follow it to its end", negative="--no-wait")] = True,
    json: Annotated[bool, Parameter(help="print the outcome as JSON")] = False,
) -> int:
    """Hand in a job that goes on without you: to the queue here, or with --address to a Ray cluster elsewhere.

    The cluster gets this program's code, the workflow's folder (or what is digested) and the configuration; secrets
    stay references, which the cluster's nodes resolve. Ctrl-C or a closed lid leaves the job running.
    """
    from .jobs.submitting import When
    from .remote.submitting import Work

    digests = what == "digest"
    if digests != (path is not None):
        raise UsageError("submit digest PATH" if digests else f"{path}: a workflow is given as one file: submit FLOW")
    work = Work(
        flow=None if digests else Path(what),
        path=path,
        input=input,
        inputs=inputs,
        ask=ask.strip(),
        config=config,
        map_model=map_model,
        reduce_model=reduce_model,
        max_cost=max_cost,
        tenant=tenant,
        concurrency=concurrency,
        fresh=fresh,
    )
    when = When(key, priority, delay, attempts)
    if address:
        return _sent(work, when, address, out, wait=wait, json=json)
    _told_queued(_queued_flow(work, when) if path is None else _queued_digest(work, when), json=json)
    return 0


def _sent(work: "Work", when: "When", address: str, out: Path | None, *, wait: bool, json: bool) -> int:
    from .jobs.submitting import When
    from .remote.sending import send

    if when != When():
        raise UsageError(
            "--key, --priority, --delay and --attempts are the local queue's; leave out --address, or them"
        )
    return send(address, work, out, wait=wait, json=json)


def _queued_flow(work: "Work", when: "When") -> "Submitted":
    from .flows.options import Options
    from .jobs.submitting import submit_flow

    assert work.flow is not None
    options = Options(
        work.flow,
        input=work.input,
        inputs=work.inputs,
        config=work.config,
        max_cost=work.max_cost,
        tenant=work.tenant,
        concurrency=work.concurrency,
    )
    return submit_flow(options, when)


def _queued_digest(work: "Work", when: "When") -> "Submitted":
    from .config_file import load
    from .digest.options import Options
    from .digest.queued import submission
    from .jobs.submitting import hand_in
    from .session import Session

    options = Options(
        str(work.path),
        question=work.ask,
        config=work.config,
        map_model=work.map_model,
        reduce_model=work.reduce_model,
        max_cost=work.max_cost,
        tenant=work.tenant,
        concurrency=work.concurrency,
        fresh=work.fresh,
    )
    made = submission(
        options,
        _warn,
        key=when.key,
        priority=when.priority,
        delay_s=when.delay_s,
        attempts=when.attempts,
    )
    with Session() as session:
        return hand_in(session, load(work.config), [made])[0]


def _warn(text: str) -> None:
    sys.stderr.write(f"warning: {text}\n")


def _told_queued(queued: "Submitted", *, json: bool) -> None:
    import orjson

    if json:
        line = {"id": queued.id, "state": queued.state, "new": queued.new}
        sys.stdout.write(orjson.dumps(line).decode() + "\n")
    else:
        before = "" if queued.new else " (handed in before under this key)"
        sys.stdout.write(f"{queued.id}: {queued.state}{before}\n")


def fetch(
    job: Annotated[str, Parameter(help="the job's id, or how it begins")],
    /,
    *,
    address: Address,
    out: Annotated[Path | None, Parameter(help="folder of the results (default: named as the job)")] = None,
    json: Annotated[bool, Parameter(help="print the outcome as JSON")] = False,
) -> int:
    """Get the results of a job that ran on a Ray cluster elsewhere."""
    from .remote.api import fetch as work

    return work(address, job, out or Path(job), json=json)
