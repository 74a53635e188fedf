"""What the variants of a map-reduce come to."""

import dataclasses
from typing import Any

from ..workflow.merging import Missing


@dataclasses.dataclass(slots=True)
class Reduced:
    """One answer of many chunks.

    Attributes:
        value: the answer.
        missing: stretches of chunks that are not in it, with the cause.
        depth: levels of merges.
        merges: how many there were.
        cites: names of the chunks it is from, where it chose.
    """

    value: Any
    missing: list[Missing] = dataclasses.field(default_factory=list)
    depth: int = 0
    merges: int = 0
    cites: tuple[str, ...] = ()
