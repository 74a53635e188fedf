"""Wildly uneven files: calls and dollars of our packing against one call for each file, by the simulator's ledger.

Usage: `python -m benchmarks.packing [--quick] [--budget TOKENS]`. A seeded repository of 2,000 files, 10 to 2,000 lines
long, evenly on a logarithmic scale, is digested twice through the same actors: packed, and with one map call a file. A
file larger than the budget takes several calls either way. What packing saves grows with the budget: the table of plans
says so for five of them, the default of `understudy digest` (4,000) among them; the two runs are at `--budget`.
"""

import argparse
import random
import tempfile
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

from benchmarks.part_packing import MAP, configuration, one_each, planned
from benchmarks.rig import Contestant, finish, own_home, table
from understudy.cluster.simulator import Answer, Latency, ModelSettings, Record, Settings, SimulatorProcess

BAR: Final = 5.0
BUDGET: Final = 32_000
BUDGETS: Final = (4_000, 8_000, 16_000, 32_000, 64_000)
SHORTEST, LONGEST = 10, 2_000
_WORDS: Final = (
    "account batch cache chunk cursor delta entry field graph handle index job key lease limit merge node offset page "
    "queue range route score shard slice span state store table token trace value window worker"
)


def repository(place: Path, files: int) -> Path:
    """A seeded folder tree of Python files."""
    rng = random.Random(2_000)
    words = _WORDS.split()
    for number in range(files):
        folder = place / f"area_{rng.randrange(12)}" / f"part_{rng.randrange(8)}"
        folder.mkdir(parents=True, exist_ok=True)
        lines = round(SHORTEST * (LONGEST / SHORTEST) ** rng.random())
        (folder / f"{rng.choice(words)}_{number}.py").write_text(source(rng, lines), encoding="utf-8")
    return place


def source(rng: random.Random, lines: int) -> str:
    """So many lines of functions."""
    text: list[str] = []
    words = _WORDS.split()
    while len(text) < lines:
        one, two, three = rng.sample(words, 3)
        text += [f"def {one}_{two}({three}: int) -> int:", f'    """The {two} of a {one}, by its {three}."""']
        text += [f"    {rng.choice(words)} = {three} * {rng.randrange(10_000)}" for _ in range(rng.randint(1, 12))]
        text += [f"    return {three}", "", ""]
    return "\n".join(text[:lines]) + "\n"


def _settings() -> Settings:
    model = ModelSettings(input_price=Decimal("2.50"), output_price=Decimal("10.00"), context_window=200_000)
    latency = Latency(median_s=0.02, sigma=0.3)
    return Settings(models={MAP: model, "reduce": model}, answer=Answer(mode="digest"), latency=latency)


def _plans(folder: Path) -> tuple[list[list[str]], dict[str, float]]:
    """Map calls by budget, without calling anybody."""
    rows, ratios = [], {}
    for budget in BUDGETS:
        plan = planned(str(folder), configuration("http://localhost", budget).digest)
        packed, each = len(plan.packs), len(one_each(plan).packs)
        ratios[str(budget)] = round(each / packed, 2)
        rows.append([f"{budget:,}", f"{packed:,}", f"{each:,}", f"{each / packed:.1f} x"])
    return rows, ratios


class Sums:
    """What the ledger says of one digest, and what the driver says."""

    def __init__(self, records: list[Record], said: dict[str, Any]) -> None:
        self.said = said
        self.maps = sum(record.model == MAP for record in records)
        self.reduces = len(records) - self.maps
        self.bad = sum(record.outcome != "ok" for record in records)
        self.map_dollars = float(sum(Decimal(record.cost) for record in records if record.model == MAP))
        self.dollars = float(sum(Decimal(record.cost) for record in records))
        self.input_tokens = sum(record.prompt_tokens for record in records)
        self.output_tokens = sum(record.completion_tokens for record in records)

    def row(self, name: str) -> list[str]:
        """For the table."""
        tokens = [f"{self.input_tokens / 1e6:.2f} M", f"{self.output_tokens / 1e3:.0f} k"]
        dollars = [f"{self.map_dollars:.2f}", f"{self.dollars:.2f}"]
        return [name, f"{self.maps:,}", f"{self.reduces:,}", *tokens, *dollars]


def _run(folder: Path, budget: int) -> dict[str, Sums]:
    done: dict[str, Sums] = {}
    with (
        SimulatorProcess(_settings()) as simulator,
        own_home() as environ,
        Contestant(["-m", "benchmarks.part_packing", simulator.url], environ=environ, patience_s=600.0) as ours,
    ):
        for name in ("packed", "one call a file"):
            simulator.control(reset_ledger=True)
            said = ours.ask(folder=str(folder), budget=budget, each=name != "packed")
            done[name] = Sums(simulator.ledger(), said)
    return done


def measure(*, files: int, budget: int) -> None:
    """Runs it all and prints the tables and the JSON line."""
    with tempfile.TemporaryDirectory(prefix="understudy-bench-") as place:
        folder = repository(Path(place) / "repository", files)
        rows, ratios = _plans(folder)
        done = _run(folder, budget)
    packed, each = done["packed"], done["one call a file"]
    table("map calls planned", ["budget, tokens", "packed", "one call a file", "fewer"], rows)
    head = ["", "maps", "reduces", "input", "output", "map $", "all $"]
    title = f"{packed.said['files']:,} files, {packed.said['tokens']:,} tokens, {budget:,} a map call, by the ledger"
    table(title, head, [sums.row(name) for name, sums in done.items()])
    fewer = each.maps / packed.maps
    figures = {
        "files": packed.said["files"],
        "tokens": packed.said["tokens"],
        "budget": budget,
        "map_calls": packed.maps,
        "map_calls_each": each.maps,
        "fewer_calls": round(fewer, 2),
        "fewer_calls_planned_by_budget": ratios,
        "dollars": round(packed.dollars, 4),
        "dollars_each": round(each.dollars, 4),
        "map_dollars_saved": round(1 - packed.map_dollars / each.map_dollars, 4),
        "split_needlessly": packed.said["needless"],
    }
    both = (packed, each)
    bars = {
        ">= 5 x fewer calls": fewer >= BAR,
        "no file split needlessly": packed.said["needless"] == 0,
        "every chunk has its summary, in both": all(one.said["silent"] == one.bad == 0 for one in both),
        "our bill is the ledger's": all(abs(one.said["dollars"] - one.dollars) < 1e-6 for one in both),
    }
    finish("packing", figures, bars)


def main() -> None:
    """Reads the options."""
    parser = argparse.ArgumentParser(description="Packing against one call a file, judged by the simulator's ledger.")
    parser.add_argument("--quick", action="store_true", help="300 files")
    parser.add_argument("--budget", type=int, default=BUDGET, help="tokens of source a map call reads")
    options = parser.parse_args()
    measure(files=300 if options.quick else 2_000, budget=options.budget)


if __name__ == "__main__":
    main()
