"""A live display in the terminal: what the displays of digests and workflows have in common."""

import time
from abc import ABC, abstractmethod
from types import TracebackType
from typing import Self

from rich.console import Console, RenderableType
from rich.live import Live
from rich.markup import escape
from rich.text import Text


class LiveDisplay(ABC):
    """Redrawn eight times a second on a terminal, a line at each stage elsewhere. Use it as a context manager.

    Args:
        console: where to draw.
        quiet: draw nothing.
    """

    def __init__(self, console: Console, *, quiet: bool) -> None:
        self._console = console
        self._quiet = quiet
        self._stage = ""
        self._began = time.monotonic()
        self._live: Live | None = None

    def __enter__(self) -> Self:
        if self._console.is_terminal and not self._quiet:
            self._live = Live(get_renderable=self.draw, console=self._console, refresh_per_second=8, transient=True)
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def stage(self, text: str) -> None:
        """What is done now."""
        self._stage = text
        if self._live is None and not self._quiet:
            self._console.print(escape(text), style="dim", highlight=False)

    @abstractmethod
    def draw(self) -> RenderableType:
        """The display as it is now."""

    def head(self) -> Text:
        """Its first line: what is done, and for how long already."""
        gone = duration(time.monotonic() - self._began)
        return Text.assemble(("understudy ", "bold"), (self._stage, "dim"), f"  {gone}")


def duration(seconds: float) -> str:
    """`42 s`, `3 min 20 s`, `2 h 05 min`."""
    whole = round(seconds)
    if whole < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{whole} s"
    minutes, rest = divmod(whole, 60)
    return f"{minutes} min {rest:02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"


def eta(done: int, total: int, since: float) -> str:
    """When the rest will be done, at the pace since `since` (monotonic seconds)."""
    gone = time.monotonic() - since
    return "…" if not done or gone < 0.5 else duration((total - done) / (done / gone))
