"""Logical calls over fake channels: who is tried, what is counted, when it ends."""

import asyncio
import random
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pytest

from understudy.actors.call.caller import Caller
from understudy.actors.channel.channel import Blocked, Channel, Cost
from understudy.actors.prices import PriceBook
from understudy.actors.router.core import Router
from understudy.protocols.chat import ChatReply, ChatRequest, Message, Text, Usage
from understudy.protocols.config import Account, Attempts, Candidate, Config, Price
from understudy.protocols.errors import (
    AuthRejected,
    BadRequest,
    CallTimeout,
    ConfigError,
    ConnectionFault,
    InvalidReply,
    QuotaImpossible,
    RateLimited,
    ServerFault,
)

REQUEST = ChatRequest("fast", (Message("user", (Text("hi"),)),))
PRICE = Price(input=1.0, output=2.0)  # dollars for a million tokens: 1e6 and 2e6 picodollars a token


class FakeChannel:
    """A channel that answers by its script: a reply for a text, an error to raise, or a wait without end for None."""

    def __init__(self, account: str, *script: Any) -> None:
        self.account = account
        self.script = list(script)
        self.calls = 0

    async def call(self, request: ChatRequest, model: str, *, tokens: int, cost: Cost) -> ChatReply:  # noqa: ARG002
        self.calls += 1
        answer = self.script.pop(0) if self.script else "fine"
        if answer is None:
            await asyncio.get_running_loop().create_future()
        if isinstance(answer, Exception):
            raise answer
        return ChatReply(answer, model, Usage(10, 5))

    async def close(self) -> None: ...


def caller(*channels: FakeChannel, priced: bool = True, **budget: Any) -> Caller:
    price = PRICE if priced else None
    candidates = tuple(Candidate(account=one.account, model="m", price=price) for one in channels)
    accounts = {one.account: Account(base_url="http://127.0.0.1:9/v1") for one in channels}
    config = Config(accounts=accounts, models={"fast": candidates})
    by_name: Mapping[str, Channel] = {one.account: one for one in channels}
    attempts = Attempts(**{"backoff_s": 0.0, **budget})
    book = PriceBook(config, at=datetime(2026, 1, 1, tzinfo=UTC))
    return Caller(
        Router({name: route.candidates for name, route in config.models.items()}),
        by_name,
        book,
        attempts,
        rng=random.Random(1),
    )


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


async def test_all_candidates_out() -> None:
    """When nobody is left the error is the last cause."""
    first = FakeChannel("a", CallTimeout("no answer from a"))
    second = FakeChannel("b", CallTimeout("no answer from b"))
    outcome = await caller(first, second).call(REQUEST, tokens=10)
    assert (outcome.reply, outcome.error) == (None, "b/m: no answer from b")


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
