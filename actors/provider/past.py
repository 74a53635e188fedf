"""A Provider's way to the Journal, beside its grants: none waits for what is written here."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Final

from ...protocols.config import Limits
from ...protocols.errors import JournalError, JournalPaused
from ...protocols.journal import Append, ValueRow
from ..journal.api import Journal
from ..mailbox.ray_peer import in_ray_thread
from ..shell import OwnJournal, log
from .recent import age_s, encode, span_s, value_name

_JOURNAL: Final = "journal"
_PAUSE_S: Final = 0.5


class Past:
    """Reads what an earlier cluster's Provider of this name has granted, and writes what this one does.

    Attributes:
        limits: of the account, as they are now.
        looked: True in a cluster, once the actor was asked whether it is up; outside one nothing is read or written.

    Args:
        provider: the actor's name.
        namespace: the Ray namespace.
        limits: of the account.
        journal: gives the Journal, or None where there is none; by default the cluster's.
    """

    def __init__(
        self,
        provider: str,
        namespace: str,
        limits: Limits,
        journal: Callable[[], Awaitable[Journal | None]] | None = None,
    ) -> None:
        self.limits = limits
        self.looked = False
        self._name = value_name(provider)
        self._namespace = namespace
        self._own = OwnJournal(namespace)
        self._find = journal or self._cluster_journal
        self._covered = 0.0
        self._writing = False
        self._read = asyncio.Event()
        self._read.set()

    async def _cluster_journal(self) -> Journal | None:
        """The cluster's Journal, where it has one: its client would look for it for ever."""
        import ray  # noqa: PLC0415 - only where an actor of ours runs

        try:
            await in_ray_thread(ray.get_actor, _JOURNAL, self._namespace)
        except ValueError:
            return None
        return self._own()

    async def age_s(self, guard_s: float) -> float | None:
        """How long ago an earlier Provider may have granted, at least; None where that counts no more, or is not known.

        It waits while the Journal can't be read; see `understudy.actors.provider.recent.age_s`.
        """
        self._read.clear()
        try:
            value = await self._value()
        except JournalError as error:
            log.warning("past_not_read", value=self._name, cause=str(error))
            value = b""
        finally:
            self._read.set()
        return age_s(value, self.limits, wall=time.time(), guard_s=guard_s) if value else None

    async def _value(self) -> bytes:
        journal = await self._find()
        while journal is not None:
            try:
                return (await journal.values(self._name)).get(self._name, b"")
            except JournalPaused:
                await asyncio.sleep(_PAUSE_S)
        return b""

    def due(self, now: float) -> bool:
        """True where a grant now has to be written, which then counts as written for as long as a value speaks."""
        if not self.looked or self._writing or now < self._covered:
            return False
        self._covered = now + span_s(self.limits)
        return True

    async def write(self) -> None:
        """A permit was granted now."""
        self._writing = True
        value = encode(self.limits, wall=time.time())
        await self._read.wait()  # what is written takes the place of what an earlier cluster wrote
        try:
            journal = await self._find()
            if journal is not None:
                await journal.append(Append(values=(ValueRow(self._name, value),)))
        except JournalError as error:  # nobody waits for it: another cluster will begin with a full quota
            log.warning("past_not_written", value=self._name, cause=str(error))
        finally:
            self._writing = False

    async def close(self) -> None:
        """Ends the Journal's client, where there is one."""
        await self._own.close()
