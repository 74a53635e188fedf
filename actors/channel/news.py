"""What replies' headers say of an account's quotas, on its way to the Provider."""

from typing import Final

import msgspec

from ...protocols.wire.codec import LimitsTold

TELL_S: Final = 1.0
"""What headers say goes with an ask that goes anyway; where it is news and none goes, after so long. It changes with
each reply, so a message for each would be a message a call."""


class QuotaNews:
    """The newest word of a holder's replies, and whether the Provider has it."""

    __slots__ = ("_before", "_newest", "due_at")

    def __init__(self) -> None:
        #: What was said last and not told yet; what was told last.
        self._newest: LimitsTold | None = None
        self._before: LimitsTold | None = None
        #: When it has to be told though there is nothing else to say; None while there is no news.
        self.due_at: float | None = None

    def hear(self, told: LimitsTold, *, now: float) -> None:
        """A reply's headers said this."""
        self._newest = told
        if told == self._before:
            self.due_at = None
        elif self.due_at is None:
            self.due_at = now + TELL_S

    def take(self) -> LimitsTold | None:
        """What an ask tells now; it is news no more."""
        told, self._newest, self.due_at = self._newest, None, None
        self._before = told or self._before
        return told

    def again(self) -> None:
        """A successor of the Provider has to hear of the quotas; what was left then is of no use any more."""
        told = self._newest or self._before
        if told is not None:
            self._newest = msgspec.structs.replace(told, requests_left=-1, tokens_left=-1)
            self._before, self.due_at = None, 0.0
