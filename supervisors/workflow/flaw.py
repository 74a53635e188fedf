"""A mistake in a workflow, and where it is."""

from typing import NamedTuple

Place = tuple[str | int, ...]
"""A path in a workflow as its file has it: `("run", "steps", 0, "prompt")`."""


class Flaw(NamedTuple):
    """What is wrong at a place, and how to mend it, in a line."""

    path: Place
    text: str


def text_path(path: Place) -> str:
    """`run.steps[0].prompt`."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path).removeprefix(".")
