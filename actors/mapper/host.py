"""What a Mapper offers to an interpreter: somebody to tell what happens to steps, and jobs that work for an item."""

import asyncio
import contextlib
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

import msgspec

from ...protocols.errors import MailboxFull
from ...protocols.jobs import JobSpec
from ...protocols.journal import StepRow
from ...protocols.messages import StepEvent, Steps
from ..interpreter import StepLog
from ..journal.api import Journal
from ..mailbox.post import Post
from .child import ChildJob

EVENTS_MOST: Final = 4096
EVENTS_BATCH: Final = 256
FLUSH_S: Final = 0.05


class MapperHost:
    """See `understudy.actors.interpreter.Host`.

    Args:
        post: the Mapper's post office.
        home: the Supervisor of the job.
        spec: the job.
        handle: finds that Supervisor's handle.
        journal: where finished steps are kept; asked for only when there is one.
    """

    def __init__(
        self,
        post: Post,
        home: str,
        spec: JobSpec,
        handle: Callable[[], Awaitable[Any]],
        journal: Callable[[], Journal],
    ) -> None:
        self.name = post.name
        self._post = post
        self._home = home
        self._spec = spec
        self._handle = handle
        self._journal = journal
        self._logs: dict[int, StepLog] = {}
        #: What is not told yet; when steps happen faster than they can be told, the oldest are lost.
        self._events: deque[StepEvent] = deque(maxlen=EVENTS_MOST)
        self._timer: asyncio.TimerHandle | None = None

    def tell(self, event: StepEvent) -> None:
        """Keeps the event for the next message, which leaves after 50 ms or before an item's answer does."""
        if not self._spec.watch:
            return
        self._events.append(event)
        if len(self._events) >= EVENTS_BATCH:
            self.flush()
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(FLUSH_S, self.flush)

    def flush(self) -> None:
        """Tells now what is not told yet."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._events:
            events = tuple(self._events)
            self._events.clear()
            weight = 64 + sum(64 + len(event.path) + len(event.note) for event in events)
            with contextlib.suppress(MailboxFull):  # who can't be told in time loses events, and no item fails for it
                self._post.tell(self._home, Steps(self._spec.id, events), job=self._spec.id, weight=weight)

    def steps(self, number: int) -> StepLog | None:
        """See `understudy.actors.interpreter.Host`."""
        if self._spec.journal == "ahead" and number not in self._logs:
            self.begin(number, 0, (), again=False)
        return self._logs.get(number)

    def begin(self, number: int, era: int, rows: Sequence[StepRow], *, again: bool) -> None:
        """An item is worked on in that era; `again` where it was begun before, and these steps of it are known."""
        # Only jobs with steps need it, and the module that keeps them.
        from ..journal.steps import ItemSteps  # noqa: PLC0415

        self._logs[number] = ItemSteps(self._journal(), self._spec.id, number, era=era, again=again, rows=rows)

    def end(self, number: int) -> None:
        """The item is not worked on any more."""
        self._logs.pop(number, None)

    def children(self, spec: JobSpec, *, nodes: int = 0, again: str = "") -> ChildJob:
        """A job that works for an item of this one; it begins when it is entered."""
        child = msgspec.structs.replace(spec, parent=self._spec.id)
        return ChildJob(child, self.name, self._handle, nodes=nodes, again=again)
