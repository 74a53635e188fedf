"""What a model call costs in CPU: ours against raw aiohttp, LiteLLM's Router and a LangGraph node, in one run.

Usage: `python -m benchmarks.overhead [--quick]`. The provider is the simulator in a process of its own, without
latency and without a quota; 64 calls are in flight. Ours go through Mappers, channels, leases of a Provider with high
limits, and all the rest of a job; all our processes are summed, Ray's daemons are reported apart. In the rows that
count everything is on: limiter, breaker, prices, a budget and a hedge timer on each call, a choice of the route by the
last of twenty rules, and a look through each prompt for personal data; `plain` is without the last four. `journal` is
with a journal on top, SQLite in the cluster's home: each answer is on disk before anybody hears of it. It runs on the
same cluster as the row without, in the same rounds, and the Journal's process is summed with the others.
"""

import argparse
import json
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any, Final

from benchmarks import peers
from benchmarks.rig import PEERS, ROOT, Contestant, finish, median, own_home, table
from understudy.cluster.simulator import Settings, SimulatorProcess

IN_FLIGHT: Final = 64
RATIO_BAR: Final = 3.0
RATIO_AIM: Final = 2.0
JOURNAL_BAR: Final = 3.3
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

    def also(self, label: str, **words: Any) -> "Runner":
        """The same contestant, asked for something else; its rounds are its own."""
        return Runner(label, self._contestant, self.calls, {**(self._words or {}), **words})

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


def _ours(stack: ExitStack, url: str, mappers: int, calls: int, *, full: bool = True) -> Runner:
    environ = stack.enter_context(own_home())
    settings = {"mappers": mappers, "cores": 2, "accounts": {"sim": {"url": url, "limits": LIMITS}}, "full": full}
    contestant = Contestant(["-m", "benchmarks.part_ours", json.dumps(settings)], environ=environ)
    stack.enter_context(contestant)
    words = {"account": "auto" if full else "sim", "width": IN_FLIGHT // mappers}
    label = f"ours, {mappers} mapper{'s' * (mappers > 1)}" + ("" if full else ", plain")
    return Runner(label, contestant, calls, words)


def _raw(stack: ExitStack, url: str, calls: int) -> Runner:
    command = ["-m", "benchmarks.part_raw", url, str(IN_FLIGHT)]
    return Runner("raw aiohttp", stack.enter_context(Contestant(command)), calls)


def _peer(stack: ExitStack, label: str, script: str, url: str, calls: int) -> Runner:
    command = [str(ROOT / "benchmarks" / script), url, str(IN_FLIGHT)]
    return Runner(label, stack.enter_context(Contestant(command, python=PEERS)), calls)


def interleave(runners: Sequence[Runner], rounds: int, *, seldom: Sequence[Runner] = ()) -> None:
    """So many rounds in alternating order; `seldom` (the slow ones) run in every other round."""
    for number in range(rounds):
        several = [*runners, *([] if number % 2 else seldom)]
        for runner in several if number % 2 else reversed(several):
            runner.round()


def _report(rows: Sequence[Runner], floor: float) -> None:
    head = ["", "calls", "failed", "CPU µs/call", "rounds", "x raw", "calls/s"]
    body = [
        [
            row.label,
            f"{len(row.answers) * row.calls:,}",
            str(row.failed),
            f"{row.cpu_us:.0f}",
            f"{min(row.micros()):.0f}-{max(row.micros()):.0f}",
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


class Measurement:
    """All contestants against one simulator, and what came out."""

    def __init__(self, *, quick: bool) -> None:
        self._calls, self._few, self._rounds = (1000, 200, 3) if quick else (5000, 1000, 6)

    def run(self) -> None:
        """Runs the rounds: one Mapper among all others, then two Mappers beside the floor."""
        with SimulatorProcess(Settings(any_model=True)) as simulator, ExitStack() as stack:
            url = simulator.url
            self.raw = _raw(stack, url, self._calls)
            self.lite = _peer(stack, "LiteLLM Router", "peer_litellm.py", url, self._few)
            self.graph = _peer(stack, "LangGraph node", "peer_langgraph.py", url, self._few)
            with ExitStack() as inner:
                self.one = _ours(inner, url, 1, self._calls)
                self.kept = self.one.also(f"{self.one.label}, journal", journal="ahead")
                self._warm(self.raw, self.one, self.kept, self.lite, self.graph)
                interleave([self.one, self.raw, self.kept], self._rounds, seldom=[self.lite, self.graph])
            self.floor = self.raw.cpu_us
            rounds = len(self.raw.answers)
            with ExitStack() as inner:
                self.plain = _ours(inner, url, 1, self._calls, full=False)
                self._warm(self.plain)
                interleave([self.plain, self.raw], max(3, self._rounds // 2))
            self.floor_plain = median(self.raw.micros()[rounds:])
            rounds = len(self.raw.answers)
            with ExitStack() as inner:
                self.two = _ours(inner, url, 2, self._calls)
                self._warm(self.two)
                interleave([self.two, self.raw], max(3, self._rounds // 2))
            self.floor_two = median(self.raw.micros()[rounds:])
            self.paid = simulator.summary()
        self.everybody = [self.raw, self.one, self.kept, self.plain, self.two, self.lite, self.graph]
        self.sent = sum(runner.sent for runner in self.everybody)

    @staticmethod
    def _warm(*runners: Runner) -> None:
        for runner in runners:
            runner.warm(1000 if runner.calls >= 1000 else 100)

    def figures(self) -> dict[str, Any]:
        """For the JSON line; microseconds of CPU a call."""
        one, two, lite, graph = self.one.cpu_us, self.two.cpu_us, self.lite.cpu_us, self.graph.cpu_us
        return {
            "raw_us": round(self.floor, 1),
            "ours_us": round(one, 1),
            "ours_plain_us": round(self.plain.cpu_us, 1),
            "ours_journal_us": round(self.kept.cpu_us, 1),
            "ours_2_mappers_us": round(two, 1),
            "litellm_us": round(lite, 1),
            "langgraph_us": round(graph, 1),
            "ratio_raw": round(one / self.floor, 2),
            "ratio_raw_plain": round(self.plain.cpu_us / self.floor_plain, 2),
            "ratio_raw_journal": round(self.kept.cpu_us / self.floor, 2),
            "ratio_raw_2_mappers": round(two / self.floor_two, 2),
            "litellm_over_ours": round(lite / one, 1),
            "langgraph_over_ours": round(graph / one, 1),
            "ray_daemons_us": round(median(self.one.micros("ray_s")), 1),
            "calls_per_s": {runner.label: round(runner.rate) for runner in self.everybody},
            "processes_us": {label: round(micros, 1) for label, micros in _processes(self.one).items()},
            "processes_journal_us": {label: round(micros, 1) for label, micros in _processes(self.kept).items()},
            "calls_sent": self.sent,
            "calls_in_ledger": self.paid.accepted,
            "aim_met": one / self.floor <= RATIO_AIM,
        }

    def bars(self) -> dict[str, bool]:
        """What had to be shown."""
        all_well = self.paid.accepted == self.sent and not any(runner.failed for runner in self.everybody)
        return {
            "ours <= 3.0 x raw aiohttp": self.one.cpu_us <= RATIO_BAR * self.floor,
            "with the journal <= 3.3 x raw aiohttp": self.kept.cpu_us <= JOURNAL_BAR * self.floor,
            "LiteLLM Router >= 12 x ours": self.lite.cpu_us >= LITELLM_BAR * self.one.cpu_us,
            "calls in the ledger = calls sent, none failed": all_well,
        }


def measure(*, quick: bool) -> None:
    """Runs it all and prints the tables and the JSON line."""
    peers.make()
    outcome = Measurement(quick=quick)
    outcome.run()
    _report(outcome.everybody, outcome.floor)
    for runner in (outcome.one, outcome.kept, outcome.two):
        rows = [[label, f"{micros:.1f}"] for label, micros in _processes(runner).items()]
        table(f"{runner.label}: where it goes", ["process", "CPU µs/call"], rows)
    figures = outcome.figures()
    print(
        f"\nours {figures['ratio_raw']} x raw (aim {RATIO_AIM}), with the journal {figures['ratio_raw_journal']} x, "
        f"2 mappers {figures['ratio_raw_2_mappers']} x; "
        f"LiteLLM {figures['litellm_over_ours']} x ours"
    )
    finish("overhead", figures, outcome.bars())


def main() -> None:
    """Reads the options."""
    parser = argparse.ArgumentParser(description="CPU per model call, against raw aiohttp and against peers.")
    parser.add_argument("--quick", action="store_true", help="fewer calls and rounds")
    measure(quick=parser.parse_args().quick)


if __name__ == "__main__":
    main()
