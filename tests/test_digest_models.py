"""Which models a digest uses: what is asked of accounts before anything is spent, and for whom it is."""

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from understudy.actors.prices import PriceBook
from understudy.cluster.digest.models import (
    Models,
    dearest_item,
    forecast,
    known_tenant,
    reach,
)
from understudy.cluster.digest.submit import job_spec
from understudy.cluster.reach import _has, _listed
from understudy.cluster.simulator import Settings, SimulatorProcess
from understudy.protocols.config import Account, Budgets, Candidate, Config, Kind, Limits, Price, Route, Tenant
from understudy.protocols.digest import Chunk, DigestPlan, Node, Pack
from understudy.protocols.errors import ConfigError, UsageError
from understudy.supervisors.digest.plan import Estimate
from understudy.supervisors.forecast import first_rank


@pytest.fixture(scope="module")
def simulator() -> Iterator[str]:
    """Where a simulated provider listens that takes one key."""
    with SimulatorProcess(Settings(keys=("right",))) as running:
        yield running.url


def models_at(url: str, kind: Kind, model: str) -> Models:
    """One account of that kind at the simulator, and one candidate."""
    version = "v1beta" if kind == "gemini" else "v1"
    account = Account(kind=kind, base_url=f"{url.removesuffix('/v1')}/{version}", api_key="${SIM_KEY}")
    route = Route(candidates=(Candidate(account="a", model=model),))
    return Models(Config(accounts={"a": account}, models={"m": route}), "m", "m")


@pytest.mark.sockets
@pytest.mark.parametrize("kind", ["openai", "anthropic", "gemini"])
def test_each_kind_is_asked_in_its_own_way(kind: Kind, simulator: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The right key and a listed model pass, a mistyped model is named with the nearest, a wrong key is told."""
    monkeypatch.setenv("SIM_KEY", "right")
    assert reach(models_at(simulator, kind, "sim-small")) == []
    with pytest.raises(UsageError, match=r"has no model 'sim-smal'.*did you mean 'sim-small'"):
        reach(models_at(simulator, kind, "sim-smal"))
    monkeypatch.setenv("SIM_KEY", "wrong")
    with pytest.raises(UsageError, match="refuses the key"):
        reach(models_at(simulator, kind, "sim-small"))


def test_azure_lists_no_deployments() -> None:
    """Nobody is asked: the names of deployments can't be listed with this key."""
    account = Account(kind="azure", base_url="https://name.openai.azure.com", api_key="${SIM_KEY}")
    config = Config(accounts={"a": account}, models={"m": Route(candidates=(Candidate(account="a", model="d"),))})
    assert reach(Models(config, "m", "m")) == []


@pytest.mark.parametrize(
    ("body", "listed"),
    [
        (b'{"data": [{"id": "a"}], "models": [{"name": "b"}]}', {"a"}),
        (b'{"models": [{"name": "models/b"}]}', {"b"}),
        (b'{"data": [{"id": "a"}], "has_more": true}', None),
        (b'{"models": [{"name": "b"}], "nextPageToken": "x"}', None),
        (b"[]", None),
        (b"no", None),
        (b'{"data": 5}', None),
        (b'{"data": [5]}', None),
    ],
)
def test_lists_of_models(body: bytes, listed: set[str] | None) -> None:
    """A list that is not whole, or none at all, says nothing about a model that is not on it."""
    assert _listed(body) == listed


def test_aliases_of_dated_names_are_there() -> None:
    """Anthropic lists dated names, and takes their aliases."""
    listed = frozenset({"claude-sonnet-4-20250514", "claude-3-5-haiku-20241022"})
    assert _has(listed, "claude-sonnet-4-0")
    assert _has(listed, "claude-3-5-haiku-latest")
    assert not _has(listed, "claude-sonnet-5")
    assert not _has(listed, "claude")


def test_tenants_are_those_of_the_configuration() -> None:
    """A tenant that is not defined is told with the nearest one; where none is defined any name may stand."""
    config = Config(tenants={"search": Tenant(), "nightly": Tenant()})
    known_tenant(config, "search")
    known_tenant(config, "")
    known_tenant(Config(), "anybody")
    with pytest.raises(UsageError, match=r"--tenant 'serch'.*did you mean 'search'.*search, nightly"):
        known_tenant(config, "serch")


def plan(tokens: int) -> DigestPlan:
    """A plan with one pack of one chunk."""
    chunk = Chunk("a.txt", 1, 1, 1, 1, tokens, "", "x")
    node = Node(0, "chunk", "a.txt", (), 0, 0)
    return DigestPlan("r", (), (), (Pack(0, (chunk,), tokens),), (node,))


def test_the_dearest_candidate_bounds_an_item() -> None:
    """What is reserved for an item is one call at the dearest candidate, a cache's dearer writing included."""
    cheap, dear = Price(input=1, output=2), Price(input=3, output=15, written=4)
    candidates = (
        Candidate(account="a", model="x", price=cheap),
        Candidate(account="a", model="y", price=dear),
        Candidate(account="embedded", model="extractive"),
    )
    config = Config(accounts={"a": Account()}, models={"m": Route(candidates=candidates)})
    prices = PriceBook(config, at=datetime(2026, 11, 1, tzinfo=UTC))
    assert dearest_item(Models(config, "m", "m"), plan(750), prices) == 1250 * 4_000_000 + 600 * 15_000_000


def test_a_job_carries_the_budgets_of_its_day() -> None:
    """The limits travel with the job, in picodollars; what is not bounded is -1."""
    config = Config(tenants={"search": Tenant(day=2.5), "free": Tenant()}, budgets=Budgets(day=10))
    models = Models(config, "extractive", "extractive")
    spec = job_spec(plan(1), models, question="", width=1, tenant="search")
    assert (spec.tenant, spec.tenant_day, spec.day) == ("search", 25 * 10**11, 10**13)
    spec = job_spec(plan(1), models, question="", width=1, tenant="free")
    assert (spec.tenant_day, spec.day) == (-1, 10**13)
    assert job_spec(plan(1), Models(Config(), "extractive", "extractive"), question="", width=1).day == -1


def test_a_forecast_is_of_those_who_are_asked_first() -> None:
    """The lowest rank, wherever it stands in the file: equals share the load, and the dearest bounds the money."""
    guess = Estimate(map_calls=1200, map_input_tokens=1_000_000, map_output_tokens=0)
    candidates = (
        Candidate(account="c", model="z", rank=2, price=Price(input=99, output=99)),
        Candidate(account="a", model="x", rank=1, price=Price(input=1, output=2)),
        Candidate(account="b", model="y", rank=1, price=Price(input=3, output=2)),
    )
    accounts = {name: Account(limits=Limits(rpm=rpm)) for name, rpm in (("a", 60), ("b", 120), ("c", 1))}
    cost, seconds = {}, {}
    for balance in ("ordered", "round_robin"):
        config = Config(accounts=accounts, models={"m": Route(candidates=candidates, balance=balance)})
        prices = PriceBook(config, at=datetime(2026, 11, 1, tzinfo=UTC))
        cast = forecast(Models(config, "m", "m"), guess, prices, concurrency=10_000)
        cost[balance], seconds[balance] = cast.map_cost, cast.seconds
    assert cost == {"ordered": 10**12, "round_robin": 3 * 10**12}
    assert seconds == {"ordered": pytest.approx(1200.0), "round_robin": pytest.approx(400.0)}
    assert [one.account for one in first_rank(config.models["m"])] == ["a", "b"]


@pytest.mark.sockets
def test_no_warning_shows_what_a_reference_stands_for(simulator: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A key with a line break is refused by its variable's name; an address is shown as it is configured."""
    monkeypatch.setenv("SIM_KEY", "planted-secret\n")
    with pytest.raises(ConfigError, match="SIM_KEY holds a line break") as caught:
        reach(models_at(simulator, "openai", "sim-small"))
    assert "planted" not in str(caught.value)
    monkeypatch.setenv("SIM_KEY", "planted-secret")
    account = Account(base_url="http://127.0.0.1:9/${SIM_KEY}", api_key="${SIM_KEY}")
    config = Config(accounts={"a": account}, models={"m": Route(candidates=(Candidate(account="a", model="x"),))})
    with pytest.raises(UsageError, match="nobody answers at") as refused:
        reach(Models(config, "m", "m"))
    assert "planted" not in str(refused.value)
