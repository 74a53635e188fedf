"""The monkey: kills one process of ours after the other, on a timetable drawn from a seed."""

import random
from collections.abc import Callable

from . import processes
from .driver import Driver
from .judge import Kill
from .plan import PAUSE_S, Plan, kills
from .world import World


class Monkey:
    """Told the time; see `step`.

    Args:
        plan: whom it may kill.
        world: where they are.
        driver: one of them.
        say: is told of each kill as it happens.
    """

    def __init__(self, plan: Plan, world: World, driver: Driver, say: Callable[[Kill], None]) -> None:
        # Apart, so that the timetable is the seed's alone: how many of a role are up differs from run to run.
        self._victims = random.Random(plan.seed + 1)
        self._next = kills(random.Random(plan.seed), plan.roles)
        self._world = world
        self._driver = driver
        self._say = say
        self._due = 0.0
        self._role = ""
        self._node_s = self._node_due = plan.node_s or float("inf")
        self.kills: list[Kill] = []

    def begin(self, *, now: float) -> None:
        """The first kill comes after a pause from now."""
        pause, self._role = next(self._next)
        self._due = now + pause
        self._node_due += now

    def step(self, *, now: float) -> None:
        """Kills whoever is due."""
        if now >= self._node_due:
            self._node_due = now + self._node_s
            pid = self._world.kill_node()
            if pid:
                self._note(Kill(now, "node", pid, "raylet"))
            self._world.add_node()
            return
        if now < self._due:
            return
        if self._kill(self._role, now):
            pause, self._role = next(self._next)
            self._due = now + pause
        else:
            # Nobody of that role is up just now, since it was killed a moment ago: somebody else is.
            self._due, self._role = now + PAUSE_S[0] / 6, next(self._next)[1]

    def _kill(self, role: str, now: float) -> bool:
        if role == "driver":
            pid = self._driver.kill()
            if pid:
                self._note(Kill(now, role, pid))
            return bool(pid)
        found = [one for one in processes.actors(self._world.roots()) if one.role == role]
        if not found:
            return False
        # By id, so that the choice is the same whatever order the system lists them in.
        victim = self._victims.choice(sorted(found, key=lambda one: one.pid))
        if not victim.kill():
            return False
        self._note(Kill(now, role, victim.pid))
        return True

    def _note(self, kill: Kill) -> None:
        self.kills.append(kill)
        self._say(kill)
