"""What a drill reports: figures from results and ledgers, and tables that fit a terminal."""

import io
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from understudy.cluster.drill.table import share, show
from understudy.cluster.drill.tally import Tally, cause, extra, quantile, tally
from understudy.cluster.simulator.ledger import Record
from understudy.protocols.call import Attempt, CallResult
from understudy.protocols.chat import ChatReply, Usage

REPLY = ChatReply("fine", "m", Usage())


def attempt(candidate: str = "one/m", outcome: str = "ok") -> Attempt:
    return Attempt(candidate, "first", outcome, 0.0, 1.0)  # type: ignore[arg-type]


def record(number: int, content: str, cost: str = "0.5") -> Record:
    return Record(ordinal=number, t=0.0, wall=0.0, key="", content_hash=content, cost=cost)


def answered(took_s: float = 1.0, model: str = "one/m", **words: object) -> CallResult:
    return CallResult(REPLY, rung="model", model=model, attempts=(attempt(model),), took_s=took_s, **words)  # type: ignore[arg-type]


def test_a_row_counts_who_answered_and_what_went_wrong() -> None:
    """Answers by account and by rung, failures by cause, seconds multiplied back, money by the ledgers."""
    results = [
        answered(0.1),
        CallResult(
            REPLY, rung="model", model="two/m", attempts=(attempt(outcome="server"), attempt("two/m")), took_s=0.3
        ),
        CallResult(REPLY, rung="degraded", error="x", attempts=(attempt(outcome="server"),), took_s=0.2),
        CallResult(None, error="one/m: gone", attempts=(attempt(outcome="timeout"),), took_s=9.0),
    ]
    ledgers = {"one": [record(0, "a"), record(1, "b"), record(2, "c"), record(3, "d")], "two": [record(0, "b")]}
    row = tally("s", "t", results, ledgers, speed=10.0, priced=True, calm=None)
    assert (row.calls, row.answered, row.degraded, row.stale) == (4, 3, 1, 0)
    assert (row.p50_s, row.p99_s) == (2.0, 3.0)
    assert (row.requests, row.extra_calls, row.cost, row.extra_cost) == (5, 1, Decimal("2.5"), None)
    assert row.answered_by == {"one": 1, "two": 1, "degraded": 1}
    assert row.met == {"server": 2, "timeout": 1}
    assert row.unanswered == {"timeout": 1}


def test_extra_cost_is_compared_with_the_calm() -> None:
    """A quarter more is 0.25; without prices nothing is told."""
    calm = Tally(scenario="calm", cost=Decimal(2))
    ledgers = {"one": [record(0, "a", "2.5")]}
    row = tally("s", "", [answered()], ledgers, speed=1.0, priced=True, calm=calm)
    assert row.extra_cost == 0.25
    unpriced = tally("s", "", [answered()], ledgers, speed=1.0, priced=False, calm=calm)
    assert (unpriced.cost, unpriced.extra_cost) == (None, None)


def test_nothing_is_a_row_too() -> None:
    """No answer at all has no seconds."""
    row = tally("s", "", [CallResult(None, error="not answered in time")], {}, speed=1.0, priced=True, calm=None)
    assert (row.p50_s, row.answered, row.extra_calls) == (-1.0, 0, 0)
    assert row.unanswered == {"not answered in time": 1}


@given(st.lists(st.floats(0, 100), min_size=1), st.floats(0.01, 1))
def test_a_quantile_is_the_least_value_that_enough_do_not_pass(values: list[float], part: float) -> None:
    """By its definition: nearest rank."""
    found = quantile(sorted(values), part)
    enough = [one for one in values if sum(other <= one for other in values) >= part * len(values) - 1e-9]
    assert found == min(enough)


@given(st.lists(st.sampled_from("abcdef")))
def test_extra_calls_are_those_beyond_the_first(contents: list[str]) -> None:
    """Each content is paid for once, and what is more is extra."""
    records = [record(number, content) for number, content in enumerate(contents)]
    assert extra(records) == sum(max(0, contents.count(one) - 1) for one in set(contents))


def test_a_cause_is_how_the_last_attempt_ended() -> None:
    """Or what the error says, when nothing was sent."""
    assert (
        cause(CallResult(None, error="x", attempts=(attempt(outcome="auth"), attempt(outcome="cancelled")))) == "auth"
    )
    assert cause(CallResult(None, error="gave up: too late")) == "gave up"
    assert cause(CallResult(None)) == "unknown"


@pytest.mark.parametrize(
    ("part", "whole", "text"),
    [(0, 0, "0 %"), (0, 9, "0 %"), (9, 9, "100 %"), (1, 2, "50 %"), (99_999, 100_000, "99.9 %"), (1, 100_000, "0.1 %")],
)
def test_a_share_is_all_or_nothing_only_when_it_is(part: int, whole: int, text: str) -> None:
    """One lost call in 100,000 is not 100 %."""
    assert share(part, whole) == text


def test_the_tables_fit_eighty_columns() -> None:
    """Long names wrap, and nothing is cut."""
    by = {"openai": 5000, "anthropic": 3000, "gemini": 1500, "degraded": 400}
    met = {"rate_limited": 12_345, "server": 3_210, "connection": 400, "invalid_reply": 2_222, "timeout": 99}
    row = Tally(
        scenario="mid-stream-cuts",
        calls=10_000,
        answered=9_900,
        degraded=400,
        p50_s=1.234,
        p95_s=12.3,
        p99_s=123.4,
        extra_calls=2345,
        cost=Decimal("12.3456"),
        extra_cost=12.345,
        answered_by=by,
        met=met,
        unanswered={"auth": 100},
    )
    out = io.StringIO()
    show([row, row], Console(file=out, width=80), head="head")
    lines = out.getvalue().splitlines()
    assert max(map(len, lines)) <= 80
    text = " ".join(out.getvalue().split())
    for word in ("mid-stream-cuts", "99.0 %", "1.23", "123", "+23.4 %", "+1234.5 %", "gemini", "broken reply 2,222"):
        assert word in text, word
    assert "100 unanswered: key refused" in text
