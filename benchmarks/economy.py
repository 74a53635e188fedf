"""What routing and a calibrated ladder save against sending everything to the best model, and what they lose.

Usage: `python -m benchmarks.economy [--quick] [--no-plot]`. A support desk's 2,000 requests (see `economy_tasks`) go
through the actors to one simulated provider with three models of known skill and price. The threshold is calibrated on
500 other requests with labels, so that at least 99 % of the best model's quality is held at a confidence of 90 %; what
the labels cost is told by itself. Costs are those of the simulator's ledger, quality is the exam's own truth.

Beside it: each model alone, and routes and a ladder without routes at several thresholds. `docs/economy.png` shows them
all.
"""

import argparse
import json
import subprocess
import textwrap
from collections.abc import Sequence
from decimal import Decimal
from random import Random
from typing import Any, Final, NamedTuple

from benchmarks import economy_tasks as tasks
from benchmarks import peers
from benchmarks.rig import PEERS, ROOT, WIDTH, Contestant, finish, median, own_home, table
from understudy.cluster.simulator import Answer, ModelSettings, Settings, SimulatorProcess
from understudy.cluster.simulator.exam import truth
from understudy.supervisors.calibration import Calibrated, Rung, at, calibrate

SEED: Final = 4
ASKED: Final = 2000
LABELLED: Final = 500
SHARE: Final = 0.99
DELTA: Final = 0.1
SAVING_BAR: Final = 0.74
THRESHOLDS: Final = (0.2, 0.4, 0.6, 0.8)
RESAMPLES: Final = 200
BILL: Final = 47_000
"""Dollars a month, in the story this is taken from; there it became 12,000."""

_SKIPPED: Final = Rung(None, correct=False)
"""A rung that a request's route doesn't have: it accepts nothing, and costs nothing."""


class Measured(NamedTuple):
    """One way of answering all requests: how many are right, dollars, and calls, by the simulator's ledger."""

    name: str
    right: int
    cost: Decimal
    calls: int


class Desk:
    """The requests, one simulator, and a driver with a cluster of its own."""

    def __init__(self, simulator: SimulatorProcess, driver: Contestant, asked: int, labelled: int) -> None:
        self._simulator = simulator
        self._driver = driver
        self._config = tasks.configuration(simulator.url)
        self.asked = tasks.requests(asked, seed=SEED, name="asked")
        self.labelled = tasks.requests(labelled, seed=SEED, name="labelled")

    def run(self, flow: dict[str, Any], requests: Sequence[tasks.Request], *, rungs: bool = False) -> dict[str, Any]:
        """What came of each request, and the ledger's `cost` and `calls`."""
        self._simulator.control(reset_ledger=True)
        found = self._driver.ask(
            config=self._config, flow=flow, texts=[request.text for request in requests], rungs=rungs
        )
        records = self._simulator.ledger()
        assert not found["errors"], found["errors"]
        return {**found, "cost": sum((Decimal(one.cost) for one in records), Decimal(0)), "calls": len(records)}

    def measure(self, name: str, flow: dict[str, Any]) -> Measured:
        """One way of answering all requests."""
        found = self.run(flow, self.asked)
        right = sum(_is_right(request, said) for request, said in zip(self.asked, found["outputs"], strict=True))
        return Measured(name, right, found["cost"], found["calls"])

    def label(self) -> tuple[list[tuple[Rung, ...]], Decimal]:
        """Rungs of every labelled request as its route has them, and what asking all of them cost."""
        found = self.run(tasks.labelling(), self.labelled, rungs=True)
        rows = zip(self.labelled, found["outputs"], found["costs"], strict=True)
        return [_rungs(request, output, costs) for request, output, costs in rows], found["cost"]


def _is_right(request: tasks.Request, said: str) -> bool:
    return said.startswith(f"Answer: {truth(SEED, request.id)}")


def _rungs(request: tasks.Request, output: dict[str, Any], costs: dict[str, int]) -> tuple[Rung, ...]:
    own = tasks.RUNGS.get(tasks.kind_of(request.text))
    judged = [
        Rung(output[model]["score"], _is_right(request, output[model]["answer"]), costs[model])
        if model == own
        else _SKIPPED
        for model in tasks.RUNGS.values()
    ]
    return (*judged, Rung(None, _is_right(request, output["best"]), costs["best"]))


def resampled(labels: Sequence[tuple[Rung, ...]]) -> tuple[float, float]:
    """Over labelled sets drawn anew from these: share that found a threshold at all, and their median saving."""
    rng = Random(SEED)
    found = [calibrate(rng.choices(labels, k=len(labels)), SHARE, delta=DELTA, relative=True) for _ in range(RESAMPLES)]
    return sum(one.feasible for one in found) / RESAMPLES, median([one.saving for one in found])


class Ways(NamedTuple):
    """All ways: the two that count, and what stands beside them; by threshold where they have one."""

    best: Measured
    ours: Measured
    alone: Sequence[Measured] = ()
    routed: Sequence[Measured] = ()
    ladders: Sequence[Measured] = ()


def ways(desk: Desk, threshold: float, *, quick: bool) -> Ways:
    """Measures all ways, the two that count first."""
    best = desk.measure("best model alone", tasks.alone("best"))
    ours = desk.measure(f"calibrated: {threshold:g}", tasks.routed(threshold))
    if quick:
        return Ways(best, ours)
    return Ways(
        best,
        ours,
        [desk.measure(f"{name} model alone", tasks.alone(name)) for name in ("small", "mid")],
        [desk.measure(f"routes + ladders at {one:g}", tasks.routed(one)) for one in THRESHOLDS],
        [
            desk.measure(f"one ladder at {one:g}", tasks.ladder("small", "mid", "best", judged_by="mid", threshold=one))
            for one in THRESHOLDS
        ],
    )


def show(found: Calibrated, cost: Decimal, labels: Sequence[tuple[Rung, ...]]) -> None:
    """What calibration found."""
    drawn, saving = resampled(labels)
    plain = at(labels, None).correct / len(labels)
    assert found.share_low is not None
    rows = [
        ("threshold", f"{found.threshold:g}"),
        ("quality on the labels, best alone", f"{found.quality:.1%}, {plain:.1%}"),
        (f"share of the best's, shown at {found.confidence:.0%}", f"{found.share_low:.1%}"),
        ("saving on the labels", f"{found.saving:.1%}"),
        (f"labels drawn anew {RESAMPLES} times: feasible, median saving", f"{drawn:.0%}, {saving:.1%}"),
        ("cost of all rungs and judges on the labels", f"${cost:.2f}"),
    ]
    table(f"Calibrated on {found.n} labelled requests", ["", ""], rows)
    print(textwrap.fill(found.why, WIDTH))


def show_ways(found: Ways, asked: int) -> None:
    """The table of all ways."""
    best = found.best
    rows = [
        [
            one.name,
            f"{one.calls:,}",
            f"${one.cost:.2f}",
            f"{1 - one.cost / best.cost:.1%}",
            f"{one.right / asked:.2%}",
            f"{one.right / best.right:.2%}",
            f"${BILL * float(one.cost / best.cost):,.0f}",
        ]
        for one in (best, found.ours, *found.alone, *found.routed, *found.ladders)
    ]
    head = ["", "calls", "cost", "saved", "right", "of best", "a month"]
    table(f"{asked:,} requests, by the simulator's ledger and the exam's truth", head, rows)


def _label(name: str) -> str:
    """Of a threshold the number will do, since the legend says of what; where points lie close, none."""
    way, _, threshold = name.rpartition(" at ")
    return threshold if not way.startswith("routes") or threshold == f"{THRESHOLDS[-1]:g}" else ""


def plot(found: Ways, asked: int) -> None:
    """Writes docs/economy.png."""
    peers.make()
    best = found.best

    def series(name: str, marker: str, line: str, side: str, several: Sequence[Measured]) -> dict[str, Any]:
        points = [
            {
                "label": _label(one.name),
                "cost": float(one.cost / best.cost),
                "quality": one.right / asked,
            }
            for one in several
        ]
        return {"name": name, "marker": marker, "line": line, "side": side, "points": points}

    told = {
        "path": str(ROOT / "docs" / "economy.png"),
        "title": f"{asked:,} requests of a support desk: what they cost, and how many are right",
        "bar": SHARE * best.right / asked,
        "bar_label": f"{SHARE:.0%} of the best model's quality",
        "series": [
            series("one model alone", "s", "", "below", [*found.alone, best]),
            series("one ladder, by threshold", "o", "--", "above", found.ladders),
            series("routes + ladders, by threshold", "^", "--", "below", found.routed),
            series("routes + ladders, calibrated", "*", "", "below", [found.ours]),
        ],
    }
    subprocess.run([str(PEERS), "-m", "benchmarks.plot_economy"], input=json.dumps(told).encode(), check=True, cwd=ROOT)


def provider() -> Settings:
    """The simulated provider: three models that sit the exam."""
    models = {
        name: ModelSettings(input_price=Decimal(str(said)), output_price=Decimal(str(read)), skill=tasks.SKILLS[name])
        for name, (said, read) in tasks.PRICES.items()
    }
    return Settings(seed=SEED, models=models, answer=Answer(mode="exam", tokens=tasks.ANSWER_TOKENS))


def measure(desk: Desk, *, quick: bool) -> tuple[Calibrated, Decimal, Ways | None]:
    """What calibration found and cost, and all ways; none where no threshold holds the target."""
    labels, cost = desk.label()
    found = calibrate(labels, SHARE, delta=DELTA, relative=True)
    if found.threshold is None:
        return found, cost, None
    show(found, cost, labels)
    return found, cost, ways(desk, found.threshold, quick=quick)


def close(found: Calibrated, cost: Decimal, measured: Ways) -> None:
    """The bars, and the line that ends it."""
    best, ours = measured.best, measured.ours
    saved, share = 1 - float(ours.cost / best.cost), ours.right / best.right
    figures = {"saved": saved, "share": share, "threshold": found.threshold, "labels_cost": float(cost)}
    bars = {
        f"saves >= {SAVING_BAR:.0%} of the best model's cost": saved >= SAVING_BAR,
        f">= {SHARE:.0%} of its quality": share >= SHARE,
    }
    finish("economy", figures, bars)


def main() -> None:
    """See the module's docstring."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer requests, and nothing beside the two that count")
    parser.add_argument("--no-plot", action="store_true", help="leave docs/economy.png as it is")
    options = parser.parse_args()
    asked = 600 if options.quick else ASKED
    with SimulatorProcess(provider()) as simulator, own_home() as environ:
        command = ["-m", "benchmarks.part_economy", json.dumps({"mappers": 1, "cores": 2})]
        with Contestant(command, environ=environ, patience_s=300.0) as driver:
            desk = Desk(simulator, driver, asked, LABELLED)
            found, cost, measured = measure(desk, quick=options.quick)
    if measured is None:
        print(textwrap.fill(found.why, WIDTH))
        finish("economy", {}, {"a threshold that holds the target": False})
        return
    show_ways(measured, asked)
    if not (options.no_plot or options.quick):
        plot(measured, asked)
    close(found, cost, measured)


if __name__ == "__main__":
    main()
