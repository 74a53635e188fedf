"""A channel over a scripted transport: permits, outcomes, settling, cancelling."""

import asyncio
import contextlib

import pytest

from understudy.actors.channel.channel import Blocked, Gate, HttpChannel, OnText
from understudy.actors.channel.embedded import EmbeddedChannel
from understudy.actors.channel.testing import (
    GenerousProvider,
    Scripted,
    ScriptedTransport,
    completion,
    pieces,
    refusal,
)
from understudy.actors.channel.trace import Trace
from understudy.actors.channel.transport import HttpReply
from understudy.protocols.chat import ChatReply, ChatRequest, Message, Text, Usage
from understudy.protocols.errors import (
    AuthRejected,
    CallError,
    CallTimeout,
    ConnectionFault,
    InvalidReply,
    PrivacyRefused,
    QuotaImpossible,
    RateLimited,
    ServerFault,
)
from understudy.protocols.messages import LeaseGrant, Revoke, Spent
from understudy.protocols.wire.openai import CODEC

REQUEST = ChatRequest("fast", (Message("user", (Text("hi"),)),), max_tokens=100)


def opened(*script: Scripted, private: bool = False) -> tuple[HttpChannel, ScriptedTransport, GenerousProvider]:
    provider = GenerousProvider()
    transport = ScriptedTransport(script)
    return provider.serve(HttpChannel("acme", CODEC, transport, provider.say, private=private)), transport, provider


async def call(
    channel: HttpChannel,
    *,
    tokens: int = 10,
    trace: Trace | None = None,
    gate: Gate | None = None,
    on_text: OnText | None = None,
) -> ChatReply:
    trace = trace or Trace()
    return await channel.call(
        REQUEST, "m", tokens=tokens, cost=lambda usage: usage.total * 100, trace=trace, gate=gate, on_text=on_text
    )


async def turns(count: int = 10) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def settled(channel: HttpChannel, provider: GenerousProvider) -> list[Spent]:
    """All that the channel told as spent, after it was closed."""
    await channel.close()
    return [spent for ask in provider.asks for spent in ask.spent]


async def test_a_call_takes_a_permit_and_settles_it() -> None:
    """The reply comes back; usage and cost are settled as the provider counted them."""
    channel, transport, provider = opened(completion("hello", prompt=12, output=3))
    reply = await call(channel)
    assert (reply.text, reply.model, reply.usage) == ("hello", "m-2026", Usage(12, 3))
    assert transport.posted[0]["model"] == "m"
    [spent] = await settled(channel, provider)
    assert (spent.outcome, spent.tokens, spent.cost, spent.output) == ("ok", 15, 1500, 3)
    assert spent.reserved > 110


async def test_nothing_leaves_without_a_permit() -> None:
    """Until the Provider grants, no request is posted; then as many as were granted, in order."""
    channel, transport, provider = opened()
    provider.closed = True
    calls = [asyncio.create_task(call(channel, tokens=number)) for number in (10, 20, 30)]
    await turns()
    assert transport.posted == []
    [ask] = provider.asks
    assert list(ask.sizes) == sorted(ask.sizes)
    assert len(ask.sizes) == 3
    channel.granted(LeaseGrant(1, ask.number, requests=2, tokens=sum(ask.sizes[:2]), ttl_s=3.0))
    await turns()
    assert [task.done() for task in calls] == [True, True, False]
    assert len(provider.asks[-1].sizes) == 1, "it asks for the one that is left"
    provider.grant(provider.asks[-1])
    await asyncio.gather(*calls)


@pytest.mark.parametrize(
    ("answer", "error", "outcome", "counted"),
    [
        (refusal(500), ServerFault, "server", True),
        (refusal(401, "invalid_api_key"), AuthRejected, "auth", True),
        (refusal(429), RateLimited, "rate_limited", False),
        (HttpReply(200, {}, b"<html>"), InvalidReply, "invalid_reply", True),
        (CallTimeout("late"), CallTimeout, "timeout", True),
        (ConnectionFault("no", sent=False), ConnectionFault, "connection", False),
        (ConnectionFault("broke"), ConnectionFault, "connection", True),
    ],
)
async def test_every_failure_is_raised_and_settled(
    answer: HttpReply | CallError, error: type[CallError], outcome: str, *, counted: bool
) -> None:
    """Each failure comes as its own error, and is settled with its kind; tokens count where they may have been used."""
    channel, _, provider = opened(answer)
    with pytest.raises(error):
        await call(channel)
    [spent] = await settled(channel, provider)
    assert spent.outcome == outcome
    assert spent.tokens == (spent.reserved if counted else 0)


async def test_retry_after_blocks_the_account_and_is_told() -> None:
    """After a 429 with Retry-After the next call is refused here, and the Provider hears of it at once."""
    channel, transport, provider = opened(refusal(429, headers={"retry-after": "30"}))
    with pytest.raises(RateLimited):
        await call(channel)
    with pytest.raises(Blocked) as blocked:
        await call(channel)
    assert 29 < blocked.value.seconds <= 30
    await turns()
    assert provider.asks[-1].retry_after_s == pytest.approx(30, abs=0.5)
    assert len(transport.posted) == 1
    await channel.close()


async def test_a_refusal_fails_who_waits() -> None:
    """Calls that wait hear that the account is blocked, so that another candidate can be tried."""
    channel, _, provider = opened()
    provider.closed = True
    waiting = asyncio.create_task(call(channel))
    await turns()
    channel.granted(LeaseGrant(1, provider.asks[-1].number, blocked_s=7.0, state="open"))
    with pytest.raises(Blocked, match=r"acme may not be called for 7\.0 s \(open\)"):
        await waiting
    await channel.close()


async def test_a_revocation_stops_what_waits_and_returns_permits() -> None:
    """After a Revoke nothing is sent on old permits; they go back."""
    channel, transport, provider = opened()
    provider.closed = True
    waiting = asyncio.create_task(call(channel))
    await turns()
    channel.granted(LeaseGrant(1, provider.asks[-1].number, requests=5, tokens=10_000, ttl_s=3.0))
    channel.revoked(Revoke(1, 5.0))
    with pytest.raises(Blocked):
        await waiting
    assert transport.posted == []
    await channel.close()
    assert sum(ask.back_requests for ask in provider.asks) == 5


async def test_what_is_too_large_fails_and_nothing_else() -> None:
    """Only calls above the quota are failed by a `too_large`, wherever they stand in the line."""
    channel, _, provider = opened()
    provider.closed = True
    small, large = (asyncio.create_task(call(channel, tokens=tokens)) for tokens in (10, 90_000))
    await turns()
    provider.closed = False
    channel.granted(LeaseGrant(1, provider.asks[-1].number, too_large=50_000))
    with pytest.raises(QuotaImpossible, match="the quota is 50000"):
        await large
    assert (await small).text == "fine"
    await channel.close()


async def test_a_cancelled_call_frees_its_slot_and_is_settled_in_full() -> None:
    """Cancelling reaches the transport; the request may have been seen, so its whole reservation counts."""
    never: asyncio.Future[HttpReply] = asyncio.get_running_loop().create_future()
    channel, _, provider = opened(never)
    task = asyncio.create_task(call(channel))
    await turns()
    assert channel.lease.in_flight == 1
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    assert never.cancelled()
    assert channel.lease.in_flight == 0
    [spent] = await settled(channel, provider)
    assert (spent.outcome, spent.tokens) == ("cancelled", spent.reserved)


async def test_a_call_cancelled_as_its_permit_comes_gives_it_back() -> None:
    """A permit that was handed to a call that is gone is unspent, and returns."""
    channel, transport, provider = opened()
    provider.closed = True
    task = asyncio.create_task(call(channel))
    await turns()
    provider.grant(provider.asks[-1])
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    await turns()
    assert transport.posted == []
    assert channel.lease.in_flight == 0
    assert sum(ask.back_requests for ask in provider.asks) == 1
    await channel.close()


async def test_a_waiting_call_is_not_overtaken() -> None:
    """A call that comes while another waits goes behind it, though there would be a permit for it."""
    channel, transport, provider = opened()
    provider.closed = True
    first = asyncio.create_task(call(channel, tokens=1000))
    await turns()
    second = asyncio.create_task(call(channel, tokens=1))
    await turns()
    [ask, *_] = provider.asks
    channel.granted(LeaseGrant(1, ask.number, requests=1, tokens=ask.sizes[0], ttl_s=3.0))
    await turns()
    assert (first.done(), second.done()) == (True, False)
    assert len(transport.posted) == 1
    second.cancel()
    await channel.close()


async def test_many_calls_are_settled_in_few_messages() -> None:
    """A thousand calls at once cost some dozens of messages, not a thousand."""
    channel, transport, provider = opened()
    replies = await asyncio.gather(*(call(channel) for _ in range(1000)))
    assert len(replies) == len(transport.posted) == 1000
    assert len(await settled(channel, provider)) == 1000
    assert len(provider.asks) <= 60


async def test_the_embedded_channel_answers_on_this_machine() -> None:
    """It answers by a function, without a lease."""
    channel = EmbeddedChannel("embedded", lambda request: ChatReply(request.model, "extractive", Usage(1, 1)))
    reply = await channel.call(REQUEST, "extractive", tokens=1, cost=lambda _: 0, trace=Trace())
    assert reply.text == "fast"
    await channel.close()


class Reader:
    """Takes what a stream says; waits at each piece while it is closed."""

    def __init__(self) -> None:
        self.pieces: list[str] = []
        self.open = asyncio.Event()
        self.open.set()

    async def hear(self, text: str) -> None:
        self.pieces.append(text)
        await self.open.wait()


async def test_a_stream_is_given_piece_by_piece() -> None:
    """Each piece reaches the reader as it comes; the usage frame is settled, and the first words' time is known."""
    channel, transport, provider = opened(list(pieces("one two three", prompt=20, output=7)))
    reader, trace = Reader(), Trace()
    reply = await call(channel, trace=trace, on_text=reader.hear)
    assert "".join(reader.pieces) == reply.text == "one two three"
    assert len(reader.pieces) > 1
    assert (trace.usage, trace.text) == (Usage(20, 7), "one two three")
    assert 0 < trace.sent_at <= trace.first_at
    assert transport.posted[0]["stream"] is True
    [spent] = await settled(channel, provider)
    assert (spent.outcome, spent.tokens) == ("ok", 27)


async def test_a_reader_that_waits_holds_up_the_stream() -> None:
    """While the reader is busy nothing more is read: that is the back-pressure."""
    channel, _, _ = opened(list(pieces("abcdefghi", count=9)))
    reader = Reader()
    reader.open.clear()
    task = asyncio.create_task(call(channel, on_text=reader.hear))
    await turns(30)
    assert reader.pieces == ["a"]
    reader.open.set()
    assert (await task).text == "abcdefghi"
    await channel.close()


async def test_a_stream_that_breaks_keeps_what_came() -> None:
    """The error comes after the words before it, which stay in the trace for whoever goes on."""
    channel, _, provider = opened([*pieces("abc", count=3)[:2], ConnectionFault("broke")])
    reader, trace = Reader(), Trace()
    with pytest.raises(ConnectionFault):
        await call(channel, trace=trace, on_text=reader.hear)
    assert (reader.pieces, trace.text) == (["a", "b"], "ab")
    [spent] = await settled(channel, provider)
    assert (spent.outcome, spent.tokens) == ("connection", spent.reserved)


async def test_a_stream_that_ends_too_soon_is_no_answer() -> None:
    """A body that ends before the stream says that it is complete is a broken connection, never a short answer."""
    channel, _, _ = opened(list(pieces("abc")[:2]))
    with pytest.raises(ConnectionFault):
        await call(channel, on_text=Reader().hear)
    await channel.close()


async def test_a_refused_stream_is_classified() -> None:
    """A stream that is refused before it begins fails like any other call."""
    channel, _, _ = opened(refusal(429, headers={"retry-after": "3"}))
    with pytest.raises(RateLimited):
        await call(channel, on_text=Reader().hear)
    await channel.close()


@pytest.mark.parametrize("private", [True, False])
async def test_the_last_gate(*, private: bool) -> None:
    """What must not leave takes no permit and reaches no transport, unless the account is private."""
    channel, transport, provider = opened(private=private)
    if private:
        assert (await call(channel, gate=lambda _: "it holds a key")).text == "fine"
    else:
        with pytest.raises(PrivacyRefused, match="acme is not private: it holds a key") as caught:
            await call(channel, gate=lambda _: "it holds a key")
        assert not caught.value.sent
        assert transport.posted == []
        assert provider.asks == []
    await channel.close()


async def test_a_call_tells_when_its_request_leaves() -> None:
    """Whoever times a request counts from when it left, not from when it began to wait for its permit."""
    channel, _, provider = opened()
    provider.closed = True
    left: list[float] = []
    trace = Trace(lambda: left.append(1.0))
    task = asyncio.create_task(call(channel, trace=trace))
    await turns()
    assert (left, trace.sent_at) == ([], 0.0)
    provider.grant(provider.asks[-1])
    await task
    assert left == [1.0]
    await channel.close()
