"""Writes what hedgers have earned to the Journal, and reads it when their process begins anew."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

import structlog

from ...protocols.errors import JournalError, JournalPaused
from ...protocols.journal import Append
from ..journal.api import Journal
from .hedging import Hedger
from .kit import Kit
from .savings import Savings, prefix, value_name

log = structlog.get_logger(__name__)

EVERY_S: Final = 5.0
"""So much of what was earned may be lost with a process."""


async def this_cluster() -> str:
    """The id of the Ray cluster that this process is of."""
    from ..journal.owner import cluster_id  # noqa: PLC0415 - needs Ray
    from ..mailbox.ray_peer import in_ray_thread  # noqa: PLC0415 - as above

    return await in_ray_thread(cluster_id)


class Saving:
    """The hedgers of one actor, saved while it lives. Nothing waits for it.

    Args:
        actor: its name; a successor has the same.
        journal: gives the Journal; asked for when there is something to save.
        cluster: tells the cluster's id.
    """

    def __init__(
        self, actor: str, journal: Callable[[], Journal], *, cluster: Callable[[], Awaitable[str]] = this_cluster
    ) -> None:
        self._actor = actor
        self._journal = journal
        self._cluster = cluster
        self._kits: dict[bytes, Kit] = {}
        self._task: asyncio.Task[None] | None = None

    def watch(self, config: bytes, kit: Kit) -> None:
        """This configuration's hedgers are saved from now on, where it has any."""
        if not any(route.hedge for route in kit.config.models.values()):
            return
        self._kits[config] = kit
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._run())

    async def _run(self) -> None:
        try:
            savings = await self._savings()
            while True:
                if rows := savings.settle(self._hedgers()):
                    await self._journal().append(Append(values=rows))
                await asyncio.sleep(EVERY_S)
        except JournalError as error:  # there is none to write to: credit is then lost with the process, as before
            log.warning("hedges_not_saved", actor=self._actor, cause=str(error))

    async def _savings(self) -> Savings:
        cluster = await self._cluster()
        while True:
            try:
                return Savings(cluster, await self._journal().values(prefix(self._actor)))
            except JournalPaused:
                await asyncio.sleep(EVERY_S)

    def _hedgers(self) -> dict[str, Hedger]:
        return {
            value_name(self._actor, config, route): hedger
            for config, kit in self._kits.items()
            for route, hedger in kit.hedgers.items()
        }

    async def close(self) -> None:
        """Nothing more is written."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait([task])
