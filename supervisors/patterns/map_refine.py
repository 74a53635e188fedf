"""The variant `refine`: a draft from the first chunk, improved with each further one, in order."""

import dataclasses
from collections.abc import Sequence
from typing import Any

from ...protocols.errors import StepFailed
from ...protocols.workflow.patterns import MapReduce
from ..workflow.frame import Frame
from ..workflow.merging import Missing
from ..workflow.step import perform
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
        inner = dataclasses.replace(at.below("map" if not begun else "refine").below(number, **names), undo=[])
        try:
            draft = await perform(node.reduce if begun else node.map, inner)
        except StepFailed as error:
            missing.append((number, number + 1, str(error)))
            continue
        refined += begun
        begun = 1
    return Reduced(draft, missing, depth=refined, merges=refined)
