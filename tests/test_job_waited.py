"""An item that waited for people has all that it used on its own bill, as the job has."""

import msgspec

from understudy.protocols.jobs import ApprovalAsk, JobSpec, Verdict
from understudy.protocols.messages import ItemDone, Used
from understudy.supervisors.supervisor.core import JobCore

ASKS = msgspec.msgpack.encode([ApprovalAsk("run/1", "", "")])


def test_what_was_paid_before_people_were_asked_is_told_with_the_answer() -> None:
    """However often it waited; by model, and once."""
    core = JobCore(JobSpec("j", "t", "a:B", b"", b"", width=2))
    core.mapper_up("m")
    core.add_block(2)
    core.seal()
    core.hand_out()
    for cost, model in ((3, "a/x"), (4, "a/y")):
        core.answered("m", [ItemDone(0, ASKS, model=model, attempts=1, cost=cost, parked=b"memo")])
        assert core.resume(0, "", Verdict(approved=True))
        core.hand_out()
    new = core.answered("m", [ItemDone(0, b"out", model="a/x", attempts=2, cost=5), ItemDone(1, b"b", cost=1)])
    assert [(one.data, one.attempts, one.cost) for one in new] == [(b"out", 4, 12), (b"b", 0, 1)]
    assert new[0].used == (Used("a/x", 3, cost=8), Used("a/y", 1, cost=4))
    assert (core.bill.cost, core.bill.attempts) == (13, 4)
    assert core.finished
