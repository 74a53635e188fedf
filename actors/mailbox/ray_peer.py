"""Peers that are Ray actors, found by name."""

import asyncio
from typing import Any

from ...protocols.errors import ActorDied
from .post import Peer, Resolve


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
            handle = await asyncio.to_thread(ray.get_actor, name, namespace)
        except ValueError as error:
            raise ActorDied(f"there is no actor {name} in {namespace}") from error
        return RayPeer(handle)

    return resolve
