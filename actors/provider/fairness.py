"""Who of the waiting holders is served next, and with how much."""

import dataclasses
import heapq

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

    Each holder has a virtual time that advances by calls / weight; the smallest goes next. A holder that was idle
    starts at the virtual time of the call that was dealt last, so idling earns no credit; one that was served and
    asks again keeps its own, which is later by what it got.
    Source: Goyal, Vin, Cheng, *Start-time Fair Queuing*, SIGCOMM 1996.
    """

    def __init__(self) -> None:
        self._virtual: dict[str, float] = {}
        #: Virtual time of the call that was dealt last, for batch and interactive holders.
        self._clock = {False: 0.0, True: 0.0}
        #: At most one open ask per holder.
        self.waiting: dict[str, Waiting] = {}

    def put(self, entry: Waiting) -> None:
        """Opens a holder's ask, or replaces the one it had; it keeps its place."""
        if entry.holder not in self.waiting:
            start = max(self._virtual.get(entry.holder, 0.0), self._clock[entry.ask.interactive])
            self._virtual[entry.holder] = start
        self.waiting[entry.holder] = entry

    def drop(self, holder: str) -> None:
        """The holder no longer waits."""
        self.waiting.pop(holder, None)
        if not self.waiting:
            self._virtual.clear()
            self._clock = {False: 0.0, True: 0.0}

    def forget(self, holder: str) -> None:
        """The holder is dead."""
        self.drop(holder)
        self._virtual.pop(holder, None)

    def share(self, calls: int, *, tokens: int, slots: int) -> list[tuple[Waiting, int]]:
        """Divides up to `calls` calls of `tokens` tokens and `slots` new slots among the waiting.

        Returns (entry, how many of its calls), each of which fits together with all before it. When the next call in
        turn needs more tokens than are left, nobody behind it is served: else small calls would pass a large one for
        ever. Calls are dealt in quanta (an eighth of an equal share), so that a thousand holders cost a thousand heap
        steps and not one per call.
        """
        served: list[tuple[Waiting, int]] = []
        left = Room(calls, tokens, slots)
        for interactive in (True, False):
            group = [entry for entry in self.waiting.values() if entry.ask.interactive is interactive]
            if group and left.calls > 0 and not left.stuck:
                self._deal(group, left)
                served += [(entry, entry.chosen) for entry in group if entry.chosen]
        return served

    def _deal(self, group: list[Waiting], left: "Room") -> None:
        wanted = sum(len(entry.ask.sizes) for entry in group)
        quantum = max(1, min(left.calls, wanted) // (8 * len(group)))
        for entry in group:
            entry.chosen = 0
        heap = [(self._virtual.get(entry.holder, 0.0), place) for place, entry in enumerate(group) if entry.ask.sizes]
        heapq.heapify(heap)
        while heap and left.calls > 0 and not left.stuck:
            virtual, place = heapq.heappop(heap)
            entry = group[place]
            self._clock[entry.ask.interactive] = virtual
            given = left.give(entry, quantum)
            virtual += given / max(entry.ask.weight, 1e-6)
            self._virtual[entry.holder] = virtual
            # Who got less than a quantum has all it asked for, or lacks a slot; it does not hold up the others.
            if given == quantum and entry.chosen < len(entry.ask.sizes):
                heapq.heappush(heap, (virtual, place))


@dataclasses.dataclass(slots=True)
class Room:
    """What is still to be dealt in one round."""

    calls: int
    tokens: int
    slots: int
    #: The next call in turn needs more tokens than are left.
    stuck: bool = False

    def give(self, entry: Waiting, most: int) -> int:
        """Chooses up to `most` more of the entry's calls, in order; returns how many."""
        sizes = entry.ask.sizes
        own = len(sizes) - entry.ask.slots  # its first calls go in slots that it has
        start = entry.chosen
        while entry.chosen < min(start + most, len(sizes)) and self.calls > 0:
            new_slot = entry.chosen >= own
            if new_slot and self.slots < 1:
                break
            if sizes[entry.chosen] > self.tokens:
                self.stuck = True
                break
            self.calls -= 1
            self.tokens -= sizes[entry.chosen]
            self.slots -= new_slot
            entry.chosen += 1
        return entry.chosen - start
