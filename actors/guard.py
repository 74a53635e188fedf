"""A block of a task that is ended early: at its deadline, or because somebody else was faster."""

import asyncio
import time
from types import TracebackType
from typing import Final, Literal, Self

TICK_S: Final = 0.02
"""Deadlines are looked at so often, and kept so much too early at most: a timer for each call costs 5 µs, this 1 µs."""

End = Literal["", "deadline", "second"]


class Deadlines:
    """The blocks that are open in an event loop. While there are any, all are looked at in each tick."""

    __slots__ = ("_guards", "_timer")

    def __init__(self) -> None:
        self._guards: dict[Guard, None] = {}
        self._timer: asyncio.TimerHandle | None = None

    def add(self, guard: "Guard") -> None:
        """The block is open."""
        self._guards[guard] = None
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(TICK_S, self._look)

    def discard(self, guard: "Guard") -> None:
        """The block is over."""
        self._guards.pop(guard, None)

    def _look(self) -> None:
        soon = time.monotonic() + TICK_S
        for guard in [guard for guard in self._guards if guard.due <= soon]:
            guard.end("deadline")
        self._timer = asyncio.get_running_loop().call_later(TICK_S, self._look) if self._guards else None


class Guard:
    """A block that `end` ends early. As with `asyncio.timeout`, only the cancellation it caused itself is swallowed.

    So the first request of a call runs in the caller's own task (a task of its own costs 10 µs), and is ended all the
    same when a hedge is faster.

    Args:
        due: its deadline, monotonic seconds.
        deadlines: of the loop.
    """

    __slots__ = ("_cancelling", "_deadlines", "_task", "due", "ended")

    def __init__(self, due: float, deadlines: Deadlines) -> None:
        self.due = due
        self._deadlines = deadlines
        self._task: asyncio.Task[object] | None = None
        self._cancelling = 0
        #: Why the block was ended early; empty when it was not.
        self.ended: End = ""

    def __enter__(self) -> Self:
        task = self._task = asyncio.current_task()
        assert task is not None
        self._cancelling = task.cancelling()
        self._deadlines.add(self)
        return self

    def end(self, why: End) -> None:
        """Ends the block; nothing happens when it is over already."""
        if self._task is not None and not self.ended:
            self.ended = why
            self._task.cancel()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        task, self._task = self._task, None
        self._deadlines.discard(self)
        if not self.ended:
            return False
        assert task is not None
        # Another cancellation may have come as well: that one is not ours to swallow.
        others = task.uncancel() > self._cancelling
        return kind is not None and issubclass(kind, asyncio.CancelledError) and not others
