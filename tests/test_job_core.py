"""One job's items whatever its Mappers do: each answered once, given to one, and paid within the budget."""

import dataclasses
import random

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from understudy.protocols.jobs import ApprovalAsk, JobSpec, Resumed, Verdict
from understudy.protocols.messages import ItemDone, Used
from understudy.supervisors.budgets import Spending
from understudy.supervisors.supervisor.core import AHEAD, JobCore
from understudy.supervisors.supervisor.outcome import Send


def spec(**fields: object) -> JobSpec:
    return JobSpec("j", "a job", "m:C", b"", b"", **fields)  # type: ignore[arg-type]


@dataclasses.dataclass
class World:
    """Mappers that die, answer late, and come again; and a ledger of what was truly paid."""

    core: JobCore
    rng: random.Random
    #: What each living Mapper has, and what dead ones may yet answer: (mapper, item).
    out: dict[str, list[int]] = dataclasses.field(default_factory=dict)
    ghosts: list[tuple[str, int]] = dataclasses.field(default_factory=list)
    answered: list[int] = dataclasses.field(default_factory=list)
    paid: int = 0
    #: How often each item has parked and gone on; what it may be given is the state of its last round.
    parked: dict[int, int] = dataclasses.field(default_factory=dict)
    freed: set[int] = dataclasses.field(default_factory=set)

    def carry(self, sends: list[Send]) -> None:
        firsts = self.core.book.firsts
        for send in sends:
            first = firsts[send.piece.block]
            items = list(range(first + send.piece.start, first + send.piece.stop))
            assert items, "an empty slice"
            for other in self.out.values():
                assert not set(items) & set(other), "an item is given to two living mappers"
            assert not set(items) & set(self.answered), "an answered item is given again"
            assert not set(items) & set(self.core.parking), "a parked item is given"
            states = {
                first + place: msgspec.msgpack.decode(state, type=Resumed) for place, state in send.piece.states.items()
            }
            assert {item: resumed.memo for item, resumed in states.items()} == {
                item: b"%d" % self.parked[item] for item in items if item in self.parked
            }
            assert send.piece.block not in self.freed, "a block is gone that is needed"
            self.out[send.mapper].extend(items)
            assert len(self.out[send.mapper]) <= AHEAD * self.core.spec.width

    def take(self, mapper: str, done: list[ItemDone]) -> None:
        new = self.core.answered(mapper, done)
        self.answered += [one.item for one in new]

    def answer(self, mapper: str, items: list[int]) -> None:
        done = []
        for item in items:
            price = self.rng.randint(0, self.core.spec.item_cost)
            self.paid += price
            done.append(ItemDone(item, b"x", attempts=1, cost=price, error=self.rng.choice(["", "", "bad"])))
        self.take(mapper, done)

    def park(self, mapper: str, item: int) -> None:
        """A Mapper parks an item, with the number of times that it has as its memo; a ghost's may be refused."""
        price = self.rng.randint(0, self.core.spec.item_cost)
        self.paid += price
        rounds, was = self.parked.get(item, 0) + 1, item in self.core.parking
        asks = msgspec.msgpack.encode([ApprovalAsk("a", "", ""), ApprovalAsk("b", "", "")])
        done = ItemDone(item, asks, attempts=1, cost=price, parked=b"%d" % rounds)
        assert self.core.answered(mapper, [done]) == []
        if item in self.core.parking and not was:
            self.parked[item] = rounds

    def approve(self) -> None:
        """A person answers one of the questions of the item that waits longest."""
        [waiting, *_] = self.core.parking.waiting("j", "", now=0.0)
        path = self.rng.choice(waiting.asks).path
        assert self.core.resume(waiting.item, path, Verdict(approved=True)) == (len(waiting.asks) == 1)
        assert self.core.state != "waiting" or len(self.core.parking)

    def go_on(self) -> None:
        self.carry(self.core.hand_out())
        refused, self.core.refused = self.core.refused, []
        self.take("", refused)
        self.check()
        self.core.validate()
        if self.core.spec.max_cost >= 0:
            assert self.paid <= self.core.spec.max_cost
        assert self.core.bill.cost == self.paid

    def check(self) -> None:
        """Blocks are freed exactly when all of theirs is done; the job waits exactly when only people can go on.

        It does not wait while more may be handed in: who does that leaves a job that waits.
        """
        self.freed |= set(self.core.freed)
        self.core.freed.clear()
        firsts = [*self.core.book.firsts, self.core.total]
        assert self.freed == {
            block for block in range(len(firsts) - 1) if all(self.core.book.marks[firsts[block] : firsts[block + 1]])
        }
        asks_people = (
            self.core.sealed and len(self.core.parking) and not self.core.book.waiting and not self.core.running
        )
        assert self.core.state == ("waiting" if asks_people else self.core.state)
        assert asks_people or self.core.state != "waiting"

    def up(self, mapper: str) -> None:
        self.out.setdefault(mapper, [])
        self.core.mapper_up(mapper)

    def step(self, act: str, mapper: str) -> None:
        has = self.out.get(mapper)
        if act == "block":
            if not self.core.sealed:
                self.core.add_block(self.rng.randint(0, 9))
        elif act == "up":
            self.up(mapper)
        elif act == "down" and has is not None:
            self.ghosts += [(mapper, item) for item in self.out.pop(mapper)]
            self.core.mapper_down(mapper)
        elif act == "answer" and has:
            some = self.rng.sample(has, self.rng.randint(1, len(has)))
            self.out[mapper] = [item for item in has if item not in some]
            self.answer(mapper, some)
        elif act == "park" and has:
            self.park(mapper, has.pop(self.rng.randrange(len(has))))
        elif act == "approve" and len(self.core.parking):
            self.approve()
        elif act.startswith("late") and self.ghosts:
            self.late(act)
        self.go_on()

    def late(self, act: str) -> None:
        """A Mapper that was thought dead answers an item, or parks it."""
        who, item = self.ghosts.pop(self.rng.randrange(len(self.ghosts)))
        if item not in self.out.get(who, []):
            if act == "late":
                self.answer(who, [item])
            else:
                self.park(who, item)


scripts = st.lists(
    st.tuples(
        st.sampled_from(
            [
                "block",
                "up",
                "up",
                "down",
                "answer",
                "answer",
                "answer",
                "park",
                "approve",
                "approve",
                "late",
                "late park",
            ]
        ),
        st.sampled_from("abc"),
    ),
    max_size=80,
)


@settings(max_examples=300)
@given(
    scripts,
    st.integers(1, 5),
    st.sampled_from([(-1, 0), (-1, 3), (20, 3), (100, 7), (2, 3), (50, 0)]),
    st.integers(0, 1 << 30),
)
def test_every_item_is_answered_exactly_once(
    script: list[tuple[str, str]], width: int, money: tuple[int, int], seed: int
) -> None:
    """Whoever dies, answers late or waits for people: nothing is lost or given twice, no budget is ever passed."""
    core = JobCore(spec(width=width, max_cost=money[0], item_cost=money[1]))
    world = World(core, random.Random(seed))
    for act, mapper in script:
        world.step(act, mapper)
    core.seal()
    world.up("a")
    for _ in range(500):
        if core.finished:
            break
        for mapper in list(world.out):
            world.step("answer", mapper)
        world.step("approve", "")
    assert core.finished
    assert world.freed == set(range(len(core.book.firsts)))
    assert sorted(world.answered) == list(range(core.total))
    assert core.done == core.total
    assert core.running == 0 or world.ghosts or any(world.out.values())


def test_a_budget_is_used_up_and_the_rest_is_named() -> None:
    """As many items are sent as can be paid at their highest price; what is over buys more; the rest fails by name."""
    core = JobCore(spec(width=8, max_cost=10, item_cost=3))
    core.mapper_up("a")
    core.add_block(10)
    core.seal()
    sent: list[int] = []
    while sends := core.hand_out():
        for send in sends:
            items = range(send.piece.start, send.piece.stop)
            sent += items
            core.answered("a", [ItemDone(item, attempts=1, cost=1) for item in items])
    assert len(sent) == 8, "the ninth could cost 3 where 2 are left"
    assert [done.item for done in core.refused] == [8, 9]
    assert core.refused[0].error == "not sent: the job's budget of $0.0000 is used up"
    core.answered("", core.refused)
    assert (core.finished, core.failed, core.bill.cost) == (True, 2, 8)


def test_money_for_merging_is_kept() -> None:
    """What merging may cost is not spent on items, and is freed as nodes are merged."""
    core = JobCore(spec(max_cost=10, item_cost=1, held_back=6), nodes=2)
    core.mapper_up("a")
    core.add_block(10)
    [send] = core.hand_out()
    assert send.piece.stop == 4
    core.node_answered(ItemDone(0, cost=1))
    [send] = core.hand_out()
    assert send.piece.stop - send.piece.start == 2


def test_what_a_dead_mapper_may_have_paid_stays_reserved() -> None:
    """Its calls may have been answered and billed: the budget counts them until it is known."""
    core = JobCore(spec(width=1, max_cost=9, item_cost=3))
    core.mapper_up("a")
    core.add_block(2)
    assert sum(send.piece.stop - send.piece.start for send in core.hand_out()) == 2
    core.mapper_down("a")
    core.mapper_up("b")
    core.add_block(1)
    assert [(send.piece.start, send.piece.stop) for send in core.hand_out()] == [(0, 1)], "6 of 9 may be paid already"
    assert [done.item for done in core.answered("a", [ItemDone(1, attempts=1, cost=1)])] == [1]
    assert core.hand_out() == []
    core.answered("a", [ItemDone(0, attempts=1, cost=1)])
    [send] = core.hand_out()
    assert (send.piece.block, send.piece.start, send.piece.stop) == (1, 0, 1)
    core.validate()


@pytest.mark.parametrize(("mappers", "most"), [(1, 4 * AHEAD), (3, 12 * AHEAD)])
def test_mappers_get_work_for_some_widths_ahead(mappers: int, most: int) -> None:
    """Nobody hoards, and nobody has to wait for a message."""
    core = JobCore(spec(width=4))
    for number in range(mappers):
        core.mapper_up(f"m{number}")
    core.add_block(1000)
    sends = core.hand_out()
    assert sum(send.piece.stop - send.piece.start for send in sends) == most
    assert len({send.mapper for send in sends}) == mappers
    assert core.hand_out() == []


def test_a_cancelled_job_hands_out_nothing() -> None:
    """After a cancel nothing is sent, also when a Mapper dies."""
    core = JobCore(spec())
    core.mapper_up("a")
    core.add_block(100)
    core.hand_out()
    core.cancel()
    core.mapper_down("a")
    core.mapper_up("b")
    assert core.hand_out() == []


def test_a_job_that_can_not_go_on_says_why() -> None:
    """A failed job hands out nothing more and names its cause."""
    core = JobCore(spec())
    core.mapper_up("a")
    core.add_block(100)
    core.fail("broken")
    assert (core.state, core.error, core.hand_out()) == ("failed", "broken", [])


def test_the_job_is_over_when_items_and_nodes_are() -> None:
    """Sealed, all items answered, all nodes merged; an empty job is over at once."""
    core = JobCore(spec(), nodes=1)
    core.mapper_up("a")
    core.add_block(1)
    core.hand_out()
    core.answered("a", [ItemDone(0)])
    over = [core.finished]
    core.seal()
    over.append(core.finished)
    core.node_answered(ItemDone(0))
    assert [*over, core.finished] == [False, False, True]
    empty = JobCore(spec())
    empty.seal()
    assert empty.finished


# Budgets of a day -----------------------------------------------------------------------------------------------------


def drained(core: JobCore) -> list[ItemDone]:
    """What a job refused to send, put through as its shell does."""
    refused, core.refused = core.refused, []
    return core.answered("", refused)


def sent(core: JobCore, *, day: int = 0) -> list[int]:
    """The items that are handed out now."""
    return [item for send in core.hand_out(day=day) for item in range(send.piece.start, send.piece.stop)]


def job(spending: Spending, **fields: object) -> JobCore:
    """A job of ten items with one Mapper."""
    core = JobCore(spec(**fields), spending=spending)
    core.mapper_up("a")
    core.add_block(10)
    core.seal()
    return core


def test_a_tenants_day_bounds_all_its_jobs() -> None:
    """What one job has spent is not there for the tenant's next one; another tenant, or another day, has its own."""
    spending = Spending()
    first = job(spending, tenant="t", tenant_day=10, item_cost=2)
    assert sent(first) == [0, 1, 2, 3, 4]
    first.answered("a", [ItemDone(item, attempts=1, cost=1) for item in range(5)])
    assert sent(first) == [5, 6]
    first.answered("a", [ItemDone(item, attempts=1, cost=2) for item in (5, 6)])
    assert sent(first) == []
    assert {one.error for one in drained(first)} == {
        "not sent: the day's budget of $0.0000 of tenant 't' is used up",
    }
    assert first.finished
    second = job(spending, tenant="t", tenant_day=10, item_cost=2)
    assert sent(second) == []
    assert len(drained(second)) == 10
    assert sent(job(spending, tenant="u", tenant_day=10, item_cost=2)) == [0, 1, 2, 3, 4]
    assert sent(job(spending, tenant="t", tenant_day=10, item_cost=2), day=1) == [0, 1, 2, 3, 4]


def test_everybodys_day_bounds_all_tenants() -> None:
    """The budget of the day is one for all, also for jobs that name no tenant."""
    spending = Spending()
    first = job(spending, tenant="t", day=10, item_cost=2)
    first.answered("a", [ItemDone(item, attempts=1, cost=2) for item in sent(first)])
    other = job(spending, day=10, item_cost=2)
    assert sent(other) == []
    assert {one.error for one in drained(other)} == {"not sent: the day's budget of $0.0000 is used up"}


def test_a_job_waits_for_what_another_has_reserved() -> None:
    """Money that is reserved for what is out may come back: nothing is refused until it is known to be spent."""
    spending = Spending()
    first = job(spending, tenant="t", tenant_day=20, item_cost=2)
    assert len(sent(first)) == 10
    second = job(spending, tenant="t", tenant_day=20, item_cost=2)
    assert sent(second) == []
    assert (second.starved, second.refused) == (True, [])
    first.answered("a", [ItemDone(0, attempts=1, cost=0)])
    assert sent(second) == [0]
    assert not second.starved


def test_what_is_out_when_a_job_is_stopped_counts_until_it_is_answered() -> None:
    """A stopped job's calls may have been paid: they count at their highest price, and at their own when it is told."""
    spending = Spending()
    first = job(spending, tenant="t", tenant_day=20, item_cost=2)
    sent(first)
    first.cancel()
    first.close()
    assert spending.spent("t", day=0) == 20
    first.after("a", [ItemDone(item, attempts=1, cost=1) for item in range(3)])
    assert spending.spent("t", day=0) == 17


def test_merging_is_held_back_from_the_day() -> None:
    """What merging may cost is counted at once, corrected node by node, and given back when the job is over."""
    spending = Spending()
    core = JobCore(spec(tenant_day=20, item_cost=2, held_back=10), 2, spending)
    core.mapper_up("a")
    core.add_block(10)
    assert len(sent(core)) == 5
    core.answered("a", [ItemDone(item, attempts=1, cost=0) for item in range(5)])
    core.node_answered(ItemDone(0, attempts=1, cost=1))
    assert spending.spent(None, day=0) == 6
    core.close()
    assert spending.spent(None, day=0) == 1


def test_what_costs_nothing_is_sent_on_an_empty_day() -> None:
    """A budget bounds only what has a price."""
    spending = Spending()
    first = job(spending, day=2, item_cost=2)
    first.answered("a", [ItemDone(item, attempts=1, cost=2) for item in sent(first)])
    assert len(sent(job(spending, day=2))) == 10


@settings(max_examples=200)
@given(
    st.lists(st.tuples(st.sampled_from(["0", "1", "2"]), scripts.map(lambda script: script[:6])), max_size=25),
    st.integers(0, 60),
    st.integers(0, 60),
    st.integers(0, 1 << 30),
)
def test_no_day_is_overspent_by_any_jobs(
    script: list[tuple[str, list[tuple[str, str]]]], own: int, everybody: int, seed: int
) -> None:
    """Three jobs of two tenants, with Mappers that die and answer late: neither budget is passed, and all jobs end."""
    spending, rng = Spending(), random.Random(seed)
    worlds = [
        World(
            JobCore(spec(width=2, tenant=tenant, tenant_day=own, day=everybody, item_cost=cost), spending=spending), rng
        )
        for tenant, cost in (("t", 3), ("t", 5), ("u", 4))
    ]
    for number, steps in script:
        for act, mapper in steps:
            worlds[int(number)].step(act, mapper)
        paid = [world.paid for world in worlds]
        assert paid[0] + paid[1] <= own
        assert sum(paid) <= everybody
    for world in worlds:
        world.core.seal()
        world.up("a")
    for _ in range(300):
        for world in worlds:
            for mapper in list(world.out):
                world.step("answer", mapper)
            world.step("approve", "")
            if world.core.finished:
                world.core.close()
    assert all(world.core.finished for world in worlds)
    assert sum(world.paid for world in worlds) <= everybody


def test_what_may_have_been_charged_counts_against_the_budgets() -> None:
    """An open cost, and the known part of a bill that is not known in full, are gone from the job's and the day's."""
    spending = Spending()
    core = JobCore(spec(width=1, max_cost=100, item_cost=10), spending=spending)
    core.add_block(3)
    core.mapper_up("m")
    core.hand_out(day=1)
    used = (Used("a/m", 1, 1, 1, 4, 30), Used("free/m", 1, 1, 1, -1))
    core.answered("m", [ItemDone(0, b"x", attempts=2, cost=-1, open_cost=30, used=used)])
    assert (core.bill.cost, core.bill.open_cost, core.bill.unpriced) == (4, 30, 1)
    assert spending.spent("", day=1) == 34
    core.node_answered(ItemDone(0, attempts=1, cost=5, open_cost=60))
    assert core._payable_by_job() == 0
