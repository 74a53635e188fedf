"""A call that another one needs on its way: of the same budgets, and on the same bill."""

import time
from typing import TYPE_CHECKING, Final, NamedTuple

from ...protocols.call import CallOptions
from ...protocols.chat import ChatRequest
from ...protocols.config import Overflow
from ...protocols.errors import UnderstudyError

if TYPE_CHECKING:
    from .logical import LogicalCall

_MOST: Final = 2
"""Attempts of a call on the way: what it is for can be done without it."""


class Said(NamedTuple):
    """What a model said, empty where none did, and the attempts that it took."""

    text: str = ""
    attempts: int = 0


async def ask(
    call: "LogicalCall",
    request: ChatRequest,
    tokens: int,
    *,
    used: int,
    private: bool,
    most_s: float = 3600.0,
    keep: int = 0,
    overflow: Overflow | None = None,
) -> Said:
    """Asks within what `call` has left: half of its time, its money, and two attempts, but never its last one.

    Args:
        call: what it is for; what was spent stands on its bill.
        request: what is asked.
        tokens: of the prompt.
        used: attempts that `call` has used.
        private: it must not leave.
        most_s: the longest it is waited for.
        keep: picodollars that are left for `call`.
        overflow: what is done when it is too long.
    """
    from . import preparing  # noqa: PLC0415 - each needs the other
    from .logical import LogicalCall  # noqa: PLC0415

    most = call.kit.config.attempts.max_attempts
    start = max(used, most - 1 - _MOST) + 1
    if start >= most:
        return Said()
    money = call.money_left()
    options = CallOptions(
        deadline_s=min(most_s, max(0.0, call.due - time.monotonic()) / 2),
        max_cost=money if money < 0 else max(0, money - keep),
        private=private,
        overflow=overflow,
        hedge=False,
    )
    one = LogicalCall(call.caller, request, tokens, options, None, used=start)
    try:
        asked = await one.run()
    except UnderstudyError:
        asked = one.outcome
    preparing.add_bill(call.outcome, one.outcome)
    # A declared answer says nothing of what was asked.
    text = asked.reply.text if asked.reply is not None and asked.rung == "model" else ""
    return Said(text, one.used - start)
