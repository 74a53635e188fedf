"""Reserves from the budgets around a call before it is made, and settles when its bill is there."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Final

from ...actors.call.outcome import CallOutcome
from ...protocols.call import Attempt
from ...protocols.chat import ChatRequest
from ...protocols.errors import StepFailed
from .frame import Frame
from .money import NO_LIMIT

_ROOM: Final = 2
"""A call reserves twice its dearest estimate where that is there: a retry may have to be paid too."""


class Grant:
    """What a call may spend.

    Attributes:
        cost: picodollars that were reserved, -1 where nothing bounds it.
        outcome: what the call comes to; None where it has not begun.
    """

    def __init__(self, cost: int) -> None:
        self.cost = cost
        self.outcome: CallOutcome | None = None

    def bound(self, other: int) -> int:
        """The tighter one of this bound and another; -1 for none."""
        bounds = [one for one in (self.cost, other) if one >= 0]
        return min(bounds) if bounds else -1


@asynccontextmanager
async def spending(at: Frame, request: ChatRequest, tokens: int) -> AsyncIterator[Grant]:
    """Holds the reservation while the call is made. Raises `StepFailed` when a budget has no room for it.

    A call that only waits for others to give back what they have reserved waits.
    """
    if not at.allowances:
        yield Grant(-1)
        return
    estimate = _dearest(at, request, tokens)
    size = tokens + request.max_tokens
    held = await _reserved(at, estimate, size)
    grant = Grant(held if any(one.cost < NO_LIMIT for one in at.allowances) else -1)
    try:
        yield grant
    finally:
        outcome = grant.outcome
        log = [] if outcome is None else outcome.log
        # What a request may have been charged that was never seen to its end counts as well.
        cost = sum(max(one.cost, 0) + one.open_cost for one in log)
        used = tokens_of(log, size)
        for one in at.allowances:
            one.settle(held, size, cost, used, calls=int(outcome is not None))
        async with at.run.changed:
            at.run.changed.notify_all()


def tokens_of(log: Sequence[Attempt], size: int) -> int:
    """Tokens that attempts count against budgets; `size` is what one of them may use at most."""
    return sum(one.usage.input_tokens + one.usage.output_tokens or size * (one.open_cost > 0) for one in log)


def charge(at: Frame, outcome: CallOutcome, tokens: int) -> None:
    """A call that was made before counts against the budgets around it; it asks for no room: it had that."""
    cost = sum(max(one.cost, 0) + one.open_cost for one in outcome.log)
    for one in at.allowances:
        one.reserve(0, 0)
        one.settle(0, 0, cost, tokens)


async def _reserved(at: Frame, estimate: int, size: int) -> int:
    """Picodollars that were reserved, in every budget."""
    async with at.run.changed:
        while not all(one.fits(estimate, size) for one in at.allowances):
            lack = next((text for one in at.allowances if (text := one.lack(estimate, size))), "")
            if lack:
                raise StepFailed(f"not sent: {lack}")
            await at.run.changed.wait()
        held = min(estimate * _ROOM, *(one.left_cost for one in at.allowances))
        for one in at.allowances:
            one.reserve(held, size)
        return held


def _dearest(at: Frame, request: ChatRequest, tokens: int) -> int:
    """The most one attempt may cost at any candidate of its route, picodollars; 0 where no price is known."""
    kit = at.run.caller.kit
    candidates = kit.config.candidates_of([request.model])
    return max((max(0, kit.way(one).estimate(tokens, request.max_tokens)) for one in candidates), default=0)
