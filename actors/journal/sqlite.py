"""The Journal's store in one SQLite file of this user: write-ahead log, synced at each commit, one writing thread."""

import asyncio
import contextlib
import os
import re
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from itertools import chain
from pathlib import Path
from typing import Final, TypeVar

import apsw

from ...protocols.errors import JournalError, JournalPaused
from .database import weight
from .schema import APPLICATION, VERSION, migrations
from .writing import Row, Talk

T = TypeVar("T")

_BUSY_MS: Final = 500
"""A lock of another process is waited for so long; after that who appends is told, and tries again."""
_SIZES: Final = (128, 16, 4)
"""Rows an insert: few different ones, so that they stay prepared."""
_PAGE: Final = 8192
"""With pages of 4 KB a row of 0.8 KB leaves 15 % of each empty, with these 7 %."""


class SqliteDatabase:
    """See `understudy.actors.journal.database.Database`.

    Reads have a connection and a thread of their own: they see what was committed, and never wait for a writer.

    Args:
        path: of the file; made when missing, readable by its owner only.
        label: see `Database`.
    """

    def __init__(self, path: str, label: str = "") -> None:
        self.label = label or path
        self._path = path
        self._writer: apsw.Connection | None = None
        self._reader: apsw.Connection | None = None
        self._writing = ThreadPoolExecutor(1, thread_name_prefix="journal-writer")
        self._reading = ThreadPoolExecutor(1, thread_name_prefix="journal-reader")

    async def write(self, talk: Talk) -> None:
        """See `Database`."""
        await self._in(self._writing, lambda: self._write(talk))

    async def fetch(self, sql: str, values: Row = (), *, most: int = 0) -> list[Row]:
        """See `Database`."""
        return await self._in(self._reading, lambda: self._fetch(sql, values, most))

    async def size(self) -> int:
        """See `Database`: the file and its log."""
        return sum(_size(f"{self._path}{end}") for end in ("", "-wal"))

    async def compact(self) -> None:
        """See `Database`."""
        await self._in(self._writing, self._compact)

    async def close(self) -> None:
        """See `Database`."""
        await self._in(self._reading, self._close_reader)
        await self._in(self._writing, self._close_writer)
        self._reading.shutdown(wait=False)
        self._writing.shutdown(wait=False)

    async def _in(self, thread: ThreadPoolExecutor, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(thread, lambda: self._told(work))

    def _told(self, work: Callable[[], T]) -> T:
        """What has gone wrong, as an error of ours."""
        try:
            return work()
        except _PAUSES as error:
            raise JournalPaused(f"journal {self.label}: {_reason(error)}") from error
        except (apsw.NotADBError, apsw.CorruptError) as error:
            raise JournalError(f"journal {self.label} is damaged or no journal: move it away ({error})") from error
        except apsw.Error as error:
            raise JournalError(f"journal {self.label}: {type(error).__name__}: {error}") from error

    # In the writing thread --------------------------------------------------------------------------------------------

    def _write(self, talk: Talk) -> None:
        db = self._open_writer()
        with _transaction(db):
            rows: list[Row] = []
            with contextlib.suppress(StopIteration):
                sql, values = next(talk)
                while True:
                    rows = _run(db, sql, values)
                    sql, values = talk.send(rows)

    def _open_writer(self) -> apsw.Connection:
        if self._writer is None:
            Path(self._path).parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            with contextlib.suppress(FileExistsError):
                os.close(os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
            db = apsw.Connection(self._path)
            try:
                self._prepare(db)
            except BaseException:
                db.close()
                raise
            self._writer = db
        return self._writer

    def _prepare(self, db: apsw.Connection) -> None:
        db.set_busy_timeout(_BUSY_MS)
        if not db.pragma("page_count"):
            db.pragma("page_size", _PAGE)
            db.pragma("auto_vacuum", "INCREMENTAL")
        version = self._checked(db)
        db.pragma("journal_mode", "WAL")
        db.pragma("synchronous", "FULL")
        if version < VERSION:
            with _transaction(db):
                for sql in migrations("sqlite", self._checked(db)):
                    db.execute(sql)
                db.pragma("application_id", APPLICATION)
                db.pragma("user_version", VERSION)

    def _checked(self, db: apsw.Connection) -> int:
        """The file's version. Raises `JournalError` where it is not ours to use."""
        version, application = int(db.pragma("user_version")), int(db.pragma("application_id"))
        tables = db.execute("SELECT count(*) FROM sqlite_schema").fetchall()[0][0]
        if application != APPLICATION and (tables or version):
            raise JournalError(f"{self.label} is another program's file: give the journal one of its own")
        if version > VERSION:
            raise JournalError(
                f"journal {self.label} was written by a newer understudy (version {version}, this one knows {VERSION}):"
                " update understudy, or give another --journal"
            )
        return version

    def _compact(self) -> None:
        db = self._open_writer()
        for _ in db.execute("PRAGMA incremental_vacuum"):
            pass
        db.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)

    def _close_writer(self) -> None:
        db, self._writer = self._writer, None
        if db is not None:
            db.close()

    # In the reading thread --------------------------------------------------------------------------------------------

    def _fetch(self, sql: str, values: Row, most: int) -> list[Row]:
        if self._reader is None:
            self._writing.submit(self._open_writer).result()  # the tables have to be there
            self._reader = apsw.Connection(self._path, flags=apsw.SQLITE_OPEN_READONLY)
            self._reader.set_busy_timeout(_BUSY_MS)
        rows: list[Row] = []
        held = 0
        cursor = self._reader.execute(sql, values)
        try:
            for row in cursor:
                rows.append(row)
                held += weight(row) if most else 0
                if held > most:
                    break
        finally:
            cursor.close(force=True)  # an open query would keep the log from being reused
        return rows

    def _close_reader(self) -> None:
        db, self._reader = self._reader, None
        if db is not None:
            db.close()


def _run(db: apsw.Connection, sql: str, values: Sequence[Row]) -> list[Row]:
    """Runs a statement for many rows; inserts take many at once.

    The interpreter is given up at each step of SQLite, and got back from the event loop only after its switch interval:
    with a step a row a commit of 200 steps held the loop back by 10 ms in the 99th percentile, so by less than 3.
    """
    found: list[Row] = []
    at = 0
    for size in _SIZES if sql.startswith("INSERT") else ():
        while len(values) - at >= size:
            found += db.execute(_wide(sql, size), tuple(chain.from_iterable(values[at : at + size])))
            at += size
    return found + list(db.executemany(sql, values[at:]))


@lru_cache(maxsize=64)
def _wide(sql: str, size: int) -> str:
    """The insert of one row as one of so many: `VALUES (?, ?), (?, ?)`."""
    before, row, after = re.split(r"(?<=VALUES )(\([^)]*\))", sql, maxsplit=1)
    marks = f"({', '.join('?' * row.count('$'))})"
    return before + ", ".join([marks] * size) + after


@contextlib.contextmanager
def _transaction(db: apsw.Connection) -> Iterator[None]:
    """`BEGIN IMMEDIATE`: who can't write is told at once, not in the middle."""
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:  # some errors of the disk have rolled it back already
            db.execute("ROLLBACK")
        raise


_PAUSES: Final = (
    apsw.FullError,
    apsw.IOError,
    apsw.BusyError,
    apsw.LockedError,
    apsw.ReadOnlyError,
    apsw.CantOpenError,
    apsw.NoMemError,
    apsw.PermissionsError,
    apsw.ProtocolError,
    OSError,
)


def _reason(error: Exception) -> str:
    """What people can do about it."""
    if isinstance(error, apsw.FullError):
        return "the disk is full: make room; work goes on by itself"
    if isinstance(error, (apsw.BusyError, apsw.LockedError, apsw.ProtocolError)):
        return "another process holds the file locked: end that; work goes on by itself"
    if isinstance(error, (apsw.ReadOnlyError, apsw.CantOpenError, apsw.PermissionsError, PermissionError)):
        return f"it can't be opened for writing: mend its folder's permissions ({error})"
    return f"it can't be written or read ({error}): look at the disk; work goes on by itself"


def _size(path: str) -> int:
    try:
        return os.stat(path).st_size  # noqa: PTH116 - one call, by a text
    except OSError:
        return 0
