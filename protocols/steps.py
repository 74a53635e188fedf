"""What happens to the steps of a workflow, as whoever watches is told."""

from typing import Literal

import msgspec


class StepEvent(msgspec.Struct, frozen=True, array_like=True):
    """Something happened to a step of an item's workflow.

    Attributes:
        item: the item's number.
        path: of the step, as `FlowResult` names it (`run/0`, `run/review/1`).
        kind: of its node (`call`, `chain`, …); empty where only how far it is is told.
        state: what it is now.
        at_s: seconds since the item began here.
        took_s: seconds it took; 0 for `began`.
        cost: picodollars of its own calls; -1 where no price is known.
        model: who answered it, where one model did.
        note: one line: why it failed, what stood in, why a chain ended early; for `text` the words themselves.
        id: the step's name to templates, empty where it has none.
    """

    item: int
    path: str
    kind: str
    state: Literal["began", "done", "degraded", "skipped", "failed", "waiting", "stopped", "text"]
    at_s: float = 0.0
    took_s: float = 0.0
    cost: int = 0
    model: str = ""
    note: str = ""
    id: str = ""
