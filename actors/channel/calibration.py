"""How a provider's token count relates to ours."""

import math
from typing import Final

START: Final = 1.25
"""Until enough replies were seen: o200k counts 5 to 20 % less than other families' tokenizers for the same text."""
ENOUGH: Final = 20
MARGIN: Final = 1.02
PROMPT: Final = 8
"""Tokens that a provider adds to any prompt, for roles and separators."""
SHORTEST: Final = 64
"""Nothing is learned from shorter prompts: what is added to them would be taken for a large ratio."""


class Calibration:
    """The factor from our count of a prompt to what the provider reports, from above.

    It is the largest ratio seen lately (it decays by 0.1 % a call) with a margin, because a reservation that is too
    small lets a quota be passed, while one that is too large is given back when the call ends.
    """

    __slots__ = ("_high", "_seen")

    def __init__(self) -> None:
        self._high = 0.0
        self._seen = 0

    def reserve(self, counted: int) -> int:
        """Tokens to reserve for a prompt of `counted` tokens."""
        factor = START if self._seen < ENOUGH else self._high * MARGIN
        return math.ceil(counted * max(factor, self._high)) + PROMPT

    def learn(self, counted: int, reported: int) -> None:
        """A reply reported `reported` tokens for a prompt we counted as `counted`."""
        if counted < SHORTEST or reported <= 0:
            return
        self._seen += 1
        self._high = max(self._high * 0.999, reported / counted)
