"""A workflow is checked as a whole before anything is spent: every mistake at once, with its place and its remedy."""

from typing import Any

from ...protocols.config import Config
from ...protocols.workflow.nodes import Flow
from .check_ignored import check_ignored
from .check_names import check_names
from .check_outside import check_outside, misfit
from .check_uses import check_uses
from .flaw import Flaw, roots


def check(flow: Flow, config: Config | None = None, *, importing: bool = True) -> list[Flaw]:
    """All that is wrong with a workflow whose form is right, in no order.

    Args:
        flow: the workflow.
        config: what its models are looked up in; None leaves that out.
        importing: functions and models it names are imported, which runs the code of their modules.

    Returns:
        The flaws, each once; none of them is certain to be the only mistake at its place.
    """
    found = [
        *check_uses(flow),
        *check_names(flow, importing=importing),
        *(flaw for at, root in roots(flow).items() for flaw in check_ignored(root, at)),
        *check_outside(flow, config, importing=importing),
    ]
    return list(dict.fromkeys(found))


def check_input(flow: Flow, value: Any) -> str:
    """Why an input is not what the workflow wants; empty where it is. Raises `ConfigError` as `check` would find."""
    return misfit(flow.input, value) if flow.input is not None else ""
