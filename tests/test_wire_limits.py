"""Quotas as headers tell them: every form of a duration, both providers' names, nonsense survived."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from understudy.protocols.wire import anthropic, azure, gemini, openai
from understudy.protocols.wire.codec import LimitsTold
from understudy.protocols.wire.limits import duration


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1s", 1.0),
        ("6m0s", 360.0),
        ("20ms", 0.02),
        ("1m30.951s", 90.951),
        ("1h2m3s", 3723.0),
        ("1d", 86_400.0),
        ("7.66s", 7.66),
        ("34.074824224s", 34.074824224),
        ("0", 0.0),
        ("12.5", 12.5),
        ("", -1.0),
        (None, -1.0),
        ("m", -1.0),
        ("1m x", -1.0),
        ("-5s", -1.0),
        ("-5", -1.0),
        ("inf", -1.0),
        ("nan", -1.0),
        ("1e400", -1.0),
        ("٣s", -1.0),
        ("1s" * 50, -1.0),
    ],
)
def test_durations(text: str | None, seconds: float) -> None:
    """Go's notation as OpenAI writes it, and plain seconds; what is none of them is unknown."""
    assert duration(text) == pytest.approx(seconds)


OPENAI = {
    "x-ratelimit-limit-requests": "60",
    "x-ratelimit-remaining-requests": "59",
    "x-ratelimit-reset-requests": "1s",
    "x-ratelimit-limit-tokens": "150000",
    "x-ratelimit-remaining-tokens": "149984",
    "x-ratelimit-reset-tokens": "6m0s",
}


def test_openai() -> None:
    """The example of OpenAI's guide *Rate limits*; Azure says it in the same way; nothing told is None."""
    assert openai.CODEC.limits(OPENAI, wall=0.0) == LimitsTold(60, 59, 1.0, 150_000, 149_984, 360.0)
    assert azure.CODEC.limits(OPENAI, wall=0.0) == openai.CODEC.limits(OPENAI, wall=0.0)
    assert openai.CODEC.limits({"content-type": "x"}, wall=0.0) is None
    assert openai.CODEC.limits({"x-ratelimit-remaining-tokens": "5"}, wall=0.0) == LimitsTold(tokens_left=5)


def test_requests_of_a_day_are_not_taken_for_those_of_a_minute() -> None:
    """Groq's example: 14,400 requests a day, of which one comes back each six seconds."""
    groq = {
        "x-ratelimit-limit-requests": "14400",
        "x-ratelimit-remaining-requests": "14370",
        "x-ratelimit-reset-requests": "2m59.56s",
        "x-ratelimit-limit-tokens": "18000",
        "x-ratelimit-remaining-tokens": "17997",
        "x-ratelimit-reset-tokens": "7.66s",
    }
    assert openai.CODEC.limits(groq, wall=0.0) == LimitsTold(-1, -1, -1.0, 18_000, 17_997, 7.66)


def claude(name: str, limit: int, left: int, reset: str) -> dict[str, str]:
    prefix = f"anthropic-ratelimit-{name}-"
    return {prefix + "limit": str(limit), prefix + "remaining": str(left), prefix + "reset": reset}


WALL = 1_767_225_600.0  # 2026-01-01T00:00:00Z


def test_anthropic() -> None:
    """Input and output are added; one that is used up leaves nothing; resets are RFC 3339 times."""
    requests = claude("requests", 50, 49, "2026-01-01T00:00:02Z")
    tokens = claude("tokens", 30_000, 29_000, "2026-01-01T00:00:05Z")
    pair = {
        **claude("input-tokens", 30_000, 20_000, "2026-01-01T00:00:30.5Z"),
        **claude("output-tokens", 8_000, 7_000, "2026-01-01T01:00:10+01:00"),
    }
    limits = anthropic.CODEC.limits
    assert limits({**requests, **tokens}, wall=WALL) == LimitsTold(50, 49, 2.0, 30_000, 29_000, 5.0)
    assert limits({**requests, **tokens, **pair}, wall=WALL) == LimitsTold(50, 49, 2.0, 38_000, 27_000, 30.5)
    spent = {**pair, **claude("output-tokens", 8_000, 0, "2025-12-31T23:59:59Z")}
    assert limits(spent, wall=WALL) == LimitsTold(tokens=38_000, tokens_left=0, tokens_reset_s=30.5)
    assert limits({}, wall=WALL) is None


def test_gemini_tells_nothing() -> None:
    """There are no such headers, nor a time of work."""
    assert gemini.CODEC.limits(OPENAI, wall=0.0) is None
    assert gemini.CODEC.worked_s({}) == anthropic.CODEC.worked_s({}) == openai.CODEC.worked_s({}) == 0.0


_NAMES = [*OPENAI, *claude("requests", 0, 0, ""), *claude("input-tokens", 0, 0, ""), *claude("output-tokens", 0, 0, "")]


@given(st.dictionaries(st.sampled_from(_NAMES), st.text(max_size=50) | st.sampled_from([*OPENAI.values(), "9" * 15])))
def test_any_header_is_survived(headers: dict[str, str]) -> None:
    """Whatever stands in the headers: counts from -1, finite seconds from -1, and no exception."""
    for codec in (openai.CODEC, anthropic.CODEC):
        told = codec.limits(headers, wall=WALL) or LimitsTold()
        assert min(told.requests, told.requests_left, told.tokens, told.tokens_left) >= -1
        assert min(told.requests_reset_s, told.tokens_reset_s) >= -1.0
        assert max(told.requests_reset_s, told.tokens_reset_s) < 1e15
