"""Logical calls over fake channels: who is tried, what is counted, when it ends."""

import asyncio
import random
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pytest

from understudy.actors.call.caller import Caller
from understudy.actors.call.kit import Kit
from understudy.actors.channel.channel import Blocked, Channel, Cost, Gate, OnText
from understudy.actors.channel.trace import Trace
from understudy.actors.prices import PriceBook
from understudy.protocols.call import CallOptions, Reset
from understudy.protocols.chat import ChatReply, ChatRequest, Message, ResponseFormat, Text, Usage, render_message
from understudy.protocols.config import Account, Attempts, Candidate, Config, Hedging, Price, Route
from understudy.protocols.errors import (
    AuthRejected,
    BadRequest,
    CallTimeout,
    ConfigError,
    ConnectionFault,
    ContentFiltered,
    ContextTooLong,
    InvalidReply,
    QuotaImpossible,
    RateLimited,
    ServerFault,
)

REQUEST = ChatRequest("fast", (Message("user", (Text("hi"),)),))
PRICE = Price(input=1.0, output=2.0)  # dollars for a million tokens: 1e6 and 2e6 picodollars a token


class FakeChannel:
    """A channel that answers by its script; when that is used up, with "fine".

    A text is a reply, an error is raised, None is a wait without end, a future is awaited, a list is a stream of texts
    with perhaps an error among them, and a `ChatReply` is given as it is.
    """

    def __init__(self, account: str, *script: Any) -> None:
        self.account = account
        self.script = list(script)
        self.requests: list[ChatRequest] = []
        self.in_flight = 0
        self.free = -1.0
        self.cancelled = 0
        self.asked = asyncio.Event()

    @property
    def calls(self) -> int:
        return len(self.requests)

    async def call(
        self,
        request: ChatRequest,
        model: str,
        *,
        tokens: int,  # noqa: ARG002
        cost: Cost,  # noqa: ARG002
        trace: Trace,
        gate: Gate | None = None,
        on_text: OnText | None = None,
    ) -> ChatReply:
        assert gate is None or self.account == "private" or not gate(request)
        self.requests.append(request)
        answer = self.script.pop(0) if self.script else "fine"
        if not isinstance(answer, Blocked):
            trace.sent(time.monotonic())
        self.in_flight += 1
        self.asked.set()
        try:
            return await self._answer(answer, model, trace, on_text)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            self.in_flight -= 1

    async def _answer(self, answer: Any, model: str, trace: Trace, on_text: OnText | None) -> ChatReply:
        if answer is None:
            await asyncio.get_running_loop().create_future()
        if isinstance(answer, asyncio.Future):
            answer = await answer
        if isinstance(answer, Exception):
            raise answer
        if isinstance(answer, ChatReply):
            return answer
        if on_text is None:
            return ChatReply(answer, model, Usage(10, 5))
        for piece in [answer] if isinstance(answer, str) else answer:
            if isinstance(piece, Exception):
                raise piece
            trace.first_at = trace.first_at or time.monotonic()
            trace.text += piece
            await on_text(piece)
        return ChatReply(trace.text, model, Usage(10, 5))

    async def close(self) -> None: ...


def caller(
    *channels: FakeChannel,
    priced: bool = True,
    route: Mapping[str, Any] | None = None,
    top: Mapping[str, Any] | None = None,
    **budget: Any,
) -> Caller:
    price = PRICE if priced else None
    candidates = tuple(Candidate(account=one.account, model="m", price=price) for one in channels)
    accounts = {
        one.account: Account(base_url="http://192.0.2.1/v1", private=one.account == "private") for one in channels
    }
    models = {"fast": Route(candidates=candidates, **(route or {}))}
    attempts = Attempts(**{"backoff_s": 0.0, **budget})
    config = Config(accounts=accounts, models=models, attempts=attempts, **(top or {}))
    by_name: Mapping[str, Channel] = {one.account: one for one in channels}
    book = PriceBook(config, at=datetime(2026, 1, 1, tzinfo=UTC))
    return Caller(Kit(config, book, rng=random.Random(1)), by_name.__getitem__)


class Reader:
    """Takes what a stream says."""

    def __init__(self) -> None:
        self.said: list[str | Reset] = []

    async def hear(self, said: str | Reset) -> None:
        self.said.append(said)

    @property
    def text(self) -> str:
        """What a reader has that heeds resets."""
        text = ""
        for said in self.said:
            text = "" if isinstance(said, Reset) else text + said
        return text


async def test_the_first_candidate_answers() -> None:
    """A good reply is one attempt, with its tokens and its cost."""
    first, second = FakeChannel("a", "hello"), FakeChannel("b")
    outcome = await caller(first, second).call(REQUEST, tokens=10)
    assert outcome.reply is not None
    assert (outcome.reply.text, outcome.error, outcome.model, outcome.attempts) == ("hello", "", "a/m", 1)
    assert (outcome.input_tokens, outcome.output_tokens, outcome.cost) == (10, 5, 10 * 10**6 + 5 * 2 * 10**6)
    assert second.calls == 0


async def test_an_unknown_price_is_not_free() -> None:
    """Where no price is known the cost is -1."""
    outcome = await caller(FakeChannel("a"), priced=False).call(REQUEST, tokens=10)
    assert outcome.cost == -1


@pytest.mark.parametrize(
    ("failures", "attempts"),
    [
        ([CallTimeout("late")], 2),
        ([AuthRejected("key", status=401)], 2),
        ([ServerFault("5xx", status=500)] * 3, 4),
        ([ConnectionFault("no", sent=False)] * 3, 1),
        ([InvalidReply("json")] * 2, 3),
        ([QuotaImpossible("large", sent=False)], 1),
        ([RateLimited("slow", retry_after=999.0, status=429)], 2),
        ([Blocked("a", 999.0, "open")], 1),
    ],
)
async def test_the_second_candidate_steps_in(failures: list[Exception], attempts: int) -> None:
    """After each kind of failure, and its retries, the next candidate answers; only requests that left are counted."""
    first, second = FakeChannel("a", *failures), FakeChannel("b", "stood in")
    outcome = await caller(first, second).call(REQUEST, tokens=10)
    assert outcome.reply is not None
    assert (outcome.reply.text, outcome.model, outcome.error, outcome.attempts) == ("stood in", "b/m", "", attempts)
    assert first.calls == len(failures)


async def test_a_bad_request_is_not_repeated_elsewhere() -> None:
    """The request is at fault: nobody else is asked, and the error names who refused."""
    first, second = FakeChannel("a", BadRequest("HTTP 400: no", status=400)), FakeChannel("b")
    outcome = await caller(first, second).call(REQUEST, tokens=10)
    assert (outcome.reply, outcome.error, second.calls) == (None, "a/m: HTTP 400: no", 0)


async def test_health_is_remembered_between_calls() -> None:
    """An account that is down, or blocked for long, is tried last by the next call."""
    first, second = FakeChannel("a", AuthRejected("key", status=401)), FakeChannel("b")
    one = caller(first, second)
    await one.call(REQUEST, tokens=10)
    await one.call(REQUEST, tokens=10)
    assert (first.calls, second.calls) == (1, 2)


async def test_spent_attempts_are_told_with_the_last_cause() -> None:
    """When the attempts are used up the error says so, and what the last one failed with."""
    failing = [ServerFault(f"HTTP 500: {number}", status=500) for number in range(9)]
    outcome = await caller(FakeChannel("a", *failing), max_attempts=2).call(REQUEST, tokens=10)
    assert outcome.error == "gave up after 2 attempts: a/m: HTTP 500: 1"
    assert (outcome.reply, outcome.attempts) == (None, 2)


async def test_all_candidates_fail_and_recover() -> None:
    """When everybody failed in a way that passes, a new round begins."""
    first = FakeChannel("a", CallTimeout("no answer from a"))
    second = FakeChannel("b", CallTimeout("no answer from b"))
    outcome = await caller(first, second).call(REQUEST, tokens=10)
    assert outcome.reply is not None, "both may have recovered: a second round is begun"
    assert outcome.attempts == 3


async def test_the_deadline_holds_also_while_a_permit_is_waited_for() -> None:
    """A call that never gets a permit, or never an answer, ends at its deadline and says so."""
    outcome = await caller(FakeChannel("a", None), deadline_s=0.02).call(REQUEST, tokens=10)
    assert outcome.error.startswith("gave up after the deadline of 0.02 s")
    assert outcome.reply is None


async def test_a_call_can_be_cancelled() -> None:
    """Cancelling is no failure: it goes through to whoever cancelled."""
    task = asyncio.create_task(caller(FakeChannel("a", None)).call(REQUEST, tokens=10))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_route_that_is_not_there() -> None:
    """An unknown route is a mistake in the configuration, told with the routes there are."""
    with pytest.raises(ConfigError, match=r"there is no model 'fats'.*defined: fast"):
        await caller(FakeChannel("a")).call(ChatRequest("fats", ()), tokens=1)


# Hedges ---------------------------------------------------------------------------------------------------------------

HEDGE = {"hedge": Hedging(share=1.0, initial_s=0.001)}


async def test_a_late_call_is_hedged_and_the_loser_is_cancelled() -> None:
    """The second request answers; the first one's socket is closed; both stand on the bill."""
    slow, quick = FakeChannel("a", None), FakeChannel("b", "quick")
    outcome = await caller(slow, quick, route=HEDGE).call(REQUEST, tokens=10)
    assert outcome.reply is not None
    assert (outcome.reply.text, outcome.model, outcome.hedges, outcome.attempts) == ("quick", "b/m", 1, 2)
    assert (slow.cancelled, slow.in_flight) == (1, 0)
    assert [(one.role, one.outcome) for one in outcome.log] == [("hedge", "ok"), ("first", "cancelled")]
    assert outcome.cost == 20 * 10**6
    assert outcome.open_cost > 0, "the provider may have charged for the loser"


async def test_the_first_may_still_win() -> None:
    """When the first request answers after all, its hedge is cancelled."""
    first: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    slow, hedge = FakeChannel("a", first), FakeChannel("b", None)
    task = asyncio.create_task(caller(slow, hedge, route=HEDGE).call(REQUEST, tokens=10))
    await hedge.asked.wait()
    first.set_result("late but here")
    outcome = await task
    assert outcome.reply is not None
    assert (outcome.reply.text, outcome.model, hedge.cancelled) == ("late but here", "a/m", 1)


async def test_a_hedge_stands_in_for_a_first_that_fails() -> None:
    """When the first request fails while its hedge is out, the hedge is waited for and nothing more is sent."""
    first: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    second: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    slow, hedge = FakeChannel("a", first), FakeChannel("b", second)
    task = asyncio.create_task(caller(slow, hedge, route=HEDGE).call(REQUEST, tokens=10))
    await hedge.asked.wait()
    first.set_exception(ServerFault("HTTP 500", status=500))
    await asyncio.sleep(0)
    second.set_result("here")
    outcome = await task
    assert outcome.reply is not None
    assert (outcome.reply.text, slow.calls, hedge.calls) == ("here", 1, 1)


async def test_cancelling_a_hedged_call_ends_both() -> None:
    """Whoever cancels the call cancels all that is out for it."""
    slow, hedge = FakeChannel("a", None), FakeChannel("b", None)
    task = asyncio.create_task(caller(slow, hedge, route=HEDGE).call(REQUEST, tokens=10))
    await hedge.asked.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (slow.in_flight, hedge.in_flight) == (0, 0)


async def test_a_call_may_forbid_hedges() -> None:
    """`hedge=False` and a budget of one attempt each keep the second request from being sent."""
    for options, most in ((CallOptions(hedge=False), 6), (None, 1)):
        slow, second = FakeChannel("a", None), FakeChannel("b")
        one = caller(slow, second, route=HEDGE, deadline_s=0.03, max_attempts=most)
        outcome = await one.call(REQUEST, tokens=10, options=options)
        assert (outcome.reply, second.calls) == (None, 0)


# Streams --------------------------------------------------------------------------------------------------------------


async def test_a_stream_falls_over_before_its_first_words() -> None:
    """Nothing was said yet, so the next candidate's words are all that the reader hears."""
    first, second = FakeChannel("a", [ServerFault("HTTP 529", status=529)] * 1), FakeChannel("b", ["he", "llo"])
    first.script = [CallTimeout("no first words")]
    reader = Reader()
    outcome = await caller(first, second).call(REQUEST, tokens=10, on_text=reader.hear)
    assert outcome.reply is not None
    assert (outcome.reply.text, reader.said) == ("hello", ["he", "llo"])


@pytest.mark.parametrize("cut", ["fail", "restart", "continue"])
async def test_a_stream_that_breaks_in_the_middle(cut: Any) -> None:
    """`fail` ends with what came, `restart` says that it is void, `continue` goes on where it broke; no text twice."""
    broken: list[Any] = ["Once upon a time there ", "was a king who ", ConnectionFault("broke")]
    whole = "Once upon a time there was a king who ruled."
    second = (
        ["was a king who ", "ruled."] if cut == "continue" else ["Once upon a time there was a king who ", "ruled."]
    )
    first, other = FakeChannel("a", *[broken] * 3), FakeChannel("b", second)
    reader = Reader()
    one = caller(first, other, route={"cut": cut}, per_candidate=1)
    outcome = await one.call(REQUEST, tokens=10, on_text=reader.hear)
    if cut == "fail":
        assert outcome.reply is None
        assert "after 38 characters" in outcome.error
        assert (reader.text, other.calls) == ("Once upon a time there was a king who ", 0)
        return
    assert outcome.reply is not None
    assert reader.text == outcome.reply.text == whole
    assert any(isinstance(said, Reset) for said in reader.said) is (cut == "restart")
    if cut == "continue":
        assert "Once upon a time there was a king who" in "".join(map(render_message, other.requests[0].messages))
    assert [attempt.outcome for attempt in outcome.log] == ["connection", "ok"]
    assert outcome.open_cost > 0


async def test_only_one_of_two_hedged_streams_is_heard() -> None:
    """The stream that has the first words goes on; the other one is cancelled and never heard."""
    slow, quick = FakeChannel("a", None), FakeChannel("b", ["qu", "ick"])
    reader = Reader()
    outcome = await caller(slow, quick, route=HEDGE).call(REQUEST, tokens=10, on_text=reader.hear)
    assert outcome.reply is not None
    assert (reader.said, outcome.reply.text, slow.cancelled) == (["qu", "ick"], "quick", 1)


# What a reply has to be -----------------------------------------------------------------------------------------------

SHAPED = ChatRequest(
    "fast",
    (Message("user", (Text("who?"),)),),
    response_format=ResponseFormat('{"type":"object","properties":{"name":{"type":"string"}},"required":["name"]}'),
)


async def test_a_reply_of_the_wrong_shape_is_shown_its_error_once() -> None:
    """The model sees what is wrong with its answer; then the next candidate steps in. Each answer is paid."""
    first, second = FakeChannel("a", '{"nom": "x"}', '{"nom": "y"}'), FakeChannel("b", '{"name": "z"}')
    outcome = await caller(first, second).call(SHAPED, tokens=10)
    assert outcome.reply is not None
    assert (outcome.reply.text, first.calls, outcome.attempts) == ('{"name": "z"}', 2, 3)
    shown = "".join(map(render_message, first.requests[1].messages))
    assert '{"nom": "x"}' in shown
    assert "name" in shown
    assert outcome.cost == 3 * 20 * 10**6
    assert [one.outcome for one in outcome.log] == ["invalid_reply", "invalid_reply", "ok"]


async def test_a_refusal_by_a_filter_is_never_passed_silently() -> None:
    """Another provider is asked; with `rephrase` the same one first, in other words; with `fail` nobody."""
    first, second = FakeChannel("a", ContentFiltered("no", status=200)), FakeChannel("b")
    outcome = await caller(first, second).call(REQUEST, tokens=10)
    assert (outcome.model, outcome.attempts) == ("b/m", 2)
    first, second = FakeChannel("a", ContentFiltered("no", status=200)), FakeChannel("b")
    outcome = await caller(first, second, route={"filtered": "rephrase"}).call(REQUEST, tokens=10)
    assert (outcome.model, second.calls) == ("a/m", 0)
    assert first.requests[1] != first.requests[0]
    first, second = FakeChannel("a", ContentFiltered("no", status=200)), FakeChannel("b")
    outcome = await caller(first, second, route={"filtered": "fail"}).call(REQUEST, tokens=10)
    assert (outcome.reply, second.calls) == (None, 0)


async def test_a_prompt_that_is_too_long_is_cut_by_the_policy() -> None:
    """After the provider's refusal the same model gets a shorter prompt."""
    words = " ".join(f"word{number}" for number in range(3000))
    request = ChatRequest("fast", (Message("user", (Text(words),)),), max_tokens=100)
    first = FakeChannel("a", ContextTooLong("HTTP 400: too long", status=400))
    outcome = await caller(first, route={"overflow": "truncate_middle"}).call(request, tokens=6000)
    assert outcome.reply is not None
    before, after = (len(render_message(one.messages[0])) for one in first.requests)
    assert after < before * 0.8


# The last rungs -------------------------------------------------------------------------------------------------------


async def test_a_declared_answer_stands_in_for_all() -> None:
    """When everybody failed the declared answer is given, told as degraded, with the cause."""
    first = FakeChannel("a", *[ServerFault("HTTP 500", status=500)] * 9)
    outcome = await caller(first, route={"degraded": "We are busy."}, max_attempts=2).call(REQUEST, tokens=10)
    assert outcome.reply is not None
    assert (outcome.reply.text, outcome.rung, outcome.degraded) == ("We are busy.", "degraded", True)
    assert outcome.error.startswith("gave up after 2 attempts")
    assert outcome.result().queued


async def test_an_earlier_answer_is_given_again() -> None:
    """A call that allows it is answered from the cache without a request; one that does not is made anew."""
    first = FakeChannel("a", "one", "two")
    one = caller(first, route={"cache": {"ttl_s": 60.0}})
    options = CallOptions(cache=True)
    assert (await one.call(REQUEST, tokens=10, options=options)).rung == "model"
    again = await one.call(REQUEST, tokens=10, options=options)
    assert again.reply is not None
    assert (again.reply.text, again.rung, again.degraded, again.attempts) == ("one", "cache", False, 0)
    other = await one.call(REQUEST, tokens=10)
    assert other.reply is not None
    assert (other.reply.text, other.rung, first.calls) == ("two", "model", 2)


async def test_an_older_answer_stands_in_when_everybody_fails() -> None:
    """An answer that is no longer fresh is given only after every model failed, and is told as such."""
    first = FakeChannel("a", "one", *[ServerFault("HTTP 500", status=500)] * 9)
    one = caller(first, route={"cache": {"ttl_s": 1e-9, "stale_s": 60.0}}, max_attempts=2)
    options = CallOptions(cache=True)
    await one.call(REQUEST, tokens=10, options=options)
    stale = await one.call(REQUEST, tokens=10, options=options)
    assert stale.reply is not None
    assert (stale.reply.text, stale.rung, stale.degraded, stale.attempts) == ("one", "stale", True, 2)
    assert (await one.call(REQUEST, tokens=10)).reply is None, "a call that does not allow it gets none"


# Money and privacy ----------------------------------------------------------------------------------------------------


async def test_a_call_never_passes_its_money() -> None:
    """What was spent and what an attempt may cost at most stay below the call's budget, else nothing is sent."""
    most = CallOptions(max_cost=4000 * 10**6)
    first = FakeChannel("a", *[InvalidReply("json", status=200)] * 9)
    outcome = await caller(first).call(REQUEST, tokens=10, options=most)
    assert outcome.reply is None
    assert first.calls == 1, "the first may have cost half of it, a second would pass it"
    assert max(outcome.cost, 0) + outcome.open_cost <= most.max_cost
    poor = await caller(FakeChannel("a")).call(REQUEST, tokens=10, options=CallOptions(max_cost=1))
    assert (poor.reply, poor.attempts) == (None, 0)
    assert "money" in poor.error


async def test_what_must_not_leave_goes_to_private_accounts_only() -> None:
    """Neither the order nor a fallback reaches an account that is not private; without one, nothing is sent."""
    outside, inside = FakeChannel("a"), FakeChannel("private", *[ServerFault("HTTP 500", status=500)] * 9)
    options = CallOptions(private=True)
    outcome = await caller(outside, inside, max_attempts=4).call(REQUEST, tokens=10, options=options)
    assert (outcome.reply, outside.calls, inside.calls) == (None, 0, 4)
    nobody = await caller(outside).call(REQUEST, tokens=10, options=options)
    assert (nobody.reply, outside.calls) == (None, 0)
    assert "private" in nobody.error


async def test_personal_data_is_kept_where_the_configuration_says_so() -> None:
    """With `pii: private_only` a request that holds an address goes to the private account."""
    request = ChatRequest(
        "fast", (Message("user", (Text("write to ann.smith@example.org about 4111 1111 1111 1111"),)),)
    )
    outside, inside = FakeChannel("a"), FakeChannel("private", "kept")
    one = caller(outside, inside, top={"routing": {"pii": "private_only"}})
    outcome = await one.call(request, tokens=10)
    assert (outcome.model, outside.calls) == ("private/m", 0)
    assert (await one.call(REQUEST, tokens=10)).model == "a/m"


async def test_an_account_that_waits_with_its_breaker_closed_is_waited_for() -> None:
    """A Retry-After blocks an account though its breaker is closed: the call waits, and goes on."""
    first = FakeChannel("a", Blocked("a", 0.06, "closed"), "after the wait")
    outcome = await caller(first).call(REQUEST, tokens=10)
    assert outcome.reply is not None
    assert (outcome.reply.text, first.calls, outcome.attempts) == ("after the wait", 2, 1)


async def test_an_account_whose_job_has_ended_is_not_waited_for() -> None:
    """A channel that is closed gives no more permits to this share: the call ends at once."""
    outcome = await caller(FakeChannel("a", *[Blocked("a", 0.0, "ended")] * 9)).call(REQUEST, tokens=10)
    assert (outcome.reply, outcome.attempts) == (None, 0)
