"""Watches an attempt, and sends another one beside it when it is late."""

import asyncio
import time
from typing import TYPE_CHECKING, Final

from . import preparing
from .attempt import Out
from .hedging import Hedger

if TYPE_CHECKING:
    from .logical import LogicalCall

_LAG_S: Final = 0.005
"""A timer that fires so much too late says that this process is late, not the provider: answers may lie in the sockets
unread. A burst of work would otherwise spend at once what a thousand calls have earned."""
_MOST_LAGS: Final = 4
"""So often a process that is late looks again; one that always is would else never hedge."""
_AGAIN: Final = 0.25
_GROWTH: Final = 1.5
"""After a refusal it looks again when a quarter of the delay has passed, then less and less often: a call that was
refused for want of credit, or by chance, is more surely slow by then."""


class Lateness:
    """One attempt that is out, its timer, and the hedges that were sent for it.

    Args:
        call: whose attempt it is.
        hedger: says when it is late, and whether a hedge may go out.
        size: class of the call.
        first: the attempt.
    """

    __slots__ = (
        "_again_s",
        "_call",
        "_delay_s",
        "_due",
        "_first",
        "_hedger",
        "_lags",
        "_late",
        "_size",
        "_timer",
        "tasks",
    )

    def __init__(self, call: "LogicalCall", hedger: Hedger, size: str, first: Out) -> None:
        self._call = call
        self._hedger = hedger
        self._size = size
        self._first = first
        self._timer: asyncio.TimerHandle | None = None
        self._due = self._delay_s = self._again_s = 0.0
        self._lags = 0
        #: None before it has left and when it is over; then whether it is late.
        self._late: bool | None = None
        #: The hedges that are out.
        self.tasks: dict[asyncio.Task[bool], Out] = {}

    def arm(self) -> None:
        """The attempt has left: from now on it may become late."""
        self._delay_s = self._hedger.delay_s(self._first.way.name, self._size)
        self._again_s = self._delay_s * _AGAIN
        self._hedger.out += 1
        self._late = False
        self._look_in(self._delay_s)

    def disarm(self) -> None:
        """Nothing more is sent."""
        self._first.trace.on_sent = None  # which refers to this: see the end of `LogicalCall.run`
        if self._late is not None:
            self._hedger.out -= 1
            self._hedger.late -= self._late
            self._late = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    async def end(self) -> None:
        """Closes the sockets of the hedges that are still out."""
        left = list(self.tasks)
        self.tasks.clear()
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)

    def _look_in(self, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        self._due = loop.time() + seconds
        self._timer = loop.call_at(self._due, self._look)

    def _look(self) -> None:
        self._timer = None
        lag_s = asyncio.get_running_loop().time() - self._due
        if lag_s > _LAG_S and self._lags < _MOST_LAGS:
            self._lags += 1
            self._look_in(lag_s)
            return
        if self._late is False:
            self._late = True
            self._hedger.late += 1
        elapsed_s = time.monotonic() - self._first.trace.sent_at
        if not self._hedger.crowded(elapsed_s, self._delay_s) and self._send(elapsed_s):
            self._look_in(self._delay_s)
        elif not self._first.guard.ended:
            self._look_in(self._again_s)
            self._again_s *= _GROWTH

    def _send(self, elapsed_s: float) -> bool:
        """Sends another attempt when the budgets allow it."""
        call, first = self._call, self._first
        place = call.policy.hedge(first.place, now=time.monotonic())
        flying = len(call.flying)
        if place is None or call.policy.attempts + flying >= call.kit.config.attempts.max_attempts:
            return False
        way = call.ways[place]
        ready = preparing.plain(call, way)
        if ready is None or not call.affordable(place, ready):
            return False
        cost = way.estimate(ready.tokens, ready.request.max_tokens)
        if not self._hedger.allow(first.way.name, self._size, cost=cost, elapsed_s=elapsed_s, sent=len(self.tasks)):
            return False
        out = Out(call, place, way, "hedge", ready)
        call.flying.append(out)
        self.tasks[asyncio.get_running_loop().create_task(self._second(out))] = out
        return True

    async def _second(self, out: Out) -> bool:
        """Sends a hedge, unless the first words came between its timer and now: then nobody would end it."""
        return self._call.winner is None and await self._call.send(out)
