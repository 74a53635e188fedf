"""What is over is forgotten: `gc`. In small transactions, so that appends go on in between."""

from collections.abc import Mapping, Sequence
from typing import Final

from ...protocols.journal import Swept
from .database import Database, chunks, marks
from .schema import LAST, packed
from .writing import Numbers, Row, Talk, keys_of

_PACKED: Final = ("block", "answer", "note", "step")
_BATCH: Final = 2000
"""Rows a transaction: some milliseconds."""

_OVER = "state IN ('done', 'failed', 'cancelled') AND parent = '' AND updated < $1"


async def sweep(
    database: Database, numbers: Numbers, before: float, *, jobs: Sequence[str] = (), most: int = 0
) -> Swept:
    """See `Journal.sweep`."""
    size = await database.size()
    gone = await _chosen(database, before, jobs, most)
    gone.update(await _children(database, list(gone)))
    for some in chunks(list(gone.items()), 100):
        for _, number in some:
            await _empty(database, number)
        await database.write(_forget(dict(some), numbers))
    await database.compact()
    return Swept(len(gone), size, await database.size())


async def _chosen(database: Database, before: float, jobs: Sequence[str], most: int) -> dict[str, int]:
    """Those that are named, then those that are over, the oldest first."""
    named: dict[str, int] = {}
    for some in chunks(list(dict.fromkeys(jobs))):
        sql = f"SELECT job.id, number FROM name JOIN job USING (number) WHERE name.id IN ({marks(len(some))})"  # noqa: S608 - only marks of our own
        named.update(dict[str, int](await database.fetch(sql, tuple(some))))
    over = await database.fetch(f"SELECT id, number FROM job WHERE {_OVER} ORDER BY updated, id", (before,))  # noqa: S608 - a constant
    chosen = {job: named[job] for job in jobs if job in named} | dict[str, int](over)
    return dict(list(chosen.items())[:most]) if most else chosen


async def _children(database: Database, parents: Sequence[str]) -> dict[str, int]:
    """Their children, and the children's own."""
    known: dict[str, int] = {}
    while parents:
        found: list[Row] = []
        for some in chunks(parents):
            sql = f"SELECT id, number FROM job WHERE parent IN ({marks(len(some))}) AND parent <> ''"  # noqa: S608 - only words and marks of our own
            found += await database.fetch(sql, tuple(some))
        parents = [id_ for id_, _ in found if id_ not in known]
        known.update(dict[str, int](found))
    return known


async def _empty(database: Database, number: int) -> None:
    """The job's rows go, a batch a transaction."""
    whole = (packed(number, 0), packed(number, LAST))
    for table in _PACKED:
        column = "keys" if table == "answer" else "NULL"
        sql = f"SELECT id, {column} FROM {table} WHERE id BETWEEN $1 AND $2 ORDER BY id LIMIT {_BATCH}"  # noqa: S608 - our own words
        while rows := await database.fetch(sql, whole):
            await database.write(_delete(table, rows))


def _delete(table: str, rows: Sequence[Row]) -> Talk:
    contents = [(key, at) for at, keys in rows for key in keys_of(keys) if key]
    if contents:  # a newer answer with that content stays known
        yield "DELETE FROM content WHERE key = $1 AND answer = $2", contents
    yield f"DELETE FROM {table} WHERE id BETWEEN $1 AND $2", [(rows[0][0], rows[-1][0])]  # noqa: S608 - our own word


def _forget(jobs: Mapping[str, int], numbers: Numbers) -> Talk:
    rows = [(number,) for number in jobs.values()]
    yield "DELETE FROM spec WHERE number = $1", rows
    yield "DELETE FROM job WHERE number = $1", rows
    yield "DELETE FROM name WHERE number = $1", rows
    # Within the transaction: an append that is written next, or after a sweep that broke off later, must not take a
    # number that no name has any more. Where the transaction fails, they are only looked up again.
    numbers.forget(jobs)
