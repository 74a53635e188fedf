"""A run is made again from its journal alone, and what differs is named by its first step."""

import asyncio
from typing import Any

import msgspec
import pytest
from flow_children import Jobs
from flow_functions import CALLS
from flow_strategies import APPROVE, BOOK, Node, value
from flow_tools import chain, function
from flow_world import ITEM, Lives
from hypothesis import given, settings
from hypothesis import strategies as st
from test_flow_children_again import mapped, wide
from test_flow_once import SIX, call, paid, said

from understudy.protocols.errors import StepFailed
from understudy.protocols.journal import AnswerRow, StepRow
from understudy.protocols.messages import ItemDone
from understudy.supervisors.replay import Divergence
from understudy.supervisors.workflow import finished
from understudy.supervisors.workflow.replay import replay_item


async def replayed(
    lives: Lives, done: ItemDone, *, rows: list[StepRow] | None = None, item: bytes = ITEM, answers: Any = None
) -> Divergence | None:
    """What a replay of the item finds."""
    steps = await lives.journal.steps("j", [0]) if rows is None else rows
    return await replay_item(lives.spec, 0, item, steps, done, lives.verdicts, answers=answers)


@settings(max_examples=100, deadline=None)
@given(paid, st.lists(st.integers(1, 4), max_size=3), st.booleans())
async def test_every_run_comes_to_the_same(node: Node, deaths: list[int], again: bool) -> None:
    """Whatever the workflow, whoever died, and also where it was tried again: nothing differs, nobody is asked."""
    lives = Lives(node)
    lives.world.down = {"down"}
    done = await lives.end(deaths, said)
    if again:
        lives.again()
        done = await lives.end(answer=said)
    asked, called = lives.counts, len(CALLS[BOOK])
    assert await replayed(lives, done) is None
    assert (lives.counts, len(CALLS[BOOK])) == (asked, called)


async def test_a_row_that_is_missing_is_named() -> None:
    """The first step that is not in the journal is where the replay ends."""
    lives = Lives(SIX)
    done = await lives.end()
    rows = [row for row in await lives.journal.steps("j", [0]) if row.path != "run/2"]
    assert await replayed(lives, done, rows=rows) == Divergence(0, "run/2", "it is not in the journal")


async def test_a_row_that_says_something_else_is_found_at_the_next_step() -> None:
    """An answer that was changed in the journal is given to the step after it, which was given another."""
    lives = Lives(SIX)
    done = await lives.end()
    rows = await lives.journal.steps("j", [0])
    other = finished.encode(msgspec.structs.replace(finished.decode(rows[2].data), value="forged"))
    rows[2] = msgspec.structs.replace(rows[2], data=other)
    assert await replayed(lives, done, rows=rows) == Divergence(0, "run/3", "it is given something else")


async def test_another_input_is_found_at_the_first_step_that_uses_it() -> None:
    """The item is not what the run was given."""
    lives = Lives(chain(value("a"), call("of {{ input }}"), call("end")))
    done = await lives.end()
    assert await replayed(lives, done, item=b'"y"') == Divergence(0, "run/1", "it is given something else")


async def test_an_output_that_was_changed_is_found() -> None:
    """All steps are as they were, and the recorded result is not what comes of them."""
    lives = Lives(chain(call("a"), value("{{ previous }}!")))
    done = await lives.end()
    forged = msgspec.structs.replace(done, data=done.data.replace(b'"<a>!"', b'"<b>!"'))
    found = await replayed(lives, forged)
    assert found is not None
    assert (found.path, found.why) == ("run", 'its output is another: "<b>!", and now "<a>!"')


async def test_a_verdict_that_is_missing_is_named() -> None:
    """Without what people have said the replay would wait for them."""
    lives = Lives(chain(call("a"), APPROVE))
    done = await lives.end()
    lives.verdicts.clear()
    found = await replayed(lives, done)
    assert found is not None
    assert (found.path, "people" in found.why) == ("run/1", True)


async def test_time_outs_and_back_offs_take_no_time() -> None:
    """A step that hung for its minute, and one that was tried again after another, are made again at once."""
    hangs = {"kind": "timeout", "seconds": 0.02, "node": call("hang"), "on_error": "skip"}
    lives = Lives(chain(hangs, {"kind": "retry", "attempts": 3, "backoff_s": 0.01, "node": call("down")}))
    lives.world.down = {"down"}
    call_it = lives.world.call

    async def slow(request: Any, model: str, **rest: Any) -> Any:
        if "hang" in str(request):
            await asyncio.Event().wait()
        return await call_it(request, model, **rest)

    lives.world.call = slow  # type: ignore[method-assign]
    done = await lives.end()
    assert "503" in done.error
    slower = str(lives.spec.spec.decode("latin-1")).replace("0.02", "6e+3").replace("0.01", "9e+2")
    lives.spec = msgspec.structs.replace(lives.spec, spec=slower.encode("latin-1"))
    assert await replayed(lives, done) is None


async def test_who_came_first_comes_first_again() -> None:
    """Of branches of which one is enough those that were cancelled are cancelled again, by the recorded times."""
    branches = {"fast": call("fast"), "slow": function("later", book=BOOK, what="slow", turns=200)}
    lives = Lives(chain({"kind": "parallel", "branches": branches, "enough": 1}))
    done = await lives.end()
    assert await replayed(lives, done) is None


async def test_calls_that_a_budget_refused_are_refused_again() -> None:
    """What was never sent has no row, and that is no difference."""
    lives = Lives({"kind": "budget", "max_calls": 1, "node": chain(call("a"), {**call("b"), "on_error": "skip"})})
    done = await lives.end()
    assert not done.error
    assert await replayed(lives, done) is None


@pytest.mark.parametrize("node", [wide(), mapped("reduce"), mapped("rerank"), mapped("tree")], ids=str)
async def test_answers_of_a_job_of_its_own_are_taken_from_that(node: Node) -> None:
    """A wide fan-out is made again from the answers of its job; without them it is a difference."""
    lives = Lives(chain(node, call("end")))
    jobs = Jobs(lives)
    lives.world.down = {"read 7."}
    done = await lives.end()

    async def answers(job: str) -> list[AnswerRow]:
        told = jobs.known[job]
        both = [*((False, one) for one in told.answers), *((True, one) for one in told.nodes)]
        return [
            AnswerRow(job, place, is_node, one.item, msgspec.msgpack.encode(one))
            for place, (is_node, one) in enumerate(both)
        ]

    assert await replayed(lives, done, answers=answers) is None
    found = await replayed(lives, done)
    assert found is not None
    assert (found.path, "job of their own" in found.why) == ("run/0", True)


async def test_a_run_of_one_step_has_nothing_to_be_made_again() -> None:
    """It keeps no rows: only that it has an answer is looked at."""
    lives = Lives(call("alone"))
    done = await lives.end()
    assert await replayed(lives, done) is None
    found = await replayed(lives, ItemDone(0))
    assert found is not None
    assert found.why == "there is no answer"


def test_nobody_is_called() -> None:
    """The caller of a replay has no way to any provider."""
    from understudy.supervisors.workflow.replay import _nobody  # noqa: PLC0415 - only here

    with pytest.raises(StepFailed, match="nobody is called"):
        _nobody(Lives(call("x")).spec).channel("a")
