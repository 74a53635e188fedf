"""What is asked of the Journal: of the actor by `JournalClient`, of a store by itself, of the fake `MemoryJournal`."""

from collections.abc import Sequence
from typing import Protocol

from ...protocols.journal import (
    AnswerRow,
    Append,
    BlockRow,
    JobRow,
    JobsAsk,
    NoteRow,
    Recalled,
    SpecRow,
    SpentRow,
    StepRow,
    Swept,
)


class Journal(Protocol):
    """Appends, and reads what was appended. Whoever has read a row can be sure that it stays.

    Reads raise `JournalPaused` where the store can't be read for now, and `JournalError` where it can't be used at all.
    """

    async def append(self, rows: Append) -> None:
        """Returns when the rows are on disk; rows that are there already are passed over, jobs and values set anew.

        While the store can't be written it waits, and `paused` says why. Raises `JournalError` where it never can.
        """

    @property
    def paused(self) -> str:
        """Why nothing can be written for now, in one line; empty while it can."""

    async def jobs(self, ask: JobsAsk) -> list[JobRow]:
        """Jobs, the newest first."""

    async def spec(self, job: str) -> SpecRow | None:
        """What a job is; None where it is not known."""

    async def specs(self, jobs: Sequence[str]) -> list[SpecRow]:
        """What several jobs are, in any order; those that are not known are left out."""

    async def blocks(self, job: str, start: int = 0, *, data: bool = True) -> list[BlockRow]:
        """Blocks from number `start` on, in order: some, and at least one while there are more; without `data` all."""

    async def blocks_of(self, jobs: Sequence[str], most: int) -> list[BlockRow]:
        """All blocks of several jobs, in any order, without data; of each job's first one with it, up to `most` bytes.

        Jobs that are one small block each are read so in one go.
        """

    async def block(self, job: str, number: int) -> BlockRow | None:
        """One block."""

    async def answers(self, job: str, start: int = 0) -> list[AnswerRow]:
        """Answers from place `start` on, in order: some, and at least one while there are more."""

    async def notes(self, job: str) -> list[NoteRow]:
        """All notes, in order."""

    async def begun(self, job: str) -> list[int]:
        """Items of which steps are known."""

    async def steps(self, job: str, items: Sequence[int]) -> list[StepRow]:
        """All steps of these items."""

    async def recall(self, keys: Sequence[bytes]) -> list[Recalled | None]:
        """For each of the keys (see `ItemDone.keys`) the newest answer that has it."""

    async def values(self, prefix: str) -> dict[str, bytes]:
        """The values whose names begin so."""

    async def spent(self, day: int) -> list[SpentRow]:
        """What jobs count against the budgets of a day and the one before."""

    async def sweep(self, before: float, *, jobs: Sequence[str] = (), most: int = 0) -> Swept:
        """Forgets jobs that are over (done, failed, cancelled) and were last set before that time, and their children.

        These `jobs` go whenever they were set; at most `most` go where that is not 0. The store is compacted.
        """
