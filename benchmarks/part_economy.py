"""Our side of the economy: a driver attached to a local cluster, and what a workflow makes of each of many requests.

Usage: `python -m benchmarks.part_economy '{"mappers": 1, "cores": 2}'`; then lines of `config`, `flow`, `texts` and
`rungs`. The answer holds `outputs`, and with `rungs` the picodollars of each branch of the outermost step in `costs`.
"""

import json
import os
import sys
from collections import Counter
from typing import Any, Final

import msgspec

from benchmarks.rig import answer_lines
from understudy.actors.mapper.blocks import pack_block
from understudy.cluster.local import Settings
from understudy.cluster.session import Session
from understudy.protocols.config import Config, encode
from understudy.protocols.jobs import LIVE, EnsureReply, JobSpec, Page
from understudy.protocols.messages import ItemDone
from understudy.protocols.workflow.nodes import Flow
from understudy.protocols.workflow.result import FlowResult
from understudy.protocols.workflow.spec import FlowSpec
from understudy.supervisors.patterns.interpreter import PATH

BLOCK: Final = 500
WIDTH: Final = 64


class Flows:
    """An attached driver."""

    def __init__(self, settings: dict[str, Any]) -> None:
        self._session = Session(Settings(cores=settings["cores"], mappers=settings["mappers"], idle_s=600.0))
        self._session.__enter__()

    def answer(self, words: dict[str, Any]) -> dict[str, Any]:
        """Runs the workflow of one line on its texts."""
        config = Config.model_validate_json(json.dumps(words["config"]))
        flow = Flow.model_validate({"run": words["flow"]})
        spec = JobSpec(
            id=f"bench-{os.urandom(4).hex()}",
            title="economy",
            interpreter=PATH,
            spec=msgspec.msgpack.encode(FlowSpec(flow.model_dump_json(by_alias=True, exclude_unset=True).encode())),
            config=encode(config),
            width=WIDTH,
        )
        items = [msgspec.json.encode({"text": text}) for text in words["texts"]]
        done = self._run(spec, self._session.ensure(config, spec.config), items)
        results = [msgspec.msgpack.decode(one.data, type=FlowResult) for one in done if not one.error]
        return {
            "errors": dict(Counter(one.error for one in done if one.error).most_common(3)),
            "outputs": [one.value for one in results],
            "costs": [_by_branch(one) for one in results] if words["rungs"] else [],
        }

    def _run(self, spec: JobSpec, actors: EnsureReply, items: list[bytes]) -> list[ItemDone]:
        """The answers in the order of the items."""
        supervisor, get = self._session.actor(actors.supervisor), self._session.get
        providers = list(actors.providers.values())
        opening = msgspec.msgpack.encode(spec), actors.reducers[0], list(actors.mappers), providers, 0
        get(supervisor.open.remote(*opening))
        for first in range(0, len(items), BLOCK):
            block = items[first : first + BLOCK]
            get(supervisor.add_block.remote(spec.id, len(block), pack_block(first, block)))
        get(supervisor.seal.remote(spec.id))
        found: dict[int, ItemDone] = {}
        cursor, state = 0, "open"
        while state in LIVE:
            page = msgspec.msgpack.decode(get(supervisor.follow.remote(spec.id, cursor)), type=Page)
            cursor, state = page.cursor, page.state
            found.update({done.item: done for done in page.items})
        return [found.get(number, ItemDone(number, error=f"the job is {state}")) for number in range(len(items))]

    def close(self) -> None:
        """Detaches; the cluster stays for whoever started this to stop."""
        self._session.__exit__(None, None, None)


def _by_branch(result: FlowResult) -> dict[str, int]:
    """Picodollars by the branch of the outermost step that they were spent in."""
    sums: Counter[str] = Counter()
    for step in result.steps:
        if step.path.count("/"):
            sums[step.path.split("/")[1]] += step.cost
    return dict(sums)


def main() -> None:
    """See the module's docstring."""
    flows = Flows(json.loads(sys.argv[1]))
    answer_lines({"ready": True}, flows.answer)
    flows.close()


if __name__ == "__main__":
    main()
