"""A finished step is never run again, nor billed twice: whatever dies, waits for people, or is tried again."""

import zlib
from collections import Counter
from typing import Any

import pytest
from flow_functions import CALLS
from flow_strategies import APPROVE, BOOK, Node, composed, leaves
from flow_tools import chain, function
from flow_world import Lives, World, outcome, value_of
from hypothesis import given, settings
from hypothesis import strategies as st

from understudy.protocols.jobs import Verdict


def call(prompt: str, **fields: Any) -> Node:
    """A call."""
    return {"kind": "call", "prompt": prompt, "max_tokens": 8, **fields}


def said(path: str) -> Verdict:
    """What people answer: most of the time yes, else an edit or a no; always the same for one step."""
    dice = zlib.crc32(path.encode()) % 6
    if dice == 0:
        return Verdict(approved=False, note="no")
    return Verdict(approved=True, value=b'"edited"' if dice == 1 else b"")


SIX = chain(*(call(f"step {number} of {{{{ previous }}}}") for number in range(1, 7)))


async def test_steps_before_one_that_failed_are_not_called_again() -> None:
    """Step 4 of 6 fails while its provider is down: tried again, the item calls 4, 5 and 6, and nothing before."""
    lives = Lives(SIX)
    lives.world.down = {"step 4"}
    done = await lives.end()
    assert "503" in done.error
    before = lives.counts
    lives.world.down = set()
    lives.again()
    done = await lives.end()
    assert not done.error
    assert [prompt[:6] for prompt in lives.world.asked_of[before.total() :]] == ["step 4", "step 5", "step 6"]
    assert lives.billed == lives.world.paid == 6 * World.COST
    assert [one.cost for one in lives.told] == [3 * World.COST, 3 * World.COST]


async def test_a_function_before_an_approval_runs_once_however_often_the_run_goes_on() -> None:
    """Ten approvals, and a death after each: what was written before the first is written once."""
    CALLS["approved"].clear()
    lives = Lives(chain(function("note", book="approved", what="x"), *([APPROVE] * 10), call("end")))
    done = await lives.end(deaths=[1])
    assert value_of(done) == "<end>"
    assert (len(CALLS["approved"]), lives.era, lives.deaths) == (1, 10, 1)
    lives.again()
    assert value_of(await lives.end()) == "<end>"
    assert len(CALLS["approved"]) == 1
    assert lives.billed == lives.world.paid == World.COST


async def test_a_death_in_the_same_era_bills_what_was_recalled() -> None:
    """Of a life that died nothing was told: the next one recalls its steps and bills them, each once."""
    lives = Lives(SIX)
    done = await lives.end(deaths=[3, 2])
    assert set(lives.counts.values()) == {1}
    assert lives.billed == done.cost == lives.world.paid
    assert (done.attempts, done.input_tokens, done.output_tokens) == (6, 60, 30)


async def test_a_failed_step_is_not_paid_again_after_a_death_but_tried_again_in_a_new_era() -> None:
    """A failure that a policy has dealt with is recalled by who begins the run anew, not when the item is retried."""
    first = call("refused", on_error={"then": "default", "default": "D"})
    lives = Lives(chain(first, call("next")))
    lives.world.down = {"refused"}
    done = await lives.end(deaths=[1, 1])
    assert (value_of(done), lives.counts) == ("<next>", Counter({"refused": 1, "next": 1}))
    lives.again()
    await lives.end()
    assert lives.counts == Counter({"refused": 2, "next": 1})


async def test_an_answer_that_stands_in_makes_the_item_stand_and_is_asked_for_again() -> None:
    """The declared answer of a route is recalled in its era; tried again, the item asks the model."""
    lives = Lives(chain(call("late"), call("after {{ previous }}")))
    route = lives.caller.kit.config.models["fast"].model_copy(update={"degraded": "Sorry."})
    lives.caller.kit.config.models["fast"] = route
    lives.world.down = {"late"}
    done = await lives.end(deaths=[1])
    assert (value_of(done), done.standing, done.degraded) == ("<after Sorry.>", True, True)
    assert lives.counts["late"] == 1
    lives.world.down = set()
    lives.again()
    done = await lives.end()
    assert (value_of(done), done.standing, done.degraded) == ("<after <late>>", False, False)


async def test_what_stood_in_before_people_were_asked_is_known_after() -> None:
    """An item that waited for people between its stand-in and its end still stands."""
    lives = Lives(chain(call("late"), APPROVE))
    route = lives.caller.kit.config.models["fast"].model_copy(update={"degraded": "Sorry."})
    lives.caller.kit.config.models["fast"] = route
    lives.world.down = {"late"}
    assert (await lives.end()).standing


async def test_a_run_of_one_step_keeps_nothing() -> None:
    """Its item's answer follows at once: a row would be the same bytes once more."""
    lives = Lives(call("alone"))
    assert value_of(await lives.end()) == "<alone>"
    assert lives.journal.appended == []


async def test_a_single_call_that_has_to_mend_its_answer_keeps_what_it_mends() -> None:
    """A model's validator refuses the first answer: that is on disk before the second is asked for."""
    lives = Lives(call("an even number", output="flow_functions:Even"))
    lives.world.answers = {"an even number": '{"number": 1}', "odd": '{"number": 2}'}
    assert value_of(await lives.end(deaths=[1])) == {"number": 2}
    assert sorted(lives.counts.values()) == [1, 1]
    assert lives.billed == lives.world.paid == 2 * World.COST


async def test_budgets_count_what_was_recalled() -> None:
    """A budget of two calls has room for one more after a death in which one was made."""
    steps = chain(call("one"), call("two"), call("three"))
    lives = Lives({"kind": "budget", "max_calls": 2, "node": steps})
    done = await lives.end(deaths=[1])
    assert "is used up" in done.error
    assert lives.counts == Counter({"one": 1, "two": 1})
    lives.again()
    assert "is used up" in (await lives.end()).error
    assert lives.counts == Counter({"one": 1, "two": 1})
    assert lives.billed == lives.world.paid


async def test_a_recalled_stream_says_its_words_once() -> None:
    """Who watches is told the words of a call that was made before, and of no other twice."""
    lives = Lives(chain(call("spoken", stream=True), call("end")))
    await lives.end(deaths=[1])
    words = [event.note for event in lives.host.told if event.state == "text"]
    assert words == ["<spoken>"]


@pytest.mark.parametrize("returned", ["1e400", "2 ** 80", "{1: 'a'}", "'\\ud800'", "[(1, 2)]", "None"])
async def test_what_a_function_returned_is_recalled_as_it_was(returned: str) -> None:
    """Numbers of any size and texts that no UTF-8 holds come back as they were."""
    CALLS["kept"].clear()
    step = {**function("evaluated", book="kept", what=returned), "id": "it"}
    seen = chain(step, function("seen", book="kept", what="{{ it }}"))
    lives = Lives(seen)
    await lives.end()
    first = CALLS["kept"].pop()
    lives = Lives(seen)
    await lives.end(deaths=[1])
    assert repr(CALLS["kept"][-1]) == repr(first)


PAID = st.one_of(
    leaves,
    st.sampled_from(["p", "q", "r"]).map(call),
    st.sampled_from(["p", "q"]).map(lambda prompt: call(prompt + " {{ previous }}")),
    st.just(call("down")),
)
paid = composed(PAID)


async def straight(node: Node) -> tuple[dict[str, Any], Counter[str], Counter[str], int]:
    """The run without a death."""
    CALLS[BOOK].clear()
    lives = Lives(node)
    lives.world.down = {"down"}
    done = await lives.end(answer=said)
    assert lives.billed == lives.world.paid
    return outcome(done), Counter(map(str, CALLS[BOOK])), lives.counts, lives.billed


@settings(max_examples=150, deadline=None)
@given(paid, st.lists(st.integers(1, 4), max_size=6), st.booleans())
async def test_deaths_change_nothing(node: Node, deaths: list[int], again: bool) -> None:
    """Whatever dies when: the same result, each function and call made once, and every call on one bill."""
    expected, called, asked, bill = await straight(node)
    CALLS[BOOK].clear()
    lives = Lives(node)
    lives.world.down = {"down"}
    assert outcome(await lives.end(deaths, said)) == expected
    assert Counter(map(str, CALLS[BOOK])) == called
    assert lives.counts == asked
    assert lives.billed == lives.world.paid == bill
    if again:
        lives.again()
        assert outcome(await lives.end(deaths, said)) == expected
        assert {prompt for prompt in lives.counts if "down" not in prompt} == {
            one for one in asked if "down" not in one
        }
        good = {prompt: count for prompt, count in asked.items() if "down" not in prompt}
        assert {prompt: lives.counts[prompt] for prompt in good} == good
        assert lives.billed == lives.world.paid == bill
