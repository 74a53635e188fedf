"""What came of a run of a workflow, for whoever asked for it."""

import dataclasses
from decimal import Decimal
from typing import Any, Generic, TypeVar

import msgspec

from ...actors.prices import dollars
from ...protocols.errors import StepFailed
from ...protocols.messages import ItemDone
from ...protocols.workflow.result import Coverage, FlowResult, StepRecord

T = TypeVar("T")


@dataclasses.dataclass(frozen=True, slots=True)
class Result(Generic[T]):
    """One run of a workflow.

    Attributes:
        output: what it made of its input; None where it failed.
        error: why it failed, in one line; empty where it did not.
        degraded: something stands in for what was asked somewhere; `steps` says where and why.
        stopped: why a gate ended it early; empty where none did.
        review: a person should look at it: models did not agree.
        steps: every step that ended, in that order.
        coverage: what each map-reduce covers, and what is missing in it.
        cost: dollars; None where a price is not known.
        open_cost: dollars that may have been charged besides, for replies that were never seen to their end.
        calls: logical calls.
        attempts: requests sent for them.
        input_tokens: as the providers counted them.
        output_tokens: as above.
        number: of the input, from 0.
    """

    output: T | None
    error: str = ""
    degraded: bool = False
    stopped: str = ""
    review: bool = False
    steps: tuple[StepRecord, ...] = ()
    coverage: tuple[Coverage, ...] = ()
    cost: Decimal | None = Decimal(0)
    open_cost: Decimal = Decimal(0)
    calls: int = 0
    attempts: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    number: int = 0

    def check(self) -> "Result[T]":
        """Itself. Raises `StepFailed` when the run has failed."""
        if self.error:
            raise StepFailed(self.error)
        return self

    def plain(self) -> dict[str, Any]:
        """As JSON-like values, for `--json` and for lines of results."""
        told: dict[str, Any] = {"number": self.number, "output": self.output, "error": self.error or None}
        told |= {"degraded": self.degraded, "stopped": self.stopped or None, "review": self.review}
        told["bill"] = {
            "calls": self.calls,
            "attempts": self.attempts,
            "input_tokens": self.input_tokens,
            "output_tokens": self.output_tokens,
            "dollars": None if self.cost is None else f"{self.cost:f}",
            "open_dollars": f"{self.open_cost:f}",
        }
        told["coverage"] = [_plain(one) for one in self.coverage]
        told["steps"] = [_plain(one) for one in self.steps]
        return told


def _plain(struct: msgspec.Struct) -> dict[str, Any]:
    return {name: msgspec.to_builtins(getattr(struct, name)) for name in struct.__struct_fields__}


def read(done: ItemDone) -> Result[Any]:
    """What an item's answer says."""
    result = msgspec.msgpack.decode(done.data, type=FlowResult) if done.data else FlowResult()
    return Result(
        output=None if done.error else result.value,
        error=done.error,
        degraded=result.degraded or done.degraded,
        stopped=result.stopped,
        review=result.review,
        steps=result.steps,
        coverage=result.coverage,
        cost=None if done.cost < 0 else dollars(done.cost),
        open_cost=dollars(done.open_cost),
        calls=sum(step.calls for step in result.steps),
        attempts=done.attempts,
        input_tokens=done.input_tokens,
        output_tokens=done.output_tokens,
        number=done.item,
    )
