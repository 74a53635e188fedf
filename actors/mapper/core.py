"""What a Mapper has in hand: slices, the items of each that are running, and what was cancelled."""

import dataclasses
from collections import deque
from collections.abc import Callable

import msgspec

from ...protocols.messages import Slice

NEVER_BEGUN = -1


class Item(msgspec.Struct, frozen=True):
    """One item to work on.

    Attributes:
        job: its job.
        block: its block in the job.
        place: its place in the block.
        state: what one that was parked goes on with.
        era: how often one that was begun before has parked or was tried again; `NEVER_BEGUN` for any other.
    """

    job: str
    block: int
    place: int
    state: bytes = b""
    era: int = NEVER_BEGUN


@dataclasses.dataclass(slots=True)
class _Job:
    queue: deque[Item] = dataclasses.field(default_factory=deque)
    #: By identity: an item that was given up here may be handed out to the same Mapper once more.
    running: dict[int, Item] = dataclasses.field(default_factory=dict)


class MapperCore:
    """Queues of items by job; each job runs at most its width at once."""

    def __init__(self) -> None:
        self._jobs: dict[str, _Job] = {}

    def take(self, piece: Slice) -> None:
        """A slice came in."""
        job = self._jobs.setdefault(piece.job, _Job())
        states, eras = piece.states, piece.eras
        job.queue.extend(
            Item(piece.job, piece.block, place, states.get(place, b""), eras.get(place, NEVER_BEGUN))
            for place in range(piece.start, piece.stop)
        )

    def start(self, name: str, width: int) -> Item | None:
        """The job's next item to run, or None when there is none or `width` are running."""
        job = self._jobs.get(name)
        if job is None or len(job.running) >= width or not job.queue:
            return None
        item = job.queue.popleft()
        job.running[id(item)] = item
        return item

    def runs(self, item: Item) -> bool:
        """True while the item was started and neither ended nor given up."""
        job = self._jobs.get(item.job)
        return job is not None and id(item) in job.running

    def ended(self, item: Item) -> None:
        """The item has ended."""
        job = self._jobs.get(item.job)
        if job is not None:
            job.running.pop(id(item), None)

    def cancel(self, name: str) -> list[Item]:
        """Forgets the job: nothing more of it is started. Returns what was waiting."""
        job = self._jobs.pop(name, None)
        return [] if job is None else list(job.queue)

    def held(self, name: str) -> int:
        """Items of the job that wait or run here."""
        job = self._jobs.get(name)
        return 0 if job is None else len(job.queue) + len(job.running)

    def begun_before(self, name: str, most: int) -> list[Item]:
        """The first of the waiting items that somebody has begun before."""
        job = self._jobs.get(name)
        found: list[Item] = []
        for item in job.queue if job is not None else ():
            if len(found) == most:
                break
            if item.era != NEVER_BEGUN:
                found.append(item)
        return found

    def hold(self, name: str, first: Callable[[int], int | None]) -> list[int]:
        """Numbers of the items of the job that wait or run here, for whoever asks what need not be given to others.

        Args:
            name: the job.
            first: the number of a block's first item, or None while that is not known here. Nobody can say which items
                those of such a block are, and none of them was begun: they are given up, and will be handed out again.
        """
        job = self._jobs.get(name)
        if job is None:
            return []
        job.queue = deque(item for item in job.queue if first(item.block) is not None)
        job.running = {key: item for key, item in job.running.items() if first(item.block) is not None}
        held = (*job.running.values(), *job.queue)
        return [start + item.place for item in held if (start := first(item.block)) is not None]
