"""Sends logical calls through the actors of a cluster, each at its time, and gathers what came of them."""

import bisect
import contextlib
import os
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

import msgspec

from ...actors.mapper.blocks import pack_block
from ...actors.requests import Batch, read_all
from ...protocols.config import Config, encode
from ...protocols.errors import UnderstudyError
from ...protocols.jobs import LIVE, EnsureReply, JobSpec, Page
from ...supervisors.children import provider_children
from ..session import Session
from ..spawn import RaySpawner

INTERPRETER: Final = "understudy.actors.requests:Requests"
BLOCK_BYTES: Final = 200_000
_TICK_S: Final = 0.05
"""Calls are handed in so often: a block is a message or two, whatever it holds."""


@contextlib.contextmanager
def own_providers(config: Config) -> Iterator[None]:
    """Provider actors for `config` that belong to nobody else: they know nothing at first, and end with the context.

    The Director doesn't know them, so it restarts none.
    """
    spawner = RaySpawner()
    handles = [spawner.start(spec) for spec in provider_children(config).values()]
    try:
        for handle in handles:
            Session.get(handle.pid.remote(), timeout=60.0)
        yield
    finally:
        for handle in handles:
            spawner.kill(handle)


class Sending:
    """One job of calls.

    Args:
        session: attached.
        actors: who works.
        config: as the calls are to see it.
        width: items in flight at once, of each Mapper.
        title: for people.
    """

    def __init__(
        self, session: Session, actors: EnsureReply, config: Config, *, width: int, title: str, tenant: str = ""
    ) -> None:
        self._session = session
        self._actors = actors
        self._supervisor: Any = session.actor(actors.supervisor)
        self.spec = JobSpec(
            id=f"drill-{os.urandom(4).hex()}",
            title=title,
            interpreter=INTERPRETER,
            spec=b"",
            config=encode(config),
            width=width,
            tenant=tenant,
        )
        #: What came of each item's calls so far, by the item's number, and why it has none.
        self.results: dict[int, Batch] = {}
        self.errors: dict[int, str] = {}
        self._items: Sequence[bytes] = ()
        self._sent = 0
        self._sealed = False
        self._cursor = 0

    def run(
        self,
        items: Sequence[bytes],
        *,
        at: Sequence[float] = (),
        patience_s: float = 600.0,
        seen: Callable[[float, int], bool] | None = None,
    ) -> None:
        """Hands in `items` (see `understudy.actors.requests`) and waits for all of them.

        Args:
            items: as bytes.
            at: when each is handed in, rising seconds after the beginning; all at once where it is left out.
            patience_s: after so long the job is cancelled, and what is not there stays out of `results`.
            seen: called many times a second with the seconds gone and the items done; the job is cancelled when it
                says so by returning True.

        Raises:
            UnderstudyError: the job can't go on; the text says why.
        """
        began = time.monotonic()
        self._items = items
        self._call("open", msgspec.msgpack.encode(self.spec), self._actors.reducers[0], self._mappers, [], 0)
        pending: Any = None
        while True:
            gone = time.monotonic() - began
            stop = seen is not None and seen(gone, len(self.results) + len(self.errors))
            if stop or gone > patience_s:
                self._call("cancel", self.spec.id)
            self._hand_in(bisect.bisect_right(at, gone) if at else len(items))
            if pending is None:
                pending = self._supervisor.follow.remote(self.spec.id, self._cursor)
            page = self._page(pending)
            if page is None:
                continue
            pending = None
            if page.state not in LIVE:
                if page.error:
                    raise UnderstudyError(page.error)
                return

    @property
    def _mappers(self) -> list[str]:
        return list(self._actors.mappers)

    def _call(self, method: str, *arguments: Any) -> Any:
        return self._session.get(getattr(self._supervisor, method).remote(*arguments))

    def _hand_in(self, due: int) -> None:
        while self._sent < due:
            first, size = self._sent, 0
            block: list[bytes] = []
            for item in self._items[first:due]:
                if block and size + len(item) > BLOCK_BYTES:
                    break
                block.append(item)
                size += len(item)
            self._call("add_block", self.spec.id, len(block), pack_block(first, block))
            self._sent += len(block)
        if not self._sealed and self._sent == len(self._items):
            self._call("seal", self.spec.id)
            self._sealed = True

    def _page(self, pending: Any) -> Page | None:
        import ray  # noqa: PLC0415 - 0.3 s, and only when an actor is needed

        ready, _ = ray.wait([pending], timeout=_TICK_S)
        if not ready:
            return None
        page = msgspec.msgpack.decode(self._session.get(pending), type=Page)
        self._cursor = page.cursor
        for done in page.items:
            batch = read_all(done)
            if batch.results:
                self.results[done.item] = batch
            else:
                self.errors[done.item] = done.error or "no answer"
        return page


def evenly(count: int, seconds: float) -> list[float]:
    """The times at which `count` calls begin, spread evenly over so long."""
    return [number * seconds / count for number in range(count)]
