"""`understudy digest` as it is, which also says when the driver first sees a mapped chunk.

Usage: `python -m benchmarks.part_digest ARGUMENTS…`, those of `understudy`. One JSON line per event on standard output.
"""

import os
import sys
import time
from typing import Any

BEGAN = time.perf_counter()

from benchmarks.rig import say_line  # noqa: E402
from understudy.cluster import cli  # noqa: E402
from understudy.cluster.digest import planning  # noqa: E402
from understudy.cluster.digest.gather import Gathered  # noqa: E402
from understudy.cluster.digest.submit import Submission  # noqa: E402
from understudy.cluster.session import Session  # noqa: E402


def _noted(owner: Any, name: str, event: str, times: dict[str, float]) -> None:
    """Notes when the method was last left, in seconds since this process's first line."""
    method = getattr(owner, name)

    def timed(*args: Any, **named: Any) -> Any:
        result = method(*args, **named)
        times[event] = round(time.perf_counter() - BEGAN, 3)
        return result

    setattr(owner, name, timed)


def main() -> None:
    """See the module's docstring."""
    times: dict[str, float] = {"imported": round(time.perf_counter() - BEGAN, 3)}
    _noted(planning, "job_spec", "planned", times)
    _noted(Session, "prepare", "prepared", times)
    _noted(Session, "_attach", "attached", times)
    _noted(Session, "ensure", "ensured", times)
    _noted(Submission, "start", "handed in", times)
    take = Gathered.take

    def taken(self: Gathered, page: Any) -> None:
        take(self, page)
        if page.done and "first" not in times:
            times["first"] = round(time.perf_counter() - BEGAN, 3)
            say_line({"first": times})

    Gathered.take = taken  # type: ignore[method-assign]
    sys.argv = ["understudy", *sys.argv[1:]]
    cli.main()


if __name__ == "__main__":
    sys.stdout.flush()
    os.environ.setdefault("NO_COLOR", "1")
    main()
