"""Where commands read jobs: the Journal of the cluster that runs, or its store itself where none does.

A store on this machine is read directly even while a cluster writes to it: that takes no Ray and answers at once.
"""

import asyncio
import contextlib
import os
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from ...actors.journal.api import Journal
from ...protocols.references import names
from .. import home
from ..journal_url import checked
from ..session import Session
from ..spawn import NAMESPACE
from .tables import Whose

T = TypeVar("T")
Work = Callable[[Journal], Awaitable[T]]


class Reading:
    """A Journal that can be read.

    Args:
        url: of the store; None where the cluster's actor is asked.
        session: attached to the cluster, where it is asked.
        whose: tells which jobs' clusters are gone.
    """

    def __init__(self, url: str | None, session: Session | None, whose: Whose) -> None:
        self._url = url
        self._session = session
        self.whose = whose

    def run(self, work: Work[T]) -> T:
        """What `work` makes of the Journal. Raises `JournalPaused` where it can't be read for now."""
        if self._url is None:
            assert self._session is not None
            return read_from(self._session, work)
        return _done(_from_store(self._url, work))


def running() -> bool:
    """True where there is a cluster to attach to, so that none is started for a question."""
    return bool(os.environ.get("RAY_ADDRESS")) or home.load() is not None


@contextlib.contextmanager
def opened(url: str = "") -> Iterator[Reading]:
    """The Journal at `url`, or that of the cluster that runs, or this user's own.

    Raises:
        UsageError: the URL names no store.
        JournalError: it can't be used.
    """
    local = home.load()
    if not url and os.environ.get("RAY_ADDRESS"):
        with Session() as session:
            yield Reading(None, session, Whose(owner=current()))
        return
    where = checked(url) or (local.journal if local else "") or checked(os.environ.get("UNDERSTUDY_JOURNAL", ""))
    # A secret that only the cluster was given: its actor reads for us.
    if local is not None and any(name not in os.environ for name in names(where)):
        with Session() as session:
            yield Reading(None, session, Whose(owner=current()))
        return
    yield Reading(where, None, Whose(since=_since() if local else float("inf")))


def _since() -> float:
    """When the local cluster began: nothing of it was set before."""
    try:
        return (home.home() / "cluster.json").stat().st_mtime
    except OSError:  # it has ended just now
        return float("inf")


def current() -> str:
    """The id of the cluster this process is attached to."""
    from ...actors.journal.owner import cluster_id  # noqa: PLC0415 - Ray: 0.3 s, and only when it is needed

    return cluster_id()


def read_from(session: Session, work: Work[T]) -> T:
    """What `work` makes of the Journal of the cluster that `session` is attached to."""
    assert session.address
    return _done(_from_actor(work))


def _done(work: Coroutine[Any, Any, T]) -> T:
    """What comes of it; in a thread of its own where this one has a loop already, as in a notebook."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(work)
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, work).result()


async def _from_actor(work: Work[T]) -> T:
    from ...actors.journal.client import ray_journal  # noqa: PLC0415 - as above

    journal = ray_journal(NAMESPACE)
    try:
        return await work(journal)
    finally:
        await journal.close()


async def _from_store(url: str, work: Work[T]) -> T:
    from ...actors.journal.store import open_store  # noqa: PLC0415 - SQLite, asyncpg: only for who reads

    store = await open_store(url, os.environ)
    try:
        return await work(store)
    finally:
        await store.close()
