"""The steps of one item that are finished: what a workflow asks before it runs a step, and tells after."""

from collections.abc import Iterable, Mapping

from ...protocols.journal import Append, StepRow
from .api import Journal


class ItemSteps:
    """See `understudy.actors.interpreter.StepLog`.

    Args:
        journal: where they are kept.
        job: its id.
        item: its number.
        era: see `StepLog`.
        again: see `StepLog`.
        rows: what the Journal knew of the item when it was begun.
    """

    def __init__(
        self, journal: Journal, job: str, item: int, *, era: int = 0, again: bool = False, rows: Iterable[StepRow] = ()
    ) -> None:
        self.era = era
        self.again = again
        self._journal = journal
        self._job = job
        self._item = item
        self._known: dict[tuple[str, bytes], StepRow] = {}
        for row in sorted(rows, key=lambda row: row.era):
            self._known[row.path, row.hash] = row

    def known(self, path: str, hash: bytes) -> StepRow | None:  # noqa: A002 - the row's own word
        """See `StepLog`."""
        return self._known.get((path, hash))

    async def keep(self, path: str, hash: bytes, data: bytes) -> None:  # noqa: A002 - the row's own word
        """See `StepLog`. Raises `JournalError` where it can never be written."""
        row = StepRow(self._job, self._item, self.era, path, hash, data)
        await self._journal.append(Append(steps=(row,)))


async def load_steps(journal: Journal, job: str, eras: Mapping[int, int]) -> dict[int, ItemSteps]:
    """The steps of items that were begun before, by item; `eras` holds each one's era. Raises as `Journal` does."""
    rows: dict[int, list[StepRow]] = {item: [] for item in eras}
    if eras:
        for row in await journal.steps(job, list(eras)):
            rows[row.item].append(row)
    return {item: ItemSteps(journal, job, item, era=era, again=True, rows=rows[item]) for item, era in eras.items()}
