"""A run that waits for people goes on as if it had never waited: for random workflows, and for each thing it keeps."""

import asyncio
import zlib
from collections import Counter
from typing import Any

import msgspec
from flow_functions import CALLS
from flow_strategies import BOOK, NOBODY, Node, interpreter, nodes
from hypothesis import given, settings

from understudy.protocols.jobs import ApprovalAsk, Resumed, Verdict
from understudy.protocols.messages import ItemDone
from understudy.protocols.workflow.result import FlowResult
from understudy.protocols.workflow.spec import item
from understudy.supervisors.workflow.memo import Memo


def said(path: str) -> Verdict:
    """What people answer: most of the time yes, else an edit or a no; always the same for one step."""
    dice = zlib.crc32(path.encode()) % 6
    if dice == 0:
        return Verdict(approved=False, note="no")
    return Verdict(approved=True, value=b'"edited"' if dice == 1 else b"")


class Everybody(dict[str, Verdict]):
    """Verdicts on whatever is asked."""

    def get(self, path: str, default: Any = None) -> Any:  # noqa: ARG002 - the protocol's
        """The verdict on a path."""
        return said(path)


async def at_once(node: Node) -> tuple[ItemDone, Counter[str]]:
    """The run, with people who have answered before they are asked; also what its functions did."""
    CALLS[BOOK].clear()
    done = await interpreter(node)._run(0, item("x"), NOBODY, Memo(), Everybody())
    return done, Counter(map(str, CALLS[BOOK]))


async def with_people(node: Node) -> tuple[ItemDone, Counter[str], int]:
    """The run, which waits for people each time, and is gone on with by somebody else; also how often it waited."""
    CALLS[BOOK].clear()
    done = await interpreter(node).map(0, item("x"), NOBODY)
    waits = 0
    while done.parked:
        waits += 1
        assert waits < 100, "it never comes to its end"
        asks = msgspec.msgpack.decode(done.data, type=list[ApprovalAsk])
        assert len({ask.path for ask in asks}) == len(asks)
        state = msgspec.msgpack.encode(Resumed(done.parked, {ask.path: said(ask.path) for ask in asks}))
        done = await interpreter(node).resume(0, item("x"), NOBODY, state)
    return done, Counter(map(str, CALLS[BOOK])), waits


def told(done: ItemDone) -> dict[str, Any]:
    """What a result says, but for times."""
    result = msgspec.msgpack.decode(done.data, type=FlowResult)
    return {
        "error": done.error,
        "output": result.value,
        "steps": sorted((step.path, step.state, step.note) for step in result.steps),
        "degraded": result.degraded,
        "stopped": result.stopped,
        "coverage": sorted(map(repr, result.coverage)),
        "review": result.review,
    }


@settings(max_examples=400)
@given(nodes)
def test_a_run_that_waited_comes_to_the_same(node: Node) -> None:
    """Output, steps, coverage, flags, and what functions did are those of a run that was never interrupted."""

    async def both() -> None:
        whole, did = await at_once(node)
        parted, did_too, _ = await with_people(node)
        assert told(parted) == told(whole)
        assert did_too == did

    asyncio.run(both())
