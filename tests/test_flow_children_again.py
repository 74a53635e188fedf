"""A fan-out that is a job of its own is gone on with by whoever begins its run anew, and paid for once."""

import asyncio
from collections import Counter
from typing import Any

import msgspec
import pytest
from flow_children import Jobs
from flow_strategies import Node, value
from flow_tools import chain
from flow_world import Lives, World, value_of

from understudy.supervisors.workflow import child_bill
from understudy.supervisors.workflow.wide import WIDE

MANY = WIDE + 22


def call(prompt: str, **fields: Any) -> Node:
    """A call."""
    return {"kind": "call", "prompt": prompt, "max_tokens": 8, **fields}


def wide(prompt: str = "read {{ item }}.", **fields: Any) -> Node:
    """A step for each of many items."""
    return {"kind": "parallel", "over": f"range({MANY}) | list", "each": call(prompt), **fields}


def mapped(variant: str) -> Node:
    """A map-reduce of many chunks."""
    over = f"range({MANY}) | list"
    node = {"kind": "map_reduce", "variant": variant, "over": over, "map": call("read {{ chunk }}."), "tolerate": 0.5}
    if variant == "rerank":
        return {**node, "score": "it | length"}
    return {**node, "reduce": call("merge {{ parts | length }}"), "budget": 256}


KINDS = ["parallel", "reduce", "rerank", "tree"]


def world(node: Node, **flow: Any) -> tuple[Lives, Jobs]:
    """An item, and the jobs that work for it."""
    lives = Lives(node, **flow)
    return lives, Jobs(lives)


@pytest.mark.parametrize("node", [wide(), mapped("reduce"), mapped("rerank"), mapped("tree")], ids=KINDS)
async def test_a_job_is_gone_on_with_after_a_death(node: Node) -> None:
    """The driver dies with a third of the answers: its successor opens the same job, and nothing is asked twice."""
    calm, _ = world(chain(call("first"), node))
    expected = value_of(await calm.end())
    lives, jobs = world(chain(call("first"), node))
    jobs.dies_after = MANY // 3
    done = await lives.end()
    assert value_of(done) == expected
    assert lives.deaths == 1
    assert [job.opened for job in jobs.known.values()] == [["", ""]]
    assert lives.counts == calm.counts
    assert lives.billed == lives.world.paid == calm.world.paid


@pytest.mark.parametrize("node", [wide(), mapped("reduce"), mapped("rerank"), mapped("tree")], ids=KINDS)
async def test_a_job_that_was_paid_is_not_paid_again_when_a_later_step_is_tried_again(node: Node) -> None:
    """The step after the fan-out fails; tried again, the item bills that step and no answer of the job."""
    lives, jobs = world(chain(node, call("last")))
    lives.world.down = {"last"}
    assert "503" in (await lives.end()).error
    lives.world.down = set()
    lives.again()
    done = await lives.end()
    assert not done.error
    assert done.cost == World.COST
    assert [job.opened for job in jobs.known.values()] == [["", ""]]
    assert lives.billed == lives.world.paid
    calm, _ = world(chain(node, call("last")))
    await calm.end()
    assert lives.counts == calm.counts + Counter({"last": 1})


@pytest.mark.parametrize("dies", [0, MANY + 3])
@pytest.mark.parametrize("node", [wide(quorum=MANY), mapped("reduce"), mapped("rerank"), mapped("tree")], ids=KINDS)
async def test_only_what_failed_in_a_job_is_tried_again(node: Node, dies: int) -> None:
    """Ten items of a hundred and fifty fail; tried again, the item asks for those ten, also where it dies meanwhile."""
    lives, jobs = world(chain(node, call("last")))
    lives.world.down = {f"read {number}." for number in range(0, MANY, 15)} | {"last"}
    assert (await lives.end()).error
    lives.world.down = set()
    lives.again()
    jobs.dies_after = dies
    done = await lives.end()
    assert not done.error, done.error
    assert lives.deaths == bool(dies)
    [job] = jobs.known.values()
    assert set(job.opened[1:]) == {"failed"}
    reads = {prompt: count for prompt, count in lives.counts.items() if prompt.startswith("read")}
    assert sum(reads.values()) == MANY + 10
    assert lives.billed == lives.world.paid


async def test_only_what_stands_in_is_tried_again() -> None:
    """Items whose declared answers stand in are asked for again with the item that stands for them."""
    lives, jobs = world(chain(wide(), value("{{ previous | length }}")))
    route = lives.caller.kit.config.models["fast"].model_copy(update={"degraded": "Sorry."})
    lives.caller.kit.config.models["fast"] = route
    lives.world.down = {"read 7."}
    assert (await lives.end()).standing
    lives.world.down = set()
    lives.again()
    done = await lives.end()
    assert (done.standing, value_of(done)) == (False, MANY)
    assert [job.opened for job in jobs.known.values()] == [["", "standing"]]
    assert lives.counts["read 7."] == 2
    assert lives.billed == lives.world.paid


async def test_another_input_or_place_is_another_job() -> None:
    """Two fan-outs of one run are two jobs, also where they are given the same; so is the next attempt of one."""
    lives, jobs = world(chain(wide(), wide(), wide("read {{ item }} again.")))
    await lives.end()
    assert len(jobs.known) == 3
    fails = {**wide(quorum=MANY), "on_error": {"then": "default", "default": 0, "retries": 1, "backoff_s": 0}}
    lives, jobs = world(chain(fails))
    lives.world.down = {"read 1."}
    await lives.end()
    assert len(jobs.known) == 2
    assert all(job.startswith("j.0.") for job in jobs.known)


async def test_a_job_that_was_left_early_stays_on_the_bill() -> None:
    """A time-out ends the fan-out: what it had used is billed then, and not again when the item is tried again."""
    lives, jobs = world(chain({"kind": "timeout", "seconds": 0.25, "node": wide()}))
    hang = asyncio.Event()
    call_it = lives.world.call

    async def slow(request: Any, model: str, **rest: Any) -> Any:
        if lives.world.paid >= 100 * World.COST:
            await hang.wait()
        return await call_it(request, model, **rest)

    lives.world.call = slow  # type: ignore[method-assign]
    done = await lives.end()
    assert "not done within" in done.error
    hang.set()
    lives.again()
    lives.spec = msgspec.structs.replace(lives.spec, spec=lives.spec.spec.replace(b"0.25", b"9e+3"))
    done = await lives.end()
    assert not done.error, done.error
    assert [job.opened for job in jobs.known.values()] == [["", "failed"]]
    assert lives.billed == lives.world.paid == MANY * World.COST


async def test_a_journal_that_cannot_be_written_holds_up_no_cancelling(monkeypatch: pytest.MonkeyPatch) -> None:
    """A fan-out that is cancelled while the Journal is paused is left soon, though its note is not on disk."""
    monkeypatch.setattr(child_bill, "_LEAVE_S", 0.01)
    lives, jobs = world(chain(wide()))
    asked = asyncio.Event()

    async def hung(*_: Any, **__: Any) -> Any:
        lives.journal.stop("disk full")
        asked.set()
        await asyncio.Event().wait()

    lives.world.call = hung  # type: ignore[method-assign]
    life = asyncio.ensure_future(lives.live())
    await asked.wait()
    lives.work.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(life, 5)
    assert len(jobs.known) == 1
    assert lives.journal.appended == []
