"""What a Mapper tells of one job: answers, together and in time, after the events that led to them."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

from ...protocols.jobs import JobSpec
from ...protocols.messages import ItemDone, Results
from ..mailbox.post import Post
from ..mailbox.telling import TOLD_BYTES, TOLD_COUNT, Telling
from .host import FLUSH_S, MapperHost

_OVERHEAD: Final = 64


def weight(done: ItemDone) -> int:
    """About how many bytes an answer takes in a message."""
    return _OVERHEAD + len(done.data) + len(done.error) + len(done.parked) + 18 * len(done.keys)


class Reporting:
    """Answers leave after 128 of them or 64 KB, or 50 ms, or at once when nothing else is in hand.

    A message costs about 1 ms of CPU in all.

    Args:
        post: the Mapper's post office.
        home: the job's Supervisor.
        spec: the job.
        host: has events to tell.
        idle: tells whether the Mapper has nothing else of the job in hand.
    """

    def __init__(self, post: Post, home: str, spec: JobSpec, host: MapperHost, idle: Callable[[], bool]) -> None:
        self._host = host
        self._idle = idle
        self._weight = 0
        self._timer: asyncio.TimerHandle | None = None
        self._kept = spec.journal != "off"

        def message(done: Sequence[ItemDone], serial: int) -> Results:
            return Results(spec.id, tuple(done), serial if self._kept else 0)

        self.telling = Telling(post, home, spec.id, message=message, weigh=weight, keep=self._kept)

    def add(self, done: ItemDone) -> None:
        """One more answer."""
        self.telling.untaken.add(done)
        self._weight += weight(done)
        full = self.telling.untaken.untold >= TOLD_COUNT or self._weight >= TOLD_BYTES
        if full or self._idle():
            self.flush()
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(FLUSH_S, self.flush)

    def flush(self) -> None:
        """Tells now what is not told yet."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._host.flush()  # what happened to a step is told before its item is
        self._weight = 0
        self.telling.flush()

    def held(self) -> tuple[ItemDone, ...]:
        """All answers that were not taken, for whoever takes the place of the Supervisor: told with that."""
        untaken = self.telling.untaken
        untaken.told(untaken.serial)
        return tuple(untaken) if self._kept else ()

    def close(self) -> None:
        """The job is over. What was answered has been paid for, and stands on the bill: it is told first."""
        self.flush()
        self.telling.close()
