"""The examples on a real cluster: by the command their comments name, and as the scripts they are."""

import asyncio
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from cluster_tools import Cluster, Finished
from example_world import EXAMPLES, Fault, World, simulators

pytestmark = pytest.mark.cluster

ALLOW = ("You moderate messages", {"verdict": "allow", "reason": "a complaint"})


def configured(here: World, folder: Path) -> str:
    """The examples' configuration as a file, with simulators for its providers."""
    path = folder / "understudy.yaml"
    path.write_text(here.config.model_dump_json(exclude_defaults=True))
    return str(path)


async def run(cluster: Cluster, here: World, folder: Path, name: str) -> Finished:
    """`understudy run` as the comment of the example says it."""
    return await asyncio.to_thread(
        cluster.run,
        "run",
        str(EXAMPLES / f"{name}.yaml"),
        *("--config", configured(here, folder)),
        *("--input", f"@{EXAMPLES / 'data' / name}.json"),
        "--json",
    )


async def script(cluster: Cluster, here: World, folder: Path, name: str, said: str = "") -> str:
    """What one of the scripts prints."""
    command = (sys.executable, str(EXAMPLES / f"{name}.py"), configured(here, folder))

    def work() -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command, env=cluster.environ, input=said, capture_output=True, text=True, timeout=120, check=False
        )

    done = await asyncio.to_thread(work)
    assert done.returncode == 0, done.stderr
    return done.stdout


def paths(told: dict[str, Any], state: str) -> list[str]:
    """The steps that ended so."""
    return [step["path"] for step in told["steps"] if step["state"] == state]


async def test_a_reply_is_taken_back_on_a_cluster(cluster: Cluster, tmp_path: Path) -> None:
    """Mappers find the functions beside the flow; a failed check undoes what was done, the last first."""
    bad = ("You check replies", {"ok": False, "problem": "it promises a day"})
    async with simulators(ALLOW, bad) as here:
        done = await run(cluster, here, tmp_path, "moderated_reply")
    assert done.code == 0, done.err
    assert done.json["output"]["status"] == "taken back"
    assert paths(done.json, "undone") == ["run/3/undo", "run/1/undo"]
    assert done.json["bill"]["dollars"] == f"{here.cost:f}"


async def test_a_hierarchy_waits_for_a_clinician_on_a_cluster(cluster: Cluster, tmp_path: Path) -> None:
    """The job pauses with exit code 4, is listed, approved by another command, and repeats no call."""
    advice = {"recommendation": "Amoxicillin.", "drugs": ["amoxicillin"], "confidence": 0.9}
    async with simulators(("You are a specialist in", advice)) as here:
        waiting = await run(cluster, here, tmp_path, "healthcare")
        assert waiting.code == 4, waiting.err
        [one] = waiting.json["waiting"]
        listed = await asyncio.to_thread(cluster.run, "approvals", "--json")
        assert one["job"] in [other["job"] for other in listed.json]
        answered = await asyncio.to_thread(cluster.run, "approve", one["job"], "--json")
        assert answered.code == 0, answered.err
    assert one["asks"][0]["title"] == "pulmonology: allergic to penicillin: amoxicillin"
    assert answered.json["results"][0]["output"]["by"] == "clinician"
    assert len(here.ledger()) == 4


async def test_a_chain_falls_back_in_ten_lines(cluster: Cluster, tmp_path: Path) -> None:
    """The large model fails, the small one writes the summary, and the script says so."""
    lines = (
        ("Write two sentences", Fault()),
        ("Say in two sentences", "Too full."),
        ("List the facts", "4,200 < 5,100"),
    )
    async with simulators(*lines) as here:
        out = await script(cluster, here, tmp_path, "chain_with_fallback")
    assert out.startswith("Too full.\nrun/1: the alternative stands in:")
    assert out.endswith(f"3 calls, ${here.cost:f}\n")


async def test_many_inputs_are_typed_and_failures_named(cluster: Cluster, tmp_path: Path) -> None:
    """Each review has its stars; the one that no model will read is named, and loses nobody else."""
    lines = (
        ("a day early", {"stars": 5, "about": "fast delivery"}),
        ("It is a lamp", {"stars": 3, "about": "the lamp itself"}),
        ("Broken", Fault()),
    )
    async with simulators(*lines) as here:
        out = await script(cluster, here, tmp_path, "screen_many")
    first, second, third = sorted(out.splitlines())
    assert (first, third) == ("0: ***** fast delivery", "2: ***   the lamp itself")
    assert second.startswith("1: failed: ")


@pytest.mark.parametrize(
    ("said", "told"), [("y", "{'paid_back': 4900, 'reason': 'broken'}"), ("n wait for the photo", "wait for the photo")]
)
async def test_a_person_decides_before_money_moves(cluster: Cluster, tmp_path: Path, said: str, told: str) -> None:
    """Approved it is paid; rejected it is not, and the note is told."""
    proposal = ("How many cents", {"cents": 4900, "reason": "broken"})
    async with simulators(proposal) as here:
        out = await script(cluster, here, tmp_path, "approve_first", said + "\n")
    assert "pay back 4900 cents? [y/n]" in out
    assert told in out.splitlines()[-1]
    assert len(here.ledger()) == 1
