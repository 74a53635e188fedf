"""What a run of the harness is made of: how much work, which quota, who is killed when. Pure: told its randomness."""

import dataclasses
import random
from collections.abc import Iterator, Sequence
from typing import Final

ROLES: Final = ("mapper", "reducer", "supervisor", "provider", "journal", "director", "driver")
"""Whom the monkey may kill, each as often as the others; `node` is a raylet, killed on a timetable of its own."""

FULL_ITEMS: Final = 10_000
FULL_S: Final = 600.0
WINDOW_S: Final = 10.0
"""The quota's window. A Provider's restart costs a whole one, since nobody knows what its predecessor had spent."""

PAUSE_S: Final = (3.0, 8.0)
NODE_S: Final = 120.0
"""From one death of the second node's raylet to the next, where nothing else is said."""


@dataclasses.dataclass(frozen=True, slots=True)
class Plan:
    """One run.

    Attributes:
        seconds: how long the work takes at least, by its quota.
        seed: what the monkey's choices and the simulator's latencies are drawn from.
        items: map calls, one a file.
        rpm: requests that any window of `WINDOW_S` may hold.
        tpm: tokens that it may hold.
        roles: whom the monkey may kill.
        node_s: a second node is there, whose raylet is killed every so many seconds; 0: there is none.
        most_s: after so many seconds the run is given up.
    """

    seconds: float
    seed: int
    items: int
    rpm: int
    tpm: int
    roles: tuple[str, ...] = ROLES
    node_s: float = 0.0
    most_s: float = 0.0


def plan(
    seconds: float,
    seed: int,
    *,
    items: int = 0,
    roles: Sequence[str] = ROLES,
    node: bool | None = None,
    node_s: float = NODE_S,
) -> Plan:
    """A run of `seconds` at least; `items` 0 scales them to the seconds. A second node by default in long runs only.

    Raises:
        ValueError: a role that is not known, or nothing to do; the text names it.
    """
    for role in roles:
        if role not in ROLES:
            raise ValueError(f"no such role: {role}; there are {', '.join(ROLES)}")
    if seconds <= 0 or items < 0 or node_s <= 0:
        raise ValueError("seconds, items and what lies between two deaths of a node must be more than 0")
    many = items or max(100, round(FULL_ITEMS * min(1.0, seconds / FULL_S)))
    rpm = max(1, round(many / seconds * WINDOW_S))
    return Plan(
        seconds=seconds,
        seed=seed,
        items=many,
        rpm=rpm,
        # Requests are what binds; tokens are watched as well, with room for what is reserved from above.
        tpm=rpm * 2_000,
        roles=tuple(roles),
        node_s=node_s if (seconds >= FULL_S if node is None else node) else 0.0,
        most_s=4 * seconds + 240,
    )


def kills(random_: random.Random, roles: Sequence[str]) -> Iterator[tuple[float, str]]:
    """Without end: seconds until the next kill, and the role it is aimed at."""
    while True:
        yield random_.uniform(*PAUSE_S), random_.choice(list(roles))


def files(items: int) -> Iterator[tuple[str, str]]:
    """Path and text of each file of the source tree: each fills a map call of its own, and no two are alike.

    A hundred files a folder, ten folders a folder: three levels of reduce nodes above them.
    """
    for number in range(items):
        path = f"part{number // 1000:02}/piece{number // 100 % 10}/file{number:05}.txt"
        # Of more than half of `map_budget` (256 tokens) and less than all of it, whatever the number: no two files fit
        # into one call, and none needs two.
        words = " ".join(f"w{number:05}x{place:02}" for place in range(36))
        yield path, f"File {number} of the tree. {words}\n"
