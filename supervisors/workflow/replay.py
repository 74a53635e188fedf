"""Makes the run of an item again from what the Journal holds of it, calling nobody: it must come to the same.

All that a run does outside itself are its leaf steps. Here they come to what the Journal says, as long as they are
given what it says; all between them is run as it was. So the first step that is given something else is where today's
program, or the row, parts from what was. Functions are not run. Time is the loop's own: each step ends when its record
says, so that what was decided by who came first, or by a time-out, is decided alike.

A run of one leaf step alone keeps no rows: of it there is nothing to be made again but that it has an answer.
"""

import asyncio
import os
import random
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Final, Self

import msgspec

from ...actors.call.caller import Caller
from ...actors.call.kit import Kit
from ...actors.channel.channel import Channel
from ...actors.interpreter import Child
from ...actors.prices import PriceBook
from ...actors.reducer.growing import items_of, level_of
from ...protocols.config import Config
from ...protocols.errors import StepFailed
from ...protocols.jobs import ApprovalAsk, Bill, JobSpec, Page, Resumed, Verdict
from ...protocols.journal import AnswerRow, StepRow
from ...protocols.messages import ItemDone, StepEvent
from ...protocols.workflow.result import FlowResult, StepRecord
from ..patterns.interpreter import FlowInterpreter
from ..replay import Divergence
from .finished import decode
from .frame import Run
from .hurrying import HurriedLoop, Stuck
from .once import Once, Recalled

Answers = Callable[[str], Awaitable[Sequence[AnswerRow]]]
"""All answers of a job that worked for the item, in order, by its id."""

_REFUSED: Final = re.compile(r"not sent: .*|its time is over")
"""Why a call was never made: what was never made has no row, but its step says so."""


async def replay_item(  # noqa: PLR0917 - an item and all that is journaled of it
    spec: JobSpec,
    number: int,
    item: bytes,
    steps: Sequence[StepRow],
    done: ItemDone,
    verdicts: Mapping[str, Verdict],
    *,
    answers: Answers | None = None,
) -> Divergence | None:
    """The first place where the item's run differs from what was recorded; None where it comes out the same.

    Args:
        spec: of the job.
        number: of the item.
        item: what it was given.
        steps: its rows, of all eras.
        done: its answer as it was recorded.
        verdicts: what people have said, by path.
        answers: finds what jobs that worked for it have answered; without it, such a step can't be made again.
    """
    here = asyncio.get_running_loop()

    def of_job(job: str) -> Sequence[AnswerRow]:
        if answers is None:
            return ()
        return asyncio.run_coroutine_threadsafe(_awaited(answers, job), here).result()

    return await asyncio.to_thread(lambda: _Replay(spec, number, steps, done, of_job).run(item, verdicts))


async def _awaited(answers: Answers, job: str) -> Sequence[AnswerRow]:
    return await answers(job)


class _Replay:
    """One item's; it is the run's host as well."""

    name = "replay"

    def __init__(
        self,
        spec: JobSpec,
        number: int,
        steps: Sequence[StepRow],
        done: ItemDone,
        answers: Callable[[str], Sequence[AnswerRow]],
    ) -> None:
        self.number = number
        self._spec = spec
        self._steps = steps
        self._done = done
        self._answers = answers
        self.found: Divergence | None = None
        self._told = msgspec.msgpack.decode(done.data, type=FlowResult) if done.data else FlowResult()

    def run(self, item: bytes, verdicts: Mapping[str, Verdict]) -> Divergence | None:
        """See `replay_item`. Blocks."""
        flow = _Flow(self._spec)
        flow.attach(self)
        if flow.lone:
            there = self._done.data or self._done.error
            return None if there else Divergence(self.number, "run", "there is no answer")
        state = msgspec.msgpack.encode(Resumed(b"", dict(verdicts)))
        with asyncio.Runner(loop_factory=HurriedLoop) as runner:
            flow.once = _Journaled(self, self._steps, self._told.steps, runner.get_loop().time)
            flow.clock = runner.get_loop().time
            try:
                done = runner.run(flow.resume(self.number, item, _nobody(self._spec), state))
            except Stuck:
                return self.found or Divergence(self.number, "run", "it never comes to its end")
        return self.found or self._compared(done)

    def differs(self, path: str, why: str) -> StepFailed:
        """A step differs, the first one is what counts; to be raised in its place."""
        self.found = self.found or Divergence(self.number, path, why)
        return StepFailed(why)

    def _compared(self, done: ItemDone) -> Divergence | None:
        if done.parked:
            asks = msgspec.msgpack.decode(done.data, type=list[ApprovalAsk])
            return Divergence(self.number, asks[0].path, "it waits for people, and the journal has no answer of theirs")
        told, made = self._told, msgspec.msgpack.decode(done.data, type=FlowResult)
        states = {step.path: step.state for step in made.steps}
        for step in told.steps:
            state = states.pop(step.path, "never run")
            if state != step.state:
                return Divergence(self.number, step.path, f"it was {step.state}, and is {state} now")
        for path, state in states.items():
            return Divergence(self.number, path, f"it was never run, and is {state} now")
        for what, was, is_now in (
            ("error", self._done.error, done.error),
            ("output", told.output, made.output),
            ("end", told.stopped, made.stopped),
            ("mark for review", told.review, made.review),
            ("coverage", *(sorted(map(repr, one.coverage)) for one in (told, made))),  # steps at once end in any order
        ):
            if was != is_now:
                return Divergence(self.number, "run", f"its {what} is another: {_short(was)}, and now {_short(is_now)}")
        return None

    # What the run sees of its host ------------------------------------------------------------------------------------

    def tell(self, event: StepEvent) -> None:
        """Nobody watches."""

    def steps(self, number: int) -> None:
        """They are given otherwise: see `_Journaled`."""

    def children(self, spec: JobSpec, *, nodes: int = 0, again: str = "") -> Child:  # noqa: ARG002 - the protocol's
        """A job that worked for the item, with what it has answered."""
        rows = self._answers(spec.id)
        if not rows:
            path = spec.title.rpartition(" ")[2]
            raise self.differs(path, f"its items are a job of their own, {spec.id}, of which nothing is journaled")
        return _Answered(rows)


def _short(value: object, most: int = 60) -> str:
    text = value.decode() if isinstance(value, bytes) else str(value)
    return text if len(text) <= most else f"{text[:most]}…"


def _nobody(spec: JobSpec) -> Caller:
    """A caller that knows the job's routes and prices, and can call nobody."""
    config = Config.model_validate_json(spec.config)
    book = PriceBook(config, at=datetime.now(tz=UTC), environ=os.environ)

    def channel(name: str) -> Channel:
        raise StepFailed(f"nobody is called in a replay, and {name} was to be")

    return Caller(Kit(config, book, rng=random.Random(0)), channel)  # noqa: S311 - balances nothing: nobody is called


class _Flow(FlowInterpreter):
    """Runs what the job ran, with the steps and the clock of a replay."""

    once: Once
    clock: Callable[[], float]

    @property
    def lone(self) -> bool:
        """The run is one leaf step."""
        return self._lone

    def _once(self, number: int) -> Once | None:  # noqa: ARG002 - the base's
        return self.once

    def _new_run(self, *args: Any, **kwargs: Any) -> Run:
        run = super()._new_run(*args, **kwargs)
        run.clock = self.clock
        run.began = self.clock()
        return run


class _Log:
    """See `StepLog`: nothing is known to it, and nothing is kept."""

    era = 0
    again = False

    def known(self, path: str, hash: bytes) -> None:  # noqa: A002 - the protocol's
        """See `StepLog`."""

    async def keep(self, path: str, hash: bytes, data: bytes) -> None:  # noqa: A002 - the protocol's
        """See `StepLog`."""


class _Journaled(Once):
    """The leaf steps as the Journal has them: what is not there is a difference."""

    def __init__(
        self, replay: _Replay, rows: Sequence[StepRow], records: Sequence[StepRecord], clock: Callable[[], float]
    ) -> None:
        super().__init__(_Log())
        self._replay = replay
        self._clock = clock
        self._records = {record.path: record for record in records}
        self._rows: dict[str, dict[bytes, StepRow]] = {}
        for row in sorted(rows, key=lambda row: row.era):
            self._rows.setdefault(row.path, {})[row.hash] = row

    async def find(self, path: str, given: bytes) -> Recalled:
        """The step, at the time when it ended. Raises `StepFailed` where it differs, or was refused as it is now."""
        record = self._records.get(path.removesuffix("/repair"))
        if record is not None and record.state == "cancelled":
            await asyncio.get_running_loop().create_future()
        rows = self._rows.get(path, {})
        row = rows.get(given)
        if row is None:
            refused = _REFUSED.search(record.note) if record is not None and not record.attempts else None
            if refused is not None and not rows:
                raise StepFailed(refused[0])
            raise self._replay.differs(path, "it is given something else" if rows else "it is not in the journal")
        if record is not None:
            await asyncio.sleep(max(0.0, record.began_s + record.took_s - self._clock()))
        return Recalled(decode(row.data), billed=False)


class _Answered:
    """See `Child`: a job that is over."""

    def __init__(self, rows: Sequence[AnswerRow]) -> None:
        done = [(row.node, msgspec.msgpack.decode(row.data, type=ItemDone)) for row in rows]
        self._items = tuple(one for node, one in done if not node)
        self._nodes = tuple(one for node, one in done if node)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    async def add(self, items: Sequence[bytes]) -> None:
        """See `Child`."""

    async def seal(self) -> None:
        """See `Child`."""

    async def pages(self) -> AsyncIterator[Page]:
        """All at once."""
        total = len({done.item for done in self._items})
        tops = (one.item for one in self._nodes if level_of(one.item))
        root = max(tops, key=lambda node: (len(items_of(node)), level_of(node)), default=-1)
        yield Page(
            "done", 0, total, True, total, 0, 0, len(self._nodes), Bill(), self._items, self._nodes, root=root
        )  # fmt: skip
