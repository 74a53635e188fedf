"""How a run of a workflow is left other than by an answer or a failure; no policy of a step looks at these."""

from typing import Any

from ...protocols.jobs import ApprovalAsk


class Parked(Exception):
    """Raised through all steps when people have to answer before the run can go on.

    Args:
        asks: what they are asked.
    """

    def __init__(self, asks: tuple[ApprovalAsk, ...]) -> None:
        super().__init__(asks)
        self.asks = asks


class Escalated(Exception):
    """Raised by an escalation, up to the nearest route that takes it.

    Args:
        reason: why.
        value: what is handed up.
        path: of the step that escalated.
    """

    def __init__(self, reason: str, value: Any, path: str) -> None:
        super().__init__(reason)
        self.reason, self.value, self.path = reason, value, path
