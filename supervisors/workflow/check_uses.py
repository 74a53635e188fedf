"""How the steps of a workflow lead to each other: sub-workflows, escalations, gates and what undoes them."""

from collections.abc import Iterator, Mapping

from ...protocols.strict import unknown
from ...protocols.workflow.basic import Approve, Escalate, Use
from ...protocols.workflow.nodes import Flow, children, walk
from ...protocols.workflow.patterns import Chain, Route
from ...protocols.workflow.step import Step
from .flaw import Flaw, Place, roots


def check_uses(flow: Flow) -> Iterator[Flaw]:
    """What leads nowhere, in circles, or is never looked at."""
    compensates = any(_compensates(node) for root in roots(flow).values() for _, node in walk(root))
    for at, root in roots(flow).items():
        yield from _gates(root, at)
        for path, node in walk(root, at):
            if isinstance(node, Use) and node.flow not in flow.flows:
                yield Flaw((*path, "flow"), unknown("flow", node.flow, flow.flows))
            if node.undo is not None and not compensates:
                yield Flaw(
                    (*path, "undo"),
                    "is never run: no step has `on_error: compensate`; say which failure undoes it, or leave it out",
                )
    yield from _Cycles(flow).flaws()
    yield from _Reached(flow).flaws()


def _compensates(node: Step) -> bool:
    return node.on_error is not None and node.on_error.then == "compensate"


def _gates(root: Step, at: Place) -> Iterator[Flaw]:
    if root.gate is not None:
        yield _idle_gate(at)
    for path, node in walk(root, at):
        for below, child in children(node):
            in_chain = isinstance(node, Chain) and below[0] == "steps"
            if child.gate is not None and not in_chain:
                yield _idle_gate(path + below)


def _idle_gate(path: Place) -> Flaw:
    return Flaw((*path, "gate"), "is never looked at: a gate ends the chain right around its step; put it into a chain")


class _Cycles:
    """Sub-workflows that use themselves, by whatever way: they would never end."""

    def __init__(self, flow: Flow) -> None:
        self._uses: Mapping[str, list[tuple[Place, str]]] = {
            name: [
                ((*path, "flow"), node.flow)
                for path, node in walk(root, ("flows", name))
                if isinstance(node, Use) and node.flow in flow.flows
            ]
            for name, root in flow.flows.items()
        }
        self._done: set[str] = set()

    def flaws(self) -> Iterator[Flaw]:
        for name in self._uses:
            yield from self._from(name, [])

    def _from(self, name: str, above: list[str]) -> Iterator[Flaw]:
        if name in self._done:
            return
        for place, used in self._uses[name]:
            line = [*above, name]
            if used in line:
                circle = " -> ".join([*line[line.index(used) :], used])
                yield Flaw(place, f"the flows use each other in a circle: {circle}; take one of these `use` steps out")
            else:
                yield from self._from(used, line)
        self._done.add(name)


class _Reached:
    """Every step with what is around it when it is reached from `run`, also through `use`."""

    def __init__(self, flow: Flow) -> None:
        self._flow = flow
        self._seen: set[tuple[str, bool, bool]] = set()
        self._told: dict[Flaw, None] = {}

    def flaws(self) -> list[Flaw]:
        self._visit(self._flow.run, ("run",), caught=False, undoing=False)
        return list(self._told)

    def _visit(self, node: Step, path: Place, *, caught: bool, undoing: bool) -> None:
        if isinstance(node, Escalate) and not caught:
            self._told[
                Flaw(path, "no route around it has `escalate`, so nobody takes the case; give one an `escalate` step")
            ] = None
        if isinstance(node, Approve) and undoing:
            self._told[
                Flaw(path, "can't stand in an `undo`: what is undone waits for nobody; ask before the step instead")
            ] = None
        if isinstance(node, Use) and node.flow in self._flow.flows:
            key = (node.flow, caught, undoing)
            if key not in self._seen:
                self._seen.add(key)
                below = self._flow.flows[node.flow]
                self._visit(below, ("flows", node.flow), caught=caught, undoing=undoing)
        for place, child in children(node):
            undoes = place[0] == "undo"
            takes = isinstance(node, Route) and place[0] == "branches" and node.escalate is not None
            # What is undone is undone by whoever is around: no route is waiting for its cases.
            self._visit(child, path + place, caught=(caught or takes) and not undoes, undoing=undoing or undoes)
