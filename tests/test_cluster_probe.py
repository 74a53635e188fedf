"""Half-open, one probe in the whole cluster: 64 callers wait in four processes, judged by the simulator's ledger."""

from typing import Any

import pytest
from cluster_tools import Cluster, wait_until

from understudy.cluster.simulator import Latency, Record, Settings, SimulatorProcess

pytestmark = pytest.mark.cluster

CALLERS = 64
OPEN_S = 0.6


def _config(simulator: SimulatorProcess) -> dict[str, Any]:
    return {
        "accounts": {
            "sim": {
                "base_url": f"{simulator.url}/v1",
                "breaker": {"failures": 3, "open_s": OPEN_S, "open_max_s": OPEN_S},
            }
        },
        "models": {
            "small": [{"account": "sim", "model": "sim-small", "price": {"input": 0.15, "output": 0.6}}],
        },
        "attempts": {"max_attempts": 60, "per_candidate": 3, "deadline_s": 60.0, "backoff_s": 0.01},
    }


def _after_the_burst(records: list[Record]) -> list[Record]:
    """What came after the calls that were out when the breaker opened: behind the first gap of half a pause."""
    for place in range(1, len(records)):
        if records[place].t - records[place - 1].t > OPEN_S / 2:
            return records[place:]
    return []


def test_one_probe_a_pause_until_the_account_recovers(wide_cluster: Cluster) -> None:
    """Each pause ends with exactly one request, wherever its caller lives; after the one that succeeds all are sent."""
    calls = [{"model": "small", "text": f"question {number}"} for number in range(CALLERS)]
    with SimulatorProcess(Settings(latency=Latency(median_s=0.05))) as simulator, wide_cluster.attach() as driver:
        driver.ask("ready")
        simulator.control(outage="error_503")
        job = driver.ask("send", config=_config(simulator), calls=calls, width=CALLERS // 4)["job"]
        wait_until(lambda: len(_after_the_burst(simulator.ledger())) >= 5, seconds=30)
        simulator.control(outage="off")
        done = driver.ask("wait", job=job, seconds=30)
        records = simulator.ledger()
        ports = {record.client_port for record in records}
    later = _after_the_burst(records)
    probes = [record for record in later if record.outcome == "outage"]
    answered = [record for record in later if record.outcome == "ok"]
    assert len(probes) >= 5
    gaps = [second.t - first.t for first, second in zip(probes, later[1:], strict=False)]
    assert min(gaps) >= OPEN_S * 0.9, f"two requests in one pause: {gaps}"
    assert answered[0] is later[len(probes)], "the last probe is the first answer"
    assert answered[0].t_end is not None
    assert answered[1].t >= answered[0].t_end, "the others wait for what becomes of the probe"
    assert len(answered) == CALLERS
    assert len(ports) >= 4
    assert (done["state"], len(done["results"])) == ("done", CALLERS)
    assert all(result["reply"] for result in done["results"].values())
