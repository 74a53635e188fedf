"""The Journal's store in a file: it is what the fake is, and says what is wrong with its file or disk."""

import asyncio
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import apsw
import pytest
from hypothesis import given, settings
from journal_world import agree, answer, answers_of, works

from understudy.actors.journal.querying import jobs_query
from understudy.actors.journal.schema import APPLICATION, MIGRATIONS, VERSION
from understudy.actors.journal.store import Store, open_store
from understudy.actors.journal.testing import MemoryJournal
from understudy.actors.journal.url import located
from understudy.actors.journal.writing import Talk
from understudy.protocols.errors import ConfigError, JournalError, JournalPaused
from understudy.protocols.journal import AnswerRow, Append, JobRow, JobsAsk, StepRow


async def opened(path: Path) -> Store:
    return await open_store(f"sqlite:{path}", {})


@settings(max_examples=60)
@given(work=works)
async def test_it_is_what_the_fake_is(work: list[object]) -> None:
    """Whatever is appended, asked and swept, the store answers as the fake does, also when it is opened anew."""
    with tempfile.TemporaryDirectory() as folder:
        store = await opened(Path(folder) / "journal.db")
        try:
            await agree(store, work)
        finally:
            await store.close()


async def test_what_was_appended_is_there_when_it_is_opened_anew(tmp_path: Path) -> None:
    """An append that has returned outlives the process."""
    store = await opened(tmp_path / "journal.db")
    rows = [answer("job", place) for place in range(50)]
    await store.write(rows)
    await store.close()
    again = await opened(tmp_path / "journal.db")
    assert await answers_of(again, "job") == [row.answers[0] for row in rows]
    await again.close()


async def test_the_file_is_its_owners_alone(tmp_path: Path) -> None:
    """The file and its folder can be read by nobody else."""
    store = await opened(tmp_path / "new" / "journal.db")
    assert (tmp_path / "new" / "journal.db").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "new").stat().st_mode & 0o777 == 0o700
    await store.close()


async def test_a_second_process_reads_what_the_first_writes(tmp_path: Path) -> None:
    """A command may read the file while the actor has it open."""
    first, second = await opened(tmp_path / "journal.db"), await opened(tmp_path / "journal.db")
    await first.append(answer("job", 0))
    assert len(await second.answers("job")) == 1
    await second.append(answer("job", 1))
    assert len(await first.answers("job")) == 2
    await first.close()
    await second.close()


async def test_a_file_of_another_program_is_refused(tmp_path: Path) -> None:
    """Nothing is written into somebody else's database."""
    path = tmp_path / "other.db"
    other = apsw.Connection(str(path))
    other.execute("CREATE TABLE theirs (x)")
    other.close()
    with pytest.raises(JournalError, match="another program's file") as raised:
        await opened(path)
    assert not isinstance(raised.value, JournalPaused)


async def test_what_is_no_database_is_refused(tmp_path: Path) -> None:
    """A text is no journal, and stays as it is."""
    path = tmp_path / "notes.txt"
    path.write_bytes(b"these are notes, not rows\n" * 100)
    with pytest.raises(JournalError, match="no journal"):
        await opened(path)
    assert path.read_bytes().startswith(b"these are notes")


async def test_a_newer_versions_file_is_refused(tmp_path: Path) -> None:
    """An older understudy does not guess what a newer one has written."""
    path = tmp_path / "journal.db"
    newer = apsw.Connection(str(path))
    newer.pragma("application_id", APPLICATION)
    newer.pragma("user_version", VERSION + 1)
    newer.close()
    with pytest.raises(JournalError, match="newer understudy"):
        await opened(path)


async def test_a_migration_is_applied_to_an_older_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file of an earlier version gets what it lacks, and keeps its rows."""
    store = await opened(tmp_path / "journal.db")
    await store.append(answer("job", 0))
    await store.close()
    added = ("CREATE TABLE later (x {int})",)
    monkeypatch.setattr("understudy.actors.journal.schema.MIGRATIONS", (*MIGRATIONS, added))
    monkeypatch.setattr("understudy.actors.journal.sqlite.VERSION", VERSION + 1)
    again = await opened(tmp_path / "journal.db")
    assert len(await again.answers("job")) == 1
    assert await again.database.fetch("SELECT count(*) FROM later") == [(0,)]
    await again.close()


HOLD = """
import sys, apsw
db = apsw.Connection(sys.argv[1])
db.execute("BEGIN EXCLUSIVE")
print("held", flush=True)
sys.stdin.read()
"""


async def test_a_file_that_another_process_has_locked(tmp_path: Path) -> None:
    """An append says what is wrong while another process holds the lock, and is written when that is gone."""
    path = tmp_path / "journal.db"
    store = await opened(path)
    command = (sys.executable, "-c", HOLD, str(path))
    pipe = asyncio.subprocess.PIPE
    holder = await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe)
    assert holder.stdout is not None
    await holder.stdout.readline()
    with pytest.raises(JournalPaused, match="another process holds the file locked"):
        await store.append(answer("job", 0))
    assert await store.answers("job") == []
    await holder.communicate(b"")
    await store.append(answer("job", 0))
    assert len(await store.answers("job")) == 1
    await store.close()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 4 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(folder)]
    if os.getuid() != 0 or subprocess.run(command, check=False, capture_output=True).returncode != 0:
        pytest.skip("a small file system can be mounted by root only")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


async def test_a_full_disk(small_disk: Path) -> None:
    """What does not fit is refused with the reason, what fitted stays, and it goes on when there is room."""
    filler = small_disk / "filler"
    filler.write_bytes(b"x" * 3_000_000)
    store = await opened(small_disk / "journal.db")
    written = 0

    async def fill() -> None:
        nonlocal written
        while True:
            await store.append(answer("job", written))
            written += 1

    with pytest.raises(JournalPaused, match="full"):
        await fill()
    assert written > 0
    assert len(await answers_of(store, "job")) == written
    filler.unlink()
    await store.append(answer("job", written))
    assert len(await answers_of(store, "job")) == written + 1
    await store.close()


async def test_it_grows_by_little_more_than_what_is_written(tmp_path: Path) -> None:
    """The file is at most twice as large as the results in it, of many jobs at once, with their contents' keys."""
    store = await opened(tmp_path / "journal.db")
    result, count = os.urandom(800), 0
    for place in range(100):
        rows = [answer(f"job-{job}", place).answers[0] for job in range(50)]
        keyed = [type(row)(row.job, row.place, False, place, result, (os.urandom(16),)) for row in rows]
        await store.append(Append(answers=tuple(keyed)))
        count += len(rows)
    await store.database.compact()
    assert await store.database.size() <= 2 * count * len(result)
    await store.close()


async def test_a_sweep_gives_the_room_back(tmp_path: Path) -> None:
    """What is over and old is gone with all its rows, and the file is smaller by that."""
    store = await opened(tmp_path / "journal.db")
    for job in ("old", "young"):
        await store.write([answer(job, place) for place in range(2500)])
        await store.append(Append(jobs=(JobRow(job, "done", updated=1.0 if job == "old" else 9.0),)))
    swept = await store.sweep(5.0)
    assert swept.jobs == 1
    assert swept.after < 0.6 * swept.before
    assert [row.id for row in await store.jobs(JobsAsk())] == ["young"]
    assert await store.answers("old") == []
    assert len(await answers_of(store, "young")) == 2500
    await store.append(answer("old", 0))  # its number is not another's
    assert len(await store.answers("old")) == 1
    await store.close()


async def test_a_sweep_that_breaks_off_leaves_no_number_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A job that was forgotten can be written again, also where the sweep failed after that."""
    store = await opened(tmp_path / "journal.db")
    jobs = tuple(JobRow(f"j{number:03}", "done", updated=1.0) for number in range(101))
    await store.append(Append(jobs=jobs))
    real, writes = store.database.write, 0

    async def breaks_at_the_second(talk: Talk) -> None:
        nonlocal writes
        writes += 1
        if writes == 2:
            raise JournalPaused("the disk is full")
        await real(talk)

    monkeypatch.setattr(store.database, "write", breaks_at_the_second)
    with pytest.raises(JournalPaused):
        await store.sweep(5.0)
    row = answer("j000", 0)
    await store.append(row)
    assert await store.answers("j000") == list(row.answers)
    await store.close()


async def test_a_step_told_twice_is_read_once(tmp_path: Path) -> None:
    """Who heard no answer tells a step again: the first counts."""
    store = await opened(tmp_path / "journal.db")
    await store.append(Append(steps=(StepRow("job", 1, 0, "x", b"h", b"first"),)))
    await store.append(Append(steps=(StepRow("job", 1, 0, "x", b"h", b"second"),)))
    assert [row.data for row in await store.steps("job", (1,))] == [b"first"]
    assert await store.begun("job") == [1]
    await store.close()


@pytest.mark.parametrize("count", [1, 3, 4, 15, 131, 1000])
async def test_many_rows_at_once_are_what_they_are_one_by_one(tmp_path: Path, count: int) -> None:
    """However many rows of a kind an append has, told once or twice, the store is what the fake is."""
    rows = Append(
        jobs=tuple(JobRow(f"j{number % 200}", "queued", created=float(number)) for number in range(count)),
        steps=tuple(StepRow("job", number, 0, "x", b"h", bytes((number % 7,))) for number in range(count)),
        answers=tuple(
            AnswerRow("job", number % 700, False, number, b"%d" % number, (b"k%d" % (number % 300),))
            for number in range(count)
        ),
    )
    store, fake = await opened(tmp_path / "journal.db"), MemoryJournal()
    for journal in (store, fake):
        await journal.append(Append(answers=rows.answers[-2:]))
        await journal.append(rows)
        await journal.append(rows)
    keys = [b"k%d" % number for number in range(300)]
    assert await store.recall(keys) == await fake.recall(keys)
    assert await answers_of(store, "job") == await answers_of(fake, "job")
    assert await store.steps("job", range(count)) == await fake.steps("job", range(count))
    assert await store.jobs(JobsAsk()) == await fake.jobs(JobsAsk())
    await store.close()


async def test_fifty_thousand_queued_jobs_are_looked_up_by_index(tmp_path: Path) -> None:
    """No question about jobs reads the whole table."""
    store = await opened(tmp_path / "journal.db")
    await store.append(Append(jobs=tuple(JobRow(f"j{number}", "queued", key=f"k{number}") for number in range(1000))))
    questions = (
        JobsAsk(states=("queued",)),
        JobsAsk(key="k7", tenant=""),
        JobsAsk(parent="a"),
        JobsAsk(ids=("j7",)),
        JobsAsk(states=("open", "running", "waiting"), owner="me"),
    )
    for ask in questions:
        sql, values = jobs_query(ask)
        plan = await store.database.fetch(f"EXPLAIN QUERY PLAN {sql}", values)
        assert not any(row[3].startswith("SCAN") and "INDEX" not in row[3] for row in plan), (ask, plan)
    assert [row.id for row in await store.jobs(JobsAsk(key="k7"))] == ["j7"]
    await store.close()


def test_no_url_means_the_users_own_file(tmp_path: Path) -> None:
    """The default is a file in the folder that the environment names, else below the user's cache."""
    assert located("", {"UNDERSTUDY_HOME": str(tmp_path)}).target == str(tmp_path / "journal.db")
    assert located("", {"XDG_CACHE_HOME": str(tmp_path)}).target == str(tmp_path / "understudy" / "journal.db")


@pytest.mark.parametrize("url", ["postgresql://me:${PW}@db:5432/jobs", "postgresql://me:${env:PW}@db:5432/jobs"])
def test_a_password_is_never_shown(url: str) -> None:
    """A store's name for people holds neither user nor password."""
    place = located(url, {"PW": "geheim"})
    assert "geheim" in place.target
    assert place.label == "postgresql://db:5432/jobs"


@pytest.mark.parametrize("url", ["mysql://x", "journal.db", "sqlite:", "postgresql://me:${NOT_SET}@db/jobs"])
def test_a_url_that_cant_be_used_says_so(url: str) -> None:
    """A wrong URL, or one whose variable is not set, is refused with what to write."""
    with pytest.raises(ConfigError):
        located(url, {})
