"""Runs that wait for people, judged by the provider's ledger: what was asked before is never asked again."""

from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from flow_functions import CALLS
from flow_strategies import APPROVE, value
from flow_tools import DEAD, Bench, Ran, Running, answered, call, chain, function, says, simulator_settings

from understudy.cluster.simulator import SimulatorProcess
from understudy.protocols.jobs import ApprovalAsk, Verdict
from understudy.protocols.workflow.spec import item

pytestmark = pytest.mark.sockets


@pytest.fixture(scope="module")
def bench() -> Iterator[Bench]:
    """A simulator."""
    with SimulatorProcess(simulator_settings()) as sim:
        yield Bench(sim)


@pytest.fixture
def book(request: pytest.FixtureRequest) -> str:
    """Where the functions of a test note that they were called."""
    name = str(request.node.name)
    CALLS[name].clear()
    return name


def yes(_: ApprovalAsk) -> Verdict:
    """Whatever it is."""
    return Verdict(approved=True, by="somebody")


async def people(bench: Bench, node: Any, given: Any = "x", say: Any = yes, **flow: Any) -> tuple[Ran, int]:
    """A run whose people answer; also how often it waited."""
    async with Running(bench, node, **flow) as one:
        done, rounds = await answered(one, given, say)
        return await bench.ran(one, done, 0.0), rounds


async def test_ten_approvals_one_after_the_other(bench: Bench, book: str) -> None:
    """After ten waits each call was made once, by the ledger, and each function was called once."""
    steps = [chain(call("instant"), function("note", book=book, what=number), APPROVE) for number in range(10)]
    ran, rounds = await people(bench, chain(*steps))
    assert (ran.done.error, rounds) == ("", 10)
    assert ran.asked == ["instant"] * 10
    assert CALLS[book] == list(range(10))
    assert ran.value == 9


async def test_approvals_side_by_side(bench: Bench, book: str) -> None:
    """Branches and items that wait are asked about together; those that are done are not done again."""
    branch = chain(call("instant", "{{ item }}"), function("note", book=book, what="{{ item }}"), APPROVE)
    each = {"kind": "parallel", "over": "input", "each": branch, "concurrency": 2}
    ran, rounds = await people(bench, chain(each, APPROVE, call("quick", "{{ previous }}")), list("abcde"))
    assert rounds == 2
    assert ran.asked == ["instant"] * 5 + ["quick"]
    assert sorted(CALLS[book]) == list("abcde")


async def test_what_used_to_be_on_the_bill_is_not_told_again(bench: Bench) -> None:
    """Each part of a run names the cost since it went on: together they are what the provider charged."""
    node = chain(says("instant", "a"), APPROVE, says("instant", "bb"), APPROVE, says("instant", "ccc"))
    async with Running(bench, node) as one:
        costs = []
        done = await one.flow.map(0, item("x"), one.stage.caller)
        costs.append(done.cost)
        while done.parked:
            asks = msgspec.msgpack.decode(done.data, type=list[ApprovalAsk])
            state = msgspec.msgpack.encode((done.parked, {ask.path: yes(ask) for ask in asks}))
            done = await one.flow.resume(0, item("x"), one.stage.caller, state)
            costs.append(done.cost)
        ran = await bench.ran(one, done, 0.0)
    assert len(costs) == 3
    assert sum(costs) == ran.cost
    assert all(costs)


async def test_a_failure_before_the_wait_is_not_tried_again(bench: Bench, book: str) -> None:
    """Nor is what stood in for it run twice, nor what was undone."""
    undo = {**value("paid"), "undo": function("note", book=book, what="undone")}
    broken = {
        **call(DEAD),
        "on_error": {"retries": 1, "backoff_s": 0, "then": "alternative", "alternative": call("instant")},
    }
    saga = chain(undo, {**call(DEAD), "on_error": "compensate"}, on_error="skip")
    ran, rounds = await people(bench, chain(broken, saga, APPROVE, value("end")))
    assert (ran.value, rounds) == ("end", 1)
    assert [record.model for record in ran.records] == [DEAD, DEAD, "instant", DEAD]
    assert CALLS[book] == ["undone"]
    assert ran.done.degraded


async def test_what_was_done_before_the_wait_is_undone_after_it(bench: Bench, book: str) -> None:
    """In reverse order and once, also what was done in chains, branches and maps that are over."""

    def paid(name: str) -> Any:
        return {**value(name), "undo": function("note", book=book, what="{{ it }}")}

    done = {"kind": "parallel", "branches": {"a": chain(paid("2"), paid("3"))}}
    mapped = {"kind": "map_reduce", "over": "[1]", "map": paid("4"), "reduce": value("r")}
    node = chain(paid("1"), done, mapped, APPROVE, paid("5"), APPROVE, {**call(DEAD), "on_error": "compensate"})
    ran, rounds = await people(bench, node)
    assert rounds == 2
    assert DEAD in ran.done.error
    assert CALLS[book] == ["5", "4", "3", "2", "1"]


async def test_a_rejection_is_a_failure_and_is_undone(bench: Bench, book: str) -> None:
    """With the person's note; what was paid is paid back."""
    paid = {**says("instant", "paid"), "undo": function("note", book=book, what="{{ it }}")}
    node = chain(paid, {**APPROVE, "on_error": "compensate"}, call("instant"))
    ran, _ = await people(bench, node, say=lambda _: Verdict(approved=False, note="too dear", by="ann"))
    assert ran.done.error == "rejected by ann: too dear"
    assert CALLS[book] == ["paid"]
    assert ran.asked == ["instant"]


async def test_what_a_person_made_of_it_goes_on(bench: Bench) -> None:
    """An edited value is the step's output; where editing is not allowed, it is not."""
    edits = lambda _: Verdict(approved=True, value=b'"mine"')  # noqa: E731 - a word is enough for it
    ran, _ = await people(bench, chain(says("instant", "a"), {**APPROVE, "edit": True}), say=edits)
    assert ran.value == "mine"
    ran, _ = await people(bench, chain(says("instant", "a"), {**APPROVE, "edit": False}), say=edits)
    assert ran.value == "a"


async def test_a_budget_is_kept_over_a_wait(bench: Bench) -> None:
    """What was spent before people were asked is spent: the budget does not begin anew."""
    steps = chain(call("instant"), call("instant"), APPROVE, call("instant"))
    ran, rounds = await people(bench, {"kind": "budget", "max_calls": 2, "node": steps})
    assert rounds == 1
    assert ran.asked == ["instant"] * 2
    assert "the budget at run of 2 calls is used up" in ran.done.error


async def test_what_was_said_of_a_run_stays_said(bench: Bench) -> None:
    """That something stood in, that a person should look at it, and how steps ended is still known after a wait."""
    skipped = {**call(DEAD), "id": "broken", "on_error": "skip"}
    votes = {"kind": "consensus", "voters": {"a": says("instant", "a"), "b": says("instant", "b")}}
    ran, _ = await people(bench, chain(skipped, votes, APPROVE, value("{{ steps.broken.state }}")))
    assert ran.value == "skipped"
    assert ran.done.degraded
    assert ran.result.review


@pytest.mark.parametrize("variant", ["reduce", "collapse", "tree"])
async def test_nothing_is_merged_without_what_is_waited_for(bench: Bench, variant: str) -> None:
    """A chunk that waits for people is in the answer when they have answered; merges of others are not made twice."""
    chunks = [{"name": f"{'ab'[number // 4]}/{number}", "text": "w " * 100} for number in range(8)]
    mapped = chain(
        value("{{ chunk.name }} {{ chunk.text }}"),
        {**APPROVE, "when": "chunk.name.endswith('5')"},
        value("{{ chunk.name }} {{ chunk.text }}"),
    )
    merge = chain(
        call("instant", "{{ parts }}"),
        value("{{ parts | map(attribute='value') | join(' ') | replace('w', '') | trim }}"),
    )
    node = {"kind": "map_reduce", "variant": variant, "map": mapped, "reduce": merge, "budget": 256}
    ran, rounds = await people(bench, node, chunks)
    assert rounds == 1
    [one] = ran.result.coverage
    assert (one.covered, one.missing) == (((0, 8),), ())
    assert sorted(str(ran.value).split()) == sorted(chunk["name"] for chunk in chunks)
    assert ran.asked == ["instant"] * one.merges


@pytest.mark.parametrize("variant", ["reduce", "tree"])
async def test_people_may_look_at_merges(bench: Bench, variant: str) -> None:
    """Each merge waits for them; those above wait for those below, and none is made twice."""
    chunks = [{"name": f"{'ab'[number // 2]}/{number}", "text": "w " * 100} for number in range(4)]
    merge = chain(
        call("instant", "{{ parts }}"), {**APPROVE, "value": "{{ parts | map(attribute='value') | join(' ') }}"}
    )
    node = {
        "kind": "map_reduce",
        "variant": variant,
        "map": value("{{ chunk.name }} {{ chunk.text }}"),
        "reduce": merge,
        "budget": 256,
    }
    ran, rounds = await people(bench, node, chunks)
    [one] = ran.result.coverage
    assert rounds >= 2
    assert (one.covered, one.missing) == (((0, 4),), ())
    assert ran.asked == ["instant"] * one.merges


async def test_a_budget_that_is_waited_for_is_not_lost(bench: Bench) -> None:
    """Two budgets in one another, each with its own books, over several waits."""
    inner = {
        "kind": "budget",
        "max_calls": 1,
        "node": chain(call("instant"), APPROVE, {**call("instant"), "on_error": "skip"}),
    }
    node = {
        "kind": "budget",
        "max_calls": 2,
        "node": chain(inner, call("instant"), APPROVE, {**call("instant"), "on_error": "skip"}, value("end")),
    }
    ran, rounds = await people(bench, node)
    assert (ran.value, rounds) == ("end", 2)
    assert ran.asked == ["instant"] * 2


async def test_time_that_was_used_before_a_wait_is_used(bench: Bench) -> None:
    """A step's time, and a run's, is that of its parts together; what people take is not counted."""
    steps = chain(call("quick"), {**APPROVE}, call("middling"))
    ran, rounds = await people(bench, {"kind": "timeout", "seconds": 0.45, "node": steps})
    assert (ran.done.error, rounds) == ("not done within 0.45 s", 1)
    ran, rounds = await people(bench, steps, deadline_s=0.45)
    assert (ran.done.error, rounds) == ("not done within the workflow's deadline of 0.45 s", 1)
    ran, rounds = await people(bench, {"kind": "timeout", "seconds": 1.5, "node": steps})
    assert (ran.done.error, rounds) == ("", 1)
