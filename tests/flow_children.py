"""Jobs that work for an item, by a Supervisor that outlives whoever opens them."""

import asyncio
import dataclasses
from collections.abc import AsyncIterator, Sequence
from typing import Any, Self

from flow_world import Lives

from understudy.actors.reducer.growing import GrowingTree
from understudy.actors.reducer.local import grow
from understudy.protocols.jobs import Bill, JobSpec, Page
from understudy.protocols.messages import ItemDone
from understudy.supervisors.patterns.interpreter import FlowInterpreter

PAGE = 50


@dataclasses.dataclass
class Job:
    """What is known of one: its items, and all answers in the order they came."""

    spec: JobSpec
    items: list[bytes] = dataclasses.field(default_factory=list)
    answers: list[ItemDone] = dataclasses.field(default_factory=list)
    nodes: list[ItemDone] = dataclasses.field(default_factory=list)
    opened: list[str] = dataclasses.field(default_factory=list)

    @property
    def last(self) -> dict[int, ItemDone]:
        """The answer of each item that counts."""
        return {done.item: done for done in self.answers}


class Jobs:
    """All jobs of an item's lives, by id.

    Attributes:
        known: the jobs.
        dies_after: the Mapper dies when so many answers of a job were given; 0 for never.
    """

    def __init__(self, lives: Lives) -> None:
        self.lives = lives
        self.known: dict[str, Job] = {}
        self.dies_after = 0
        lives.children = self.open

    def open(self, spec: JobSpec, again: str) -> "OneChild":
        """See `Host.children`."""
        assert again in ("", "failed", "standing")
        job = self.known.setdefault(spec.id, Job(spec))
        job.opened.append(again)
        return OneChild(self, job, again)


class OneChild:
    """See `Child`."""

    def __init__(self, jobs: Jobs, job: Job, again: str) -> None:
        self._jobs, self._job, self._again = jobs, job, again
        self._items: list[bytes] = []
        self._sealed = asyncio.Event()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None: ...

    async def add(self, items: Sequence[bytes]) -> None:
        """See `Child`."""
        self._items += items

    async def seal(self) -> None:
        """See `Child`."""
        assert self._job.items in ([], self._items)
        self._job.items = self._items
        self._sealed.set()

    async def pages(self) -> AsyncIterator[Page]:
        """See `Child`."""
        await self._sealed.wait()
        job, flow, told = self._job, FlowInterpreter(self._job.spec), 0
        wanted = {
            "": [number for number in range(len(job.items)) if number not in job.last],
            "failed": [number for number in range(len(job.items)) if number not in job.last or job.last[number].error],
            "standing": [number for number, done in job.last.items() if done.standing],
        }[self._again]
        for number in wanted:
            job.answers.append(await flow.map(number, job.items[number], self._jobs.lives.caller))
            if len(job.answers) - told >= PAGE:
                yield self._page("running", job.answers[told:])
                told = len(job.answers)
            if self._jobs.dies_after and len(job.answers) >= self._jobs.dies_after:
                self._jobs.lives.log.dead.set()
                self._jobs.dies_after = 0
                await asyncio.get_running_loop().create_future()
        if job.spec.grows and (wanted or not job.nodes):
            await self._merge(flow)
        yield self._page("done", job.answers[told:])

    async def _merge(self, flow: FlowInterpreter) -> None:
        job = self._job

        async def answers() -> AsyncIterator[ItemDone]:
            for done in job.last.values():
                yield done

        async def merge(what: Any, children: Any) -> ItemDone:
            done = await flow.merge(what, children, self._jobs.lives.caller)
            job.nodes.append(done)
            return done

        spec_budget = flow.growing()
        assert isinstance(spec_budget, GrowingTree)
        await grow(spec_budget, answers(), merge, size=flow.size, width=4)

    def _page(self, state: Any, answers: Sequence[ItemDone]) -> Page:
        job = self._job
        nodes = tuple(job.nodes) if state == "done" else ()
        root = nodes[-1].item if nodes else -1
        return Page(
            state,
            len(job.answers),
            len(job.items),
            True,
            len(job.last),
            0,
            0,
            0,
            Bill(),
            tuple(answers),
            nodes,
            root=root,
        )
