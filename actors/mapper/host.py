"""What a Mapper offers to an interpreter: somebody to tell what happens to steps, and jobs that work for an item."""

import asyncio
import contextlib
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any, Final

import msgspec

from ...protocols.errors import MailboxFull
from ...protocols.jobs import JobSpec
from ...protocols.messages import StepEvent, Steps
from ..interpreter import StepLog
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
    """

    def __init__(self, post: Post, home: str, spec: JobSpec, handle: Callable[[], Awaitable[Any]]) -> None:
        self.name = post.name
        self._post = post
        self._home = home
        self._spec = spec
        self._handle = handle
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

    def steps(self, number: int) -> StepLog | None:  # noqa: ARG002 - filled in with the Journal's client
        """See `understudy.actors.interpreter.Host`."""
        return None

    def children(self, spec: JobSpec, *, nodes: int = 0) -> ChildJob:
        """A job that works for an item of this one; it begins when it is entered."""
        return ChildJob(msgspec.structs.replace(spec, parent=self._spec.id), self.name, self._handle, nodes=nodes)
