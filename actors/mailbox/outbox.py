"""What is still to be said to one peer, bounded, and cut into batches."""

from collections import deque
from typing import Final

import msgspec

from ...protocols.envelope import Envelope

MAX_COUNT: Final = 10_000
BATCH_COUNT: Final = 512
BATCH_BYTES: Final = 90_000
"""A Ray call whose arguments pass 100 KB goes through the object store and costs 3 to 5 times as much."""


class Outbox:
    """Envelopes for one peer in order. Expired ones are dropped when a batch is cut, not sent.

    Args:
        max_count: how many may wait; one more is refused, which is the back-pressure.
    """

    __slots__ = ("_entries", "_max_count")

    def __init__(self, max_count: int = MAX_COUNT) -> None:
        self._max_count = max_count
        #: (envelope, weight in bytes, when it was put in), oldest first.
        self._entries: deque[tuple[Envelope, int, float]] = deque()

    def __len__(self) -> int:
        return len(self._entries)

    def offer(self, envelope: Envelope, *, weight: int, now: float) -> bool:
        """Takes an envelope of about `weight` bytes; False when there is no place."""
        if len(self._entries) >= self._max_count:
            return False
        self._entries.append((envelope, weight, now))
        return True

    def cut(self, *, now: float) -> list[Envelope]:
        """The next batch: up to `BATCH_COUNT` envelopes and `BATCH_BYTES` bytes, at least one if any is alive."""
        batch: list[Envelope] = []
        size = 0
        while self._entries and len(batch) < BATCH_COUNT:
            envelope, weight, since = self._entries[0]
            if batch and size + weight > BATCH_BYTES:
                break
            self._entries.popleft()
            if envelope.deadline is not None:
                left = envelope.deadline - (now - since)
                if left <= 0:
                    continue
                envelope = msgspec.structs.replace(envelope, deadline=left)
            batch.append(envelope)
            size += weight
        return batch

    def clear(self) -> list[Envelope]:
        """Empties the box and returns what was in it, so that each ask can be answered."""
        left = [envelope for envelope, _, _ in self._entries]
        self._entries.clear()
        return left
