"""Two jobs on one account share its quota by their weights, and an interactive one overtakes; judged by the ledger."""

from typing import Any

import pytest
from cluster_tools import Cluster, Driver, wait_until

from understudy.cluster.simulator import Latency, ModelSettings, Quota, Record, Settings, SimulatorProcess

pytestmark = pytest.mark.cluster

RPM, WINDOW_S = 120, 1.0
WIDTH = 64
FEW = 500


def _settings() -> Settings:
    models = {name: ModelSettings() for name in ("many", "few")}
    return Settings(models=models, quota=Quota(rpm=RPM, window_s=WINDOW_S), latency=Latency(median_s=0.02))


def _config(simulator: SimulatorProcess) -> dict[str, Any]:
    limits = {"rpm": RPM, "window_s": WINDOW_S, "guard_s": 0.1}
    price = {"input": 0.15, "output": 0.6}
    return {
        "accounts": {"sim": {"base_url": f"{simulator.url}/v1", "limits": limits}},
        "models": {name: [{"account": "sim", "model": name, "price": price}] for name in ("many", "few")},
    }


def _send(driver: Driver, config: dict[str, Any], model: str, count: int, **how: Any) -> str:
    calls = [{"model": model, "text": f"{model} {number}"} for number in range(count)]
    return str(driver.ask("send", config=config, calls=calls, width=WIDTH, **how)["job"])


def _both_waiting(records: list[Record]) -> dict[str, int]:
    """Requests of each job while both had a backlog.

    That is from the second one's first request to half a window before its last: the quota is dealt about once a
    window, and the last deal is no longer between two who want all they can get.
    """
    few = [record.t for record in records if record.model == "few"]
    many = [record.t for record in records if record.model == "many"]
    begin, end = max(few[0], many[0]), few[-1] - WINDOW_S / 2
    return {
        name: sum(begin <= record.t <= end for record in records if record.model == name) for name in ("few", "many")
    }


@pytest.mark.parametrize(("weight", "slack"), [(1.0, 0.10), (2.0, 0.15)], ids=["equal", "two-to-one"])
def test_service_follows_the_weights_and_not_the_demand(cluster: Cluster, weight: float, slack: float) -> None:
    """A job of 500 calls beside one of 5,000: while both wait, they are served as their weights say."""
    with SimulatorProcess(_settings()) as simulator, cluster.attach() as driver:
        driver.ask("ready")
        config = _config(simulator)
        many = _send(driver, config, "many", 10 * FEW)
        wait_until(lambda: len(simulator.ledger()) >= 5)
        few = _send(driver, config, "few", FEW, weight=weight)
        done = driver.ask("wait", job=few, seconds=60)
        driver.ask("cancel", job=many)
        records = simulator.ledger()
        summary = simulator.summary()
    assert len(done["results"]) == FEW
    served = _both_waiting(records)
    assert abs(served["few"] / (served["many"] * weight) - 1) <= slack, served
    assert (summary.violations, summary.refused_429) == (0, 0)


def test_who_waits_goes_before_a_backlog(cluster: Cluster) -> None:
    """An interactive job's calls overtake a batch that has the whole quota, and the batch does not starve."""
    with SimulatorProcess(_settings()) as simulator, cluster.attach() as driver:
        driver.ask("ready")
        config = _config(simulator)
        many = _send(driver, config, "many", 10 * FEW)
        wait_until(lambda: len(simulator.ledger()) >= RPM)
        before = len(simulator.ledger())
        few = _send(driver, config, "few", FEW, interactive=True)
        done = driver.ask("wait", job=few, seconds=60)
        driver.ask("cancel", job=many)
        records = simulator.ledger()[before:]
    assert len(done["results"]) == FEW
    served = _both_waiting(records)
    assert served["few"] >= 0.85 * sum(served.values()), served
    assert served["many"] > 0
