"""The job queue's core against a naive one, which sorts all jobs by effective priority at each pick."""

import dataclasses
import random

from hypothesis import given
from hypothesis import strategies as st

from understudy.supervisors.director.queue import LOWEST, JobQueue, Queued, QueueSettings

AGEING = 8.0
TENANTS = ("", "a", "b")


@dataclasses.dataclass
class Naive:
    """Looks at every job each time."""

    at_once: int
    waiting: list[Queued] = dataclasses.field(default_factory=list)
    running: list[Queued] = dataclasses.field(default_factory=list)
    limits: dict[str, int] = dataclasses.field(default_factory=dict)

    def take(self, most: int, now: float) -> list[Queued]:
        """The jobs whose turn it is."""
        taken: list[Queued] = []
        while len(taken) < most and len(self.running) < self.at_once:
            ready = [job for job in self.waiting if job.since <= now and self._room(job.tenant)]
            if not ready:
                break
            job = min(ready, key=lambda one: (one.priority - (now - one.since) / AGEING, int(one.id)))
            self.waiting.remove(job)
            self.running.append(job)
            taken.append(job)
        return taken

    def _room(self, tenant: str) -> bool:
        running = sum(job.tenant == tenant for job in self.running)
        return running < self.limits.get(tenant, self.at_once)


# Quarters of seconds and an ageing that is a power of two: both ways of computing a rank are exact, ties included.
steps = st.lists(
    st.tuples(
        st.sampled_from(["put", "put", "put", "later", "take", "end", "remove", "limit"]),
        st.sampled_from(TENANTS),
        st.integers(0, LOWEST),
        st.integers(0, 40).map(lambda quarters: quarters / 4),
    ),
    max_size=80,
)


@given(steps, st.integers(1, 6), st.randoms(use_true_random=False))
def test_the_queue_takes_what_the_naive_one_takes(
    steps: list[tuple[str, str, int, float]], at_once: int, rng: random.Random
) -> None:
    """Whatever comes, goes, ends, is removed and limited: the same jobs in the same order, and the same counts."""
    queue, naive, now, names = JobQueue(QueueSettings(at_once=at_once, ageing_s=AGEING)), Naive(at_once), 1e9, 0
    for what, tenant, number, gap in steps:
        if what in ("put", "later"):
            names += 1
            job = Queued(str(names), tenant, number, now + (gap if what == "later" else 0.0))
            queue.put(job, now=now)
            naive.waiting.append(job)
        elif what == "take":
            now += gap
            assert queue.take(number, now=now) == naive.take(number, now)
        elif what == "end" and naive.running:
            job = rng.choice(naive.running)
            naive.running.remove(job)
            assert queue.ended(job.id) == job
        elif what == "remove" and naive.waiting:
            job = rng.choice(naive.waiting)
            naive.waiting.remove(job)
            assert queue.remove(job.id) == job
        elif what == "limit":
            queue.limit(tenant, number or None)
            naive.limits[tenant] = number or at_once
        assert len(queue) == len(naive.waiting) + len(naive.running)
        assert set(queue.running) == {job.id for job in naive.running}


@given(st.lists(st.tuples(st.integers(0, LOWEST), st.floats(0, 3.0)), min_size=1, max_size=120), st.integers(1, 4))
def test_who_waits_is_passed_only_by_what_came_within_the_ageing_bound(
    arrivals: list[tuple[int, float]], every: int
) -> None:
    """A job of priority p is never passed by one of priority q that came (p - q) ageing times after it, or later."""
    queue, now = JobQueue(QueueSettings(at_once=1, ageing_s=AGEING)), 0.0
    waiting: dict[str, Queued] = {}
    for number, (priority, gap) in enumerate([*arrivals, *[(0, 0.0)] * len(arrivals)]):
        now += gap
        if number < len(arrivals):
            waiting[str(number)] = Queued(str(number), "", priority, now)
            queue.put(waiting[str(number)], now=now)
        if number % every and number < len(arrivals):  # work comes faster than it is done
            continue
        for job in queue.take(1, now=now):
            queue.ended(job.id)
            del waiting[job.id]
            for passed in waiting.values():
                assert job.since <= passed.since + (passed.priority - job.priority) * AGEING + 1e-6


def test_equals_go_first_in_first_out() -> None:
    """Jobs of one priority that came at one moment go in the order they came in."""
    queue = JobQueue(QueueSettings(at_once=100))
    for number in range(50):
        queue.put(Queued(str(number), TENANTS[number % 3], 5, 0.0), now=0.0)
    assert [job.id for job in queue.take(100, now=0.0)] == [str(number) for number in range(50)]


def test_a_job_waits_for_its_time() -> None:
    """It is not taken before; the queue says when it will be; then it ages from that moment."""
    queue = JobQueue()
    queue.put(Queued("later", "", 0, 10.0), now=0.0)
    queue.put(Queued("now", "", 9, 0.0), now=0.0)
    assert (queue.next_due(), queue.status(now=4.0).delayed, queue.status(now=4.0).oldest_s) == (10.0, 1, 4.0)
    assert [job.id for job in queue.take(9, now=9.0)] == ["now"]
    assert [job.id for job in queue.take(9, now=10.0)] == ["later"]
    assert queue.next_due() is None


def test_a_tenant_at_its_limit_is_passed_over() -> None:
    """Others go; its own next goes when one of its jobs ends, or when its limit is lifted."""
    queue = JobQueue()
    queue.limit("a", 1)
    for number in range(3):
        queue.put(Queued(f"a{number}", "a", 0, 0.0), now=0.0)
    queue.put(Queued("b", "b", 9, 0.0), now=0.0)
    assert [job.id for job in queue.take(9, now=0.0)] == ["a0", "b"]
    queue.ended("a0")
    assert [job.id for job in queue.take(9, now=0.0)] == ["a1"]
    queue.limit("a", None)
    assert [job.id for job in queue.take(9, now=0.0)] == ["a2"]


def test_a_job_is_in_the_queue_once() -> None:
    """Who is there already stays where it is, waiting or running."""
    queue = JobQueue()
    job = Queued("j", "", 5, 0.0)
    queue.put(job, now=0.0)
    queue.put(job, now=0.0)
    assert queue.take(9, now=0.0) == [job]
    queue.put(job, now=0.0)
    queue.resume(job)
    assert (len(queue), queue.take(9, now=0.0), queue.ended("j"), queue.ended("j")) == (1, [], job, None)


def test_what_is_removed_is_never_taken() -> None:
    """A job that is removed and put in again stands where it belongs now, not where it stood."""
    queue = JobQueue()
    for name in ("x", "y"):
        queue.put(Queued(name, "", 5, 0.0), now=0.0)
    queue.put(Queued("z", "", 5, 9.0), now=0.0)
    assert [queue.remove(name) is None for name in ("x", "z", "z", "stranger")] == [False, False, True, True]
    queue.put(Queued("x", "", 6, 0.0), now=0.0)
    assert [job.id for job in queue.take(9, now=20.0)] == ["y", "x"]
