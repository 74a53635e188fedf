"""MapReduce: a step for each of many chunks, and one answer of all; the five variants."""

from typing import Any, Final

from ...protocols.errors import StepFailed
from ...protocols.workflow.patterns import MapReduce
from ...protocols.workflow.result import Coverage
from ..workflow import templates
from ..workflow.frame import Frame
from ..workflow.merging import Missing, compact, covered
from . import map_flat, map_refine, map_rerank, map_tree
from .chunks import Chunk, chunked
from .reduced import Reduced

_VARIANTS: Final = {
    "reduce": map_flat.run,
    "collapse": map_flat.run,
    "tree": map_tree.run,
    "rerank": map_rerank.run,
    "refine": map_refine.run,
}


async def run(node: MapReduce, at: Frame) -> Any:
    """The one answer; what it covers stands in the run's result."""
    chunks = await chunked(node, templates.evaluate(node.over, at.scope))
    if not chunks:
        raise StepFailed(f"`over: {node.over}` is empty: there is nothing to map")
    found = await _VARIANTS[node.variant](node, chunks, at)
    missing = compact(found.missing)
    _tell(node, chunks, missing, found, at)
    return found.value


def _tell(node: MapReduce, chunks: list[Chunk], missing: tuple[Missing, ...], found: Reduced, at: Frame) -> None:
    """What is covered. Raises `StepFailed` when more failed than is tolerated."""
    total = len(chunks)
    lost = sum(stop - first for first, stop, _ in missing)
    if lost == total or lost > node.tolerate * total:
        raise StepFailed(f"{lost} of {total} chunks failed: {missing[0][2]}")
    named = tuple(
        (number, chunks[number].name, cause) for first, stop, cause in missing for number in range(first, stop)
    )
    at.run.coverage.append(
        Coverage(at.path, total, covered(total, missing), named, found.depth, found.merges, found.cites)
    )
    if lost:
        at.own.degraded = True
        at.own.note = f"{lost} of {total} chunks are missing: {missing[0][2]}"
    elif not at.own.note:
        several = "merge" if found.merges == 1 else "merges"
        merges = f", {found.merges} {several}, depth {found.depth}" if found.merges else ""
        at.own.note = f"{total} chunks{merges}"
