"""The supervision tree: which children there are, what state each is in, and what follows when one dies."""

import dataclasses
from typing import Literal

import msgspec

from ...protocols.jobs import ChildStatus
from ..children import ChildSpec
from ..restart import GiveUp, RestartLimit, RestartWindow

State = Literal["starting", "up", "restarting", "given up", "stopped"]


@dataclasses.dataclass(frozen=True, slots=True)
class Start:
    """Effect: start the child after `delay_s`."""

    spec: ChildSpec
    delay_s: float = 0.0


@dataclasses.dataclass(frozen=True, slots=True)
class Announce:
    """Effect: tell everybody that the child is gone."""

    name: str
    restarting: bool


@dataclasses.dataclass(frozen=True, slots=True)
class Reconfigure:
    """Effect: tell the Provider of that name the newest configuration of its account, as JSON."""

    name: str
    account: bytes


@dataclasses.dataclass(slots=True)
class _Child:
    spec: ChildSpec
    window: RestartWindow
    state: State = "starting"
    pid: int = 0
    restarts: int = 0
    since: float = 0.0


class TreeOfActors:
    """One-for-one supervision: a child that dies is restarted alone, under its name, as often as its limit allows.

    Director
    ├── Supervisor
    ├── Journal       a successor waits where its login is refused: its predecessor's was not
    ├── Provider …    a successor counts its whole quota as used: nobody knows what was spent
    ├── Mapper …      what it had goes to the others
    └── Reducer …     is told again what its predecessor knew
    """

    def __init__(self, limit: RestartLimit | None = None) -> None:
        self._limit = limit or RestartLimit()
        self._children: dict[str, _Child] = {}

    def ensure(self, specs: list[ChildSpec], *, now: float) -> list[Start]:
        """These children are needed; returns those to start. One that was given up gets a new chance."""
        starts = []
        for spec in specs:
            child = self._children.get(spec.name)
            if child is None or child.state in ("given up", "stopped"):
                self._children[spec.name] = _Child(spec, RestartWindow(self._limit), since=now)
                starts.append(Start(spec if child is None else self._successor(spec)))
        return starts

    def reconfigure(self, specs: list[ChildSpec]) -> list[Reconfigure]:
        """Providers that are there already are told the newest configuration, and so are their successors.

        Also when it is the same: an account that was down for its key may have another one now.
        """
        effects = []
        for spec in specs:
            child = self._children.get(spec.name)
            if child is not None and child.state != "given up" and "settings" in spec.settings:
                settings = child.spec.settings | {"settings": spec.settings["settings"]}
                child.spec = msgspec.structs.replace(child.spec, settings=settings)
                effects.append(Reconfigure(spec.name, spec.settings["settings"]))
        return effects

    def up(self, name: str, pid: int, *, now: float, succeeds: bool = False) -> int:
        """A child has answered; returns how often it was restarted.

        `succeeds`: it takes the place of one that died while nobody watched, which counts as a restart.
        """
        child = self._children[name]
        child.state, child.pid, child.since = "up", pid, now
        if succeeds:
            child.restarts = max(child.restarts, 1)
        return child.restarts

    def pid(self, name: str) -> int:
        """The process id of a child that has been up."""
        return self._children[name].pid

    def specs(self) -> list[ChildSpec]:
        """How to start each child, a successor where one has been up already."""
        return [self._successor(child.spec) for child in self._children.values()]

    def died(self, name: str, *, now: float) -> list[Announce | Start]:
        """A child's process ended."""
        child = self._children.get(name)
        if child is None or child.state in ("given up", "stopped"):
            return []
        verdict = child.window.died(now=now)
        again = child.spec.restart == "permanent" and not isinstance(verdict, GiveUp)
        child.state, child.since = ("restarting" if again else "given up"), now
        effects: list[Announce | Start] = [Announce(name, again)]
        if again and not isinstance(verdict, GiveUp):
            child.restarts += 1
            effects.append(Start(self._successor(child.spec), verdict.delay_s))
        return effects

    @staticmethod
    def _successor(spec: ChildSpec) -> ChildSpec:
        if spec.role not in ("provider", "journal"):
            return spec
        return msgspec.structs.replace(spec, settings=spec.settings | {"fresh": False})

    def names(self, role: str) -> tuple[str, ...]:
        """The children of a role that are, or will be, there."""
        return tuple(
            name for name, child in self._children.items() if child.spec.role == role and child.state != "given up"
        )

    def alive(self) -> tuple[str, ...]:
        """The children that are up."""
        return tuple(name for name, child in self._children.items() if child.state == "up")

    def status(self, *, now: float) -> tuple[ChildStatus, ...]:
        """All children, for people."""
        return tuple(
            ChildStatus(name, child.spec.role, child.state, child.pid, child.restarts, now - child.since)
            for name, child in self._children.items()
        )
