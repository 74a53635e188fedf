"""Peers that are Ray actors, found by name."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, TypeVar

from ...protocols.errors import ActorDied
from .post import Peer, Resolve

T = TypeVar("T")

_THREAD: Final = ThreadPoolExecutor(1, thread_name_prefix="ray-control")
"""One thread a process for blocking calls into Ray: several at once have been seen to wait for each other for ever
while an actor was starting (Ray 2.60)."""


async def in_ray_thread(function: Callable[..., T], *arguments: Any) -> T:
    """Runs a blocking call into Ray beside the event loop."""
    return await asyncio.get_running_loop().run_in_executor(_THREAD, function, *arguments)


class RayPeer:
    """A named Ray actor with a method `deliver(batch: bytes)`."""

    __slots__ = ("handle",)

    def __init__(self, handle: Any) -> None:
        self.handle = handle

    async def deliver(self, batch: bytes) -> None:
        """Hands the batch over; returns when the actor has taken it."""
        await self.handle.deliver.remote(batch)


def ray_resolver(namespace: str) -> Resolve:
    """A resolver of actor names in one Ray namespace."""

    async def resolve(name: str) -> Peer:
        import ray  # noqa: PLC0415 - only here, so that unit tests and the command line never load Ray

        try:
            # A blocking round trip to Ray's control store (about 1 ms): in a thread, so that the loop goes on.
            handle = await in_ray_thread(ray.get_actor, name, namespace)
        except ValueError as error:
            raise ActorDied(f"there is no actor {name} in {namespace}") from error
        return RayPeer(handle)

    return resolve
