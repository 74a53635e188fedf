"""A mistake in a workflow, and where it is."""

from typing import NamedTuple

from ...protocols.workflow.nodes import Flow
from ...protocols.workflow.step import Step

Place = tuple[str | int, ...]
"""A path in a workflow as its file has it: `("run", "steps", 0, "prompt")`."""


class Flaw(NamedTuple):
    """What is wrong at a place, and how to mend it, in a line."""

    path: Place
    text: str


def roots(flow: Flow) -> dict[Place, Step]:
    """What a workflow runs, and its sub-workflows, each with its path."""
    named: dict[Place, Step] = {("flows", name): node for name, node in flow.flows.items()}
    return {("run",): flow.run, **named}


def text_path(path: Place) -> str:
    """`run.steps[0].prompt`."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path).removeprefix(".")
