"""Who of the waiting holders is served next, and with how much."""

import dataclasses
import heapq
import itertools
from collections.abc import Iterable, Iterator
from typing import Final

import msgspec

from ...protocols.messages import LeaseAsk

BATCH_SHARE: Final = 0.05
"""Batch work gets this part of what is dealt even while interactive demand never ends: else a busy chat would stop a
night's job for good, and each of its calls would fail by its deadline."""

IDLE_S: Final = 1.0
"""When nobody has waited for so long, all begin anew as equals; a shorter gap is only a message under way."""

AWAY_S: Final = 0.2
"""Who got less than it asked for asks again as soon as it hears of that; so long its next share is kept for it. Without
that, quota that comes free bit by bit goes to whoever has an ask there, and a job on four Mappers got 2.4 times as much
as its equal on one. It costs at most a message's way of a window, and the way of a slot that comes free."""

FULL_ASK: Final = 256
"""An ask for so many calls is as long as asks get: its holder has more to ask for."""


@dataclasses.dataclass(slots=True)
class Waiting:
    """A holder's open ask: the latest it sent, and when that arrived."""

    holder: str
    ask: LeaseAsk
    cause: str
    since: float
    #: How many of `ask.sizes` have been chosen so far in this round.
    chosen: int = 0


@dataclasses.dataclass(frozen=True, slots=True)
class Price:
    """What a call costs its share: the larger of what it takes of the requests and of the tokens.

    Source: Ghodsi et al., *Dominant Resource Fairness*, NSDI 2011. With one quota it is that quota's unit; with both, a
    call of many tokens counts as the calls that could have gone instead.
    """

    call: float = 1.0
    token: float = 0.0

    def of(self, size: int) -> float:
        """The price of a call of `size` tokens."""
        return max(self.call, self.token * size, 1e-9)


@dataclasses.dataclass(slots=True)
class Flow:
    """A class, a tenant, a share or a holder, in the time of what it belongs to."""

    weight: float = 1.0
    #: Start of its next call, in its parent's virtual time.
    virtual: float = 0.0
    #: Virtual time of its own children: the start of the one that was dealt last.
    clock: float = 0.0
    #: Asks that wait beneath it, and flows known beneath it.
    waiting: int = 0
    children: int = 0


Path = tuple[str, ...]


class FairQueue:
    """Start-time fair queueing of calls in three levels: tenants by weight, a tenant's shares by weight, holders alike.

    A share (a job) gets the same however many holders work for it. Each flow has a virtual time that advances by
    price / weight; the smallest goes next. A flow that was idle starts at the virtual time of the sibling that was
    dealt last, so idling earns no credit; one that was served and asks again keeps its own, which is later by what it
    got.

    Interactive shares go before batch ones, but for `BATCH_SHARE` of what is dealt.

    Source: Goyal, Vin, Cheng, *Start-time Fair Queuing*, SIGCOMM 1996 (hierarchical as in its section 5).
    """

    def __init__(self) -> None:
        #: By path: class, tenant, share, holder. A flow is there while somebody beneath it is known.
        self._flows: dict[Path, Flow] = {}
        self._paths: dict[str, Path] = {}
        self._price = Price()
        self._empty_since = 0.0
        #: What batch has earned of `BATCH_SHARE` and not got yet, in prices; only while it waits.
        self._owed = 0.0
        #: What holders still want that were served in part, while they are expected back; `since` then.
        self._away: dict[str, Waiting] = {}
        #: At most one open ask per holder.
        self.waiting: dict[str, Waiting] = {}

    def put(self, entry: Waiting) -> None:
        """Opens a holder's ask, or replaces the one it had; it keeps its place."""
        if not self.waiting and entry.since > self._empty_since + IDLE_S:
            self._restart()
        path = _path(entry)
        if self._paths.get(entry.holder, path) != path:  # the share turned interactive, or changed hands
            self.forget(entry.holder, now=entry.since)
        opened = self._away.pop(entry.holder, None) is None and entry.holder not in self.waiting
        self._paths[entry.holder] = path
        self.waiting[entry.holder] = entry
        weights = (1.0, entry.ask.tenant_weight, entry.ask.weight, 1.0)
        for depth, weight in enumerate(weights, 1):
            self._enter(path[:depth], weight, opened=opened)

    def _enter(self, path: Path, weight: float, *, opened: bool) -> None:
        flow, parent = self._flows.get(path), self._flows.get(path[:-1])
        if flow is None:
            flow = self._flows[path] = Flow()
            if parent is not None:
                parent.children += 1
        if not flow.waiting and parent is not None:
            flow.virtual = max(flow.virtual, parent.clock)
        flow.waiting += opened
        flow.weight = max(weight, 1e-6)

    def served(self, entry: Waiting, *, now: float) -> None:
        """The holder gets what was chosen for it; if it wants more it keeps its place until it asks again."""
        sizes = entry.ask.sizes
        rest = sizes[entry.chosen :] or (sizes if len(sizes) >= FULL_ASK else ())
        if not rest:
            self.drop(entry.holder, now=now)
            return
        del self.waiting[entry.holder]
        self._empty_since = now
        ask = msgspec.structs.replace(entry.ask, sizes=rest, slots=min(entry.ask.slots, len(rest)))
        self._away[entry.holder] = Waiting(entry.holder, ask, "", now)

    def drop(self, holder: str, *, now: float) -> None:
        """The holder no longer waits."""
        if self.waiting.pop(holder, None) is None and self._away.pop(holder, None) is None:
            return
        for flow in self._line(self._paths[holder]):
            flow.waiting -= 1
        if not self.waiting:
            self._empty_since = now

    def expire(self, *, now: float) -> None:
        """Keeps nothing any more for those who have been away for too long."""
        for entry in [entry for entry in self._away.values() if entry.since + AWAY_S <= now]:
            self.drop(entry.holder, now=now)

    def next_change(self) -> float | None:
        """When what is kept for somebody who is away is free for those who wait."""
        return min((entry.since + AWAY_S for entry in self._away.values()), default=None)

    def forget(self, holder: str, *, now: float) -> None:
        """The holder is dead, or nothing was heard of it for long."""
        self.drop(holder, now=now)
        path = self._paths.pop(holder, ())
        while path and not self._flows[path].children:
            del self._flows[path]
            path = path[:-1]
            if path:
                self._flows[path].children -= 1

    def _line(self, path: Path) -> Iterator[Flow]:
        return (self._flows[path[:depth]] for depth in range(1, len(path) + 1))

    def _restart(self) -> None:
        self._owed = 0.0
        for flow in self._flows.values():
            flow.virtual = flow.clock = 0.0

    def share(
        self, calls: int, *, tokens: int, slots: int, price: Price | None = None, now: float = 0.0
    ) -> list[tuple[Waiting, int]]:
        """Divides up to `calls` calls of `tokens` tokens and `slots` new slots among the waiting.

        Returns (entry, how many of its calls), each of which fits together with all before it. When the next call in
        turn needs more tokens than are left, nobody behind it is served: else small calls would pass a large one for
        ever. Calls are dealt in quanta (an eighth of an equal share), so that a thousand holders cost some thousand
        heap steps and not one per call. What falls to somebody who is away is kept.
        """
        self._set_price(price or Price())
        self.expire(now=now)
        if calls < 1:
            return []
        for entry in self._all():
            entry.chosen = 0
        self._deal_all(Room(calls, tokens, slots, self._price))
        for entry in self._away.values():
            self._take_back(entry)
        return [(entry, entry.chosen) for entry in self.waiting.values() if entry.chosen]

    def _all(self) -> Iterator[Waiting]:
        return itertools.chain(self.waiting.values(), self._away.values())

    def _deal_all(self, left: "Room") -> None:
        wanting = [entry for entry in self._all() if entry.ask.sizes]
        people = [entry for entry in wanting if entry.ask.interactive]
        batch = [entry for entry in wanting if not entry.ask.interactive]
        if people and batch:  # first what batch has earned
            left.budget = self._owed
            self._deal(batch, left)
            left.budget = float("inf")
        self._deal(people, left)
        self._deal(batch, left)
        earned = self._cost(people) * BATCH_SHARE / (1 - BATCH_SHARE) - self._cost(batch)
        still = any(entry.chosen < len(entry.ask.sizes) for entry in batch)
        self._owed = max(0.0, self._owed + earned) if still else 0.0

    def _cost(self, group: list[Waiting]) -> float:
        """The price of what was chosen for those that are there."""
        return sum(self._chosen(entry) for entry in group if entry.chosen and entry.holder in self.waiting)

    def _chosen(self, entry: Waiting) -> float:
        return sum(self._price.of(size) for size in entry.ask.sizes[: entry.chosen])

    def _take_back(self, entry: Waiting) -> None:
        """What was kept was not dealt: its flows are charged when it is."""
        if entry.chosen:
            cost = self._chosen(entry)
            for flow in self._line(self._paths[entry.holder]):
                flow.virtual -= cost / flow.weight

    def _set_price(self, price: Price) -> None:
        if price != self._price:  # another unit: what was counted in the old one says nothing
            self._price = price
            self._restart()

    def _deal(self, group: list[Waiting], left: "Room") -> None:
        """Deals in turn until nothing is left or wanted."""
        group = [entry for entry in group if left.could(entry)]
        if not group or left.over():
            return
        quantum = float("inf")  # in one go, where nobody has to take turns
        if len(group) > 1 and not left.all_fit(group):
            wanted = sum(self._wanted(entry) for entry in group)
            quantum = max(min(left.worth(), wanted, left.budget) / (8 * len(group)), 1e-9)
        root = self._tree(group)
        while root.heap and not left.over():
            root.step(left, quantum)
        left.spent = False

    def _wanted(self, entry: Waiting) -> float:
        rest = entry.ask.sizes[entry.chosen :]
        return max(self._price.call * len(rest), self._price.token * sum(rest))

    def _tree(self, group: Iterable[Waiting]) -> "Node":
        nodes: dict[Path, Node] = {}
        for entry in group:
            path = self._paths[entry.holder]
            node = Node(self._flows[path], entry)
            for depth in range(len(path) - 1, 0, -1):
                above = nodes.get(path[:depth])
                known = above is not None
                if above is None:
                    above = nodes[path[:depth]] = Node(self._flows[path[:depth]])
                above.heap.append((node.flow.virtual, len(above.heap), node))
                if known:
                    break
                node = above
        for node in nodes.values():
            heapq.heapify(node.heap)
        return next((node for path, node in nodes.items() if len(path) == 1), Node(Flow()))


def _path(entry: Waiting) -> Path:
    ask = entry.ask
    return ("interactive" if ask.interactive else "batch", ask.tenant, ask.share, entry.holder)


class Node:
    """A flow in one round: its children that still want something, next first; a holder has its ask instead."""

    __slots__ = ("entry", "flow", "heap")

    def __init__(self, flow: Flow, entry: Waiting | None = None) -> None:
        self.flow = flow
        self.entry = entry
        self.heap: list[tuple[float, int, Node]] = []

    def step(self, left: "Room", quantum: float) -> float:
        """Deals about one quantum to the child whose turn it is, down to a holder; returns its price."""
        _, place, child = heapq.heappop(self.heap)
        self.flow.clock = max(self.flow.clock, child.flow.virtual)
        if child.entry is None:
            given = child.step(left, quantum)
            more = bool(child.heap)
        else:
            given = left.give(child.entry, quantum)
            # Who got less than a quantum has all it asked for, or lacks a slot; it does not hold up the others.
            more = given >= quantum and child.entry.chosen < len(child.entry.ask.sizes)
        child.flow.virtual += given / child.flow.weight
        if quantum == float("inf"):  # dealt in one go: who comes next starts where its last call did, not its first
            self.flow.clock = max(self.flow.clock, child.flow.virtual - min(given, left.price.call) / child.flow.weight)
        if more:
            heapq.heappush(self.heap, (child.flow.virtual, place, child))
        return given


@dataclasses.dataclass(slots=True)
class Room:
    """What is still to be dealt in one round."""

    calls: int
    tokens: int
    slots: int
    price: Price
    #: No more than this price may be dealt now.
    budget: float = float("inf")
    #: The next call in turn passes the budget.
    spent: bool = False
    #: The next call in turn needs more tokens than are left.
    stuck: bool = False

    def over(self) -> bool:
        """Nothing more is dealt now."""
        return self.calls < 1 or self.stuck or self.spent

    def could(self, entry: Waiting) -> bool:
        """The entry wants more and does not lack a slot for its next call."""
        wanted = len(entry.ask.sizes)
        return entry.chosen < (wanted if self.slots > 0 else wanted - entry.ask.slots)

    def all_fit(self, group: list[Waiting]) -> bool:
        """Everything that these want can be given."""
        asks = [entry.ask for entry in group]
        return (
            self.budget == float("inf")
            and sum(len(ask.sizes) for ask in asks) <= self.calls
            and sum(sum(ask.sizes) for ask in asks) <= self.tokens
            and sum(ask.slots for ask in asks) <= self.slots
        )

    def worth(self) -> float:
        """A price that all that is left does not pass."""
        return self.price.call * self.calls + self.price.token * self.tokens

    def give(self, entry: Waiting, most: float) -> float:
        """Chooses more of the entry's calls, in order, until they cost `most`; returns what they cost."""
        sizes = entry.ask.sizes
        own = len(sizes) - entry.ask.slots  # its first calls go in slots that it has
        given = 0.0
        while entry.chosen < len(sizes) and self.calls > 0:
            size = sizes[entry.chosen]
            new_slot = entry.chosen >= own
            if new_slot and self.slots < 1:
                break
            self.stuck = size > self.tokens
            cost = self.price.of(size) if self.price.token else self.price.call
            self.spent = cost > self.budget + 1e-6  # nineteen times a nineteenth is a little less than 1
            if self.stuck or self.spent:
                break
            self.calls -= 1
            self.tokens -= size
            self.slots -= new_slot
            self.budget -= cost
            entry.chosen += 1
            given += cost
            if given >= most:
                break
        return given
