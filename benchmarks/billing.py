"""Our bill against the providers' own books, to the cent and beyond.

Usage: `python -m benchmarks.billing [--quick]`. Three simulated providers (OpenAI's, Anthropic's and Gemini's protocol)
with prompt caches and reasoning tokens fail in many ways; calls are retried, fall over, are hedged, are streamed and
cut, end at their deadline, and a job is cancelled while its calls are out. The bill is the sum of attempts, by account;
what a Provider actor was told is compared with it. Twice: with providers that charge for whole answers alone, and with
providers that charge for all that they began, where an attempt whose end was never seen says what it may have cost.
"""

import argparse
import json
from collections import Counter
from collections.abc import Mapping
from contextlib import ExitStack
from decimal import Decimal
from typing import Any, Final, Literal

from benchmarks.rig import Contestant, finish, own_home, table
from understudy.actors.prices import dollars
from understudy.cluster.simulator import Faults, Latency, ModelSettings, Settings, SimulatorProcess
from understudy.cluster.simulator.settings import Answer, Cache

MODEL: Final = "priced"
KINDS: Final = {"first": "openai", "second": "anthropic", "third": "gemini"}
PATHS: Final = {"openai": "/v1", "anthropic": "/v1", "gemini": "/v1beta"}
PRICES: Final[Mapping[str, dict[str, float]]] = {
    "first": {"input": 2.5, "output": 10.0, "cached": 1.25},
    "second": {"input": 3.0, "output": 15.0, "cached": 0.3, "written": 3.75},
    "third": {"input": 0.3, "output": 2.5, "cached": 0.075},
}
FAULTS: Final = Faults(
    error_500=0.03,
    error_503=0.03,
    overloaded=0.02,
    drop=0.02,
    malformed=0.02,
    cut=0.03,
    stall=0.01,
    stream_error=0.02,
    timeout=0.01,
    filtered=0.01,
)
Bill = Literal["answered", "accepted"]


def _simulator(name: str, place: int, bill: Bill) -> SimulatorProcess:
    price = PRICES[name]
    model = ModelSettings(
        input_price=Decimal(str(price["input"])),
        output_price=Decimal(str(price["output"])),
        cached_price=Decimal(str(price["cached"])),
        written_price=Decimal(str(price["written"])) if "written" in price else None,
        reasoning_tokens=24,
    )
    return SimulatorProcess(
        Settings(
            seed=place,
            models={MODEL: model},
            latency=Latency(median_s=0.04, sigma=0.4, tail_rate=0.05, tail_factor=10.0, per_output_token_s=0.0005),
            faults=FAULTS,
            cache=Cache(min_tokens=64),
            answer=Answer(tokens=(16, 60), by="content"),
            bill=bill,
        )
    )


def _configuration(simulators: Mapping[str, SimulatorProcess]) -> dict[str, Any]:
    candidates = [
        {"account": name, "model": MODEL, "price": PRICES[name], "rank": 0, "window": 128_000} for name in simulators
    ]
    return {
        "accounts": {
            name: {
                "kind": KINDS[name],
                "base_url": one.url + PATHS[KINDS[name]],
                "timeouts": {"total_s": 1.5, "gap_s": 0.6},
                "breaker": {"failures": 50, "rate": 1.0, "open_s": 0.5},
            }
            for name, one in simulators.items()
        },
        "models": {
            "chat": {
                "candidates": candidates,
                "balance": "round_robin",
                "hedge": {"share": 0.1, "initial_s": 0.15},
                "cut": "continue",
            }
        },
        "attempts": {"deadline_s": 20.0, "backoff_s": 0.05},
    }


class Books:
    """All calls against one set of simulators, and both sides' sums by account, picodollars."""

    def __init__(self, bill: Bill, calls: int) -> None:
        self.bill: Bill = bill
        self._calls = calls
        self.ours: Counter[str] = Counter()
        self.open: Counter[str] = Counter()
        self.open_attempts: Counter[str] = Counter()
        self.settled: Counter[str] = Counter()
        self.theirs: Counter[str] = Counter()
        self.outcomes: Counter[str] = Counter()
        self.roles: Counter[str] = Counter()
        self.ledger: Counter[str] = Counter()
        self.facts: Counter[str] = Counter()

    def run(self, ours: Contestant) -> None:
        """Whole jobs of unary calls, streams, and calls that end at a short deadline; then one that is cancelled."""
        with ExitStack() as stack:
            simulators = {
                name: stack.enter_context(_simulator(name, place, self.bill)) for place, name in enumerate(KINDS)
            }
            common = {"config": _configuration(simulators), "width": 24, "shared": 800, "characters": 200}
            self._add(ours.ask(**common, items=self._calls, streams=2))
            self._add(ours.ask(**common, items=self._calls // 4, deadline_s=0.12, number=100_000))
            self._compare(simulators)
            self._cancelled(ours, simulators, common)

    def _add(self, done: Mapping[str, Any]) -> None:
        for sums, field in (
            (self.ours, "billed"),
            (self.open, "open_cost"),
            (self.open_attempts, "open_attempts"),
            (self.settled, "settled"),
            (self.outcomes, "outcomes"),
            (self.roles, "roles"),
        ):
            sums.update(done[field])
        self.facts.update(
            {key: done[key] for key in ("calls", "answered", "hedges", "cached_tokens", "reasoning_tokens")}
        )

    def _compare(self, simulators: Mapping[str, SimulatorProcess]) -> None:
        for name, one in simulators.items():
            for record in one.ledger():
                self.theirs[name] += _pico(record.cost)
                self.ledger[record.outcome] += 1

    def _cancelled(
        self, ours: Contestant, simulators: Mapping[str, SimulatorProcess], common: Mapping[str, Any]
    ) -> None:
        """A cancelled job has no answer for what was out; the Providers were told all the same."""
        done = ours.ask(**common, items=self._calls // 2, cancel_at=self._calls // 8, number=200_000)
        self.cancelled = Counter(done["settled"])
        self.cancelled_bill = Counter(done["billed"])
        everything = {name: sum(_pico(record.cost) for record in one.ledger()) for name, one in simulators.items()}
        self.cancelled_theirs = Counter({name: cost - self.theirs[name] for name, cost in everything.items()})

    def rows(self) -> list[list[str]]:
        """For the table: dollars, all digits."""
        return [
            [
                f"{self.bill}: {KINDS[name]}",
                f"{dollars(self.ours[name]):f}",
                f"{dollars(self.theirs[name]):f}",
                f"{dollars(self.theirs[name] - self.ours[name]):f}",
                f"{dollars(self.open[name]):f}",
                f"{self.open_attempts[name]:,}",
            ]
            for name in KINDS
        ]

    def within(self) -> bool:
        """Each account's ledger is at least our bill, and at most that and what is open."""
        return all(self.ours[name] <= self.theirs[name] <= self.ours[name] + self.open[name] for name in KINDS)

    def unheard(self) -> int:
        """Attempts that we call sent and the ledgers do not know: ended at a deadline before they had arrived."""
        return self.roles.total() - self.ledger.total()

    def difference(self) -> Decimal:
        """The largest difference of an account, dollars."""
        return max(abs(dollars(self.theirs[name] - self.ours[name])) for name in KINDS)


def _pico(amount: str) -> int:
    return int(Decimal(amount).scaleb(12))


def measure(*, quick: bool) -> None:
    """Runs it all and prints the tables and the JSON line."""
    calls = 800 if quick else 4000
    books: dict[Bill, Books] = {"answered": Books("answered", calls), "accepted": Books("accepted", calls)}
    with own_home() as environ:
        command = ["-m", "benchmarks.part_calls", json.dumps({"mappers": 2, "cores": 2})]
        with Contestant(command, environ=environ, patience_s=400.0) as ours:
            for one in books.values():
                one.run(ours)
    head = ["charged for: account", "our bill $", "ledger $", "more by $", "open $", "open"]
    table("Sum of attempts against the providers' ledgers", head, [row for one in books.values() for row in one.rows()])
    answered, accepted = books["answered"], books["accepted"]
    for one in books.values():
        print(f"\n{one.bill}: {dict(one.facts)}")
        print(f"  attempts ended {dict(one.outcomes)}; made as {dict(one.roles)}; ledger {dict(one.ledger)}")
        lost = sum(one.cancelled_theirs.values()) - sum(one.cancelled_bill.values())
        told = sum(one.cancelled_theirs.values()) - sum(one.cancelled.values())
        print(
            f"  a cancelled job: ledger ${dollars(sum(one.cancelled_theirs.values())):f}, of which ${dollars(lost):f}"
            f" is not in its answers and ${dollars(told):f} not in the Providers' books"
        )
        print(f"  attempts sent {one.roles.total():,}, requests in the ledger {one.ledger.total():,}")
    figures: dict[str, Any] = {
        one.bill: {
            "difference_dollars": str(one.difference()),
            "open_attempts": sum(one.open_attempts.values()),
            "open_dollars": str(dollars(sum(one.open.values()))),
            "bill_dollars": str(dollars(sum(one.ours.values()))),
            "facts": dict(one.facts),
            "outcomes": dict(one.outcomes),
            "sent": one.roles.total(),
            "in_ledger": one.ledger.total(),
            "providers_told": {name: str(dollars(one.theirs[name] - one.settled[name])) for name in KINDS},
        }
        for one in books.values()
    }
    cent = Decimal("0.01")
    cancelled = abs(sum(answered.cancelled_theirs.values()) - sum(answered.cancelled.values()))
    bars = {
        "answered: bill = ledger, to the cent, each account": answered.difference() < cent,
        "answered: what differs is named as open": answered.within(),
        "accepted: ledger within [bill, bill + open], each account": accepted.within(),
        "attempts sent = requests in the ledger, but for 0.5 %": all(
            0 <= one.unheard() <= 0.005 * one.roles.total() for one in books.values()
        ),
        "answered: a cancelled job's cost is known to the Providers, to the cent": dollars(cancelled) < cent,
    }
    finish("billing", figures, bars)


def main() -> None:
    """Reads the options."""
    parser = argparse.ArgumentParser(description="Our bill against the providers' ledgers.")
    parser.add_argument("--quick", action="store_true", help="fewer calls")
    measure(quick=parser.parse_args().quick)


if __name__ == "__main__":
    main()
