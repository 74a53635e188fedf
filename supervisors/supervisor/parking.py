"""Items that wait for people: what they had finished, what they ask, and what was answered so far."""

import dataclasses
from collections.abc import Iterator

import msgspec

from ...protocols.errors import UsageError
from ...protocols.jobs import ApprovalAsk, Resumed, Verdict, Waiting
from ...protocols.messages import ItemDone
from ..workflow.tally import Tally


@dataclasses.dataclass(slots=True)
class _Parked:
    memo: bytes
    asks: tuple[ApprovalAsk, ...]
    since: float
    verdicts: dict[str, Verdict] = dataclasses.field(default_factory=dict)

    def open(self) -> tuple[ApprovalAsk, ...]:
        return tuple(ask for ask in self.asks if ask.path not in self.verdicts)


def questions(done: ItemDone) -> tuple[ApprovalAsk, ...]:
    """What a parked item asks; empty for one that is not parked, and where it can't be read."""
    if not done.parked:
        return ()
    try:
        return tuple(msgspec.msgpack.decode(done.data, type=list[ApprovalAsk]))
    except msgspec.MsgspecError:
        return ()


def unparked(done: ItemDone) -> ItemDone:
    """A failure in place of an item that waits for people and asks them nothing."""
    return msgspec.structs.replace(done, data=b"", parked=b"", error="it waits for people but asks nothing")


class Parking:
    """The parked items of one job.

    An item is parked until each of its questions has a verdict. From then on it has a state, a `Resumed` as bytes, that
    goes with it to whichever Mapper is given it, and that stays until the item is answered or parks again: a Mapper
    that dies takes no verdict with it.
    """

    def __init__(self) -> None:
        self._parked: dict[int, _Parked] = {}
        self._states: dict[int, bytes] = {}
        #: What people have approved, by item and path.
        self._approved: dict[int, dict[str, Verdict]] = {}
        #: What an item had used each time it parked.
        self._used: dict[int, Tally] = {}

    def __len__(self) -> int:
        return len(self._parked)

    def __contains__(self, item: int) -> bool:
        return item in self._parked

    def __iter__(self) -> Iterator[int]:
        return iter(self._parked)

    def park(self, item: int, memo: bytes, asks: tuple[ApprovalAsk, ...], *, now: float) -> None:
        """The item waits from now on; `now` is monotonic seconds."""
        self._went_on(item)
        self._parked[item] = _Parked(memo, asks, now)

    def use(self, done: ItemDone) -> None:
        """What a parked item has used since it parked last; its answer will name only what comes after."""
        self._used.setdefault(done.item, Tally()).item(done)

    def used(self, item: int) -> bool:
        """True where the item has parked before, so that what it used then is on the bill."""
        return item in self._used

    def whole(self, done: ItemDone) -> ItemDone:
        """The answer of an item with all that it has used, also before it waited: for who reads it."""
        tally = self._used.get(done.item)
        if tally is None:
            return done
        tally.item(done)
        whole = tally.done(done.item, data=done.data, error=done.error, degraded=done.degraded)
        return msgspec.structs.replace(whole, keys=done.keys, standing=done.standing, recalled=done.recalled)

    def answer(self, item: int, path: str, verdict: Verdict) -> int:
        """A person has answered; returns the item when it can go on, else -1.

        Args:
            item: its number; -1 for the only one that is parked.
            path: of the step; empty for the only one of the item that is open.
            verdict: the answer.

        Raises:
            UsageError: no such item or step waits, or more than one could be meant.
        """
        item, path = self.check(item, path)
        parked = self._parked[item]
        parked.verdicts[path] = verdict
        if parked.open():
            return -1
        del self._parked[item]
        self._states[item] = msgspec.msgpack.encode(Resumed(parked.memo, parked.verdicts))
        return item

    def check(self, item: int, path: str) -> tuple[int, str]:
        """The item and the step that are meant by what `answer` is given. Raises as that does."""
        item = item if item >= 0 else self._only()
        parked = self._parked.get(item)
        if parked is None:
            raise UsageError(f"item {item} waits for nobody; {self._choices()}")
        return item, _step(item, path, parked.open())

    def _only(self) -> int:
        if len(self._parked) != 1:
            raise UsageError(f"name the item: {self._choices()}")
        return next(iter(self._parked))

    def _choices(self) -> str:
        some = sorted(self._parked)[:10]
        more = f" and {len(self._parked) - len(some)} more" if len(self._parked) > len(some) else ""
        return f"waiting are {', '.join(map(str, some))}{more}" if some else "no item of the job waits"

    def _went_on(self, item: int) -> None:
        """What the item went on with is used up."""
        state = self._states.pop(item, None)
        if state is not None:
            verdicts = msgspec.msgpack.decode(state, type=Resumed).verdicts
            approved = {path: verdict for path, verdict in verdicts.items() if verdict.approved}
            self._approved.setdefault(item, {}).update(approved)

    def again(self, item: int) -> None:
        """The item is tried again: it begins anew, with what people have approved already."""
        approved = self._approved.get(item)
        if approved:
            self._states[item] = msgspec.msgpack.encode(Resumed(b"", approved))

    def state(self, item: int) -> bytes:
        """What the item goes on with; empty for one that begins anew."""
        return self._states.get(item, b"")

    def resumed(self) -> list[int]:
        """Items that have all verdicts and no answer since."""
        return list(self._states)

    def states(self, first: int, start: int, stop: int) -> dict[int, bytes]:
        """The states of the items at `start` to `stop` of a block whose first item is `first`, by their place in it."""
        if not self._states:
            return {}
        return {place: state for place in range(start, stop) if (state := self._states.get(first + place))}

    def forget(self, item: int) -> None:
        """The item is answered. What people have approved stays: they are not asked again when it is tried again."""
        self._parked.pop(item, None)
        self._went_on(item)
        self._used.pop(item, None)

    def clear(self) -> None:
        """The job is over."""
        self._parked.clear()
        self._states.clear()
        self._used.clear()

    def waiting(self, job: str, title: str, *, now: float) -> list[Waiting]:
        """What is open, for people; the one that waits longest first."""
        return [
            Waiting(job, item, title, now - parked.since, parked.open())
            for item, parked in sorted(self._parked.items(), key=lambda row: row[1].since)
        ]


def _step(item: int, path: str, asks: tuple[ApprovalAsk, ...]) -> str:
    paths = [ask.path for ask in asks]
    if path in paths:
        return path
    if not path and len(paths) == 1:
        return paths[0]
    wrong = f"step {path!r} of item {item} waits for nobody" if path else f"name the step of item {item}"
    raise UsageError(f"{wrong}: waiting are {', '.join(paths)}")
