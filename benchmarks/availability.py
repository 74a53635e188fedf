"""How many calls are answered while providers fail: ours, and LiteLLM's Router with its own fallbacks, in one run.

Usage: `python -m benchmarks.availability [--quick]`. Three simulated providers speak OpenAI's, Anthropic's and Gemini's
protocol. Each is down (503) for a tenth of the time, in windows of different phase, so that at times two and rarely all
three are down; two of a hundred other requests fail at random. A minute of outages is played in some two seconds, and
pauses of breakers (ours) and cool-downs (LiteLLM's) are as short. Both contestants get simulators of their own with the
same seeds. Calls begin evenly, whatever became of those before. Judged by the simulators' ledgers.
"""

import argparse
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, Final

from benchmarks import peers
from benchmarks.payload import MODEL
from benchmarks.rig import PEERS, ROOT, Contestant, finish, own_home, table
from understudy.cluster.drill.tally import quantile
from understudy.cluster.simulator import Faults, Latency, Outage, Record, Settings, SimulatorProcess
from understudy.cluster.simulator.settings import Answer

CALLS_A_S: Final = 160.0
LITELLM_PART: Final = 4
"""LiteLLM's Router is asked for a fourth of the calls in the same time. At the full rate it used 8 ms of CPU a call
while providers failed, fell behind, and lost 1 % to the deadline: that would judge the machine, not its decisions."""

DOWN: Final = {"first": (5.0, 10.0), "second": (5.4, 11.0), "third": (5.7, 13.0)}
"""When each provider is down first, and how many seconds pass to the next time; it is down for a tenth of that."""

KINDS: Final = {"first": "openai", "second": "anthropic", "third": "gemini"}
PATHS: Final = {"openai": "/v1", "anthropic": "/v1", "gemini": "/v1beta"}
FAULTS: Final = Faults(error_500=0.005, error_503=0.005, drop=0.004, malformed=0.004, timeout=0.002)
ATTEMPTS: Final = 8
TIMEOUT_S: Final = 1.0
DEADLINE_S: Final = 10.0
SLACK_S: Final = 0.25
BAR: Final = 0.9999


@contextmanager
def providers(seed: int) -> Iterator[dict[str, SimulatorProcess]]:
    """Three simulators; their outages are counted from their start."""
    found = {}
    for place, (name, (first_s, every_s)) in enumerate(DOWN.items()):
        outage = Outage(start_s=first_s, end_s=first_s + every_s / 10, every_s=every_s)
        settings = Settings(
            seed=seed + place,
            any_model=True,
            latency=Latency(median_s=0.05, sigma=0.4),
            faults=FAULTS,
            outages=(outage,),
            answer=Answer(by="content"),
        )
        found[name] = SimulatorProcess(settings)
    try:
        with ThreadPoolExecutor(len(found)) as pool:  # at once, so that their clocks begin together
            list(pool.map(SimulatorProcess.__enter__, found.values()))
        yield found
    finally:
        for one in found.values():
            one.stop()


def configuration(simulators: Mapping[str, SimulatorProcess]) -> dict[str, Any]:
    """Ours: three accounts, one route."""
    price = {"input": 0.15, "output": 0.6}
    return {
        "accounts": {
            name: {
                "kind": KINDS[name],
                "base_url": one.url + PATHS[KINDS[name]],
                "timeouts": {"total_s": TIMEOUT_S},
                "breaker": {"open_s": 0.5, "open_max_s": 0.5},
            }
            for name, one in simulators.items()
        },
        "models": {"chat": [{"account": name, "model": MODEL, "price": price} for name in simulators]},
        "attempts": {"max_attempts": ATTEMPTS, "deadline_s": DEADLINE_S, "backoff_s": 0.2, "backoff_max_s": 2.0},
    }


def _ours(calls: int) -> tuple[dict[str, Any], list[Record]]:
    with own_home() as environ:
        command = ["-m", "benchmarks.part_calls", '{"mappers": 2, "cores": 2}']
        with Contestant(command, environ=environ, patience_s=300.0) as ours:
            with providers(7) as warm:
                ours.ask(config=configuration(warm), items=100)
            with providers(1) as simulators:
                config = configuration(simulators)
                done = ours.ask(config=config, items=calls, width=512, seconds=calls / CALLS_A_S)
                return done, _records(simulators)


def _litellm(calls: int, seconds: float) -> tuple[dict[str, Any], list[Record]]:
    words = {
        "models": ["gpt-4o-mini", "claude-3-5-haiku-20241022", "gemini-2.5-flash"],
        "timeout_s": TIMEOUT_S,
        "deadline_s": DEADLINE_S,
        "retries": 2,
        "cooldown_s": 0.5,
    }
    command = [str(ROOT / "benchmarks" / "peer_fallbacks.py")]
    with Contestant(command, python=PEERS, patience_s=300.0) as lite:
        with providers(7) as warm:
            lite.ask(urls=[one.url for one in warm.values()], calls=100, seconds=1.0, **words)
        with providers(1) as simulators:
            urls = [one.url for one in simulators.values()]
            done = lite.ask(urls=urls, calls=calls, seconds=seconds, **words)
            return done, _records(simulators)


def _records(simulators: Mapping[str, SimulatorProcess]) -> list[Record]:
    return [record for one in simulators.values() for record in one.ledger()]


def overlap(seconds: float, step_s: float = 0.001) -> list[float]:
    """Shares of so many seconds in which none, one, two and all three are down."""
    down: Counter[int] = Counter()
    steps = int(seconds / step_s)
    for step in range(steps):
        now = step * step_s
        down[sum((now - first) % every < every / 10 and now >= first for first, every in DOWN.values())] += 1
    return [down[number] / steps for number in range(4)]


def _row(label: str, done: Mapping[str, Any], records: Sequence[Record]) -> list[str]:
    took = done["took_s"]
    return [
        label,
        f"{done['calls']:,}",
        f"{done['answered'] / done['calls']:.3%}",
        f"{done['calls'] - done['answered']:,}",
        *(f"{quantile(took, share):.2f}" for share in (0.5, 0.95, 0.99, 0.999)),
        f"{done['longest_s']:.2f}",
        f"{len(records) / done['calls'] - 1:+.1%}",
    ]


def most_requests(records: Sequence[Record]) -> int:
    """The most requests that any one call has sent, over all providers."""
    return max(Counter(record.content_hash for record in records).values(), default=0)


def measure(*, quick: bool) -> None:
    """Runs it all and prints the table and the JSON line."""
    peers.make()
    calls = 1000 if quick else 10_000
    done, records = _ours(calls)
    seconds = calls / CALLS_A_S
    lite, lite_records = _litellm(calls // LITELLM_PART, seconds)
    shares = overlap(seconds)
    title = (
        f"each down 10 % of {seconds:.0f} s (one alone {shares[1]:.0%}, two {shares[2]:.1%}, three {shares[3]:.1%}"
        "), 2 % faults"
    )
    head = ["", "calls", "answered", "lost", "p50 s", "p95", "p99", "p99.9", "most", "extra"]
    rows = [_row("ours", done, records), _row("LiteLLM Router", lite, lite_records)]
    table(title, head, rows)
    for label, one in (("ours", done), ("LiteLLM", lite)):
        for error, count in list(one["unanswered"].items())[:5]:
            print(f"{label}, unanswered: {count} x {error}")
    print(f"ours answered by {done['answered_by']}; attempts ended {done['outcomes']}")
    attempts = max(int(done["most_attempts"]), most_requests(records))
    figures = {
        "calls": calls,
        "availability": done["answered"] / calls,
        "availability_litellm": lite["answered"] / lite["calls"],
        "calls_litellm": lite["calls"],
        "p99_s": quantile(done["took_s"], 0.99),
        "p99_s_litellm": quantile(lite["took_s"], 0.99),
        "most_attempts": attempts,
        "longest_s": done["longest_s"],
        "requests": len(records),
        "requests_litellm": len(lite_records),
        "down": {"one": shares[1], "two": shares[2], "three": shares[3]},
        "machine": done["machine"],
        "outcomes": done["outcomes"],
    }
    bars = {
        f"answered >= {BAR:.2%}": done["answered"] >= BAR * calls,
        f"no call past its {ATTEMPTS} attempts, by its own count and by the ledgers": attempts <= ATTEMPTS,
        f"no call past its deadline of {DEADLINE_S:g} s": done["longest_s"] <= DEADLINE_S + SLACK_S,
        "ours >= LiteLLM Router": done["answered"] * lite["calls"] >= lite["answered"] * calls,
    }
    finish("availability", figures, bars)


def main() -> None:
    """Reads the options."""
    parser = argparse.ArgumentParser(description="Calls answered while three providers fail in turn.")
    parser.add_argument("--quick", action="store_true", help="1,000 calls instead of 10,000")
    measure(quick=parser.parse_args().quick)


if __name__ == "__main__":
    main()
