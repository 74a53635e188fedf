"""Tests of the price book: exact sums, the built-in table, and what is unknown."""

from datetime import UTC, datetime
from decimal import Decimal

import msgspec
import pytest
from genai_prices import Usage as TheirUsage
from genai_prices import calc_price
from hypothesis import given
from hypothesis import strategies as st

from understudy.actors.prices import FREE, PICO, PriceBook, Rate, Tier, cost, dollars, estimate
from understudy.protocols.chat import Usage
from understudy.protocols.config import Account, Candidate, Config, Price, Route

DAY = datetime(2026, 11, 1, tzinfo=UTC)
GEMINI = "https://generativelanguage.googleapis.com/v1beta/openai"


def book(**accounts: Account) -> PriceBook:
    """A price book with these accounts."""
    routes = {"m": Route(candidates=(Candidate(account=next(iter(accounts)), model="m"),))}
    return PriceBook(Config(accounts=accounts, models=routes), at=DAY, environ={"BASE": "https://api.openai.com/v1"})


@pytest.mark.parametrize(
    ("url", "model"),
    [
        ("https://api.openai.com/v1", "gpt-4o-mini"),
        ("https://api.openai.com/v1", "gpt-5"),
        ("${BASE}", "gpt-4o"),
        (GEMINI, "gemini-2.5-pro"),
        ("https://api.anthropic.com/v1", "claude-sonnet-4-5"),
        ("https://api.anthropic.com/v1", "claude-3-5-haiku-latest"),
        ("https://api.groq.com/openai/v1", "llama-3.3-70b-versatile"),
    ],
)
def test_costs_are_those_of_the_table(url: str, model: str) -> None:
    """Plain, cached and tiered prices agree with the library to the picodollar."""
    rate = book(a=Account(base_url=url)).rate(Candidate(account="a", model=model))
    assert rate is not None
    for tokens in (0, 1, 1000, 200_000, 200_001, 900_000):
        for cached, written in ((0, 0), (tokens // 3, 0), (0, tokens // 2), (tokens // 4, tokens // 3)):
            if written and rate.written < 0:
                continue
            theirs = calc_price(
                TheirUsage(
                    input_tokens=tokens, cache_read_tokens=cached, cache_write_tokens=written, output_tokens=777
                ),
                model,
                provider_api_url=url.replace("${BASE}", "https://api.openai.com/v1"),
                genai_request_timestamp=DAY,
            )
            ours = cost(rate, Usage(tokens, 777, cached_tokens=cached, written_tokens=written))
            assert dollars(ours) == theirs.total_price


def test_what_is_written_to_a_cache_has_a_price_of_its_own() -> None:
    """Written tokens are part of the input and are billed once, at their price, or as input where they have none."""
    prices = book(local=Account(base_url="http://127.0.0.1:1/v1"))
    usage = Usage(input_tokens=1_000, output_tokens=10, cached_tokens=200, written_tokens=300)
    own = prices.rate(Candidate(account="local", model="x", price=Price(input=4, output=20, cached=0.4, written=5)))
    assert own is not None
    assert cost(own, usage) == (500 * 4_000_000 + 200 * 400_000 + 300 * 5_000_000 + 10 * 20_000_000)
    plain = prices.rate(Candidate(account="local", model="x", price=Price(input=4, output=20, cached=0.4)))
    assert plain is not None
    assert cost(plain, usage) == (800 * 4_000_000 + 200 * 400_000 + 10 * 20_000_000)


def test_unknown_is_not_free_and_is_told_once() -> None:
    """An unknown model or server has no price and is remembered; the embedded provider is free."""
    prices = book(a=Account(), local=Account(base_url="http://127.0.0.1:1/v1"))
    for _ in range(2):
        assert prices.rate(Candidate(account="a", model="no-such-model")) is None
        assert prices.rate(Candidate(account="local", model="gpt-4o")) is None
        assert prices.rate(Candidate(account="embedded", model="extractive")) == FREE
    assert prices.unpriced == ("a/no-such-model", "local/gpt-4o")


def test_own_price_goes_before_the_table() -> None:
    """A candidate's own price is used as it is written; cached tokens cost as input where it doesn't say."""
    prices = book(local=Account(base_url="http://127.0.0.1:1/v1"))
    rate = prices.rate(Candidate(account="local", model="x", price=Price(input=0.15, output=0.6)))
    assert rate == Rate(input=150_000, output=600_000, cached=150_000)
    free = prices.rate(Candidate(account="local", model="x", price=Price(input=0, output=0)))
    assert free == FREE
    assert prices.unpriced == ()


def test_windows() -> None:
    """A candidate's own window goes before the table's; unknown is None."""
    prices = book(a=Account(), local=Account(base_url="http://127.0.0.1:1/v1"))
    assert prices.window(Candidate(account="a", model="gpt-4o-mini")) == 128_000
    assert prices.window(Candidate(account="a", model="gpt-4o-mini", window=5)) == 5
    assert prices.window(Candidate(account="local", model="gpt-4o-mini")) is None
    assert prices.window(Candidate(account="embedded", model="extractive")) is None


TOKENS = st.integers(min_value=0, max_value=10**7)
USAGES = st.builds(
    lambda fresh, cached, output: Usage(input_tokens=fresh + cached, output_tokens=output, cached_tokens=cached),
    TOKENS,
    TOKENS,
    TOKENS,
)


@given(st.lists(USAGES, max_size=30), st.integers(0, 10**9), st.integers(0, 10**9))
def test_sums_are_exact(usages: list[Usage], base: int, longer: int) -> None:
    """The sum of picodollars is the sum of exact decimals, by a naive reference with tiers."""
    rate = Rate(base, 2 * base, base // 2, (Tier(over=1_000_000, input=longer, output=longer, cached=longer),))
    exact = Decimal(0)
    for usage in usages:
        fresh = Decimal(usage.input_tokens - usage.cached_tokens)
        if usage.input_tokens > 1_000_000:
            exact += (fresh + usage.cached_tokens + usage.output_tokens) * longer
        else:
            exact += fresh * base + usage.cached_tokens * (base // 2) + usage.output_tokens * 2 * base
    assert dollars(sum(cost(rate, usage) for usage in usages)) * PICO == exact


def test_dollars_are_written_as_money() -> None:
    """Whole cents have two decimals, smaller amounts as many as they need."""
    assert [f"{dollars(it):f}" for it in (0, 5 * PICO, PICO // 10, PICO // 1000, 1, 1_000 * PICO)] == [
        "0.00",
        "5.00",
        "0.10",
        "0.001",
        "0.000000000001",
        "1000.00",
    ]


PICOS = st.integers(0, 10**8)
TIERS = st.lists(st.builds(Tier, st.integers(0, 10**6), PICOS, PICOS, PICOS, st.integers(-1, 10**8)), max_size=3).map(
    lambda tiers: tuple(sorted(tiers, key=lambda tier: tier.over))
)
RATES = st.builds(Rate, PICOS, PICOS, PICOS, TIERS, st.integers(-1, 10**8))


@given(RATES, st.integers(0, 10**6), st.integers(0, 10**6), st.data())
def test_no_call_costs_more_than_its_estimate(rate: Rate, prompt: int, answer: int, data: st.DataObject) -> None:
    """Whatever of its prompt and its answer a call uses, cached, written or neither: the estimate is not passed."""
    used = data.draw(st.integers(0, prompt))
    cached = data.draw(st.integers(0, used))
    written = data.draw(st.integers(0, used - cached))
    usage = Usage(used, data.draw(st.integers(0, answer)), cached_tokens=cached, written_tokens=written)
    assert cost(rate, usage) <= estimate(rate, prompt, answer)


@given(RATES, st.integers(0, 10**6), st.integers(0, 10**6))
def test_a_tier_that_is_not_reached_changes_no_estimate(rate: Rate, prompt: int, answer: int) -> None:
    """A rate without tiers is estimated in a shorter way, to the same amount."""
    plain = msgspec.structs.replace(rate, tiers=())
    tiered = msgspec.structs.replace(rate, tiers=(Tier(over=prompt, input=10**9, output=10**9, cached=10**9),))
    assert estimate(plain, prompt, answer) == estimate(tiered, prompt, answer)


def test_the_most_of_an_answer_is_what_the_configuration_says() -> None:
    """Nothing is made up where the candidate has no bound."""
    assert PriceBook.max_output(Candidate(account="a", model="gpt-4o")) is None
    assert PriceBook.max_output(Candidate(account="a", model="gpt-4o", max_output=9)) == 9
