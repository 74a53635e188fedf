"""What a digest makes of the outcomes of its calls: summaries of models only, and a bill that leaves nothing out."""

import random
from datetime import UTC, datetime

import msgspec
import pytest

from understudy.actors.call.caller import Caller
from understudy.actors.call.kit import Kit
from understudy.actors.call.outcome import CallOutcome
from understudy.actors.channel.embedded import EmbeddedChannel
from understudy.actors.prices import PriceBook
from understudy.cluster.digest.gather import Gathered
from understudy.protocols.call import Attempt, CallOptions, Rung
from understudy.protocols.chat import ChatReply, ChatRequest, Usage
from understudy.protocols.config import Attempts, Caching, Candidate, Config, DigestSettings, Route
from understudy.protocols.digest import Chunk, DigestPlan, Node, Pack
from understudy.protocols.errors import ServerFault
from understudy.protocols.jobs import Bill, JobSpec, Page
from understudy.protocols.messages import ItemDone, Used
from understudy.supervisors.digest.answer import read
from understudy.supervisors.digest.interpreter import DigestInterpreter, DigestSpec, pack_item

USAGE = Usage(100, 10)


def sent(candidate: str, role: str = "first", **fields: object) -> Attempt:
    """An attempt that left."""
    return Attempt(candidate, role, "ok", 0.0, 1.0, **fields)  # type: ignore[arg-type]


def outcome(rung: Rung, *attempts: Attempt, text: str = "A summary.", model: str = "m") -> CallOutcome:
    """What a call over these attempts came to."""
    made = CallOutcome()
    for one in attempts:
        made.add(one)
    made.reply, made.rung = ChatReply(text, model, USAGE), rung
    if rung != "model":
        made.error = "a/m: HTTP 500"
    return made


class FakeCaller:
    """Answers by its script, the last answer for ever."""

    def __init__(self, *script: CallOutcome) -> None:
        self.defaults = CallOptions(job="j")
        self.script = list(script)
        self.options: list[CallOptions | None] = []

    async def call(self, request: ChatRequest, *, tokens: int, options: CallOptions | None = None) -> CallOutcome:
        assert request.model in ("maps", "merges")
        assert tokens > 0
        self.options.append(options)
        return self.script.pop(0) if len(self.script) > 1 else self.script[0]


CHUNK = Chunk("a.txt", 1, 1, 1, 1, 5, "", "text\n")
NODES = (Node(0, "chunk", "a.txt", (), 0, 0), Node(1, "folder", "./", (0,)))
PLAN = DigestPlan("r", (), (), (Pack(0, (CHUNK,), 5),), NODES)
ITEM = pack_item(PLAN.packs[0])


def job(*, cache: bool = False) -> JobSpec:
    spec = DigestSpec("maps", "merges", 600, 900, 12_000, "", NODES, cache=cache)
    return JobSpec("j", "a digest", "m:C", msgspec.msgpack.encode(spec), b"")


async def mapped(*script: CallOutcome) -> ItemDone:
    return await DigestInterpreter(job()).map(0, ITEM, FakeCaller(*script))  # type: ignore[arg-type]


async def test_a_declared_answer_is_no_summary() -> None:
    """It fails its item by name, also where it stands for a merge, and what was tried stays on the bill."""
    declared = outcome("degraded", sent("a/m", cost=7, usage=USAGE), text="Sorry.")
    done = await mapped(declared)
    assert done.error == "only the declared answer was left: a/m: HTTP 500"
    assert (done.data, done.degraded, done.attempts, done.cost) == (b"", True, 1, 7)
    good = await mapped(outcome("model", sent("a/m", cost=5, usage=USAGE)))
    [leaf] = DigestInterpreter(job()).leaves(good)
    caller = FakeCaller(outcome("degraded", sent("a/m", cost=7), text="Sorry."))
    node = await DigestInterpreter(job()).reduce(1, {0: leaf}, caller)  # type: ignore[arg-type]
    assert node.error.startswith("only the declared answer was left")
    assert node.degraded


@pytest.mark.parametrize(("rung", "degraded"), [("cache", False), ("stale", True)])
async def test_an_earlier_answer_is_a_summary(rung: Rung, degraded: bool) -> None:
    """It names the model that gave it, not the one that failed last, and says when it is an older one."""
    attempts = [sent("a/m", cost=3)] if rung == "stale" else []
    done = await mapped(outcome(rung, *attempts, model="gpt-x"))
    assert read(done).texts == ("A summary.",)
    assert (done.error, done.model, done.degraded, done.attempts) == ("", "gpt-x", degraded, len(attempts))


async def test_calls_allow_the_cache_where_the_digest_does() -> None:
    """The job's other options stay."""
    for cache in (False, True):
        caller = FakeCaller(outcome("model", sent("a/m")))
        await DigestInterpreter(job(cache=cache)).map(0, ITEM, caller)  # type: ignore[arg-type]
        assert caller.options == [CallOptions(job="j", cache=True) if cache else None]


async def test_hedges_and_fallbacks_stand_on_the_bill_of_who_was_asked() -> None:
    """The bill by model is the sum of the attempts: a hedge that came second is an open cost, not another's tokens."""
    done = await mapped(
        outcome(
            "model",
            sent("a/m", cost=5, usage=Usage(100, 0)),
            sent("c/m", "fallback", cost=-1, usage=Usage(7, 7)),
            sent("a/m", "fallback", open_cost=40),
            sent("b/m", "hedge", cost=11, usage=USAGE),
        )
    )
    assert (done.model, done.attempts, done.hedges, done.cost, done.open_cost) == ("b/m", 4, 1, -1, 40)
    assert done.used == (
        Used("a/m", 2, 100, 0, 5, 40),
        Used("c/m", 1, 7, 7, -1),
        Used("b/m", 1, 100, 10, 11),
    )
    gathered = Gathered(PLAN, job())
    gathered.take(Page("running", 1, 1, True, 1, 0, 0, 0, Bill().add(done), items=(done,)))
    bill = gathered.bill()
    assert [(row.model, row.calls, row.attempts) for row in bill.models] == [
        ("b/m", 1, 1),
        ("a/m", 0, 2),
        ("c/m", 0, 1),
    ]
    assert (bill.calls, bill.attempts, bill.hedges, bill.input_tokens) == (1, 4, 1, done.input_tokens)
    assert (bill.cost, bill.open_cost, bill.unpriced) == ("0.000000000016", "0.00000000004", ("c/m",))


async def test_a_merge_in_rounds_sums_all_its_calls() -> None:
    """Tokens, hedges and open costs of every round are the node's."""
    first = outcome("model", sent("a/m", cost=5, usage=USAGE), sent("a/m", "hedge", open_cost=2), text="words " * 4000)
    last = outcome("model", sent("b/m", cost=9, usage=USAGE))
    leaves = tuple(Node(n, "chunk", f"{n}.txt", (), 0, n) for n in range(3))
    spec = DigestSpec("maps", "merges", 600, 900, 1200, "", (*leaves, Node(3, "folder", "./", (0, 1, 2))))
    interpreter = DigestInterpreter(msgspec.structs.replace(job(), spec=msgspec.msgpack.encode(spec)))
    text = msgspec.msgpack.encode((("word " * 700,), False, ()))
    children = {node.id: ItemDone(node.id, text, model="a/m") for node in leaves}
    caller = FakeCaller(first, last)
    done = await interpreter.reduce(3, children, caller)  # type: ignore[arg-type]
    assert not done.error
    calls = len(caller.options)
    assert calls > 1
    assert (done.attempts, done.hedges, done.open_cost, done.cost) == (calls + 1, 1, 2, 5 + 9 * (calls - 1))
    assert done.used == (
        Used("a/m", 2, 100, 10, 5, 2),
        Used("b/m", calls - 1, 100 * (calls - 1), 10 * (calls - 1), 9 * (calls - 1)),
    )


@pytest.mark.parametrize(("ttl_s", "rung"), [(3600.0, "cache"), (1e-9, "stale")])
async def test_policies_of_a_route_hold_for_a_digest(ttl_s: float, rung: str) -> None:
    """A real caller: a fresh answer saves the call, an older one stands in for it, a declared one is no summary."""
    asked: list[ChatRequest] = []

    def answer(request: ChatRequest) -> ChatReply:
        asked.append(request)
        if len(asked) > 1:
            raise ServerFault("HTTP 500", status=500)
        return ChatReply("About it.", "extractive", USAGE)

    candidates = (Candidate(account="embedded", model="extractive"),)
    route = Route(candidates=candidates, cache=Caching(ttl_s=ttl_s), degraded="Sorry.")
    settings = DigestSettings(map_model="maps", reduce_model="merges", cache=True)
    config = Config(models={"maps": route, "merges": route}, attempts=Attempts(max_attempts=1), digest=settings)
    book = PriceBook(config, at=datetime(2026, 11, 1, tzinfo=UTC))
    channel = EmbeddedChannel("embedded", answer)
    caller = Caller(Kit(config, book, rng=random.Random(1)), lambda _: channel)
    interpreter = DigestInterpreter(job(cache=True))
    first = await interpreter.map(0, ITEM, caller)
    assert (first.model, first.attempts, first.degraded) == ("embedded/extractive", 1, False)
    again = await interpreter.map(1, ITEM, caller)
    assert read(again).texts == ("About it.",)
    assert (again.error, again.model) == ("", "extractive")
    assert (again.degraded, again.attempts) == ((True, 1) if rung == "stale" else (False, 0))
    other = pack_item(Pack(0, (msgspec.structs.replace(CHUNK, text="another text\n"),), 5))
    lost = await interpreter.map(2, other, caller)
    assert lost.error.startswith("only the declared answer was left: gave up after")
    assert (lost.degraded, lost.attempts) == (True, 1)
    await channel.close()
