"""A second digest after one edit: it pays for what changed and the way to the root, by the simulator's ledger.

Usage: `python -m benchmarks.incremental [--quick]`. A seeded repository of 2,000 files in three levels of folders is
digested by `understudy digest`; one file is edited, and it is digested again; once more with nothing edited; and with
`--fresh`, which pays for all of it again. Beside it: how much the journal has grown.
"""

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

from benchmarks.packing import source
from benchmarks.rig import ROOT, finish, own_home, table
from understudy.cluster.simulator import Answer, Latency, ModelSettings, Settings, SimulatorProcess

DEPTH: Final = 4
"""Nodes from a file to the root: three folders and the root itself."""
FILES: Final = 2_000
_CONFIG: Final = """\
accounts:
  sim: {{base_url: {url}/v1, limits: {{rpm: 10000000, tpm: 10000000000}}}}
models:
  map: [{{account: sim, model: map, price: {{input: 2.5, output: 10.0}}}}]
  reduce: [{{account: sim, model: reduce, price: {{input: 2.5, output: 10.0}}}}]
digest: {{map_model: map, reduce_model: reduce}}
"""


def repository(place: Path, files: int) -> Path:
    """Files of 10 to 60 lines, five to a folder, in three levels."""
    rng = random.Random(2_000)
    for number in range(files):
        folder = place / f"area_{number % 10}" / f"part_{number // 10 % 10}" / f"unit_{number // 100 % 4}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"file_{number}.py").write_text(source(rng, rng.randint(10, 60)), encoding="utf-8")
    return place


class Digest:
    """What came of one digest: by the ledger, and by what it says itself."""

    def __init__(self, records: list[Any], said: dict[str, Any], seconds: float, grown: int) -> None:
        self.said = said
        self.seconds = seconds
        self.grown = grown
        self.maps = sum(record.model == "map" for record in records)
        self.reduces = len(records) - self.maps
        self.dollars = float(sum(Decimal(record.cost) for record in records))

    def row(self, name: str) -> list[str]:
        """For the table."""
        known = f"{self.said['files']['known']:,}"
        figures = [f"{self.maps:,}", f"{self.reduces:,}", f"{self.dollars:.4f}", f"{self.seconds:.1f}"]
        return [name, known, *figures, f"{self.grown / 1e6:.2f}"]


def _journal(home: str) -> int:
    return sum(path.stat().st_size for path in Path(home).glob("journal.db*"))


def _digest(simulator: SimulatorProcess, folder: Path, environ: dict[str, str], *more: str) -> Digest:
    simulator.control(reset_ledger=True)
    before = _journal(environ["UNDERSTUDY_HOME"])
    command = [sys.executable, "-m", "understudy", "digest", str(folder / "repository"), "--json", *more]
    options = ["--config", str(folder / "understudy.yaml"), "--out", str(folder / "out")]
    began = time.perf_counter()
    done = subprocess.run(
        [*command, *options], env={**os.environ, **environ}, capture_output=True, check=False, cwd=ROOT, timeout=600.0
    )
    seconds = time.perf_counter() - began
    if done.returncode:
        raise SystemExit(f"understudy digest ended with {done.returncode}: {done.stderr.decode()}")
    grown = _journal(environ["UNDERSTUDY_HOME"]) - before
    return Digest(simulator.ledger(), json.loads(done.stdout), seconds, grown)


def _all(folder: Path, files: int) -> dict[str, Digest]:
    model = ModelSettings(input_price=Decimal("2.50"), output_price=Decimal("10.00"), context_window=200_000)
    latency = Latency(median_s=0.02, sigma=0.3)
    settings = Settings(models={"map": model, "reduce": model}, answer=Answer(mode="summary"), latency=latency)
    edited = repository(folder / "repository", files) / "area_3" / "part_4" / "unit_0" / "file_43.py"
    with SimulatorProcess(settings) as simulator, own_home() as environ:
        (folder / "understudy.yaml").write_text(_CONFIG.format(url=simulator.url), encoding="utf-8")
        done = {"first": _digest(simulator, folder, environ)}
        edited.write_text(edited.read_text() + "\n\ndef edited() -> None:\n    return None\n", encoding="utf-8")
        done["one file edited"] = _digest(simulator, folder, environ)
        done["nothing edited"] = _digest(simulator, folder, environ)
        done["--fresh"] = _digest(simulator, folder, environ, "--fresh")
    return done


def measure(*, files: int) -> None:
    """Runs it all and prints the table and the JSON line."""
    with tempfile.TemporaryDirectory(prefix="understudy-bench-") as place:
        done = _all(Path(place), files)
    head = ["", "known", "maps", "reduces", "$", "seconds", "journal MB"]
    table(f"{files:,} files, by the ledger", head, [one.row(name) for name, one in done.items()])
    first, edited, same, fresh = done.values()
    figures = {
        "files": files,
        "depth": DEPTH,
        **{
            f"{name}_maps": one.maps
            for name, one in zip(("first", "second", "third", "fresh"), done.values(), strict=True)
        },
        "first_reduces": first.reduces,
        "second_reduces": edited.reduces,
        "third_reduces": same.reduces,
        "fresh_reduces": fresh.reduces,
        "first_s": round(first.seconds, 2),
        "second_s": round(edited.seconds, 2),
        "third_s": round(same.seconds, 2),
        "first_dollars": round(first.dollars, 4),
        "second_dollars": round(edited.dollars, 4),
        "first_journal_bytes": first.grown,
        "second_journal_bytes": edited.grown,
    }
    bars = {
        "one edit: <= 1 map call": edited.maps <= 1,
        f"one edit: <= {DEPTH} reduce calls": edited.reduces <= DEPTH,
        "one edit: all other files were known": edited.said["files"]["known"] == files - 1,
        "nothing edited: no call": same.maps + same.reduces == 0,
        "--fresh pays for all": fresh.maps >= first.maps and fresh.reduces >= first.reduces,
        "every file is in every report": all(
            one.said["complete"] and one.said["files"]["text"] == files for one in done.values()
        ),
        "our bill is the ledger's": all(
            abs(float(one.said["bill"]["dollars"]) - one.dollars) < 1e-6 for one in done.values()
        ),
    }
    finish("incremental", figures, bars)


def main() -> None:
    """Reads the options."""
    parser = argparse.ArgumentParser(description="A second digest after one edit, judged by the simulator's ledger.")
    parser.add_argument("--quick", action="store_true", help="200 files")
    measure(files=200 if parser.parse_args().quick else FILES)


if __name__ == "__main__":
    main()
