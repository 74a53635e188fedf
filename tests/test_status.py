"""What `understudy status` prints."""

import io
import types

import msgspec
import pytest
from rich.console import Console

from understudy.cluster.status import show
from understudy.protocols.jobs import ChildStatus, JobStatus, QueueStatus, Status, TenantStatus
from understudy.protocols.messages import ProviderSnapshot
from understudy.supervisors.budgets import Purse, Spending
from understudy.supervisors.children import SUPERVISOR, core_children
from understudy.supervisors.director.actor import Director


def account(name: str, **more: int) -> ProviderSnapshot:
    """A busy account."""
    return ProviderSnapshot(
        account=name,
        state="closed",
        limit_requests=500,
        limit_tokens=2_000_000,
        limit_slots=-1,
        used_requests=480,
        used_tokens=1_900_000,
        leased_requests=10,
        leased_tokens=40_000,
        leased_slots=0,
        blocked_s=0.0,
        calls=12_000,
        failures=12,
        refused=3,
        p50_s=0.8,
        p95_s=12.5,
        cost=12_345_678_900_000,
        holders=3,
        messages=5,
        **{"waiting": 0, **more},
    )


def printed(status: Status) -> str:
    page = io.StringIO()
    show(status, "127.0.0.1:6379", Console(file=page, width=80))
    return page.getvalue()


CHILDREN = (ChildStatus("mapper-1", "mapper", "up", 4711, 0, 12.0),)


def test_quotas_tell_what_was_told_learned_and_used_by_others() -> None:
    """A second table holds what goes beyond the configured quota, for accounts that have it; all fits 80 columns."""
    learned = account("anthropic", learned_requests=410, waiting=1234, shares=12)
    told = account("openai", told_requests=500, told_tokens=200_000, others_requests=120, others_tokens=45_000)
    page = printed(Status(CHILDREN, (learned, told, account("local"))))
    lines = page.splitlines()
    assert max(map(len, lines)) <= 80
    at = next(place for place, line in enumerate(lines) if line.startswith("quota of"))
    assert lines[at + 1].startswith("anthropic")
    assert "410" in lines[at + 1]
    assert "1,234" in lines[at + 1]
    assert "500 req, 200k tok" in lines[at + 2]
    assert "120 req, 45,000 tok" in lines[at + 2]
    assert "local" not in "".join(lines[at:])


def test_nothing_is_told_of_quotas_that_are_as_configured() -> None:
    """The tables of quotas and tenants are there only where they say something."""
    page = printed(Status(CHILDREN, (account("local"),), tenants=(TenantStatus("", 5),)))
    assert "quota of" not in page
    assert "tenant" not in page


def test_tenants_are_shown_with_what_they_have_spent_today() -> None:
    """The day's spending as the Supervisor counts it, jobs without a tenant among them."""
    spending = Spending()
    for tenant, cost in (("search", 2_500_000_000_000), ("", 1_000_000_000)):
        Purse(spending, tenant).settle(0, cost, day=7)
    found = spending.tenants(day=7)
    assert found == {"search": 2_500_000_000_000, "": 1_000_000_000}
    assert spending.tenants(day=8) == {}
    jobs = (JobStatus("digest-1", "d", "running", 10, 5, 0, 5, 3.0, tenant="search"),)
    page = printed(Status(CHILDREN, (), jobs, tuple(TenantStatus(name, spent) for name, spent in found.items())))
    assert "$2.50" in page
    assert "(none)" in page
    assert max(map(len, page.splitlines())) <= 80


def test_jobs_that_wait_and_jobs_that_work_for_others_are_told_apart() -> None:
    """How many items wait for people stands beside the state; a child stands below the job that it works for."""
    jobs = (
        JobStatus("flow-1", "f", "waiting", 10, 5, 0, 5, 3.0, parked=2),
        JobStatus("flow-2", "f", "running", 10, 5, 0, 5, 3.0),
        JobStatus("flow-1.7", "f", "running", 10, 5, 0, 5, 3.0, parent="flow-1"),
    )
    lines = printed(Status(CHILDREN, (), jobs)).splitlines()
    at = next(place for place, line in enumerate(lines) if line.startswith("job "))
    assert lines[at + 1].startswith("flow-1 ")
    assert "waiting (2 parked)" in lines[at + 1]
    assert lines[at + 2].startswith("  flow-1.7 ")
    assert lines[at + 3].startswith("flow-2 ")


class Method:
    """An actor's method, called through a handle."""

    def __init__(self, answer: object) -> None:
        self.answer = answer

    async def remote(self) -> bytes:
        if isinstance(self.answer, Exception):
            raise self.answer
        return msgspec.msgpack.encode(self.answer)


@pytest.mark.parametrize("failing", [False, True])
async def test_the_director_asks_its_supervisor(failing: bool) -> None:
    """Jobs and what tenants have spent stand in the status; a Supervisor that does not answer leaves them out."""
    spawner = types.SimpleNamespace(wake=lambda: False)
    director = Director("director", "test", spawner=spawner, fingerprint="x")
    list(director._tree.ensure(core_children(1), now=0.0))
    director._tree.up(SUPERVISOR, 1, now=0.0)
    tenants: object = RuntimeError("gone") if failing else [TenantStatus("search", 7)]
    jobs = [JobStatus("j", "a job", "done", 1, 1, 0, 7, 1.0)]
    director._handles[SUPERVISOR] = types.SimpleNamespace(spending=Method(tenants), jobs=Method(jobs))
    found = msgspec.msgpack.decode(await director.status(), type=Status)
    assert found.jobs == tuple(jobs)
    assert found.tenants == (() if failing else (TenantStatus("search", 7),))


def test_the_queue_and_the_journal_are_shown_where_there_is_something_to_say() -> None:
    """Jobs that wait by priority, dead letters, the journal's URL with its references, and why all work waits."""
    assert "queue" not in printed(Status(CHILDREN))
    queue = QueueStatus({0: 3, 9: 40_000}, delayed=2, running=64, dead=1, oldest_s=75.0)
    url = "postgresql://me:${PASSWORD}@db/journal"
    page = printed(Status(CHILDREN, queue=queue, journal=url, journal_paused="journal: the disk is full"))
    assert "all work waits: journal: the disk is full" in page
    assert url in page
    [line] = [line for line in page.splitlines() if line.startswith("p0: 3, p9: 40,000")]
    assert [word for word in ("40,003", "2", "64", "1") if word not in line.split()] == []
    assert max(map(len, page.splitlines())) <= 80
