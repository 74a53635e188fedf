"""Finished steps kept by the Journal: how many a second, how soon each is safe, and what is written for it.

Usage: `python -m benchmarks.journal [--quick]`. Two processes keep steps of 300 bytes as Mappers do, over Ray, through
one Journal actor that commits to SQLite synced at each commit. First as fast as they can (each of N at once keeps the
next when its last is safe), then at 20,000 a second whatever happens, which is what the bar on the 99th percentile is
for. Beside them, in the same run, with the same disk, so many at once: LangGraph's SQLite checkpointer (`put_writes`,
a finished task's), and DBOS on SQLite (steps that do nothing).

Then in this process, without Ray: answers of 800 bytes in commits of 200, for the bytes that the file grows by, and
those that reach the disk (log and file, by the kernel's own count).
"""

import argparse
import asyncio
import os
import tempfile
from pathlib import Path
from typing import Any, Final

from benchmarks import peers
from benchmarks.rig import PEERS, ROOT, Contestant, finish, own_home, table
from understudy.actors.journal.store import open_store
from understudy.protocols.journal import AnswerRow, Append

RATE_BAR: Final = 20_000
P99_BAR_MS: Final = 20.0
BYTES_BAR: Final = 2.0
WIDTH: Final = 512
PEER_WIDTH: Final = 64
ANSWER: Final = 800
GROUP: Final = 200
PEER_SCRIPTS: Final = {"LangGraph SQLite": "langgraph", "DBOS SQLite": "dbos"}


class Row:
    """What one contestant has shown."""

    def __init__(self, label: str, answers: list[dict[str, Any]]) -> None:
        self.label = label
        self.rate = sum(one["records"] / one["wall_s"] for one in answers)
        self.p50_ms = max(one["p50_ms"] for one in answers)
        self.p99_ms = max(one["p99_ms"] for one in answers)

    def cells(self) -> list[str]:
        """For the table."""
        return [self.label, f"{self.rate:,.0f}", f"{self.p50_ms:.1f}", f"{self.p99_ms:.1f}"]


def ours(folder: Path, seconds: float) -> list[Row]:
    """Ours: as fast as it goes, and at the rate of the bar."""
    with own_home() as environ:
        command = ["-m", "benchmarks.part_journal"]
        with Contestant(command, environ=environ) as first, Contestant(command, environ=environ) as second:
            both = (first, second)
            first.ask(do="start", url=f"sqlite:{folder / 'journal.db'}", name="bench")

            def told(label: str, **words: Any) -> Row:
                for number, one in enumerate(both):
                    one.say(name="bench", job=f"job-{number}", **words)
                return Row(label, [one.hear() for one in both])

            told("warm", do="closed", width=WIDTH // 2, seconds=1.0)
            return [
                told(f"understudy, {WIDTH} at once", do="closed", width=WIDTH // 2, seconds=seconds),
                told(f"understudy, {RATE_BAR:,}/s told", do="open", rate=RATE_BAR / 2, seconds=seconds),
                told("understudy, 10,000/s told", do="open", rate=5000, seconds=seconds),
                told("understudy, 1 at once", do="closed", width=1, seconds=seconds),
            ]


def peer(folder: Path, label: str, name: str, seconds: float) -> Row:
    """One of the others, so many at once as it is fastest with."""
    script = [str(ROOT / "benchmarks" / f"peer_journal_{name}.py"), str(folder / f"{name}.db")]
    with Contestant(script, python=PEERS, environ={"PYTHONSAFEPATH": "1"}) as one:
        one.ask(width=PEER_WIDTH, seconds=1.0)
        return Row(f"{label}, {PEER_WIDTH} at once", [one.ask(width=PEER_WIDTH, seconds=seconds)])


async def written(folder: Path, count: int) -> dict[str, float]:
    """Bytes a byte of results: what the file has grown by, and what went to the disk."""
    store = await open_store(f"sqlite:{folder / 'bytes.db'}", os.environ)
    await store.database.compact()
    before, disk = await store.database.size(), _disk()
    for start in range(0, count, GROUP):
        rows = [
            AnswerRow("job", place, False, place, os.urandom(ANSWER), (os.urandom(16),))
            for place in range(start, start + GROUP)
        ]
        await store.append(Append(answers=tuple(rows)))
    await store.database.compact()
    grown = (await store.database.size() - before) / (count * ANSWER)
    await store.close()
    return {"file": grown, "disk": (_disk() - disk) / (count * ANSWER)}


def _disk() -> int:
    """Bytes this process has had written to disks so far."""
    lines = Path("/proc/self/io").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("write_bytes"))


def main() -> None:
    """Runs it all, and prints the tables and the JSON line."""
    parser = argparse.ArgumentParser(description="How many finished steps are kept a second, beside others.")
    parser.add_argument("--quick", action="store_true", help="two seconds each")
    seconds = 2.0 if parser.parse_args().quick else 10.0
    peers.make()
    with tempfile.TemporaryDirectory(dir=ROOT / ".venv-bench") as name:  # on a disk, not in memory
        folder = Path(name)
        rows = ours(folder, seconds)
        rows += [peer(folder, label, script, seconds) for label, script in PEER_SCRIPTS.items()]
        bytes_ = asyncio.run(written(folder, 20_000))
    table("steps kept, each safe on disk", ["", "records/s", "p50 ms", "p99 ms"], [row.cells() for row in rows])
    print(f"\nbytes a byte of results: file {bytes_['file']:.2f}, disk with its log {bytes_['disk']:.2f}")
    fast, told = rows[0], rows[1]
    finish(
        "journal",
        {
            "records_per_s": {row.label: round(row.rate) for row in rows},
            "p99_ms": {row.label: round(row.p99_ms, 1) for row in rows},
            "bytes_per_byte": {what: round(value, 2) for what, value in bytes_.items()},
        },
        {
            f">= {RATE_BAR:,} records/s sustained": max(fast.rate, told.rate) >= RATE_BAR,
            f"p99 <= {P99_BAR_MS:g} ms at {RATE_BAR:,}/s": told.rate >= 0.98 * RATE_BAR and told.p99_ms <= P99_BAR_MS,
            f"file grows <= {BYTES_BAR:g} x results": bytes_["file"] <= BYTES_BAR,
        },
    )


if __name__ == "__main__":
    main()
