"""What a workflow means to Mappers and Reducers: an item is an input, its answer is what the workflow makes of it."""

import asyncio
import os
import random
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from ...actors.call.caller import Caller
from ...actors.interpreter import Host
from ...actors.reducer.growing import GrowingTree, Merge
from ...actors.shell import log
from ...protocols.errors import StepFailed
from ...protocols.jobs import JobSpec, Resumed
from ...protocols.messages import ItemDone
from ...protocols.workflow.nodes import Flow, decode_node, walk
from ...protocols.workflow.patterns import MapReduce
from ...protocols.workflow.result import FlowResult
from ...protocols.workflow.spec import FlowSpec
from ...protocols.workflow.step import Step
from ..workflow import modules
from ..workflow.frame import Frame, Run
from ..workflow.mapping import NO_OUTPUT
from ..workflow.memo import Memo
from ..workflow.merging import merged, size_of
from ..workflow.once import Once
from ..workflow.signals import Escalated, Parked
from ..workflow.step import perform
from .map_flat import place, step_of
from .registry import PATTERNS

PATH: Final = "understudy.supervisors.patterns.interpreter:FlowInterpreter"


class FlowInterpreter:
    """See `understudy.actors.interpreter.Interpreter`; also `Resumable`, `Attached` and `Growing`."""

    def __init__(self, spec: JobSpec) -> None:
        self._job = spec
        self._spec = msgspec.msgpack.decode(spec.spec, type=FlowSpec)
        modules.OWN.look_again(self._spec.paths)
        self._flow = Flow.model_validate_json(self._spec.flow)
        self._scope: dict[str, Any] = msgspec.json.decode(self._spec.scope)
        self._asks = any(_kind(node) == "approve" for root in self._roots() for _, node in walk(root))
        self._lone = _is_lone(self._flow.run)
        self._merge = decode_node(self._spec.reduce) if self._spec.reduce else None
        self._rng = random.Random(os.urandom(8))  # noqa: S311 - jitter, not secrets
        self._host: Host | None = None

    def _roots(self) -> list[Any]:
        return [self._flow.run, *self._flow.flows.values()]

    def attach(self, host: Host) -> None:
        """Work is done at `host` from now on."""
        self._host = host

    # Map --------------------------------------------------------------------------------------------------------------

    async def map(self, number: int, item: bytes, caller: Caller) -> ItemDone:
        """Runs the workflow on an input."""
        return await self._run(number, item, caller, Memo(keeps=self._asks), {})

    async def resume(self, number: int, item: bytes, caller: Caller, state: bytes) -> ItemDone:
        """Goes on with a run that waited for people."""
        resumed = msgspec.msgpack.decode(state, type=Resumed)
        return await self._run(number, item, caller, Memo(resumed.memo), resumed.verdicts)

    async def _run(self, number: int, item: bytes, caller: Caller, memo: Memo, verdicts: Mapping[str, Any]) -> ItemDone:
        run = self._new_run(number, caller, memo, verdicts)
        value = msgspec.json.decode(item)
        names = {self._spec.bind: value, "previous": value, "steps": run.states}
        if self._spec.bind != "input":
            names["index"] = number
        at = Frame(run, self._spec.path, {**self._scope, **names}, [])
        if self._spec.cost >= 0:
            at = at.bounded(memo.budget("", cost=self._spec.cost, name="the budget of one run"))
        return await self._answer(run, number, at)

    def _new_run(self, number: int, caller: Caller, memo: Memo, verdicts: Mapping[str, Any]) -> Run:
        modules.FOLDERS.set(self._spec.paths)
        run = Run(
            number,
            self._flow,
            caller,
            patterns=PATTERNS,
            spec=self._job,
            host=self._host,
            memo=memo,
            verdicts=verdicts,
            rng=self._rng,
            once=self._once(number),
        )
        # How steps ended that the run which this one works for had finished.
        run.states.update(self._scope.get("steps", {}))
        return run

    def _once(self, number: int) -> Once | None:
        """The finished leaf steps of an item; None where nobody keeps them (a merge is begun anew as a whole)."""
        log = None if self._host is None or number < 0 else self._host.steps(number)
        return None if log is None else Once(log, lone=self._lone)

    async def _answer(self, run: Run, number: int, at: Frame) -> ItemDone:
        limit = self._flow.deadline_s if self._spec.path == "run" else None
        left = None if limit is None else limit - run.memo.used("")
        try:
            async with asyncio.timeout(left):
                output = await perform(self._flow.run, at if left is None else at.within(left))
            data = _result(run, output)
        except Parked as parked:
            return self._parked(run, number, at, parked)
        except TimeoutError:
            return self._failed(run, number, f"not done within the workflow's deadline of {limit or 0:g} s")
        except Exception as error:  # noqa: BLE001 - what was paid for stands on the bill, whatever went wrong
            return self._failed(run, number, self._cause(error, number))
        if output is None and self._merge is not None:
            return self._failed(run, number, NO_OUTPUT)
        return run.tally.done(number, data=data, degraded=run.degraded or run.tally.degraded)

    def _cause(self, error: Exception, number: int) -> str:
        if isinstance(error, Escalated):
            return f"escalated, and no route takes it: {error.reason}"
        if isinstance(error, StepFailed):
            return str(error)
        log.error("run_failed", job=self._job.id, item=number, exc_info=error)
        return f"{type(error).__name__}: {error}"[:500]

    @staticmethod
    def _parked(run: Run, number: int, at: Frame, parked: Parked) -> ItemDone:
        for one in at.allowances:
            run.memo.keep_spent("", one)
        run.memo.keep_used("", run.elapsed())
        memo = run.memo.encoded(
            run.records, run.coverage, degraded=run.degraded, review=run.review, standing=run.tally.standing
        )
        return run.tally.done(number, data=msgspec.msgpack.encode(list(parked.asks)), parked=memo)

    @staticmethod
    def _failed(run: Run, number: int, error: str) -> ItemDone:
        return run.tally.done(number, data=_result(run, None), error=error or "failed", degraded=run.degraded)

    # Reduce -----------------------------------------------------------------------------------------------------------

    def growing(self) -> GrowingTree:
        """The tree of a wide map-reduce."""
        return GrowingTree(self._spec.budget)

    def size(self, done: ItemDone) -> int:
        """Tokens of a part."""
        return size_of(done)

    async def merge(self, merge: Merge, children: Mapping[int, ItemDone], caller: Caller) -> ItemDone:
        """One merge of a wide map-reduce."""
        node = self._merge
        assert isinstance(node, MapReduce)
        run = self._new_run(-1, caller, Memo(keeps=False), {})
        scope = {**self._scope, "steps": run.states}
        at = Frame(run, f"{self._spec.path.removesuffix('/each')}/{place(merge)}", scope, [])
        try:
            part = await merged(step_of(node, merge, self._spec.total), merge, children, at)
        except StepFailed as error:
            return run.tally.done(merge.node, error=str(error) or "failed")
        return run.tally.done(merge.node, data=msgspec.msgpack.encode(part), degraded=run.degraded)

    def tree(self) -> Sequence[Sequence[int]]:
        """A workflow's trees grow; none is drawn before."""
        return ()

    def leaves(self, done: ItemDone) -> Sequence[ItemDone]:  # noqa: ARG002 - the protocol's
        """See `tree`."""
        return ()

    async def reduce(self, node: int, children: Mapping[int, ItemDone], caller: Caller) -> ItemDone:  # noqa: ARG002 - the protocol's
        """See `tree`. Raises `StepFailed`."""
        raise StepFailed(f"node {node} belongs to no tree that was drawn before")


def _is_lone(root: Step) -> bool:
    """The whole run is one leaf step, and nothing follows when that fails."""
    return _kind(root) in ("call", "function") and root.on_error is None


def _kind(node: object) -> str:
    return str(getattr(node, "kind", ""))


def _result(run: Run, output: Any) -> bytes:
    result = FlowResult(
        msgspec.json.encode(output),
        tuple(run.records),
        run.degraded or run.tally.degraded,
        run.stopped,
        tuple(run.coverage),
        run.review,
    )
    return msgspec.msgpack.encode(result)
