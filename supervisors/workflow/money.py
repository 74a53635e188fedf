"""A budget that all calls below a node share: reserved before a call is made, settled when its bill is there. Pure."""

import dataclasses
from typing import Final

NO_LIMIT: Final = 1 << 62


@dataclasses.dataclass(slots=True)
class Allowance:
    """Bounds on what may be spent together; picodollars, logical calls, tokens.

    Invariant: what is spent and reserved never passes a bound by a reservation; only a settlement that is dearer than
    its reservation can, and then nothing more is given.
    """

    cost: int = NO_LIMIT
    calls: int = NO_LIMIT
    tokens: int = NO_LIMIT
    name: str = "the budget"
    spent_cost: int = 0
    spent_calls: int = 0
    spent_tokens: int = 0
    held_cost: int = 0
    held_tokens: int = 0
    #: Calls that are out with a reservation.
    out: int = 0

    def lack(self, cost: int, tokens: int) -> str:
        """Which bound such a call would pass even if all that is reserved came back; empty where it may yet fit."""
        if self.spent_calls + 1 > self.calls:
            return f"{self.name} of {self.calls} calls is used up"
        if self.spent_tokens + tokens > self.tokens:
            return f"{self.name} of {self.tokens} tokens has no room for {tokens} more"
        if self.spent_cost + cost > self.cost:
            return f"{self.name} of ${self.cost / 1e12:.6f} has no room for a call of up to ${cost / 1e12:.6f}"
        return ""

    def fits(self, cost: int, tokens: int) -> bool:
        """Whether such a call can be reserved now."""
        return (
            self.spent_calls + self.out + 1 <= self.calls
            and self.spent_tokens + self.held_tokens + tokens <= self.tokens
            and self.spent_cost + self.held_cost + cost <= self.cost
        )

    @property
    def left_cost(self) -> int:
        """Picodollars that nobody has reserved."""
        return max(0, self.cost - self.spent_cost - self.held_cost)

    def reserve(self, cost: int, tokens: int) -> None:
        """Takes out a call that `fits`."""
        self.held_cost += cost
        self.held_tokens += tokens
        self.out += 1

    def settle(self, held_cost: int, held_tokens: int, cost: int, tokens: int, *, calls: int = 1) -> None:
        """A reservation turned out to cost `cost` and use `tokens`."""
        self.held_cost -= held_cost
        self.held_tokens -= held_tokens
        self.out -= 1
        self.spent_cost += cost
        self.spent_tokens += tokens
        self.spent_calls += calls

    def validate(self) -> None:
        """Asserts the invariants; called after each test."""
        assert min(self.held_cost, self.held_tokens, self.out) >= 0
