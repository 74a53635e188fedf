"""The Supervisor actor: the shell that runs many jobs, each around a `JobCore`."""

from typing import Any

from ...actors.shell import log
from ...protocols.envelope import Envelope
from ...protocols.messages import Down, Hello, JobBroken, NodesDone, Results, StartJobs, Steps
from .recovering import Recovering


class Supervisor(Recovering):
    """Runs jobs on this cluster's Mappers and Reducers. See `JobShell` for its arguments."""

    def __init__(self, name: str, namespace: str, **known: Any) -> None:
        super().__init__(name, namespace, **known)
        self.post.on(Results, self._results)
        self.post.on(Steps, self._steps)
        self.post.on(NodesDone, self._nodes_done)
        self.post.on(JobBroken, self._broken)
        self.post.on(StartJobs, self._start_jobs)
        self.post.on(Hello, self._hello)
        self.post.on(Down, self._down)

    # For Mappers and Reducers -----------------------------------------------------------------------------------------

    async def spec(self, job: str) -> bytes:
        """A job's specification."""
        await self._ready.wait()
        return self._known(job).spec

    async def block(self, job: str, number: int) -> list[Any]:
        """A reference to a block's bytes, in a list so that Ray passes the reference; of a small one the bytes.

        Nothing where nobody needs the block any more: the job is over, or all its items were answered by others.
        """
        await self._ready.wait()
        known = self._jobs.get(job)
        if known is None or known.ended is not None or known.halted:
            return []
        if number not in known.blocks and known.paper is not None and known.core.book.needs(number):
            row = await self._read(lambda: self.journal.block(job, number))
            if row is not None and known.core.book.needs(number) and not known.halted:
                known.blocks.setdefault(number, self._stored(row.data))
        return [known.blocks[number]] if number in known.blocks else []

    def _results(self, envelope: Envelope, results: Results) -> None:
        if results.job in self._early:
            self._early[results.job].append((envelope, results))
            return
        job = self._jobs.get(results.job)
        if job is not None and not job.halted:
            self._take_results(job, envelope.sender, results)
            self._go_on(job)
        elif job is not None:
            job.core.after(envelope.sender, results.done)
            self._count(job)
            if job.paper is not None:  # what it cost counts against the day
                job.paper.touch()
                self._write(job)
        self._feed()

    def _steps(self, _: Envelope, steps: Steps) -> None:
        job = self._jobs.get(steps.job)
        if job is not None and job.core.spec.watch:
            job.events.add(steps.events)
            job.news.set()

    def _nodes_done(self, envelope: Envelope, message: NodesDone) -> None:
        if message.job in self._early:
            self._early[message.job].append((envelope, message))
            return
        job = self._jobs.get(message.job)
        if job is None or job.halted:
            return
        self._take_nodes(job, envelope.sender, message)
        self._go_on(job)
        self._feed()

    def _broken(self, _: Envelope, message: JobBroken) -> None:
        job = self._jobs.get(message.job)
        if job is not None and job.ended is None and not job.ending:
            job.core.fail(message.error)
            self._end(job, at_once=True)

    # Actors come and go -----------------------------------------------------------------------------------------------

    def _hello(self, _: Envelope, hello: Hello) -> None:
        # A first hello says nothing new to who was told of the actor already: what was said to it waits for it.
        # A Director that has taken another's place does not know whom its predecessor started and told nobody of.
        known = self._pids.get(hello.name, hello.pid)
        self._pids[hello.name] = hello.pid
        another = bool(hello.restarts) or known != hello.pid
        if another:
            self._reborn.add(hello.name)
            self._lost(hello.name)
            self.post.renew(hello.name)
        if hello.role == "provider":
            self._met.add(hello.name)
        elif hello.role == "mapper":
            self._mappers.add(hello.name)
            for job in self._running():
                job.core.mapper_up(hello.name)
                self._go_on(job)
        elif hello.role == "reducer" and another:
            for job in self._running():
                if job.reducer == hello.name and job.core.spec.reduces:
                    self._retell(job)

    def _down(self, _: Envelope, down: Down) -> None:
        for job in self._running():
            job.restarts += 1
        self._lost(down.name)

    def _lost(self, name: str) -> None:
        for job in self._jobs.values():
            if job.paper is not None:  # its successor counts anew
                job.paper.forget(name)
        if name in self._mappers:
            self._mappers.discard(name)
            log.info("mapper_lost", name=name)
            for job in self._running():
                if job.driver == name and job.paper is None:
                    self._stop(job)
                    continue
                job.core.mapper_down(name)
                self._go_on(job)

    def on_peer_down(self, name: str) -> None:
        """A message to `name` could not be delivered."""
        self._lost(name)
