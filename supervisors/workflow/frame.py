"""Where a step stands while it runs: the run it is of, its path, the variables it sees, and what bounds it."""

import asyncio
import dataclasses
import random
import re
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any, Final, Self

from ...actors.call.caller import Caller
from ...protocols.jobs import JobSpec, Verdict
from ...protocols.messages import StepEvent
from ...protocols.workflow.nodes import Flow
from ...protocols.workflow.result import Coverage, StepRecord, StepState
from ...protocols.workflow.step import Step
from .memo import Memo
from .money import Allowance
from .tally import Tally

if TYPE_CHECKING:
    from ...actors.interpreter import Host
    from .once import Once

_ATTEMPT: Final = re.compile(r"(~\d+)+$")
Pattern = Callable[[Any, "Frame"], Awaitable[Any]]
"""Runs a node of one kind; its output is JSON-like. Raises `StepFailed`."""


@dataclasses.dataclass(slots=True)
class Own:
    """What a step's own calls came to, and what is to be said of it; steps inside have their own.

    `state` is how it ended, where that is neither done nor degraded.
    """

    calls: int = 0
    attempts: int = 0
    cost: int = 0
    model: str = ""
    note: str = ""
    degraded: bool = False
    state: StepState | None = None


@dataclasses.dataclass(slots=True)
class Undo:
    """A finished step that can be undone: the node that does it, and where it stands."""

    node: Step
    at: "Frame"


class Run:
    """One run of a workflow: one item of a job.

    Args:
        number: of the item.
        flow: what is run.
        caller: makes calls.
        patterns: who runs each kind of node.
        spec: of the job; child jobs are made by it.
        host: the process it runs in, for step events and wide fan-outs; None where there is none.
        memo: what an earlier part of the run has finished.
        verdicts: what people have said, by path.
        rng: for back-off.
        once: leaf steps that are finished; None where nobody keeps them.
    """

    def __init__(
        self,
        number: int,
        flow: Flow,
        caller: Caller,
        *,
        patterns: Mapping[str, Pattern],
        spec: JobSpec,
        host: "Host | None",
        memo: Memo,
        verdicts: Mapping[str, Verdict],
        rng: random.Random,
        once: "Once | None" = None,
    ) -> None:
        self.number = number
        self.flow = flow
        self.caller = caller
        self.patterns = patterns
        self.spec = spec
        self.host = host
        self.memo = memo
        self.verdicts = verdicts
        self.rng = rng
        self.once = once
        #: Seconds of any origin.
        self.clock: Callable[[], float] = time.monotonic
        self.began = self.clock()
        self.tally = Tally()
        self.tally.standing = memo.kept.standing
        self.records: list[StepRecord] = list(memo.kept.records)
        self.coverage: list[Coverage] = list(memo.kept.coverage)
        #: Of each finished step with an id, for templates: `steps.draft.state`.
        self.states: dict[str, dict[str, Any]] = {one.id: _told(one) for one in self.records if one.id}
        self._states_at = {_ATTEMPT.sub("", one.path): _told(one) for one in self.records if one.id}
        #: Places of the records of an earlier part of the run: a step that ends again, on the way to where the run
        #: stood, is the same one.
        self._earlier = {one.path: place for place, one in enumerate(self.records)}
        self.degraded = memo.kept.degraded
        self.review = memo.kept.review
        #: Why a gate ended the outermost chain early.
        self.stopped = ""
        #: Budgets have changed: who waits for room looks again.
        self.changed = asyncio.Condition()

    def elapsed(self) -> float:
        """Seconds since the run began."""
        return self.clock() - self.began

    def ended(self, path: str, node: Step, state: StepState, began_s: float, own: Own) -> None:
        """A step has ended: it stands in the result, and whoever watches is told."""
        took = self.elapsed() - began_s
        kind, name = _kind(node), node.id or ""
        record = StepRecord(
            path, kind, state, round(began_s, 6), round(took, 6), name, own.calls, own.attempts, own.cost, own.model,
            own.note,
        )  # fmt: skip
        earlier = self._earlier.get(path)
        if earlier is None:
            self.records.append(record)
        else:
            self.records[earlier] = record
        self.degraded |= state == "degraded"
        if name:
            self.states[name] = self._states_at[_ATTEMPT.sub("", path)] = _told(record)
        self.tell(path, node, "done" if state in ("undone", "cancelled") else state, own, took_s=took)

    def state_at(self, path: str) -> dict[str, Any] | None:
        """What templates are told of the step at a path, in whichever attempt it ended; None where it has no id."""
        return self._states_at.get(path)

    def tell(self, path: str, node: Step, state: Any, own: Own | None = None, *, took_s: float = 0.0) -> None:
        """Tells whoever watches."""
        if self.host is not None and self.spec.watch:
            own = own or Own()
            event = StepEvent(
                self.number,
                path,
                _kind(node),
                state,
                round(self.elapsed(), 3),
                took_s,
                own.cost,
                own.model,
                own.note,
                node.id or "",
            )
            self.host.tell(event)

    def progress(self, path: str, note: str) -> None:
        """Tells whoever watches how far a step is that takes long."""
        if self.host is not None and self.spec.watch:
            self.host.tell(StepEvent(self.number, path, "", "began", round(self.elapsed(), 3), note=note))


def _told(record: StepRecord) -> dict[str, Any]:
    """What templates are told of a step that ended."""
    return {"state": record.state, "model": record.model, "note": record.note, "cost": record.cost}


def _kind(node: Step) -> str:
    return str(getattr(node, "kind", "step"))


@dataclasses.dataclass(frozen=True, slots=True)
class Frame:
    """See the module.

    Attributes:
        run: the run.
        path: of the step.
        scope: the variables that templates know.
        undo: the enclosing chain's finished steps that can be undone, in the order they were finished.
        due: when it has to be over, monotonic; None for no bound.
        allowances: what bounds its spending, from the outside in.
        own: what the step's own calls came to.
        sample: which of several samples of the same step this is; calls of all but the first are made to differ.
        outermost: what comes of it is what comes of the run: nothing but wrappers is around it.
    """

    run: Run
    path: str
    scope: Mapping[str, Any]
    undo: list[Undo]
    due: float | None = None
    allowances: tuple[Allowance, ...] = ()
    own: Own = dataclasses.field(default_factory=Own)
    sample: int = 0
    outermost: bool = True

    def below(self, part: str | int, **names: Any) -> Self:
        """The frame of a step inside, which knows these names besides."""
        scope = {**self.scope, **names} if names else self.scope
        return dataclasses.replace(self, path=f"{self.path}/{part}", scope=scope, own=Own(), outermost=False)

    def inside(self, part: str) -> Self:
        """The frame of the one step that this one is around: its output is this one's."""
        return dataclasses.replace(self.below(part), outermost=self.outermost)

    def again(self, mark: str, number: int) -> Self:
        """The frame of another round (`#`) or attempt (`~`) of the same step."""
        return dataclasses.replace(self, path=f"{self.path}{mark}{number}", own=Own())

    def sampled(self, number: int) -> Self:
        """The frame of another sample of the same step."""
        return dataclasses.replace(self.again("#", number), sample=number)

    def apart(self) -> Self:
        """The same place for a step whose failure is not that of what is around: what it did is noted apart."""
        return dataclasses.replace(self, undo=[])

    def bind(self, **names: Any) -> Self:
        """The same place with more names known."""
        return dataclasses.replace(self, scope={**self.scope, **names})

    def alone(self, names: Mapping[str, Any]) -> Self:
        """The same place with these names known and no others."""
        return dataclasses.replace(self, scope=dict(names))

    def bounded(self, allowance: Allowance) -> Self:
        """The same place with one more budget around it."""
        return dataclasses.replace(self, allowances=(*self.allowances, allowance))

    @property
    def left_s(self) -> float | None:
        """Seconds that are left; None for no bound."""
        return None if self.due is None else self.due - self.run.clock()

    def within(self, seconds: float) -> Self:
        """The frame with so many seconds left at most."""
        due = self.run.clock() + seconds
        return dataclasses.replace(self, due=due if self.due is None else min(due, self.due))
