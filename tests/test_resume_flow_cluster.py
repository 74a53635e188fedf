"""Steps of workflows that are finished are done once, on a real Ray cluster, judged by the simulator's ledger."""

from collections import Counter
from pathlib import Path

import pytest
from cluster_tools import Cluster, answered, configuration, wait_until
from flow_runs import flow_file, good

from understudy.cluster.simulator import Latency, Settings, SimulatorProcess

pytestmark = pytest.mark.cluster

ITEMS = 200
"""More than stay with one Mapper: they are a job of their own."""


def _with_other(config: Path, other: SimulatorProcess) -> str:
    """The configuration with a second provider, and the model `other` of that."""
    account = f"  other:\n    base_url: {other.url}/v1\n    api_key: ${{SIM_KEY}}\nmodels:\n"
    text = config.read_text(encoding="utf-8").replace("models:\n", account)
    text += "  other:\n    - {account: other, model: sim-small, price: {input: 0.15, output: 0.6}}\n"
    text += "attempts: {max_attempts: 2, backoff_s: 0.01, deadline_s: 20}\n"
    config.write_text(text, encoding="utf-8")
    return str(config)


def _paid_twice(simulator: SimulatorProcess) -> int:
    seen = Counter(record.content_hash for record in good(simulator.ledger()))
    return sum(count - 1 for count in seen.values())


def test_steps_before_one_that_failed_are_not_called_again(cluster: Cluster, tmp_path: Path) -> None:
    """Step 4 of 6 fails with 503: after `retry` steps 4 to 6 are called, and none of those before."""
    models = ["small", "small", "small", "other", "small", "small"]
    steps = "\n".join(
        f'    - {{kind: call, model: {model}, prompt: "Step {number}: {{{{ previous }}}}", max_tokens: 16}}'
        for number, model in enumerate(models)
    )
    flow = flow_file(tmp_path, f"name: six\nrun:\n  kind: chain\n  steps:\n{steps}\n")
    with SimulatorProcess() as simulator, SimulatorProcess() as other:
        other.control(outage="error_503")
        config = _with_other(configuration(tmp_path, simulator), other)
        failed = cluster.run("run", flow, "--input", "words", "--config", config, "--json")
        assert failed.code == 3, failed.err
        assert (answered(simulator), answered(other)) == (3, 0)
        other.control(outage="off")
        done = cluster.run("retry", failed.json["job"], "--json")
        assert done.code == 0, done.err
        assert (answered(simulator), answered(other)) == (5, 1)
        assert len(simulator.ledger()) == 5
        assert _paid_twice(simulator) == 0


def test_a_wide_fan_out_is_gone_on_with_when_its_driver_dies(cluster: Cluster, tmp_path: Path) -> None:
    """SIGKILL of all Mappers in mid-run: the items' job goes on, and only what was on its way is asked again."""
    text = f"""
name: wide
run:
  kind: chain
  steps:
    - {{id: draft, kind: call, model: small, prompt: "Draft {{{{ input }}}}", max_tokens: 16}}
    - kind: parallel
      over: range({ITEMS}) | list
      each: {{kind: call, model: small, prompt: "Read {{{{ item }}}}", max_tokens: 16}}
    - {{kind: value, value: "{{{{ previous | length }}}}"}}
"""
    with SimulatorProcess(Settings(latency=Latency(median_s=1.0, sigma=0.1))) as simulator:
        config = str(configuration(tmp_path, simulator))
        how = ("--input", "words", "--config", config, "--json")
        child = cluster.start("run", flow_file(tmp_path, text), *how)
        wait_until(lambda: answered(simulator) >= ITEMS // 3)
        in_flight = 0
        for number in range(cluster.mappers):
            in_flight += simulator.health()["in_flight"]
            cluster.kill(f"mapper-{number}")
        told, errors = child.communicate(timeout=100)
        assert child.returncode == 0, errors + told
        assert f'"output": {ITEMS}' in told or f'"output":{ITEMS}' in told
        # What was answered within the last 50 ms may not have been told.
        assert _paid_twice(simulator) <= in_flight + 64
