"""Examples on stage: their flows as they stand in the files, their configuration with simulators for its providers.

The simulators say what a script tells them to: a part of a prompt, and the answers to it in order.
"""

import asyncio
import contextlib
import dataclasses
import json
import re
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import msgspec
from aiohttp import web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.http_parser import RawRequestMessage
from aiohttp.streams import StreamReader
from aiohttp.web_protocol import RequestHandler
from matrix_tools import Stage, stage

from understudy.cluster.config_file import load as load_config
from understudy.cluster.drill.stand_ins import Staging
from understudy.cluster.flow_file import load as load_flow
from understudy.cluster.flows.results import Result, read
from understudy.cluster.simulator import Record, Running
from understudy.cluster.simulator.engine import Engine
from understudy.cluster.simulator.faults import Draw
from understudy.cluster.simulator.plan import Plan
from understudy.cluster.simulator.request import Reply, Request, ToolCall, count_tokens
from understudy.cluster.simulator.server import Handler
from understudy.cluster.simulator.settings import Answer, Control, FaultKind, ModelSettings, Settings
from understudy.protocols.config import Attempts, Config, encode
from understudy.protocols.jobs import ApprovalAsk, JobSpec, Resumed, Verdict
from understudy.protocols.messages import ItemDone
from understudy.protocols.workflow import Flow
from understudy.protocols.workflow import encode as encode_flow
from understudy.protocols.workflow.spec import FlowSpec, item
from understudy.supervisors.patterns.interpreter import PATH, FlowInterpreter

EXAMPLES: Final = Path(__file__).parent.parent / "examples"
FLOWS: Final = tuple(sorted(path.stem for path in EXAMPLES.glob("*.yaml") if "\nrun:" in path.read_text()))
"""The names of all examples that are flows."""
_AT: Final = datetime(2026, 11, 1, tzinfo=UTC)


def flow(name: str) -> Flow:
    """The flow as it stands in the file."""
    return load_flow(EXAMPLES / f"{name}.yaml")[0]


def data(name: str) -> Any:
    """The input that the example's command names."""
    return json.loads((EXAMPLES / "data" / f"{name}.json").read_text())


def config(name: str = "understudy") -> Config:
    """The configuration as it stands in the file."""
    return load_config(EXAMPLES / f"{name}.yaml")


# Simulators that follow a script --------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Fault:
    """An answer that is none: the provider fails in this way; a filter's refusal opens no breaker to be waited for."""

    kind: FaultKind = "filtered"


class Script:
    """What models say: the first line whose pattern stands in a prompt decides.

    Each line is (pattern, answers): the first answer to the first such prompt, the last one to all that come after the
    others. An answer is a text, a `Fault`, or a value that is said as JSON. A prompt that no line knows is answered as
    a simulator does: an echo, or the least that satisfies its schema.
    """

    def __init__(self, *lines: tuple[str, Any]) -> None:
        self._lines = [
            (pattern, list(answers) if isinstance(answers, tuple) else [answers]) for pattern, answers in lines
        ]
        self.heard: list[str] = []

    def answer(self, prompt: str) -> str | Fault | None:
        """What is said to a prompt; None where no line knows it."""
        self.heard.append(prompt)
        for pattern, answers in self._lines:
            if re.search(pattern, prompt, re.DOTALL):
                said = answers.pop(0) if len(answers) > 1 else answers[0]
                return said if isinstance(said, str | Fault) else json.dumps(said)
        return None

    def asked(self, pattern: str) -> list[str]:
        """The prompts in which a pattern stands, in the order they came."""
        return [prompt for prompt in self.heard if re.search(pattern, prompt, re.DOTALL)]


class _Scripted(Engine):
    """A simulator's engine whose answers come from a script."""

    def __init__(self, settings: Settings, script: Script) -> None:
        super().__init__(settings, now=time.monotonic())
        self._script = script
        self._said: str | None = None

    def _decide(self, plan: Plan, request: Request, draw: Draw, outage: FaultKind | None) -> Plan:
        said = self._script.answer("\n".join(text for _, text in request.turns))
        if isinstance(said, Fault):
            return super()._decide(plan, request, draw, said.kind)
        self._said = said
        return super()._decide(plan, request, draw, outage)

    def _reply(self, request: Request, model: ModelSettings, cap: int) -> Reply:
        said = self._said
        if said is None:
            return super()._reply(request, model, cap)
        if request.tool_choice == "named":  # JSON is asked of Anthropic's models as the arguments of a tool
            return Reply("", count_tokens(said), "tool_calls", ToolCall(request.forced_tool, said))
        return Reply(said, count_tokens(said), "stop")


async def _serve(settings: Settings, script: Script) -> Running:
    """As the simulator's own `serve`, with a scripted engine."""
    engine = _Scripted(settings, script)
    loop = asyncio.get_running_loop()

    def make_request(
        message: RawRequestMessage,
        payload: StreamReader,
        protocol: RequestHandler,
        writer: AbstractStreamWriter,
        task: "asyncio.Task[None]",
    ) -> web.BaseRequest:
        return web.BaseRequest(message, payload, protocol, writer, task, loop, client_max_size=settings.max_body_bytes)

    server = web.Server(Handler(engine), request_factory=make_request, handler_cancellation=True, access_log=None)
    listener = await loop.create_server(server, "127.0.0.1", 0)
    return Running(engine, "127.0.0.1", listener.sockets[0].getsockname()[1], server, listener)


# The stage ------------------------------------------------------------------------------------------------------------


@dataclasses.dataclass
class World:
    """A stage for examples, and the simulators in place of the providers, by account."""

    config: Config
    providers: dict[str, Running]
    script: Script
    stage: Stage | None = None

    async def run(self, name: str, value: Any = None) -> Result[Any]:
        """What the example makes of an input; of its own data when none is given."""
        return read(await self.perform(name, value))

    async def run_flow(self, of: Flow, value: Any) -> Result[Any]:
        """What any flow makes of an input."""
        assert self.stage is not None
        return read(await self._interpreter(of).map(0, item(value), self.stage.caller))

    async def perform(self, name: str, value: Any = None) -> ItemDone:
        """What an example comes to as it travels, with all that is asked of people in it."""
        assert self.stage is not None
        given = data(name) if value is None else value
        return await self._interpreter(flow(name)).map(0, item(given), self.stage.caller)

    async def answer(self, name: str, parked: ItemDone, verdict: Verdict, value: Any = None) -> ItemDone:
        """Goes on with a run that waits, after the same verdict on all that it asks."""
        assert self.stage is not None
        verdicts = {ask.path: verdict for ask in asks(parked)}
        state = msgspec.msgpack.encode(Resumed(parked.parked, verdicts))
        given = data(name) if value is None else value
        return await self._interpreter(flow(name)).resume(parked.item, item(given), self.stage.caller, state)

    def _interpreter(self, of: Flow) -> FlowInterpreter:
        spec = FlowSpec(encode_flow(of), paths=(str(EXAMPLES),))
        return FlowInterpreter(JobSpec("example", of.name, PATH, msgspec.msgpack.encode(spec), encode(self.config)))

    def control(self, account: str, **changes: Any) -> None:
        """Changes what a provider does from now on."""
        self.providers[account].engine.control(Control.model_validate(changes))

    def ledger(self, account: str = "") -> list[Record]:
        """What a provider has booked; what all of them have, in the order it came."""
        names = [account] if account else list(self.providers)
        records = [record for name in names for record in self.providers[name].ledger.records]
        return sorted(records, key=lambda record: record.t)

    @property
    def cost(self) -> Decimal:
        """Dollars, by the providers' own books."""
        return sum((Decimal(record.cost) for record in self.ledger()), Decimal(0))


def asks(parked: ItemDone) -> list[ApprovalAsk]:
    """What a run that waits asks of people."""
    return msgspec.msgpack.decode(parked.data, type=list[ApprovalAsk])


@contextlib.asynccontextmanager
async def world(
    *lines: tuple[str, Any],
    configured: str = "understudy",
    skills: dict[str, float] | None = None,
    answer: Answer | None = None,
) -> AsyncIterator[World]:
    """Simulators in place of an example configuration's providers, and a caller with its Providers in this process.

    Args:
        lines: of the script.
        configured: the name of the configuration's file.
        skills: of models, where an exam is sat.
        answer: how prompts are answered that the script does not know.
    """
    async with (
        simulators(*lines, configured=configured, skills=skills, answer=answer) as made,
        stage(made.config) as on,
    ):
        made.stage = on
        yield made


@contextlib.asynccontextmanager
async def simulators(
    *lines: tuple[str, Any],
    configured: str = "understudy",
    skills: dict[str, float] | None = None,
    answer: Answer | None = None,
) -> AsyncIterator[World]:
    """As `world`, without a caller."""
    script, given = Script(*lines), config(configured)
    stagings = [Staging(given, route, speed=1.0, seed=7, at=_AT) for route in given.models]
    providers: dict[str, Running] = {}
    try:
        for name in {name: None for staging in stagings for name in staging.accounts}:
            models: dict[str, ModelSettings] = {}
            for staging in stagings:
                models |= staging.settings(name).models if name in staging.accounts else {}
            models = {
                one: model.model_copy(update={"skill": (skills or {}).get(one, 0.5)}) for one, model in models.items()
            }
            settings = Settings(seed=7, models=models, retry_after="ms", answer=answer or Answer())
            providers[name] = await _serve(settings, script)
        yield World(_pointed(stagings, {name: one.url for name, one in providers.items()}), providers, script)
    finally:
        for one in providers.values():
            await one.close()


def _pointed(stagings: list[Staging], urls: dict[str, str]) -> Config:
    """The configuration that calls the simulators: the same routes, models and prices, and a short back-off."""
    parts = [staging.config({name: urls[name] for name in staging.accounts}) for staging in stagings]
    return Config(
        accounts={name: account for part in parts for name, account in part.accounts.items()},
        models={name: route for part in parts for name, route in part.models.items()},
        attempts=Attempts(backoff_s=0.01),
    )
