"""A Supervisor that is told who is up: by process, since nobody may have told it that the one before has died."""

from typing import Any

from job_world import JobWorld

from understudy.actors.mapper.testing import Items
from understudy.protocols.messages import Absorb, Hello, ReduceOpen

ORDERS: list[list[Any]] = [["say", "a"], ["say", "b"]]


def _listen(world: JobWorld) -> list[ReduceOpen | Absorb]:
    """A Reducer that only remembers what it is told."""
    told: list[ReduceOpen | Absorb] = []
    post = world.peers.open("reducer-0")
    post.on(ReduceOpen, lambda _, message: told.append(message))
    post.on(Absorb, lambda _, message: told.append(message))
    return told


def _hello(world: JobWorld, name: str, role: str, pid: int) -> None:
    """The Director says who is up, and knows of no restart."""
    world.supervisor._hello(None, Hello(name, role, pid))  # type: ignore[arg-type]


async def test_a_reducer_of_another_process_is_told_all_again() -> None:
    """A Director that died before it told of the Reducer's successor has one that takes that for the first."""
    async with JobWorld() as world:
        told = _listen(world)
        await world.open("j", reduces=True)
        _hello(world, "reducer-0", "reducer", 7)
        await world.add("j", 0, ORDERS)
        await world.until(lambda: sum(len(one.items) for one in told if isinstance(one, Absorb)) == len(ORDERS))
        _hello(world, "reducer-0", "reducer", 7)
        assert sum(isinstance(one, ReduceOpen) for one in told) == 1
        told.clear()
        _hello(world, "reducer-0", "reducer", 8)
        await world.until(lambda: sum(len(one.items) for one in told if isinstance(one, Absorb)) == len(ORDERS))
        assert isinstance(told[0], ReduceOpen)


async def test_a_mapper_of_another_process_is_handed_the_items_anew() -> None:
    """What its predecessor had in hand waits again, though nobody has said that it died."""
    Items.reset()
    async with JobWorld(mappers=1) as world:
        await world.open("j")
        _hello(world, "mapper-0", "mapper", 7)
        await world.add("j", 0, [["hang"]])
        await world.until(lambda: Items.hanging == 1)
        _hello(world, "mapper-0", "mapper", 7)
        world.start("mapper-0")
        _hello(world, "mapper-0", "mapper", 8)
        await world.until(lambda: Items.hanging == 2)
        assert Items.ran == [(0, "map"), (0, "map")]
