"""Whose turn it is: jobs that wait, by priority and age, within what their tenants and the cluster may run at once."""

import dataclasses
import heapq
from typing import Final

import msgspec

from ...protocols.jobs import QueueStatus

LOWEST: Final = 9
"""Priorities go from 0, which is first, to this one."""


class QueueSettings(msgspec.Struct, frozen=True):
    """How the queue of a cluster works.

    Attributes:
        at_once: jobs of the queue that run at once; what drivers start themselves is not counted.
        ageing_s: who has waited so long goes before those of the next higher priority that come now.
        delay_s: how long a job waits after its first failure; each further one triples it.
        delay_max_s: the longest such wait.
        standing_s: after so long a model is asked again where a declared answer stands in for one.
        standing_attempts: how often that is tried.
    """

    at_once: int = 64
    ageing_s: float = 60.0
    delay_s: float = 1.0
    delay_max_s: float = 600.0
    standing_s: float = 60.0
    standing_attempts: int = 5


@dataclasses.dataclass(frozen=True, slots=True)
class Queued:
    """A job as the queue knows it: never its items or what they are. 50,000 of them take 18 MB.

    Attributes:
        id: unique.
        tenant: who it is for.
        priority: 0 goes first.
        since: it could begin from then on, seconds since 1970; what makes it age.
    """

    id: str
    tenant: str
    priority: int
    since: float


class JobQueue:
    """Priorities with ageing, first in first out among equals, so many at once for each tenant and in all.

    A job's effective priority is `priority - waited / ageing_s`; the lowest number goes first. All rise alike, so two
    jobs never change places: `priority - (now - since) / ageing_s` is smaller for one than for the other exactly when
    `priority * ageing_s + since` is, in which `now` does not occur. That rank is computed once, and a heap holds it.

    **Nobody starves.** A job of priority `p` that could begin at `t` is passed only by jobs whose rank is smaller, and
    of those of priority `q` only what could begin before `t + (p - q) * ageing_s` has one. So what comes after
    `t + p * ageing_s` never goes before it: it waits, at the longest, until what was there by then is begun. Where the
    queue works off its jobs as fast as they come, that is `p * ageing_s` and the wait of a job of priority 0.

    A tenant that runs as much as it may is passed over; its jobs keep their ranks. Times are seconds since 1970, since
    they outlive the process. A pick costs O(log n).
    """

    def __init__(self, settings: QueueSettings | None = None) -> None:
        self.settings = settings or QueueSettings()
        self._limits: dict[str, int] = {}
        #: Jobs that may begin, and those whose time is still to come.
        self._waiting: dict[str, Queued] = {}
        self._delayed: dict[str, Queued] = {}
        self._running: dict[str, Queued] = {}
        self._by_tenant: dict[str, int] = {}
        self._serial = 0
        #: Of each tenant (rank, serial, job); and of all tenants with room (rank, serial, tenant). Entries whose job
        #: is not there any more, or that are not their tenant's first any more, are passed over when they come up.
        self._lines: dict[str, list[tuple[float, int, str]]] = {}
        self._first: list[tuple[float, int, str]] = []
        #: (when it may begin, serial, job).
        self._times: list[tuple[float, int, str]] = []
        self._serials: dict[str, int] = {}

    def __len__(self) -> int:
        """Jobs that wait, or run."""
        return len(self._waiting) + len(self._delayed) + len(self._running)

    def __contains__(self, job: str) -> bool:
        return job in self._waiting or job in self._delayed or job in self._running

    @property
    def running(self) -> tuple[str, ...]:
        """Jobs whose turn has come, and that are not over."""
        return tuple(self._running)

    def limit(self, tenant: str, jobs: int | None) -> None:
        """So many jobs of the tenant run at once from now on; None for no limit of its own."""
        if jobs is None:
            self._limits.pop(tenant, None)
        else:
            self._limits[tenant] = jobs
        self._offer(tenant)

    def put(self, job: Queued, *, now: float) -> None:
        """A job waits for its turn, or for its time. One that is there already stays where it is."""
        if job.id in self:
            return
        self._serial += 1
        self._serials[job.id] = self._serial
        if job.since > now:
            self._delayed[job.id] = job
            heapq.heappush(self._times, (job.since, self._serial, job.id))
        else:
            self._line_up(job)

    def resume(self, job: Queued) -> None:
        """A job runs already: its turn came before this queue was made."""
        if job.id not in self:
            self._begin(job)

    def take(self, most: int, *, now: float) -> list[Queued]:
        """Up to `most` jobs whose turn it is, in order; from now on they run."""
        self._mature(now)
        taken: list[Queued] = []
        while len(taken) < most and len(self._running) < self.settings.at_once:
            job = self._next()
            if job is None:
                break
            taken.append(job)
        return taken

    def ended(self, job: str) -> Queued | None:
        """A job does not run any more; None where it did not."""
        found = self._running.pop(job, None)
        if found is not None:
            full = not self._room(found.tenant)
            self._by_tenant[found.tenant] -= 1
            if not self._by_tenant[found.tenant]:
                del self._by_tenant[found.tenant]
            if full:
                self._offer(found.tenant)
        return found

    def remove(self, job: str) -> Queued | None:
        """A job does not wait any more; None where it did not."""
        self._serials.pop(job, None)
        found = self._waiting.pop(job, None)
        if found is not None:
            self._offer(found.tenant)
        return found or self._delayed.pop(job, None)

    def next_due(self) -> float | None:
        """When the next job's time comes; None where none waits for its time."""
        while self._times and self._serials.get(self._times[0][2]) != self._times[0][1]:
            heapq.heappop(self._times)
        return self._times[0][0] if self._times else None

    def status(self, *, now: float, dead: int = 0) -> QueueStatus:
        """The queue, for people."""
        waiting: dict[int, int] = {}
        for job in self._waiting.values():
            waiting[job.priority] = waiting.get(job.priority, 0) + 1
        oldest = min((job.since for job in self._waiting.values()), default=now)
        return QueueStatus(
            dict(sorted(waiting.items())), len(self._delayed), len(self._running), dead, max(0.0, now - oldest)
        )

    # Inside -----------------------------------------------------------------------------------------------------------

    def _mature(self, now: float) -> None:
        while (due := self.next_due()) is not None and due <= now:
            self._line_up(self._delayed.pop(heapq.heappop(self._times)[2]))

    def _line_up(self, job: Queued) -> None:
        self._waiting[job.id] = job
        rank = job.priority * self.settings.ageing_s + job.since
        line = self._lines.setdefault(job.tenant, [])
        entry = (rank, self._serials[job.id], job.id)
        heapq.heappush(line, entry)
        if line[0] is entry:
            self._offer(job.tenant)

    def _offer(self, tenant: str) -> None:
        """The tenant's first job is put among those of which the next is taken, where it has room for one."""
        line = self._lines.get(tenant)
        while line and self._serials.get(line[0][2]) != line[0][1]:
            heapq.heappop(line)
        if not line:
            self._lines.pop(tenant, None)
        elif self._room(tenant):
            heapq.heappush(self._first, (line[0][0], line[0][1], tenant))

    def _room(self, tenant: str) -> bool:
        limit = self._limits.get(tenant)
        return limit is None or self._by_tenant.get(tenant, 0) < limit

    def _next(self) -> Queued | None:
        while self._first:
            _, serial, tenant = heapq.heappop(self._first)
            line = self._lines.get(tenant)
            if not line or line[0][1] != serial or not self._room(tenant):
                continue
            job = self._waiting.pop(heapq.heappop(line)[2])
            self._begin(job)
            self._offer(tenant)
            return job
        return None

    def _begin(self, job: Queued) -> None:
        self._serials.pop(job.id, None)
        self._running[job.id] = job
        self._by_tenant[job.tenant] = self._by_tenant.get(job.tenant, 0) + 1
