"""A caller, its leases and its Providers in one process, and simulators to call: what the fault matrix plays with.

All is real but Ray: the Switchboard, the Provider actors' shells, codecs, the aiohttp transport and the sockets.
"""

import asyncio
import dataclasses
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any, Final

from understudy.actors.call.outcome import CallOutcome
from understudy.actors.call.switchboard import Switchboard
from understudy.actors.mailbox.post import LocalPeers
from understudy.actors.provider.actor import Provider
from understudy.actors.provider.naming import provider_name
from understudy.cluster.simulator import Answer, Faults, Latency, Record, Settings, SimulatorProcess
from understudy.protocols.accounts import Account
from understudy.protocols.call import CallOptions, Reset
from understudy.protocols.chat import ChatRequest, Message, ResponseFormat, Text
from understudy.protocols.config import Config, encode
from understudy.protocols.jobs import JobSpec

DIALECTS: Final = ("openai", "azure", "anthropic", "gemini")
KEY: Final = "sk-fault-matrix-0123456789"
ENVIRON: Final = {"MATRIX_KEY": KEY}
SCHEMA: Final = (
    '{"type":"object","properties":{"answer":{"type":"string"}},"required":["answer"],"additionalProperties":false}'
)
#: What every model and dialect says, in about 20 events of a stream. No passage of it comes twice, as in the answers of
#: true models: where a stream is gone on with, a repetition would be taken for what was said already.
ANSWER: Final = Answer(mode="fixed", text=" ".join(f"{number} is half of {2 * number}," for number in range(101, 133)))
PRICES: Final = {"sim-small": {"input": 0.15, "output": 0.6}, "sim-large": {"input": 2.5, "output": 10.0}}
WINDOWS: Final = {"sim-small": 16_384, "sim-large": 128_000}
#: An attempt is given up after so long; an answer takes about 5 ms.
TOTAL_S: Final = 0.4


def simulator(**fields: Any) -> SimulatorProcess:
    """A provider that accepts any key."""
    return SimulatorProcess(Settings(answer=ANSWER, retry_after="ms", timeout_cap_s=30.0, **fields))


def base_url(dialect: str, url: str) -> str:
    """Where an account of the dialect finds the simulator."""
    return url + {"azure": "", "gemini": "/v1beta"}.get(dialect, "/v1")


def account(dialect: str, url: str, **fields: Any) -> dict[str, Any]:
    """An account as a configuration writes it."""
    timeouts = {"total_s": TOTAL_S, "connect_s": 2.0, "gap_s": TOTAL_S}
    said = {"kind": dialect, "base_url": base_url(dialect, url), "api_key": "${MATRIX_KEY}", "timeouts": timeouts}
    return said | fields


def candidate(name: str, model: str) -> dict[str, Any]:
    """A model at an account, with the simulator's own prices and windows."""
    return {"account": name, "model": model, "window": WINDOWS[model], "price": PRICES[model]}


def configuration(
    accounts: Mapping[str, dict[str, Any]], *, route: Mapping[str, Any] | None = None, **attempts: Any
) -> Config:
    """One route, `chat`, over the accounts in their order: the first is asked for sim-small, the others for sim-large.

    The first back-off is 10 ms.
    """
    candidates = [candidate(name, "sim-large" if place else "sim-small") for place, name in enumerate(accounts)]
    budget = {"backoff_s": 0.01, "deadline_s": 20.0, **attempts}
    said = {"accounts": accounts, "models": {"chat": {"candidates": candidates, **(route or {})}}, "attempts": budget}
    return Config.model_validate(said)


def question(text: str = "What is a fault?", *, schema: str = "", max_tokens: int = 200) -> ChatRequest:
    """A request for the route `chat`."""
    form = ResponseFormat(schema) if schema else None
    return ChatRequest("chat", (Message("user", (Text(text),)),), max_tokens=max_tokens, response_format=form)


@dataclasses.dataclass
class Told:
    """What came of a call, and what the reader of its stream was given."""

    outcome: CallOutcome
    text: str
    resets: int

    @property
    def answer(self) -> str:
        """The reply's text; empty where there is none."""
        return self.outcome.reply.text if self.outcome.reply is not None else ""

    @property
    def cost(self) -> int:
        """The sum over attempts, picodollars."""
        return sum(attempt.cost for attempt in self.outcome.log)


class Stage:
    """A caller with its own Providers; see `stage`."""

    def __init__(self, config: Config, environ: Mapping[str, str]) -> None:
        peers = LocalPeers()
        self.providers: dict[str, Provider] = {}
        for name, settings in config.accounts.items():
            if settings.kind != "embedded":
                self.providers[name] = _provider(peers, name, settings)
        self._post = peers.open("caller")
        self.board = Switchboard(self._post, environ=environ)
        spec = JobSpec(id="matrix", title="matrix", interpreter="", spec=b"", config=encode(config))
        self.caller = self.board.caller(spec)

    async def call(
        self,
        request: ChatRequest | None = None,
        *,
        stream: bool = False,
        options: CallOptions | None = None,
        tokens: int = 20,
    ) -> Told:
        """One logical call."""
        pieces: list[str] = []
        resets = 0

        async def hear(said: str | Reset) -> None:
            nonlocal resets
            if isinstance(said, Reset):
                resets += 1
                pieces.clear()
            else:
                pieces.append(said)

        on_text = hear if stream else None
        outcome = await self.caller.call(request or question(), tokens=tokens, options=options, on_text=on_text)
        return Told(outcome, "".join(pieces), resets)

    async def close(self) -> None:
        """Closes sockets and settles."""
        await self.board.close()
        await self._post.drain()
        for provider in self.providers.values():
            if provider._timer is not None:
                provider._timer.cancel()
            await provider.stop()
        await self._post.close()
        await asyncio.sleep(0)


def _provider(peers: LocalPeers, name: str, settings: Account) -> Provider:
    """A Provider whose messages stay in this process."""
    actor = provider_name(name, settings)
    provider = Provider(actor, "none", account=name, settings=settings.model_dump_json().encode(), fresh=True)
    provider.post._resolve = peers.resolve
    peers._posts[actor] = provider.post
    return provider


@asynccontextmanager
async def stage(config: Config, environ: Mapping[str, str] = ENVIRON) -> AsyncIterator[Stage]:
    """A caller and its Providers, closed at the end."""
    opened = Stage(config, environ)
    try:
        yield opened
    finally:
        await opened.close()


# Simulators -----------------------------------------------------------------------------------------------------------


def calm(*simulators: SimulatorProcess) -> None:
    """Ends all faults and empties the ledgers."""
    for one in simulators:
        one.control(outage="off", faults=Faults(), answer=ANSWER, latency=Latency(), reset_ledger=True)


def outcomes(records: list[Record]) -> list[str]:
    """How each request ended, in the order they came."""
    return [record.outcome for record in records]


def picodollars(*ledgers: list[Record]) -> int:
    """What the ledgers' requests cost together."""
    return sum(int(Decimal(record.cost).scaleb(12)) for records in ledgers for record in records)
