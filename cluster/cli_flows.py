"""The command line's part about workflows. Commands import what they need when they run."""

from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from ..protocols.errors import UsageError


def register(app: App) -> None:
    """Adds the commands."""
    for command in (run, validate, graph, approvals, approve, reject, calibrate):
        app.command(command)


def run(
    flow: Annotated[Path, Parameter(help="workflow (YAML)")],
    /,
    *,
    input: Annotated[  # noqa: A002 - the workflow's own word
        str | None, Parameter(help="words, JSON, @FILE, or - for standard input", allow_leading_hyphen=True)
    ] = None,
    inputs: Annotated[Path | None, Parameter(help="many inputs: a JSON value a line")] = None,
    out: Annotated[Path, Parameter(help="where the results of many inputs go, a JSON object a line")] = Path(
        "results.jsonl"
    ),
    plan: Annotated[bool, Parameter(help="show calls, tokens, dollars and time, then stop")] = False,
    json: Annotated[bool, Parameter(help="print the outcome as JSON")] = False,
    config: Annotated[Path | None, Parameter(help="configuration (default: understudy.yaml here)")] = None,
    max_cost: Annotated[float | None, Parameter(help="most dollars to spend")] = None,
    tenant: Annotated[str, Parameter(help="for whom: whose budget of the day it spends")] = "",
    concurrency: Annotated[int, Parameter(help="runs at once")] = 64,
    wait: Annotated[
        bool | None, Parameter(help="stay while people are asked (default: on a terminal)", negative="--no-wait")
    ] = None,
    journal: Annotated[
        str, Parameter(help="where what is finished is kept: sqlite:PATH or postgresql://… (default: a file of yours)")
    ] = "",
) -> int:
    """Run a workflow on one input, or on many; exit code 3 when a run failed, 4 when it waits for people."""
    from .flows.options import Options
    from .flows.run import run as work

    if max_cost is not None and max_cost <= 0:
        raise UsageError("--max-cost must be more than 0; leave it out for no bound")
    if concurrency < 1:
        raise UsageError("--concurrency must be at least 1")
    if input is not None and inputs is not None:
        raise UsageError("--input and --inputs: give one of them")
    keep_at(journal)
    return work(Options(flow, input, inputs, config, out, plan, json, max_cost, tenant, concurrency, wait))


def keep_at(journal: str) -> None:
    """The cluster that this command starts, or finds, is to keep its journal there."""
    import os

    from .journal_url import checked

    if journal:
        os.environ["UNDERSTUDY_JOURNAL"] = checked(journal)


def validate(
    flow: Annotated[Path, Parameter(help="workflow (YAML)")],
    /,
    *,
    config: Annotated[Path | None, Parameter(help="configuration (default: understudy.yaml here)")] = None,
    json: Annotated[bool, Parameter(help="print it as JSON")] = False,
) -> int:
    """Check a workflow: every mistake with its line and column; calls nothing and starts nothing."""
    from .flows.validate import run as work

    return work(flow, config, json=json)


def graph(
    flow: Annotated[Path, Parameter(help="workflow (YAML)")],
    /,
    *,
    mermaid: Annotated[bool, Parameter(help="print it as a Mermaid flowchart")] = False,
    json: Annotated[bool, Parameter(help="print it as JSON")] = False,
) -> int:
    """Draw a workflow: a tree in the terminal, or Mermaid for documents."""
    from .flows.graph import run as work

    return work(flow, mermaid=mermaid, json=json)


def approvals(*, json: Annotated[bool, Parameter(help="print it as JSON")] = False) -> int:
    """List what waits for people."""
    from .flows.approvals import listed

    return listed(json=json)


def approve(
    job: Annotated[str, Parameter(help="the job that waits")],
    /,
    *,
    item: Annotated[int, Parameter(help="which of its inputs, where several wait")] = -1,
    step: Annotated[str, Parameter(help="which step, where it asks several things")] = "",
    edit: Annotated[
        str | None, Parameter(help="what takes the place of what was shown: words or JSON", allow_leading_hyphen=True)
    ] = None,
    note: Annotated[str, Parameter(help="for whoever reads the result")] = "",
    json: Annotated[bool, Parameter(help="print the outcome as JSON")] = False,
    wait: Annotated[bool, Parameter(help="follow the job to its end", negative="--no-wait")] = True,
) -> int:
    """Approve what a job waits for; it goes on, and nothing that ran before is run again."""
    from .flows.approvals import answer

    return answer(job, approved=True, item=item, step=step, edit=edit, note=note, json=json, wait=wait)


def reject(
    job: Annotated[str, Parameter(help="the job that waits")],
    /,
    *,
    item: Annotated[int, Parameter(help="which of its inputs, where several wait")] = -1,
    step: Annotated[str, Parameter(help="which step, where it asks several things")] = "",
    note: Annotated[str, Parameter(help="why")] = "",
    json: Annotated[bool, Parameter(help="print the outcome as JSON")] = False,
    wait: Annotated[bool, Parameter(help="follow the job to its end", negative="--no-wait")] = True,
) -> int:
    """Reject what a job waits for: the step fails, and its policy says what follows."""
    from .flows.approvals import answer

    return answer(job, approved=False, item=item, step=step, edit=None, note=note, json=json, wait=wait)


def calibrate(
    flow: Annotated[Path, Parameter(help="workflow with a ladder (YAML)")],
    /,
    *,
    labelled: Annotated[Path, Parameter(help="examples: {input, label} a line, as JSON")],
    target: Annotated[float, Parameter(help="quality to hold, 0 to 1")] = 0.95,
    relative: Annotated[bool, Parameter(help="the target is a share of the last rung's own quality")] = False,
    confidence: Annotated[float, Parameter(help="how sure it has to be")] = 0.9,
    step: Annotated[str, Parameter(help="path of the ladder, where there are several")] = "",
    answer: Annotated[str, Parameter(help="expression: what of the output (`it`) is compared with the label")] = "",
    correct: Annotated[str, Parameter(help="expression over `it` and `label`: the output is right")] = "",
    write: Annotated[bool, Parameter(help="write the threshold into the file")] = False,
    config: Annotated[Path | None, Parameter(help="configuration (default: understudy.yaml here)")] = None,
    json: Annotated[bool, Parameter(help="print the outcome as JSON")] = False,
    concurrency: Annotated[int, Parameter(help="examples at once")] = 64,
) -> int:
    """Find a ladder's threshold on labelled examples: the cheapest that holds a quality with a confidence."""
    from .flows.calibrate import Options
    from .flows.calibrate import calibrate as work

    return work(
        Options(flow, labelled, target, relative, confidence, step, answer, correct, write, config, json, concurrency)
    )
