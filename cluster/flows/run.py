"""Runs `understudy run` from its options to its exit code."""

import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import orjson
from rich.console import Console

from ...protocols.config import Config
from ...protocols.errors import UnderstudyError, UsageError
from ...protocols.jobs import JobSpec, Page, Waiting
from ...protocols.messages import ItemDone
from ...protocols.workflow import Flow
from ...supervisors.workflow.check import check_input
from ..config_file import load
from ..digest.models import known_tenant
from ..digest.show import money
from ..local import Opening, Settings
from ..reach import reach
from ..session import Session
from . import ending, inputs, setting, show
from .job import FlowJob, approvals, flow_spec
from .options import Options
from .plan import as_json, planned
from .plan import show as show_plan
from .results import read
from .validate import validate

OK, USAGE, PARTIAL, WAITING, CANCELLED = 0, 2, 3, 4, 130


def run(options: Options) -> int:
    """Runs a workflow. Returns the exit code: 0, 3 (some run failed), 4 (it waits for people), 130 (stopped).

    Raises:
        UsageError: bad input; nothing was spent.
        UnderstudyError: something else went wrong; the text says what.
    """
    with setting.importable(str(options.flow.resolve().parent)):
        return _Running(options).run()


class _Running:
    def __init__(self, options: Options) -> None:
        self._options = options
        # What a person reads goes to standard error with --json, so that standard output is JSON alone.
        self._console = Console(stderr=options.json, soft_wrap=False)
        self._began = time.monotonic()
        self._last: ItemDone | None = None
        self._page: Page | None = None
        self._coming: Iterator[ItemDone] = iter(())
        self._sink: _Sink | None = None

    def run(self) -> int:
        """See `run`."""
        options = self._options
        config = load(options.config)
        flow = validate(options.flow, config)
        known_tenant(config, options.tenant)
        given, total = self._inputs(flow)
        setting_needed = options.plan
        if not setting_needed:
            setting.check_references(flow, config)
        prices = setting.price_book(flow, config)
        forecast = planned(flow, config, prices, given, total, concurrency=options.concurrency)
        if options.plan:
            ending.print_json(as_json(forecast)) if options.json else show_plan(forecast, self._console)
            return OK
        self._warn(prices.unpriced)
        most = setting.max_cost(options.max_cost, config)
        if most >= 0 and forecast.typical.cost is not None and forecast.typical.cost > most:
            raise UsageError(
                f"the plan costs about {money(forecast.typical.cost)}, more than the {money(most)} allowed; "
                "nothing was spent; raise --max-cost (or max_cost), or choose cheaper models (see --plan)"
            )
        self._sink = None if options.inputs is None else _Sink(options.out, options.inputs)
        opening = Opening(self._prepared)
        with show.Progress(self._console, flow.name, total=total, quiet=options.json) as progress:
            if setting.leaves_this_machine(flow, config):
                for warning in reach(config, setting.routes_of(flow, config)):
                    self._console.print(f"warning: {warning}", style="yellow", markup=False, highlight=False)
            spec = self._spec(flow, config, total, most, forecast.dearest)
            progress.stage("starting Ray")
            with opening.wait() as session:
                code, waiting = self._work(FlowJob(session, spec, config), given, progress, total)
        return self._end(code, waiting, total)

    def _inputs(self, flow: Flow) -> tuple[Iterable[Any], int]:
        options = self._options

        def check(value: Any) -> str:
            return check_input(flow, value)

        if options.inputs is not None:
            lines = inputs.Lines(options.inputs, check)
            return lines, lines.count
        if options.input is None:
            if flow.input is not None and not options.plan:
                raise UsageError("the workflow wants an input: give --input, or --inputs FILE.jsonl")
            return [""], 1
        return [inputs.one(options.input, check)], 1

    @staticmethod
    def _prepared() -> Session:
        session = Session(Settings())
        session.prepare()
        return session

    def _warn(self, unpriced: Iterable[str]) -> None:
        for name in unpriced:
            text = f"warning: no price is known for {name}: its cost is shown as ?; give it a price in models"
            self._console.print(text, style="yellow", markup=False, highlight=False)

    def _spec(self, flow: Flow, config: Config, total: int, most: int, dearest: int | None) -> JobSpec:
        options = self._options
        return flow_spec(
            flow,
            config,
            inputs=total,
            width=max(1, -(-options.concurrency // Settings().mappers)),
            tenant=options.tenant,
            interactive=total == 1,
            max_cost=most,
            item_cost=setting.item_cost(most, total, dearest),
            title=f"run {options.flow.name}",
            paths=(str(options.flow.resolve().parent),),
        )

    # Working ----------------------------------------------------------------------------------------------------------

    def _work(
        self, job: FlowJob, given: Iterable[Any], progress: show.Progress, total: int
    ) -> tuple[int, list[Waiting]]:
        progress.stage(f"running {total:,} inputs" if total > 1 else "running")
        stay = self._console.is_terminal if self._options.wait is None else self._options.wait
        told = False
        try:
            for page in job.pages(given):
                self._take(page, progress)
                if page.state != "waiting":
                    told = False
                elif not told:
                    told = True
                    waiting = approvals(job.session, job.spec.id)
                    if not stay:
                        return WAITING, waiting
                    progress.stage(f"waits for people: understudy approve {job.spec.id}")
        except KeyboardInterrupt:
            if told and self._page is not None and self._page.state == "waiting":
                return WAITING, approvals(job.session, job.spec.id)
            progress.stage("stopping")
            job.cancel()
            self._keep()  # what was on its way when the key was pressed: it is paid for
            for page in job.rest():
                self._take(page, progress)
            return CANCELLED, []
        finally:
            if self._sink is not None:
                self._sink.close()
        assert self._page is not None
        if self._page.state in ("failed", "cancelled"):
            raise UnderstudyError(f"the job was {self._page.state}: {self._page.error or 'by another command'}")
        return (PARTIAL if self._page.failed else OK), []

    def _take(self, page: Page, progress: show.Progress) -> None:
        self._page = page
        self._coming = iter(page.items)
        self._keep()
        progress.take(page)

    def _keep(self) -> None:
        """Keeps what came and was not kept yet."""
        for done in self._coming:
            self._last = done
            if self._sink is not None:
                self._sink.write(done)
        if self._sink is not None:
            self._sink.flush()

    # Ending -----------------------------------------------------------------------------------------------------------

    def _end(self, code: int, waiting: list[Waiting], total: int) -> int:
        options, seconds = self._options, time.monotonic() - self._began
        page = self._page
        if waiting:
            told = {"exit": code, "state": "waiting", "waiting": ending.waiting_as_json(waiting)}
            ending.print_json(told) if options.json else ending.show_waiting(self._console, waiting)
            return code
        if page is None or (code == CANCELLED and total == 1):
            self._console.print("stopped")
            return code
        if options.inputs is None and self._last is not None:
            result = read(self._last)
            if options.json:
                ending.print_json({"exit": code, **result.plain(), "seconds": round(seconds, 3)})
            else:
                ending.show_result(self._console, result, seconds)
            return code
        if options.json:
            told = {"exit": code, **ending.totals(page), "seconds": round(seconds, 3), "results": str(options.out)}
            ending.print_json(told)
        else:
            ending.show_many(self._console, page, seconds, str(options.out))
        return code


class _Sink:
    """Results as they come, a JSON line each, in the order they are done; `number` is the input's, from 0."""

    def __init__(self, path: Path, inputs: Path) -> None:
        try:
            if path.exists() and path.samefile(inputs):
                raise UsageError(f"--out {path}: that is the file of the inputs; name another (--out FILE)")
            self._file = path.open("wb")
        except OSError as error:
            raise UsageError(f"--out {path}: {error.strerror or error}") from None

    def write(self, done: ItemDone) -> None:
        """One more result."""
        self._file.write(orjson.dumps(read(done).plain()) + b"\n")

    def flush(self) -> None:
        """What was written can be read by others."""
        self._file.flush()

    def close(self) -> None:
        """Nothing more comes."""
        self._file.close()
