"""What hedging does to the tail of latency, and what it costs in requests, by the simulator's ledger.

Usage: `python -m benchmarks.hedging [--quick]`. Three set-ups, each through real actors:

A. 5 % of the calls take 10 times as long (50 ms, 500 ms); rounds with and without hedging alternate.
B. An operation is 100 calls at once and done with the last of them; 1 % of the calls take 100 times as long. So 63 % of
   the operations meet one. After Dean and Barroso, *The Tail at Scale*, CACM 2013; theirs are 10 ms and 1 s. Here 30 ms
   and 3 s, since on two cores, which the provider's stand-in shares, 100 calls at once take longer than 10 ms to send.
   Fewer operations are made without hedging: the longest of them, which then is their p99.9, is if anything too short.
C. Every call takes 10 times as long from the first on, and by its first delay each is late: the budget has to hold.
"""

import argparse
import json
from collections.abc import Mapping
from typing import Any, Final

from benchmarks.payload import MODEL
from benchmarks.rig import Contestant, finish, own_home, table
from understudy.cluster.drill.tally import quantile
from understudy.cluster.simulator import Latency, Settings, SimulatorProcess

FIVE: Final = Latency(median_s=0.05, sigma=0.2, tail_rate=0.05, tail_factor=10.0)
ALL_SLOW: Final = Latency(median_s=0.5, sigma=0.2, tail_rate=0.05, tail_factor=10.0)
ONE: Final = Latency(median_s=0.03, sigma=0.1, tail_rate=0.01, tail_factor=100.0)
HEDGE: Final = {"share": 0.05, "initial_s": 0.2}
HEDGE_SLOW: Final = {"share": 0.05, "initial_s": 0.25}
HEDGE_FAN: Final = {"share": 0.03, "initial_s": 0.2, "most": 2}
FAN: Final = 100
AT_ONCE: Final = 16
DROP_BAR: Final = 0.60
EXTRA_BAR: Final = 0.05
FACTOR_BAR: Final = 10.0
EXTRA_FAN_BAR: Final = 0.03


def configuration(url: str, hedge: Mapping[str, Any] | None) -> dict[str, Any]:
    """One account, one route, hedged or not."""
    candidate = {"account": "sim", "model": MODEL, "price": {"input": 2.5, "output": 10.0}}
    route = {"candidates": [candidate], **({"hedge": dict(hedge)} if hedge else {})}
    return {
        "accounts": {"sim": {"base_url": f"{url}/v1", "limits": {"rpm": 10_000_000, "tpm": 1_000_000_000}}},
        "models": {"chat": route},
    }


class Arm:
    """Calls with one configuration against one simulator, and what came of all its rounds."""

    def __init__(
        self, label: str, ours: Contestant, simulator: SimulatorProcess, hedge: Mapping[str, Any] | None
    ) -> None:
        self.label = label
        self._ours = ours
        self._simulator = simulator
        self._config = configuration(simulator.url, hedge)
        self.seconds: list[float] = []
        self.calls = self.extra = self.failed = 0
        self.machine: list[float] = []
        self.numbers = 0

    def round(self, items: int, *, fan: int = 1, width: int = AT_ONCE, counted: bool = True) -> None:
        """So many items; what they took is an item's seconds."""
        before = self._simulator.health()["requests"]
        done = self._ours.ask(
            config=self._config, items=items, fan=fan, width=width, characters=120, number=self.numbers
        )
        self.numbers += items * fan
        self.failed += done["calls"] - done["answered"]
        if counted:
            self.extra += self._simulator.health()["requests"] - before - items * fan
            self.calls += items * fan
            self.seconds += done["items_s"]
            self.machine.append(done["machine"])

    def at(self, share: float) -> float:
        """A quantile of the seconds."""
        return quantile(sorted(self.seconds), share)

    @property
    def extra_share(self) -> float:
        """Requests beyond one a call, by the ledger, as a share of the calls."""
        return self.extra / self.calls

    def row(self) -> list[str]:
        """For the table: milliseconds."""
        times = (f"{1000 * self.at(share):.0f}" for share in (0.5, 0.95, 0.99, 0.999))
        cpu = sum(self.machine) / len(self.machine)
        return [
            self.label,
            f"{len(self.seconds):,}",
            *times,
            f"{self.extra_share:+.2%}",
            str(self.failed),
            f"{cpu:.0%}",
        ]


class Measurement:
    """The three set-ups with one contestant."""

    def __init__(self, ours: Contestant, *, quick: bool) -> None:
        self._ours = ours
        self._calls, self._rounds = (800, 2) if quick else (1600, 3)
        self._operations, self._fan_rounds = (100, 2) if quick else (250, 4)

    def five(self) -> tuple[Arm, Arm, Arm]:
        """A and C: without, with, and with when all is slow."""
        with SimulatorProcess(Settings(any_model=True, latency=FIVE)) as simulator:
            bare = Arm("A  not hedged", self._ours, simulator, None)
            hedged = Arm("A  hedged", self._ours, simulator, HEDGE)
            for arm in (bare, hedged):
                arm.round(600, counted=False)
            for _ in range(self._rounds):
                bare.round(self._calls)
                hedged.round(self._calls)
            slow = Arm("C  hedged, all slow", self._ours, simulator, HEDGE_SLOW)
            simulator.control(latency=ALL_SLOW.model_dump())
            slow.round(self._calls // 2, width=4 * AT_ONCE)
        return bare, hedged, slow

    def fan(self) -> tuple[Arm, Arm]:
        """B: operations of `FAN` calls, one after the other."""
        with SimulatorProcess(Settings(any_model=True, latency=ONE)) as simulator:
            bare = Arm("B  not hedged", self._ours, simulator, None)
            hedged = Arm("B  hedged", self._ours, simulator, HEDGE_FAN)
            for arm in (bare, hedged):
                arm.round(20, fan=FAN, width=1, counted=False)
            for _ in range(self._fan_rounds):
                # Those that are not hedged wait most of the time: several at once don't keep the machine busy.
                bare.round(self._operations // 6, fan=FAN, width=8)
                hedged.round(self._operations, fan=FAN, width=1)
        return bare, hedged


def measure(*, quick: bool) -> None:
    """Runs it all and prints the table and the JSON line."""
    with own_home() as environ:
        command = ["-m", "benchmarks.part_calls", json.dumps({"mappers": 1, "cores": 2})]
        with Contestant(command, environ=environ, patience_s=400.0) as ours:
            measurement = Measurement(ours, quick=quick)
            bare, hedged, slow = measurement.five()
            bare_fan, hedged_fan = measurement.fan()
    arms = (bare, hedged, slow, bare_fan, hedged_fan)
    head = ["milliseconds", "items", "p50", "p95", "p99", "p99.9", "extra", "failed", "CPU"]
    table("A: calls, 5 % x 10; B: operations of 100 calls, 1 % x 100", head, [arm.row() for arm in arms])
    drop = 1 - hedged.at(0.99) / bare.at(0.99)
    factor = bare_fan.at(0.999) / hedged_fan.at(0.999)
    print(f"\nA: p99 {drop:-.0%} less; B: p99.9 / {factor:.1f}; CPU is the machine's, of {2} cores")
    figures = {
        "p99_drop": round(drop, 3),
        "extra": round(hedged.extra_share, 4),
        "fan_p999_factor": round(factor, 2),
        "fan_extra": round(hedged_fan.extra_share, 4),
        "fan_operations": len(hedged_fan.seconds),
        "all_slow_extra": round(slow.extra_share, 4),
        "ms": {arm.label: [round(1000 * arm.at(share), 1) for share in (0.5, 0.95, 0.99, 0.999)] for arm in arms},
        "machine": {arm.label: round(sum(arm.machine) / len(arm.machine), 2) for arm in arms},
    }
    bars = {
        "A: p99 at least 60 % less": drop >= DROP_BAR,
        "A: extra calls <= 5 %": hedged.extra_share <= EXTRA_BAR,
        "B: p99.9 of an operation / 10 or better": factor >= FACTOR_BAR,
        "B: extra calls <= 3 %": hedged_fan.extra_share <= EXTRA_FAN_BAR,
        "C: extra calls within the budget of 5 %": slow.extra_share <= EXTRA_BAR,
        "no call failed": not any(arm.failed for arm in arms),
    }
    finish("hedging", figures, bars)


def main() -> None:
    """Reads the options."""
    parser = argparse.ArgumentParser(description="The tail of latency with and without hedging.")
    parser.add_argument("--quick", action="store_true", help="fewer calls and operations")
    measure(quick=parser.parse_args().quick)


if __name__ == "__main__":
    main()
