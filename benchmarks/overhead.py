"""What a model call costs in CPU: ours against raw aiohttp, LiteLLM's Router and a LangGraph node, in one run.

Usage: `python -m benchmarks.overhead [--quick]`. The provider is the simulator in a process of its own, without
latency and without a quota; 64 calls are in flight. Ours go through Mappers, channels, leases of a Provider with high
limits, and all the rest of a job; all our processes are summed, Ray's daemons are reported apart.
"""

import argparse
import json
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any, Final

from benchmarks import peers
from benchmarks.rig import PEERS, ROOT, Contestant, finish, median, own_home, spread, table
from understudy.cluster.simulator import Settings, SimulatorProcess

IN_FLIGHT: Final = 64
RATIO_BAR: Final = 3.0
RATIO_AIM: Final = 2.0
LITELLM_BAR: Final = 12.0
LIMITS: Final = {"rpm": 100_000_000, "tpm": 10_000_000_000}


class Runner:
    """A contestant, what it is asked for, and what it answered round by round."""

    def __init__(self, label: str, contestant: Contestant, calls: int, words: dict[str, Any] | None = None) -> None:
        self.label = label
        self.calls = calls
        self.answers: list[dict[str, Any]] = []
        self.sent = 0
        self._contestant = contestant
        self._words = words

    def _ask(self, calls: int) -> dict[str, Any]:
        self.sent += calls
        if self._words is None:
            return self._contestant.ask(calls=calls)
        return self._contestant.ask(jobs=[{**self._words, "calls": calls}])

    def warm(self, calls: int) -> None:
        """Calls that are not counted: connections, caches, permits."""
        self._ask(calls)

    def round(self) -> None:
        """One measured round."""
        self.answers.append(self._ask(self.calls))

    def micros(self, key: str = "cpu_s") -> list[float]:
        """Microseconds a call, by round."""
        return [answer[key] / answer["calls"] * 1e6 for answer in self.answers]

    @property
    def cpu_us(self) -> float:
        """CPU microseconds a call, median of the rounds."""
        return median(self.micros())

    @property
    def rate(self) -> float:
        """Calls a second, median of the rounds."""
        return median([answer["calls"] / answer["wall_s"] for answer in self.answers])

    @property
    def failed(self) -> int:
        """Calls that failed in measured rounds."""
        return sum(int(answer["failed"]) for answer in self.answers)


def _ours(stack: ExitStack, url: str, mappers: int, calls: int) -> Runner:
    environ = stack.enter_context(own_home())
    settings = {"mappers": mappers, "cores": 2, "accounts": {"sim": {"url": url, "limits": LIMITS}}}
    contestant = Contestant(["-m", "benchmarks.part_ours", json.dumps(settings)], environ=environ)
    stack.enter_context(contestant)
    words = {"account": "sim", "width": IN_FLIGHT // mappers}
    return Runner(f"ours, {mappers} mapper{'s' * (mappers > 1)}", contestant, calls, words)


def _raw(stack: ExitStack, url: str, calls: int) -> Runner:
    command = ["-m", "benchmarks.part_raw", url, str(IN_FLIGHT)]
    return Runner("raw aiohttp", stack.enter_context(Contestant(command)), calls)


def _peer(stack: ExitStack, label: str, script: str, url: str, calls: int) -> Runner:
    command = [str(ROOT / "benchmarks" / script), url, str(IN_FLIGHT)]
    return Runner(label, stack.enter_context(Contestant(command, python=PEERS)), calls)


def interleave(runners: Sequence[Runner], rounds: int, *, every: int = 1) -> None:
    """So many rounds, all runners in each, the order turned round every time."""
    for number in range(rounds):
        for runner in runners if number % 2 else reversed(runners):
            if number % every == 0 or runner.calls >= 2000:
                runner.round()


def _report(rows: Sequence[Runner], floor: float) -> None:
    head = ["", "calls", "failed", "CPU µs/call", "rounds", "× raw", "calls/s"]
    body = [
        [
            row.label,
            f"{len(row.answers) * row.calls:,}",
            str(row.failed),
            f"{row.cpu_us:.0f}",
            spread(row.micros()),
            f"{row.cpu_us / floor:.2f}",
            f"{row.rate:,.0f}",
        ]
        for row in rows
    ]
    table(f"CPU per model call, {IN_FLIGHT} in flight, no latency", head, body)


def _processes(runner: Runner) -> dict[str, float]:
    labels = runner.answers[0]["by_process"]
    return {
        label: median([answer["by_process"].get(label, 0.0) / answer["calls"] * 1e6 for answer in runner.answers])
        for label in labels
    } | {"ray's daemons (not counted)": median(runner.micros("ray_s"))}


def measure(*, quick: bool) -> None:
    """Runs it all and prints the tables and the JSON line."""
    peers.make()
    calls, few = (1000, 200) if quick else (5000, 1000)
    rounds = 3 if quick else 6
    with SimulatorProcess(Settings(any_model=True)) as simulator, ExitStack() as stack:
        raw = _raw(stack, simulator.url, calls)
        lite = _peer(stack, "LiteLLM Router", "peer_litellm.py", simulator.url, few)
        graph = _peer(stack, "LangGraph node", "peer_langgraph.py", simulator.url, few)
        with ExitStack() as inner:
            one = _ours(inner, simulator.url, 1, calls)
            for runner, warm in ((raw, 500), (one, 1000), (lite, 100), (graph, 100)):
                runner.warm(warm)
            interleave([one, raw, lite, graph], rounds, every=2)
        beside = len(raw.answers)
        with ExitStack() as inner:
            two = _ours(inner, simulator.url, 2, calls)
            two.warm(1000)
            interleave([two, raw], max(3, rounds // 2))
        paid = simulator.summary()
    everybody = [raw, one, two, lite, graph]
    sent = sum(runner.sent for runner in everybody)
    floor = median(raw.micros()[:beside])
    floor_two = median(raw.micros()[beside:])
    _report(everybody, floor)
    for runner in (one, two):
        rows = [[label, f"{micros:.1f}"] for label, micros in _processes(runner).items()]
        table(f"{runner.label}: where it goes", ["process", "CPU µs/call"], rows)
    ratio, ratio_two, less = one.cpu_us / floor, two.cpu_us / floor_two, lite.cpu_us / one.cpu_us
    print(f"\nLiteLLM {less:.1f} × ours; ledger {paid.accepted:,} calls, sent {sent:,}; aim {RATIO_AIM} × raw")
    figures = {
        "raw_us": round(floor, 1),
        "ours_us": round(one.cpu_us, 1),
        "ours_2_mappers_us": round(two.cpu_us, 1),
        "litellm_us": round(lite.cpu_us, 1),
        "langgraph_us": round(graph.cpu_us, 1),
        "ratio_raw": round(ratio, 2),
        "ratio_raw_2_mappers": round(ratio_two, 2),
        "litellm_over_ours": round(less, 1),
        "langgraph_over_ours": round(graph.cpu_us / one.cpu_us, 1),
        "ray_daemons_us": round(median(one.micros("ray_s")), 1),
        "calls_per_s": {runner.label: round(runner.rate) for runner in everybody},
        "processes_us": {label: round(micros, 1) for label, micros in _processes(one).items()},
        "calls_sent": sent,
        "calls_in_ledger": paid.accepted,
        "aim_met": ratio <= RATIO_AIM,
    }
    bars = {
        "ours <= 3.0 x raw aiohttp": ratio <= RATIO_BAR,
        "ours <= 3.0 x raw aiohttp with 2 mappers": ratio_two <= RATIO_BAR,
        "LiteLLM Router >= 12 x ours": less >= LITELLM_BAR,
        "calls in the ledger = calls sent, none failed": paid.accepted == sent
        and not any(runner.failed for runner in everybody),
    }
    finish("overhead", figures, bars)


def main() -> None:
    """Reads the options."""
    parser = argparse.ArgumentParser(description="CPU per model call, against raw aiohttp and against peers.")
    parser.add_argument("--quick", action="store_true", help="fewer calls and rounds")
    measure(quick=parser.parse_args().quick)


if __name__ == "__main__":
    main()
