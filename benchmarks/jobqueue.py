"""Five priorities of 10,000 jobs each through the queue of a real local cluster, one in a hundred of them poison.

Usage: `python -m benchmarks.jobqueue [--jobs N] [--ageing SECONDS]`. A job is a workflow of one function, which writes
down when it ran. Jobs are handed in in batches of 1,000, priorities mixed, faster than they are worked off. Judged are
the function's own record and the rows of the Journal, never what the queue says of itself:

- **order**: of the jobs that had been handed in for a moment when another was begun, none that should go before it was
  begun later, but for those that run at once (64), among which the machine decides, and as many that have taken the
  place of one of them while another was on its way to its Mapper;
- **ageing**: a job of the lowest priority is passed by nothing that came later than the ageing bound (priority times
  `--ageing`). So the oldest of them waits no longer than that bound and, as all of the 50,000 come faster than they can
  be worked off, the time to work off what was due before it by then, at the slowest rate seen;
- **poison**: each is a dead letter with its cause after exactly so many attempts;
- **once**: every other is done, and its function ran once.
"""

import argparse
import asyncio
import bisect
import dataclasses
import itertools
import math
import os
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import msgspec

from benchmarks.rig import ROOT, finish, own_home, table
from understudy.actors.journal.store import open_store
from understudy.actors.mapper.blocks import pack_block
from understudy.cluster.flows.job import flow_spec
from understudy.cluster.local import Settings
from understudy.cluster.session import Session
from understudy.protocols.config import Config, encode
from understudy.protocols.journal import JobRow, JobsAsk
from understudy.protocols.queue import Submission, Submitted
from understudy.protocols.workflow import Flow, Function

PRIORITIES: Final = (1, 3, 5, 7, 9)
BATCH: Final = 1000
POISON_EVERY: Final = 100
ATTEMPTS: Final = 3
AT_ONCE: Final = 64
SLACK_S: Final = 2.0
"""A job that was handed in less than that before another was begun may have missed the message that began it."""
WINDOW_S: Final = 10.0
PATIENCE_S: Final = 900.0


@dataclasses.dataclass(frozen=True, slots=True)
class Ran:
    """A job and when its function ran."""

    row: JobRow
    poison: bool
    times: tuple[float, ...]

    @property
    def wait_s(self) -> float:
        """From the moment it was handed in until it first ran."""
        return self.times[0] - self.row.created

    def rank(self, ageing_s: float) -> float:
        """Who has the lower one goes first."""
        return self.row.priority * ageing_s + self.row.created


def submissions(count: int, book: Path) -> Iterator[Submission]:
    """The jobs, in the order they are handed in."""
    args = {"book": "{{ input.book }}", "job": "{{ input.job }}", "poison": "{{ input.poison }}"}
    flow = Flow(name="queue", input={"type": "object"}, run=Function(call="benchmarks.part_queue:record", args=args))
    paths = (str(ROOT),)
    like = flow_spec(flow, Config(), inputs=1, width=64, paths=paths)
    for number in range(count):
        name = f"job-{number:06}"
        poison = number % POISON_EVERY == 0
        spec = msgspec.structs.replace(like, id=name, keep=False, watch=False, journal="ahead")
        item = msgspec.json.encode({"book": str(book), "job": name, "poison": poison})
        yield Submission(
            msgspec.msgpack.encode(spec),
            ((1, pack_block(0, [item])),),
            priority=PRIORITIES[number // 7 % len(PRIORITIES)],
            attempts=ATTEMPTS,
        )


def run(count: int, ageing_s: float, home: Path) -> tuple[list[Ran], float, float]:
    """Hands all in and waits for the last; what ran, seconds for handing in, and seconds in all."""
    book = home / "ran.txt"
    queue = {"ageing_s": ageing_s, "at_once": AT_ONCE}
    with Session(Settings(queue=queue)) as session:
        config = Config()
        session.ensure(config, encode(config))
        began = time.monotonic()
        jobs = list(submissions(count, book))
        for start in range(0, count, BATCH):
            told = session.direct("submit", msgspec.msgpack.encode(jobs[start : start + BATCH]))
            assert all(one.new for one in msgspec.msgpack.decode(told, type=list[Submitted]))
        handed_in = time.monotonic() - began
        print(f"{count:,} jobs handed in within {handed_in:.1f} s", flush=True)
        _wait(session, began)
        took = time.monotonic() - began
    return ran(asyncio.run(_rows(home)), book), handed_in, took


def _wait(session: Session, began: float) -> None:
    while time.monotonic() - began < PATIENCE_S:
        queue = session.status().queue
        left = sum(queue.waiting.values()) + queue.delayed + queue.running
        print(f"{time.monotonic() - began:6.1f} s: {left:,} left, {queue.dead:,} dead", flush=True)
        if not left:
            return
        time.sleep(5.0)
    raise TimeoutError(f"the queue was not empty after {PATIENCE_S:g} s")


async def _rows(home: Path) -> list[JobRow]:
    """All jobs as the Journal has them, read without the cluster."""
    store = await open_store(f"sqlite:{home / 'journal.db'}", os.environ)
    rows = await store.jobs(JobsAsk(limit=1_000_000))
    await store.close()
    return rows


def ran(rows: Sequence[JobRow], book: Path) -> list[Ran]:
    """The jobs, and what the function's own record says of them."""
    times: dict[str, list[float]] = {row.id: [] for row in rows}
    for line in book.read_text(encoding="utf-8").splitlines():
        job, moment = line.split()
        times[job].append(float(moment))
    return [Ran(row, _number(row.id) % POISON_EVERY == 0, tuple(sorted(times[row.id]))) for row in rows]


def _number(job: str) -> int:
    return int(job.removeprefix("job-"))


def _dead(job: Ran) -> bool:
    row = job.row
    return row.state == "dead" and row.attempt == len(job.times) == ATTEMPTS and "never succeeds" in row.error


def passed(jobs: Sequence[Ran], ageing_s: float) -> dict[str, int]:
    """For each job how many that should go after it were begun while it had been waiting for a moment."""
    events: list[tuple[float, int, Ran]] = []
    for job in jobs:
        events += [(job.row.created + SLACK_S, 0, job), (job.times[0], 1, job)]
    waiting: list[float] = []
    begun: list[float] = []
    before: dict[str, int] = {}
    found: dict[str, int] = {job.row.id: 0 for job in jobs}
    for _, kind, job in sorted(events, key=lambda event: event[:2]):
        rank = job.rank(ageing_s)
        if kind == 0 and job.times[0] > job.row.created + SLACK_S:
            bisect.insort(waiting, rank)
            before[job.row.id] = len(begun) - bisect.bisect_right(begun, rank)
        elif kind == 1:
            if job.row.id in before:
                found[job.row.id] = len(begun) - bisect.bisect_right(begun, rank) - before[job.row.id]
            bisect.insort(begun, rank)
    return found


def slowest_rate(jobs: Sequence[Ran]) -> float:
    """The fewest jobs a second that were begun in any window while there was enough to do."""
    starts = sorted(job.times[0] for job in jobs)
    last = starts[-1] - WINDOW_S
    rates = [
        (bisect.bisect_left(starts, start + WINDOW_S) - place) / WINDOW_S
        for place, start in enumerate(starts)
        if start <= last
    ]
    return min(rates, default=len(starts) / max(1e-9, starts[-1] - starts[0]))


def late_passers(jobs: Sequence[Ran], ageing_s: float) -> int:
    """Jobs of the lowest priority that were passed by one that came later than their ageing bound."""
    by_age = sorted(jobs, key=lambda job: job.row.created)
    created = [job.row.created for job in by_age]
    first = list(itertools.accumulate((job.times[0] for job in reversed(by_age)), min, initial=math.inf))[::-1]
    bound = PRIORITIES[-1] * ageing_s
    lowest = [job for job in jobs if job.row.priority == PRIORITIES[-1]]
    return sum(first[bisect.bisect_right(created, job.row.created + bound)] < job.times[0] - SLACK_S for job in lowest)


def bound_of(one: Ran, jobs: Sequence[Ran], ageing_s: float) -> float:
    """The ageing bound of a job, and the time to work off what was due before it by then and not begun."""
    ageing, rank = PRIORITIES[-1] * ageing_s, one.rank(ageing_s)
    until = one.row.created + ageing
    due = sum(job.rank(ageing_s) < rank and job.times[0] > until for job in jobs)
    return ageing + due / slowest_rate(jobs)


def judge(jobs: Sequence[Ran], count: int, ageing_s: float, handed_in: float, took: float) -> None:
    """Prints the tables and the JSON line."""
    good, poison = [job for job in jobs if not job.poison], [job for job in jobs if job.poison]
    over = passed(jobs, ageing_s)
    lowest = [job for job in jobs if job.row.priority == PRIORITIES[-1]]
    oldest = min(lowest, key=lambda job: job.row.created)
    longest = max(lowest, key=lambda job: job.wait_s)
    bounds = {job.row.id: bound_of(job, jobs, ageing_s) for job in (oldest, longest)}
    rows = []
    for priority in PRIORITIES:
        mine = [job for job in jobs if job.row.priority == priority]
        waits = sorted(job.wait_s for job in mine)
        most = max(over[job.row.id] for job in mine)
        rows.append([str(priority), f"{len(mine):,}", f"{waits[len(waits) // 2]:.1f}", f"{waits[-1]:.1f}", str(most)])
    table("waits by priority, s", ["priority", "jobs", "median", "longest", "passed by"], rows)
    states = Counter((job.row.state, job.poison) for job in jobs)
    print("\nstates:", ", ".join(f"{n:,} {state}{' (poison)' * bad}" for (state, bad), n in states.items()))
    bars = {
        f"order holds but for twice the {AT_ONCE} that run at once": max(over.values()) <= 2 * AT_ONCE,
        "none of the lowest priority passed by what came after its ageing bound": late_passers(jobs, ageing_s) == 0,
        "the oldest of the lowest priority waits no longer than its bound": oldest.wait_s
        <= bounds[oldest.row.id] + SLACK_S,
        "so does the one of them that waits longest": longest.wait_s <= bounds[longest.row.id] + SLACK_S,
        f"poison is dead after exactly {ATTEMPTS} attempts": all(_dead(job) for job in poison),
        "every other job is done, and ran exactly once": len(jobs) == count
        and all(job.row.state == "done" and len(job.times) == 1 for job in good),
    }
    figures = {
        "jobs": count,
        "poison": len(poison),
        "handed_in_per_s": round(count / handed_in),
        "jobs_per_s": round(count / took, 1),
        "begun_per_s": round(count / (max(job.times[0] for job in jobs) - min(job.times[0] for job in jobs)), 1),
        "took_s": round(took, 1),
        "ageing_s": ageing_s,
        "oldest_lowest_waited_s": round(oldest.wait_s, 2),
        "its_bound_s": round(bounds[oldest.row.id], 2),
        "longest_wait_lowest_s": round(longest.wait_s, 2),
        "that_ones_bound_s": round(bounds[longest.row.id], 2),
        "most_passed": max(over.values()),
    }
    finish("queue", figures, bars)


def main() -> None:
    """Reads the options."""
    parser = argparse.ArgumentParser(description="The job queue: order, ageing, dead letters.")
    parser.add_argument("--jobs", type=int, default=50_000, help="jobs in all")
    parser.add_argument("--ageing", type=float, default=2.0, help="seconds that are worth a step of priority")
    options = parser.parse_args()
    with own_home() as environ:
        os.environ.update(environ)
        jobs, handed_in, took = run(options.jobs, options.ageing, Path(environ["UNDERSTUDY_HOME"]))
    judge(jobs, options.jobs, options.ageing, handed_in, took)


if __name__ == "__main__":
    main()
