"""What a run of a workflow came to, as it travels. Money is picodollars, times are seconds."""

from typing import Literal

import msgspec

StepState = Literal["done", "degraded", "skipped", "failed", "stopped", "undone", "cancelled"]
"""How a step ended. `degraded`: something stands in for what was asked; `stopped`: its gate ended the chain;
`undone`: it undid another; `cancelled`: others were enough.
"""


class StepRecord(msgspec.Struct, frozen=True, array_like=True):
    """One step that ended.

    Attributes:
        path: where it stands in the workflow: `run/2`, `run/2/billing`; rounds and attempts stand behind `#` and `~`.
        kind: of its node.
        state: how it ended.
        began_s: seconds after the run began (after it went on, for a run that waited for people).
        took_s: seconds it took.
        id: its name to templates, empty where it has none.
        calls: logical calls of its own, those of steps inside not counted.
        attempts: requests of those calls.
        cost: picodollars of its own calls, -1 where no price is known.
        model: who answered, where one model did.
        note: one line: why it failed or was skipped, what stood in, what was chosen.
    """

    path: str
    kind: str
    state: StepState
    began_s: float
    took_s: float
    id: str = ""
    calls: int = 0
    attempts: int = 0
    cost: int = 0
    model: str = ""
    note: str = ""


class Coverage(msgspec.Struct, frozen=True, array_like=True):
    """What the answer of a map-reduce covers: every chunk is in one of the two.

    Attributes:
        path: of the step.
        total: chunks there were.
        covered: ranges (first, behind the last) of the chunks that are in the answer, in order.
        missing: (chunk, name, cause) of those that failed.
        depth: levels of merges; 1 where one merge read all.
        merges: how many merges there were.
        cites: names of the chunks the answer is from, where it chose among them.
    """

    path: str
    total: int
    covered: tuple[tuple[int, int], ...]
    missing: tuple[tuple[int, str, str], ...] = ()
    depth: int = 0
    merges: int = 0
    cites: tuple[str, ...] = ()


class FlowResult(msgspec.Struct, frozen=True, array_like=True):
    """What `ItemDone.data` holds for a run of a workflow.

    Attributes:
        output: JSON.
        steps: every step that ended, in that order.
        degraded: something stands in for what was asked somewhere; `steps` says where and why.
        stopped: why a gate ended the outermost chain early; empty where none did.
        coverage: of each map-reduce.
        review: a person should look at it: models did not agree.
    """

    output: bytes = b"null"
    steps: tuple[StepRecord, ...] = ()
    degraded: bool = False
    stopped: str = ""
    coverage: tuple[Coverage, ...] = ()
    review: bool = False

    @property
    def value(self) -> object:
        """The output."""
        return msgspec.json.decode(self.output)
