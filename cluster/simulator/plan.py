"""What the shell has to do for one request: the engine's verdict, as data."""

import hashlib
from dataclasses import dataclass, field
from decimal import Decimal
from functools import lru_cache
from typing import Literal

from .ledger import Outcome, Record
from .quota import Limiter
from .settings import FaultKind

Action = Literal["reply", "stream", "drop", "cut", "hang"]

FAULT_OUTCOMES: dict[FaultKind, Outcome] = {
    "error_500": "error_500",
    "error_503": "error_503",
    "drop": "dropped",
    "malformed": "malformed",
    "cut": "cut",
    "timeout": "timeout",
}


@dataclass(slots=True)
class Plan:
    """One request's future.

    Wait ``delay_s``, then: ``reply`` sends ``parts`` at once; ``stream`` sends them with ``pause_s`` before
    each but the first and the last; ``drop`` closes the socket with nothing said; ``cut`` sends ``parts``, an
    incomplete reply, and closes; ``hang`` closes, having waited the whole cap. ``parts`` are raw HTTP bytes.
    ``cost`` is booked if the outcome is billed; ``ticket`` frees the slots of ``limiters``.
    """

    record: Record
    action: Action
    outcome: Outcome
    status: int
    parts: list[bytes] = field(default_factory=list)
    delay_s: float = 0.0
    pause_s: float = 0.0
    cost: str = "0"
    ticket: int = 0
    limiters: list[Limiter] = field(default_factory=list)


@lru_cache(maxsize=4096)
def key_hash(key: str) -> str:
    """What the ledger knows of a key: the first 8 hex digits of its SHA-256."""
    return hashlib.sha256(key.encode()).hexdigest()[:8]


@lru_cache(maxsize=65_536)
def cost_of(input_price: Decimal, output_price: Decimal, prompt_tokens: int, completion_tokens: int) -> str:
    """Dollars, as an exact decimal without an exponent; prices are dollars per million tokens.

    Cached: most requests of a run have few different sizes, and equal costs then share one string in the
    ledger.
    """
    dollars = (input_price * prompt_tokens + output_price * completion_tokens).scaleb(-6)
    return format(dollars.normalize(), "f")
