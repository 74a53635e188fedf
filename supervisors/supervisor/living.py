"""Whether a cluster that has jobs lives: it says so in the Journal, and whoever wants its jobs looks there first."""

import asyncio
import math
import os
import platform
import time
from collections.abc import Awaitable, Callable
from typing import Final

import msgspec

from ...actors.journal.api import Journal
from ...actors.shell import log
from ...protocols.errors import JournalError
from ...protocols.journal import Append, ValueRow

BEAT_S: Final = 5.0
"""A cluster that has jobs says so often that it lives."""
STILL_S: Final = 15.0
"""One that has said nothing for so long is taken for dead: three beats, since a busy disk was seen to take seconds."""
CLOCKS_S: Final = 600.0
"""Machines' clocks differ by less: what was said longer ago is not waited for."""
_LOOK_S: Final = 0.5
_PREFIX: Final = "cluster/"


class Beat(msgspec.Struct, frozen=True, array_like=True):
    """A cluster lived at `at` (seconds since 1970), in a process of a machine that lives as long as it does."""

    at: float
    node: str
    pid: int


def silence(owner: str) -> ValueRow:
    """The cluster of that id has no jobs any more."""
    return ValueRow(_PREFIX + owner, b"")


def beat(owner: str, *, now: float) -> ValueRow:
    """What the cluster of that id says."""
    parent = os.getppid()  # Ray's own process on this machine: it outlives each of its actors
    mine = Beat(now, platform.node(), parent if parent > 1 else os.getpid())
    return ValueRow(_PREFIX + owner, msgspec.msgpack.encode(mine))


class Beats:
    """Says that this cluster lives while it has jobs.

    Args:
        journal: where it says so.
        owner: the cluster's id.
        jobs: True while there are jobs that the Journal knows.

    Attributes:
        going: `go` was called, and has not returned.
    """

    def __init__(
        self, journal: Callable[[], Journal], owner: Callable[[], Awaitable[str]], jobs: Callable[[], bool]
    ) -> None:
        self._journal = journal
        self._owner = owner
        self._jobs = jobs
        self._at = -math.inf
        self.going = False

    def join(self, rows: Append, owner: str) -> Append:
        """With what is written anyway goes, now and then, that the cluster lives: short jobs need no append for it."""
        if time.monotonic() < self._at + BEAT_S:
            return rows
        self._at = time.monotonic()
        return msgspec.structs.replace(rows, values=(*rows.values, beat(owner, now=time.time())))

    async def go(self) -> None:
        """Returns when there are no jobs any more, which it says, too."""
        self.going = True
        try:
            while True:
                await asyncio.sleep(BEAT_S)
                if self._jobs():
                    rows = self.join(Append(), await self._owner())
                else:
                    self._at = -math.inf
                    rows = Append(values=(silence(await self._owner()),))
                if rows.values:
                    await self._journal().append(rows)
                if not self._jobs():  # one may have come meanwhile
                    break
        except JournalError as error:  # the jobs hear that from their own appends
            log.warning("no_beat", cause=str(error))
        finally:
            self.going = False


async def lives(owner: str, read: Callable[[str], Awaitable[dict[str, bytes]]]) -> bool:
    """True where the cluster of that id lives. On this machine that is seen at once; else one more beat is waited for.

    That something new is said is what counts, so that a clock which differs does no harm.

    Args:
        owner: its id.
        read: named values of the Journal.
    """
    name = _PREFIX + owner
    said = (await read(name)).get(name)
    if said is None:
        return False
    last = msgspec.msgpack.decode(said, type=Beat)
    age = abs(time.time() - last.at)
    if last.node == platform.node():
        return age < STILL_S and _process(last.pid)
    if age > CLOCKS_S:
        return False
    until = time.monotonic() + STILL_S
    while time.monotonic() < until:
        await asyncio.sleep(_LOOK_S)
        if (await read(name)).get(name) not in (None, said):
            return True
    return False


def _process(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
