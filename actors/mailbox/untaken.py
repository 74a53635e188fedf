"""What an actor has told and nobody has taken yet: it is told again to a successor of who should have taken it."""

from collections import deque
from collections.abc import Iterator
from itertools import islice
from typing import Final, Generic, TypeVar

T = TypeVar("T")

LIFE_BITS: Final = 22
"""A number's lower bits count; those above are the life of the sender: milliseconds since 1970 leave so many."""


class Untaken(Generic[T]):
    """Things to tell, in order, numbered one by one. Each stays until it is taken; it may be told any number of times.

    Args:
        before: the number before the first.

    Attributes:
        serial: the number of the newest.
    """

    __slots__ = ("_kept", "_told", "serial")

    def __init__(self, before: int = 0) -> None:
        self._kept: deque[T] = deque()
        self._told = self.serial = before

    def add(self, one: T) -> None:
        """One more, not told yet."""
        self._kept.append(one)
        self.serial += 1

    def told(self, serial: int) -> None:
        """All up to that number were told."""
        self._told = max(self._told, min(serial, self.serial))

    def doubt(self) -> None:
        """What was told and not taken may have been lost: all of it is to be told again."""
        self._told = self.taken

    def take(self, serial: int) -> None:
        """All up to that number are safe and may be forgotten. A number that passes the newest stands for that one."""
        serial = min(serial, self.serial)
        while self.taken < serial:
            self._kept.popleft()
        self._told = max(self._told, self.taken)

    @property
    def taken(self) -> int:
        """The number up to which all are taken."""
        return self.serial - len(self._kept)

    @property
    def untold(self) -> int:
        """How many are to be told."""
        return self.serial - self._told

    def next(self, most: int) -> list[T]:
        """The first up to `most` that are to be told; their numbers follow what was told last."""
        first = self._told - self.taken
        return list(islice(self._kept, first, first + most))

    @property
    def last_told(self) -> int:
        """The number up to which all were told."""
        return self._told

    def __len__(self) -> int:
        return len(self._kept)

    def __iter__(self) -> Iterator[T]:
        return iter(self._kept)

    def validate(self) -> None:
        """Asserts the invariants; called after each test."""
        assert 0 <= self.taken <= self._told <= self.serial
