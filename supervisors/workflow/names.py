"""The variables that a step and all inside it need."""

from collections.abc import Iterator

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


def stays_home(node: Step) -> bool:
    """True where the step can't be run apart from its run: it asks people, hands cases up, or can be undone."""
    return any(getattr(it, "kind", "") in ("approve", "escalate") or it.undo is not None for _, it in walk(node))
