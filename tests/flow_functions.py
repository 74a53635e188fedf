"""Functions that workflows of the tests name by import path. What they were called with is noted by run."""

import asyncio
import re
from collections import defaultdict
from typing import Any

from pydantic import BaseModel, field_validator

#: What was noted, by whatever name a test chooses.
CALLS: defaultdict[str, list[Any]] = defaultdict(list)


def note(book: str, what: Any = None) -> Any:
    """Notes that it was called, and gives back with what."""
    CALLS[book].append(what)
    return what


def fail(book: str = "", what: Any = None) -> Any:
    """Notes that it was called, and fails."""
    if book:
        CALLS[book].append(what)
    raise RuntimeError("out of paper")


def fail_first(book: str, times: int = 1, what: Any = "at last") -> Any:
    """Fails so many times for a book, then gives back `what`."""
    CALLS[book].append(what)
    if len(CALLS[book]) <= times:
        raise RuntimeError("not yet")
    return what


async def count(book: str) -> int:
    """How often it was called, this time included."""
    CALLS[book].append(None)
    return len(CALLS[book])


def nothing() -> object:
    """Gives back what is no JSON."""
    return object()


async def anote(book: str, what: Any = None) -> Any:
    """As `note`, in the loop itself."""
    return note(book, what)


async def afail(book: str = "", what: Any = None) -> Any:
    """As `fail`, in the loop itself."""
    return fail(book, what)


async def marks(texts: list[Any], fails_at: int = 0) -> str:
    """The marks `<3>` that stand in texts, or in parts of a merge; fails for so many texts."""
    if len(texts) == fails_at:
        raise RuntimeError("one too many")
    said = [text["value"] if isinstance(text, dict) else text for text in texts]
    return " ".join(re.findall(r"<\d+>", " ".join(map(str, said))))


async def later(book: str, what: Any = None, turns: int = 3) -> Any:
    """As `note`, after some turns of the loop."""
    for _ in range(turns):
        await asyncio.sleep(0)
    return note(book, what)


async def evaluated(book: str, what: str) -> Any:
    """What an expression of Python comes to."""
    CALLS[book].append(what)
    return eval(what)


async def seen(book: str, what: Any = None) -> None:
    """Notes what it was given."""
    CALLS[book].append(what)


class Even(BaseModel):
    """What no JSON Schema of pydantic's says: its number is even."""

    number: int

    @field_validator("number")
    @classmethod
    def _is_even(cls, value: int) -> int:
        if value % 2:
            raise ValueError("it is odd")
        return value
