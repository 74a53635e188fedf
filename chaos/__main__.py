"""`python -m chaos [--seconds 600] [--seed N] [--roles mapper,driver]`: see the package; exit 1: a bar is missed."""

import argparse
import contextlib
import json
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from benchmarks import rig
from understudy.cluster.simulator import Record, SimulatorProcess

from . import judge
from .driver import Driver
from .monkey import Monkey
from .plan import FULL_S, NODE_S, ROLES, WINDOW_S, Plan, files, plan
from .world import World, quota, simulated


def main() -> int:
    """Parses, runs, prints; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m chaos", description=sys.modules[__package__].__doc__)
    parser.add_argument("--seconds", type=float, default=FULL_S, help="how long the work takes at least (default 600)")
    parser.add_argument("--seed", type=int, default=1, help="what the monkey's choices are drawn from")
    parser.add_argument(
        "--items", type=int, default=0, help="map calls (default: 10000 in 600 s, else as many a second)"
    )
    parser.add_argument("--roles", default=",".join(ROLES), help=f"whom the monkey may kill: {', '.join(ROLES)}")
    parser.add_argument("--node", action=argparse.BooleanOptionalAction, help="a second node, whose raylet is killed")
    parser.add_argument(
        "--node-every", type=float, default=NODE_S, help="seconds from one of its deaths to the next (default 120)"
    )
    parser.add_argument("--keep", action="store_true", help="leave the run's folder for a look")
    options = parser.parse_args()
    try:
        made = plan(
            options.seconds,
            options.seed,
            items=options.items,
            roles=options.roles.split(","),
            node=options.node,
            node_s=options.node_every,
        )
    except ValueError as error:
        parser.error(str(error))
    # SIGTERM ends as Ctrl-C does: by the `finally`s, so that no process stays.
    signal.signal(signal.SIGTERM, lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    folder = Path(tempfile.mkdtemp(prefix="understudy-chaos-"))
    try:
        return run(World(folder, made))
    finally:
        if options.keep:
            print(f"the run's folder: {folder}")
        else:
            shutil.rmtree(folder, ignore_errors=True)


def run(world: World) -> int:
    """One run; the exit code: 1 when a bar is missed."""
    made = world.plan
    print(
        f"{made.items:,} items, {made.rpm} requests in any {WINDOW_S:g} s, seed {made.seed}; "
        f"kills {', '.join(made.roles)}{' and a second raylet' if made.node_s else ''}",
        flush=True,
    )
    with SimulatorProcess(simulated(made)) as simulator:
        world.write(simulator.url)
        driver = Driver(world)
        began = time.monotonic()
        monkey = Monkey(made, world, driver, lambda kill: print(_line(kill, began), flush=True))
        try:
            world.up()
            if made.node_s:
                world.add_node()
            driver.start()
            _follow(made, simulator, driver, monkey)
            took = time.monotonic() - began
        finally:
            driver.end()
            world.down()
        records = _settled(simulator)
    return _verdict(world, driver, monkey, records, took)


def _follow(made: Plan, simulator: SimulatorProcess, driver: Driver, monkey: Monkey) -> None:
    """Until the job is over, or the time is up: the monkey begins when the first calls have been answered."""
    end = time.monotonic() + made.most_s
    begun = False
    while not driver.over:
        now = time.monotonic()
        if now > end:
            driver.flaws.append(f"not over after {made.most_s:g} s")
            return
        driver.step()
        if not begun and int(simulator.health()["requests"]) >= 20:
            begun = True
            monkey.begin(now=now)
        if begun:
            monkey.step(now=now)
        time.sleep(0.1)


def _settled(simulator: SimulatorProcess, patience_s: float = 10.0) -> list[Record]:
    """The ledger, once no request of the ended cluster is open any more."""
    deadline = time.monotonic() + patience_s
    while simulator.health()["in_flight"] and time.monotonic() < deadline:
        time.sleep(0.1)
    return simulator.ledger()


def _verdict(world: World, driver: Driver, monkey: Monkey, records: list[Record], took: float) -> int:
    made = world.plan
    followed = judge.consequences(records, monkey.kills)
    cost = judge.paid(records)
    lost, doubled = _result(world)
    over = judge.passed_quota(records, quota(made))
    _print_table(followed, monkey.kills[0].t if monkey.kills else 0.0)
    for flaw in driver.flaws:
        print(f"flaw: {flaw}")
    needless = judge.unexplained(records, monkey.kills)
    bars = judge.bars(cost, followed, needless=needless, quota=over, lost=lost, doubled=doubled, codes=driver.codes)
    figures: dict[str, Any] = {
        "items": made.items,
        "seconds": round(took, 1),
        "seed": made.seed,
        "kills": len(followed),
        "kills_by_role": dict(sorted(Counter(one.kill.role for one in followed).items())),
        "drivers": driver.starts,
        "codes": driver.codes,
        "requests": len(records),
        "accepted": cost.accepted,
        "distinct": cost.contents,
        "paid_twice": cost.accepted_twice,
        "answered_twice": cost.answered_twice,
        "paid_twice_not_in_flight": judge.out_of_sight(records, monkey.kills),
        "paid_twice_needlessly": needless,
        "in_flight_at_kills": sum(one.in_flight for one in followed),
        "lost": lost,
        "doubled": doubled,
        "over_quota": over,
        "fullest_window": judge.fullest_window(records, quota(made)),
        "window_limit": made.rpm,
        "longest_pause_s": round(max((one.pause_s for one in followed), default=0.0), 1),
    }
    rig.finish("chaos", figures, bars)
    return 0 if all(bars.values()) else 1


def _result(world: World) -> tuple[int, int]:
    """Lost and doubled files; all are lost where there is no report."""
    report: dict[str, Any] = {"entries": []}
    with contextlib.suppress(OSError, ValueError):
        report = json.loads((world.out / "report.json").read_bytes())
    return judge.lost_and_doubled(report, (path for path, _ in files(world.plan.items)))


def _line(kill: judge.Kill, began: float) -> str:
    return f"{kill.t - began:7.1f} s  {kill.role:<10}  pid {kill.pid}"


def _print_table(followed: list[judge.Consequence], first: float) -> None:
    rows = [
        (
            f"{one.kill.t - first:.1f}",
            one.kill.role,
            str(one.kill.pid),
            str(one.in_flight),
            str(one.again),
            f"{one.pause_s:.2f}" if one.pause_s >= 0 else "-",
        )
        for one in followed
    ]
    rig.table("kills and consequences", ("s", "role", "pid", "in flight", "paid again", "next call s"), rows)
    by_role: dict[str, list[judge.Consequence]] = {}
    for one in followed:
        by_role.setdefault(one.kill.role, []).append(one)
    summary = [
        (
            role,
            str(len(ones)),
            str(sum(one.in_flight for one in ones)),
            str(sum(one.again for one in ones)),
            f"{rig.median([one.pause_s for one in ones]):.2f}",
            f"{max(one.pause_s for one in ones):.2f}",
        )
        for role, ones in sorted(by_role.items())
    ]
    rig.table("by role", ("role", "kills", "in flight", "paid again", "median s", "most s"), summary)


if __name__ == "__main__":
    sys.exit(main())
