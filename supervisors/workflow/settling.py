"""Many steps at once: every success is kept, every failure is named (allSettled)."""

import asyncio
import dataclasses
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

from ...protocols.errors import StepFailed
from ...protocols.jobs import ApprovalAsk
from .signals import Escalated, Parked

MOST: Final = 64
"""Steps that run at once where nobody says how many."""


@dataclasses.dataclass(frozen=True, slots=True)
class Settled:
    """How one of them ended: with a `value`, an `error`, `asks` for people, or cancelled since others were enough."""

    value: Any = None
    error: str = ""
    asks: tuple[ApprovalAsk, ...] = ()
    cancelled: bool = False

    @property
    def good(self) -> bool:
        """True for a success."""
        return not (self.error or self.asks or self.cancelled)


Work = Callable[[], Awaitable[Any]]


async def settle(
    works: Sequence[Work],
    *,
    concurrency: int | None = None,
    enough: int | None = None,
    seen: Callable[[int, Settled], None] | None = None,
) -> list[Settled]:
    """What became of each, in their order.

    Args:
        works: what is done; begun in this order.
        concurrency: most at once.
        enough: the others are cancelled when so many have succeeded.
        seen: is told each end as it comes.

    Raises:
        Escalated: one of them handed the case up; the others are cancelled.
        Parked: people have to answer first; all others are settled by then.
    """
    settled: list[Settled | None] = [None] * len(works)
    tasks: dict[asyncio.Task[Any], int] = {}
    waiting = iter(range(len(works)))
    good = 0
    try:
        while True:
            _begin(works, waiting, tasks, concurrency or MOST)
            if not tasks:
                break
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                place = tasks.pop(task)
                one = settled[place] = _read(task)
                good += one.good
                if seen is not None:
                    seen(place, one)
            if enough is not None and good >= enough:
                break
    finally:
        await _end(tasks)
    ended = [Settled(cancelled=True) if one is None else one for one in settled]
    asks = tuple(ask for one in ended for ask in one.asks)
    if asks and (enough is None or good < enough):
        raise Parked(asks)
    return ended


def _begin(works: Sequence[Work], waiting: Any, tasks: dict[asyncio.Task[Any], int], most: int) -> None:
    while len(tasks) < most and (place := next(waiting, None)) is not None:
        task = asyncio.ensure_future(_run(works[place]))
        tasks[task] = place


async def _run(work: Work) -> Any:
    return await work()


def _read(task: asyncio.Task[Any]) -> Settled:
    if task.cancelled():
        raise asyncio.CancelledError
    error = task.exception()
    if error is None:
        return Settled(task.result())
    if isinstance(error, StepFailed):
        return Settled(error=str(error) or "failed")
    if isinstance(error, Parked):
        return Settled(asks=error.asks)
    if isinstance(error, Escalated):
        raise error
    raise error


async def _end(tasks: dict[asyncio.Task[Any], int]) -> None:
    for task in tasks:
        task.cancel()
    if tasks:
        await asyncio.gather(*tasks, return_exceptions=True)


def causes(errors: Sequence[str], most: int = 3) -> str:
    """Why some failed, in one line: each cause once."""
    several = list(dict.fromkeys(errors))
    more = f"; and {len(several) - most} more" if len(several) > most else ""
    return "; ".join(several[:most]) + more
