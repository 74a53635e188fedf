"""The Supervisor's shell, with a post office that only remembers."""

import asyncio
from typing import Any

import msgspec
import pytest

from understudy.protocols.envelope import Envelope
from understudy.protocols.jobs import JobSpec, JobStatus, TenantStatus
from understudy.protocols.messages import ItemDone, Results, Slice
from understudy.supervisors.supervisor.actor import Supervisor


class Shelf:
    """A post office that delivers nothing and keeps everything."""

    def __init__(self) -> None:
        self.told: list[tuple[str, Any]] = []

    def tell(self, name: str, payload: Any, **_: Any) -> None:
        """Keeps what is said."""
        self.told.append((name, payload))


@pytest.fixture
def shelf() -> Shelf:
    """What the Supervisor has said."""
    return Shelf()


@pytest.fixture
async def supervisor(shelf: Shelf) -> Supervisor:
    """A Supervisor with one Mapper, outside any cluster."""
    one = Supervisor("supervisor-0", "test")
    one.post = shelf  # type: ignore[assignment]
    return one


async def begin(supervisor: Supervisor, job: str, **fields: Any) -> None:
    """A job of four items, two at once at the most in one slice."""
    spec = JobSpec(job, "a job", "m:C", b"", b"", width=4, **fields)
    await supervisor.open(msgspec.msgpack.encode(spec), "reducer-0", ["mapper-0"], [], 0)
    entry = supervisor._jobs[job]
    entry.core.add_block(4)
    await supervisor.seal(job)


def slices(shelf: Shelf, job: str) -> int:
    """How many items of a job were handed out."""
    return sum(it.stop - it.start for _, it in shelf.told if isinstance(it, Slice) and it.job == job)


def answer(supervisor: Supervisor, job: str, cost: int, items: range = range(4)) -> None:
    """A Mapper answers items of a job."""
    done = tuple(ItemDone(item, attempts=1, cost=cost) for item in items)
    supervisor._results(Envelope("", "mapper-0", Results(job, done)), Results(job, done))


async def test_a_job_that_waits_for_a_tenants_money_goes_on(supervisor: Supervisor, shelf: Shelf) -> None:
    """The second job of a tenant is fed as soon as the first has cost less than was reserved."""
    await begin(supervisor, "first", tenant="t", tenant_day=10, item_cost=2)
    await begin(supervisor, "second", tenant="t", tenant_day=10, item_cost=2)
    assert (slices(shelf, "first"), slices(shelf, "second")) == (4, 1)
    answer(supervisor, "second", 2, range(1))
    assert slices(shelf, "second") == 1
    assert supervisor._jobs["second"].core.starved
    answer(supervisor, "first", 0)
    await asyncio.sleep(0)
    assert slices(shelf, "second") == 4
    answer(supervisor, "second", 0)
    states = [entry.core.state for entry in supervisor._jobs.values()]
    assert states == ["done", "done"]


async def test_a_spent_day_fails_the_rest_by_name(supervisor: Supervisor, shelf: Shelf) -> None:
    """When nothing can come back, what waits is answered with the budget that is used up, and the job is over."""
    await begin(supervisor, "first", tenant="t", tenant_day=8, item_cost=2)
    answer(supervisor, "first", 2)
    await begin(supervisor, "second", tenant="t", tenant_day=8, item_cost=2)
    entry = supervisor._jobs["second"]
    assert (entry.core.state, entry.core.failed, slices(shelf, "second")) == ("done", 4, 0)
    assert {done.error for _, done in entry.log} == {"not sent: the day's budget of $0.0000 of tenant 't' is used up"}


async def test_a_stopped_job_frees_others(supervisor: Supervisor, shelf: Shelf) -> None:
    """What a stopped job had out counts until it is answered; a job that waited for it is told by name, not left."""
    await begin(supervisor, "first", tenant="t", tenant_day=8, item_cost=2)
    await begin(supervisor, "second", tenant="t", tenant_day=8, item_cost=2)
    assert supervisor._jobs["second"].core.starved
    await supervisor.cancel("first")
    await asyncio.sleep(0)
    assert supervisor._jobs["second"].core.failed == 4
    assert supervisor._spending.spent("t", day=supervisor._jobs["first"].core._day) == 8
    answer(supervisor, "first", 1)
    assert supervisor._spending.spent("t", day=supervisor._jobs["first"].core._day) == 4
    assert slices(shelf, "first") == 4


async def test_what_tenants_have_spent_today_is_told(supervisor: Supervisor) -> None:
    """The one that spent most is first; open costs are in it."""
    await begin(supervisor, "first", tenant="t", item_cost=2)
    answer(supervisor, "first", 2)
    await begin(supervisor, "second", tenant="u", item_cost=2)
    open_one = (ItemDone(0, attempts=1, cost=1, open_cost=50),)
    supervisor._results(Envelope("", "mapper-0", Results("second", open_one)), Results("second", open_one))
    told = msgspec.msgpack.decode(await supervisor.spending(), type=list[TenantStatus])
    assert [(one.name, one.spent) for one in told] == [("u", 51), ("t", 8)]
    jobs = msgspec.msgpack.decode(await supervisor.jobs(), type=list[JobStatus])
    assert {one.id: one.tenant for one in jobs} == {"first": "t", "second": "u"}


async def test_what_a_job_for_a_job_has_paid_stands_on_the_bill_also_when_nobody_hears_of_it(
    supervisor: Supervisor,
) -> None:
    """Its driver leaves after the first page: the rest is its parent's; what it was told it has counted itself."""
    await begin(supervisor, "parent")
    child = JobSpec("child", "a job", "m:C", b"", b"", width=4, keep=False, parent="parent")
    await supervisor.open_child(msgspec.msgpack.encode(child), "mapper-0", 0)
    supervisor._jobs["child"].core.add_block(4)
    await supervisor.seal("child")
    answer(supervisor, "child", 5, range(1))
    await supervisor.follow("child", 0)
    answer(supervisor, "child", 7, range(1, 3))
    await supervisor.cancel("child")
    assert supervisor._jobs["parent"].core.bill.cost == 14
    assert "child" not in supervisor._jobs
