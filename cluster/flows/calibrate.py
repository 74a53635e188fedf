"""`understudy calibrate`: from which score on a ladder may take a cheap answer, found on labelled examples.

Every rung is run and scored on every example, as a job of many inputs; costs are those on the bills. What threshold
holds the target is the business of `supervisors.calibration`.
"""

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ...actors.prices import dollars
from ...protocols.config import Config
from ...protocols.errors import UnderstudyError, UsageError
from ...protocols.jobs import Page
from ...protocols.messages import ItemDone
from ...protocols.workflow import Flow
from ...protocols.workflow.result import FlowResult
from ...supervisors.binomial import lower_bound
from ...supervisors.calibration import Calibrated, Point, Rung, at
from ...supervisors.calibration import calibrate as chosen
from ...supervisors.workflow.check import check_input
from ...supervisors.workflow.probe import Seen, Spot, choose, probe, seen
from ..config_file import load
from ..digest.show import money
from ..local import Opening, Settings
from ..reach import reach
from ..session import Session
from . import ending, labelled, setting, show, threshold
from .job import FlowJob, flow_spec
from .validate import validate

FOUND, INFEASIBLE = 0, 3
_SHOWN: Final = tuple(step / 10 for step in range(10, -1, -1))
_MOST_RUNGS: Final = 5
"""Rungs that have a column of their own: more would not fit a terminal."""

Runner = Callable[[Flow, Config, "Options", Sequence[Any], Console], list[ItemDone]]
"""Runs a workflow on inputs: their answers in the order of the inputs."""


@dataclasses.dataclass(frozen=True, slots=True)
class Options:
    """See `understudy calibrate --help`."""

    flow: Path
    labelled: Path
    target: float = 0.95
    relative: bool = False
    confidence: float = 0.9
    step: str = ""
    answer: str = ""
    correct: str = ""
    write: bool = False
    config: Path | None = None
    json: bool = False
    concurrency: int = 64


@dataclasses.dataclass(frozen=True, slots=True)
class Examples:
    """What the labelled examples came to.

    Attributes:
        rungs: of each example that came to the ladder, what each rung made of it.
        failed: examples that failed before they came to it, and the first cause.
        elsewhere: examples that took another way.
        spent: picodollars that this cost.
        priced: False where a price is not known: costs and savings are then not told.
    """

    rungs: list[tuple[Rung, ...]]
    failed: int
    cause: str
    elsewhere: int
    spent: int
    priced: bool


def calibrate(options: Options, *, run: Runner | None = None) -> int:
    """Finds the threshold, shows it, and writes it if asked to. Returns the exit code: 0, or 3 where none was found.

    Raises:
        UsageError: bad input; nothing was spent.
        UnderstudyError: something else went wrong; the text says what.
    """
    console = Console(stderr=options.json)
    correctness = labelled.Correctness(options.answer, options.correct)
    _check(options)
    config = load(options.config)
    flow = validate(options.flow, config)
    spot = choose(flow, options.step)
    examples = labelled.read(options.labelled, lambda value: check_input(flow, value))
    setting.check_references(flow, config)
    probing = probe(flow, spot)
    done = (run or on_cluster)(probing, config, options, [one.input for one in examples], console)
    found = gathered(done, examples, spot, correctness)
    _usable(found, correctness, spot, len(examples))
    delta = 1.0 - options.confidence
    result = chosen(found.rungs, options.target, delta=delta, relative=options.relative)
    if result.feasible and options.write:
        assert result.threshold is not None
        threshold.write(options.flow, spot.place, result.threshold)
    if options.json:
        ending.print_json(as_json(result, found, spot, written=result.feasible and options.write))
    else:
        tell(console, result, found, spot, options)
    return FOUND if result.feasible else INFEASIBLE


def _check(options: Options) -> None:
    top = "at most 1" if options.relative else "below 1"
    if not 0.0 < options.target <= 1.0 or (options.target == 1.0 and not options.relative):
        raise UsageError(f"--target {options.target:g}: must be above 0 and {top}")
    if not 0.0 < options.confidence < 1.0:
        raise UsageError(f"--confidence {options.confidence:g}: must be between 0 and 1, such as 0.9")
    if options.concurrency < 1:
        raise UsageError("--concurrency must be at least 1")


# Examples -------------------------------------------------------------------------------------------------------------


def on_cluster(flow: Flow, config: Config, options: Options, values: Sequence[Any], console: Console) -> list[ItemDone]:
    """Runs the workflow as a job. Raises `UnderstudyError` when the job fails."""
    if setting.leaves_this_machine(flow, config):
        for warning in reach(config, setting.routes_of(flow, config)):
            console.print(f"warning: {warning}", style="yellow", markup=False, highlight=False)
    opening = Opening(_prepared)
    spec = flow_spec(
        flow,
        config,
        inputs=len(values),
        width=max(1, -(-options.concurrency // Settings().mappers)),
        title=f"calibrate {flow.name}",
        paths=(str(options.flow.resolve().parent),),
    )
    found: dict[int, ItemDone] = {}
    with show.Progress(console, f"calibrate {flow.name}", total=len(values), quiet=options.json) as progress:
        progress.stage("starting Ray")
        with opening.wait() as session:
            job = FlowJob(session, spec, config)
            try:
                for page in job.pages(values):
                    progress.take(page)
                    found |= {done.item: done for done in page.items}
                    _going(page, flow.name)
            except BaseException:  # also when somebody has pressed Ctrl-C
                job.cancel()
                raise
    return [found.get(number, ItemDone(number, error="it has no answer")) for number in range(len(values))]


def _going(page: Page, name: str) -> None:
    """Raises when the job can't come to its end."""
    if page.state == "failed":
        raise UnderstudyError(f"the job failed: {page.error}")
    if page.state == "waiting":
        raise UsageError(f"{name}: a step before the ladder asks people; calibrate a workflow without it")


def _prepared() -> Session:
    session = Session(Settings())
    session.prepare()
    return session


def gathered(
    done: Sequence[ItemDone], examples: Sequence[labelled.Example], spot: Spot, correctness: labelled.Correctness
) -> Examples:
    """What each rung made of each example, judged by the labels."""
    rungs: list[tuple[Rung, ...]] = []
    failed: list[str] = []
    elsewhere = 0
    for one, example in zip(done, examples, strict=True):
        if one.error:
            failed.append(one.error)
            continue
        found = seen(msgspec.msgpack.decode(one.data, type=FlowResult), spot.ladder)
        if found is None:
            elsewhere += 1
        else:
            rungs.append(tuple(_rung(rung, example, correctness) for rung in found))
    spent = sum(one.known_cost for one in done)
    priced = all(one.cost >= 0 for one in done)
    return Examples(rungs, len(failed), failed[0] if failed else "", elsewhere, spent, priced)


def _rung(found: Seen, example: labelled.Example, correctness: labelled.Correctness) -> Rung:
    right = found.answer is not None and correctness(found.answer, example)
    return Rung(found.score, right, max(found.cost, 0))


def _usable(found: Examples, correctness: labelled.Correctness, spot: Spot, total: int) -> None:
    """Raises `UsageError` where the examples say nothing: a mistake, not a bad ladder."""
    if not found.rungs:
        why = f"{found.failed} failed: {found.cause}" if found.failed else "they took other ways"
        raise UsageError(f"none of {total} examples came to the ladder at {spot.path}: {why}")
    if correctness.failed and correctness.failed == correctness.judged:
        raise UsageError(f"--answer or --correct fits no output: {correctness.failure}")


# Telling --------------------------------------------------------------------------------------------------------------


def points(found: Examples, result: Calibrated) -> list[Point]:
    """The ladder at every tenth, at the threshold that was chosen, and the last rung alone."""
    tried = set(_SHOWN) | ({result.threshold} if result.threshold is not None else set())
    return [at(found.rungs, one) for one in (*sorted(tried, reverse=True), None)]


def tell(console: Console, result: Calibrated, found: Examples, spot: Spot, options: Options) -> None:
    """The table of thresholds, and which of them holds the target."""
    console.print(_table(result, found))
    lines = [result.why]
    if result.feasible:
        saving = f", saving {result.saving:.0%} of the last rung alone" if found.priced else ""
        lines.append(f"threshold: {result.threshold:g}{saving}")
        lines.append(f"written to {options.flow}" if options.write else "--write puts it into the file")
    if found.failed:
        lines.append(f"{found.failed} examples failed before the ladder and are left out: {found.cause}")
    if found.elsewhere:
        lines.append(f"{found.elsewhere} examples took another way than to {spot.path}")
    lines.append(f"the examples cost {money(found.spent)}" + ("" if found.priced else " + unknown prices"))
    for line in lines:
        console.print(line, markup=False, highlight=False)


def _table(result: Calibrated, found: Examples) -> Table:
    rungs = len(result.accepted_share)
    title = Text(f"{result.n:,} examples, target {result.target:g}" + (" of the last rung" if result.relative else ""))
    table = Table(title=title, title_justify="left", box=None, padding=(0, 1, 0, 0), header_style="bold")
    shares = [f"rung {place + 1}" for place in range(rungs)] if rungs <= _MOST_RUNGS else ["rung 1", f"rung {rungs}"]
    for name in ("threshold", "right", "at least", *shares, "cost", "saving"):
        table.add_column(name, justify="right", no_wrap=True)
    alone = at(found.rungs, None).cost
    for point in points(found, result):
        picked = point.threshold == result.threshold
        name = "last alone" if point.threshold is None else f"{point.threshold:g}"
        table.add_row(name, *_figures(point, result, alone, priced=found.priced), style="bold green" if picked else "")
    return table


def _figures(point: Point, result: Calibrated, alone: int, *, priced: bool) -> list[str]:
    n = point.pairs.n
    accepted = point.accepted if len(point.accepted) <= _MOST_RUNGS else (point.accepted[0], point.accepted[-1])
    least = lower_bound(point.correct, n, 1.0 - result.confidence)
    money_ = [money(point.cost), f"{_saving(point.cost, alone):.0%}"] if priced else ["?", "?"]
    return [f"{point.correct / n:.1%}", f"{least:.1%}", *(f"{one / n:.0%}" for one in accepted), *money_]


def _saving(cost: int, alone: int) -> float:
    return 1.0 - cost / alone if alone else 0.0


def as_json(result: Calibrated, found: Examples, spot: Spot, *, written: bool) -> dict[str, Any]:
    """The same for machines; dollars are decimal texts, None where a price is not known."""
    told = dataclasses.asdict(result)
    alone = at(found.rungs, None).cost
    told |= {
        "step": spot.path,
        "written": written,
        "cost": _dollars(result.cost, found),
        "cost_of_best_alone": _dollars(result.cost_of_best_alone, found),
        "saving": result.saving if found.priced else None,
        "spent": f"{dollars(found.spent):f}",
        "failed": found.failed,
        "elsewhere": found.elsewhere,
    }
    told["thresholds"] = [
        {
            "threshold": point.threshold,
            "quality": point.correct / point.pairs.n,
            "quality_low": lower_bound(point.correct, point.pairs.n, 1.0 - result.confidence),
            "accepted_share": [one / point.pairs.n for one in point.accepted],
            "cost": _dollars(point.cost, found),
            "saving": _saving(point.cost, alone) if found.priced else None,
        }
        for point in points(found, result)
    ]
    return told


def _dollars(picodollars: int, found: Examples) -> str | None:
    return f"{dollars(picodollars):f}" if found.priced else None
