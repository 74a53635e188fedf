"""The Provider actor: the shell around `ProviderCore`."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable
from typing import Final

from ...protocols.config import Account
from ...protocols.envelope import Envelope
from ...protocols.errors import MailboxFull
from ...protocols.messages import Configure, Done, Down, LeaseAsk, LeaseGrant, Payload, ProviderAsk
from ..journal.api import Journal
from ..shell import ActorShell
from .core import ProviderCore, Say
from .past import Past

LOOK_BACK_S: Final = 1.0
"""The first grant waits so long, at most, for what the Journal knows of an earlier cluster's grants."""


class Provider(ActorShell):
    """Holds one account's quotas and breaker, and leases permits to whoever asks.

    Args:
        name: the actor's name, `provider-…`.
        namespace: the Ray namespace.
        account: the account's name in the configuration.
        settings: the account as JSON; references in it are never resolved here.
        fresh: False when this actor takes the place of one that died.
        journal: gives the Journal, for tests; by default the one of the cluster, where there is one.
    """

    def __init__(
        self,
        name: str,
        namespace: str,
        *,
        account: str,
        settings: bytes,
        fresh: bool,
        journal: Callable[[], Awaitable[Journal | None]] | None = None,
    ) -> None:
        super().__init__(name, namespace)
        parsed = Account.model_validate_json(settings)
        now = time.monotonic()
        # Wall-clock nanoseconds: greater than those of any predecessor, also of one on another machine.
        self._core = ProviderCore(account, parsed, epoch=time.time_ns(), now=now, fresh=fresh)
        self._fresh = fresh
        self._past = Past(name, namespace, parsed.limits, journal)
        #: Asks that wait for what is found of the past; None while none has to.
        self._early: list[tuple[Envelope, LeaseAsk]] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self.post.on(LeaseAsk, self._ask)
        self.post.on(Down, self._down)
        self.post.on(Configure, self._configure)
        self.post.on(ProviderAsk, self._snapshot)

    async def pid(self) -> int:
        """The process id; who asks for it has started this actor in a cluster, which may have had an earlier life."""
        if not self._past.looked:
            self._past.looked = True
            if self._fresh:
                self._early = []
                self.post.spawn(self._look_back())
        return await super().pid()

    async def _look_back(self) -> None:
        """Grants nothing before it is known what an earlier cluster granted; not for longer than a second.

        What is found later counts from then on.
        """
        looking = asyncio.get_running_loop().create_task(self._presume())
        try:
            await asyncio.wait([looking], timeout=LOOK_BACK_S)
        finally:
            early, self._early = self._early or [], None
        for envelope, ask in early:
            self._ask(envelope, ask)
        await looking

    async def _presume(self) -> None:
        age_s = await self._past.age_s(self._core.guard_s)
        if age_s is not None:
            self._core.presume_used(now=time.monotonic(), age_s=age_s)

    def _ask(self, envelope: Envelope, ask: LeaseAsk) -> None:
        if self._early is not None:
            self._early.append((envelope, ask))
            return
        self._say(self._core.ask(envelope.sender, ask, cause=envelope.id, now=time.monotonic()))

    def _down(self, _: Envelope, down: Down) -> Payload:
        self._say(self._core.holder_down(down.name, now=time.monotonic()))
        return Done()

    def _configure(self, _: Envelope, new: Configure) -> Payload:
        account = Account.model_validate_json(new.account)
        self._past.limits = account.limits
        self._say(self._core.configure(account, now=time.monotonic()))
        return Done()

    def _snapshot(self, _: Envelope, __: ProviderAsk) -> Payload:
        return self._core.snapshot(now=time.monotonic())

    def _wake(self) -> None:
        self._timer = None
        self._say(self._core.serve(now=time.monotonic()))

    def _say(self, said: Iterable[Say]) -> None:
        granted = False
        for say in said:
            granted |= isinstance(say.payload, LeaseGrant) and bool(say.payload.requests)
            try:
                self.post.tell(say.to, say.payload, cause=say.cause, weight=64)
            except MailboxFull:  # a holder that takes nothing is as good as dead: its permits end by themselves
                self.on_peer_down(say.to)
        if granted and self._past.due(time.monotonic()):
            self.post.spawn(self._past.write())
        self._arm()

    def _arm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        at = self._core.next_wake()
        if at is not None:
            self._timer = asyncio.get_running_loop().call_later(max(at - time.monotonic(), 0.001), self._wake)

    def on_peer_down(self, name: str) -> None:
        """A holder can't be reached: it is dead, also if nobody has said so yet."""
        self._say(self._core.holder_down(name, now=time.monotonic()))

    async def stop(self) -> None:
        """Ends what was opened."""
        await super().stop()
        await self._past.close()
