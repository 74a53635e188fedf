"""A driver for one job whose tree grows: a Reducer is killed in between. Prints one JSON line with what came of it.

Run as `python grows_driver.py MAPPERS ITEMS` with the cluster's environment, in a process of its own.
"""

import json
import os
import signal
import sys
from typing import Any

import msgspec

from understudy.actors.mapper.blocks import pack_block
from understudy.cluster.local import Settings
from understudy.cluster.session import Session
from understudy.protocols.config import Config, encode
from understudy.protocols.jobs import LIVE, JobSpec, Page

BLOCK = 500


class Job:
    """The job, and its reader."""

    def __init__(self, session: Session) -> None:
        config = Config()
        self._session = session
        self._actors = session.ensure(config, encode(config))
        self._supervisor = session.actor(self._actors.supervisor)
        self._cursor = 0
        self.root = self.merges = 0
        self.answer = b""
        self.page: Page | None = None
        self._spec = JobSpec(
            id=f"grows-{os.urandom(4).hex()}",
            title="grows",
            interpreter="understudy.actors.echo:Mirror",
            spec=b"",
            config=encode(config),
            reduces=True,
            grows=True,
            keep=False,
            quiet=True,
        )

    def call(self, method: str, *arguments: Any) -> Any:
        """One call of the Supervisor."""
        return self._session.get(getattr(self._supervisor, method).remote(*arguments))

    def begin(self) -> None:
        """Opens the job."""
        actors = self._actors
        spec = msgspec.msgpack.encode(self._spec)
        self.call("open", spec, actors.reducers[0], list(actors.mappers), list(actors.providers.values()), 0)

    def add(self, first: int, stop: int) -> None:
        """These items join."""
        for start in range(first, stop, BLOCK):
            items = [b"x" for _ in range(start, min(start + BLOCK, stop))]
            self.call("add_block", self._spec.id, len(items), pack_block(start, items))

    def seal(self) -> None:
        """No more items."""
        self.call("seal", self._spec.id)

    def read(self) -> bool:
        """The next page; False when the job is over."""
        page = msgspec.msgpack.decode(self.call("follow", self._spec.id, self._cursor), type=Page)
        self.page, self._cursor = page, page.cursor
        self.merges = page.nodes_done
        for node in page.nodes:
            if node.item == page.root:
                self.root, self.answer = node.item, node.data
        return page.state in LIVE

    def kill_reducer(self) -> None:
        """SIGKILLs the actor that holds the tree."""
        name = self._actors.reducers[0]
        [pid] = [one.pid for one in self._session.status().children if one.name == name]
        os.kill(pid, signal.SIGKILL)


def main() -> None:
    """See the module's docstring."""
    mappers, items = int(sys.argv[1]), int(sys.argv[2])
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    with answers, Session(Settings(mappers=mappers)) as session:
        job = Job(session)
        job.begin()
        job.add(0, items // 2)
        while job.merges < 2:
            job.read()
        job.kill_reducer()
        job.add(items // 2, items)
        job.seal()
        while job.read():
            pass
        assert job.page is not None
        told = {"state": job.page.state, "error": job.page.error, "done": job.page.done, "restarts": job.page.restarts}
        answers.write(
            json.dumps({**told, "root": job.root, "answer": job.answer.decode(), "merges": job.merges}) + "\n"
        )


if __name__ == "__main__":
    main()
