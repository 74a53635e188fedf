"""Consensus: several models answer, and it is told how far they agree."""

from typing import Any

from ...protocols.errors import StepFailed
from ...protocols.workflow.patterns import Consensus
from ..workflow.frame import Frame
from ..workflow.settling import causes, settle
from ..workflow.step import branch, perform
from .agreement import agreement, most_detailed


async def run(node: Consensus, at: Frame) -> dict[str, Any]:
    """The answer, the agreement, whether a person should look at it, and the votes."""
    works = [_work(voter, at.below(name)) for name, voter in node.voters.items()]
    settled = await settle(works, concurrency=len(works))
    named = dict(zip(node.voters, settled, strict=True))
    # A voter that was skipped has no vote.
    votes = {name: one.value for name, one in named.items() if one.good and one.value is not None}
    errors = [f"{name}: {one.error or 'skipped'}" for name, one in named.items() if name not in votes]
    quorum = node.quorum or 2
    if len(votes) < quorum:
        raise StepFailed(f"{len(votes)} of {len(settled)} have answered, {quorum} have to: {causes(errors)}")
    values = list(votes.values())
    found = agreement(values)
    review = found.score < node.threshold
    largest = found.groups[0]
    if review and node.ensemble is not None:
        answer = await perform(node.ensemble, at.below("ensemble", votes=votes, previous=votes))
    else:
        among = [values[place] for place in largest]
        answer = among[most_detailed(among)] if node.pick == "most_detailed" else among[0]
    at.run.review |= review
    at.own.degraded |= bool(errors)
    at.own.note = f"agreement {found.score:.2f}" + (", to be reviewed" if review else "") + _failed(errors)
    return {"answer": answer, "agreement": round(found.score, 4), "review": review, "votes": votes}


def _failed(errors: list[str]) -> str:
    return f"; {len(errors)} failed: {causes(errors)}" if errors else ""


def _work(voter: Any, at: Frame) -> Any:
    return lambda: branch(voter, at)
