"""The Provider actor: the shell around `ProviderCore`."""

import asyncio
import time
from collections.abc import Iterable

from ...protocols.config import Account
from ...protocols.envelope import Envelope
from ...protocols.errors import MailboxFull
from ...protocols.messages import Configure, Done, Down, LeaseAsk, Payload, ProviderAsk
from ..shell import ActorShell
from .core import ProviderCore, Say


class Provider(ActorShell):
    """Holds one account's quotas and breaker, and leases permits to whoever asks.

    Args:
        name: the actor's name, `provider-…`.
        namespace: the Ray namespace.
        account: the account's name in the configuration.
        settings: the account as JSON; references in it are never resolved here.
        fresh: False when this actor takes the place of one that died.
    """

    def __init__(self, name: str, namespace: str, *, account: str, settings: bytes, fresh: bool) -> None:
        super().__init__(name, namespace)
        parsed = Account.model_validate_json(settings)
        now = time.monotonic()
        # Wall-clock nanoseconds: greater than those of any predecessor, also of one on another machine.
        self._core = ProviderCore(account, parsed, epoch=time.time_ns(), now=now, fresh=fresh)
        self._timer: asyncio.TimerHandle | None = None
        self.post.on(LeaseAsk, self._ask)
        self.post.on(Down, self._down)
        self.post.on(Configure, self._configure)
        self.post.on(ProviderAsk, self._snapshot)

    def _ask(self, envelope: Envelope, ask: LeaseAsk) -> None:
        self._say(self._core.ask(envelope.sender, ask, cause=envelope.id, now=time.monotonic()))

    def _down(self, _: Envelope, down: Down) -> Payload:
        self._say(self._core.holder_down(down.name, now=time.monotonic()))
        return Done()

    def _configure(self, _: Envelope, new: Configure) -> Payload:
        account = Account.model_validate_json(new.account)
        self._say(self._core.configure(account, now=time.monotonic()))
        return Done()

    def _snapshot(self, _: Envelope, __: ProviderAsk) -> Payload:
        return self._core.snapshot(now=time.monotonic())

    def _wake(self) -> None:
        self._timer = None
        self._say(self._core.serve(now=time.monotonic()))

    def _say(self, said: Iterable[Say]) -> None:
        for say in said:
            try:
                self.post.tell(say.to, say.payload, cause=say.cause, weight=64)
            except MailboxFull:  # a holder that takes nothing is as good as dead: its permits end by themselves
                self.on_peer_down(say.to)
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
