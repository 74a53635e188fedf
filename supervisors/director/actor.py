"""The Director actor: the shell that starts children, watches them and answers drivers."""

import asyncio
import os
import signal
import time
from collections.abc import Iterable
from typing import Any, Final, TypeVar

import msgspec

from ...actors.mailbox.ray_peer import in_ray_thread
from ...actors.shell import ActorShell, log
from ...protocols.config import Config
from ...protocols.jobs import LIVE, EnsureAsk, EnsureReply, JobStatus, Status, TenantStatus
from ...protocols.messages import Configure, Down, Hello, ProviderAsk, ProviderSnapshot
from ..children import SUPERVISOR, ChildSpec, Spawner, check, core_children, provider_children
from ..proof import differing
from .core import Announce, Start, TreeOfActors

Told = TypeVar("Told")

LATER_S: Final = 0.7
"""Processes that start at once share two cores: started all together, the first mapped chunk came 0.5 s later."""


class Director(ActorShell):
    """Root of the supervision tree: named, detached, restarted by Ray; adopts children that outlived it.

    Args:
        name: the actor's name.
        namespace: the Ray namespace.
        spawner: starts actors.
        fingerprint: of the code that started this cluster.
        keeper: process id of the local cluster's keeper, 0 where the cluster is not ours to stop.
        idle_s: the local cluster stops itself after so long without work; 0 means never.
    """

    def __init__(
        self,
        name: str,
        namespace: str,
        *,
        spawner: Spawner,
        fingerprint: str,
        keeper: int = 0,
        idle_s: float = 0.0,
        mappers: int = 0,
    ) -> None:
        super().__init__(name, namespace)
        self._spawner = spawner
        self._fingerprint = fingerprint
        self._keeper = keeper
        self._idle_s = idle_s
        self._mappers = mappers
        self._tree = TreeOfActors()
        self._handles: dict[str, Any] = {}
        self._asked_at = time.monotonic()
        self._began = False

    # For drivers ------------------------------------------------------------------------------------------------------

    async def begin(self) -> str:
        """Starts or adopts the children every job needs; answers with the fingerprint of this cluster's code."""
        if not self._began:
            self._began = True
            if self._mappers:
                children = core_children(self._mappers)
                # The first two were started by the keeper; the others begin when those two have got to work.
                self._ensure(children[:2])
                self.post.spawn(self._ensure_later(children[2:]))
            if self._keeper and self._idle_s:
                self.post.spawn(self._stop_when_idle())
        return self._fingerprint

    async def ensure(self, data: bytes) -> bytes:
        """The actors for a configuration: an `EnsureAsk` is answered by an `EnsureReply`."""
        await self.begin()
        self._asked_at = time.monotonic()
        ask = msgspec.msgpack.decode(data, type=EnsureAsk)
        config = Config.model_validate_json(ask.config)
        stale = differing(ask.proofs, ask.nonce)
        providers = provider_children(config)
        specs = [*core_children(max(ask.mappers, 1)), *providers.values()]
        check(specs)
        if not stale:
            for effect in self._tree.reconfigure(specs):
                self.post.tell(effect.name, Configure(effect.account))
            self._ensure(specs)
        reply = EnsureReply(
            supervisor=SUPERVISOR,
            mappers=self._tree.names("mapper"),
            reducers=self._tree.names("reducer"),
            providers={account: spec.name for account, spec in providers.items()},
            stale=stale,
        )
        return msgspec.msgpack.encode(reply)

    async def status(self) -> bytes:
        """What is known, as a `Status`."""
        await self.begin()
        providers = [name for name in self._tree.names("provider") if name in self._tree.alive()]
        asks = [self.post.ask(name, ProviderAsk(), timeout=2.0) for name in providers]
        accounts = await asyncio.gather(*asks, return_exceptions=True)
        jobs = await self._jobs()
        tenants = await self._of_supervisor("spending", list[TenantStatus]) or ()
        now = time.monotonic()
        idle = 0.0 if any(job.state in LIVE for job in jobs) else now - self._asked_at
        status = Status(
            children=self._tree.status(now=now),
            accounts=tuple(one for one in accounts if isinstance(one, ProviderSnapshot)),
            jobs=jobs,
            tenants=tuple(tenants),
            idle_s=idle,
            stops_after_s=self._idle_s if self._keeper else 0.0,
        )
        return msgspec.msgpack.encode(status)

    async def _jobs(self) -> tuple[JobStatus, ...]:
        return tuple(await self._of_supervisor("jobs", list[JobStatus]) or ())

    async def _of_supervisor(self, method: str, kind: type[Told]) -> Told | None:
        """What the Supervisor says; None where there is none."""
        handle = self._handles.get(SUPERVISOR)
        if handle is None or SUPERVISOR not in self._tree.alive():
            return None
        try:
            data = await getattr(handle, method).remote()
        except Exception as error:  # noqa: BLE001 - it died just now: its jobs are shown when it is back
            log.info("not_told", what=method, cause=str(error).split("\n", 1)[0])
            return None
        return msgspec.msgpack.decode(data, type=kind)

    async def shutdown(self) -> None:
        """Ends all children, the last started first."""
        for name in reversed(list(self._handles)):
            await in_ray_thread(self._spawner.kill, self._handles.pop(name))

    # Children ---------------------------------------------------------------------------------------------------------

    def _ensure(self, specs: list[ChildSpec]) -> None:
        self._carry_out(self._tree.ensure(specs, now=time.monotonic()))

    async def _ensure_later(self, specs: list[ChildSpec]) -> None:
        await asyncio.sleep(LATER_S)
        self._ensure(specs)

    def _carry_out(self, effects: Iterable[Announce | Start]) -> None:
        for effect in effects:
            if isinstance(effect, Announce):
                self._announce(effect)
            else:
                self.post.spawn(self._start(effect))

    async def _start(self, effect: Start) -> None:
        spec = effect.spec
        if effect.delay_s:
            await asyncio.sleep(effect.delay_s)
        try:
            handle = await in_ray_thread(self._spawner.start, spec)
            pid = await handle.pid.remote()
        except Exception as error:  # noqa: BLE001 - whatever kept it from starting: the restart limit decides
            log.warning("not_started", name=spec.name, cause=str(error).split("\n", 1)[0])
            self._died(spec.name)
            return
        self._handles[spec.name] = handle
        restarts = self._tree.up(spec.name, pid, now=time.monotonic())
        if restarts:
            self.post.renew(spec.name)
        if spec.name != SUPERVISOR:
            self.post.tell(SUPERVISOR, Hello(spec.name, spec.role, pid, restarts))
        await self._watch(spec.name, handle)

    async def _watch(self, name: str, handle: Any) -> None:
        try:
            await handle.watch.remote()
        except Exception as error:  # noqa: BLE001 - any end of the call means that the process is gone
            log.info("child_died", name=name, cause=str(error).split("\n", 1)[0])
        self._died(name)

    def _died(self, name: str) -> None:
        self._handles.pop(name, None)
        self._carry_out(self._tree.died(name, now=time.monotonic()))

    def _announce(self, effect: Announce) -> None:
        self.post.renew(effect.name)
        for name in self._tree.alive():
            self.post.tell(name, Down(effect.name, effect.restarting))

    # Idleness ---------------------------------------------------------------------------------------------------------

    async def _stop_when_idle(self) -> None:
        """Ends the local cluster when nobody has needed it for `idle_s`: its keeper is told, which stops Ray."""
        while True:
            left = self._asked_at + self._idle_s - time.monotonic()
            if left > 0:
                await asyncio.sleep(left)
                continue
            if any(job.state in LIVE for job in await self._jobs()):
                self._asked_at = time.monotonic()
                continue
            log.info("idle", after_s=self._idle_s)
            os.kill(self._keeper, signal.SIGTERM)
            return
