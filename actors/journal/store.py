"""A Journal's store, used in this process: what the Journal actor has, and commands that read without any cluster."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

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
from .database import PAGE_BYTES, Database, chunks, marks
from .querying import jobs_query
from .schema import JOB_ROWS, LAST, packed, place_of
from .sweeping import sweep
from .url import located
from .writing import Numbers, Row, keys_of, writing

_PAGE_ROWS = 4096
_JOB: msgspec.msgpack.Decoder[JobRow] = msgspec.msgpack.Decoder(JobRow)


class Store:
    """See `understudy.actors.journal.api.Journal`. Here `append` does not wait for a store that is paused: it raises.

    Args:
        database: where the rows are kept.
    """

    def __init__(self, database: Database) -> None:
        self.database = database
        self.numbers = Numbers()
        #: Rows and commits since it was opened, and the bytes of the rows' own contents.
        self.rows = self.commits = self.bytes = 0

    @property
    def paused(self) -> str:
        """Always empty: who appends is told by the exception."""
        return ""

    async def append(self, rows: Append) -> None:
        """See `Journal`. Raises `JournalPaused` where nothing can be written for now."""
        await self.write((rows,))

    async def write(self, batch: Sequence[Append]) -> None:
        """Writes all of them in one transaction. One at a time: the next is begun when this has returned."""
        try:
            await self.database.write(writing(batch, self.numbers))
        except BaseException:
            self.numbers.drop()
            raise
        self.numbers.keep()
        self.commits += 1
        self.rows += sum(_count(one) for one in batch)
        self.bytes += sum(one.weight for one in batch)

    async def close(self) -> None:
        """Ends what is open."""
        await self.database.close()

    # Jobs -------------------------------------------------------------------------------------------------------------

    async def jobs(self, ask: JobsAsk) -> list[JobRow]:
        """See `Journal`."""
        if not ask.ids:
            return [_JOB.decode(data) for (data,) in await self.database.fetch(*jobs_query(ask))]
        found: list[JobRow] = []
        for ids in chunks(ask.ids):
            query = jobs_query(msgspec.structs.replace(ask, ids=tuple(ids)))
            found += [_JOB.decode(data) for (data,) in await self.database.fetch(*query)]
        return sorted(found, key=lambda row: (-row.created, row.id))[: ask.limit]

    async def spec(self, job: str) -> SpecRow | None:
        """See `Journal`."""
        found = await self.specs((job,))
        return found[0] if found else None

    async def specs(self, jobs: Sequence[str]) -> list[SpecRow]:
        """See `Journal`."""
        found: list[SpecRow] = []
        for ids in chunks(list(dict.fromkeys(jobs))):
            sql = f"SELECT id, spec, nodes, meta FROM name JOIN spec USING (number) WHERE id IN ({marks(len(ids))})"  # noqa: S608 - only words and marks of our own
            found += [SpecRow(*row) for row in await self.database.fetch(sql, tuple(ids))]
        return found

    # Rows of a job ----------------------------------------------------------------------------------------------------

    async def _number(self, job: str) -> int | None:
        found = await self.database.fetch("SELECT number FROM name WHERE id = $1", (job,))
        return found[0][0] if found else None

    async def _rows(self, job: str, table: str, columns: str, start: int, *, most: int = PAGE_BYTES) -> list[Row]:
        number = await self._number(job)
        if number is None:
            return []
        sql = f"SELECT id, {columns} FROM {table} WHERE id BETWEEN $1 AND $2 ORDER BY id"  # noqa: S608 - only words and marks of our own
        sql += f" LIMIT {_PAGE_ROWS}" if most else ""
        return await self.database.fetch(sql, (packed(number, start), packed(number, LAST)), most=most)

    async def blocks(self, job: str, start: int = 0, *, data: bool = True) -> list[BlockRow]:
        """See `Journal`."""
        if data:
            rows = await self._rows(job, "block", "count, data", start)
            return [BlockRow(job, place_of(at), count, held) for at, count, held in rows]
        return [
            BlockRow(job, place_of(at), count, b"")
            for at, count in await self._rows(job, "block", "count", start, most=0)
        ]

    async def blocks_of(self, jobs: Sequence[str], most: int) -> list[BlockRow]:
        """See `Journal`."""
        found: list[BlockRow] = []
        data = f"CASE WHEN block.id = number * {JOB_ROWS} AND length(data) <= {int(most)} THEN data END"
        span = f"block.id >= number * {JOB_ROWS} AND block.id < (number + 1) * {JOB_ROWS}"
        for ids in chunks(list(dict.fromkeys(jobs))):
            sql = f"SELECT name.id, block.id, count, {data} FROM name JOIN block ON {span}"  # noqa: S608 - only words, marks and numbers of our own
            sql += f" WHERE name.id IN ({marks(len(ids))}) ORDER BY block.id"
            rows = await self.database.fetch(sql, tuple(ids))
            found += [BlockRow(job, place_of(at), count, held or b"") for job, at, count, held in rows]
        return found

    async def block(self, job: str, number: int) -> BlockRow | None:
        """See `Journal`."""
        job_number = await self._number(job)
        if job_number is None:
            return None
        sql = "SELECT count, data FROM block WHERE id = $1"
        found = await self.database.fetch(sql, (packed(job_number, number),))
        return BlockRow(job, number, *found[0]) if found else None

    async def answers(self, job: str, start: int = 0) -> list[AnswerRow]:
        """See `Journal`."""
        return [
            AnswerRow(job, place_of(at), item < 0, ~item if item < 0 else item, data, keys_of(keys))
            for at, item, data, keys in await self._rows(job, "answer", "item, data, keys", start)
        ]

    async def notes(self, job: str) -> list[NoteRow]:
        """See `Journal`."""
        rows = await self._rows(job, "note", "after, kind, data", 0, most=0)
        return [NoteRow(job, place_of(at), after, kind, data) for at, after, kind, data in rows]

    # Steps ------------------------------------------------------------------------------------------------------------

    async def begun(self, job: str) -> list[int]:
        """See `Journal`."""
        number = await self._number(job)
        if number is None:
            return []
        sql = "SELECT DISTINCT id FROM step WHERE id BETWEEN $1 AND $2 ORDER BY id"
        return [place_of(at) for (at,) in await self.database.fetch(sql, (packed(number, 0), packed(number, LAST)))]

    async def steps(self, job: str, items: Sequence[int]) -> list[StepRow]:
        """See `Journal`."""
        number = await self._number(job)
        if number is None:
            return []
        found: dict[tuple[int, int, str], StepRow] = {}
        for some in chunks(sorted(set(items))):
            sql = f"SELECT id, era, path, hash, data FROM step WHERE id IN ({marks(len(some))}) ORDER BY id, number"  # noqa: S608 - only words and marks of our own
            for at, era, path, given, data in await self.database.fetch(
                sql, tuple(packed(number, one) for one in some)
            ):
                found.setdefault((at, era, path), StepRow(job, place_of(at), era, path, given, data))
        return [row for _, row in sorted(found.items())]

    # Across jobs ------------------------------------------------------------------------------------------------------

    async def recall(self, keys: Sequence[bytes]) -> list[Recalled | None]:
        """See `Journal`."""
        known: dict[bytes, Recalled] = {}
        for some in chunks(list(dict.fromkeys(keys))):
            sql = "SELECT key, data, part FROM content JOIN answer ON answer.id = content.answer"
            sql += f" WHERE key IN ({marks(len(some))})"
            known.update({key: Recalled(data, part) for key, data, part in await self.database.fetch(sql, tuple(some))})
        return [known.get(key) for key in keys]

    async def values(self, prefix: str) -> dict[str, bytes]:
        """See `Journal`."""
        sql = "SELECT name, value FROM value WHERE name >= $1 AND name < $2 ORDER BY name"
        return dict(await self.database.fetch(sql, (prefix, f"{prefix}\U0010ffff")))

    async def spent(self, day: int) -> list[SpentRow]:
        """See `Journal`."""
        sql = "SELECT day, tenant, job, amount FROM spent WHERE day BETWEEN $1 AND $2 ORDER BY day, tenant, job"
        return [SpentRow(*row) for row in await self.database.fetch(sql, (day - 1, day))]

    async def sweep(self, before: float, *, jobs: Sequence[str] = (), most: int = 0) -> Swept:
        """See `Journal`."""
        return await sweep(self.database, self.numbers, before, jobs=jobs, most=most)


def _count(rows: Append) -> int:
    return sum(len(getattr(rows, field)) for field in Append.__struct_fields__)


async def open_store(url: str, environ: Mapping[str, str], *, known: bool = False) -> Store:
    """The store at `url`, with its tables; to be closed when it is done with.

    Args:
        url: see `understudy.actors.journal.url`.
        environ: the environment its references are looked up in.
        known: somebody has used it lately: a login that is refused is no mistake in `url`, and waited out.

    Raises:
        ConfigError: the URL can't be used, or a variable it refers to is not set.
        JournalPaused: it can't be reached for now.
        JournalError: it is no journal of ours, or of a newer version.
    """
    place = located(url, environ)
    store = Store(_database(place.kind, place.target, place.label, known=known))
    try:
        await store.values("")
    except BaseException:
        await store.close()
        raise
    return store


def _database(kind: str, target: str, label: str, *, known: bool) -> Any:
    if kind == "sqlite":
        from .sqlite import SqliteDatabase  # noqa: PLC0415 - only what is needed is loaded

        return SqliteDatabase(target, label)
    from .postgres import PostgresDatabase  # noqa: PLC0415 - as above

    return PostgresDatabase(target, label, known=known)
