"""Finished leaf steps are kept before anything follows from them, and recalled by whoever begins the run anew."""

from typing import NamedTuple

from ...actors.interpreter import StepLog
from .finished import Finished, decode, encode


class Recalled(NamedTuple):
    """A leaf step that was finished before. `billed`: what it used stands on the bill of an earlier era."""

    finished: Finished
    billed: bool


class Once:
    """The leaf steps of one run.

    A step of the run's own era is recalled whatever it came to, and is billed by whoever recalls it: its use was never
    told. One of an earlier era was billed when that ended, and is recalled only if it need not be tried again.

    Args:
        log: what the Journal keeps.
        lone: the run is one leaf step. What it finished is not written, since its item's answer follows at once; only
            when another step follows, it is.
    """

    def __init__(self, log: StepLog, *, lone: bool = False) -> None:
        self.log = log
        self._lone = lone
        self._held: tuple[str, bytes, bytes] | None = None

    async def find(self, path: str, given: bytes) -> Recalled | None:
        """The step at a path, if it was finished with just what it is `given` (a hash).

        None means: it is to be done now. So all that came before is on disk when this returns.
        """
        if self._held is not None:
            await self.log.keep(*self._held)
            self._held = None
        row = self.log.known(path, given)
        if row is None:
            return None
        finished, billed = decode(row.data), row.era != self.log.era
        return Recalled(finished, billed) if finished.good or not billed else None

    async def keep(self, path: str, given: bytes, finished: Finished) -> None:
        """The step is done; returns when that is on disk."""
        if self._lone:
            self._held = (path, given, encode(finished))
        else:
            await self.log.keep(path, given, encode(finished))
