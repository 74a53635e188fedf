"""A simulator in a process of its own, for tests and benchmarks: it shares no loop and no CPU time."""

import http.client
import json
import selectors
import subprocess
import sys
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

from .judge import Summary, summary_from_json
from .ledger import Record, from_lines
from .settings import Control, Settings

_START_S = 60.0  # importing aiohttp takes 0.5 s; a loaded machine ten times as long
_STOP_S = 5.0


class SimulatorProcess:
    """A context manager around ``python -m understudy.cluster.simulator``.

    The settings travel by stdin, so that no key shows in a process list, and the child stops when stdin
    closes: it cannot outlive its parent. Raises RuntimeError on entry if the child does not start.
    """

    def __init__(self, settings: Settings | None = None, *, port: int = 0) -> None:
        self._settings = settings or Settings()
        self._wanted_port = port
        self._child: subprocess.Popen[bytes] | None = None
        self.url = ""
        self.port = 0
        self.pid = 0

    def __enter__(self) -> Self:
        """Start the child and wait until it listens."""
        command = [sys.executable, "-m", "understudy.cluster.simulator"]
        command += ["--settings", "-", "--port", str(self._wanted_port)]
        self._child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)  # noqa: S603
        assert self._child.stdin is not None
        self._child.stdin.write(self._settings.model_dump_json().encode() + b"\n")
        self._child.stdin.flush()
        try:
            ready = json.loads(self._first_line())
        except BaseException:
            self.stop()
            raise
        self.url, self.pid = ready["url"], ready["pid"]
        self.port = urlsplit(self.url).port or 0
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop the child."""
        self.stop()

    def stop(self) -> None:
        """Close the child's stdin and wait for it; kill it if it does not go within 5 s."""
        child, self._child = self._child, None
        if child is None:
            return
        assert child.stdin is not None
        assert child.stdout is not None
        child.stdin.close()
        try:
            child.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
        child.stdout.close()

    def ledger(self, since: int = 0) -> list[Record]:
        """All records from the ordinal ``since`` on, page by page."""
        records: list[Record] = []
        while page := from_lines(self._ask("GET", f"/ledger?since={since + len(records)}")):
            records += page
        return records

    def summary(self) -> Summary:
        """The judge's totals, computed in the child."""
        return summary_from_json(self._ask("GET", "/ledger/summary"))

    def health(self) -> dict[str, Any]:
        """``{"status", "in_flight", "requests"}``."""
        health: dict[str, Any] = json.loads(self._ask("GET", "/health"))
        return health

    def control(self, **changes: Any) -> None:
        """Change what happens from now on; the fields of Control. Raises pydantic's ValidationError."""
        command = Control.model_validate(changes)
        self._ask("POST", "/control", command.model_dump_json(exclude_unset=True).encode())

    def _first_line(self) -> bytes:
        child = self._child
        assert child is not None
        assert child.stdout is not None
        with selectors.DefaultSelector() as selector:
            selector.register(child.stdout, selectors.EVENT_READ)
            if not selector.select(_START_S):
                raise RuntimeError(f"the simulator did not listen within {_START_S:.0f} s")
        line = child.stdout.readline()
        if not line:
            raise RuntimeError(f"the simulator ended with code {child.wait(_STOP_S)} before it listened")
        return line

    def _ask(self, method: str, path: str, body: bytes | None = None) -> bytes:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60.0)
        try:
            connection.request(method, path, body)
            reply = connection.getresponse()
            data = reply.read()
        finally:
            connection.close()
        if reply.status != 200:
            raise RuntimeError(f"{method} {path}: {reply.status} {data.decode(errors='replace')}")
        return data
