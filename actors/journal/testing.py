"""A Journal in memory: the fake for tests, and for work that nobody wants to keep."""

import asyncio
from collections.abc import Sequence

import msgspec

from ...protocols.errors import JournalPaused
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

_OVER = ("done", "failed", "cancelled")
PAGE = 256


class MemoryJournal:
    """See `understudy.actors.journal.api.Journal`.

    Attributes:
        appended: every `Append` in the order it was written.
        hold: nothing is written while it is not set; what was appended meanwhile waits.
    """

    def __init__(self) -> None:
        self.appended: list[Append] = []
        self._pause = ""
        self.hold = asyncio.Event()
        self.hold.set()
        self._jobs: dict[str, JobRow] = {}
        self._specs: dict[str, SpecRow] = {}
        self._blocks: dict[str, dict[int, BlockRow]] = {}
        self._answers: dict[str, dict[int, AnswerRow]] = {}
        self._notes: dict[str, dict[int, NoteRow]] = {}
        self._steps: dict[str, dict[tuple[int, int, str], StepRow]] = {}
        self._spent: dict[tuple[int, str, str], SpentRow] = {}
        self._values: dict[str, bytes] = {}
        self._keys: dict[bytes, tuple[str, int, int]] = {}

    @property
    def paused(self) -> str:
        """See `Journal`."""
        return self._pause

    def stop(self, reason: str) -> None:
        """Nothing can be written or read, for this reason, until `go`."""
        self._pause = reason
        self.hold.clear()

    def go(self) -> None:
        """It can be again."""
        self._pause = ""
        self.hold.set()

    async def append(self, rows: Append) -> None:
        """See `Journal`."""
        await self.hold.wait()
        self.write(rows)

    def write(self, rows: Append) -> None:
        """Writes at once."""
        self.appended.append(rows)
        self._jobs.update({one.id: one for one in rows.jobs})
        for spec in rows.specs:
            self._specs.setdefault(spec.job, spec)
        for block in rows.blocks:
            self._blocks.setdefault(block.job, {}).setdefault(block.number, block)
        for note in rows.notes:
            self._notes.setdefault(note.job, {}).setdefault(note.place, note)
        for step in rows.steps:
            self._steps.setdefault(step.job, {}).setdefault((step.item, step.era, step.path), step)
        self._spent.update({(one.day, one.tenant, one.job): one for one in rows.spent})
        self._values.update({one.name: one.value for one in rows.values})
        self._values = {name: value for name, value in self._values.items() if value}
        for answer in rows.answers:
            self._answer(answer)

    def _answer(self, answer: AnswerRow) -> None:
        known = self._answers.setdefault(answer.job, {})
        if answer.place not in known:
            known[answer.place] = answer
            found = {key: (answer.job, answer.place, part) for part, key in enumerate(answer.keys) if key}
            self._keys.update(found)

    def _readable(self) -> None:
        if self._pause:
            raise JournalPaused(self._pause)

    async def jobs(self, ask: JobsAsk) -> list[JobRow]:
        """See `Journal`."""
        self._readable()
        found = [row for row in self._jobs.values() if _fits(row, ask)]
        return sorted(found, key=lambda row: (-row.created, row.id))[: ask.limit]

    async def spec(self, job: str) -> SpecRow | None:
        """See `Journal`."""
        self._readable()
        return self._specs.get(job)

    async def specs(self, jobs: Sequence[str]) -> list[SpecRow]:
        """See `Journal`."""
        self._readable()
        return [self._specs[job] for job in jobs if job in self._specs]

    async def blocks(self, job: str, start: int = 0, *, data: bool = True) -> list[BlockRow]:
        """See `Journal`."""
        self._readable()
        rows = [row for number, row in sorted(self._blocks.get(job, {}).items()) if number >= start]
        return rows[:2] if data else [BlockRow(row.job, row.number, row.count, b"") for row in rows]

    async def blocks_of(self, jobs: Sequence[str], most: int) -> list[BlockRow]:
        """See `Journal`."""
        self._readable()
        rows = [row for job in dict.fromkeys(jobs) for row in self._blocks.get(job, {}).values()]
        bare = [msgspec.structs.replace(row, data=b"") for row in rows]
        return [
            row if not row.number and len(row.data) <= most else without
            for row, without in zip(rows, bare, strict=True)
        ]

    async def block(self, job: str, number: int) -> BlockRow | None:
        """See `Journal`."""
        self._readable()
        return self._blocks.get(job, {}).get(number)

    async def answers(self, job: str, start: int = 0) -> list[AnswerRow]:
        """See `Journal`."""
        self._readable()
        return [row for place, row in sorted(self._answers.get(job, {}).items()) if place >= start][:PAGE]

    async def notes(self, job: str) -> list[NoteRow]:
        """See `Journal`."""
        self._readable()
        return [row for _, row in sorted(self._notes.get(job, {}).items())]

    async def begun(self, job: str) -> list[int]:
        """See `Journal`."""
        self._readable()
        return sorted({item for item, _, _ in self._steps.get(job, {})})

    async def steps(self, job: str, items: Sequence[int]) -> list[StepRow]:
        """See `Journal`."""
        self._readable()
        return [row for (item, _, _), row in sorted(self._steps.get(job, {}).items()) if item in items]

    async def recall(self, keys: Sequence[bytes]) -> list[Recalled | None]:
        """See `Journal`."""
        self._readable()
        return [self._recalled(key) for key in keys]

    def _recalled(self, key: bytes) -> Recalled | None:
        job, place, part = self._keys.get(key, ("", 0, 0))
        answer = self._answers.get(job, {}).get(place)
        return Recalled(answer.data, part) if answer else None

    async def values(self, prefix: str) -> dict[str, bytes]:
        """See `Journal`."""
        self._readable()
        return {name: value for name, value in self._values.items() if name.startswith(prefix)}

    async def spent(self, day: int) -> list[SpentRow]:
        """See `Journal`."""
        self._readable()
        return [row for row in self._spent.values() if row.day in (day, day - 1)]

    async def sweep(self, before: float, *, jobs: Sequence[str] = (), most: int = 0) -> Swept:
        """See `Journal`."""
        self._readable()
        old = [row for row in self._jobs.values() if row.state in _OVER and not row.parent and row.updated < before]
        named = [job for job in dict.fromkeys(jobs) if job in self._jobs]
        gone = [*named, *(row.id for row in sorted(old, key=lambda row: (row.updated, row.id)) if row.id not in named)]
        gone = gone[:most] if most else gone
        for parent in gone:  # and so their children's children
            gone += [row.id for row in self._jobs.values() if row.parent == parent and row.id not in gone]
        for table in (self._jobs, self._specs, self._blocks, self._answers, self._notes, self._steps):
            for job in gone:
                table.pop(job, None)
        self._keys = {key: found for key, found in self._keys.items() if found[0] not in gone}
        return Swept(len(gone), 0, 0)


def _fits(row: JobRow, ask: JobsAsk) -> bool:
    return (
        (not ask.ids or row.id in ask.ids)
        and (not ask.states or row.state in ask.states)
        and (not ask.owner or row.owner == ask.owner)
        and (ask.tenant is None or row.tenant == ask.tenant)
        and (not ask.key or row.key == ask.key)
        and (not ask.parent or row.parent == ask.parent)
        and (ask.children or bool(ask.parent) or bool(ask.ids) or not row.parent)
        and (not ask.before or row.created < ask.before)
    )
