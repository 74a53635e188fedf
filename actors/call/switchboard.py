"""An actor's channels: one for each account and share, made when needed, fed with what their Providers say."""

import os
import random
from collections.abc import Callable, Hashable, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple

from ...protocols.call import CallOptions
from ...protocols.config import Account, Config
from ...protocols.envelope import Envelope
from ...protocols.errors import ConfigError
from ...protocols.jobs import JobSpec
from ...protocols.messages import Down, LeaseAsk, LeaseGrant, Revoke
from ...protocols.references import resolve
from ...protocols.wire.formats import codec
from ..channel.channel import Channel, HttpChannel
from ..channel.lease import Lease
from ..journal.api import Journal
from ..mailbox.post import Post
from ..prices import PriceBook
from ..provider.naming import provider_name
from .caller import Caller
from .kit import Kit
from .saving import Saving

if TYPE_CHECKING:
    from ..channel.transport import AiohttpTransport


class Share(NamedTuple):
    """Whose calls a channel carries; `id` names it to the Provider, empty for nobody in particular."""

    id: str = ""
    tenant: str = ""
    tenant_weight: float = 1.0
    weight: float = 1.0
    interactive: bool = False


def share_of(spec: JobSpec, config: Config) -> Share:
    """The share that a job is paid from."""
    tenant = config.tenants.get(spec.tenant)
    name = f"{spec.tenant}/{spec.id}" + ("!" if spec.interactive else "")
    return Share(name, spec.tenant, tenant.weight if tenant else 1.0, spec.weight, spec.interactive)


class Switchboard:
    """Gives an actor its `Caller` for a job; connections to one account are shared by all its jobs, leases are not.

    Args:
        post: the actor's post office; grants and revocations are heard there.
        environ: where secrets are looked up, when a connection is opened and not before.
        journal: gives the Journal, where there may be one: what hedges were earned by its jobs outlives the process.
    """

    def __init__(
        self,
        post: Post,
        *,
        environ: Mapping[str, str] | None = None,
        journal: Callable[[], Journal] | None = None,
    ) -> None:
        self._post = post
        self._environ = os.environ if environ is None else environ
        self._kits: dict[bytes, Kit] = {}
        self._transports: dict[Hashable, AiohttpTransport] = {}
        #: By Provider and share.
        self._channels: dict[tuple[str, str], HttpChannel] = {}
        self._embedded: dict[str, Channel] = {}
        self._saving = Saving(post.name, journal) if journal is not None else None
        post.on(LeaseGrant, self._granted)
        post.on(Revoke, self._revoked)
        post.on(Down, self._down)

    # Callers ----------------------------------------------------------------------------------------------------------

    def caller(self, spec: JobSpec) -> Caller:
        """The caller for a job. Raises `ConfigError` when a reference in its configuration leads nowhere."""
        kit = self._kit(spec.config)
        if self._saving is not None and spec.journal != "off":
            self._saving.watch(spec.config, kit)
        share = share_of(spec, kit.config)
        channels = {name: self._channel(name, account, share) for name, account in kit.config.accounts.items()}
        options = CallOptions(tenant=spec.tenant, job=spec.id, weight=spec.weight, interactive=spec.interactive)
        return Caller(kit, channels.__getitem__, defaults=options)

    async def end(self, spec: JobSpec) -> None:
        """The job is over: its permits go back."""
        share = share_of(spec, self._kit(spec.config).config)
        # All at once: while one is closed the job may be begun anew, with channels of its own.
        mine = [self._channels.pop(key) for key in list(self._channels) if key[1] == share.id]
        for channel in mine:
            await channel.close()

    def _kit(self, config: bytes) -> Kit:
        known = self._kits.get(config)
        if known is None:
            parsed = Config.model_validate_json(config)
            prices = PriceBook(parsed, at=datetime.now(tz=UTC), environ=self._environ)
            rng = random.Random(os.urandom(8))  # noqa: S311 - jitter, not secrets
            known = self._kits[config] = Kit(parsed, prices, rng=rng)
        return known

    # Channels ---------------------------------------------------------------------------------------------------------

    def _channel(self, name: str, account: Account, share: Share) -> Channel:
        if account.kind == "embedded":
            return self._own(name)
        provider = provider_name(name, account)
        known = self._channels.get((provider, share.id))
        if known is None:
            known = self._channels[provider, share.id] = self._open(name, provider, account, share)
        return known

    def _own(self, name: str) -> Channel:
        known = self._embedded.get(name)
        if known is None:
            from ..channel.embedded import EmbeddedChannel  # noqa: PLC0415 - as below
            from ..embedded import answer  # noqa: PLC0415 - grammars and vocabularies: 0.3 s, only where they are used

            known = self._embedded[name] = EmbeddedChannel(name, answer)
        return known

    def _open(self, name: str, provider: str, account: Account, share: Share) -> HttpChannel:
        def say(ask: LeaseAsk) -> None:
            self._post.tell(provider, ask, weight=64 + 32 * (len(ask.spent) + len(ask.sizes)))

        lease = Lease(
            share=share.id,
            tenant=share.tenant,
            tenant_weight=share.tenant_weight,
            weight=share.weight,
            interactive=share.interactive,
        )
        return HttpChannel(
            name,
            codec(account),
            self._transport(provider, account),
            say,
            lease=lease,
            private=account.is_private,
            gap_s=account.timeouts.gap_s,
        )

    def _transport(self, provider: str, account: Account) -> "AiohttpTransport":
        # A Provider is one for all configurations of the account; what its requests are sent with is not.
        key = (provider, account.timeouts, account.api_version, tuple(account.headers.items()))
        known = self._transports.get(key)
        if known is None:
            # aiohttp costs 0.2 s to import: a mapper that only extracts never pays it.
            from ..channel.transport import AiohttpTransport  # noqa: PLC0415

            headers = endpoint_headers(account, self._environ)
            url = resolve(account.base_url, self._environ)
            known = self._transports[key] = AiohttpTransport(url, headers, account.timeouts)
        return known

    # Hearing ----------------------------------------------------------------------------------------------------------

    def _granted(self, envelope: Envelope, grant: LeaseGrant) -> None:
        channel = self._channels.get((envelope.sender, grant.share))
        if channel is not None:
            channel.granted(grant)

    def _revoked(self, envelope: Envelope, revoke: Revoke) -> None:
        for (provider, _), channel in list(self._channels.items()):
            if provider == envelope.sender:
                channel.revoked(revoke)

    def _down(self, _: Envelope, down: Down) -> None:
        self.provider_down(down.name)

    def provider_down(self, name: str) -> None:
        """A Provider died; its channels ask the successor."""
        for (provider, _), channel in list(self._channels.items()):
            if provider == name:
                channel.provider_down()

    async def close(self) -> None:
        """Gives every permit back, then closes every socket."""
        if self._saving is not None:
            await self._saving.close()
        for channel in (*self._channels.values(), *self._embedded.values()):
            await channel.close()
        for transport in self._transports.values():
            await transport.close()


def endpoint_headers(account: Account, environ: Mapping[str, str]) -> dict[str, str]:
    """The headers of each request, with the secrets resolved. Raises `ConfigError` for a missing variable."""
    if account.kind == "embedded":
        raise ConfigError("the embedded account has no endpoint")
    headers = {key: resolve(value, environ) for key, value in account.headers.items()}
    key = resolve(account.api_key, environ) if account.api_key is not None else None
    headers.update(codec(account).headers(key))
    if account.organization is not None:
        headers["OpenAI-Organization"] = resolve(account.organization, environ)
    return headers
