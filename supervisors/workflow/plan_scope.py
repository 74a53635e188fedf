"""The variables that a plan knows, filled into templates twice: as they typically are, and as large as they may be."""

from collections.abc import Callable, Mapping
from typing import Any

from ...actors.embedded.tokens import count
from ...protocols.errors import ConfigError, StepFailed
from . import templates
from .merging import text_of
from .plan_guess import Both

Names = Mapping[str, Both]
"""Variables by name."""


def size(value: Any) -> int:
    """Tokens of a value as a prompt shows it."""
    return 0 if value is None else count(text_of(value))


def _side(names: Names, *, generous: bool) -> dict[str, Any]:
    return {name: both.most if generous else both.typical for name, both in names.items()}


def sides(names: Names) -> tuple[dict[str, Any], dict[str, Any]]:
    """The variables as they typically are, and as large as they may be."""
    return _side(names, generous=False), _side(names, generous=True)


def sure(used: frozenset[str], names: Names) -> bool:
    """True where all these variables are known as they are."""
    return all(name in names and names[name].known for name in used)


def evaluated(expression: str, names: Names) -> Both:
    """The value of an expression; where it can't be told as large as what it is made of."""
    used = templates.names_in_expression(expression)
    return _both(lambda scope: templates.evaluate(expression, scope), used, names)


def filled(value: Any, names: Names) -> Both:
    """A value with its templates filled in."""
    return _both(lambda scope: templates.fill(value, scope), templates.names_in_value(value), names)


def truth(expression: str | None, names: Names) -> bool | None:
    """Whether a condition holds; None where that is not known before the run."""
    if expression is None or not sure(templates.names_in_expression(expression), names):
        return None
    try:
        return templates.holds(expression, {name: both.typical for name, both in names.items()})
    except StepFailed:
        return None


def _both(fill: Callable[[dict[str, Any]], Any], used: frozenset[str], names: Names) -> Both:
    typical, most = sides(names)
    try:
        if sure(used, names):
            return Both.sure(fill(typical))
        return Both(fill(typical), fill(most))
    except (StepFailed, ConfigError):
        known = [names[name] for name in used if name in names]
        return Both.text(sum(size(one.typical) for one in known) or 1, sum(size(one.most) for one in known) or 1)
