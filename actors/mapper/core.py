"""What a Mapper has in hand: slices, the items of each that are running, and what was cancelled."""

import dataclasses
from collections import deque

from ...protocols.messages import Slice


@dataclasses.dataclass(frozen=True, slots=True)
class Item:
    """One item to work on: its place in a block of a job; `state` is what one that was parked goes on with."""

    job: str
    block: int
    place: int
    state: bytes = b""


@dataclasses.dataclass(slots=True)
class _Job:
    queue: deque[Item] = dataclasses.field(default_factory=deque)
    running: int = 0


class MapperCore:
    """Queues of items by job; each job runs at most its width at once."""

    def __init__(self) -> None:
        self._jobs: dict[str, _Job] = {}

    def take(self, piece: Slice) -> None:
        """A slice came in."""
        job = self._jobs.setdefault(piece.job, _Job())
        states = piece.states
        job.queue.extend(
            Item(piece.job, piece.block, place, states.get(place, b"")) for place in range(piece.start, piece.stop)
        )

    def start(self, name: str, width: int) -> Item | None:
        """The job's next item to run, or None when there is none or `width` are running."""
        job = self._jobs.get(name)
        if job is None or job.running >= width or not job.queue:
            return None
        job.running += 1
        return job.queue.popleft()

    def ended(self, name: str) -> None:
        """An item of the job has ended."""
        job = self._jobs.get(name)
        if job is not None:
            job.running -= 1

    def cancel(self, name: str) -> None:
        """Forgets the job: nothing more of it is started."""
        self._jobs.pop(name, None)

    def held(self, name: str) -> int:
        """Items of the job that wait or run here."""
        job = self._jobs.get(name)
        return 0 if job is None else len(job.queue) + job.running
