"""The digest's driver: started, killed, and taken up again by `understudy resume`, as a person would."""

import json
import subprocess
from pathlib import Path
from typing import Any, Final, Literal

from .world import World

_LOOKS: Final = 20
"""The command that lists jobs may come upon a Journal that was just killed; it is asked again so often."""

_GIVEN_UP: Final = 3


class Driver:
    """A driver and its successors. Nothing here waits: call `step` a few times a second.

    Attributes:
        codes: exit codes of the drivers that ended by themselves, the last one's last.
        starts: drivers so far.
        job: the job's id, once it was needed.
        flaws: what went wrong, in words.
    """

    def __init__(self, world: World) -> None:
        self._world = world
        self._state: Literal["idle", "running", "looking", "over"] = "idle"
        self._child: subprocess.Popen[bytes] | None = None
        self._looks = 0
        self.codes: list[int] = []
        self.starts = 0
        self.job = ""
        self.flaws: list[str] = []

    @property
    def over(self) -> bool:
        """Nobody drives the job any more."""
        return self._state == "over"

    @property
    def pid(self) -> int:
        """The running driver's process id; 0 while there is none."""
        return self._child.pid if self._child is not None and self._state == "running" else 0

    @property
    def _sink(self) -> Path:
        return self._world.folder / f"driver-{self.starts}.out"

    def start(self) -> None:
        """Begins the digest."""
        world = self._world
        arguments = ("--json", "--config", str(world.config), "--out", str(world.out), "--concurrency", "96")
        self._begin("digest", str(world.tree), *arguments)

    def _begin(self, *arguments: str) -> None:
        self.starts += 1
        self._child = self._world.start(*arguments, sink=self._sink)
        self._state = "running"

    def kill(self) -> int:
        """SIGKILLs the driver; returns its process id, 0 when none runs."""
        if self._state != "running" or self._child is None or self._child.poll() is not None:
            return 0
        pid = self._child.pid
        self._child.kill()
        self._child.wait()
        self._look()
        return pid

    def step(self) -> None:
        """Goes on where something has ended."""
        code = None if self._child is None else self._child.poll()
        if code is None:
            return
        if self._state == "looking":
            self._looked(code)
        elif self._state == "running":
            self._ended(code)

    def _ended(self, code: int) -> None:
        self.codes.append(code)
        # 0: whole. 3: a report with gaps: the job is over, and nothing is left to be taken up.
        if code in (0, 3):
            self._state = "over"
            return
        self.flaws.append(f"driver {self.starts} ended with {code}: {_last(self._sink.with_suffix('.err'))}")
        if len(self.codes) > _GIVEN_UP:
            self._state = "over"
        else:
            self._look()

    def _look(self) -> None:
        """Finds the job's id; whoever knows it takes the job up at once."""
        if self.job:
            self._begin("resume", self.job, "--json")
            return
        self._state = "looking"
        self._child = self._world.start("jobs", "--json", sink=self._world.folder / "jobs.out")

    def _looked(self, code: int) -> None:
        self._looks += 1
        try:
            self.job = job_of((self._world.folder / "jobs.out").read_bytes()) if code == 0 else ""
        except ValueError as error:
            self.flaws.append(f"understudy jobs --json: {error}")
        if self.job:
            self._begin("resume", self.job, "--json")
        elif self._looks > _LOOKS:
            self.flaws.append(f"the job was not found: {_last(self._world.folder / 'jobs.err')}")
            self._state = "over"
        else:
            self._look()

    def end(self) -> None:
        """Ends what still runs."""
        if self._child is not None and self._child.poll() is None:
            self._child.kill()
            self._child.wait()
        self._state = "over"


def job_of(data: bytes) -> str:
    """The id of the only digest among the jobs that `understudy jobs --json` told; empty when there is none.

    Raises:
        ValueError: it is no JSON, or there are several.
    """
    told: Any = json.loads(data)
    jobs = told["jobs"] if isinstance(told, dict) else told
    found = [str(job["id"]) for job in jobs if str(job["id"]).startswith("digest-")]
    if len(found) > 1:
        raise ValueError(f"several digests: {', '.join(found)}")
    return found[0] if found else ""


def _last(path: Path) -> str:
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").split("\n")
    except OSError:
        return ""
    return next((line.strip()[:300] for line in reversed(lines) if line.strip()), "")
