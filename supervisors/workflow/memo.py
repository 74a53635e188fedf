"""What a run has finished, by step path: so that a run that goes on repeats nothing.

A step's output is kept when the step is done, and so is a failure that a policy looked at; what was kept of the steps
inside it is let go, since they are not run again. With the same input and the same workflow a run takes the same way
again, so that a path is a key. Pure; a journal can stand behind it.
"""

from typing import Any, Final

import msgspec

from ...protocols.workflow.result import Coverage, StepRecord


class Kept(msgspec.Struct, array_like=True):
    """What travels: outputs as JSON and failures by path, the records so far, what map-reduces covered."""

    values: dict[str, bytes] = {}
    failures: dict[str, str] = {}
    records: list[StepRecord] = []
    coverage: list[Coverage] = []


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
        self._keeps = keeps

    def __contains__(self, path: str) -> bool:
        return path in self.kept.values or path in self.kept.failures

    def value(self, path: str) -> Any:
        """The output of a step that is kept."""
        return _DECODE(self.kept.values[path])

    def failure(self, path: str) -> str | None:
        """Why a step failed, where that is kept."""
        return self.kept.failures.get(path)

    def keep(self, path: str, value: Any) -> None:
        """The step is done."""
        if self._keeps:
            self._forget_below(path)
            self.kept.values[path] = _ENCODE(value)

    def keep_failure(self, path: str, cause: str) -> None:
        """The step has failed."""
        if self._keeps:
            self._forget_below(path)
            self.kept.failures[path] = cause

    def _forget_below(self, path: str) -> None:
        for table in (self.kept.values, self.kept.failures):
            for known in [one for one in table if one.startswith(path) and one[len(path) : len(path) + 1] in "/#~"]:
                del table[known]

    def encoded(self, records: list[StepRecord], coverage: list[Coverage]) -> bytes:
        """All that is kept, as bytes."""
        kept = Kept(self.kept.values, self.kept.failures, records, coverage)
        return msgspec.msgpack.encode(kept)
