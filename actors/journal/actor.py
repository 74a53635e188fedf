"""The Journal actor: the shell that commits what all others append, and reads it back for them."""

import asyncio
import os

import msgspec

from ...protocols.errors import JournalPaused, UnderstudyError
from ...protocols.journal import JournalStats
from ...protocols.messages import Down
from ..shell import ActorShell, log
from .asking import Answered, Appended, encode, unpack_ask, unpack_batch
from .committing import GroupCommit
from .store import Store, open_store


class JournalActor(ActorShell):
    """One a cluster. It holds nothing that is not on disk, besides the appends that wait for the next commit.

    A store that can't be opened is tried again with each call: the actor lives, and says why.

    Args:
        name: see `ActorShell`.
        namespace: see `ActorShell`.
        url: see `understudy.actors.journal.url`; references are resolved here.
        fresh: False where it takes the place of one that died.
    """

    def __init__(self, name: str, namespace: str, url: str = "", *, fresh: bool = True) -> None:
        super().__init__(name, namespace)
        self._url = url
        self._fresh = fresh
        self._store: Store | None = None
        self._commits: GroupCommit | None = None
        self._opening = asyncio.Lock()
        self._paused = ""
        self.post.on(Down, lambda _, __: None)  # said to all; here it changes nothing

    async def append(self, data: bytes) -> bytes:
        """Takes `list[Append]`, answers `Appended` when they are on disk or can't be written."""
        batch = unpack_batch(data)
        try:
            await self._opened()
            assert self._commits is not None
            answer = await self._commits.append(batch, len(data))
        except JournalPaused as error:
            answer = Appended(str(error))
        except UnderstudyError as error:
            answer = Appended("", {place: str(error) for place in range(len(batch))})
        self._note(answer.paused)
        return encode(answer)

    async def ask(self, data: bytes) -> bytes:
        """Takes an `Ask`, answers `Answered`."""
        try:
            method, arguments, named = unpack_ask(data)
            store = await self._opened()
            return encode(Answered(encode(await getattr(store, method)(*arguments, **named))))
        except JournalPaused as error:
            return encode(Answered(paused=str(error)))
        except UnderstudyError as error:
            return encode(Answered(error=str(error)))
        except (KeyError, msgspec.DecodeError) as error:
            return encode(Answered(error=f"the journal does not understand what it was asked: {error}"))

    async def stats(self) -> bytes:
        """A `JournalStats`."""
        store = self._store
        if store is None:
            return encode(JournalStats("", 0, 0, 0, self._paused))
        return encode(JournalStats(store.database.label, store.rows, store.commits, store.bytes, self._paused))

    async def stop(self) -> None:
        """Commits what waits, and closes the store."""
        if self._commits is not None:
            await self._commits.drain()
        if self._store is not None:
            await self._store.close()
        await super().stop()

    async def _opened(self) -> Store:
        async with self._opening:
            if self._store is None:
                self._store = await open_store(self._url, os.environ, known=not self._fresh)
                self._commits = GroupCommit(self._store)
                log.info("journal_opened", store=self._store.database.label)
            return self._store

    def _note(self, paused: str) -> None:
        """Says so once when it begins and once when it is over."""
        if bool(paused) != bool(self._paused):
            log.warning("journal_paused" if paused else "journal_goes_on", reason=paused)
        self._paused = paused
