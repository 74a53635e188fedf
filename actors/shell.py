"""What every actor's shell has: a post office, a method that takes batches, and one that ends with the process."""

import asyncio
import gc
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import structlog

from .journal.api import Journal
from .mailbox.post import Post
from .mailbox.ray_peer import ray_resolver

if TYPE_CHECKING:
    from .journal.client import JournalClient

log = structlog.get_logger(__name__)


def calm_collector() -> None:
    """Has the cyclic collector pass over what imports made, and look less often.

    What a call leaves behind is freed by its references; searching it for cycles as often as Python does by default
    took a fifth of a mapper's time: 275 µs a call with the defaults, 212 µs so.
    """
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)


class OwnJournal:
    """A process's way to the Journal, opened when it is first asked for: most processes of most jobs never are.

    Args:
        namespace: the Ray namespace in which the Journal is an actor.
        make: gives another one, for tests and for work outside Ray.
    """

    def __init__(self, namespace: str, make: Callable[[], Journal] | None = None) -> None:
        self._namespace = namespace
        self._make = make
        self._opened: Journal | None = None
        self._client: JournalClient | None = None

    def __call__(self) -> Journal:
        """The Journal."""
        if self._opened is None:
            self._opened = self._make() if self._make is not None else self._by_ray()
        return self._opened

    def _by_ray(self) -> Journal:
        from .journal.client import ray_journal  # noqa: PLC0415 - only where it is needed

        self._client = ray_journal(self._namespace)
        return self._client

    async def close(self) -> None:
        """Ends what was opened here; what tests gave is theirs."""
        if self._client is not None:
            await self._client.close()


class ActorShell:
    """Base of the classes that are handed to Ray. Subclasses register handlers on `self.post` and hold no decisions.

    Args:
        name: the actor's name in the namespace; messages to it are sent there.
        namespace: the Ray namespace all actors of one cluster share.
    """

    def __init__(self, name: str, namespace: str, **_: Any) -> None:
        calm_collector()
        self.name = name
        self.namespace = namespace
        self.post = Post(name, ray_resolver(namespace), on_down=self.on_peer_down)

    async def deliver(self, batch: bytes) -> None:
        """Takes a batch of messages. Handlers that have to wait do so beside."""
        self.post.receive(batch)

    async def pid(self) -> int:
        """The process id: also the sign that the actor is up."""
        return os.getpid()

    async def watch(self) -> None:
        """Never returns: a caller's reference fails at once when this process dies, which costs no polling."""
        await asyncio.get_running_loop().create_future()

    def on_peer_down(self, name: str) -> None:
        """A message to `name` could not be delivered."""

    async def stop(self) -> None:
        """Closes what is open, in order; the process is ended by whoever called."""
        await self.post.close()
