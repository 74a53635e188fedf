"""Calls to a named actor that are made again to its successor when it dies."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from ...protocols.errors import ActorDied

T = TypeVar("T")

PATIENCE_S: Final = 60.0
"""A successor is there within seconds; on a machine that is busy with restarts it was seen to take ten."""
_FIRST_PAUSE_S: Final = 0.02
_LONGEST_PAUSE_S: Final = 1.0
_RAY_GONE: Final = frozenset({"RayActorError", "ObjectLostError"})
"""What Ray raises, by the names of its classes: an actor is gone, or an object that only a dead process had."""
_RAY_AWAY: Final = "ActorUnavailableError"
"""A kind of `RayActorError`: the connection to an actor broke, and Ray has not heard within 1 s that it is dead."""


def is_gone(error: BaseException) -> bool:
    """True where the call failed because a process died: its successor may answer."""
    # By name: to import Ray for the question alone would cost 0.4 s in a process that never calls it.
    return isinstance(error, ActorDied) or any(cls.__name__ in _RAY_GONE for cls in type(error).__mro__)


def is_away(error: BaseException) -> bool:
    """True where the call failed though its actor may live."""
    return any(cls.__name__ == _RAY_AWAY for cls in type(error).__mro__)


async def persist(attempt: Callable[[], Awaitable[T]]) -> T:
    """What `attempt` answers; it is made again while whom it calls has died. It must find its actor anew each time.

    Raises:
        ActorDied: (or Ray's word for it) nobody answered for `PATIENCE_S`.
    """
    until = time.monotonic() + PATIENCE_S
    pause = _FIRST_PAUSE_S
    while True:
        try:
            return await attempt()
        except Exception as error:
            if not is_gone(error) or time.monotonic() > until:
                raise
        await asyncio.sleep(pause)
        pause = min(2 * pause, _LONGEST_PAUSE_S)
