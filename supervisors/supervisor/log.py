"""A job's answers in the order they came, for its reader; and what happened to steps, for whoever watches."""

from collections import deque
from collections.abc import Iterable, Iterator
from typing import Final

from ...protocols.errors import UnderstudyError
from ...protocols.messages import ItemDone, StepEvent

PAGE_ITEMS: Final = 2000
PAGE_BYTES: Final = 4_000_000
"""A page is bounded by both; one answer that is larger travels alone."""
UNREAD_MOST: Final = 20_000
UNREAD_BYTES: Final = 32_000_000
"""While more than that is unread, nothing more of a job that lets its answers go is handed out."""
EVENTS_MOST: Final = 4096
EVENTS_PAGE: Final = 1024

Row = tuple[bool, ItemDone]
"""(True for a node of the reduce tree, the answer)."""


class AnswerLog:
    """Answers by absolute cursors. A reader that asks for what comes after a cursor has read all before it.

    Args:
        keep: answers stay when they have been read, so that a reader may begin anew.
        written: the Journal has them all: a reader that is slow holds nobody up, he is given the old ones from there.
        base: answers before that cursor are only there.
    """

    def __init__(self, *, keep: bool = True, written: bool = False, base: int = 0) -> None:
        self._keep = keep
        self._written = written
        self._rows: list[Row] = []
        #: Cursor of the first row that is still here.
        self.base = base
        self._bytes = 0

    def add(self, done: ItemDone, *, node: bool = False) -> None:
        """One more answer."""
        self._rows.append((node, done))
        self._bytes += len(done.data)
        if self._written and not self._keep and (len(self._rows) > UNREAD_MOST or self._bytes > UNREAD_BYTES):
            self._drop(len(self._rows) // 2)

    def read(self, cursor: int) -> list[Row]:
        """A page of answers from `cursor` on. Raises `UnderstudyError` where they were let go already."""
        if cursor < self.base:
            raise UnderstudyError(
                f"answers before {self.base} were read and let go, {cursor} is asked for; keep=True would keep them"
            )
        return page_of(self._rows[cursor - self.base : cursor - self.base + PAGE_ITEMS])

    def let_go(self, cursor: int) -> bool:
        """All before `cursor` has been read; True where something was let go."""
        count = min(cursor, self.end) - self.base
        if self._keep or count <= 0:
            return False
        self._drop(count)
        return True

    def _drop(self, count: int) -> None:
        self._bytes -= sum(len(done.data) for _, done in self._rows[:count])
        del self._rows[:count]
        self.base += count

    @property
    def end(self) -> int:
        """The cursor after the newest answer."""
        return self.base + len(self._rows)

    @property
    def full(self) -> bool:
        """True while the reader is so far behind that nothing more should be asked of anybody."""
        return not self._keep and not self._written and (len(self._rows) > UNREAD_MOST or self._bytes > UNREAD_BYTES)

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[Row]:
        return iter(self._rows)


def page_of(rows: Iterable[Row]) -> list[Row]:
    """The first of these rows, as many as fit on a page."""
    page: list[Row] = []
    size = 0
    for row in rows:
        size += len(row[1].data)
        if page and (size > PAGE_BYTES or len(page) == PAGE_ITEMS):
            break
        page.append(row)
    return page


class EventLog:
    """The newest events of a job's steps; who is slow loses the oldest and is told how many."""

    def __init__(self, most: int = EVENTS_MOST) -> None:
        self._events: deque[StepEvent] = deque(maxlen=most)
        #: Events that ever came.
        self.end = 0

    def add(self, events: Iterable[StepEvent]) -> None:
        """More events, oldest first."""
        for event in events:
            self._events.append(event)
            self.end += 1

    def since(self, heard: int) -> tuple[tuple[StepEvent, ...], int, int]:
        """A page of events after the first `heard`: (events, what to give as `heard` next time, how many are gone)."""
        base = self.end - len(self._events)
        start = min(max(heard, base), self.end)
        stop = min(start + EVENTS_PAGE, self.end)
        page = tuple(self._events[place - base] for place in range(start, stop))
        return page, stop, max(base - heard, 0)
