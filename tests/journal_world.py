"""What the Journal's tests share: random appends and questions, the comparison with the fake, a PostgreSQL server."""

import contextlib
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import strategies as st

from understudy.actors.journal.api import Journal
from understudy.actors.journal.testing import MemoryJournal
from understudy.actors.journal.writing import Talk
from understudy.protocols.journal import (
    AnswerRow,
    Append,
    BlockRow,
    JobRow,
    JobsAsk,
    NoteRow,
    SpecRow,
    SpentRow,
    StepRow,
    ValueRow,
)

JOBS = ("a", "b", "c", "ü")
KEYS = (b"", b"0" * 16, b"1" * 16, b"2" * 16)
STATES: Any = ("queued", "running", "done", "failed", "cancelled", "dead")
small = st.integers(0, 3)
job = st.sampled_from(JOBS)
some = st.binary(max_size=6)


def _rows(row: st.SearchStrategy[Any], most: int = 3) -> Any:
    return st.lists(row, max_size=most).map(tuple)


job_rows = st.builds(
    JobRow,
    id=job,
    state=st.sampled_from(STATES),
    owner=st.sampled_from(["", "one", "two"]),
    title=st.text(max_size=4),
    tenant=st.sampled_from(["", "t"]),
    parent=st.sampled_from(["", "", "a", "b"]),
    key=st.sampled_from(["", "k"]),
    priority=small,
    created=st.floats(0, 9),
    updated=st.floats(0, 9),
    cost=st.integers(0, 1 << 50),
)
appends = st.builds(
    Append,
    jobs=_rows(job_rows),
    specs=_rows(st.builds(SpecRow, job=job, spec=some, nodes=small, meta=some)),
    blocks=_rows(st.builds(BlockRow, job=job, number=small, count=small, data=some)),
    answers=_rows(
        st.builds(
            AnswerRow,
            job=job,
            place=small,
            node=st.booleans(),
            item=small,
            data=some,
            keys=st.lists(st.sampled_from(KEYS), max_size=3).map(tuple),
        ),
        6,
    ),
    notes=_rows(st.builds(NoteRow, job=job, place=small, after=small, kind=st.sampled_from(["sealed", "again"]))),
    steps=_rows(
        st.builds(StepRow, job=job, item=small, era=small, path=st.sampled_from("xy"), hash=some, data=some), 6
    ),
    spent=_rows(st.builds(SpentRow, day=small, tenant=st.sampled_from(["", "t"]), job=job, amount=small)),
    values=_rows(st.builds(ValueRow, name=st.sampled_from(["d/a", "d/b", "e", "dé"]), value=some)),
)
asks = st.builds(
    JobsAsk,
    ids=st.lists(job, max_size=2).map(tuple),
    states=st.lists(st.sampled_from(STATES), max_size=2).map(tuple),
    owner=st.sampled_from(["", "one"]),
    tenant=st.sampled_from([None, "", "t"]),
    key=st.sampled_from(["", "k"]),
    parent=st.sampled_from(["", "a"]),
    children=st.booleans(),
    before=st.sampled_from([0.0, 5.0]),
    limit=st.integers(1, 5),
)
sweeps = st.tuples(st.floats(0, 9), st.lists(job, max_size=2), small)
works = st.lists(st.one_of(appends, appends, asks, sweeps), max_size=12)


async def agree(store: Journal, work: Sequence[Any]) -> None:
    """The store does all that, and is in the end what the fake is."""
    fake = MemoryJournal()
    for one in work:
        if isinstance(one, Append):
            await store.append(one)
            await fake.append(one)
        elif isinstance(one, JobsAsk):
            assert await store.jobs(one) == await fake.jobs(one)
        else:
            before, jobs, most = one
            swept = await store.sweep(before, jobs=jobs, most=most)
            assert swept.jobs == (await fake.sweep(before, jobs=jobs, most=most)).jobs
    for name in (*JOBS, "unknown"):
        assert await _all(store, name) == await _all(fake, name)
    assert await store.recall(KEYS) == await fake.recall(KEYS)
    assert await store.values("d") == await fake.values("d")
    key = lambda row: (row.day, row.tenant, row.job)  # noqa: E731
    assert sorted(await store.spent(2), key=key) == sorted(await fake.spent(2), key=key)
    specs = await store.specs((*JOBS, "unknown"))
    assert sorted(specs, key=lambda row: row.job) == sorted(await fake.specs(JOBS), key=lambda row: row.job)
    place = lambda row: (row.job, row.number)  # noqa: E731
    blocks = await store.blocks_of((*JOBS, "unknown", JOBS[0]), 2)
    assert sorted(blocks, key=place) == sorted(await fake.blocks_of(JOBS, 2), key=place)


async def _all(journal: Journal, job: str) -> list[Any]:
    blocks: list[BlockRow] = []
    while rows := await journal.blocks(job, blocks[-1].number + 1 if blocks else 0):
        blocks += rows
    return [
        await journal.spec(job),
        blocks,
        await journal.blocks(job, 1, data=False),
        await journal.block(job, 2),
        await answers_of(journal, job),
        await journal.notes(job),
        await journal.begun(job),
        await journal.steps(job, (0, 2, 3)),
    ]


async def answers_of(journal: Journal, job: str) -> list[AnswerRow]:
    """All answers of a job, page by page."""
    answers: list[AnswerRow] = []
    while rows := await journal.answers(job, answers[-1].place + 1 if answers else 0):
        answers += rows
    return answers


def answer(job: str, place: int, size: int = 800) -> Append:
    """An answer of so many bytes, like no other."""
    return Append(answers=(AnswerRow(job, place, False, place, os.urandom(size)),))


def said(sql: str) -> Talk:
    """One statement, as a store is told it."""
    yield sql, [()]


class PostgresServer:
    """A server of this test run's own, on a free port of the loopback interface, as an unprivileged user."""

    def __init__(self, binaries: Path, folder: Path) -> None:
        self._binaries = binaries
        self._folder = folder
        self._user = pwd.getpwnam("postgres") if os.getuid() == 0 else None
        if self._user:
            os.chown(folder, self._user.pw_uid, self._user.pw_gid)
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = int(free.getsockname()[1])
        self._run("initdb", "-D", self._data, "-A", "trust", "-U", "postgres", "--no-sync")

    @property
    def _data(self) -> str:
        return str(self._folder / "data")

    def url(self, password: str = "${PG_PASSWORD}", database: str = "postgres") -> str:
        """Where it is."""
        return f"postgresql://postgres:{password}@127.0.0.1:{self.port}/{database}"

    def start(self) -> None:
        """It serves when this has returned."""
        options = f"-p {self.port} -h 127.0.0.1 -k ''"
        self._run("pg_ctl", "-D", self._data, "-w", "-o", options, "-l", str(self._folder / "log"), "start")

    def stop(self, mode: str = "fast") -> None:
        """Its connections are broken off; `immediate` is as good as a crash."""
        self._run("pg_ctl", "-D", self._data, "-w", "-m", mode, "stop")

    def _run(self, name: str, *arguments: str) -> None:
        command = [str(self._binaries / name), *arguments]
        if self._user:
            command = ["runuser", "-u", "postgres", "--", *command]
        subprocess.run(command, check=True, cwd="/", stdout=subprocess.DEVNULL, timeout=60)


@contextlib.contextmanager
def postgres_server() -> Iterator[PostgresServer]:
    """A running server; the test is skipped where PostgreSQL is not installed, which in CI it has to be."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    which = shutil.which("initdb")
    if not found and not which:
        assert not os.environ.get("CI"), "PostgreSQL is not installed: apt-get install postgresql"
        pytest.skip("PostgreSQL is not installed: apt-get install postgresql")
    binaries = found[-1].parent if found else Path(str(which)).parent
    folder = Path(tempfile.mkdtemp(prefix="understudy-postgres-"))
    try:
        server = PostgresServer(binaries, folder)
        server.start()
        try:
            yield server
        finally:
            with contextlib.suppress(subprocess.CalledProcessError):  # a test has stopped it
                server.stop("immediate")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
