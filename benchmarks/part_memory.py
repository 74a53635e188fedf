"""A driver that streams items it never holds together, and drops what it reads.

Usage: `python -m benchmarks.part_memory SETTINGS`, settings as JSON: `mappers`, `cores`, `url` of a simulator. Then
lines `{"items": how many, "form": "items" | "kept" | "tree" | "calls"}`: items that call nobody, the same with a
journal that has each answer before the driver does, the same with a reduce tree that grows meanwhile, and real calls.
"""

import itertools
import json
import os
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any, Final

import msgspec

from benchmarks.part_ours import configuration
from benchmarks.payload import MAX_TOKENS, prompt
from benchmarks.rig import answer_lines
from understudy.actors.echo import EchoSpec, prompt_item
from understudy.actors.mapper.blocks import pack_block
from understudy.cluster import home
from understudy.cluster.local import Settings
from understudy.cluster.session import Session
from understudy.protocols.config import encode
from understudy.protocols.jobs import LIVE, EnsureReply, JobSpec, Page

BLOCK: Final = 2000
CHARACTERS: Final = 400
TOKENS: Final = 104
LIMITS: Final = {"rpm": 10_000_000, "concurrency": 1000}


class Driver:
    """An attached driver and the processes that work for it."""

    def __init__(self, settings: dict[str, Any]) -> None:
        self._config = encode(parsed := configuration({"sim": {"url": settings["url"], "limits": LIMITS}}))
        self._session = Session(Settings(cores=settings["cores"], mappers=settings["mappers"], idle_s=1200.0))
        self._session.__enter__()
        self._reply: EnsureReply = self._session.ensure(parsed, self._config)
        self._supervisor = self._session.actor(self._reply.supervisor)

    def processes(self) -> dict[str, int]:
        """Process ids by label, when every actor is up."""
        while any(not child.pid for child in self._session.status().children):
            time.sleep(0.05)
        local = home.load()
        found = {"driver": os.getpid(), "keeper": local.pid if local else 0}
        return found | {child.name: child.pid for child in self._session.status().children}

    def answer(self, words: dict[str, Any]) -> dict[str, Any]:
        """Runs one job; one thread hands in, this one reads."""
        spec = self._spec(words["form"])
        providers = list(self._reply.providers.values())
        began = time.perf_counter()
        self._call(
            "open", msgspec.msgpack.encode(spec), self._reply.reducers[0], list(self._reply.mappers), providers, 0
        )
        feeding = threading.Thread(target=self._feed, args=(spec, int(words["items"])))
        feeding.start()
        page, read, root = self._read(spec)
        feeding.join()
        return {
            "read": read,
            "failed": page.failed,
            "calls": page.bill.calls,
            "root": root,
            "wall_s": time.perf_counter() - began,
            "state": page.state,
        }

    def _spec(self, form: str) -> JobSpec:
        calls = form == "calls"
        return JobSpec(
            id=f"bench-{os.urandom(4).hex()}",
            title="bench",
            interpreter=f"understudy.actors.echo:{'Echo' if calls else 'Mirror'}",
            spec=msgspec.msgpack.encode(EchoSpec("sim", MAX_TOKENS)) if calls else b"64",
            config=self._config,
            width=64,
            keep=False,
            reduces=form == "tree",
            grows=form == "tree",
            journal="ahead" if form == "kept" else "off",
        )

    def _call(self, method: str, *arguments: Any) -> Any:
        return self._session.get(getattr(self._supervisor, method).remote(*arguments))

    def _feed(self, spec: JobSpec, count: int) -> None:
        items = (prompt_item(prompt(number, CHARACTERS), TOKENS) for number in range(count))
        for first, block in blocks(items):
            if not self._call("add_block", spec.id, len(block), pack_block(first, block)):
                return
        self._call("seal", spec.id)

    def _read(self, spec: JobSpec) -> tuple[Page, int, int]:
        cursor, read, root = 0, 0, -1
        while True:
            page = msgspec.msgpack.decode(self._call("follow", spec.id, cursor), type=Page)
            cursor, read = page.cursor, read + len(page.items)
            root = next((int(done.data) for done in page.nodes if done.item == page.root), root)
            if page.state not in LIVE:
                return page, read, root

    def close(self) -> None:
        """Detaches; the cluster stays for whoever started this to stop."""
        self._session.__exit__(None, None, None)


def blocks(items: Iterator[bytes]) -> Iterator[tuple[int, list[bytes]]]:
    """Some items at a time, with the number of the first."""
    first = 0
    while block := list(itertools.islice(items, BLOCK)):
        yield first, block
        first += len(block)


def main() -> None:
    """See the module's docstring."""
    driver = Driver(json.loads(sys.argv[1]))
    answer_lines({"processes": driver.processes()}, driver.answer)
    driver.close()


if __name__ == "__main__":
    main()
