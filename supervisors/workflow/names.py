"""The variables that a step and all inside it need."""

from collections.abc import Iterator, Mapping

from ...protocols.workflow.basic import Approve, Escalate, Use
from ...protocols.workflow.fields import templated
from ...protocols.workflow.nodes import walk
from ...protocols.workflow.step import EXPR, Step
from . import templates


def names_used(node: Step) -> frozenset[str]:
    """All names in templates of the step and of those inside; also such as are defined inside.

    Raises `ConfigError` for what is no template.
    """
    return frozenset(name for _, below in walk(node) for name in own_names(below))


def own_names(node: Step) -> Iterator[str]:
    """The names in the step's own templates."""
    for _, mark, value in templated(node):
        if mark == EXPR:
            yield from templates.names_in_expression(value)
        else:
            yield from templates.names_in_value(value)


def stays_home(node: Step, flows: Mapping[str, Step]) -> bool:
    """True where the step can't be run apart from its run: it asks people, hands cases up, or can be undone.

    Also where that is done by a sub-workflow among `flows` that it uses.
    """
    waiting, seen = [node], set()
    while waiting:
        for _, it in walk(waiting.pop()):
            if isinstance(it, Approve | Escalate) or it.undo is not None:
                return True
            if isinstance(it, Use) and it.flow in flows and it.flow not in seen:
                seen.add(it.flow)
                waiting.append(flows[it.flow])
    return False
