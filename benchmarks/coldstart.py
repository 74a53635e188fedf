"""Time to the first mapped chunk: against bare `ray.init()` and one actor, and on a warm cluster against a bare attach.

Usage: `python -m benchmarks.coldstart [--quick]`. Rounds are interleaved; times run from the start of the process to
the moment its driver has the answer. Both sides use a token and no dashboard. The folder is digested twice: `--fresh`,
so that the second time it is digested again, and not only recalled from the journal.
"""

import argparse
import os
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

from benchmarks.rig import Contestant, finish, median, own_home, spread, table
from understudy.cluster import home

COLD_BAR: Final = 1.35
WARM_BAR: Final = 1.5
FILES: Final = 12


class Times:
    """Seconds by round, and our own timeline."""

    def __init__(self) -> None:
        self.seconds: dict[str, list[float]] = {"bare cold": [], "ours cold": [], "bare warm": [], "ours warm": []}
        self.timelines: dict[str, list[dict[str, float]]] = {"ours cold": [], "ours warm": []}

    def note(self, label: str, seconds: float, timeline: dict[str, float] | None = None) -> None:
        """One round's figure."""
        self.seconds[label].append(seconds)
        if timeline is not None:
            self.timelines[label].append(timeline)

    def ratio(self, ours: str, bare: str) -> float:
        """Median of ours over median of theirs."""
        return median(self.seconds[ours]) / median(self.seconds[bare])


def small_folder(place: Path) -> Path:
    """A folder with a few source files, one chunk each."""
    folder = place / "small"
    folder.mkdir()
    for number in range(FILES):
        lines = [
            f"def part_{number}_{line}(value: int) -> int:\n"
            f'    """Adds {line} to a value."""\n'
            f"    return value + {line}\n"
            for line in range(120)
        ]
        (folder / f"module_{number}.py").write_text("\n\n".join(lines), encoding="utf-8")
    return folder


def _bare(times: Times, cores: int, environ: dict[str, str]) -> None:
    began = time.perf_counter()
    with Contestant(["-m", "benchmarks.part_bare", "cold", str(cores)], environ=environ) as cold:
        times.note("bare cold", time.perf_counter() - began)
        address = str(cold.ready["address"])
        began = time.perf_counter()
        with Contestant(["-m", "benchmarks.part_bare", "warm", address], environ=environ):
            times.note("bare warm", time.perf_counter() - began)


def _digest(times: Times, label: str, folder: Path, environ: dict[str, str], out: Path) -> None:
    command = ["-m", "benchmarks.part_digest", "digest", str(folder), "--out", str(out), "--json", "--fresh"]
    began = time.perf_counter()
    with Contestant(command, environ=environ) as ours:
        times.note(label, time.perf_counter() - began, ours.ready["first"])


def _round(times: Times, *, turned: bool, cores: int, folder: Path, place: Path) -> None:
    with ExitStack() as stack:
        environ = stack.enter_context(own_home())
        os.environ["UNDERSTUDY_HOME"] = environ["UNDERSTUDY_HOME"]
        auth = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(home.token_path())}
        if turned:
            _bare(times, cores, {**environ, **auth})
        _digest(times, "ours cold", folder, environ, place / "cold")
        _digest(times, "ours warm", folder, environ, place / "warm")
        if not turned:
            stack.close()  # one cluster at a time
            with own_home() as other:
                os.environ["UNDERSTUDY_HOME"] = other["UNDERSTUDY_HOME"]
                auth["RAY_AUTH_TOKEN_PATH"] = str(home.token_path())
                _bare(times, cores, {**other, **auth})


def _timeline(rounds: Sequence[dict[str, Any]]) -> list[list[str]]:
    return [[event, f"{median([one[event] for one in rounds if event in one]):.2f}"] for event in rounds[0]]


def measure(*, quick: bool) -> None:
    """Runs it all and prints the tables and the JSON line."""
    times, cores = Times(), len(os.sched_getaffinity(0))
    with tempfile.TemporaryDirectory(prefix="understudy-bench-") as place:
        folder = small_folder(Path(place))
        for number in range(2 if quick else 6):
            _round(times, turned=bool(number % 2), cores=cores, folder=folder, place=Path(place))
    rows = [[label, f"{median(one):.2f}", spread(one), str(len(one))] for label, one in times.seconds.items()]
    table("seconds from process start (ours: --fresh)", ["", "median", "rounds", "n"], rows)
    for label, rounds in times.timelines.items():
        table(f"{label}: seconds from the script's first line", ["event", "s"], _timeline(rounds))
    cold, warm = times.ratio("ours cold", "bare cold"), times.ratio("ours warm", "bare warm")
    figures = {label.replace(" ", "_") + "_s": round(median(one), 3) for label, one in times.seconds.items()}
    bars = {"cold <= 1.35 x bare": cold <= COLD_BAR, "warm <= 1.5 x bare": warm <= WARM_BAR}
    print(f"\ncold {cold:.2f} x, warm {warm:.2f} x")
    finish("coldstart", {**figures, "cold_ratio": round(cold, 3), "warm_ratio": round(warm, 3)}, bars)


def main() -> None:
    """Reads the options."""
    parser = argparse.ArgumentParser(description="Time to the first mapped chunk, cold and warm.")
    parser.add_argument("--quick", action="store_true", help="two rounds")
    measure(quick=parser.parse_args().quick)


if __name__ == "__main__":
    main()
