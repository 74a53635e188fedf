"""What a logical call must never do, whatever comes together: pass a budget, lose or double text or a bill, hang."""

import asyncio
import random
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_caller import HEDGE, REQUEST, SHAPED, FakeChannel, Reader, caller

from understudy.actors.call.caller import Caller
from understudy.actors.call.kit import Kit
from understudy.actors.call.logical import LogicalCall
from understudy.actors.call.outcome import CallOutcome
from understudy.actors.call.switchboard import Switchboard
from understudy.actors.channel.channel import Blocked, Channel
from understudy.actors.mailbox.post import LocalPeers
from understudy.actors.mapper.actor import Mapper
from understudy.actors.prices import PriceBook
from understudy.actors.provider.core import ProviderCore
from understudy.protocols.call import CallOptions, Reset
from understudy.protocols.chat import ChatReply, ChatRequest, Message, ResponseFormat, Text, Usage
from understudy.protocols.config import AUTO, Account, Config, Hedging, Limits, Timeouts, encode
from understudy.protocols.envelope import Envelope
from understudy.protocols.errors import (
    CallTimeout,
    ConfigError,
    ConnectionFault,
    ContextTooLong,
    InvalidReply,
    RateLimited,
    ServerFault,
)
from understudy.protocols.jobs import JobSpec
from understudy.protocols.messages import CancelJob, LeaseAsk, Slice

LONG = " ".join(f"word{number}" for number in range(3000))


def routed(models: Mapping[str, Any], channels: Iterable[FakeChannel], *, private: str = "", **top: Any) -> Caller:
    """A caller over several routes; `models` is as a configuration writes it."""
    by_name: Mapping[str, Channel] = {one.account: one for one in channels}
    accounts = {name: {"base_url": "http://192.0.2.1/v1", "private": name == private} for name in by_name}
    attempts = {"backoff_s": 0.0, **top.pop("attempts", {})}
    config = Config.model_validate({"accounts": accounts, "models": models, "attempts": attempts, **top})
    kit = Kit(config, PriceBook(config, at=datetime(2026, 1, 1, tzinfo=UTC)), rng=random.Random(1))
    return Caller(kit, by_name.__getitem__)


def way(account: str, model: str = "m", *, dollars: float = 1.0, **more: Any) -> dict[str, Any]:
    return {"account": account, "model": model, "price": {"input": dollars, "output": 2 * dollars}, **more}


def auto(text: str = "hi", **more: Any) -> ChatRequest:
    return ChatRequest(AUTO, (Message("user", (Text(text),)),), **more)


def check_bill(outcome: CallOutcome) -> None:
    """The log's sums are the outcome's, and there is an answer or a reason."""
    log = outcome.log
    assert outcome.attempts == sum(one.sent for one in log)
    assert outcome.hedges == sum(one.sent for one in log if one.role == "hedge")
    assert outcome.open_cost == sum(one.open_cost for one in log)
    assert outcome.input_tokens == sum(one.usage.input_tokens for one in log)
    assert outcome.cost == (-1 if any(one.cost < 0 for one in log) else sum(one.cost for one in log))
    assert outcome.reply is not None or outcome.error


# The bill -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stream", [False, True])
async def test_an_answer_that_a_filter_broke_off_is_billed_once(stream: bool) -> None:
    """It was paid, so it stands on the bill; one request is one attempt."""
    withheld = ChatReply("half of", "m", Usage(10, 5), "filtered")
    first, second = FakeChannel("a", withheld), FakeChannel("b", "whole")
    outcome = await caller(first, second).call(REQUEST, tokens=10, on_text=Reader().hear if stream else None)
    assert [one.outcome for one in outcome.log] == ["filtered", "ok"]
    assert (outcome.attempts, outcome.cost, outcome.open_cost) == (2, 2 * 20 * 10**6, 0)


async def test_a_broken_answer_may_have_been_charged() -> None:
    """A reply that can't be read was made by the model all the same, whatever status the error bears."""
    outcome = await caller(FakeChannel("a", InvalidReply("too large"))).call(REQUEST, tokens=10)
    assert outcome.open_cost > 0


async def test_what_was_never_seen_has_no_known_price_either() -> None:
    """A time-out where no price is known did not cost nothing."""
    one = caller(FakeChannel("a", *[CallTimeout("late")] * 9), priced=False, max_attempts=1)
    assert (await one.call(REQUEST, tokens=10)).cost == -1


async def test_a_schema_that_is_none_costs_nothing() -> None:
    """A reply that could not be checked is not asked for: who calls is told before anything is paid."""
    first = FakeChannel("a", "{}")
    request = msgspec.structs.replace(SHAPED, response_format=ResponseFormat('{"type":"objekt"}'))
    with pytest.raises(ConfigError, match="no JSON Schema"):
        await caller(first).call(request, tokens=10)
    assert first.calls == 0


# Money ----------------------------------------------------------------------------------------------------------------


async def test_an_unknown_price_does_not_make_what_was_spent_forgotten() -> None:
    """After an attempt without a price those with one still keep the call's budget."""
    free, dear = FakeChannel("a", *["no json"] * 9), FakeChannel("b", *["no json"] * 9)
    models = {"fast": [{"account": "a", "model": "x"}, way("b", dollars=100.0)]}
    one = routed(models, (free, dear), attempts={"max_attempts": 9})
    # One attempt at b is 100·10 + 200·1024 millionths of a dollar at most, and really 0.002 dollars.
    most = 209_900 * 10**6
    await one.call(SHAPED, tokens=10, options=CallOptions(max_cost=most))
    assert (free.calls, dear.calls) == (2, 1)


async def test_a_classifier_is_paid_from_the_calls_budget() -> None:
    """The question to the classifier model counts against money, attempts and deadline of the call it is for."""
    asked, one, two = FakeChannel("c", *[CallTimeout("late")] * 9), FakeChannel("a"), FakeChannel("b")
    models = {"judge": [way("c", dollars=50.0)], "one": [way("a", dollars=0.001)], "two": [way("b", dollars=0.002)]}
    call = routed(models, (asked, one, two), routing={"classifier": "judge"}, attempts={"max_attempts": 3})
    outcome = await call.call(auto(max_tokens=16), tokens=10)
    check_bill(outcome)
    assert outcome.reply is not None
    assert asked.calls >= 1
    assert outcome.attempts <= 3
    asked.requests.clear()
    outcome = await call.call(auto(max_tokens=16), tokens=10, options=CallOptions(max_cost=2 * 10**9))
    assert max(outcome.cost, 0) + outcome.open_cost <= 2 * 10**9


async def test_a_classifier_that_hangs_keeps_the_deadline() -> None:
    """A call that may take 0.1 s does not wait 20 s for the choice of its route."""
    asked, one, two = FakeChannel("c", None), FakeChannel("a"), FakeChannel("b")
    models = {"judge": [way("c")], "one": [way("a")], "two": [way("b")]}
    call = routed(models, (asked, one, two), routing={"classifier": "judge"})
    async with asyncio.timeout(1.0):
        outcome = await call.call(auto(), tokens=10, options=CallOptions(deadline_s=0.2))
    assert outcome.reply is not None
    assert asked.cancelled == 1


# A summary on the way -------------------------------------------------------------------------------------------------


def talk(*, max_tokens: int = 100) -> ChatRequest:
    """A conversation whose first turns are long."""
    turns = (
        Message("user", (Text(LONG),)),
        Message("assistant", (Text(LONG),)),
        Message("user", (Text("So what is it?"),)),
    )
    return ChatRequest("fast", turns, max_tokens=max_tokens)


async def test_a_summary_is_asked_for_once() -> None:
    """Retries of a request with a summary in it don't pay for that summary again."""
    first = FakeChannel("a", "a summary", *[ServerFault("HTTP 500", status=500)] * 2, "fine")
    models = {"fast": {"candidates": [way("a", window=4000)], "overflow": "summarise"}}
    outcome = await routed(models, (first,)).call(talk(), tokens=12_500)
    check_bill(outcome)
    assert outcome.reply is not None
    assert (outcome.reply.text, first.calls) == ("fine", 4)


async def test_a_declared_answer_is_no_summary() -> None:
    """When nobody summarises, the request goes without a summary, and not with words that say nothing of it."""
    first = FakeChannel("a", InvalidReply("json", status=200), "fine")
    models = {"fast": {"candidates": [way("a", window=4000)], "overflow": "summarise", "degraded": "We are busy."}}
    outcome = await routed(models, (first,), attempts={"per_candidate": 1, "max_attempts": 9}).call(
        talk(), tokens=12_500
    )
    assert outcome.rung == "model"
    said = [part.text for one in first.requests[-1].messages for part in one.parts if isinstance(part, Text)]
    assert not any("We are busy." in text for text in said)


async def test_a_summary_keeps_the_calls_attempts_and_money() -> None:
    """A summary that fails on and on uses up neither more attempts nor more money than the call has."""
    most = 30_000 * 10**6
    first = FakeChannel("a", *[CallTimeout("late")] * 40)
    models = {"fast": {"candidates": [way("a", window=4000)], "overflow": "summarise"}}
    call = routed(models, (first,), attempts={"max_attempts": 4})
    outcome = await call.call(talk(), tokens=12_500, options=CallOptions(max_cost=most))
    check_bill(outcome)
    assert outcome.attempts <= 4
    assert max(outcome.cost, 0) + outcome.open_cost <= most


# The choice of a route ------------------------------------------------------------------------------------------------


async def test_what_may_go_nowhere_is_told_and_not_raised() -> None:
    """Without a private candidate, or within the bound of cost, a request for `auto` ends with its reason."""
    one = routed({"one": [way("a")], "two": [way("b")]}, (FakeChannel("a"), FakeChannel("b")))
    private = await one.call(auto(), tokens=10, options=CallOptions(private=True))
    assert (private.reply, "private" in private.error) == (None, True)
    poor = await one.call(auto(), tokens=10, options=CallOptions(max_cost=1))
    assert (poor.reply, "costs too much" in poor.error) == (None, True)


@pytest.mark.parametrize("hedge", [None, {"share": 1.0}])
async def test_a_small_window_beside_a_dear_candidate(hedge: Any) -> None:
    """The candidate that keeps the bound of cost is called though its window is small, since the other may not be."""
    dear, small = FakeChannel("a"), FakeChannel("b", "cut and answered")
    route = {
        "candidates": [way("a", dollars=1000.0), way("b", dollars=0.01, window=2000)],
        "overflow": "truncate_middle",
    }
    call = routed({"one": {**route, "hedge": hedge} if hedge else route}, (dear, small), routing={"max_cost": 0.01})
    outcome = await call.call(auto(LONG, max_tokens=100), tokens=6000)
    assert outcome.reply is not None, outcome.error
    assert (outcome.model, dear.calls) == ("b/m", 0)


async def test_two_candidates_of_one_name_that_break_a_bound() -> None:
    """Nobody is left where one name stands for a dear and a cheap way: that is told, with or without hedges."""
    prices = [{"account": "a", "model": "m", "price": {"input": dear, "output": dear}} for dear in (1000.0, 0.01)]
    for hedge in ({}, {"hedge": {"share": 1.0}}):
        call = routed({"one": {"candidates": prices, **hedge}}, (FakeChannel("a"),), routing={"max_cost": 0.01})
        outcome = await call.call(auto(max_tokens=100), tokens=10)
        check_bill(outcome)


# Streams --------------------------------------------------------------------------------------------------------------


class Gated(FakeChannel):
    """A stream whose first words come when `go` is set, and whose end comes when `end` is."""

    def __init__(self, account: str, *, fails: bool = False) -> None:
        super().__init__(account)
        self.go, self.end = asyncio.Event(), asyncio.Event()
        self.fails = fails

    async def _answer(self, answer: Any, model: str, trace: Any, on_text: Any) -> ChatReply:  # noqa: ARG002
        await self.go.wait()
        trace.first_at, trace.text = 1.0, "first words"
        await on_text("first words")
        await self.end.wait()
        if self.fails:
            self.fails = False
            raise ConnectionFault("broke")
        return ChatReply("first words", model, Usage(10, 5))


@pytest.mark.parametrize("fails", [False, True])
async def test_a_hedge_that_comes_too_late_is_not_sent(fails: bool) -> None:
    """The first words come in the same turn of the loop as the hedge's timer: nobody else is asked, nothing hangs."""
    first, hedge = Gated("a", fails=fails), FakeChannel("b", None)
    one = caller(first, hedge, route={**HEDGE, "cut": "restart"}, per_candidate=3)
    reader = Reader()
    call = asyncio.create_task(one.call(REQUEST, tokens=10, on_text=reader.hear))
    await first.asked.wait()
    first.go.set()  # its task wakes before that of the hedge, which is made now
    logical = _logical(call)
    logical._late.disarm()
    assert logical._late._send(1.0)
    await asyncio.sleep(0.01)
    first.end.set()
    async with asyncio.timeout(1.0):
        outcome = await call
    assert (reader.text, hedge.calls) == ("first words", 0)
    check_bill(outcome)


def _logical(task: asyncio.Task[Any]) -> Any:
    """The logical call that a task runs."""
    frame: Any = task.get_coro()
    while frame is not None:
        local = frame.cr_frame.f_locals if frame.cr_frame else {}
        if isinstance(local.get("self"), LogicalCall):
            return local["self"]
        frame = frame.cr_await
    raise AssertionError("no logical call")


@pytest.mark.parametrize("rung", ["cache", "degraded"])
async def test_who_reads_a_stream_hears_every_answer(rung: str) -> None:
    """An answer from the cache or a declared one is said to the reader as one that a model streams."""
    first = FakeChannel("a", "one") if rung == "cache" else FakeChannel("a", *[CallTimeout("late")] * 9)
    route = {"cache": {"ttl_s": 60.0}} if rung == "cache" else {"degraded": "We are busy."}
    call = caller(first, route=route, max_attempts=2)
    if rung == "cache":
        await call.call(REQUEST, tokens=10, options=CallOptions(cache=True))
    reader = Reader()
    outcome = await call.call(REQUEST, tokens=10, options=CallOptions(cache=True), on_text=reader.hear)
    assert outcome.reply is not None
    assert (outcome.rung, reader.text) == (rung, outcome.reply.text)


async def test_a_streamed_answer_is_what_was_asked_for() -> None:
    """JSON in a fence is taken out of it in the reply of a stream, too."""
    first = FakeChannel("a", ['```json\n{"na', 'me": "x"}\n```'])
    reader = Reader()
    outcome = await caller(first).call(SHAPED, tokens=10, on_text=reader.hear)
    assert outcome.reply is not None
    assert reader.text == outcome.reply.text == '{"name": "x"}'


async def test_json_that_broke_off_is_begun_anew() -> None:
    """A model that has to answer in JSON begins with a bracket: its answer is no continuation of half a document."""
    first = FakeChannel("a", ['{"name": "Ann', ConnectionFault("broke")])
    second = FakeChannel("b", ['{"name": ', '"Bob"}'])
    reader = Reader()
    one = caller(first, second, route={"cut": "continue"}, per_candidate=1)
    outcome = await one.call(SHAPED, tokens=10, on_text=reader.hear)
    assert outcome.reply is not None
    assert reader.text == outcome.reply.text == '{"name": "Bob"}'
    assert [one.outcome for one in outcome.log] == ["connection", "ok"]


# The cache ------------------------------------------------------------------------------------------------------------


async def test_answers_are_kept_for_their_tenant() -> None:
    """What one tenant was answered is not given to another, and not even that it asked can be seen."""
    first = FakeChannel("a", "for x", "for y")
    one = caller(first, route={"cache": {"ttl_s": 60.0}})
    texts = []
    for tenant in ("x", "y", "x"):
        outcome = await one.call(REQUEST, tokens=10, options=CallOptions(cache=True, tenant=tenant))
        assert outcome.reply is not None
        texts.append((outcome.reply.text, outcome.rung))
    assert texts == [("for x", "model"), ("for y", "model"), ("for x", "cache")]


async def test_an_answer_to_a_cut_prompt_is_none_to_the_whole() -> None:
    """A call that lets its prompt be cut keeps its answer for such calls, not for those that want it read whole."""
    first = FakeChannel("a", "of a part", "of the whole")
    one = caller(first, route={"cache": {"ttl_s": 60.0}})
    cut = CallOptions(cache=True, overflow="truncate_middle")
    assert (await one.call(REQUEST, tokens=10, options=cut)).rung == "model"
    assert (await one.call(REQUEST, tokens=10, options=CallOptions(cache=True, overflow="fail"))).rung == "model"
    assert (await one.call(REQUEST, tokens=10, options=cut)).rung == "cache"


# What is known of candidates ------------------------------------------------------------------------------------------


async def test_a_model_behind_two_routes_is_remembered() -> None:
    """What was learned of a candidate stays when another route that names the same model is called."""
    channel = FakeChannel("a")
    one = routed({"one": [way("a")], "two": [way("a", max_output=100)]}, (channel,))
    first, second = (one.kit.config.models[name].candidates[0] for name in ("one", "two"))
    one.kit.way(first).answered(3.0)
    one.kit.way(second)
    assert one.kit.way(first).latency_s == 3.0


async def test_hedges_of_a_stream_are_learned_from_first_words() -> None:
    """A stream is late when its first words are; how long it goes on then says nothing of that."""
    channel = FakeChannel("a")
    one = caller(channel, FakeChannel("b"), route=HEDGE)
    seen: list[float] = []
    hedger = one.kit.hedger("fast", one.kit.config.models["fast"].hedge or pytest.fail("no hedging"))

    class Slow(Reader):
        async def hear(self, said: str | Reset) -> None:
            await asyncio.sleep(0.05)
            await super().hear(said)

    await one.call(REQUEST, tokens=10, on_text=Slow().hear)
    await one.call(REQUEST, tokens=10)
    for known in hedger._classes.values():
        known.tail.fit()
        seen.append(known.tail.mean_s)
    assert len(seen) == 2, "streams and whole answers are told apart"
    assert max(seen) < 0.03


# Shares ---------------------------------------------------------------------------------------------------------------


def spec(job: str, config: Config) -> JobSpec:
    return JobSpec(id=job, title=job, interpreter="", spec=b"", config=encode(config))


async def test_a_call_after_its_job_has_ended_fails_at_once() -> None:
    """The share's channel is closed: nobody asks for permits that would never be heard of."""
    config = Config.model_validate(
        {"accounts": {"a": {"base_url": "http://192.0.2.1/v1"}}, "models": {"fast": [{"account": "a", "model": "m"}]}}
    )
    peers = LocalPeers()
    post, provider = peers.open("caller"), peers.open("provider")
    board = Switchboard(post, environ={})
    one = board.caller(spec("j", config))
    await board.end(spec("j", config))
    async with asyncio.timeout(1.0):
        outcome = await one.call(REQUEST, tokens=10)
    assert (outcome.reply, outcome.attempts) == (None, 0)
    assert "ended" in outcome.error
    again = board.caller(spec("k", config))
    assert not again.kit._blocked, "another job's share of the account is open"
    await board.close()
    await post.close()
    await provider.close()


def test_holders_that_ended_without_a_word_are_forgotten() -> None:
    """A share whose ask waits and of which nothing more is heard keeps neither its slot nor its place for ever."""
    core = ProviderCore("a", Account(limits=Limits(concurrency=2)), epoch=1, now=0.0)
    for number in range(500):
        ask = LeaseAsk(1, epoch=1, share=f"t/{number}", tenant="t", sizes=(10,), slots=1)
        core.ask("mapper", ask, cause="", now=float(number))
    core.ask("mapper", LeaseAsk(1, epoch=1, share="t/last", tenant="t", sizes=(10,), slots=1), cause="", now=2000.0)
    assert len(core.holders) + len(core.queue.waiting) + len(core.limiter.holdings) <= 8
    core.limiter.validate()


class _Home:
    """A Supervisor's handle, whose answer comes when it is let go."""

    def __init__(self, answer: bytes) -> None:
        self.spec = self
        self.asked, self.go = asyncio.Event(), asyncio.Event()
        self._answer = answer

    async def remote(self, _: str) -> bytes:
        self.asked.set()
        await self.go.wait()
        return self._answer


async def test_a_job_that_ends_while_it_is_opened_leaves_no_channel() -> None:
    """A Mapper that is told of a job's end before it knows what the job is keeps nothing of it."""
    config = Config.model_validate(
        {"accounts": {"a": {"base_url": "http://192.0.2.1/v1"}}, "models": {"fast": [{"account": "a", "model": "m"}]}}
    )
    told = msgspec.structs.replace(spec("j", config), interpreter="understudy.actors.requests:Requests")
    mapper, home = Mapper("mapper", "none"), _Home(msgspec.msgpack.encode(told))

    async def handle(name: str) -> Any:  # noqa: ARG001
        return home

    mapper._handle = handle  # type: ignore[method-assign]
    mapper._slice(Envelope("", "home", Slice("j", 0, 0, 1)), Slice("j", 0, 0, 1))
    await home.asked.wait()
    mapper._cancel(Envelope("", "home", CancelJob("j")), CancelJob("j"))
    home.go.set()
    for _ in range(10):
        await asyncio.sleep(0)
    assert (mapper._board._channels, mapper._work) == ({}, {})
    await mapper.stop()


async def test_newer_timeouts_apply_to_newer_jobs() -> None:
    """A configuration that was sent again with other time-outs gets connections that keep them."""
    peers = LocalPeers()
    post = peers.open("caller")
    board = Switchboard(post, environ={})
    found = []
    for job, total_s in (("j", 1.0), ("k", 2.0), ("l", 2.0)):
        account = Account(base_url="http://192.0.2.1/v1", timeouts=Timeouts(total_s=total_s))
        config = Config.model_validate(
            {"accounts": {"a": account}, "models": {"fast": [{"account": "a", "model": "m"}]}}
        )
        channel: Any = board.caller(spec(job, config)).channel("a")
        found.append(channel._transport)
    assert [one._timeouts.total_s for one in found] == [1.0, 2.0, 2.0]
    assert found[1] is found[2]
    await board.close()
    await post.close()


# All of it ------------------------------------------------------------------------------------------------------------

FAILURES: list[Any] = [
    CallTimeout("late"),
    ConnectionFault("no", sent=False),
    ConnectionFault("broke"),
    ServerFault("HTTP 500", status=500),
    InvalidReply("json", status=200),
    RateLimited("slow", retry_after=0.0, status=429),
    ContextTooLong("long", status=400),
    ChatReply("half", "m", Usage(10, 5), "filtered"),
    Blocked("a", 0.0, "open"),
]
ONE = st.one_of(
    st.sampled_from(FAILURES),
    st.just("fine"),
    st.lists(st.sampled_from(["ab", "cd", "  ", ConnectionFault("broke")]), min_size=1, max_size=4),
)


@settings(max_examples=150, deadline=None)
@given(
    scripts=st.lists(st.lists(ONE, max_size=5), min_size=1, max_size=3),
    stream=st.booleans(),
    hedge=st.booleans(),
    cut=st.sampled_from(["fail", "restart", "continue"]),
    most=st.integers(1, 6),
    money=st.sampled_from([-1, 3000 * 10**6, 9000 * 10**6]),
)
def test_no_budget_is_passed_and_nothing_is_lost(  # noqa: PLR0917
    scripts: list[list[Any]], stream: bool, hedge: bool, cut: Any, most: int, money: int
) -> None:
    """Whatever providers do: the bill adds up, money and attempts hold, the reader has the reply, nothing is left."""

    async def go() -> None:
        channels = [
            FakeChannel(name, *(one if stream or not isinstance(one, list) else "fine" for one in script))
            for name, script in zip("abc", scripts, strict=False)
        ]
        route = {"cut": cut, **({"hedge": HEDGE["hedge"]} if hedge else {})}
        reader = Reader()
        one = caller(*channels, route=route, max_attempts=most, backoff_max_s=0.0, deadline_s=5.0)
        outcome = await one.call(
            REQUEST, tokens=10, options=CallOptions(max_cost=money), on_text=reader.hear if stream else None
        )
        check_bill(outcome)
        charged = [one for one in outcome.log if one.outcome != "rate_limited"]
        assert sum(one.sent for one in charged) <= most
        assert money < 0 or outcome.cost + outcome.open_cost <= money
        assert [one.in_flight for one in channels] == [0] * len(channels)
        assert not stream or outcome.reply is None or reader.text == outcome.reply.text
        others = asyncio.all_tasks() - {asyncio.current_task()}
        assert not others

    asyncio.run(go())


class Jittery(FakeChannel):
    """Answers as its script says, after so many turns of the loop before each word and at the end as `rng` says."""

    def __init__(self, account: str, rng: random.Random, *script: Any) -> None:
        super().__init__(account, *script)
        self._rng = rng

    async def _answer(self, answer: Any, model: str, trace: Any, on_text: Any) -> ChatReply:
        async def hear(text: str) -> None:
            await self._turns()
            await on_text(text)

        await self._turns()
        reply = await super()._answer(answer, model, trace, None if on_text is None else hear)
        await self._turns()
        return reply

    async def _turns(self) -> None:
        if self._rng.random() < 0.2:
            await asyncio.sleep(self._rng.choice([0.0005, 0.001, 0.002]))
        for _ in range(self._rng.randrange(4)):
            await asyncio.sleep(0)


@settings(max_examples=200, deadline=None)
@given(
    scripts=st.lists(st.lists(ONE, max_size=4), min_size=1, max_size=3),
    seed=st.integers(0, 1 << 30),
    stream=st.booleans(),
    cut=st.sampled_from(["fail", "restart", "continue"]),
    hedges=st.integers(1, 3),
    cancel=st.sampled_from([None, None, 0.0005, 0.001, 0.002]),
    deadline=st.sampled_from([5.0, 0.022, 0.03]),
)
def test_hedges_that_race_leave_nothing(  # noqa: PLR0917
    scripts: list[list[Any]], seed: int, stream: bool, cut: Any, hedges: int, cancel: float | None, deadline: float
) -> None:
    """However answers, hedges, deadlines and cancellation fall together: each request is billed once, and it ends."""

    async def go() -> None:
        rng = random.Random(seed)
        channels = [
            Jittery(name, rng, *(one if stream or not isinstance(one, list) else "fine" for one in script))
            for name, script in zip("abc", scripts, strict=False)
        ]
        route = {"cut": cut, "hedge": Hedging(share=1.0, initial_s=0.0005, most=hedges)}
        reader = Reader()
        one = caller(*channels, route=route, max_attempts=6, backoff_max_s=0.0, deadline_s=deadline)
        call = asyncio.create_task(one.call(REQUEST, tokens=10, on_text=reader.hear if stream else None))
        if cancel is not None:
            asyncio.get_running_loop().call_later(cancel, call.cancel)
        outcome = None
        try:
            async with asyncio.timeout(3.0):
                outcome = await asyncio.shield(call)
        except asyncio.CancelledError:
            assert cancel is not None
        assert [one.in_flight for one in channels] == [0] * len(channels)
        assert not asyncio.all_tasks() - {asyncio.current_task()}
        if outcome is not None:
            check_bill(outcome)
            # One that was blocked stands on no bill.
            assert len(outcome.log) == sum(len(one.requests) for one in channels) - sum(
                isinstance(step, Blocked)
                for one, script in zip(channels, scripts, strict=False)
                for step in script[: one.calls]
            )
            assert sum(one.sent for one in outcome.log if one.outcome != "rate_limited") <= 6
            assert not stream or outcome.reply is None or reader.text == outcome.reply.text

    asyncio.run(go())
