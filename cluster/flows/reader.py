"""The results of a job as they come, for whoever goes through them in Python."""

import contextlib
import threading
from collections.abc import Callable, Generator, Iterator
from typing import Any, Final

from ...protocols.errors import UnderstudyError, UsageError
from ...protocols.jobs import LIVE, ApprovalAsk, Page, Verdict
from .job import FlowJob, approvals
from .results import Result, read

Asked = Callable[[ApprovalAsk], Verdict]
"""Answers what a run asks of people."""

_ENDED: Final = {"failed": "the job failed", "cancelled": "the job was cancelled"}


class Results(Iterator[Result[Any]]):
    """Each result as it comes. One thread goes through them; any other may close them meanwhile.

    Args:
        job: that was not handed in yet: this is done when the first result is asked for.
        inputs: JSON-like values.
        on_approval: answers what the runs ask of people; None where somebody else does.
        on_text: is given the words of calls with `stream`, and None when what came so far is void.
    """

    def __init__(
        self,
        job: FlowJob,
        inputs: Iterator[Any],
        on_approval: Asked | None = None,
        on_text: Callable[[str | None], None] | None = None,
    ) -> None:
        self._reading = threading.Lock()
        self._closed = threading.Event()
        # It does not know this object: who drops the results, as a loop that is left does, closes them at once.
        self._results = _read(job, inputs, self._closed, on_approval, on_text)

    def __next__(self) -> Result[Any]:
        """The next one. Raises `UnderstudyError` when the job can't go on."""
        with self._reading:
            return next(self._results)

    def close(self) -> None:
        """Cancels the job, unless it is over. Who reads is let go with the next page: after a second at most."""
        self._closed.set()
        with self._reading:
            self._results.close()


def _read(
    job: FlowJob,
    inputs: Iterator[Any],
    closed: threading.Event,
    on_approval: Asked | None,
    on_text: Callable[[str | None], None] | None,
) -> Generator[Result[Any], None, None]:
    over = False
    try:
        for page in job.pages(inputs):
            over = page.state not in LIVE
            if closed.is_set():
                return
            if on_text is not None:
                _say(page, on_text)
            yield from (read(done) for done in page.items)
            if page.parked and on_approval is not None:
                _answer(job, on_approval)
            if page.state in _ENDED:
                raise UnderstudyError(_ENDED[page.state] + (f": {page.error}" if page.error else ""))
    finally:
        if not over:
            job.cancel()


def _say(page: Page, on_text: Callable[[str | None], None]) -> None:
    for event in page.events:
        if event.state == "text":
            on_text(None if event.note == "\x00" else event.note)


def _answer(job: FlowJob, asked: Asked) -> None:
    for waiting in approvals(job.session, job.spec.id):
        for ask in waiting.asks:
            verdict = asked(ask)
            with contextlib.suppress(UsageError):  # somebody else has answered it meanwhile
                job.answer(waiting.item, ask.path, verdict)
