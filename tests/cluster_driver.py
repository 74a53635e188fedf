"""A driver that tests command: it attaches to their cluster, sends jobs of calls, cancels them and tells what came.

Run as `python cluster_driver.py` with the cluster's environment: a JSON object a line comes in, one goes out. In a
process of its own, because a process that has imported Ray can't run unit tests that forbid it.
"""

import json
import os
import sys
import time
from typing import Any

import msgspec

from understudy.actors.mapper.blocks import pack_block
from understudy.actors.requests import read, request_item
from understudy.cluster.local import Settings
from understudy.cluster.session import Session
from understudy.protocols.call import CallOptions
from understudy.protocols.chat import ChatRequest, Message, Text
from understudy.protocols.config import Config, encode
from understudy.protocols.errors import UsageError
from understudy.protocols.jobs import LIVE, EnsureReply, JobSpec, Page, Verdict, Waiting

INTERPRETER = "understudy.actors.requests:Requests"


class Call(msgspec.Struct, frozen=True):
    """One call of a job."""

    model: str
    text: str
    max_tokens: int = 64
    stream: bool = False
    options: CallOptions = CallOptions()

    def item(self) -> bytes:
        """As an item."""
        request = ChatRequest(self.model, (Message("user", (Text(self.text),)),), max_tokens=self.max_tokens)
        return request_item(request, len(self.text) // 4 + 4, self.options, stream=self.stream)


class Driver:
    """An attached driver; each public method is a command, its arguments and its answer are JSON."""

    def __init__(self, session: Session, mappers: int) -> None:
        self._session = session
        self._mappers = mappers
        self._actors: EnsureReply | None = None
        self._jobs: dict[str, dict[str, Any]] = {}

    def send(
        self,
        *,
        config: dict[str, Any],
        calls: list[dict[str, Any]],
        width: int,
        weight: float = 1.0,
        tenant: str = "",
        interactive: bool = False,
    ) -> dict[str, Any]:
        """Hands a job in, whole; answers with its name and the moment (monotonic) just before."""
        parsed = Config.model_validate_json(json.dumps(config))
        actors = self._session.ensure(parsed, encode(parsed))
        spec = JobSpec(
            id=f"test-{os.urandom(4).hex()}",
            title="test",
            interpreter=INTERPRETER,
            spec=b"",
            config=encode(parsed),
            width=width,
            weight=weight,
            tenant=tenant,
            interactive=interactive,
        )
        items = [call.item() for call in msgspec.convert(calls, list[Call])]
        supervisor = self._session.actor(actors.supervisor)
        self._jobs[spec.id] = {"supervisor": supervisor, "cursor": 0, "done": {}}
        moment = time.monotonic()
        encoded, providers = msgspec.msgpack.encode(spec), list(actors.providers.values())
        opened = supervisor.open.remote(encoded, actors.reducers[0], list(actors.mappers), providers, 0)
        self._session.get(opened)
        self._session.get(supervisor.add_block.remote(spec.id, len(items), pack_block(0, items)))
        self._session.get(supervisor.seal.remote(spec.id))
        return {"job": spec.id, "moment": moment}

    def order(self, *, orders: list[Any], seal: bool = True, **fields: Any) -> dict[str, Any]:
        """Hands in a job of orders for `understudy.actors.mapper.testing:Items`; `fields` are those of `JobSpec`."""
        actors = self._session.ensure(Config(), encode(Config()))
        spec = JobSpec(
            id=f"test-{os.urandom(4).hex()}",
            title="test",
            **({"interpreter": "understudy.actors.mapper.testing:Items"} | fields),
            spec=b"",
            config=encode(Config()),
        )
        supervisor = self._session.actor(actors.supervisor)
        self._jobs[spec.id] = {"supervisor": supervisor, "cursor": 0, "done": {}, "data": {}}
        encoded = msgspec.msgpack.encode(spec)
        self._session.get(supervisor.open.remote(encoded, actors.reducers[0], list(actors.mappers), [], 0))
        items = [msgspec.msgpack.encode(order) for order in orders]
        self._session.get(supervisor.add_block.remote(spec.id, len(items), pack_block(0, items)))
        return self.seal(job=spec.id) if seal else {"job": spec.id}

    def seal(self, *, job: str) -> dict[str, Any]:
        """No more orders will come."""
        self._session.get(self._jobs[job]["supervisor"].seal.remote(job))
        return {"job": job}

    def obtain(self, *, job: str, seconds: float = 60.0) -> dict[str, Any]:
        """What came of a job's orders, when it is over, waits for people, or the time is."""
        state, deadline, known = "running", time.monotonic() + seconds, self._jobs[job]
        while state in ("open", "running") and time.monotonic() < deadline:
            told = self._session.get(known["supervisor"].follow.remote(job, known["cursor"]))
            page = msgspec.msgpack.decode(told, type=Page)
            state, known["cursor"] = page.state, page.cursor
            known["data"] |= {str(one.item): one.error or msgspec.msgpack.decode(one.data) for one in page.items}
            for root in (one for one in page.nodes if one.item == page.root):
                known["data"]["root"] = root.error or root.data.decode()
        return {"state": state, "data": known["data"], "restarts": page.restarts}

    def approvals(self, *, job: str) -> list[Any]:
        """What waits for people in a job."""
        told = self._session.get(self._jobs[job]["supervisor"].approvals.remote())
        waiting = msgspec.msgpack.decode(told, type=list[Waiting])
        return [msgspec.to_builtins(one) for one in waiting if one.job == job]

    def answer(self, *, job: str, item: int = -1, note: str = "") -> dict[str, Any]:
        """Approves; answers with the refusal, if there is one."""
        verdict = msgspec.msgpack.encode(Verdict(approved=True, note=note))
        try:
            return {"on": self._session.get(self._jobs[job]["supervisor"].answer.remote(job, item, "", verdict))}
        except UsageError as refusal:
            return {"refusal": str(refusal)}

    def cancel(self, *, job: str) -> dict[str, Any]:
        """Cancels a job; answers with the moment just before."""
        moment = time.monotonic()
        self._session.get(self._jobs[job]["supervisor"].cancel.remote(job))
        return {"moment": moment}

    def wait(self, *, job: str, seconds: float = 60.0) -> dict[str, Any]:
        """What came of a job's calls, by item, when it is over or the time is."""
        state, deadline, known = "running", time.monotonic() + seconds, self._jobs[job]
        while state in LIVE and time.monotonic() < deadline:
            told = self._session.get(known["supervisor"].follow.remote(job, known["cursor"]))
            page = msgspec.msgpack.decode(told, type=Page)
            state, known["cursor"] = page.state, page.cursor
            known["done"] |= {done.item: done for done in page.items}
        done = known["done"].values()
        return {
            "state": state,
            "moment": time.monotonic(),
            "results": {str(one.item): msgspec.to_builtins(read(one)) for one in done},
            "repr": repr(list(done)),
        }

    def status(self) -> dict[str, Any]:
        """What the Director knows."""
        return msgspec.to_builtins(self._session.status())  # type: ignore[no-any-return]

    def ready(self) -> dict[str, Any]:
        """Answers when all the cluster's mappers are up; where Ray keeps the session's files."""
        config = Config()
        self._session.ensure(config, encode(config))
        while True:
            children = self._session.status().children
            if sum(one.role == "mapper" and one.state == "up" for one in children) >= self._mappers:
                break
            time.sleep(0.05)
        from ray._private import worker  # noqa: PLC0415

        node: Any = worker._global_node
        return {"session_dir": node.get_session_dir_path(), "pid": os.getpid()}


def main() -> None:
    """Serves until standard input ends."""
    mappers = int(sys.argv[1])
    # Ray prints warnings on standard output when it likes to: they go where errors go.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    with answers, Session(Settings(mappers=mappers)) as session:
        driver = Driver(session, mappers)
        for line in sys.stdin:
            asked = json.loads(line)
            answer = getattr(driver, asked.pop("command"))(**asked)
            answers.write(json.dumps(answer) + "\n")
            answers.flush()


if __name__ == "__main__":
    main()
