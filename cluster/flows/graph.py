"""Runs `understudy graph`: a workflow as a tree in the terminal, or as a Mermaid flowchart; nothing is called."""

import sys
from pathlib import Path
from typing import Final

import msgspec
from rich.console import Console
from rich.text import Text
from rich.tree import Tree

from ...supervisors.workflow import graph
from ..flow_file import load

WIDTH: Final = 80
_STYLES: Final = {"call": "cyan", "approve": "yellow", "escalate": "yellow", "use": "magenta", "function": "green"}


def run(path: Path, *, mermaid: bool = False, json: bool = False, console: Console | None = None) -> int:
    """Draws a workflow; one whose form is right will do, also when `understudy validate` finds fault with it.

    Args:
        path: of the workflow's file.
        mermaid: as a Mermaid flowchart; else as a tree, at most 80 columns wide, without colours where it is piped.
        json: as the tree in JSON.
        console: where the tree is drawn.

    Returns:
        The exit code.

    Raises:
        ConfigError: the file can't be read, or its form is wrong.
    """
    flow, _ = load(path)
    if mermaid:
        sys.stdout.write(graph.mermaid(flow))
    elif json:
        text = msgspec.json.format(msgspec.json.encode(graph.tree(flow)), indent=2)
        sys.stdout.write(text.decode() + "\n")
    else:
        console = console or Console(highlight=False)
        console.print(drawn(graph.tree(flow)), width=min(console.width, WIDTH))
    return 0


def drawn(branch: graph.Branch, above: Tree | None = None) -> Tree:
    """The tree for the terminal, each step on a line; long ones are cut."""
    label = Text(no_wrap=True, overflow="ellipsis")
    if branch.place[:1] == ("steps",):
        label.append(f"{int(branch.place[1]) + 1} ", style="dim")
    elif branch.place[:1] == ("flows",):
        label.append(f"flow {branch.role}: ", style="bold")
    elif branch.role and branch.place != ("run",):
        label.append(f"{branch.role}: ", style="dim")
    label.append(branch.title, style=_STYLES.get(branch.kind, ""))
    here = Tree(label) if above is None else above.add(label)
    for below in branch.branches:
        drawn(below, here)
    return here
