"""Every row of the decision table, in every dialect, whole and streamed, over real sockets; judged by the ledgers."""

import asyncio
import dataclasses
import time
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest
from matrix_tools import (
    DIALECTS,
    SCHEMA,
    TOTAL_S,
    Told,
    account,
    calm,
    configuration,
    outcomes,
    picodollars,
    question,
    simulator,
    stage,
)

from understudy.actors.guard import TICK_S
from understudy.cluster.simulator import Faults, Record, SimulatorProcess
from understudy.protocols.call import CallOptions
from understudy.protocols.chat import ChatRequest, render_message
from understudy.protocols.decisions import TABLE

pytestmark = pytest.mark.sockets

each_dialect = pytest.mark.parametrize("dialect", DIALECTS)
both_ways = pytest.mark.parametrize("stream", [False, True], ids=["unary", "stream"])


@pytest.fixture(scope="module")
def first() -> Iterator[SimulatorProcess]:
    """The provider under test; it speaks every dialect."""
    with simulator() as running:
        yield running


@pytest.fixture(scope="module")
def second() -> Iterator[SimulatorProcess]:
    """The one that steps in."""
    with simulator() as running:
        yield running


NORMAL = CallOptions()


@dataclasses.dataclass(frozen=True)
class Case:
    """A row of the table as something that happens.

    Attributes:
        name: for people.
        row: of the decision table.
        first: how the requests to the first provider ended, in order; and
        second: those to the second one.
        rates: faults that the first provider's every request meets, with their settings.
        next: (count, kind) of its next requests' fault.
        answered: whether the call has an answer.
        only: dialects it happens in.
        streams: whether it happens in a stream, else, or both.
        request: what is asked.
        options: how.
        route: settings of the route.
        account: settings of the first account.
        whole: the answer is that of an untroubled call.
    """

    name: str
    row: str
    first: tuple[str, ...]
    second: tuple[str, ...] = ()
    rates: dict[str, Any] = dataclasses.field(default_factory=dict)
    next: tuple[int, str] | None = None
    answered: bool = True
    only: tuple[str, ...] = DIALECTS
    streams: tuple[bool, ...] = (False, True)
    request: ChatRequest = dataclasses.field(default_factory=question)
    options: CallOptions = NORMAL
    route: dict[str, Any] = dataclasses.field(default_factory=dict)
    account: dict[str, Any] = dataclasses.field(default_factory=dict)
    whole: bool = True


JSON = question("Answer in JSON.", schema=SCHEMA)
LONG = question("A long story. " + "word " * 4000)

CASES = (
    # server: two retries after a back-off, then the next candidate
    Case("500-recovers", "server", ("error_500", "error_500", "ok"), next=(2, "error_500")),
    Case("500-stays", "server", ("error_500",) * 3, ("ok",), rates={"error_500": 1.0}),
    Case("503-stays", "server", ("error_503",) * 3, ("ok",), rates={"error_503": 1.0}),
    Case("overloaded", "server", ("overloaded",) * 3, ("ok",), rates={"overloaded": 1.0}),
    # connection: as above
    Case("drop-recovers", "connection", ("dropped", "ok"), next=(1, "drop")),
    Case("drop-stays", "connection", ("dropped",) * 3, ("ok",), rates={"drop": 1.0}),
    Case("cut-body", "connection", ("cut",) * 3, ("ok",), rates={"cut": 1.0}, streams=(False,)),
    Case("cut-at-once", "connection", ("cut",) * 3, ("ok",), rates={"cut": 1.0, "cut_at": 0.0}, streams=(True,)),
    # timeout: the next candidate at once
    Case("timeout", "timeout", ("timeout",), ("ok",), rates={"timeout": 1.0}),
    # invalid reply: once more, then the next candidate
    Case("malformed-once", "invalid_reply", ("malformed", "ok"), next=(1, "malformed")),
    Case("malformed-stays", "invalid_reply", ("malformed",) * 2, ("ok",), rates={"malformed": 1.0}),
    Case(
        "schema-repaired",
        "invalid_reply",
        ("schema_mismatch", "ok"),
        rates={"schema_mismatch": 1.0},
        request=JSON,
        whole=False,
    ),
    Case(
        "schema-stays",
        "invalid_reply",
        ("malformed", "schema_mismatch"),
        ("ok",),
        next=(1, "malformed"),
        rates={"schema_mismatch": 1.0},
        request=JSON,
        whole=False,
    ),
    # context too long: a larger window, or less of the prompt
    Case("context-larger", "context_too_long", ("context",), ("ok",), rates={"context": 1.0}),
    Case(
        "context-truncated",
        "context_too_long",
        ("context", "ok"),
        next=(1, "context"),
        request=LONG,
        options=CallOptions(overflow="truncate_middle"),
        account={"alone": True},
        whole=False,
    ),
    Case(
        "context-fails",
        "context_too_long",
        ("context",),
        rates={"context": 1.0},
        options=CallOptions(overflow="fail"),
        answered=False,
    ),
    # filtered: another provider, once more in other words, or an error; never passed silently
    Case("filtered-next", "filtered", ("filtered",), ("ok",), rates={"filtered": 1.0}),
    Case("filtered-error", "filtered", ("filtered",), ("ok",), rates={"filtered": 1.0, "filtered_as": "error"}),
    Case(
        "filtered-rephrased",
        "filtered",
        ("filtered", "ok"),
        next=(1, "filtered"),
        options=CallOptions(filtered="rephrase"),
        whole=False,
    ),
    Case(
        "filtered-fails",
        "filtered",
        ("filtered",),
        rates={"filtered": 1.0},
        options=CallOptions(filtered="fail"),
        answered=False,
    ),
    # the account's or the request's own fault
    Case("auth", "auth", ("auth",), ("ok",), rates={"auth": 1.0}),
    Case("not-found", "not_found", ("not_found",), ("ok",), rates={"not_found": 1.0}),
    Case("bad-request", "bad_request", ("bad_request",), rates={"bad_request": 1.0}, answered=False),
    Case("out-of-credit", "rate_limited", ("insufficient_quota",), ("ok",), rates={"insufficient_quota": 1.0}),
    Case("larger-than-the-quota", "quota_impossible", (), ("ok",), account={"limits": {"tpm": 100}}),
    Case("private", "private", (), ("ok",), options=CallOptions(private=True), account={"private": False}),
    # a 429 falls over at once when somebody else is free
    Case(
        "refused-falls-over",
        "rate_limited",
        ("refused_429",),
        ("ok",),
        rates={"refused_429": 1.0, "refused_after_s": 5.0},
    ),
    # streams that break after their first words
    Case("stall", "timeout", ("stall",), ("ok",), rates={"stall": 1.0}, streams=(True,)),
    Case("error-event", "server", ("stream_error",) * 3, ("ok",), rates={"stream_error": 1.0}, streams=(True,)),
    Case("cut-restarts", "connection", ("cut",) * 3, ("ok",), rates={"cut": 1.0}, streams=(True,)),
    Case(
        "cut-goes-on",
        "connection",
        ("cut", "ok"),
        next=(1, "cut"),
        options=CallOptions(cut="continue"),
        streams=(True,),
    ),
    Case(
        "cut-goes-on-elsewhere",
        "connection",
        ("cut",) * 3,
        ("ok",),
        rates={"cut": 1.0},
        options=CallOptions(cut="continue"),
        streams=(True,),
    ),
    Case(
        "cut-fails",
        "connection",
        ("cut",),
        rates={"cut": 1.0},
        options=CallOptions(cut="fail"),
        streams=(True,),
        answered=False,
    ),
)

MATRIX = [
    pytest.param(case, dialect, stream, id=f"{case.name}-{dialect}-{'stream' if stream else 'unary'}")
    for case in CASES
    for dialect in case.only
    for stream in case.streams
]


def _accounts(dialect: str, first: SimulatorProcess, second: SimulatorProcess | None, **fields: Any) -> dict[str, Any]:
    """The account under test, and one of another kind that steps in."""
    accounts = {"lead": account(dialect, first.url, **fields)}
    if second is not None:
        accounts["stand-in"] = account("openai" if dialect != "openai" else "anthropic", second.url)
    return accounts


def _check_bill(told: Told, *ledgers: list[Record]) -> None:
    """Our bill is what the ledgers say, to the picodollar, and so are the tokens."""
    assert told.cost == told.outcome.cost == picodollars(*ledgers)
    paid = [record for records in ledgers for record in records if Decimal(record.cost)]
    assert told.outcome.output_tokens == sum(record.completion_tokens for record in paid)
    assert told.outcome.input_tokens == sum(record.prompt_tokens for record in paid)
    assert told.outcome.attempts == sum(map(len, ledgers))


async def _untroubled(first: SimulatorProcess, request: ChatRequest) -> str:
    async with stage(configuration({"lead": account("openai", first.url)})) as calm_stage:
        return (await calm_stage.call(request)).answer


async def _made(
    case: Case, dialect: str, stream: bool, first: SimulatorProcess, second: SimulatorProcess
) -> tuple[Told, list[Record], list[Record]]:
    fields = dict(case.account)
    other = None if fields.pop("alone", False) else second
    config = configuration(_accounts(dialect, first, other, **fields), route=case.route)
    first.control(faults=Faults(**case.rates))
    if case.next is not None:
        count, kind = case.next
        first.control(fail_next={"count": count, "kind": kind})
    async with stage(config) as made:
        tokens = sum(len(render_message(message)) for message in case.request.messages) // 4
        told = await made.call(case.request, stream=stream, options=case.options, tokens=tokens)
    return told, first.ledger(), second.ledger()


@pytest.mark.parametrize(("case", "dialect", "stream"), MATRIX)
async def test_the_table(
    case: Case, dialect: str, stream: bool, first: SimulatorProcess, second: SimulatorProcess
) -> None:
    """Who is asked, how often, what comes of it, what the reader of a stream is left with, and what it costs."""
    calm(first, second)
    wanted = await _untroubled(first, case.request) if case.whole and case.answered else ""
    calm(first, second)
    told, lead, stand_in = await _made(case, dialect, stream, first, second)
    calm(first, second)
    assert (outcomes(lead), outcomes(stand_in)) == ([*case.first], [*case.second]), told.outcome.error
    assert (told.outcome.reply is not None) == case.answered, told.outcome.error
    _check_bill(told, lead, stand_in)
    if not case.answered:
        assert told.outcome.error
        return
    assert not told.outcome.error
    assert not wanted or told.answer == wanted
    if stream:
        assert told.text == told.answer, "what its reader has is the whole answer, once"


def test_no_row_is_left_out() -> None:
    """Each row of the table has a case."""
    assert {case.row for case in CASES} == set(TABLE)


# Times ----------------------------------------------------------------------------------------------------------------


@each_dialect
@both_ways
async def test_a_refused_account_is_waited_for_when_it_is_alone(
    dialect: str, stream: bool, first: SimulatorProcess
) -> None:
    """Told by header in milliseconds or by Gemini's RetryInfo: the second request comes then, not before, nor late."""
    await _waits(dialect, first, stream=stream, form="ms", after_s=0.2)


@pytest.mark.parametrize("dialect", ["openai", "anthropic"])
@pytest.mark.parametrize("form", ["seconds", "date"])
async def test_whole_seconds_and_dates_are_waited_for(dialect: str, form: str, first: SimulatorProcess) -> None:
    """The other two forms of Retry-After; both know whole seconds only."""
    await _waits(dialect, first, stream=False, form=form, after_s=0.05)


async def _waits(dialect: str, first: SimulatorProcess, *, stream: bool, form: str, after_s: float) -> None:
    calm(first)
    first.control(refuse_next={"count": 1, "after_s": after_s, "form": form})
    async with stage(configuration(_accounts(dialect, first, None))) as alone:
        told = await alone.call(stream=stream)
    refused, answered = first.ledger()
    assert (refused.outcome, answered.outcome) == ("refused_429", "ok"), told.outcome.error
    assert refused.retry_after_s is not None
    assert refused.retry_after_s - 0.01 <= answered.t - refused.t <= refused.retry_after_s + 0.5
    assert first.summary().early_calls == 0
    _check_bill(told, [refused, answered])


@each_dialect
async def test_nobody_waits_for_a_refused_account_when_another_is_free(
    dialect: str, first: SimulatorProcess, second: SimulatorProcess
) -> None:
    """Neither does the call that is refused, nor the next ones, which do not touch the account at all."""
    calm(first, second)
    first.control(refuse_next={"count": 1, "after_s": 5.0, "form": "ms"})
    async with stage(configuration(_accounts(dialect, first, second))) as made:
        began = time.monotonic()
        calls = [await made.call() for _ in range(3)]
        took = time.monotonic() - began
    assert all(told.outcome.reply for told in calls)
    assert took < 1.0
    assert outcomes(first.ledger()) == ["refused_429"]
    assert outcomes(second.ledger()) == ["ok"] * 3
    _check_bill(_sum(calls), first.ledger(), second.ledger())


@each_dialect
async def test_a_timeout_takes_its_time_and_no_more(
    dialect: str, first: SimulatorProcess, second: SimulatorProcess
) -> None:
    """The next candidate is asked as soon as the first one's time is over; its socket is closed."""
    calm(first, second)
    first.control(faults=Faults(timeout=1.0))
    async with stage(configuration(_accounts(dialect, first, second))) as made:
        told = await made.call()
    ledger = first.ledger()
    assert told.outcome.reply is not None
    assert TOTAL_S - TICK_S <= told.outcome.took_s < TOTAL_S + 0.5
    [late] = ledger
    assert late.client_left


# What stays -----------------------------------------------------------------------------------------------------------


@each_dialect
async def test_a_rejected_key_takes_the_account_down(
    dialect: str, first: SimulatorProcess, second: SimulatorProcess
) -> None:
    """The calls after it do not touch the account, whatever it would say now; its snapshot tells why."""
    calm(first, second)
    first.control(fail_next={"count": 1, "kind": "auth"})
    async with stage(configuration(_accounts(dialect, first, second))) as made:
        calls = [await made.call() for _ in range(3)]
        snapshot = made.providers["lead"]._core.snapshot(now=time.monotonic())
    assert outcomes(first.ledger()) == ["auth"]
    assert outcomes(second.ledger()) == ["ok"] * 3
    assert snapshot.state == "down"
    _check_bill(_sum(calls), first.ledger(), second.ledger())


@each_dialect
@both_ways
async def test_when_everybody_fails_the_budget_ends_it(
    dialect: str, stream: bool, first: SimulatorProcess, second: SimulatorProcess
) -> None:
    """All attempts together are the budget's, and then the declared answer stands in, told as such."""
    calm(first, second)
    for one in (first, second):
        one.control(faults=Faults(error_500=1.0))
    config = configuration(
        _accounts(dialect, first, second), route={"degraded": "Nobody can answer now."}, max_attempts=5
    )
    async with stage(config) as made:
        told = await made.call(stream=stream)
    assert len(first.ledger()) + len(second.ledger()) == 5 == told.outcome.attempts
    assert (told.outcome.rung, told.answer) == ("degraded", "Nobody can answer now.")
    assert told.outcome.result().queued
    assert "gave up after 5 attempts" in told.outcome.error


@each_dialect
async def test_an_older_answer_stands_in_before_the_declared_one(
    dialect: str, first: SimulatorProcess, second: SimulatorProcess
) -> None:
    """Fresh from the cache without a request; stale when everybody has failed; the cascade in one go."""
    calm(first, second)
    route = {"cache": {"ttl_s": 0.2, "stale_s": 60.0}, "degraded": "Nobody can answer now."}
    options = CallOptions(cache=True)
    async with stage(configuration(_accounts(dialect, first, second), route=route, max_attempts=4)) as made:
        one = await made.call(options=options)
        again = await made.call(options=options)
        assert (again.outcome.rung, again.answer, len(first.ledger())) == ("cache", one.answer, 1)
        for each in (first, second):
            each.control(faults=Faults(error_503=1.0))
        await asyncio.sleep(0.2)
        stale = await made.call(options=options)
        assert (stale.outcome.rung, stale.answer) == ("stale", one.answer)
        declared = await made.call(question("Another question?"), options=options)
        assert declared.outcome.rung == "degraded"
    assert len(first.ledger()) + len(second.ledger()) == 1 + 4 + 4


@each_dialect
@both_ways
async def test_the_third_candidate_steps_in(
    dialect: str, stream: bool, first: SimulatorProcess, second: SimulatorProcess
) -> None:
    """Primary down, secondary revoked: the tertiary answers."""
    calm(first, second)
    first.control(outage="error_503")
    accounts = {
        "lead": account(dialect, first.url),
        "next": account("gemini", first.url),
        "last": account("openai", second.url),
    }
    async with stage(configuration(accounts, max_attempts=7)) as made:
        told = await made.call(stream=stream)
    assert told.outcome.model == "last/sim-large"
    assert outcomes(first.ledger()) == ["outage"] * 6
    assert outcomes(second.ledger()) == ["ok"]
    _check_bill(told, first.ledger(), second.ledger())


# Streams --------------------------------------------------------------------------------------------------------------


@each_dialect
@pytest.mark.parametrize("cut_at", [0.2, 0.5, 0.95])
async def test_what_is_gone_on_with_is_said_once(dialect: str, cut_at: float, first: SimulatorProcess) -> None:
    """Cut early, in the middle and at the end: the rest is asked for and nothing comes twice, nor is missing."""
    calm(first)
    wanted = await _untroubled(first, question())
    calm(first)
    first.control(faults=Faults(cut_at=cut_at), fail_next={"count": 2, "kind": "cut"})
    async with stage(configuration(_accounts(dialect, first, None))) as made:
        told = await made.call(stream=True, options=CallOptions(cut="continue"))
    records = first.ledger()
    assert outcomes(records) == ["cut", "cut", "ok"], told.outcome.error
    assert [record.continued for record in records] == [False, True, True]
    assert (told.text, told.answer, told.resets) == (wanted, wanted, 0)
    _check_bill(told, records)


@each_dialect
async def test_a_restarted_stream_tells_its_reader(dialect: str, first: SimulatorProcess) -> None:
    """What came is declared void once for each break, and the answer comes whole."""
    calm(first)
    wanted = await _untroubled(first, question())
    calm(first)
    first.control(fail_next={"count": 2, "kind": "cut"})
    async with stage(configuration(_accounts(dialect, first, None))) as made:
        told = await made.call(stream=True)
    assert (told.text, told.resets) == (wanted, 2)
    assert not any(record.continued for record in first.ledger())


@each_dialect
async def test_a_broken_stream_that_may_not_go_on_fails(dialect: str, first: SimulatorProcess) -> None:
    """The reader has the first part, and the call says that it is one."""
    calm(first)
    wanted = await _untroubled(first, question())
    calm(first)
    first.control(fail_next={"count": 1, "kind": "cut"})
    async with stage(configuration(_accounts(dialect, first, None))) as made:
        told = await made.call(stream=True, options=CallOptions(cut="fail"))
    assert told.outcome.reply is None
    assert told.text
    assert wanted.startswith(told.text)
    assert f"after {len(told.text)} characters" in told.outcome.error


# Money ----------------------------------------------------------------------------------------------------------------


async def test_where_broken_replies_are_charged_the_open_cost_holds_them() -> None:
    """At a provider that bills what it began: the ledger lies between the bill and the bill with what is open."""
    with simulator(bill="accepted") as first:
        for dialect in DIALECTS:
            for kind in ("cut", "timeout", "stall", "malformed", "drop", "stream_error"):
                for stream in (False, True):
                    calm(first)
                    first.control(fail_next={"count": 1, "kind": kind})
                    async with stage(configuration(_accounts(dialect, first, None))) as made:
                        told = await made.call(stream=stream)
                    await _all_ended(first)
                    billed, ledger = told.outcome.cost, picodollars(first.ledger())
                    where = (dialect, kind, stream, billed, told.outcome.open_cost)
                    assert told.outcome.reply is not None, where
                    assert billed <= ledger <= billed + told.outcome.open_cost, (*where, ledger)


async def _all_ended(one: SimulatorProcess) -> None:
    for _ in range(200):
        if all(record.t_end is not None for record in one.ledger()):
            return
        await asyncio.sleep(0.01)


def _sum(calls: list[Told]) -> Told:
    """Several calls as one, for the bill."""
    total = calls[0]
    for told in calls[1:]:
        for attempt in told.outcome.log:
            total.outcome.add(attempt)
    return total
