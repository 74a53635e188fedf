"""What a logical call came to."""

import dataclasses

from ...protocols.chat import ChatReply


@dataclasses.dataclass(slots=True)
class CallOutcome:
    """What a logical call came to, and what it used over all attempts.

    `reply` is None exactly when `error` says why; `model` is who answered, or who failed last. `cost` is
    picodollars, -1 as soon as one attempt's price is unknown.
    """

    reply: ChatReply | None = None
    error: str = ""
    model: str = ""
    attempts: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost: int = 0
