"""An actor's channels: one for each account, made when needed, fed with what their Providers say."""

import os
import random
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from ...protocols.config import Account, Config
from ...protocols.envelope import Envelope
from ...protocols.messages import Down, LeaseAsk, LeaseGrant, Revoke
from ...protocols.references import resolve
from ...protocols.wire.openai import PATH
from ..channel.channel import Channel, EmbeddedChannel, HttpChannel
from ..mailbox.post import Post
from ..prices import PriceBook
from ..provider.naming import provider_name
from ..router.core import Router
from .caller import Caller


class Switchboard:
    """Gives an actor its `Caller` for a configuration; channels to one account are shared by all its jobs.

    Args:
        post: the actor's post office; grants and revocations are heard there.
        environ: where secrets are looked up, when a channel is opened and not before.
    """

    def __init__(self, post: Post, *, environ: Mapping[str, str] | None = None) -> None:
        self._post = post
        self._environ = os.environ if environ is None else environ
        self._callers: dict[bytes, Caller] = {}
        self._channels: dict[str, Channel] = {}
        post.on(LeaseGrant, self._granted)
        post.on(Revoke, self._revoked)
        post.on(Down, self._down)

    def caller(self, config: bytes) -> Caller:
        """The caller for a configuration given as JSON. Raises `ConfigError` when a reference leads nowhere."""
        known = self._callers.get(config)
        if known is None:
            parsed = Config.model_validate_json(config)
            channels = {name: self._channel(name, account) for name, account in parsed.accounts.items()}
            prices = PriceBook(parsed, at=datetime.now(tz=UTC), environ=self._environ)
            rng = random.Random(os.urandom(8))  # noqa: S311 - jitter, not secrets
            known = Caller(
                Router({name: route.candidates for name, route in parsed.models.items()}),
                channels,
                prices,
                parsed.attempts,
                rng=rng,
            )
            self._callers[config] = known
        return known

    def _channel(self, name: str, account: Account) -> Channel:
        provider = provider_name(name, account)
        known = self._channels.get(provider)
        if known is None:
            known = self._channels[provider] = self._open(name, provider, account)
        return known

    def _open(self, name: str, provider: str, account: Account) -> Channel:
        if account.kind == "embedded":
            from ..embedded import answer  # noqa: PLC0415 - grammars and vocabularies: 0.3 s, only where they are used

            return EmbeddedChannel(name, answer)
        # aiohttp costs 0.2 s to import: a mapper that only extracts never pays it.
        from ..channel.transport import AiohttpTransport  # noqa: PLC0415

        def say(ask: LeaseAsk) -> None:
            self._post.tell(provider, ask, weight=64 + 32 * (len(ask.spent) + len(ask.sizes)))

        url, headers = _endpoint(account, self._environ)
        return HttpChannel(name, AiohttpTransport(url, headers, account.timeouts), say)

    def _granted(self, envelope: Envelope, grant: LeaseGrant) -> None:
        channel = self._channels.get(envelope.sender)
        if isinstance(channel, HttpChannel):
            channel.granted(grant)

    def _revoked(self, envelope: Envelope, revoke: Revoke) -> None:
        channel = self._channels.get(envelope.sender)
        if isinstance(channel, HttpChannel):
            channel.revoked(revoke)

    def _down(self, _: Envelope, down: Down) -> None:
        self.provider_down(down.name)

    def provider_down(self, name: str) -> None:
        """A Provider died; its channel asks the successor."""
        channel = self._channels.get(name)
        if isinstance(channel, HttpChannel):
            channel.provider_down()

    async def close(self) -> None:
        """Closes every socket."""
        for channel in self._channels.values():
            await channel.close()


def _endpoint(account: Account, environ: Mapping[str, str]) -> tuple[str, dict[str, str]]:
    """Where to post, and the headers with the secrets resolved. Raises `ConfigError` for a missing variable."""
    headers: dict[str, Any] = {key: resolve(value, environ) for key, value in account.headers.items()}
    if account.api_key is not None:
        headers["Authorization"] = f"Bearer {resolve(account.api_key, environ)}"
    if account.organization is not None:
        headers["OpenAI-Organization"] = resolve(account.organization, environ)
    return resolve(account.base_url, environ).rstrip("/") + PATH, headers
