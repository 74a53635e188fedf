"""The Journal's store in PostgreSQL, on a real server: it is what the fake is, also when the server is restarted."""

import asyncio
import contextlib
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from journal_world import PostgresServer, agree, answer, answers_of, postgres_server, said, works

from understudy.actors.journal.store import Store, open_store
from understudy.protocols.errors import JournalError, JournalPaused
from understudy.protocols.journal import Append, JobRow, JobsAsk, StepRow

pytestmark = pytest.mark.sockets

PASSWORD = "geheim-7c1e9f04"


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    """One server for this file."""
    with postgres_server() as running:
        yield running


async def opened(server: PostgresServer) -> Store:
    return await open_store(server.url(), {"PG_PASSWORD": PASSWORD})


async def emptied(server: PostgresServer) -> Store:
    """A store with nothing in it."""
    store = await opened(server)
    tables = "name, job, spec, block, answer, content, note, step, spent, value"

    await store.database.write(said(f"TRUNCATE {tables}"))
    return store


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(work=works)
async def test_it_is_what_the_fake_is(server: PostgresServer, work: list[object]) -> None:
    """Whatever is appended, asked and swept, the store answers as the fake does."""
    store = await emptied(server)
    try:
        await agree(store, work)
    finally:
        await store.close()


async def test_what_was_appended_is_there_when_it_is_opened_anew(server: PostgresServer) -> None:
    """An append that has returned outlives the connection."""
    store = await emptied(server)
    await store.append(answer("job", 0))
    await store.close()
    again = await opened(server)
    assert len(await again.answers("job")) == 1
    assert await again.database.size() > 0
    await again.close()


async def test_two_open_a_new_database_at_once(server: PostgresServer) -> None:
    """The tables are made once."""
    first = await opened(server)
    await first.append(Append())

    await first.database.write(said("DROP SCHEMA understudy CASCADE"))
    await first.close()
    stores = await asyncio.gather(*(opened(server) for _ in range(4)))
    await asyncio.gather(*(store.append(answer("job", place)) for place, store in enumerate(stores)))
    assert len(await stores[0].answers("job")) == 4
    for store in stores:
        await store.close()


async def test_a_server_that_is_restarted_in_mid_appends(server: PostgresServer) -> None:
    """What was acknowledged is there after a crash of the server; what was not is told, and written when it is back."""
    store = await emptied(server)
    acknowledged: list[int] = []
    reasons: list[str] = []
    begun, paused = asyncio.Event(), asyncio.Event()

    async def append(place: int) -> bool:
        try:
            await store.append(answer("job", place))
        except JournalPaused as error:
            reasons.append(str(error))
            paused.set()
            await asyncio.sleep(0.01)
            return False
        acknowledged.append(place)
        return True

    async def work() -> None:
        for place in range(300):
            while not await append(place):
                pass
            if place == 50:
                begun.set()

    worker = asyncio.create_task(work())
    await begun.wait()
    await asyncio.to_thread(server.stop, "immediate")
    before = list(acknowledged)
    await paused.wait()
    with pytest.raises(JournalPaused, match="no connection"):
        await store.answers("job")
    await asyncio.to_thread(server.start)
    assert {row.place for row in await answers_of(store, "job")} >= set(before)
    await worker
    assert [row.place for row in await answers_of(store, "job")] == list(range(300))
    assert all("work goes on by itself" in reason and PASSWORD not in reason for reason in reasons)
    await store.close()


async def test_a_text_that_postgres_cant_hold_is_written_all_the_same(server: PostgresServer) -> None:
    """A NUL in a name must not stop a job for ever."""
    store = await emptied(server)
    await store.append(Append(jobs=(JobRow("job", "done", title="a\0b", tenant="x\0"),)))
    await store.append(Append(steps=(StepRow("job", 0, 0, "a\0b", b"", b"\0"),)))
    assert [row.title for row in await store.jobs(JobsAsk())] == ["a\0b"]
    assert len(await store.steps("job", (0,))) == 1
    await store.close()


async def test_a_row_that_can_never_be_written_is_an_error(server: PostgresServer) -> None:
    """A number that is too large is refused at once; nothing of that append is there."""
    store = await emptied(server)
    with pytest.raises(JournalError) as raised:
        await store.append(Append(jobs=(JobRow("job", "done"),), steps=(StepRow("job", 1 << 70, 0, "x", b"", b""),)))
    assert not isinstance(raised.value, JournalPaused)
    assert await store.jobs(JobsAsk()) == []
    await store.close()


async def test_a_server_that_is_not_there_is_no_reason_to_give_up(unused_tcp_port: int) -> None:
    """Nobody listens: that may change, so it is a pause; the text shows no password."""
    url = f"postgresql://me:${{PG_PASSWORD}}@127.0.0.1:{unused_tcp_port}/jobs"
    with pytest.raises(JournalPaused, match="no connection to PostgreSQL") as raised:
        await open_store(url, {"PG_PASSWORD": PASSWORD})
    assert PASSWORD not in str(raised.value)


async def test_a_database_that_does_not_exist_says_so(server: PostgresServer) -> None:
    """A wrong name is an error to mend, without the password."""
    with pytest.raises(JournalError, match="no_such") as raised:
        await open_store(server.url(database="no_such"), {"PG_PASSWORD": PASSWORD})
    assert PASSWORD not in str(raised.value)
    assert not isinstance(raised.value, JournalPaused)


async def test_a_login_that_is_refused_later_is_waited_for(server: PostgresServer) -> None:
    """Also by a successor; who is refused from the start has written it wrongly."""
    store = await opened(server)

    async def role(may: str) -> None:
        ends = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'guest'"
        for sql in (f"ALTER ROLE guest {may}", ends):
            await store.database.fetch(sql)

    await store.database.fetch("CREATE ROLE guest SUPERUSER LOGIN")
    url = server.url().replace("postgres:", "guest:", 1)
    guest = await open_store(url, {"PG_PASSWORD": PASSWORD})
    await role("NOLOGIN")
    with contextlib.suppress(JournalPaused):  # the connection that was broken off
        await guest.append(answer("login", 0))
    with pytest.raises(JournalPaused, match="refuses the login that it took before") as raised:
        await guest.append(answer("login", 0))
    with pytest.raises(JournalPaused, match="refuses the login"):
        await open_store(url, {"PG_PASSWORD": PASSWORD}, known=True)
    with pytest.raises(JournalError, match="refuses the login: mend") as wrong:
        await open_store(url, {"PG_PASSWORD": PASSWORD})
    assert not isinstance(wrong.value, JournalPaused)
    assert PASSWORD not in f"{raised.value}{wrong.value}"
    await role("LOGIN")
    await guest.append(answer("login", 0))
    assert len(await guest.answers("login")) == 1
    for one in (guest, store):
        await one.close()


async def test_a_newer_versions_database_is_refused(server: PostgresServer) -> None:
    """An older understudy does not guess what a newer one has written."""
    store = await emptied(server)

    await store.database.write(said("INSERT INTO version VALUES (99)"))
    with pytest.raises(JournalError, match="newer understudy"):
        await opened(server)
    await store.database.write(said("DELETE FROM version WHERE version = 99"))
    await store.close()


async def test_a_sweep_forgets(server: PostgresServer) -> None:
    """What is over and old is gone with all its rows."""
    store = await emptied(server)
    await store.write([answer("old", place) for place in range(2500)])
    await store.append(Append(jobs=(JobRow("old", "done", updated=1.0),)))
    swept = await store.sweep(5.0)
    assert (swept.jobs, await store.answers("old")) == (1, [])
    assert swept.after < swept.before
    await store.close()
