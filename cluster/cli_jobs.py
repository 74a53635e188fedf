"""The command line's part about jobs that last. Commands import what they need when they run."""

from typing import Annotated

from cyclopts import App, Parameter

from ..protocols.errors import UsageError

Job = Annotated[str, Parameter(help="the job's id, or how it begins")]
Json = Annotated[bool, Parameter(help="print it as JSON")]
Address = Annotated[str, Parameter(help="a Ray cluster elsewhere that the job was submitted to: http://HOST:8265")]
Where = Annotated[str, Parameter(help="the journal: sqlite:PATH or postgresql://… (default: the running cluster's)")]


def register(app: App) -> None:
    """Adds the commands."""
    for command in (jobs, show, logs, cancel, resume, retry, dead, redrive, replay, gc):
        app.command(command)


def jobs(
    *,
    all: Annotated[bool, Parameter(help="also those that are long over", negative="")] = False,  # noqa: A002 - the word
    state: Annotated[list[str] | None, Parameter(help="only those that stand so; may be given again")] = None,
    tenant: Annotated[str | None, Parameter(help="only those of this tenant")] = None,
    address: Address = "",
    journal: Where = "",
    json: Json = False,
) -> int:
    """List jobs, the newest first, from the journal; starts nothing."""
    if address:
        from .remote.api import listed as remote

        return remote(address, json=json)
    from .jobs.listing import listed

    return listed(everything=all, states=state or [], tenant=tenant, url=journal, json=json)


def show(
    job: Job,
    /,
    *,
    item: Annotated[int, Parameter(help="which of its inputs")] = -1,
    journal: Where = "",
    json: Json = False,
) -> int:
    """Show one job: its failures with their causes, the steps of its runs, attempts and cost."""
    from .jobs.listing import shown

    return shown(job, item=item, url=journal, json=json)


def logs(
    job: Job,
    /,
    *,
    follow: Annotated[bool, Parameter(name=["--follow", "-f"], help="go on as things happen", negative="")] = False,
    address: Address = "",
    journal: Where = "",
    json: Json = False,
) -> int:
    """Tell what happened to a job, a line each."""
    if address:
        from .remote.api import logs as remote

        return remote(address, job, follow, json=json)
    from .jobs.listing import logged

    return logged(job, follow=follow, url=journal, json=json)


def cancel(
    job: Job,
    /,
    *,
    address: Address = "",
    journal: Where = "",
    json: Json = False,
) -> int:
    """Stop a job; what it has answered stays."""
    if address:
        from .remote.api import cancel as remote

        return remote(address, job, json=json)
    from .jobs.acting import cancel as work

    return work(job, url=journal, json=json)


def resume(
    job: Job,
    /,
    *,
    no_more: Annotated[bool, Parameter(help="no inputs follow those that were handed in", negative="")] = False,
    force: Annotated[bool, Parameter(help="take it from another cluster though that lives", negative="")] = False,
    journal: Where = "",
    json: Json = False,
) -> int:
    """Go on with a job whose command or whose whole cluster is gone, and finish its work; nothing is paid for twice."""
    from .jobs.acting import resume as work

    return work(job, no_more=no_more, force=force, url=journal, json=json)


def retry(
    job: Job,
    /,
    *,
    standing: Annotated[bool, Parameter(help="items whose answer stands in instead", negative="")] = False,
    wait: Annotated[bool, Parameter(help="follow the job to its end", negative="--no-wait")] = True,
    journal: Where = "",
    json: Json = False,
) -> int:
    """Try the failed items of a job again; steps that were finished are not run, or paid for, again."""
    from .jobs.acting import retry as work

    return work(job, which="standing" if standing else "failed", wait=wait, url=journal, json=json)


def dead(*, journal: Where = "", json: Json = False) -> int:
    """List dead letters: queued jobs that were tried as often as they may be, each with its cause."""
    from .jobs.listing import dead as work

    return work(url=journal, json=json)


def redrive(
    *jobs: Job,
    all: Annotated[bool, Parameter(help="all dead letters", negative="")] = False,  # noqa: A002 - the word
    journal: Where = "",
    json: Json = False,
) -> int:
    """Put dead letters back into the queue; they go on from where they were."""
    from .jobs.acting import redrive as work

    if bool(jobs) == all:
        raise UsageError("redrive: name the jobs, or give --all for every dead letter")
    return work(list(jobs), url=journal, json=json)


def replay(job: Job, /, *, journal: Where = "", json: Json = False) -> int:
    """Run a job again from its journal, without any provider; exit code 1 when something comes out differently."""
    from .jobs.replaying import replay as work

    return work(job, url=journal, json=json)


def gc(
    *,
    older: Annotated[str, Parameter(help="jobs that ended longer ago than this: 12h, 30d, 8w")] = "30d",
    job: Annotated[str, Parameter(help="this job alone, whenever it ended")] = "",
    most: Annotated[int, Parameter(help="at most so many jobs; 0: no bound")] = 0,
    journal: Where = "",
    json: Json = False,
) -> int:
    """Forget jobs that are over, and give their space back; jobs that run, wait or are dead letters stay."""
    from .jobs.acting import gc as work

    if most < 0:
        raise UsageError("--most must be 0 or more")
    return work(older=older, job=job, most=most, url=journal, json=json)
