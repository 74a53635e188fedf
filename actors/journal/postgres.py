"""The Journal's store in PostgreSQL, by URL: one connection that writes and one that reads, made anew when lost."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from typing import Any, Final

import asyncpg  # type: ignore[import-untyped]

from ...protocols.errors import JournalError, JournalPaused
from .database import weight
from .schema import VERSION, migrations
from .writing import Row, Talk

_CONNECT_S: Final = 5.0
_COMMAND_S: Final = 60.0
_LOCK: Final = 0x75736479
"""Only one of several that open a new database at once makes the tables."""
_PREFETCH: Final = 64
_SCHEMA: Final = "understudy"
_LOST: Final = (OSError, TimeoutError, asyncpg.InterfaceError, asyncpg.PostgresConnectionError)
_SERVER: Final = ("08", "25006", "40", "53", "55", "57", "58")
"""Classes of states in which the server can't for now: connection, read-only, rolled back, out of room, locked, …"""


class PostgresDatabase:
    """See `understudy.actors.journal.database.Database`. Its tables are in a schema of their own, `understudy`.

    Args:
        url: with the password; never shown.
        label: see `Database`.
        known: a predecessor was let in: who is refused now waits, since a person may mend that.
    """

    def __init__(self, url: str, label: str, *, known: bool = False) -> None:
        self.label = label
        self._known = known
        self._url = url
        self._connections: dict[str, asyncpg.Connection[Any]] = {}
        self._locks = {"write": asyncio.Lock(), "read": asyncio.Lock()}
        self._migrated = False

    async def write(self, talk: Talk) -> None:
        """See `Database`."""
        async with self._connection("write") as db, db.transaction():
            rows: list[Row] = []
            with contextlib.suppress(StopIteration):
                sql, values = next(talk)
                while True:
                    rows = await _many(db, sql, values)
                    sql, values = talk.send(rows)

    async def fetch(self, sql: str, values: Row = (), *, most: int = 0) -> list[Row]:
        """See `Database`."""
        async with self._connection("read") as db:
            if not most:
                return [tuple(row) for row in await db.fetch(sql, *values)]
            rows: list[Row] = []
            held = 0
            async with db.transaction(readonly=True):
                async for record in db.cursor(sql, *values, prefetch=_PREFETCH):
                    rows.append(tuple(record))
                    held += weight(rows[-1])
                    if held > most:
                        break
            return rows

    async def size(self) -> int:
        """See `Database`: our tables and their indexes."""
        sql = (
            "SELECT coalesce(sum(pg_total_relation_size(c.oid)), 0)::bigint FROM pg_class c"  # noqa: S608 - only words and marks of our own
            f" JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = '{_SCHEMA}' AND c.relkind = 'r'"
        )
        return int((await self.fetch(sql))[0][0])

    async def compact(self) -> None:
        """See `Database`: the end of each table is given back; what is free within is used again."""
        async with self._connection("write") as db:
            for table in ("block", "answer", "content", "note", "step", "job", "spec", "name"):
                await db.execute(f"VACUUM {table}", timeout=None)

    async def close(self) -> None:
        """See `Database`."""
        for use, lock in self._locks.items():
            async with lock:
                await self._drop(use)

    @contextlib.asynccontextmanager
    async def _connection(self, use: str) -> AsyncIterator["asyncpg.Connection[Any]"]:
        """The connection, for one at a time; whatever goes wrong in between is an error of ours."""
        async with self._locks[use]:
            try:
                yield await self._connected(use)
            except _LOST as error:
                await self._drop(use)
                raise JournalPaused(
                    f"journal {self.label}: no connection to PostgreSQL ({_line(error)}): start the server or mend the"
                    " network; work goes on by itself"
                ) from error
            except asyncpg.PostgresError as error:
                raise self._told(error) from error
            except asyncio.CancelledError:
                await self._drop(use)  # what was under way on it is unknown
                raise

    async def _connected(self, use: str) -> "asyncpg.Connection[Any]":
        db = self._connections.get(use)
        if db is None or db.is_closed():
            settings = {"search_path": _SCHEMA, "application_name": "understudy"}
            db = await asyncpg.connect(
                self._url, timeout=_CONNECT_S, command_timeout=_COMMAND_S, server_settings=settings
            )
            self._connections[use] = db
            if not self._migrated:
                await self._migrate(db)
                self._migrated = self._known = True
        return db

    async def _migrate(self, db: "asyncpg.Connection[Any]") -> None:
        async with db.transaction():
            await db.execute("SELECT pg_advisory_xact_lock($1)", _LOCK)
            await db.execute(f"CREATE SCHEMA IF NOT EXISTS {_SCHEMA}")
            await db.execute("CREATE TABLE IF NOT EXISTS version (version BIGINT NOT NULL)")
            have = int(await db.fetchval("SELECT coalesce(max(version), 0) FROM version"))
            if have > VERSION:
                raise JournalError(
                    f"journal {self.label} was written by a newer understudy (version {have}, this one knows"
                    f" {VERSION}): update understudy, or give another --journal"
                )
            for sql in migrations("postgresql", have):
                await db.execute(sql)
            if have < VERSION:
                await db.execute("INSERT INTO version VALUES ($1)", VERSION)

    def _told(self, error: asyncpg.PostgresError) -> JournalError:
        state = str(getattr(error, "sqlstate", "") or "")
        if state.startswith("53100"):
            return JournalPaused(f"journal {self.label}: the server's disk is full: make room; work goes on by itself")
        if state.startswith(_SERVER):
            return JournalPaused(f"journal {self.label}: {_line(error)}; work goes on by itself")
        if state.startswith("28") and self._known:
            return JournalPaused(
                f"journal {self.label}: the server refuses the login that it took before: mend user or password there;"
                " work goes on by itself"
            )
        if state.startswith("28"):
            return JournalError(f"journal {self.label}: the server refuses the login: mend user and password")
        return JournalError(f"journal {self.label}: {type(error).__name__}: {_line(error)}")

    async def _drop(self, use: str) -> None:
        db = self._connections.pop(use, None)
        if db is not None:
            with contextlib.suppress(*_LOST, asyncpg.PostgresError):
                await db.close(timeout=1.0)


async def _many(db: "asyncpg.Connection[Any]", sql: str, rows: Sequence[Row]) -> list[Row]:
    """Runs the statement for all rows in one round trip."""
    clean = [tuple(map(_clean, row)) for row in rows]
    if sql.startswith("SELECT") or "RETURNING" in sql:
        return [tuple(row) for row in await db.fetchmany(sql, clean)]
    await db.executemany(sql, clean)
    return []


def _clean(value: Any) -> Any:
    """PostgreSQL's texts hold no NUL."""
    return value.replace("\0", "\N{REPLACEMENT CHARACTER}") if isinstance(value, str) else value


def _line(error: BaseException) -> str:
    """Its first line. Errors of the driver name the host and the user, never the password."""
    return (str(error) or type(error).__name__).split("\n", 1)[0]
