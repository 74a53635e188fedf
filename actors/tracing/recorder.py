"""Notes what an item's calls did, while it is worked on.

The recorder of the item that is under way stands in a context variable, which asyncio hands on to each task that the
item begins: calls find it without being told, through whatever pattern they are made. Where there is none nothing is
noted, at the price of one look (0.05 µs).
"""

import contextlib
import time
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import TYPE_CHECKING

import msgspec

from ...protocols.chat import ChatReply, ChatRequest
from ...protocols.messages import ItemDone
from ...protocols.tracing.records import CallRecord, PartRecord, PartState, StepNote, pack_part

if TYPE_CHECKING:
    from ..call.logical import LogicalCall

Capture = Callable[[ChatRequest, ChatReply | None], tuple[str, str]]
"""What may be kept of a question and its answer."""

_recorder: ContextVar["Recorder | None"] = ContextVar("recorder", default=None)
_path: ContextVar[str] = ContextVar("path", default="")


class Recorder:
    """One item or node that is under way.

    Args:
        capture: what is kept of questions and answers; None for nothing.
    """

    __slots__ = ("began", "calls", "capture", "started", "steps")

    def __init__(self, capture: Capture | None = None) -> None:
        self.capture = capture
        self.began = time.time()
        self.started = time.monotonic()
        self.calls: list[CallRecord] = []
        self.steps: list[StepNote] = []

    def call(self, call: "LogicalCall") -> None:
        """A logical call is over, or was cancelled."""
        outcome, request = call.outcome, call.request
        asked, said = self.capture(request, outcome.reply) if self.capture is not None else ("", "")
        self.calls.append(
            CallRecord(
                call.began - self.started,
                time.monotonic() - call.began,
                request.model,
                outcome.model,
                outcome.rung,
                tuple(outcome.log),
                _path.get(),
                outcome.error,
                outcome.reply.finish if outcome.reply is not None else "",
                request.max_tokens,
                asked,
                said,
            )
        )

    def record(self, part: PartRecord, done: ItemDone) -> PartRecord:
        """What it came to: `part` says which item it is, `done` how it ended."""
        return PartRecord(
            part.span,
            part.kind,
            part.number,
            self.began,
            time.monotonic() - self.started,
            _state(done),
            part.actor,
            part.era,
            done.error,
            tuple(self.calls),
            tuple(self.steps),
            part.links,
        )


def _state(done: ItemDone) -> PartState:
    if done.error:
        return "failed"
    if done.parked:
        return "parked"
    if done.degraded:
        return "degraded"
    return "recalled" if done.recalled else "done"


def current() -> Recorder | None:
    """The recorder of the item that this task works for."""
    return _recorder.get()


@contextlib.contextmanager
def recording(recorder: Recorder | None) -> Iterator[None]:
    """What is done inside, and in tasks begun inside, is noted there; None: it is noted nowhere."""
    token = _recorder.set(recorder)
    try:
        yield
    finally:
        _recorder.reset(token)


@contextlib.contextmanager
def at_step(path: str) -> Iterator[None]:
    """Calls made inside are made for the step at that path."""
    token = _path.set(path)
    try:
        yield
    finally:
        _path.reset(token)


def with_trace(done: ItemDone, record: PartRecord) -> ItemDone:
    """The answer with what led to it, for the Journal."""
    return msgspec.structs.replace(done, trace=pack_part(record))
