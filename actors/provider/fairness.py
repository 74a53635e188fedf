"""Who of the waiting holders is served next, and with how much."""

import dataclasses
import heapq
from collections.abc import Iterable

from ...protocols.messages import LeaseAsk


@dataclasses.dataclass(slots=True)
class Waiting:
    """A holder's open ask: the latest it sent, and when that arrived."""

    holder: str
    ask: LeaseAsk
    cause: str
    since: float
    #: How many of `ask.sizes` have been chosen so far in this round.
    chosen: int = 0


class FairQueue:
    """Start-time fair queueing of calls between holders, interactive ones first.

    Each holder has a virtual time that advances by calls / weight; the smallest goes next. A holder that was idle starts
    at the smallest time of those that wait, so idling earns no credit.
    Source: Goyal, Vin, Cheng, *Start-time Fair Queuing*, SIGCOMM 1996.
    """

    def __init__(self) -> None:
        self._virtual: dict[str, float] = {}
        #: At most one open ask per holder.
        self.waiting: dict[str, Waiting] = {}

    def put(self, entry: Waiting) -> None:
        """Opens a holder's ask, or replaces the one it had; it keeps its place."""
        if entry.holder not in self.waiting:
            floor = min((self._virtual.get(name, 0.0) for name in self.waiting), default=None)
            if floor is not None:
                self._virtual[entry.holder] = max(self._virtual.get(entry.holder, 0.0), floor)
        self.waiting[entry.holder] = entry

    def drop(self, holder: str) -> None:
        """The holder no longer waits."""
        self.waiting.pop(holder, None)
        if not self.waiting:
            self._virtual.clear()

    def forget(self, holder: str) -> None:
        """The holder is dead."""
        self.drop(holder)
        self._virtual.pop(holder, None)

    def share(self, calls: int) -> Iterable[tuple[Waiting, int]]:
        """Divides up to `calls` calls among the waiting; yields (entry, how many), in the order to serve them.

        Calls are dealt in quanta (an eighth of an equal share), so that a thousand holders cost a thousand heap steps and
        not one per call.
        """
        for interactive in (True, False):
            group = [entry for entry in self.waiting.values() if entry.ask.interactive is interactive]
            if group and calls > 0:
                calls -= self._deal(group, calls)
                yield from ((entry, entry.chosen) for entry in group if entry.chosen)

    def _deal(self, group: list[Waiting], calls: int) -> int:
        quantum = max(1, calls // (8 * len(group)))
        for entry in group:
            entry.chosen = 0
        heap = [
            (self._virtual.get(entry.holder, 0.0), place) for place, entry in enumerate(group) if entry.ask.sizes
        ]
        heapq.heapify(heap)
        dealt = 0
        while heap and dealt < calls:
            virtual, place = heapq.heappop(heap)
            entry = group[place]
            give = min(quantum, len(entry.ask.sizes) - entry.chosen, calls - dealt)
            entry.chosen += give
            dealt += give
            virtual += give / max(entry.ask.weight, 1e-6)
            self._virtual[entry.holder] = virtual
            if entry.chosen < len(entry.ask.sizes):
                heapq.heappush(heap, (virtual, place))
        return dealt
