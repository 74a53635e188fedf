"""Runs workflows in this process, over real sockets, against a simulator whose models differ in latency and price.

Each run has an account with a key of its own, so that runs can be at once and the ledger tells them apart.
"""

import asyncio
import dataclasses
import itertools
import time
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any, Final, Self

import msgspec
from matrix_tools import KEY, Stage, account, stage

from understudy.cluster.simulator import Latency, ModelSettings, Record, Settings, SimulatorProcess
from understudy.cluster.simulator.plan import key_hash
from understudy.protocols.config import Config, encode
from understudy.protocols.jobs import ApprovalAsk, JobSpec, Resumed, Verdict
from understudy.protocols.messages import ItemDone
from understudy.protocols.workflow import Flow
from understudy.protocols.workflow import encode as encode_flow
from understudy.protocols.workflow.result import FlowResult, StepRecord
from understudy.protocols.workflow.spec import FlowSpec, item
from understudy.supervisors.patterns.interpreter import PATH, FlowInterpreter

#: Median latency of each model, seconds: no two sums of a few are alike.
LATENCY: Final = {
    "quick": 0.2,
    "middling": 0.35,
    "slow": 0.6,
    "outer": 0.25,
    "beside": 0.3,
    "asleep": 30.0,
    "instant": 0.0,
    "narrow": 0.0,
}
#: Dollars per million tokens, input and output: no two bills of a few calls are alike.
PRICES: Final = {
    "quick": (0.15, 0.61),
    "middling": (0.7, 2.9),
    "slow": (2.3, 9.7),
    "outer": (0.23, 0.89),
    "beside": (0.19, 0.83),
    "asleep": (1.0, 1.0),
    "instant": (0.11, 0.37),
    "narrow": (0.13, 0.47),
}
WINDOW: Final = {"narrow": 2_048}
#: A model that the provider does not have: it is refused at once, and costs nothing.
DEAD: Final = "dead"
#: Routes with several candidates or with a hedge; all others are the models themselves.
ROUTES: Final[Mapping[str, Sequence[str]]] = {"fallback": (DEAD, "middling"), "hedged": ("slow", "quick")}
HEDGE_S: Final = 0.15

_NUMBERS = itertools.count()


def simulator_settings(**fields: Any) -> Settings:
    """A provider of the models above."""
    models = {
        name: ModelSettings(
            input_price=Decimal(str(PRICES[name][0])),
            output_price=Decimal(str(PRICES[name][1])),
            context_window=WINDOW.get(name, 128_000),
            latency=Latency(median_s=seconds),
        )
        for name, seconds in LATENCY.items()
    }
    return Settings(models=models, retry_after="ms", timeout_cap_s=60.0, **fields)


def flow_config(url: str, *, dead: bool = True, **attempts: Any) -> Config:
    """A route for each model, and the routes above; without the dead one for who asks what there is."""
    routes: dict[str, Any] = {name: {"candidates": [_candidate(name)]} for name in LATENCY}
    if dead:
        routes |= {
            DEAD: {"candidates": [_candidate(DEAD)]},
            "fallback": {"candidates": [_candidate(name) for name in ROUTES["fallback"]]},
        }
    return Config.model_validate(
        {
            "accounts": {"sim": account("openai", url, timeouts={"total_s": 60.0, "connect_s": 5.0, "gap_s": 60.0})},
            "models": {
                **routes,
                "hedged": {
                    "candidates": [_candidate(name) for name in ROUTES["hedged"]],
                    "hedge": {"share": 1.0, "initial_s": HEDGE_S},
                },
            },
            "attempts": {"backoff_s": 0.01, "deadline_s": 60.0, **attempts},
        }
    )


def _candidate(name: str) -> dict[str, Any]:
    prices = PRICES.get(name, (1.0, 1.0))
    return {
        "account": "sim",
        "model": name,
        "window": WINDOW.get(name, 128_000),
        "price": {"input": prices[0], "output": prices[1]},
    }


@dataclasses.dataclass
class Ran:
    """What came of a run: its answer, and what the provider's ledger knows of it."""

    done: ItemDone
    records: list[Record]
    began: float
    ended: float

    @property
    def result(self) -> FlowResult:
        """The result."""
        return msgspec.msgpack.decode(self.done.data, type=FlowResult)

    @property
    def value(self) -> Any:
        """The output."""
        return self.result.value

    @property
    def states(self) -> dict[str, str]:
        """How each step ended, by path."""
        return {step.path: step.state for step in self.result.steps}

    def step(self, path: str) -> StepRecord:
        """The record of a step."""
        return next(step for step in self.result.steps if step.path == path)

    @property
    def asked(self) -> list[str]:
        """The models that were asked, sorted; refusals of the dead one are not among them."""
        return sorted(record.model for record in self.records if record.model != DEAD)

    @property
    def cost(self) -> int:
        """What the provider charged, picodollars."""
        return sum(int(Decimal(record.cost).scaleb(12)) for record in self.records)

    @property
    def took_s(self) -> float:
        """From the first request's arrival to the end of the last reply, by the ledger."""
        ends = [record.t_end for record in self.records if record.t_end is not None]
        return max(ends) - min(record.t for record in self.records)

    def latencies(self, model: str) -> list[float]:
        """What each reply of a model took, in the order they were asked."""
        return [record.t_end - record.t for record in self.records if record.model == model and record.t_end]


class Bench:
    """A simulator to run workflows against."""

    def __init__(self, sim: SimulatorProcess) -> None:
        self.sim = sim
        #: Requests that a run may begin with: those before belong to others.
        self.seen = 0

    async def run(
        self, node: Mapping[str, Any], value: Any = "x", *, attempts: Mapping[str, Any] | None = None, **flow: Any
    ) -> Ran:
        """One run of a workflow to its end."""
        async with Running(self, node, attempts=attempts, **flow) as one:
            began = time.monotonic()
            done = await one.flow.map(0, item(value), one.stage.caller)
            return await self.ran(one, done, began)

    async def ran(self, one: "Running", done: ItemDone, began: float) -> Ran:
        """What came of it, with the ledger's records."""
        ended = time.monotonic()
        return Ran(done, await one.records(), began, ended)


class Running:
    """A workflow that can be run: a context with a stage and a key of its own."""

    def __init__(
        self, bench: Bench, node: Mapping[str, Any], *, attempts: Mapping[str, Any] | None = None, **flow: Any
    ) -> None:
        self._bench = bench
        self._since = bench.seen
        self.key = f"{KEY}-{next(_NUMBERS)}"
        config = flow_config(bench.sim.url, **(attempts or {}))
        spec = FlowSpec(encode_flow(Flow.model_validate({"run": node, **flow})))
        job = JobSpec("conformance", "t", PATH, msgspec.msgpack.encode(spec), encode(config))
        self.flow = FlowInterpreter(job)
        self._opening = stage(config, {"MATRIX_KEY": self.key})
        self.stage: Stage

    async def __aenter__(self) -> Self:
        self.stage = await self._opening.__aenter__()
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._opening.__aexit__(*error)  # type: ignore[arg-type]

    async def records(self) -> list[Record]:
        """The ledger's records of this run, asked for in a thread: other runs go on."""
        records = await asyncio.to_thread(self._bench.sim.ledger, self._since)
        self._bench.seen = max(self._bench.seen, self._since + len(records))
        return [record for record in records if record.key == key_hash(self.key)]

    async def settled(self, *, within_s: float = 2.0) -> list[Record]:
        """The records once none of them is in flight any more, or the time is over."""
        due = time.monotonic() + within_s
        while True:
            records = await self.records()
            if time.monotonic() >= due or not any(record.outcome == "in_flight" for record in records):
                return records
            await asyncio.sleep(0.02)


async def answered(
    running: Running, value: Any, answer: Callable[[ApprovalAsk], Verdict], *, resumes: int = 20
) -> tuple[ItemDone, int]:
    """A run whose people answer all that is asked each time it waits; (what came of it, how often it went on)."""
    done = await running.flow.map(0, item(value), running.stage.caller)
    rounds = 0
    while done.parked and rounds < resumes:
        asks = msgspec.msgpack.decode(done.data, type=list[ApprovalAsk])
        rounds += 1
        state = msgspec.msgpack.encode(Resumed(done.parked, {ask.path: answer(ask) for ask in asks}))
        done = await running.flow.resume(0, item(value), running.stage.caller, state)
    return done, rounds


# Nodes ----------------------------------------------------------------------------------------------------------------


def call(model: str, prompt: str = "say {{ input }}", **fields: Any) -> dict[str, Any]:
    """A call of one of the models; a few tokens of answer."""
    return {"kind": "call", "model": model, "prompt": prompt, "max_tokens": 24, **fields}


def says(model: str, value: Any, prompt: str = "judge {{ input }}", **fields: Any) -> dict[str, Any]:
    """A call that answers with this JSON: its schema allows no other."""
    return call(model, prompt, output={"const": value}, **{"max_tokens": 200, **fields})


def function(name: str, **args: Any) -> dict[str, Any]:
    """A function of `flow_functions`."""
    return {"kind": "function", "call": f"flow_functions:{name}", "args": args}


def chain(*steps: Mapping[str, Any], **fields: Any) -> dict[str, Any]:
    """Steps one after the other."""
    return {"kind": "chain", "steps": list(steps), **fields}
