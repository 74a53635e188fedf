"""Who holds leases of an account: a sender has one lease for each share (a job, say) that it works for."""

import dataclasses
from collections.abc import Iterator
from typing import Final

_BETWEEN: Final = "\x1f"  # in no actor's name


def holder_of(sender: str, share: str) -> str:
    """The holder that a sender is when it works for a share."""
    return f"{sender}{_BETWEEN}{share}" if share else sender


def sender_of(holder: str) -> str:
    """The actor that speaks for a holder."""
    return holder.partition(_BETWEEN)[0]


@dataclasses.dataclass(slots=True)
class _Known:
    number: int
    heard_at: float


class Holders:
    """Every holder that was heard of lately, with the number of its last ask."""

    def __init__(self) -> None:
        self._known: dict[str, _Known] = {}

    def __len__(self) -> int:
        return len(self._known)

    def number(self, holder: str) -> int:
        """The number of its last ask, 0 for one that is not known."""
        known = self._known.get(holder)
        return known.number if known else 0

    def heard(self, holder: str, number: int, *, now: float) -> None:
        """It asked."""
        self._known[holder] = _Known(number, now)

    def forget(self, holder: str) -> None:
        """It is dead, or a successor of its name asks."""
        self._known.pop(holder, None)

    def senders(self) -> Iterator[str]:
        """Each sender once."""
        return iter(dict.fromkeys(sender_of(holder) for holder in self._known))

    def of(self, sender: str) -> list[str]:
        """The holders that a sender is."""
        return [holder for holder in self._known if sender_of(holder) == sender]

    def silent(self, seconds: float, *, now: float) -> list[str]:
        """Those of which nothing was heard for so long."""
        return [holder for holder, known in self._known.items() if known.heard_at + seconds < now]
