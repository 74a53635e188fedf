"""5,000 calls of 1 s at concurrency 1,000, and a tenth of all requests failing: ours beside what others would write.

Usage: `python -m benchmarks.fanout [--quick] [--backoff SECONDS]`. The simulator, a process of its own, takes 1.0 s to
answer. In the rounds with failures a tenth of the requests are answered by a 503 at once, as an overloaded provider
does: those that fail come back long before the others. Peers run in one process each, as their documentation says, ours
on a local cluster of two Mappers. All retry, with the same first back-off: 0.1 s, which is what understudy has when
nothing is said. Each has one round that is shown and not counted, then three clean ones and three with failures.

Peers are given fewer calls at the same concurrency, because the slowest would take minutes a round. What is compared is
wall over the ideal, which is calls / concurrency and one call. The simulator's ledger says what was answered.

Besides, for ours alone: one `parallel` over the list instead of an input a call; a first back-off of 0.5 s; and
failures that take a whole second like an answer. There the last calls that fail take two seconds and three whoever
makes them: beside it stands what 1,000 workers would need that never wait.
"""

import argparse
import heapq
import json
import random
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any, Final

from benchmarks import peers
from benchmarks.rig import PEERS, ROOT, Contestant, finish, median, own_home, table
from understudy.cluster.simulator import Answer, Settings, SimulatorProcess

WIDTH: Final = 1000
CALLS: Final = 5000
CALL_S: Final = 1.0
REFUSAL_S: Final = 0.05
RATE: Final = 0.1
TOKENS: Final = 32
WALL_BAR: Final = 1.25
FAILURE_BAR: Final = 1.15
PEER_SCRIPTS: Final = {"LangGraph Send": "langgraph", "LiteLLM abatch": "litellm", "asyncio + httpx": "httpx"}
PEER_CALLS: Final = {"LangGraph Send": 2000, "LiteLLM abatch": 2000, "asyncio + httpx": 1000}

QUICK_TO_FAIL: Final = {"median_s": REFUSAL_S, "per_output_token_s": (CALL_S - REFUSAL_S) / TOKENS}
"""An answer takes 1 s, a 503 does not: what is generated takes the time."""
LONGER_BACKOFF_S: Final = 0.5
SLOW_TO_FAIL: Final = {"median_s": CALL_S}


def ideal(calls: int) -> float:
    """Seconds for so many calls if nothing but the provider took time, and one call more for the last to be told."""
    return calls / WIDTH * CALL_S + CALL_S


class Round:
    """What one round showed: seconds, calls that failed, and what the provider's books say."""

    def __init__(self, answer: dict[str, Any], summary: Any) -> None:
        self.wall_s = float(answer["wall_s"])
        self.cpu_s = float(answer["cpu_s"])
        self.complete = answer["failed"] == 0 and summary.outcomes.get("ok") == answer["calls"]
        self.peak = int(summary.peak_concurrency)
        self.duplicates = int(summary.duplicate_calls)


class Runner:
    """A contestant and its rounds by what was asked for."""

    def __init__(self, label: str, contestant: Contestant, calls: int, simulator: SimulatorProcess) -> None:
        self.label = label
        self.calls = calls
        self.rounds: dict[str, list[Round]] = {}
        self._contestant = contestant
        self._simulator = simulator

    def round(self, name: str, *, rate: float = 0.0, slow: bool = False, **words: Any) -> None:
        """One round; the simulator's dice begin anew with each."""
        latency = SLOW_TO_FAIL if slow else QUICK_TO_FAIL
        self._simulator.control(reset_ledger=True, latency=latency, faults={"error_503": rate})
        answer = self._contestant.ask(calls=self.calls, **words)
        self.rounds.setdefault(name, []).append(Round(answer, self._simulator.summary()))

    def wall(self, name: str) -> float:
        """Seconds, median of its rounds of that name."""
        return median([one.wall_s for one in self.rounds.get(name, ())])

    @property
    def over_ideal(self) -> float:
        """Wall of a clean round over the ideal."""
        return self.wall("clean") / ideal(self.calls)

    @property
    def failures_cost(self) -> float:
        """Wall of a round with failures over that of a clean one."""
        return self.wall("failing") / self.wall("clean")

    @property
    def complete(self) -> bool:
        """True when every call of every round was answered, once, by the provider's books."""
        return all(one.complete and not one.duplicates for several in self.rounds.values() for one in several)

    def row(self) -> list[str]:
        """For the table."""
        clean = self.rounds["clean"]
        return [
            self.label,
            f"{self.calls:,}",
            f"{self.wall('first'):.2f}",
            f"{self.wall('clean'):.2f}",
            f"{self.over_ideal:.2f}",
            f"{self.wall('failing'):.2f}",
            f"{self.failures_cost:.2f}",
            f"{median([one.cpu_s for one in clean]) / self.calls * 1e3:.2f}",
            "all" if self.complete else "NO",
        ]


def bound(calls: int, *, failure_s: float, seed: int) -> float:
    """Seconds if workers who take the next call, and try a failed one again at once: Graham, 1966."""
    rng = random.Random(seed)
    workers, end = [0.0] * WIDTH, 0.0
    for _ in range(calls):
        at = heapq.heappop(workers)
        while rng.random() < RATE:
            at += failure_s
        end = max(end, at + CALL_S)
        heapq.heappush(workers, at + CALL_S)
    return end


class Measurement:
    """All contestants against one simulator, and what came out."""

    def __init__(self, *, quick: bool, backoff_s: float) -> None:
        self._quick = quick
        self._rounds = 1 if quick else 3
        self._backoff_s = backoff_s

    def run(self) -> None:
        """Runs the rounds, contestants in turn."""
        settings = Settings(any_model=True, answer=Answer(tokens=TOKENS))
        with SimulatorProcess(settings) as simulator, ExitStack() as stack:
            self.ours = self._ours(stack, simulator)
            self.peers = [self._peer(stack, label, simulator) for label in PEER_SCRIPTS]
            everybody = [self.ours, *self.peers]
            for runner in everybody:
                runner.round("first")
            for number in range(self._rounds):
                for runner in everybody if number % 2 else reversed(everybody):
                    runner.round("clean")
                    runner.round("failing", rate=RATE)
            self._more()

    def _more(self) -> None:
        """The rounds of ours alone; Supervisor and Mappers are warm by now."""
        for _ in range(self._rounds):
            self.ours.round("parallel", form="parallel")
            self.ours.round("parallel, failing", form="parallel", rate=RATE)
            self.ours.round("back-off of 0.5 s, failing", rate=RATE, backoff_s=LONGER_BACKOFF_S)
            self.ours.round("slow to fail", rate=RATE, slow=True)

    def _ours(self, stack: ExitStack, simulator: SimulatorProcess) -> Runner:
        environ = stack.enter_context(own_home())
        settings = {"url": simulator.url, "width": WIDTH, "backoff_s": self._backoff_s}
        command = ["-m", "benchmarks.part_fanout", json.dumps(settings)]
        contestant = stack.enter_context(Contestant(command, environ=environ, patience_s=300.0))
        return Runner("understudy", contestant, CALLS, simulator)

    def _peer(self, stack: ExitStack, label: str, simulator: SimulatorProcess) -> Runner:
        script = ROOT / "benchmarks" / f"peer_fanout_{PEER_SCRIPTS[label]}.py"
        command = [str(script), simulator.url, str(WIDTH), str(self._backoff_s)]
        contestant = stack.enter_context(Contestant(command, python=PEERS, patience_s=600.0))
        return Runner(label, contestant, WIDTH if self._quick else PEER_CALLS[label], simulator)

    def report(self) -> None:
        """Prints the tables."""
        head = ["", "calls", "first s", "clean s", "x ideal", "10 % s", "x clean", "CPU ms", "done"]
        rows = [runner.row() for runner in [self.ours, *self.peers]]
        table(
            f"Calls of 1 s, {WIDTH:,} at once; a tenth of the requests fail; back-off {self._backoff_s:g} s", head, rows
        )
        names = ["parallel", "parallel, failing", "back-off of 0.5 s, failing", "slow to fail"]
        table("Ours alone", ["", "wall s"], [[name, f"{self.ours.wall(name):.2f}"] for name in names])
        print(
            f"\nfailures that take 1 s: nobody could need less than {self.slow_bound():.1f} s without second requests"
        )

    def slow_bound(self) -> float:
        """The bound where a failure takes as long as an answer, median of the dice."""
        return median([bound(CALLS, failure_s=CALL_S, seed=seed) for seed in range(9)])

    def figures(self) -> dict[str, Any]:
        """For the JSON line: seconds, and ratios."""
        everybody: Sequence[Runner] = [self.ours, *self.peers]
        return {
            "ideal_s": ideal(CALLS),
            "backoff_s": self._backoff_s,
            "calls": {runner.label: runner.calls for runner in everybody},
            "wall_s": {runner.label: round(runner.wall("clean"), 2) for runner in everybody},
            "failing_s": {runner.label: round(runner.wall("failing"), 2) for runner in everybody},
            "over_ideal": {runner.label: round(runner.over_ideal, 2) for runner in everybody},
            "failures_cost": {runner.label: round(runner.failures_cost, 2) for runner in everybody},
            "first_s": {runner.label: round(runner.wall("first"), 2) for runner in everybody},
            "peak": {runner.label: max(one.peak for one in runner.rounds["clean"]) for runner in everybody},
            "complete": {runner.label: runner.complete for runner in everybody},
            "parallel_s": round(self.ours.wall("parallel"), 2),
            "parallel_failing_s": round(self.ours.wall("parallel, failing"), 2),
            "backoff_05_failing_s": round(self.ours.wall("back-off of 0.5 s, failing"), 2),
            "slow_to_fail_s": round(self.ours.wall("slow to fail"), 2),
            "slow_to_fail_bound_s": round(self.slow_bound(), 2),
        }

    def bars(self) -> dict[str, bool]:
        """What had to be shown."""
        return {
            "wall <= 1.25 x ideal": self.ours.over_ideal <= WALL_BAR,
            "10 % failures cost <= 15 %": self.ours.failures_cost <= FAILURE_BAR,
            "every call answered once, by the provider's books": self.ours.complete,
        }


def main() -> None:
    """Reads the options, runs it all, and prints the tables and the JSON line."""
    parser = argparse.ArgumentParser(description="A wide fan-out against the ideal, against failures, against peers.")
    parser.add_argument("--quick", action="store_true", help="one round each, fewer calls for the peers")
    parser.add_argument("--backoff", type=float, default=0.1, metavar="SECONDS", help="first back-off (default: 0.1)")
    options = parser.parse_args()
    peers.make()
    outcome = Measurement(quick=options.quick, backoff_s=options.backoff)
    outcome.run()
    outcome.report()
    finish("fanout", outcome.figures(), outcome.bars())


if __name__ == "__main__":
    main()
