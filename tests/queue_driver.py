"""A driver for `test_cluster_queue`: hands jobs in, kills the Director in the middle, and says what became of them."""

import json
import os
import signal
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import msgspec

from understudy.actors.mapper.blocks import pack_block
from understudy.cluster.flows.job import flow_spec
from understudy.cluster.session import Session
from understudy.protocols.config import Config, encode
from understudy.protocols.journal import JobRow
from understudy.protocols.queue import Submission, Submitted
from understudy.protocols.workflow import Flow, Function


def record(book: str, job: str, *, poison: bool = False) -> str:
    """Writes down that a job ran."""
    time.sleep(0.02)
    descriptor = os.open(book, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.write(descriptor, f"{job}\n".encode())
    os.close(descriptor)
    if poison:
        raise ValueError("this job never succeeds")
    return job


def submissions(count: int, book: Path, prefix: str) -> list[Submission]:
    """Jobs of one function each; every fiftieth is poison."""
    args = {"book": "{{ input.book }}", "job": "{{ input.job }}", "poison": "{{ input.poison }}"}
    run = Function(call="queue_driver:record", args=args)
    like = flow_spec(
        Flow(name="queue", input={"type": "object"}, run=run),
        Config(),
        inputs=1,
        width=16,
        paths=(str(Path(__file__).parent),),
    )
    jobs = []
    for number in range(count):
        name = f"{prefix}-{number:04}"
        spec = msgspec.structs.replace(like, id=name, keep=False, watch=False, journal="ahead")
        item = msgspec.json.encode({"book": str(book), "job": name, "poison": number % 50 == 0})
        block = ((1, pack_block(0, [item])),)
        jobs.append(
            Submission(msgspec.msgpack.encode(spec), block, priority=number % 10, attempts=2, key=f"{name}-key")
        )
    return jobs


def lines(book: Path) -> list[str]:
    """What ran so far."""
    return book.read_text(encoding="utf-8").splitlines() if book.exists() else []


def director(session: Session) -> int:
    """Its process id."""
    return next(child.pid for child in session.status().children if child.name == "director")


def main() -> None:
    """Prints what became of the jobs as one JSON line."""
    count, book = int(sys.argv[1]), Path(sys.argv[2])
    said: dict[str, Any] = {}
    with Session() as session:
        config = Config()
        session.ensure(config, encode(config))
        jobs = msgspec.msgpack.encode(submissions(count, book, f"q{os.getpid()}"))
        told = msgspec.msgpack.decode(session.direct("submit", jobs), type=list[Submitted])
        said["new"] = sum(one.new for one in told)
        while len(lines(book)) < count // 4:
            time.sleep(0.05)
        before = director(session)
        os.kill(before, signal.SIGKILL)
        time.sleep(0.2)
        # A driver that has heard no answer asks again: nothing is queued twice.
        told = msgspec.msgpack.decode(session.direct("submit", jobs), type=list[Submitted])
        said["again"] = sum(one.new for one in told)
        said["another"] = director(session) != before
        deadline = time.monotonic() + 90.0
        while (queue := session.status().queue).running or queue.delayed or queue.waiting:
            assert time.monotonic() < deadline, queue
            time.sleep(0.2)
        dead = msgspec.msgpack.decode(session.direct("dead"), type=list[JobRow])
        mine = {one.id for one in told}
        said["dead"] = sorted([row.id[-4:], row.attempt, row.error] for row in dead if row.id in mine)
        said["redriven"] = session.direct("redrive", [row.id for row in dead if row.id in mine])
    said["runs"] = {name[-4:]: times for name, times in Counter(lines(book)).items()}
    sys.stdout.write(json.dumps(said) + "\n")


if __name__ == "__main__":
    main()
