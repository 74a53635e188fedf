"""The interpreter for any calls: nothing of what came of them is lost on the way."""

import msgspec

from understudy.actors.call.caller import Caller
from understudy.actors.call.logical import OnStream
from understudy.actors.call.outcome import CallOutcome
from understudy.actors.interpreter import load
from understudy.actors.requests import Ask, Requests, batch_item, read, read_all, request_item
from understudy.protocols.call import RESET, Attempt, CallOptions, Reset
from understudy.protocols.chat import ChatReply, ChatRequest, Message, Text, Usage
from understudy.protocols.jobs import JobSpec
from understudy.protocols.messages import ItemDone

SPEC = JobSpec("job-1", "", "understudy.actors.requests:Requests", b"", b"", tenant="acme")
REQUEST = ChatRequest("chat", (Message("user", (Text("hi"),)),))
TRIED = Attempt("one/m", "first", "server", 0.0, 1.0, cost=0, error="gone")
PAID = Attempt("two/m", "hedge", "ok", 1.0, 2.0, usage=Usage(10, 5, 3, 2), cost=7, open_cost=4)


class FakeCaller(Caller):
    """Answers every call by the same outcome, and a stream by what it is told to say."""

    def __init__(self, reply: str | None = "fine", says: tuple[str | Reset, ...] = ("fi", "ne")) -> None:
        self.reply = reply
        self.says = says
        self.asked: list[tuple[ChatRequest, int, CallOptions | None]] = []

    async def call(
        self,
        request: ChatRequest,
        *,
        tokens: int,
        options: CallOptions | None = None,
        on_text: OnStream | None = None,
    ) -> CallOutcome:
        self.asked.append((request, tokens, options))
        outcome = CallOutcome(took_s=3.0)
        outcome.add(TRIED)
        outcome.add(PAID)
        if on_text is not None:
            for one in self.says:
                await on_text(one)
        if self.reply is None:
            outcome.error = "everybody failed"
        else:
            outcome.reply, outcome.rung = ChatReply(self.reply, "m", Usage(10, 5, 3, 2)), "model"
        return outcome


async def done(item: bytes, caller: FakeCaller) -> ItemDone:
    return await Requests(SPEC).map(3, item, caller)


async def test_a_result_travels_whole() -> None:
    """Each attempt with its usage and its cost comes out as it went in; the sums stand in the item's answer."""
    caller = FakeCaller()
    answer = await done(request_item(REQUEST, 12), caller)
    result = read(answer)
    assert result.reply is not None
    assert result.reply.text == "fine"
    assert result.attempts == (TRIED, PAID)
    assert (result.took_s, result.rung) == (3.0, "model")
    assert (answer.item, answer.error, answer.model) == (3, "", "two/m")
    assert (answer.attempts, answer.hedges, answer.cost, answer.degraded) == (2, 1, 7, False)
    assert (answer.input_tokens, answer.output_tokens) == (10, 5)


async def test_the_call_is_made_for_the_job() -> None:
    """The job and its tenant are told where the call names none; what the call says stays."""
    caller = FakeCaller()
    await done(request_item(REQUEST, 12), caller)
    await done(request_item(REQUEST, 12, CallOptions(tenant="other", deadline_s=2.0)), caller)
    (request, tokens, first), (_, _, second) = caller.asked
    assert (request, tokens) == (REQUEST, 12)
    assert first == CallOptions(tenant="acme", job="job-1")
    assert second == CallOptions(tenant="other", job="job-1", deadline_s=2.0)


async def test_a_failure_is_told_with_its_attempts() -> None:
    """Why there is no answer, and what was tried."""
    answer = await done(request_item(REQUEST, 12), FakeCaller(reply=None))
    assert answer.error == "everybody failed"
    assert read(answer).reply is None
    assert len(read(answer).attempts) == 2


async def test_a_stream_has_to_say_what_the_reply_says() -> None:
    """Text before a reset is void; a stream that says anything else is an error."""
    item = request_item(REQUEST, 12, stream=True)
    assert (await done(item, FakeCaller(says=("wrong", RESET, "fi", "ne")))).error == ""
    answer = await done(item, FakeCaller(says=("fi", "fine")))
    assert "not those of the reply" in answer.error
    assert read(answer).reply is None


async def test_calls_of_a_batch_go_out_at_once_and_fail_alone() -> None:
    """Each has its own result, in the order they were asked for."""
    requests = [msgspec.structs.replace(REQUEST, max_tokens=number) for number in (1, 2, 3)]
    caller = FakeCaller()
    answer = await done(batch_item([Ask(12, one) for one in requests]), caller)
    batch = read_all(answer)
    assert [one.max_tokens for one, _, _ in caller.asked] == [1, 2, 3]
    assert len(batch.results) == 3
    assert (answer.attempts, answer.cost) == (6, 21)
    assert batch.took_s >= 0.0


def test_what_was_never_made_has_its_error() -> None:
    """An item that failed before its call."""
    assert read(ItemDone(1, error="no such route")).error == "no such route"
    assert read_all(ItemDone(1)).results == []


def test_it_is_found_by_its_path_and_reduces_nothing() -> None:
    """As a job names it."""
    found = load(SPEC)
    assert isinstance(found, Requests)
    assert list(found.tree()) == []
    assert list(found.leaves(ItemDone(1))) == []
