"""Follows a job of a workflow to its end, keeps its results, and says what came of it: for whoever drives it.

That is the command that handed it in, or a later one that goes on where that one was stopped.
"""

import contextlib
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from rich.console import Console

from ...protocols.errors import UnderstudyError
from ...protocols.jobs import Page, Waiting
from ...protocols.messages import ItemDone
from . import ending, show
from .job import FlowJob, approvals
from .results import read
from .sink import Sink

OK, USAGE, PARTIAL, WAITING, CANCELLED = 0, 2, 3, 4, 130


class Following:
    """One job's driver.

    Args:
        console: for people; standard error with `json`, so that standard output is JSON alone.
        json: the outcome is printed as JSON.
        stay: go on while people are asked.
        owns: Ctrl-C cancels the job; without it the job goes on without this driver.
        sink: where the results of many inputs go; None for one input.
        out: the same as a path.
    """

    def __init__(
        self, console: Console, *, json: bool, stay: bool, owns: bool, sink: Sink | None = None, out: Path | None = None
    ) -> None:
        self._console = console
        self._json = json
        self._stay = stay
        self._owns = owns
        self._sink = sink
        self._out = str(out or "")
        self._began = time.monotonic()
        self._last: ItemDone | None = None
        self._page: Page | None = None
        self._coming: Iterator[ItemDone] = iter(())
        self._waiting: list[Waiting] = []

    # Working ----------------------------------------------------------------------------------------------------------

    def work(self, job: FlowJob, pages: Iterable[Page], progress: show.Progress, total: int) -> int:
        """Goes through all pages. Returns 0, 3 (some run failed), 4 (it waits for people) or 130 (stopped).

        Raises:
            UnderstudyError: the job was cancelled by somebody else, or can't go on.
        """
        progress.stage(f"running {total:,} inputs" if total > 1 else "running")
        try:
            return self._through(job, pages, progress)
        except KeyboardInterrupt:
            return self._stopped(job, progress)
        finally:
            if self._sink is not None:
                self._sink.close()

    def _through(self, job: FlowJob, pages: Iterable[Page], progress: show.Progress) -> int:
        told = False
        for page in pages:
            self._take(page, progress)
            if page.state != "waiting":
                told = False
            elif not told:
                told = True
                self._waiting = approvals(job.session, job.spec.id)
                if not self._stay:
                    return WAITING
                progress.stage(f"waits for people: understudy approve {job.spec.id}")
        self._waiting = []
        assert self._page is not None
        if self._page.state in ("failed", "cancelled"):
            raise UnderstudyError(f"the job was {self._page.state}: {self._page.error or 'by another command'}")
        return PARTIAL if self._page.failed else OK

    def _stopped(self, job: FlowJob, progress: show.Progress) -> int:
        if self._page is not None and self._page.state == "waiting":
            self._waiting = approvals(job.session, job.spec.id)
            return WAITING
        self._waiting = []
        if not self._owns:
            self._keep()
            return CANCELLED
        progress.stage("stopping")
        job.cancel()
        self._keep()  # what was on its way when the key was pressed: it is paid for
        for page in job.rest():
            self._take(page, progress)
        return CANCELLED

    def _take(self, page: Page, progress: show.Progress) -> None:
        self._page = page
        self._coming = iter(page.items)
        self._keep()
        progress.take(page)

    def _keep(self) -> None:
        """Keeps what came and was not kept yet."""
        for done in self._coming:
            self._last = done
            if self._sink is not None:
                self._sink.write(done)
        if self._sink is not None:
            self._sink.flush()

    # Ending -----------------------------------------------------------------------------------------------------------

    def end(self, code: int, job: str) -> int:
        """Says what came of it. Returns the exit code."""
        page = self._page
        if self._waiting:
            told = {"exit": code, "state": "waiting", "waiting": ending.waiting_as_json(self._waiting)}
            ending.print_json(told) if self._json else ending.show_waiting(self._console, self._waiting)
            return code
        if code == CANCELLED and not self._owns:
            ending.goes_on(self._console, job)
            return code
        if page is None or (code == CANCELLED and self._sink is None):
            self._console.print("stopped")
            return code
        self._result(page, code, job) if self._sink is None else self._results(page, code, job)
        if page.standing and not self._json:
            ending.stand_ins(self._console, page.standing, job)
        return code

    def _result(self, page: Page, code: int, job: str) -> None:
        seconds = time.monotonic() - self._began
        if self._last is None:
            self._console.print("it has no answer")
        elif self._json:
            more = {"standing": page.standing} if page.standing else {}
            plain = read(self._last).plain()
            ending.print_json({"exit": code, "job": job, **plain, **more, "seconds": round(seconds, 3)})
        else:
            ending.show_result(self._console, read(self._last), seconds)

    def _results(self, page: Page, code: int, job: str) -> None:
        seconds = time.monotonic() - self._began
        if self._json:
            told = {"exit": code, "job": job, **ending.totals(page), "seconds": round(seconds, 3), "results": self._out}
            ending.print_json(told)
        else:
            ending.show_many(self._console, page, seconds, self._out)


@contextlib.contextmanager
def left_alone(console: Console, job: str) -> Iterator[None]:
    """Ctrl-C ends this command, not the job: says so and raises `SystemExit(130)`."""
    try:
        yield
    except KeyboardInterrupt:
        ending.goes_on(console, job)
        raise SystemExit(CANCELLED) from None
