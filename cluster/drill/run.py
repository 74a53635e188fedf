"""Runs `understudy drill` from its options to its exit code."""

import contextlib
import dataclasses
import sys
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import msgspec
import orjson
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from ...actors.requests import batch_item
from ...protocols.call import CallResult
from ...protocols.config import Config, encode
from ...protocols.jobs import EnsureReply
from ..config_file import load
from ..live import duration
from ..session import Session
from ..simulator import SimulatorProcess
from ..simulator.ledger import Record
from .bodies import bodies
from .scenarios import Scenario, accounts_hit, choose, command
from .sending import Sending, evenly, own_providers
from .stand_ins import Staging
from .table import show
from .tally import Tally, tally

OK, UNANSWERED = 0, 1
WIDTH: Final = 64
"""Calls in flight at once, of each Mapper."""


@dataclasses.dataclass(frozen=True, slots=True)
class Options:
    """What the command line asks for."""

    config: Path
    calls: int = 300
    scenario: str = "all"
    route: str | None = None
    seed: int = 0
    json: bool = False
    speed: float = 10.0


def drill(options: Options) -> int:
    """Drills a configuration. Returns the exit code: 0 when every call was answered, 1 when not.

    Raises:
        UsageError: bad input; nothing was started.
        UnderstudyError: something else went wrong; the text says what.
    """
    config = load(options.config)
    staging = Staging(config, options.route, speed=options.speed, seed=options.seed, at=datetime.now(tz=UTC))
    scenarios = choose(options.scenario)
    for scenario in scenarios:
        for event in scenario.events:
            accounts_hit(event, staging.accounts)
    # What people read goes to standard error with --json, so that standard output is JSON alone.
    console = Console(stderr=options.json, soft_wrap=False)
    rows = _Drill(options, staging, console).run(scenarios)
    if options.json:
        sys.stdout.write(orjson.dumps(_outcome(options, staging, rows), option=orjson.OPT_INDENT_2).decode() + "\n")
    else:
        show(rows, console, head=_head(options, staging, scenarios))
    return OK if all(row.answered == row.calls for row in rows) else UNANSWERED


class _Drill:
    def __init__(self, options: Options, staging: Staging, console: Console) -> None:
        self._options = options
        self._staging = staging
        self._console = console

    def run(self, scenarios: tuple[Scenario, ...]) -> list[Tally]:
        """A row for each scenario; the first is what the others are compared with."""
        rows: list[Tally] = []
        with Session() as session, self._progress() as progress:
            actors = session.ensure(Config(), encode(Config()))
            task = progress.add_task("", total=sum(one.seconds for one in scenarios) / self._options.speed)
            for place, scenario in enumerate(scenarios):
                name = f"{scenario.name} ({place + 1} of {len(scenarios)})"
                progress.update(task, description=name)
                row = _Play(self._options, self._staging, scenario, progress.advance, task).run(
                    session, actors, rows[0] if rows else None
                )
                rows.append(row)
        return rows

    def _progress(self) -> Progress:
        return Progress(
            TextColumn("{task.description:<28}"),
            BarColumn(24),
            TextColumn("{task.percentage:>3.0f} %  ETA"),
            TimeRemainingColumn(compact=True),
            console=self._console,
            transient=True,
            disable=not self._console.is_terminal,
        )


class _Play:
    """One scenario: simulators of its own, Providers of its own, and its events at their times."""

    def __init__(self, options: Options, staging: Staging, scenario: Scenario, advance: Any, task: Any) -> None:
        self._options = options
        self._staging = staging
        self._scenario = scenario
        self._advance = advance
        self._task = task
        self._to_come = sorted(scenario.events, key=lambda event: event.at_s)
        self._shown = 0.0

    def run(self, session: Session, actors: EnsureReply, calm: Tally | None) -> Tally:
        """The scenario's row."""
        options, scenario = self._options, self._scenario
        asks = bodies(self._staging.route, options.calls, seed=options.seed, stream=scenario.stream)
        played_s = scenario.seconds / options.speed
        with _simulators(self._staging) as simulators:
            config = self._staging.config({name: one.url for name, one in simulators.items()})
            with own_providers(config):
                self._warm_up(session, actors, config, simulators)
                self._carry_out(simulators, 0.0)
                sending = Sending(session, actors, config, width=WIDTH, title=f"drill {scenario.name}")
                sending.run(
                    [batch_item([ask]) for ask in asks],
                    at=evenly(options.calls, played_s),
                    patience_s=played_s + config.attempts.deadline_s + 10.0,
                    seen=lambda gone, _: self._seen(simulators, gone),
                )
            ledgers = {name: one.ledger() for name, one in simulators.items()}
        self._show(played_s)
        return self._row(sending, ledgers, calm)

    def _warm_up(
        self, session: Session, actors: EnsureReply, config: Config, simulators: Mapping[str, SimulatorProcess]
    ) -> None:
        """A few calls that don't count: what a process does at its first call is no provider's fault."""
        asks = bodies(self._staging.route, 4 * len(actors.mappers), seed=-1, stream=self._scenario.stream)
        warming = Sending(session, actors, config, width=WIDTH, title="drill, warming up")
        warming.run([batch_item([ask]) for ask in asks], patience_s=config.attempts.deadline_s + 5.0)
        for one in simulators.values():
            one.control(reset_ledger=True)

    def _row(self, sending: Sending, ledgers: Mapping[str, list[Record]], calm: Tally | None) -> Tally:
        results = [
            sending.results[number].results[0]
            if number in sending.results
            else CallResult(None, error=sending.errors.get(number, "not answered in time"))
            for number in range(self._options.calls)
        ]
        return tally(
            self._scenario.name,
            self._scenario.title,
            results,
            ledgers,
            speed=self._options.speed,
            priced=not self._staging.unpriced,
            calm=calm,
        )

    def _seen(self, simulators: Mapping[str, SimulatorProcess], gone: float) -> bool:
        self._carry_out(simulators, gone * self._options.speed)
        self._show(min(gone, self._scenario.seconds / self._options.speed))
        return False

    def _carry_out(self, simulators: Mapping[str, SimulatorProcess], at_s: float) -> None:
        while self._to_come and self._to_come[0].at_s <= at_s:
            event = self._to_come.pop(0)
            changes = command(event, self._options.speed).model_dump(exclude_none=True, exclude_defaults=True)
            for name in accounts_hit(event, tuple(simulators)):
                simulators[name].control(**changes)

    def _show(self, gone: float) -> None:
        self._advance(self._task, gone - self._shown)
        self._shown = gone


@contextlib.contextmanager
def _simulators(staging: Staging) -> Iterator[dict[str, SimulatorProcess]]:
    """A simulator for each account, all started at once."""
    processes = {name: SimulatorProcess(staging.settings(name)) for name in staging.accounts}
    try:
        with ThreadPoolExecutor(len(processes)) as pool:
            list(pool.map(SimulatorProcess.__enter__, processes.values()))
        yield processes
    finally:
        for one in processes.values():
            one.stop()


def _head(options: Options, staging: Staging, scenarios: tuple[Scenario, ...]) -> str:
    speed, length = options.speed, duration(scenarios[-1].seconds)
    lines = [f"{options.calls} calls of {staging.route!r} in {length}, first to {staging.accounts[0]}"]
    if speed != 1:
        lines += [
            f"Played {speed:g} times as fast: outages, answers, time-outs, back-off, breaker pauses",
            f"and quota windows are divided by {speed:g}, and seconds below multiplied back.",
        ]
    lines += [f"  {one.name}: {one.title}" for one in scenarios[1:] if one.title]
    lines += [f"no price is known of {', '.join(staging.unpriced)}"] if staging.unpriced else []
    return "\n".join([*lines, ""])


def _outcome(options: Options, staging: Staging, rows: list[Tally]) -> dict[str, Any]:
    return {
        "route": staging.route,
        "accounts": list(staging.accounts),
        "calls": options.calls,
        "speed": options.speed,
        "seed": options.seed,
        "answered_all": all(row.answered == row.calls for row in rows),
        "unpriced": list(staging.unpriced),
        "scenarios": [msgspec.to_builtins(row) for row in rows],
    }
