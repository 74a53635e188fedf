"""Looks up what earlier digests have answered: in the store itself where it is on this machine, else at the Journal."""

import asyncio
import os
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Final

from ...actors.journal.api import Journal
from ...protocols.errors import UnderstudyError
from ...protocols.journal import Recalled
from ...protocols.references import names
from ...supervisors.digest.known import Recall
from .. import home
from ..jobs.access import read_from
from ..session import Session
from .options import Options

PATIENCE_S: Final = 20.0
"""For one look-up. Reading a folder anew is dearer than that, being kept waiting without end is not."""

_Work = Callable[[Journal], Awaitable[list[Recalled | None]]]


class Lookup:
    """A `Recall` that gives up for good, and says so once, when it can't read: then all is simply asked anew.

    Args:
        ask: has work done with a Journal.
        warn: told in one line why nothing is remembered.
    """

    def __init__(self, ask: Callable[[_Work], list[Recalled | None]], warn: Callable[[str], None]) -> None:
        self._ask = ask
        self._warn = warn
        self._gone = False

    def __call__(self, keys: Sequence[bytes]) -> Sequence[Recalled | None]:
        """See `Recall`."""
        if not self._gone:
            try:
                return self._ask(lambda journal: asyncio.wait_for(journal.recall(keys), PATIENCE_S))
            except (UnderstudyError, TimeoutError) as error:
                self._gone = True
                why = str(error) or f"no answer within {PATIENCE_S:g} s"
                self._warn(f"earlier answers can't be read, all is asked anew: {why}")
        return [None] * len(keys)


def lookup(
    options: Options, attached: Callable[[], Session] | None, warn: Callable[[str], None], *, hurried: bool
) -> Recall | None:
    """Who looks up earlier answers; None where there is nobody that could be asked now.

    Args:
        options: of the digest.
        attached: attaches to the cluster, waiting for it where it is only being started; None where nothing may start.
        warn: see `Lookup`.
        hurried: only what can be read at once will do: it costs nothing to do the work again.
    """
    if not os.environ.get("RAY_ADDRESS"):
        local = home.load()
        url = options.settings().journal or (local.journal if local else "")
        if all(name in os.environ for name in names(url)):
            return _in_place(url, warn, hurried=hurried)
    if attached is None or hurried:
        return None
    session = attached()
    return Lookup(lambda work: read_from(session, work), warn)


def _in_place(url: str, warn: Callable[[str], None], *, hurried: bool) -> Recall | None:
    """Reads the store itself, also while a cluster writes to it; None where nothing was written yet."""
    from ...actors.journal.store import open_store  # noqa: PLC0415 - the stores' libraries: only for who reads
    from ...actors.journal.url import located  # noqa: PLC0415 - as above

    place = located(url, os.environ)
    if not Path(place.target).exists() if place.kind == "sqlite" else hurried:
        return None

    async def read(work: _Work) -> list[Recalled | None]:
        store = await open_store(url, os.environ)
        try:
            return await work(store)
        finally:
            await store.close()

    return Lookup(lambda work: asyncio.run(read(work)), warn)
