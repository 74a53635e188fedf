"""What a run has finished, by step path: so that a run that goes on repeats nothing.

A step's output is kept when the step is done, and so is a failure that a policy looked at; what was kept of the steps
inside it is let go, since they are not run again: only how they are undone is kept with it. With the same input and the
same workflow a run takes the same way again, so that a path is a key. Pure; a journal can stand behind it.
"""

import re
from collections.abc import Sequence
from typing import Any, Final

import msgspec

from ...protocols.workflow.result import Coverage, StepRecord
from .money import Allowance


class Undone(msgspec.Struct, frozen=True, array_like=True):
    """How a finished step is undone: the node as JSON, its path, and the names it knows as a JSON object."""

    node: bytes
    path: str
    scope: bytes


class Kept(msgspec.Struct, array_like=True):
    """What travels.

    Attributes:
        values: outputs as JSON, by path.
        failures: causes by path.
        records: of the steps that ended.
        coverage: of the map-reduces.
        undo: how what was finished in a step, and the step itself, is undone, by the step's path.
        spent: (picodollars, calls, tokens) of each budget, by the path of its step.
        used: seconds of each time bound, by the path of its step.
        degraded: something stood in for what was asked.
        review: a person should look at it.
        standing: a declared or an older answer stood in, because nobody could be asked.
    """

    values: dict[str, bytes] = {}
    failures: dict[str, str] = {}
    records: list[StepRecord] = []
    coverage: list[Coverage] = []
    undo: dict[str, list[Undone]] = {}
    spent: dict[str, tuple[int, int, int]] = {}
    used: dict[str, float] = {}
    degraded: bool = False
    review: bool = False
    standing: bool = False


_MARKS: Final = re.compile("[/#~]")
_ENCODE: Final = msgspec.json.Encoder().encode
_DECODE: Final = msgspec.json.Decoder().decode


class Memo:
    """See the module.

    Args:
        kept: what an earlier part of the run has finished.
        keeps: False where nobody will go on with the run: nothing is kept then.
    """

    def __init__(self, kept: bytes = b"", *, keeps: bool = True) -> None:
        self.kept = msgspec.msgpack.decode(kept, type=Kept) if kept else Kept()
        self.keeps = keeps
        #: Below each step, the paths under which something was kept; some may be gone by now. Looking through all that
        #: is kept took 1 s for 5,000 items of one list; now 16 ms.
        self._below: dict[str, set[str]] = {}
        for table in (self.kept.values, self.kept.failures, self.kept.undo):
            for path in table:
                self._note(path)

    def __contains__(self, path: str) -> bool:
        return path in self.kept.values or path in self.kept.failures

    def value(self, path: str) -> Any:
        """The output of a step that is kept."""
        return _DECODE(self.kept.values[path])

    def failure(self, path: str) -> str | None:
        """Why a step failed, where that is kept."""
        return self.kept.failures.get(path)

    def undo(self, path: str) -> Sequence[Undone]:
        """How what a kept step did is undone, in the order it was done."""
        return self.kept.undo.get(path, ())

    def keep(self, path: str, value: Any, undo: Sequence[Undone] = ()) -> None:
        """The step is done."""
        if self.keeps:
            self._forget_below(path)
            self._note(path)
            self.kept.values[path] = _ENCODE(value)
            self._keep_undo(path, undo)

    def keep_failure(self, path: str, cause: str, undo: Sequence[Undone] = ()) -> None:
        """The step has failed."""
        if self.keeps:
            self._forget_below(path)
            self._note(path)
            self.kept.failures[path] = cause
            self._keep_undo(path, undo)

    def _keep_undo(self, path: str, undo: Sequence[Undone]) -> None:
        if undo:
            self.kept.undo[path] = list(undo)

    def _forget_below(self, path: str) -> None:
        tables: tuple[dict[str, Any], ...] = (self.kept.values, self.kept.failures, self.kept.undo)
        for known in self._below.pop(path, ()):
            for table in tables:
                table.pop(known, None)

    def _note(self, path: str) -> None:
        """Something is kept under a path: every step around it knows."""
        for mark in _MARKS.finditer(path):
            self._below.setdefault(path[: mark.start()], set()).add(path)

    def budget(self, path: str, **bounds: Any) -> Allowance:
        """The budget at a step, with what an earlier part of the run has spent of it; `bounds` as of `Allowance`."""
        cost, calls, tokens = self.kept.spent.get(path, (0, 0, 0))
        return Allowance(**bounds, spent_cost=cost, spent_calls=calls, spent_tokens=tokens)

    def keep_spent(self, path: str, one: Allowance) -> None:
        """The run waits for people: so much of a budget is spent when it goes on."""
        self.kept.spent[path] = (one.spent_cost, one.spent_calls, one.spent_tokens)

    def used(self, path: str) -> float:
        """Seconds that an earlier part of the run has used of the time of a step; what people took is not in it."""
        return self.kept.used.get(path, 0.0)

    def keep_used(self, path: str, seconds: float) -> None:
        """The run waits for people: this part of it has used so many more seconds of the time of a step."""
        self.kept.used[path] = self.used(path) + seconds

    def encoded(self, records: list[StepRecord], coverage: list[Coverage], **flags: bool) -> bytes:
        """All that is kept, as bytes; `flags` are those of `Kept`."""
        kept = msgspec.structs.replace(self.kept, records=records, coverage=coverage, **flags)
        return msgspec.msgpack.encode(kept)
