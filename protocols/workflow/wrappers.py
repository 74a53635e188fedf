"""Nodes around one other: try again, end in time, spend no more."""

from typing import TYPE_CHECKING, Literal, Self

from pydantic import Field, model_validator

from ..strict import mistake
from .step import Step

if TYPE_CHECKING:
    from .nodes import Node


class Retry(Step):
    """Runs its step again when it fails; what was finished inside is not done again where it can be kept."""

    kind: Literal["retry"] = "retry"
    node: "Node" = Field(description="the step")
    attempts: int = Field(default=3, gt=0, le=100, description="runs in all")
    backoff_s: float = Field(default=0.5, ge=0, description="first pause, s; doubles, with full jitter")


class Timeout(Step):
    """Ends its step after so many seconds; sockets are closed. Time that a person takes to approve does not count."""

    kind: Literal["timeout"] = "timeout"
    node: "Node" = Field(description="the step")
    seconds: float = Field(gt=0, description="at most")


class Budget(Step):
    """Nothing inside is sent that could pass these bounds; all that is inside shares them."""

    kind: Literal["budget"] = "budget"
    node: "Node" = Field(description="the step")
    max_cost: float | None = Field(default=None, gt=0, description="dollars")
    max_calls: int | None = Field(default=None, gt=0, description="logical calls")
    max_tokens: int | None = Field(default=None, gt=0, description="tokens, input and output together")

    @model_validator(mode="after")
    def _bounds_something(self) -> Self:
        if self.max_cost is None and self.max_calls is None and self.max_tokens is None:
            raise mistake("bounds nothing: give `max_cost`, `max_calls` or `max_tokens`")
        return self
