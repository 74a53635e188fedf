"""The variant `refine`: a draft from the first chunk, improved with each further one, in order."""

from collections.abc import Sequence
from typing import Any

from ...protocols.errors import StepFailed
from ...protocols.workflow.patterns import MapReduce
from ..workflow.frame import Frame
from ..workflow.mapping import NO_OUTPUT
from ..workflow.merging import Missing
from ..workflow.step import branch
from .chunks import Chunk
from .reduced import Reduced


async def run(node: MapReduce, chunks: Sequence[Chunk], at: Frame) -> Reduced:
    """The last draft. A chunk that fails leaves the draft as it was, and is named."""
    assert node.reduce is not None
    draft: Any = None
    missing: list[Missing] = []
    begun = refined = 0
    for number, chunk in enumerate(chunks):
        names = {node.as_: chunk.value, "index": number, "draft": draft, "previous": draft}
        inner = at.below("refine" if begun else "map").below(number, **names)
        try:
            value = await branch(node.reduce if begun else node.map, inner)
        except StepFailed as error:
            missing.append((number, number + 1, str(error)))
            continue
        if value is None:
            missing.append((number, number + 1, NO_OUTPUT))
            continue
        draft = value
        refined += begun
        begun = 1
    return Reduced(draft, missing, depth=refined, merges=refined)
