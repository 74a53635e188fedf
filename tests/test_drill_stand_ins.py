"""The configuration of a drill: simulators in place of providers, time divided, nothing secret."""

from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from understudy.cluster.config_file import load, parse
from understudy.cluster.drill.bodies import bodies
from understudy.cluster.drill.stand_ins import Staging
from understudy.protocols.config import Config, encode
from understudy.protocols.errors import UsageError

AT = datetime(2026, 11, 1, tzinfo=UTC)
TEXT = """
accounts:
  one:
    api_key: ${SECRET_ONE}
    headers: {X-Team: "${SECRET_TWO}"}
    limits: {rpm: 60, tpm: 9000, window_s: 60}
    breaker: {open_s: 15}
    timeouts: {total_s: 60, first_s: 10}
  two:
    kind: gemini
    api_key: ${SECRET_ONE}
models:
  chat:
    candidates:
      - {account: one, model: m, price: {input: 0.15, output: 0.6}, window: 4000, max_output: 500, latency_s: 2}
      - {account: two, model: n, price: {input: 1.5, output: 6}}
      - {account: embedded, model: extractive}
    hedge: {initial_s: 2}
  other: [{account: two, model: unheard-of}]
attempts: {deadline_s: 100, backoff_s: 1}
"""


def staging(speed: float = 10.0, route: str | None = None) -> Staging:
    return Staging(parse(TEXT), route, speed=speed, seed=3, at=AT)


def test_every_account_but_the_embedded_one_has_a_stand_in() -> None:
    """The embedded account can't be down; it stays a candidate."""
    one = staging()
    assert one.accounts == ("one", "two")
    config = one.config({"one": "http://127.0.0.1:1", "two": "http://127.0.0.1:2"})
    assert config.accounts["one"].base_url == "http://127.0.0.1:1/v1"
    assert config.accounts["two"].base_url == "http://127.0.0.1:2/v1beta"
    assert [it.account for it in config.models["chat"].candidates] == ["one", "two", "embedded"]


def test_seconds_are_divided_and_numbers_kept() -> None:
    """A minute is played in six seconds with the same quota; budgets shrink alike."""
    config = staging().config({"one": "http://127.0.0.1:1", "two": "http://127.0.0.1:2"})
    account = config.accounts["one"]
    assert (account.limits.rpm, account.limits.tpm, account.limits.window_s) == (60, 9000, 6.0)
    assert account.limits.guard_s == 0.15
    assert (account.breaker.open_s, account.timeouts.total_s, account.timeouts.first_s) == (1.5, 6.0, 1.0)
    assert (config.attempts.deadline_s, config.attempts.backoff_s) == (10.0, 0.1)
    route = config.models["chat"]
    assert route.hedge is not None
    assert (route.hedge.initial_s, route.candidates[0].latency_s) == (0.2, 0.2)
    quota = staging().settings("one").quota
    assert (quota.rpm, quota.tpm, quota.window_s) == (60, 9000, 6.0)


def test_nothing_secret_is_asked_for() -> None:
    """References to the environment are gone, and a provider abroad is no private one for standing in here."""
    config = staging().config({"one": "http://127.0.0.1:1", "two": "http://127.0.0.1:2"})
    assert b"SECRET" not in encode(config)
    assert not config.accounts["one"].is_private
    assert Config.model_validate_json(encode(config)) == config


def test_simulators_have_the_models_and_prices_of_their_account() -> None:
    """A bill can be compared with the ledger."""
    one = staging().settings("one")
    assert list(one.models) == ["m"]
    model = one.models["m"]
    assert (model.input_price, model.output_price) == (Decimal("0.15"), Decimal("0.6"))
    assert (model.context_window, model.max_output) == (4000, 500)
    assert staging().settings("two").seed == one.seed + 1


def test_unknown_prices_are_named() -> None:
    """No price is invented."""
    assert staging(route="other").unpriced == ("two/unheard-of",)
    assert staging().unpriced == ()


def test_there_has_to_be_something_that_can_fail() -> None:
    """The embedded default has nothing to drill, and an unknown route gets a hint."""
    with pytest.raises(UsageError, match="nothing to drill"):
        Staging(Config(), None, speed=1.0, seed=0, at=AT)
    with pytest.raises(UsageError, match="did you mean 'chat'"):
        staging(route="chatt")


def test_the_example_can_be_drilled() -> None:
    """The configuration of the README loads, and all its prices are known."""
    config = load(Path(__file__).parent.parent / "examples" / "three-providers.yaml")
    one = Staging(config, None, speed=10.0, seed=0, at=AT)
    assert one.accounts == ("openai", "anthropic", "gemini")
    assert not one.unpriced


def test_bodies_differ_and_are_the_same_for_a_seed() -> None:
    """No two calls are alike, so that a ledger tells them apart."""
    some = bodies("chat", 50, seed=1, stream=False)
    assert some == bodies("chat", 50, seed=1, stream=False)
    assert some != bodies("chat", 50, seed=2, stream=False)
    assert len({ask.request for ask in some}) == 50
