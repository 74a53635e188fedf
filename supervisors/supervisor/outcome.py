"""What a job's core says: what is to be sent, and what became of what came in."""

import dataclasses

from ...protocols.messages import ItemDone, Slice


@dataclasses.dataclass(frozen=True, slots=True)
class Send:
    """Effect: give the slice to the Mapper."""

    mapper: str
    piece: Slice


@dataclasses.dataclass(slots=True)
class Outcome:
    """What became of answers that came in.

    Attributes:
        answers: of items that had none; what they used before they waited for people is in them.
        parked: of items that wait for people from now on.
        extra: what was billed without being in `answers` or `parked`: a second answer, or what an item has used since
            it parked last, where its answer names all that it used.
    """

    answers: list[ItemDone] = dataclasses.field(default_factory=list)
    parked: list[ItemDone] = dataclasses.field(default_factory=list)
    extra: list[ItemDone] = dataclasses.field(default_factory=list)
