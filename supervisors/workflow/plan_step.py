"""Plans a step: its condition, what its pattern comes to, and what its policy may add. The mirror of `step.perform`."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, Final, Self

from ...protocols.errors import ConfigError
from ...protocols.workflow.nodes import Flow, walk
from ...protocols.workflow.step import OnError, Step
from .plan_calls import Desk
from .plan_guess import Both, is_bounded
from .plan_load import NOTHING, Load, Planned, Span, most
from .plan_scope import Names, evaluated, truth

Law = Callable[[Any, "Place", "Planner"], tuple[Planned, Both]]
"""What one run of a node of one kind comes to, and its output."""

_LONGEST_S: Final = 60.0


@dataclasses.dataclass(frozen=True, slots=True)
class Place:
    """Where a step stands: its path, the variables it sees, the sub-workflows around it."""

    path: str
    names: Names
    used: tuple[str, ...] = ()

    def below(self, part: str | int, **names: Both) -> Self:
        """The place of a step inside, which knows these names besides."""
        return dataclasses.replace(self, path=f"{self.path}/{part}", names={**self.names, **names})

    def bind(self, **names: Both) -> Self:
        """The same place with more names known."""
        return dataclasses.replace(self, names={**self.names, **names})


class Planner:
    """Plans the steps of one workflow.

    Args:
        flow: the workflow.
        desk: knows what calls come to.
        laws: of each kind of node.
        width: runs of a wide fan-out's items at once.
    """

    def __init__(self, flow: Flow, desk: Desk, laws: Mapping[str, Law], *, width: int) -> None:
        self.flow = flow
        self.desk = desk
        self.width = width
        self._laws = laws
        #: What had to be assumed, each once, in the order it came up.
        self.assumed: dict[str, None] = {}
        #: False where what there is at most is a guess, too.
        self.bounded = True
        roots = (flow.run, *flow.flows.values())
        named = (node.id for root in roots for _, node in walk(root) if node.id)
        #: What templates know of steps' states.
        states = dict.fromkeys(named, _STATE)
        self.states = Both(states, states)

    def step(self, node: Step, at: Place) -> tuple[Planned, Both]:
        """What a step comes to, and its output."""
        kind = str(getattr(node, "kind", ""))
        if truth(node.when, at.names) is False:
            return Planned(at.path, kind, id=node.id or ""), Both.sure(None)
        planned, output = self._laws[kind](node, at, self)
        planned = dataclasses.replace(planned, id=node.id or "")
        return self._with_policy(node, planned, output, at), output

    def root(self, names: Mapping[str, Both]) -> Place:
        """Where the workflow itself stands."""
        return Place("run", {"steps": self.states, **names})

    def assume(self, path: str, what: str, *, bounded: bool = True) -> None:
        """Something is not known before the run; it may be more than is assumed where it is not `bounded`."""
        self.assumed[f"{path}: {what}"] = None
        self.bounded &= bounded

    def listed(self, expression: str, at: Place) -> Both:
        """The items of a list; as many as is guessed where nobody has seen it."""
        value = evaluated(expression, at.names)
        items = [list(one) if isinstance(one, list | tuple | str) else [one] for one in (value.typical, value.most)]
        if isinstance(value.typical, str):
            what = f"`{expression}` is not known yet: {len(items[0])} items, at most {len(items[1])}"
            self.assume(at.path, what, bounded=is_bounded(value.most))
        return Both(items[0], items[1], known=value.known)

    def within(self, name: str, at: Place) -> Place:
        """The place of a sub-workflow. Raises `ConfigError` when it is inside itself."""
        if name in at.used:
            raise ConfigError(f"{at.path}: the sub-workflows {' -> '.join((*at.used, name))} use each other")
        return dataclasses.replace(at.below(name), used=(*at.used, name))

    # Policy -----------------------------------------------------------------------------------------------------------

    def _with_policy(self, node: Step, planned: Planned, output: Both, at: Place) -> Planned:
        """Failures are not typical; at most every run of a step is made, what stands in for it, and what undoes it."""
        policy = node.on_error or OnError()
        further: list[Planned] = []
        if policy.alternative is not None:
            further.append(self.step(policy.alternative, at.below("alternative", error=_ERROR))[0])
        if node.undo is not None:
            known = {"it": output} | ({node.id: output} if node.id else {})
            further.append(self.step(node.undo, at.below("undo", **known))[0])
        if not policy.retries and not further:
            return planned
        runs = policy.retries + 1
        pauses = sum(min(_LONGEST_S, policy.backoff_s * 2**number) for number in range(policy.retries))
        at_most = planned.load.most.times(runs) + Load(seconds=pauses)
        inside = [one.run(one.typical_runs, one.most_runs * runs) for one in planned.inside]
        for one in further:
            at_most += one.load.most
            inside.append(one.run(0, 1))
        return dataclasses.replace(planned, load=Span.of(planned.load.typical, at_most), inside=tuple(inside))


_STATE: Final = {"state": "done", "model": "", "note": "", "cost": 0}
_ERROR: Final = Both.text(30, 120)


def either(several: list[Planned]) -> Span:
    """One of these: the mean typically, the maximum at most."""
    typical = NOTHING
    for one in several:
        typical += one.load.typical.times(1 / len(several))
    return Span.of(typical, most(one.load.most for one in several))
