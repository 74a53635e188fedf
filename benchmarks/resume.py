"""A job of 100,000 finished items is taken up by the successor of its dead Supervisor: how long until it goes on.

Usage: `python -m benchmarks.resume [--quick]`. The rows are in the Journal's SQLite file: an answer of 0.8 KB and a
finished step an item. They are read through the real actor over Ray, decoded, and made into the job by the
Supervisor's own code. Besides, all steps are read as Mappers do that are given all items again.
"""

import argparse
import tempfile
from pathlib import Path
from typing import Final

from benchmarks.rig import Contestant, finish, median, own_home, table

COUNT: Final = 100_000
BAR_S: Final = 5.0
ROUNDS: Final = 3


def main() -> None:
    """Fills, reads in several rounds, and prints the table and the JSON line."""
    parser = argparse.ArgumentParser(description="How soon a job of 100,000 finished items goes on.")
    parser.add_argument("--quick", action="store_true", help="one round")
    rounds = 1 if parser.parse_args().quick else ROUNDS
    with tempfile.TemporaryDirectory(prefix="understudy-bench-") as name, own_home() as environ:
        path = Path(name) / "journal.db"
        command = ["-m", "benchmarks.part_resume", f"sqlite:{path}", str(COUNT)]
        with Contestant(command, environ=environ) as one:
            filled = one.ask(do="fill")
            size = sum(file.stat().st_size for file in Path(name).iterdir())
            answers = [one.ask(do="answers") for _ in range(rounds)]
            steps = [one.ask(do="steps") for _ in range(rounds)]
    rows = [
        [
            label,
            f"{told[0]['found']:,}",
            f"{median([x['wall_s'] for x in told]):.2f}",
            f"{max(x['wall_s'] for x in told):.2f}",
        ]
        for label, told in (("written", [filled]), ("job made again", answers), ("steps read", steps))
    ]
    table(f"{COUNT:,} finished items, {size >> 20} MiB of journal", ["", "rows", "s", "most s"], rows)
    answers_s, steps_s = (median([one["wall_s"] for one in told]) for told in (answers, steps))
    finish(
        "resume",
        {"answers_s": round(answers_s, 2), "steps_s": round(steps_s, 2), "fill_s": round(filled["wall_s"], 2)},
        {
            f"{COUNT:,} answers reload in <= {BAR_S:g} s": answers_s <= BAR_S and answers[0]["found"] == COUNT,
            f"{COUNT:,} steps reload in <= {BAR_S:g} s": steps_s <= BAR_S and steps[0]["found"] == COUNT,
        },
    )


if __name__ == "__main__":
    main()
