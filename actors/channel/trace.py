"""What a channel tells of one attempt while it goes on."""

from collections.abc import Callable

from ...protocols.chat import Usage


class Trace:
    """One attempt as its channel sees it; monotonic seconds, 0 for what has not happened.

    Attributes:
        sent_at: when the permit was there and the request left.
        first_at: when a stream's first words came.
        usage: what the provider has counted so far.
        text: what a stream has said so far.
        on_sent: called when the request leaves.
    """

    __slots__ = ("first_at", "on_sent", "sent_at", "text", "usage")

    def __init__(self, on_sent: Callable[[], None] | None = None) -> None:
        self.sent_at = 0.0
        self.first_at = 0.0
        self.usage = Usage()
        self.text = ""
        self.on_sent = on_sent

    def sent(self, now: float) -> None:
        """The request leaves now."""
        self.sent_at = now
        if self.on_sent is not None:
            self.on_sent()
