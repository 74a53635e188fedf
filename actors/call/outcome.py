"""What a logical call came to."""

import dataclasses

from ...protocols.call import Attempt, CallResult, Rung
from ...protocols.chat import ChatReply


@dataclasses.dataclass(slots=True)
class CallOutcome:
    """What a logical call came to, and what it used over all attempts.

    `reply` is None exactly when `error` says why; `model` is who answered, or who failed last. `cost` is
    picodollars, -1 as soon as one attempt's price is unknown; `open_cost` is what may have been charged besides, for
    attempts whose reply was never seen to its end.
    """

    reply: ChatReply | None = None
    error: str = ""
    model: str = ""
    attempts: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost: int = 0
    open_cost: int = 0
    hedges: int = 0
    rung: Rung = ""
    took_s: float = 0.0
    #: Every attempt, in the order they ended.
    log: list[Attempt] = dataclasses.field(default_factory=list)

    @property
    def degraded(self) -> bool:
        """True where every model failed, and an older or a declared answer stands in."""
        return self.rung in ("stale", "degraded")

    def add(self, attempt: Attempt) -> None:
        """One attempt has ended."""
        self.log.append(attempt)
        if self.reply is None:  # who comes second does not take the name of who has answered
            self.model = attempt.candidate
        self.attempts += attempt.sent
        self.hedges += attempt.sent and attempt.role == "hedge"
        self.input_tokens += attempt.usage.input_tokens
        self.output_tokens += attempt.usage.output_tokens
        self.open_cost += attempt.open_cost
        self.cost = -1 if attempt.cost < 0 or self.cost < 0 else self.cost + attempt.cost

    def result(self) -> CallResult:
        """The same, as it travels."""
        return CallResult(
            reply=self.reply,
            error=self.error,
            rung=self.rung,
            model=self.model,
            attempts=tuple(self.log),
            took_s=self.took_s,
            queued=self.rung == "degraded",
        )
