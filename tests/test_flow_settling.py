"""Many steps at once: every success is kept, every failure is named, and no more run at once than may."""

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from understudy.protocols.errors import StepFailed
from understudy.protocols.jobs import ApprovalAsk
from understudy.supervisors.workflow.settling import Settled, causes, settle
from understudy.supervisors.workflow.signals import Escalated, Parked


class World:
    """Works that end as they are told, after so many turns of the loop."""

    def __init__(self) -> None:
        self.running = self.most = 0
        self.begun: list[int] = []
        self.ended: list[int] = []

    def work(self, number: int, how: str, turns: int) -> Any:
        """One of them."""

        async def one() -> Any:
            self.running += 1
            self.most = max(self.most, self.running)
            self.begun.append(number)
            try:
                for _ in range(turns):
                    await asyncio.sleep(0)
                if how == "fails":
                    raise StepFailed(f"no {number}")
                if how == "asks":
                    raise Parked((ApprovalAsk(str(number), "t", "s"),))
                if how == "escalates":
                    raise Escalated("too hard", None, str(number))
                return number
            finally:
                self.running -= 1
                self.ended.append(number)

        return one


ends = st.lists(st.tuples(st.sampled_from(["good", "good", "fails", "asks"]), st.integers(0, 4)), max_size=10)


@given(ends, st.one_of(st.none(), st.integers(1, 4)), st.one_of(st.none(), st.integers(1, 4)))
def test_all_settle(plan: list[tuple[str, int]], concurrency: int | None, enough: int | None) -> None:
    """Each has its own end in its place; with enough successes the others are cancelled and nobody is asked."""
    world, seen = World(), []
    works = [world.work(number, how, turns) for number, (how, turns) in enumerate(plan)]

    async def go() -> list[Settled] | Parked:
        try:
            return await settle(
                works, concurrency=concurrency, enough=enough, seen=lambda place, one: seen.append((place, one.good))
            )
        except Parked as asked:
            return asked

    found = asyncio.run(go())
    assert world.running == 0
    assert world.most <= (concurrency or 64)
    assert world.begun == sorted(world.begun)
    good = sum(how == "good" for how, _ in plan)
    asks = [str(number) for number, (how, _) in enumerate(plan) if how == "asks"]
    if isinstance(found, Parked):
        assert [ask.path for ask in found.asks] == asks
        assert enough is None or good < enough
        assert len(world.ended) == len(plan)
        return
    assert not asks or (enough is not None and good >= enough)
    for number, (one, (how, _)) in enumerate(zip(found, plan, strict=True)):
        if one.cancelled:
            assert enough is not None
        elif how == "fails":
            assert one == Settled(error=f"no {number}")
        elif how == "good":
            assert (one.value, one.good) == (number, True)
    assert enough is not None or not any(one.cancelled for one in found)
    assert sum(one.good for one in found) >= min(good, enough or good)
    assert len({place for place, _ in seen}) == len(seen)


async def test_an_escalation_ends_the_others() -> None:
    """They are cancelled before it goes up."""
    world = World()
    works = [world.work(0, "good", 50), world.work(1, "escalates", 1), world.work(2, "good", 50)]
    with pytest.raises(Escalated):
        await settle(works)
    assert sorted(world.ended) == [0, 1, 2]
    assert world.running == 0


async def test_a_cancel_reaches_all_of_them() -> None:
    """None is left behind, and none is begun any more."""
    world = World()
    task = asyncio.ensure_future(settle([world.work(number, "good", 10_000) for number in range(5)], concurrency=2))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert world.begun == [0, 1]
    assert world.running == 0


async def test_a_fault_is_not_taken_for_a_failure() -> None:
    """What is no failure of a step goes up as it is."""

    async def broken() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await settle([broken])


def test_causes_are_told_once() -> None:
    """A few of them, and how many more there are."""
    assert causes(["a", "b", "a"]) == "a; b"
    assert causes(["a", "b", "c", "d", "e"]) == "a; b; c; and 2 more"
