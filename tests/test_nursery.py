"""The Director's shell, with a Ray that is a dictionary: how it finds children, and starts those that are gone."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from understudy.actors.mailbox.post import LocalPeers
from understudy.protocols.errors import ActorDied
from understudy.protocols.messages import Down, Hello
from understudy.supervisors.children import SUPERVISOR, ChildSpec, core_children
from understudy.supervisors.director import nursery
from understudy.supervisors.director.nursery import Nursery

REDUCER = ChildSpec("reducer-0", "reducer", "m:Reducer")


class _Call:
    def __init__(self, answer: Callable[[], Awaitable[int]]) -> None:
        self._answer = answer

    def remote(self) -> Awaitable[int]:
        """Calls it."""
        return self._answer()


class ActorUnavailableError(ActorDied):
    """A fake of Ray's, which is known by its name."""


class Actor:
    """A fake of a handle: an actor that is dead answers nothing, whether Ray has noticed or not."""

    def __init__(self, pid: int, *, dead: bool = False) -> None:
        self._pid = pid
        self._away = asyncio.Event()
        self.slow: asyncio.Event | None = None
        self.recovered: list[tuple[list[str], list[str]]] = []
        self.recover = self
        self._ended = asyncio.Event()
        if dead:
            self._ended.set()
        self.pid = _Call(self._process)
        self.watch = _Call(self._watched)

    async def _process(self) -> int:
        if self.slow is not None:
            await self.slow.wait()
        if self._ended.is_set():
            raise ActorDied("the actor is unavailable")
        return self._pid

    async def _watched(self) -> int:
        ends = [asyncio.ensure_future(event.wait()) for event in (self._ended, self._away)]
        try:
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for end in ends:
                end.cancel()
        raise (ActorUnavailableError if self._away.is_set() else ActorDied)("the connection broke")

    async def remote(self, mappers: list[str], reducers: list[str]) -> None:
        """`recover`, of a Supervisor."""
        self.recovered.append((mappers, reducers))

    def end(self) -> None:
        """It dies."""
        self._ended.set()

    def part(self) -> None:
        """It lives, and who watched it has lost it."""
        self._away.set()


class Actors:
    """A fake of the spawner: `names` are those that Ray still has, for `late` more looks if they are dead."""

    def __init__(self, *, late: int = 0, succeeds: bool = False) -> None:
        self.succeeds = succeeds
        self.names: dict[str, Actor] = {}
        self.started: list[str] = []
        self._late = late

    def find(self, name: str) -> Actor | None:
        """Who is known by that name."""
        actor = self.names.get(name)
        if actor is not None and actor._ended.is_set():
            self._late -= 1
            if self._late < 0:
                del self.names[name]
        return self.names.get(name)

    def start(self, spec: ChildSpec) -> Actor:
        """A new one."""
        self.started.append(spec.name)
        self.names[spec.name] = Actor(100 + len(self.started))
        return self.names[spec.name]

    def kill(self, actor: Actor) -> None:
        """Ends it; one that is dead can't be ended."""
        if actor._ended.is_set():
            raise ActorDied("it is dead")
        actor.end()

    def wake(self) -> bool:
        """Whether the Director takes another's place."""
        return self.succeeds


class World:
    """A Director's shell, and a Supervisor that remembers what it is told."""

    def __init__(self, actors: Actors) -> None:
        self.director = Nursery("director", "test", spawner=actors, fingerprint="x")
        peers = LocalPeers()
        self.director.post._resolve = peers.resolve
        self.told: list[Any] = []
        post = peers.open(SUPERVISOR)
        post.on(Hello, lambda _, message: self.told.append(message))
        post.on(Down, lambda _, message: self.told.append(message))

    async def hellos(self, count: int) -> list[Hello]:
        """Waits until so many were said."""
        await until(lambda: sum(isinstance(one, Hello) for one in self.told) >= count)
        return [one for one in self.told if isinstance(one, Hello)]


async def until(true: Callable[[], bool]) -> None:
    """Waits for something that follows without any clock."""
    for _ in range(5000):
        if true():
            return
        await asyncio.sleep(0.001)
    raise AssertionError("it did not happen within 5 s")


@pytest.mark.parametrize("late", [0, 30])
async def test_a_name_that_ray_keeps_too_long_is_waited_for(monkeypatch: pytest.MonkeyPatch, late: int) -> None:
    """A lost node's child is started once and counts one death, however often its name still leads to the dead."""
    monkeypatch.setattr(nursery, "GONE_PAUSE_S", 0.001)
    actors = Actors(late=late)
    world = World(actors)
    world.director._ensure([REDUCER])
    await world.hellos(1)
    actors.names["reducer-0"].end()
    found = await world.hellos(2)
    assert [one.restarts for one in found] == [0, 1]
    assert found[0].pid != found[1].pid
    assert actors.started == ["reducer-0", "reducer-0"]
    assert [one.state for one in world.director._tree.status(now=0.0)] == ["up"]
    await world.director.stop()


async def test_who_was_found_dead_has_a_successor_that_counts_as_one() -> None:
    """A child that was adopted by its name and is dead: whoever takes its place is another, and says so."""
    actors = Actors(late=1)
    actors.names["reducer-0"] = Actor(7, dead=True)
    world = World(actors)
    world.director._ensure([REDUCER])
    [hello] = await world.hellos(1)
    assert (hello.restarts, hello.pid) == (1, 101)
    await world.director.stop()


async def test_a_name_that_stays_with_the_dead_is_a_death_at_last(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody is waited for without end: the restart limit decides in the end."""
    monkeypatch.setattr(nursery, "GONE_PAUSE_S", 0.001)
    monkeypatch.setattr(nursery, "GONE_S", 0.01)
    actors = Actors(late=1_000_000)
    actors.names["reducer-0"] = Actor(7, dead=True)
    world = World(actors)
    world.director._ensure([REDUCER])
    await until(lambda: world.director._tree.status(now=0.0)[0].restarts > 0)
    assert actors.started == []
    await world.director.stop()


async def test_successors_of_both_know_who_lives() -> None:
    """A Director that takes another's place tells a new Supervisor of all Mappers, also of a slow one."""
    actors = Actors(succeeds=True)
    mapper = actors.names["mapper-0"] = Actor(7)
    mapper.slow = asyncio.Event()
    actors.names["mapper-1"], actors.names["reducer-0"] = Actor(8), Actor(9)
    world = World(actors)
    world.director._ensure(core_children(2))
    await until(lambda: SUPERVISOR in world.director._tree.alive())
    supervisor = actors.names[SUPERVISOR]
    world.director._seen(nursery.CHILDREN)
    await asyncio.sleep(0.01)
    assert supervisor.recovered == []
    mapper.slow.set()
    await until(lambda: bool(supervisor.recovered))
    assert supervisor.recovered == [(["mapper-0", "mapper-1"], ["reducer-0"])]
    assert actors.started == [SUPERVISOR]
    await world.director.stop()


@pytest.mark.parametrize("dead", [False, True])
async def test_who_can_t_be_reached_does_not_go_on_beside_a_successor(
    monkeypatch: pytest.MonkeyPatch, *, dead: bool
) -> None:
    """Two would pay for the same work; one that is dead in truth is no hindrance."""
    monkeypatch.setattr(nursery, "GONE_PAUSE_S", 0.001)
    actors = Actors(late=2)
    world = World(actors)
    world.director._ensure([REDUCER])
    await world.hellos(1)
    first = actors.names["reducer-0"]
    first.part()
    await asyncio.sleep(0)
    if dead:
        first.end()
    found = await world.hellos(2)
    assert first._ended.is_set()
    assert [one.restarts for one in found] == [0, 1]
    assert found[0].pid != found[1].pid
    await world.director.stop()
