"""Runs `understudy run` from its options to its exit code."""

from collections.abc import Iterable
from typing import Any

from rich.console import Console

from ...protocols.config import Config
from ...protocols.errors import UsageError
from ...protocols.jobs import JobSpec
from ...protocols.workflow import Flow
from ...supervisors.workflow.check import check_input
from ..config_file import load
from ..digest.models import known_tenant
from ..digest.show import money
from ..local import Opening, Settings
from ..reach import reach
from ..session import Session
from . import ending, inputs, setting, show
from .following import OK, Following
from .job import FlowJob, flow_spec
from .notes import notes
from .options import Options
from .plan import as_json, planned
from .plan import show as show_plan
from .sink import Sink
from .validate import validate


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

    def run(self) -> int:
        """See `run`."""
        options = self._options
        config = load(options.config)
        flow = validate(options.flow, config)
        known_tenant(config, options.tenant)
        given, total = self._inputs(flow)
        if not options.plan:
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
        following = self._following()
        opening = Opening(self._prepared)
        with show.Progress(self._console, flow.name, total=total, quiet=options.json) as progress:
            if setting.leaves_this_machine(flow, config):
                for warning in reach(config, setting.routes_of(flow, config)):
                    self._console.print(f"warning: {warning}", style="yellow", markup=False, highlight=False)
            spec = self._spec(flow, config, total, most, forecast.dearest)
            progress.stage("starting Ray")
            with opening.wait() as session:
                job = FlowJob(session, spec, config, notes(options, given, total))
                code = following.work(job, job.pages(given), progress, total)
        return following.end(code, spec.id)

    def _following(self) -> Following:
        options = self._options
        return Following(
            self._console,
            json=options.json,
            stay=self._console.is_terminal if options.wait is None else options.wait,
            owns=True,
            sink=None if options.inputs is None else Sink(options.out, options.inputs),
            out=options.out,
        )

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
