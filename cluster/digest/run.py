"""Runs `understudy digest` from its options to its exit code."""

import dataclasses
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
from rich.console import Console

from ... import __version__
from ...protocols.config import Config
from ...protocols.digest import DigestPlan
from ...protocols.errors import UnderstudyError, UsageError
from ...protocols.report import Report
from ...supervisors.digest.plan import Estimate, Found, Planner, estimate
from ..config_file import load
from ..local import Opening, Settings
from ..session import Session
from ..walk import walk
from . import show
from .gather import Gathered
from .models import Forecast, Models, book, choose, dearest_item, forecast, known_tenant, reach
from .submit import Submission, job_spec

OK, ERROR, USAGE, PARTIAL, CANCELLED = 0, 1, 2, 3, 130


@dataclasses.dataclass(frozen=True, slots=True)
class Options:
    """What the command line asks for."""

    path: str
    question: str = ""
    plan: bool = False
    json: bool = False
    config: Path | None = None
    map_model: str | None = None
    reduce_model: str | None = None
    max_cost: float | None = None
    tenant: str = ""
    concurrency: int = 64
    mappers: int | None = None
    out: Path = Path("understudy-digest")


def digest(options: Options) -> int:
    """Digests a folder. Returns the exit code.

    Raises:
        UsageError: bad input; nothing was spent.
        UnderstudyError: something else went wrong; the text says what.
    """
    return _Digest(options).run()


class _Digest:
    def __init__(self, options: Options) -> None:
        self._options = options
        # What a person reads goes to standard error with --json, so that standard output is JSON alone.
        self._console = Console(stderr=options.json, soft_wrap=False)
        self._config_max: float | None = None
        self._began = time.monotonic()
        self._started = datetime.now(tz=UTC).isoformat(timespec="seconds")

    def run(self) -> int:
        """See `digest`."""
        options = self._options
        config = load(options.config)
        self._config_max = config.max_cost
        models = choose(config, options.map_model, options.reduce_model)
        known_tenant(config, options.tenant)
        _check(options)
        found = walk(options.path, config.digest)  # says at once what is wrong with the path
        opening = None if options.plan else Opening(self._prepared)
        with show.Progress(self._console, quiet=options.json) as progress:
            if opening is not None and not models.embedded:
                for warning in reach(models):
                    self._console.print(f"warning: {warning}", style="yellow", markup=False, highlight=False)
            planner = self._plan(progress, config, found)
            plan = planner.finish()
            guess = estimate(plan, config.digest)
            prices = book(models)
            cast = forecast(models, guess, prices, concurrency=options.concurrency)
            self._warn(prices.unpriced)
            if opening is None:
                return self._print_plan(planner, guess, cast, prices.unpriced)
            self._afford(cast)
            gathered, cancelled = self._work(opening, progress, plan, models, cast)
        return self._finish(plan, models, gathered, cancelled=cancelled)

    def _settings(self) -> Settings:
        return Settings(mappers=self._options.mappers) if self._options.mappers else Settings()

    def _prepared(self) -> Session:
        session = Session(self._settings())
        session.prepare()
        return session

    # Planning ---------------------------------------------------------------------------------------------------------

    def _plan(self, progress: show.Progress, config: Config, found: Iterator[Found]) -> Planner:
        progress.stage(f"reading {self._options.path}")
        planner = Planner(self._options.path, config.digest)
        progress.planning(planner.totals)
        for one in found:
            planner.add(one)
        return planner

    def _print_plan(self, planner: Planner, guess: Estimate, cast: Forecast, unpriced: tuple[str, ...]) -> int:
        if self._options.json:
            plan = {
                "files": planner.totals.files,
                "tokens": planner.totals.tokens,
                "map_calls": guess.map_calls,
                "reduce_calls": guess.reduce_calls,
                "input_tokens": guess.input_tokens,
                "output_tokens": guess.output_tokens,
                "dollars": None if cast.cost is None else cast.cost / 1e12,
                "seconds_at_least": round(cast.seconds, 1),
                "bound_by": cast.limit,
                "unpriced": unpriced,
            }
            _print_json(plan)
        else:
            self._console.print(show.plan_table(guess, cast, planner.totals))
            self._console.print("nothing was spent", style="dim")
        return OK

    def _warn(self, unpriced: tuple[str, ...]) -> None:
        for name in unpriced:
            text = f"warning: no price is known for {name}: its cost is shown as ?; give it a price in models"
            self._console.print(text, style="yellow", markup=False, highlight=False)

    def _max_cost(self) -> int:
        """Picodollars, -1 for no bound."""
        dollars = self._options.max_cost if self._options.max_cost is not None else self._config_max
        return -1 if dollars is None else round(dollars * 1e12)

    def _afford(self, cast: Forecast) -> None:
        most = self._max_cost()
        if most >= 0 and cast.cost is not None and cast.cost > most:
            raise UsageError(
                f"the plan costs about {show.money(cast.cost)}, more than the {show.money(most)} allowed; nothing was "
                "spent; raise --max-cost (or max_cost), digest less, or choose cheaper models (see --plan)"
            )

    # Working ----------------------------------------------------------------------------------------------------------

    def _work(
        self, opening: Opening[Session], progress: show.Progress, plan: DigestPlan, models: Models, cast: Forecast
    ) -> tuple[Gathered, bool]:
        progress.stage("starting Ray")
        most = self._max_cost()
        prices = book(models)
        mappers = self._settings().mappers
        spec = job_spec(
            plan,
            models,
            question=self._options.question,
            # Extraction is CPU work of one thread: two at hand keep it busy, more would only wait.
            width=2 if models.embedded else max(1, -(-self._options.concurrency // mappers)),
            max_cost=most,
            item_cost=dearest_item(models, plan, prices),
            held_back=cast.reduce_cost or 0,
            tenant=self._options.tenant,
        )
        gathered = Gathered(plan, spec)
        with opening.wait() as session:
            job = Submission(session, spec)
            nodes = sum(node.kind != "chunk" for node in plan.nodes)

            def seen(page: Any) -> None:
                gathered.take(page)
                progress.mapping(page, nodes)

            try:
                progress.stage(f"mapping {len(plan.packs):,} packs")
                job.start(plan, models)
                last = job.follow(seen)
            except KeyboardInterrupt:
                progress.stage("stopping")
                job.cancel()
                job.follow(seen)
                return gathered, True
        if last.state == "failed":
            raise UnderstudyError(f"the job failed: {last.error}")
        return gathered, False

    # Ending -----------------------------------------------------------------------------------------------------------

    def _finish(self, plan: DigestPlan, models: Models, gathered: Gathered, *, cancelled: bool) -> int:
        report = self._report(plan, models, gathered, cancelled=cancelled)
        from ..report.write import write  # noqa: PLC0415 - at the end, not before the first call

        paths = write(report, self._options.out)
        wrong = report.check()
        for line in wrong:
            self._console.print(f"the report does not add up: {line}", style="red", markup=False)
        code = CANCELLED if cancelled else ERROR if wrong else OK if report.complete else PARTIAL
        if self._options.json:
            _print_json(_outcome(report, paths, code))
            return code
        show.result(self._console, report, paths, _shorten)
        if cancelled:
            done = report.accounting.text_files - report.accounting.failed
            self._console.print(
                f"stopped: what was finished is kept in the report ({done:,} of {report.accounting.text_files:,} files)"
            )
        return code

    def _report(self, plan: DigestPlan, models: Models, gathered: Gathered, *, cancelled: bool) -> Report:
        from ..report.build import Facts, build  # noqa: PLC0415 - at the end, not before the first call

        notice = ""
        if models.embedded:
            from ...actors.embedded import NOTICE  # noqa: PLC0415 - its vocabulary is loaded only where it is used

            notice = NOTICE
        if gathered.stale:
            older = f"{gathered.stale:,} answers are older ones from the cache, since no model answered."
            notice = f"{notice} {older}".strip()
        facts = Facts(
            title=Path(self._options.path).resolve().name or "/",
            started=self._started,
            seconds=round(time.monotonic() - self._began, 2),
            question=self._options.question or None,
            notice=notice,
            cancelled=cancelled,
            version=__version__,
        )
        return build(plan, gathered.summaries, gathered.bill(), facts)


def _check(options: Options) -> None:
    """What can be seen to be wrong before Ray is started."""
    if options.out.exists() and not options.out.is_dir():
        raise UsageError(f"--out {options.out}: it is a file; give a folder")


def _outcome(report: Report, paths: list[Path], code: int) -> dict[str, Any]:
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


def _print_json(value: object) -> None:
    sys.stdout.write(orjson.dumps(value, option=orjson.OPT_INDENT_2).decode() + "\n")


def _shorten(path: Path) -> str:
    try:
        return str(path.resolve().relative_to(Path.cwd()))
    except ValueError:
        return str(path)
