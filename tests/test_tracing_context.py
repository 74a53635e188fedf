from hypothesis import given
from hypothesis import strategies as st

from understudy.protocols.tracing.context import TraceContext, around, job_context, nth, parse, part_span, step_span

IDS = st.integers(1, (1 << 64) - 1)
TRACES = st.integers(1, (1 << 128) - 1)


@given(TRACES, IDS, st.booleans())
def test_a_context_comes_back_from_its_header(trace: int, span: int, sampled: bool) -> None:
    """What `traceparent` writes `parse` reads."""
    context = TraceContext(trace, span, sampled)
    assert parse(context.traceparent) == context


def test_what_is_no_context_is_none() -> None:
    """A header that the format forbids is no context, and none is an error."""
    good = TraceContext(5, 7).traceparent
    bad = ["", "00", good.upper().replace("0", "A", 1), good + "-more", "ff" + good[2:], good.replace("7", "0")]
    assert [parse(one) for one in bad] == [None] * len(bad)
    assert parse("01" + good[2:] + "-more") == TraceContext(5, 7)


def test_a_job_knows_its_trace_without_having_been_told() -> None:
    """A job's trace is made of its id, unless a context was brought; its span differs from run to run."""
    assert job_context("a") == job_context("a")
    assert job_context("a").trace != job_context("b").trace
    assert around("a").span == 0
    assert around("a").traceparent == ""
    brought = TraceContext(5, 7, sampled=False)
    inside = job_context("a", brought.traceparent)
    assert (inside.trace, inside.sampled) == (5, False)
    assert inside.span not in (0, 7)
    assert job_context("a", run=1).span != job_context("a").span


@given(st.text(), st.integers(0, 10**6), st.integers(0, 3))
def test_spans_of_parts_differ(job: str, number: int, era: int) -> None:
    """Items and nodes of one number, items of another era, steps and calls all have spans of their own."""
    context = job_context(job)
    item = part_span(context, "item", number, era)
    below = [nth(item, place) for place in range(1, 50)]
    others = [part_span(context, "node", number, era), part_span(context, "item", number, era + 1)]
    everyone = [item, *below, *others, step_span(item, "run"), step_span(item, "run/0"), context.span]
    assert len(set(everyone)) == len(everyone)
    assert all(0 < one < 1 << 64 for one in everyone)
