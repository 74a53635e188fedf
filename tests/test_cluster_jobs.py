"""Jobs that wait for people and jobs that work for items, through real actors, some of which are killed."""

import pytest
from cluster_tools import Cluster, wait_until

pytestmark = pytest.mark.cluster


def test_an_item_waits_for_a_person(cluster: Cluster) -> None:
    """It is listed, a wrong answer is refused by name, and a right one has it go on where it stopped."""
    with cluster.attach() as driver:
        driver.ask("ready")
        job = driver.ask("order", orders=[["ask", ["run/1"]], ["say", "x"]])["job"]
        assert driver.ask("obtain", job=job)["state"] == "waiting"
        [waiting] = driver.ask("approvals", job=job)
        assert [ask[0] for ask in waiting["asks"]] == ["run/1"]
        assert "waiting are 0" in driver.ask("answer", job=job, item=7)["refusal"]
        assert driver.ask("answer", job=job) == {"on": True}
        found = driver.ask("obtain", job=job)
        assert (found["state"], found["data"]) == ("done", {"0": ["begun", "run/1"], "1": ["x"]})


def test_an_item_drives_a_job_of_its_own(cluster: Cluster) -> None:
    """Its items are spread over all Mappers by calls from actor to actor, in blocks that wait for each other."""
    with cluster.attach() as driver:
        driver.ask("ready")
        orders = [["child", [["say", one] for one in range(200)]], ["child", [["say", "x" * 200_000]] * 3]]
        job = driver.ask("order", orders=orders)["job"]
        found = driver.ask("obtain", job=job)
        assert found["state"] == "done"
        assert found["data"]["0"] == ["done", [[one] for one in range(200)]]
        assert found["data"]["1"] == ["done", [["x" * 200_000]] * 3]


def test_children_end_with_their_parent(cluster: Cluster) -> None:
    """Cancelling a job leaves none that worked for it."""
    with cluster.attach() as driver:
        driver.ask("ready")
        job = driver.ask("order", orders=[["child", [["hang"]] * 4]])["job"]
        wait_until(lambda: f"{job}.0" in {one["id"] for one in driver.ask("status")["jobs"]}, seconds=20)
        driver.ask("cancel", job=job)
        wait_until(lambda: f"{job}.0" not in {one["id"] for one in driver.ask("status")["jobs"]}, seconds=20)
        assert driver.ask("obtain", job=job)["state"] == "cancelled"


def test_no_verdict_is_lost_with_a_mapper(cluster: Cluster) -> None:
    """Mappers that approved items hang on are killed: the others go on with the same verdicts."""
    with cluster.attach() as driver:
        driver.ask("ready")
        job = driver.ask("order", orders=[["ask", ["run/1"]]] * 4, width=4)["job"]
        assert driver.ask("obtain", job=job)["state"] == "waiting"
        for item in range(4):
            assert driver.ask("answer", job=job, item=item, note=f"hang mapper-{item % 2}") == {"on": True}
        assert driver.ask("obtain", job=job, seconds=2.0)["state"] == "running"
        cluster.kill("mapper-1")
        wait_until(lambda: {"1", "3"} <= set(driver.ask("obtain", job=job, seconds=0.5)["data"]), seconds=20)
        cluster.kill("mapper-0")
        found = driver.ask("obtain", job=job)
        assert found["state"] == "done"
        assert found["data"] == {str(item): ["begun", "run/1"] for item in range(4)}


def test_a_tree_grows_on_although_its_reducer_dies(cluster: Cluster) -> None:
    """The successor is told what was not merged: the root covers each item once."""
    with cluster.attach() as driver:
        driver.ask("ready")
        fields = {"reduces": True, "grows": True, "keep": False, "interpreter": "understudy.actors.echo:Mirror"}
        job = driver.ask("order", orders=["x"] * 2500, seal=False, **fields)["job"]
        cluster.kill("reducer-0")
        driver.ask("seal", job=job)
        found = driver.ask("obtain", job=job)
        assert (found["state"], found["restarts"]) == ("done", 1)
        assert found["data"]["root"] == "2500"
