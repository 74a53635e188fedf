"""Whether memory is flat in the number of items: 10,000, 100,000 and 1,000,000 of them, and 100,000 real calls.

Usage: `python -m benchmarks.memory [--quick]`. A driver streams items from a generator and drops the answers it reads;
the same again with a journal that has each item and answer, and with a reduce tree that grows meanwhile. What is told
is the greatest resident size of each process while a job ran, sampled twenty times a second, all shared pages of Ray's
object store included.
"""

import argparse
import json
import threading
from collections.abc import Mapping, Sequence
from typing import Any, Final, Self

import psutil

from benchmarks.rig import Contestant, finish, own_home, table
from understudy.cluster.simulator import Latency, Settings, SimulatorProcess

SIZES: Final = (10_000, 100_000, 1_000_000)
CALLS: Final = 100_000
BAR_MB: Final = 100.0
SHOWN: Final = ("driver", "supervisor", "mappers", "reducer", "journal", "raylet")
FORMS: Final = {"items": "", "kept": " with a journal", "tree": " with a tree"}
"""What is done with many items, and how a bar says so."""
_EVERY_S: Final = 0.05
_MB: Final = 1e6

Peaks = dict[str, float]
"""MB by label."""


class Watch:
    """The greatest resident size of processes while it runs, in MB; those of one label are summed.

    Args:
        pids: by label.
    """

    def __init__(self, pids: Mapping[str, Sequence[int]]) -> None:
        self._processes = {label: [psutil.Process(pid) for pid in some] for label, some in pids.items()}
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.peaks: Peaks = dict.fromkeys(pids, 0.0)
        #: Of the last sample: what a process has to itself (USS), in MB.
        self.own: Peaks = {}

    def _run(self) -> None:
        while not self._over.wait(_EVERY_S):
            self._look()

    def _look(self) -> None:
        for label, some in self._processes.items():
            self.peaks[label] = max(self.peaks[label], sum(one.memory_info().rss for one in some) / _MB)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        self._look()
        self.own = {
            label: sum(one.memory_full_info().uss for one in some) / _MB for label, some in self._processes.items()
        }


def labelled(processes: Mapping[str, int]) -> dict[str, list[int]]:
    """Process ids by what is shown."""
    raylets = [
        one.pid for one in psutil.Process(processes["keeper"]).children(recursive=True) if one.name() == "raylet"
    ]
    return {
        "driver": [processes["driver"]],
        "supervisor": [processes["supervisor-0"]],
        "mappers": [pid for name, pid in processes.items() if name.startswith("mapper")],
        "reducer": [processes["reducer-0"]],
        "journal": [processes["journal"]],
        "raylet": raylets,
    }


def measure(sizes: Sequence[int], calls: int, mappers: int) -> list[dict[str, Any]]:
    """One row for each job: what it was, what came of it, and the peaks while it ran."""
    rows = []
    jobs = [*((form, size) for form in FORMS for size in sizes), ("calls", calls)]
    settings = Settings(any_model=True, latency=Latency(median_s=0.02))
    with own_home() as environ, SimulatorProcess(settings) as simulator:
        command = json.dumps({"mappers": mappers, "cores": 2, "url": simulator.url})
        with Contestant(["-m", "benchmarks.part_memory", command], environ=environ, patience_s=1800.0) as driver:
            pids = labelled(driver.ready["processes"])
            driver.ask(items=2000, form="calls")  # what is imported and opened once belongs to no size
            for form, items in jobs:
                with Watch(pids) as watch:
                    came = driver.ask(items=items, form=form)
                rows.append({"form": form, "items": items, "peaks": watch.peaks, "own": watch.own, **came})
                print(f"{form} {items:,}: {came['wall_s']:.1f} s", flush=True)
    return rows


def show(rows: Sequence[dict[str, Any]]) -> None:
    """Prints the table."""
    head = ["job", "items", "seconds", *SHOWN]
    cells = [
        [row["form"], f"{row['items']:,}", f"{row['wall_s']:.1f}", *(f"{row['peaks'][name]:.0f}" for name in SHOWN)]
        for row in rows
    ]
    table("greatest resident size, MB (mappers summed)", head, cells)
    own = [[row["form"], f"{row['items']:,}", "", *(f"{row['own'][name]:.0f}" for name in SHOWN)] for row in rows]
    table("of its own, without shared pages, at the end of each job, MB", head, own)


def growth(rows: Sequence[dict[str, Any]], form: str, label: str) -> float:
    """By how many MB the peak of a process grew from the smallest job of a form to its largest."""
    peaks = [row["peaks"][label] for row in rows if row["form"] == form]
    return float(peaks[-1] - peaks[0])


def main() -> None:
    """See the module's docstring."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="up to 100,000 items and 5,000 calls")
    parser.add_argument("--mappers", type=int, default=2)
    options = parser.parse_args()
    sizes, calls = (SIZES[:2], 5000) if options.quick else (SIZES, CALLS)
    rows = measure(sizes, calls, options.mappers)
    show(rows)
    watched = [(form, who) for form in FORMS for who in ("driver", "supervisor")]
    watched += [("kept", "mappers"), ("kept", "journal")]
    grown = {(form, who): growth(rows, form, who) for form, who in watched}
    bars = {f"{who} grows <= 100 MB{FORMS[form]}": mb <= BAR_MB for (form, who), mb in grown.items()}
    bars["every item is read, and none fails"] = all(row["read"] == row["items"] and not row["failed"] for row in rows)
    bars["the tree's root covers every item"] = all(
        row["root"] == row["items"] for row in rows if row["form"] == "tree"
    )
    figures = {f"{who}_grows_mb_{form}": round(mb, 1) for (form, who), mb in grown.items()}
    figures |= {f"seconds_{row['form']}_{row['items']}": round(row["wall_s"], 1) for row in rows}
    finish("memory", figures, bars)


if __name__ == "__main__":
    main()
