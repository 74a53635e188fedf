"""Whether any sliding window of a quota is ever passed, how much of it is used, and whether Retry-After is kept.

Usage: `python -m benchmarks.quota [--quick] [--window SECONDS]`. The judge is the simulator's own ledger, which trusts
nobody's counters. A minute is played faster: 600 requests and 100,000 tokens in a window of 6 s. Two accounts are used
at once, each with its own quota: one is bound by requests, one by tokens.
"""

import argparse
import json
import math
import time
from collections.abc import Sequence
from typing import Any, Final

from benchmarks.rig import Contestant, finish, own_home, table
from understudy.cluster.simulator import (
    Latency,
    Quota,
    Record,
    Settings,
    SimulatorProcess,
    Summary,
    WindowCheck,
    summarise,
)
from understudy.cluster.simulator.judge import early_calls
from understudy.cluster.simulator.plan import key_hash

RPM: Final = 600
TPM: Final = 100_000
UTILISATION_BAR: Final = 0.97
EARLY_SLACK_S: Final = 0.05
WAIT_S: Final = 2.0
"""What a forced 429 tells to wait. An HTTP date has whole seconds: it is never sooner than told."""

CHARACTERS: Final = {"requests": 200, "tokens": 1600}
"""Some 54 + 32 tokens a call: 600 of them are 52,000 tokens. And 404 + 32: 229 of them are the token quota."""

KEYS: Final = {name: f"bench-{name}" for name in CHARACTERS}


def _settings(window_s: float) -> Settings:
    return Settings(
        any_model=True,
        quota=Quota(rpm=RPM, tpm=TPM, window_s=window_s),
        latency=Latency(median_s=0.04, sigma=0.4, tail_rate=0.01, tail_factor=5.0),
    )


def _ours(url: str, mappers: int, window_s: float, environ: dict[str, str]) -> Contestant:
    limits = {"rpm": RPM, "tpm": TPM, "window_s": window_s}
    accounts = {name: {"url": url, "limits": limits, "key": f"BENCH_{name.upper()}"} for name in KEYS}
    settings = {"mappers": mappers, "cores": 2, "accounts": accounts}
    keys = {f"BENCH_{name.upper()}": key for name, key in KEYS.items()}
    command = ["-m", "benchmarks.part_ours", json.dumps(settings)]
    return Contestant(command, environ={**environ, **keys}, patience_s=240.0)


def _calls(name: str, windows: float) -> int:
    """How many calls fill so many windows."""
    characters = CHARACTERS[name]
    tokens = math.ceil(characters / 4) + 4 + 32
    return int(min(RPM, TPM / tokens) * windows)


def _jobs(windows: float, mappers: int) -> list[dict[str, Any]]:
    # Far more in flight than the quota lets through: 64 wait for the account at any time.
    width = max(1, 64 // mappers)
    return [
        {"account": name, "calls": _calls(name, windows), "width": width, "characters": characters}
        for name, characters in CHARACTERS.items()
    ]


def _judge(records: Sequence[Record], quota: Quota, name: str) -> tuple[Summary, WindowCheck]:
    hashed = key_hash(KEYS[name])
    summary = summarise([record for record in records if record.key == hashed], quota)
    return summary, next(one for one in summary.windows if one.key == hashed)


class Quotas:
    """Runs mapper counts one after the other and keeps what the judge said."""

    def __init__(self, window_s: float, windows: float) -> None:
        self._window_s = window_s
        self._windows = windows
        self.rows: list[list[str]] = []
        self.figures: dict[str, Any] = {}
        self.violations = self.refused = self.failed = 0
        self.least = 1.0
        self.early: dict[str, int] = {}
        self.refusals: dict[str, int] = {}

    def run(self, mappers: int, *, forms: Sequence[str] = ()) -> None:
        """Fills the windows with that many mappers; then, where forms are given, forces a 429 in each."""
        settings = _settings(self._window_s)
        with (
            SimulatorProcess(settings) as simulator,
            own_home() as environ,
            _ours(simulator.url, mappers, self._window_s, environ) as ours,
        ):
            done = ours.ask(jobs=_jobs(self._windows, mappers))
            self.failed += int(done["failed"])
            records = simulator.ledger()
            for name in KEYS:
                self._note(mappers, name, records, settings.quota)
            for form in forms:
                self._force(form, simulator, ours, mappers)

    def _note(self, mappers: int, name: str, records: Sequence[Record], quota: Quota) -> None:
        summary, check = _judge(records, quota, name)
        used = {"requests": check.utilisation_requests or 0.0, "tokens": check.utilisation_tokens or 0.0}
        self.violations += summary.violations
        self.refused += summary.refused_429
        self.least = min(self.least, used[name])
        windows = (max(r.t for r in records) - min(r.t for r in records)) / quota.window_s
        self.rows.append(
            [
                f"{mappers} mapper{'s' * (mappers > 1)}, {name}",
                f"{check.requests:,}",
                f"{windows:.1f}",
                f"{check.max_requests}",
                f"{check.max_tokens:,}",
                f"{used[name]:.1%}",
                str(summary.violations),
                str(summary.refused_429),
            ]
        )
        self.figures[f"utilisation_{name}_{mappers}"] = round(used[name], 4)

    def _force(self, form: str, simulator: SimulatorProcess, ours: Contestant, mappers: int) -> None:
        """Under load, the next request is refused; nobody may call that account before it was told."""
        simulator.control(reset_ledger=True)
        windows = 1.0 + (WAIT_S + 2.0) / self._window_s
        ours.say(jobs=_jobs(windows, mappers))
        while simulator.health()["requests"] < 100:
            time.sleep(0.01)
        simulator.control(refuse_next={"count": 1, "after_s": WAIT_S, "form": form})
        self.failed += int(ours.hear()["failed"])
        records = simulator.ledger()
        self.refusals[form] = sum(record.outcome == "refused_429" for record in records)
        self.early[form] = len(early_calls(records, slack_s=EARLY_SLACK_S))


def measure(*, quick: bool, window_s: float) -> None:
    """Runs it all and prints the tables and the JSON line."""
    counts, windows = ((2,), 3.0) if quick else ((1, 2, 4), 10.2)
    quotas = Quotas(window_s, windows)
    for mappers in counts:
        quotas.run(mappers, forms=("seconds", "ms", "date") if mappers == 2 else ())
    head = ["bound by", "calls", "windows", "max req", "max tokens", "used", "over", "429"]
    table(f"{RPM} requests and {TPM:,} tokens in any {window_s:g} s", head, quotas.rows)
    rows = [[form, str(quotas.refusals[form]), str(early)] for form, early in quotas.early.items()]
    table(f"forced 429 with a Retry-After of {WAIT_S:g} s, 2 mappers", ["form", "429", "early calls"], rows)
    figures = {
        **quotas.figures,
        "utilisation_least": round(quotas.least, 4),
        "violations": quotas.violations,
        "refused_429": quotas.refused,
        "failed": quotas.failed,
        "early_calls": quotas.early,
        "refusals_forced": quotas.refusals,
    }
    bars = {
        "0 requests past any sliding window": quotas.violations == 0,
        "0 x 429": quotas.refused == 0,
        "utilisation >= 97 %": quotas.least >= UTILISATION_BAR,
        "nobody calls before Retry-After, in three forms": not any(quotas.early.values()),
        "no call failed": quotas.failed == 0,
    }
    finish("quota", figures, bars)


def main() -> None:
    """Reads the options."""
    parser = argparse.ArgumentParser(description="Quotas and Retry-After, judged by the simulator's ledger.")
    parser.add_argument("--quick", action="store_true", help="2 mappers and few windows")
    parser.add_argument("--window", type=float, default=6.0, help="seconds a window is long")
    options = parser.parse_args()
    measure(quick=options.quick, window_s=options.window)


if __name__ == "__main__":
    main()
