"""What the benchmarks share: contestants in processes of their own, tables, and the JSON line at the end.

A contestant is a script that prints one JSON line when it is ready, then answers each JSON line on its standard
input by one on its standard output, and ends when its input is closed.
"""

import contextlib
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

ROOT: Final = Path(__file__).resolve().parent.parent
PEERS: Final = ROOT / ".venv-bench" / "bin" / "python"
WIDTH: Final = 80
_STOP_S: Final = 30.0


class Contestant:
    """A script that runs in its own process. Raises `RuntimeError` when it ends before it answers.

    Args:
        command: arguments after the interpreter, for instance `-m benchmarks.part_raw URL`.
        python: the interpreter; ours, or that of the peers.
        environ: variables on top of this process's own.
        patience_s: how long an answer may take.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        python: Path | str = sys.executable,
        environ: Mapping[str, str] | None = None,
        patience_s: float = 120.0,
    ) -> None:
        self._command = [str(python), *command]
        self._environ = {**os.environ, **(environ or {})}
        self._patience_s = patience_s
        self._child: subprocess.Popen[bytes] | None = None
        self.ready: dict[str, Any] = {}
        self.pid = 0

    def __enter__(self) -> Self:
        self._child = subprocess.Popen(
            self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=self._environ, cwd=ROOT
        )
        self.pid = self._child.pid
        try:
            self.ready = self.hear()
        except BaseException:
            self.stop()
            raise
        return self

    def ask(self, **words: Any) -> dict[str, Any]:
        """Says one line and returns the answer."""
        self.say(**words)
        return self.hear()

    def say(self, **words: Any) -> None:
        """Says one line."""
        assert self._child is not None
        assert self._child.stdin is not None
        self._child.stdin.write(json.dumps(words).encode() + b"\n")
        self._child.stdin.flush()

    def hear(self) -> dict[str, Any]:
        """The next line that is JSON; what libraries print besides is passed over.

        A contestant that says nothing for `patience_s` is killed, so that a benchmark that hangs ends.
        """
        child = self._child
        assert child is not None
        assert child.stdout is not None
        timer = threading.Timer(self._patience_s, child.kill)
        timer.start()
        try:
            for line in child.stdout:
                with contextlib.suppress(ValueError):
                    answer = json.loads(line)
                    if isinstance(answer, dict):
                        return answer
        finally:
            timer.cancel()
        what = " ".join(self._command[1:3])
        raise RuntimeError(f"{what} gave no answer within {self._patience_s:g} s, or ended: {child.wait(_STOP_S)}")

    def stop(self) -> None:
        """Closes its input and waits for its end; it is killed after 30 s."""
        child, self._child = self._child, None
        if child is None:
            return
        assert child.stdin is not None
        assert child.stdout is not None
        with contextlib.suppress(OSError):
            child.stdin.close()
        try:
            child.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
        child.stdout.close()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def answer_lines(ready: Mapping[str, Any], answer: Callable[[dict[str, Any]], Mapping[str, Any]]) -> None:
    """A contestant's main loop."""
    say_line(ready)
    for line in sys.stdin:
        say_line(answer(json.loads(line)))


def say_line(words: Mapping[str, Any]) -> None:
    """One JSON line on standard output."""
    sys.stdout.write(json.dumps(words) + "\n")
    sys.stdout.flush()


@contextlib.contextmanager
def own_home() -> Iterator[dict[str, str]]:
    """Environment variables that give a contestant a local cluster of its own, which is stopped at the end."""
    folder = tempfile.mkdtemp(prefix="understudy-bench-")
    environ = {"UNDERSTUDY_HOME": folder, "RAY_ADDRESS": ""}
    try:
        yield environ
    finally:
        stop_cluster(environ)
        shutil.rmtree(folder, ignore_errors=True)


def stop_cluster(environ: Mapping[str, str]) -> None:
    """Stops the local cluster of that home, if one runs, and waits until it is gone."""
    code = "from understudy.cluster import home, local as here\nlocal = home.load()\nif local: here.stop(local)"
    subprocess.run([sys.executable, "-c", code], env={**os.environ, **environ}, check=False, cwd="/")


def median(values: Sequence[float]) -> float:
    """The median; NaN of nothing."""
    return statistics.median(values) if values else float("nan")


def spread(values: Sequence[float]) -> str:
    """Least to greatest, for a table."""
    return f"{min(values):.3g} .. {max(values):.3g}" if values else "none"


def table(title: str, head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Prints a table of at most 80 columns: the first column to the left, the others to the right."""
    widths = [max(len(row[place]) for row in [head, *rows]) for place in range(len(head))]
    print(f"\n{title}")
    for row in [head, *rows]:
        cells = [
            cell.ljust(width) if place == 0 else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        print("  ".join(cells).rstrip()[:WIDTH])
        if row is head:
            print("  ".join("-" * width for width in widths)[:WIDTH])


def finish(name: str, figures: Mapping[str, Any], bars: Mapping[str, bool]) -> None:
    """Names the bars that were missed, and prints the JSON line that ends a benchmark."""
    missed = [bar for bar, met in bars.items() if not met]
    print(f"\nall {len(bars)} bars met" if not missed else f"\nmissed: {'; '.join(missed)}")
    print(json.dumps({"name": name, "figures": figures, "bars": bars}), flush=True)


class Cpu:
    """CPU seconds (user and system) that processes have used since `start`, by label.

    A process that ended in between counts as nothing, which is why the callers use processes that stay.
    """

    def __init__(self, processes: Mapping[str, int]) -> None:
        self._processes = processes
        self._start = self._read()

    def _read(self) -> dict[str, float]:
        return {label: seconds for label, pid in self._processes.items() if (seconds := cpu_s(pid)) is not None}

    def used(self) -> dict[str, float]:
        """Seconds by label since this object was made."""
        return {label: seconds - self._start.get(label, 0.0) for label, seconds in self._read().items()}


_TICKS: Final = os.sysconf("SC_CLK_TCK")


def cpu_s(pid: int) -> float | None:
    """User and system seconds of a process so far, to 10 ms; None when there is none."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    except OSError:
        return None
    return (int(fields[11]) + int(fields[12])) / _TICKS
