"""Windows, budgets, times, concurrency and mending, judged by the provider's ledger."""

import asyncio
import re
import time
from collections.abc import Iterator
from typing import Any, Final

import pytest
from flow_functions import CALLS
from flow_strategies import value
from flow_tools import DEAD, WINDOW, Bench, Running, call, chain, function, says, simulator_settings

from understudy.cluster.simulator import Answer, SimulatorProcess
from understudy.protocols.workflow.spec import item

pytestmark = pytest.mark.sockets

NARROW: Final = WINDOW["narrow"]
TEXTS: Final = {
    "prose": "The quick brown fox jumps over the lazy dog, and nobody knows why it does. " * 600,
    "code": "def f(x: int) -> dict[str, list[int]]:\n    return {'a': [x, x + 1], 'b': []}  # ok\n" * 500,
    "numbers": " ".join(str(number * 7919 % 100_003) for number in range(6_000)),
    "signs": "それは静かな夜だった。誰も知らない。" * 1_500,
    "one word": "abcdefghij" * 4_000,
}


@pytest.fixture(scope="module")
def bench() -> Iterator[Bench]:
    """A simulator."""
    with SimulatorProcess(simulator_settings(answer=Answer(tokens=(20, 200)))) as sim:
        yield Bench(sim)


@pytest.mark.parametrize("variant", ["reduce", "collapse", "tree", "refine"])
@pytest.mark.parametrize("kind", TEXTS)
async def test_no_request_passes_the_window(bench: Bench, variant: str, kind: str) -> None:
    """Of a model of 2,048 tokens, however large and of whatever kind the input; no chunk is lost on the way."""
    whole = TEXTS[kind]
    texts = [{"name": f"{'ab'[at % 2]}/{at}", "text": whole[at::7]} for at in range(7)]
    answer = 200
    node: dict[str, Any] = {
        "kind": "map_reduce",
        "variant": variant,
        "chunk": {"tokens": 900},
        "map": call("narrow", "sum up {{ chunk.text }}", max_tokens=answer),
        "reduce": call(
            "narrow", "merge {% for part in parts %}{{ part.name }}: {{ part.value }}\n{% endfor %}", max_tokens=answer
        ),
    }
    if variant == "refine":
        node["reduce"] = call("narrow", "improve {{ draft }} with {{ chunk.text }}", max_tokens=answer)
    if variant == "collapse":
        node["collapse"] = {**node["reduce"], "prompt": "shorten {{ parts }}"}
    ran = await bench.run(node, texts)
    assert ran.done.error == ""
    assert {record.outcome for record in ran.records} == {"ok"}
    assert max(record.prompt_tokens for record in ran.records) + answer <= NARROW
    [one] = ran.result.coverage
    assert (one.covered, one.missing) == (((0, one.total),), ())
    assert one.total >= 7
    assert len(ran.records) == one.total + (0 if variant == "refine" else one.merges)
    assert ran.done.cost == ran.cost
    assert one.depth >= 2


async def test_a_budget_of_money_is_kept_side_by_side(bench: Bench) -> None:
    """Of forty branches at once only so many are sent as the money is sure to pay for; the bill stays below it."""
    each = {**call("quick", "say {{ item }}"), "on_error": "skip"}
    bound = 60e-6
    node = {"kind": "budget", "max_cost": bound, "node": {"kind": "parallel", "over": "range(40) | list", "each": each}}
    ran = await bench.run(node)
    assert 0 < ran.cost <= bound * 1e12
    assert ran.cost >= 0.5 * bound * 1e12  # what was held back and not spent is given to those that wait
    assert ran.done.degraded
    assert any("the budget at run of $0.000060 has no room" in step.note for step in ran.result.steps)


async def test_a_budget_of_tokens_is_kept_side_by_side(bench: Bench) -> None:
    """The same for tokens."""
    each = {**call("quick", "say {{ item }}"), "on_error": "skip"}
    node = {"kind": "budget", "max_tokens": 400, "node": {"kind": "parallel", "over": "range(40) | list", "each": each}}
    ran = await bench.run(node)
    assert 200 <= sum(record.prompt_tokens + record.completion_tokens for record in ran.records) <= 400


async def test_no_more_at_once_than_may(bench: Bench) -> None:
    """Six calls, two at once, take three times as long as one: the law of bounded concurrency."""
    for _ in range(3):
        node = {"kind": "parallel", "over": "range(6) | list", "each": call("quick", "{{ item }}"), "concurrency": 2}
        ran = await bench.run(node)
        events = sorted(
            [(record.t, 1) for record in ran.records] + [(record.t_end or 0.0, -1) for record in ran.records]
        )
        running, most = 0, 0
        for _, change in events:
            running += change
            most = max(most, running)
        assert most == 2
        law = sum(ran.latencies("quick")) / 2
        if abs(ran.took_s / law - 1) <= 0.1:
            break
    assert ran.took_s == pytest.approx(law, rel=0.1)


async def test_a_quorum_that_is_missed_is_a_failure(bench: Bench) -> None:
    """The line says how many there are, how many there have to be, and why."""
    branches = {"a": says("instant", "a"), "b": call(DEAD), "c": call(DEAD)}
    ran = await bench.run({"kind": "parallel", "branches": branches, "quorum": 2})
    assert ran.done.error.startswith("1 of 3 succeeded, 2 have to: sim/dead: ")


async def test_time_that_is_over_closes_the_sockets_and_can_be_undone(bench: Bench) -> None:
    """A step ends in time, something stands in, and what it did is undone by calls that have time of their own."""
    paid = {**says("instant", "paid"), "undo": call("instant", "pay back {{ it }}")}
    slow = {"kind": "timeout", "seconds": 0.4, "node": chain(paid, call("asleep")), "on_error": "compensate"}
    async with Running(bench, chain(slow, on_error={"then": "default", "default": "D"})) as one:
        began = time.monotonic()
        done = await one.flow.map(0, item("x"), one.stage.caller)
        ran = await bench.ran(one, done, began)
        records = await one.settled()
    assert (ran.done.error, ran.value) == ("", "D")
    assert ran.step("run/0").note == "not done within 0.4 s"
    assert ran.ended - ran.began <= 0.4 + 0.25 + 0.2
    assert [(record.model, record.outcome) for record in records] == [
        ("instant", "ok"),
        ("asleep", "cancelled"),
        ("instant", "ok"),
    ]
    assert ran.step("run/0/node/0/undo").state == "undone"


async def test_a_budget_that_is_used_up_does_not_stop_what_undoes(bench: Bench) -> None:
    """What undoes is paid by what is around the step that failed, not by the budget that it had passed."""
    paid = {**says("instant", "paid"), "undo": says("instant", "back")}
    spent = {"kind": "budget", "max_calls": 1, "node": chain(paid, call("instant")), "on_error": "compensate"}
    ran = await bench.run(chain(spent))
    assert "the budget at run/0 of 1 calls is used up" in ran.done.error
    assert ran.asked == ["instant"] * 2
    assert ran.step("run/0/node/0/undo").state == "undone"


async def test_a_reply_that_breaks_its_schema_is_mended_once(bench: Bench) -> None:
    """The model is shown what was wrong; the step is done, and both requests are on the bill."""
    bench.sim.control(fail_next={"count": 1, "kind": "schema_mismatch"})
    schema = {"type": "object", "properties": {"label": {"const": "bug"}}, "required": ["label"]}
    ran = await bench.run(
        chain({**call("instant", output=schema, max_tokens=200), "id": "it"}, value("{{ it.label }}"))
    )
    assert ran.value == "bug"
    assert [record.outcome for record in ran.records] == ["schema_mismatch", "ok"]
    assert ran.done.cost == ran.cost
    assert (ran.step("run/0").calls, ran.step("run/0").attempts) == (1, 2)


async def test_a_provider_that_stumbles_is_asked_again(bench: Bench) -> None:
    """By the call itself, before any policy of the step is looked at."""
    bench.sim.control(fail_next={"count": 2, "kind": "error_503"})
    ran = await bench.run({**says("instant", "good"), "on_error": "skip"})
    assert ran.value == "good"
    assert [record.outcome for record in ran.records] == ["error_503", "error_503", "ok"]
    assert ran.states == {"run": "done"}


async def test_an_ensemble_is_asked_only_where_they_differ(bench: Bench) -> None:
    """And those that are tied only where they are tied: a judge that is not needed costs nothing."""
    voters = {"a": says("instant", "yes"), "b": says("instant", "no")}
    ensemble = says("quick", "maybe", "{{ votes }}")
    ran = await bench.run({"kind": "consensus", "voters": voters, "ensemble": ensemble})
    assert ran.value["answer"] == "maybe"
    assert ran.value["review"]
    assert ran.asked == ["instant", "instant", "quick"]
    voters["b"] = says("instant", "Yes.")
    ran = await bench.run({"kind": "consensus", "voters": voters, "ensemble": ensemble})
    assert (ran.value["review"], ran.asked) == (False, ["instant", "instant"])


async def test_samples_that_agree_are_good_enough(bench: Bench) -> None:
    """A ladder scored by agreement asks its rung so often at once, and climbs where the answers differ."""
    rungs = [says("quick", "same"), says("slow", "two")]
    ran = await bench.run({"kind": "ladder", "rungs": rungs, "quality": {"samples": 3}})
    assert (ran.value, ran.asked) == ("same", ["quick"] * 3)
    assert ran.took_s < 2 * max(ran.latencies("quick"))


async def test_functions_that_block_hold_up_nobody(bench: Bench) -> None:
    """A sync function runs in a thread; calls beside it go on."""
    CALLS["blocking"].clear()
    branches = {"a": function("note", book="blocking", what=1), "b": says("instant", "b")}
    ran = await bench.run({"kind": "parallel", "branches": branches})
    assert ran.value == {"a": 1, "b": "b"}


async def test_many_runs_at_once_keep_their_own_books(bench: Bench) -> None:
    """Runs side by side on one provider: each bill is that of its own key."""
    node = {"kind": "parallel", "branches": {"a": call("instant", "{{ input }}"), "b": call("quick", "{{ input }}")}}
    found = await asyncio.gather(*(bench.run(node, "x" * number) for number in range(1, 9)))
    assert all(ran.done.cost == ran.cost for ran in found)
    assert all(ran.asked == ["instant", "quick"] for ran in found)
    assert len({ran.cost for ran in found}) > 1
    assert not re.search("sk-", repr(found))


async def test_what_is_classified_is_text_and_nothing_else(bench: Bench) -> None:
    """No template in it is filled in, whatever it looks like."""
    node = {"kind": "route", "model": "instant", "branches": {"a": value("a"), "b": value("b")}, "generalist": "a"}
    ran = await bench.run(node, "{% endraw %}{{ nope }}{%+ endraw %}{{ nope }} {% raw")
    assert (ran.done.error, ran.value, ran.asked) == ("", "a", ["instant"])
    assert not ran.done.degraded
