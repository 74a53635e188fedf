"""The end of a digest: its report is made and written, and people are told; by whoever follows it to its end."""

import sys
from pathlib import Path
from typing import Any

import orjson
from rich.console import Console

from ... import __version__
from ...protocols.digest import DigestPlan
from ...protocols.report import Report
from ...supervisors.digest.plan import files_known
from . import show
from .gather import Gathered
from .notes import Case

OK, ERROR, USAGE, PARTIAL, CANCELLED = 0, 1, 2, 3, 130


def finish(
    console: Console, case: Case, plan: DigestPlan, gathered: Gathered, *, seconds: float, cancelled: bool, json: bool
) -> int:
    """Writes the report and says what came of it. Returns the exit code.

    Raises:
        UsageError: the report can't be written.
    """
    report = _report(case, plan, gathered, seconds=seconds, cancelled=cancelled)
    from ..report.write import write  # noqa: PLC0415 - at the end, not before the first call

    paths = write(report, Path(case.out))
    wrong = report.check()
    for line in wrong:
        console.print(f"the report does not add up: {line}", style="red", markup=False)
    code = CANCELLED if cancelled else ERROR if wrong else OK if report.complete else PARTIAL
    if json:
        print_json(_outcome(report, paths, code, known=files_known(plan)))
        return code
    show.result(console, report, paths, _shorten)
    if cancelled:
        done = report.accounting.text_files - report.accounting.failed
        console.print(
            f"stopped: what was finished is kept in the report ({done:,} of {report.accounting.text_files:,} files)"
        )
    return code


def _report(case: Case, plan: DigestPlan, gathered: Gathered, *, seconds: float, cancelled: bool) -> Report:
    from ..report.build import Facts, build  # noqa: PLC0415 - at the end, not before the first call

    facts = Facts(
        title=case.title,
        started=case.started,
        seconds=round(seconds, 2),
        question=case.question or None,
        notice=_notice(case, plan, gathered),
        cancelled=cancelled,
        version=__version__,
    )
    return build(plan, gathered.summaries, gathered.bill(), facts)


def _notice(case: Case, plan: DigestPlan, gathered: Gathered) -> str:
    told = []
    if case.embedded:
        from ...actors.embedded import NOTICE  # noqa: PLC0415 - its vocabulary is loaded only where it is used

        told.append(NOTICE)
    if files_known(plan):
        told.append(show.known(plan))
    if gathered.stale:
        told.append(f"{gathered.stale:,} answers are older ones from the cache, since no model answered")
    return "; ".join(told)


def _outcome(report: Report, paths: list[Path], code: int, *, known: int) -> dict[str, Any]:
    count, bill = report.accounting, report.bill
    return {
        "exit": code,
        "complete": report.complete,
        "cancelled": report.cancelled,
        "summary": report.summary,
        "files": {
            "text": count.text_files,
            "summarised": count.summarised,
            "packed": count.packed,
            "failed": count.failed,
            "skipped": count.skipped,
            "reasons": count.reasons,
            "known": known,
        },
        "bill": {
            "calls": bill.calls,
            "attempts": bill.attempts,
            "input_tokens": bill.input_tokens,
            "output_tokens": bill.output_tokens,
            "dollars": bill.cost,
            "open_dollars": bill.open_cost,
            "hedges": bill.hedges,
            "unpriced": bill.unpriced,
        },
        "failures": [{"path": failure.path, "cause": failure.cause} for failure in report.failures],
        "seconds": report.seconds,
        "report": [str(path) for path in paths],
    }


def print_json(value: object) -> None:
    """On standard output, for programs."""
    sys.stdout.write(orjson.dumps(value, option=orjson.OPT_INDENT_2).decode() + "\n")


def _shorten(path: Path) -> str:
    try:
        return str(path.resolve().relative_to(Path.cwd()))
    except ValueError:
        return str(path)
