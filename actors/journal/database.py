"""What a store's own driver does: it runs statements. All else is the same for every store."""

from collections.abc import Sequence
from typing import Any, Final, Protocol

from .writing import Row, Talk

PAGE_BYTES: Final = 1 << 20
"""A page of rows ends when it holds so much."""


class Database(Protocol):
    """A database with our tables. Connects at its first use, and anew after the connection was lost.

    Whatever is asked of it raises `JournalPaused` where it can't be done for now, and `JournalError` where it never can
    be; nothing was written then.

    Attributes:
        label: for people: which it is, without a password.
    """

    label: str

    async def write(self, talk: Talk) -> None:
        """Runs these statements in one transaction; returns when that is on disk."""

    async def fetch(self, sql: str, values: Row = (), *, most: int = 0) -> list[Row]:
        """The rows of a query; where `most` is not 0, no more after those that hold so many bytes."""

    async def size(self) -> int:
        """Bytes that the store takes."""

    async def compact(self) -> None:
        """Gives free space back."""

    async def close(self) -> None:
        """Ends what is open."""


def weight(row: Row) -> int:
    """About how many bytes a row holds."""
    return sum(len(value) for value in row if isinstance(value, bytes)) + 64


def marks(count: int, first: int = 1) -> str:
    """`$1, $2, …` for a list of values."""
    return ", ".join(f"${number}" for number in range(first, first + count))


def chunks(values: Sequence[Any], size: int = 400) -> list[Sequence[Any]]:
    """Lists short enough for one statement."""
    return [values[at : at + size] for at in range(0, len(values), size)]
