"""An event loop for runs in which nobody is asked anything: its time is not that of the world."""

import asyncio
import selectors
from collections.abc import Callable
from typing import Any


class Stuck(Exception):
    """Raised out of the loop when all wait, and nothing is left that could wake them."""


class HurriedLoop(asyncio.SelectorEventLoop):
    """Its clock stands while something is done, and jumps to the next timer when there is nothing to do.

    So a back-off or a time-out takes no time, and comes in its order among others. Threads are not used: what would be
    done in one is done at once.
    """

    def __init__(self) -> None:
        self._now = 0.0
        super().__init__(_Picker(self._pass))

    def time(self) -> float:
        """Seconds since it began, of its own time."""
        return self._now

    def _pass(self, seconds: float) -> None:
        self._now += seconds

    def run_in_executor(self, executor: Any, func: Callable[..., Any], *args: Any) -> asyncio.Future[Any]:  # type: ignore[override]  # noqa: ARG002 - the base's
        """Does it here."""
        future = self.create_future()
        try:
            future.set_result(func(*args))
        except Exception as error:  # noqa: BLE001 - it is raised where it is awaited
            future.set_exception(error)
        return future


class _Picker(selectors.DefaultSelector):
    def __init__(self, over: Callable[[float], None]) -> None:
        super().__init__()
        self._over = over

    def select(self, timeout: float | None = None) -> Any:
        ready = super().select(0)
        if not ready and timeout is None:
            raise Stuck
        if not ready and timeout:
            self._over(timeout)
        return ready
