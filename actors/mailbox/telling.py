"""Tells answers to whoever works on them, and keeps them until they are safe there."""

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Final, Generic, TypeVar

from ...protocols.errors import MailboxFull
from ...protocols.messages import Payload
from .post import Post
from .untaken import LIFE_BITS, Untaken

T = TypeVar("T")

TOLD_COUNT: Final = 128
TOLD_BYTES: Final = 64_000
"""Of one message, about: what passes 100 KB goes through Ray's object store and costs 3 to 5 times as much."""
RETELL_S: Final = 1.0
"""After a message may have been lost. The receiver passes over what it had, so too often costs only time."""


class _Lives:
    """Numbers for lives of senders, rising: by the clock over the death of the process, by one within a millisecond."""

    def __init__(self) -> None:
        self._last = 0

    def next(self) -> int:
        """One that was not there before."""
        self._last = max(self._last + 1, time.time_ns() // 1_000_000)
        return self._last


_lives: Final = _Lives()


class Telling(Generic[T]):
    """What an actor tells of one job. Nothing is lost with a message, a full outbox, or the receiver's process.

    A job may be cancelled and begin anew while answers of its earlier life are on their way: numbers of a later life
    are higher than all of an earlier one, so that neither hides the other's.

    Args:
        post: the actor's post office.
        to: the receiver's name; its successor has the same.
        job: the job's id.
        message: packs some of them, the last of which has that number, into one message.
        weigh: about how many bytes one takes.
        keep: they are kept until they are `taken`; without it only until they were told.
    """

    def __init__(
        self,
        post: Post,
        to: str,
        job: str,
        *,
        message: Callable[[Sequence[T], int], Payload],
        weigh: Callable[[T], int],
        keep: bool,
    ) -> None:
        self._post = post
        self._to = to
        self._job = job
        self._message = message
        self._weigh = weigh
        self._keep = keep
        self._timer: asyncio.TimerHandle | None = None
        self.untaken = Untaken[T](_lives.next() << LIFE_BITS if keep else 0)

    def flush(self) -> None:
        """Tells what is not told yet."""
        untaken = self.untaken
        while untaken.untold:
            batch, weight = self._cut()
            serial = untaken.last_told + len(batch)
            try:
                self._post.tell(self._to, self._message(batch, serial), job=self._job, weight=64 + weight)
            except MailboxFull:
                self._later()
                return
            untaken.told(serial)
            if not self._keep:
                untaken.take(serial)

    def _cut(self) -> tuple[list[T], int]:
        batch: list[T] = []
        weight = 0
        for one in self.untaken.next(TOLD_COUNT):
            size = self._weigh(one)
            if batch and weight + size > TOLD_BYTES:
                break
            batch.append(one)
            weight += size
        return batch, weight

    def doubt(self) -> None:
        """A message to the receiver may have been lost, or the receiver with it: all that was not taken is told again.

        After a pause: who died has a successor first, which asks what it has to know before it takes anything.
        """
        self.untaken.doubt()
        if self.untaken.untold:
            self._later()

    def again(self) -> None:
        """Tells at once all that was not taken."""
        self.untaken.doubt()
        self.flush()

    def _later(self) -> None:
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(RETELL_S, self._retell)

    def _retell(self) -> None:
        self._timer = None
        self.flush()

    def close(self) -> None:
        """Nothing more is told."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
