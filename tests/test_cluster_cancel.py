"""Cancelling a job reaches the sockets and brings the permits back, judged by the simulator's ledger."""

import time
from typing import Any

import pytest
from cluster_tools import Cluster, wait_until

from understudy.cluster.simulator import Answer, Latency, ModelSettings, Quota, Record, Settings, SimulatorProcess

pytestmark = pytest.mark.cluster

UNARY, STREAMS = 64, 32
ALL = UNARY + STREAMS
CLOSED_S = 0.25
"""The project's promise: from the cancel to the end of the last socket."""

STREAMED_S = 1.5
#: One answers after 30 s, one streams eight tokens each 0.8 s, one is normal.
MODELS = {
    "slow": ModelSettings(latency=Latency(median_s=30.0)),
    "dripping": ModelSettings(latency=Latency(per_output_token_s=0.1)),
    "normal": ModelSettings(latency=Latency(median_s=0.3)),
}


def _config(simulator: SimulatorProcess, account: str, slots: int) -> dict[str, Any]:
    price = {"input": 0.15, "output": 0.6}
    return {
        "accounts": {
            account: {
                "base_url": f"{simulator.url}/v1",
                "limits": {"concurrency": slots, "rpm": 100_000},
                "timeouts": {"total_s": 120.0},
            }
        },
        "models": {name: [{"account": account, "model": name, "price": price}] for name in MODELS},
    }


def _calls(model: str, count: int, *, stream: bool = False) -> list[dict[str, Any]]:
    call = {"model": model, "stream": stream, "max_tokens": 512}
    return [call | {"text": f"{model} {number}"} for number in range(count)]


def _open(records: list[Record]) -> int:
    return sum(record.t_end is None for record in records)


def test_a_cancelled_job_closes_its_sockets_and_frees_its_permits(cluster: Cluster) -> None:
    """96 calls are in flight through two mappers: all sockets close within 250 ms, and the next job has all permits."""
    settings = Settings(models=MODELS, quota=Quota(concurrency=ALL), answer=Answer(tokens=512))
    with SimulatorProcess(settings) as simulator, cluster.attach() as driver:
        driver.ask("ready")
        config = _config(simulator, "with-slots", ALL)
        calls = [*_calls("slow", UNARY), *_calls("dripping", STREAMS, stream=True)]
        width = -(-ALL // cluster.mappers)
        job = driver.ask("send", config=config, calls=calls, width=width)["job"]
        wait_until(lambda: _open(simulator.ledger()) == ALL, seconds=20)
        wait_until(lambda: driver.account("with-slots")["leased_slots"] == ALL, seconds=5)
        # The streams are in their middle then.
        wait_until(lambda: time.monotonic() > max(record.t for record in simulator.ledger()) + STREAMED_S)
        cancelled_at = driver.ask("cancel", job=job)["moment"]
        wait_until(lambda: not _open(simulator.ledger()), seconds=10)
        records = simulator.ledger()
        ends = sorted(record.t_end - cancelled_at for record in records if record.t_end is not None)
        assert ends[0] >= 0.0, "all were open until then"
        assert ends[-1] <= CLOSED_S, ends
        assert {(record.outcome, record.client_left) for record in records} == {("cancelled", True)}
        assert {bool(record.sent_tokens) for record in records if record.stream} == {True}

        wait_until(lambda: driver.account("with-slots")["leased_slots"] == 0, seconds=2)
        assert driver.account("with-slots")["leased_requests"] == 0
        again = driver.ask("send", config=config, calls=_calls("normal", ALL), width=width)
        done = driver.ask("wait", job=again["job"], seconds=20)
        summary = simulator.summary()
        began = [record.t for record in simulator.ledger()[ALL:]]
    assert done["state"] == "done"
    assert all(result["reply"] for result in done["results"].values())
    assert max(began) - again["moment"] < 1.0, "nobody waited for a permit that the cancelled job had"
    assert (summary.peak_concurrency, summary.violations, summary.refused_429) == (ALL, 0, 0)


def test_what_waits_is_cancelled_too(cluster: Cluster) -> None:
    """Calls that wait for a permit are never sent, and a job that is cancelled twice is cancelled."""
    settings = Settings(models=MODELS)
    with SimulatorProcess(settings) as simulator, cluster.attach() as driver:
        driver.ask("ready")
        config = _config(simulator, "short-of-slots", 4)
        job = driver.ask("send", config=config, calls=_calls("slow", 40), width=20)["job"]
        wait_until(lambda: _open(simulator.ledger()) == 4, seconds=20)
        for _ in range(2):
            driver.ask("cancel", job=job)
        wait_until(lambda: not _open(simulator.ledger()), seconds=5)
        done = driver.ask("wait", job=job, seconds=5)
        again = driver.ask("send", config=config, calls=_calls("normal", 8), width=4)
        answered = driver.ask("wait", job=again["job"], seconds=20)
        records = simulator.ledger()
    assert done["state"] == "cancelled"
    assert [record.outcome for record in records] == ["cancelled"] * 4 + ["ok"] * 8
    assert answered["state"] == "done"
