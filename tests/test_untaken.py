"""Answers that are told and not taken: numbered, told again after a doubt, forgotten once they are safe."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from understudy.actors.mailbox import telling as module
from understudy.actors.mailbox.telling import TOLD_BYTES, TOLD_COUNT, Telling
from understudy.actors.mailbox.untaken import LIFE_BITS, Untaken
from understudy.protocols.errors import MailboxFull
from understudy.protocols.messages import ItemDone, Results

LOW = (1 << LIFE_BITS) - 1
moves = st.lists(st.tuples(st.sampled_from(["add", "add", "tell", "doubt", "take"]), st.integers(0, 12)), max_size=60)


@given(moves)
def test_agrees_with_a_plain_list(script: list[tuple[str, int]]) -> None:
    """What is told next follows what was told last; a doubt goes back to what was taken, and not further."""
    untaken, added, told, taken = Untaken[int](), list[int](), 0, 0
    for what, number in script:
        if what == "add":
            untaken.add(len(added))
            added.append(len(added))
        elif what == "tell":
            assert untaken.next(number) == added[told : told + number]
            told = min(told + number, len(added))
            untaken.told(told)
        elif what == "doubt":
            untaken.doubt()
            told = taken
        else:
            untaken.take(number)
            taken = max(taken, min(number, len(added)))
            told = max(told, taken)
        untaken.validate()
        assert list(untaken) == added[taken:]
        assert (untaken.serial, untaken.taken, untaken.last_told) == (len(added), taken, told)
        assert (untaken.untold, len(untaken)) == (len(added) - told, len(added) - taken)


class Shelf:
    """A post office that keeps what is said, or has no room."""

    def __init__(self) -> None:
        self.full = False
        self.told: list[Results] = []

    def tell(self, _: str, payload: Any, **__: Any) -> None:
        """Keeps what is said."""
        if self.full:
            raise MailboxFull("no room")
        self.told.append(payload)


def telling(shelf: Shelf, *, keep: bool = True) -> Telling[ItemDone]:
    """Answers of the job `j`."""

    def message(done: Sequence[ItemDone], serial: int) -> Results:
        return Results("j", tuple(done), serial)

    return Telling(shelf, "home", "j", message=message, weigh=lambda one: len(one.data), keep=keep)  # type: ignore[arg-type]


def add(one: Telling[ItemDone], *items: int, data: bytes = b"") -> None:
    """These items are answered."""
    for item in items:
        one.untaken.add(ItemDone(item, data))


def numbers(shelf: Shelf) -> list[tuple[list[int], int]]:
    """What was told: items and serial of each message."""
    return [([done.item for done in results.done], results.serial) for results in shelf.told]


def counts(shelf: Shelf) -> list[tuple[list[int], int]]:
    """As `numbers`, within the sender's life."""
    return [(items, serial & LOW) for items, serial in numbers(shelf)]


async def test_messages_stay_small_and_say_their_number() -> None:
    """Many answers are cut by count and by weight; the number is that of the last one."""
    shelf = Shelf()
    one = telling(shelf)
    add(one, *range(TOLD_COUNT + 1))
    one.flush()
    one.flush()
    assert counts(shelf) == [(list(range(TOLD_COUNT)), TOLD_COUNT), ([TOLD_COUNT], TOLD_COUNT + 1)]
    shelf.told.clear()
    add(one, 1, 2, 3, data=b"x" * (TOLD_BYTES // 2))
    one.flush()
    assert [serial for _, serial in counts(shelf)] == [TOLD_COUNT + 3, TOLD_COUNT + 4]


async def test_what_found_no_room_is_told_later(monkeypatch: pytest.MonkeyPatch) -> None:
    """A full outbox loses nothing, also of a job that is not journaled."""
    monkeypatch.setattr(module, "RETELL_S", 0.0)
    for keep in (True, False):
        shelf = Shelf()
        one = telling(shelf, keep=keep)
        shelf.full = True
        add(one, 0, 1)
        one.flush()
        add(one, 2)
        shelf.full = False
        await asyncio.sleep(0.001)
        assert counts(shelf) == [([0, 1, 2], 3)]
        assert len(one.untaken) == (3 if keep else 0)
        one.close()


async def test_what_may_be_lost_is_told_again_until_it_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a doubt all that was not taken comes again, with its old number; what was taken does not."""
    monkeypatch.setattr(module, "RETELL_S", 0.0)
    shelf = Shelf()
    one = telling(shelf)
    add(one, 0, 1, 2)
    one.flush()
    first = one.untaken.taken
    one.untaken.take(first + 1)
    one.doubt()
    one.doubt()
    await asyncio.sleep(0.001)
    one.again()
    one.untaken.take(first + 3)
    one.doubt()
    await asyncio.sleep(0.001)
    assert counts(shelf) == [([0, 1, 2], 3), ([1, 2], 3), ([1, 2], 3)]


async def test_a_job_that_is_over_is_told_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """Closing ends what was to be told again."""
    monkeypatch.setattr(module, "RETELL_S", 0.0)
    shelf = Shelf()
    one = telling(shelf)
    add(one, 0)
    one.flush()
    one.doubt()
    one.close()
    await asyncio.sleep(0.001)
    assert counts(shelf) == [([0], 1)]


async def test_a_later_life_has_higher_numbers() -> None:
    """Who begins anew, also within one millisecond, never tells a number that it has told before."""
    shelf = Shelf()
    for _ in range(3):
        one = telling(shelf)
        add(one, 0, 1)
        one.flush()
    serials = [serial for _, serial in numbers(shelf)]
    assert serials == sorted(set(serials))
    assert len({serial >> LIFE_BITS for serial in serials}) == 3
