"""What the shell has to do for one request: the engine's verdict, as data."""

import hashlib
from functools import lru_cache
from typing import Literal

import msgspec

from .dialect import Dialect, Stamp
from .ledger import Outcome, Record
from .quota import Limiter
from .settings import FaultKind, ModelSettings

Action = Literal["reply", "stream", "drop", "cut", "hang", "stall"]


def outcome_of(fault: FaultKind) -> Outcome:
    """What the ledger says of a request that met a fault."""
    return "dropped" if fault == "drop" else fault


class Plan(msgspec.Struct, gc=False):
    """One request's future.

    Wait ``delay_s``, then: ``reply`` sends ``parts`` at once; ``stream`` sends them with ``pause_s`` before
    each but the first and the last; ``drop`` closes the socket with nothing said; ``cut`` sends ``parts``, an
    incomplete reply, and closes; ``hang`` closes, having waited the whole cap; ``stall`` sends ``parts``, waits
    ``hold_s`` and closes. ``parts`` are raw HTTP bytes; the shell counts in ``sent`` those it handed to the
    socket. ``marks``, of a stream: completion tokens that have reached the client with each part.

    ``cost`` is booked if the outcome is billed; ``model`` prices what was sent of a stream that ended early;
    ``ticket`` frees the slots of ``limiters``.
    """

    record: Record
    dialect: Dialect
    stamp: Stamp
    action: Action
    outcome: Outcome
    status: int
    parts: list[bytes] = []
    marks: list[int] = []
    sent: int = 0
    delay_s: float = 0.0
    pause_s: float = 0.0
    hold_s: float = 0.0
    cost: str = "0"
    model: ModelSettings | None = None
    ticket: int = 0
    limiters: list[Limiter] = []


@lru_cache(maxsize=4096)
def key_hash(key: str) -> str:
    """What the ledger knows of a key: the first 8 hex digits of its SHA-256."""
    return hashlib.sha256(key.encode()).hexdigest()[:8]
