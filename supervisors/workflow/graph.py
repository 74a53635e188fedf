"""A workflow as a picture: a tree for the terminal, a Mermaid flowchart for documents."""

import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

import msgspec

from ...protocols.workflow.basic import Approve, Call, Escalate, Function, Use
from ...protocols.workflow.nodes import Flow, children
from ...protocols.workflow.patterns import Ladder, MapReduce, Orchestrate, Parallel, Route
from ...protocols.workflow.step import Step
from ...protocols.workflow.wrappers import Budget, Retry, Timeout

_LONGEST: Final = 64
_ASIDE: Final = ("undo", "on_error")
"""Steps that run only when something has failed stand beside their step, not in it."""
_NAMED: Final = ("branches", "voters", "workers", "flows")


class Branch(msgspec.Struct, frozen=True):
    """A step in the picture.

    Attributes:
        kind: of the step; `flow` for the whole.
        name: its id.
        detail: what else is worth knowing, in a few words.
        place: where it stands in the one around it: `("steps", 0)`, `("branches", "bug")`.
        when: its condition.
        gate: what ends the chain after it.
        branches: the steps right below, in the order they are written.
    """

    kind: str
    name: str = ""
    detail: str = ""
    place: tuple[str | int, ...] = ()
    when: str = ""
    gate: str = ""
    branches: "tuple[Branch, ...]" = ()

    @property
    def role(self) -> str:
        """What it is to the step around it: a branch's name, `then`, `judge`; empty for the steps of a chain."""
        if self.place[:1] == ("steps",) or not self.place:
            return ""
        if self.place[0] in _NAMED:
            return str(self.place[1])
        if self.place[0] == "rungs":
            return f"rung {int(self.place[1]) + 1}"
        return {"on_error": "on error", "node": ""}.get(str(self.place[0]), str(self.place[-1]))

    @property
    def title(self) -> str:
        """`classify: call, fast, when input.long`."""
        told = f"{self.name}: {self.kind}" if self.name else self.kind
        more = [self.detail, f"when {self.when}" if self.when else "", f"ends if {self.gate}" if self.gate else ""]
        return ", ".join(part for part in (told, *more) if part)


def tree(flow: Flow) -> Branch:
    """The workflow as a tree; each step is in it once."""
    below = (_branch(flow.run, ("run",)), *(_branch(node, ("flows", name)) for name, node in flow.flows.items()))
    return Branch("flow", flow.name, _short(flow.description), (), branches=below)


def _branch(node: Step, place: tuple[str | int, ...]) -> Branch:
    return Branch(
        str(getattr(node, "kind", "")),
        node.id or "",
        _short(_detail(node)),
        place,
        _short(node.when or ""),
        _short(node.gate.stop) if node.gate is not None else "",
        tuple(_branch(child, path) for path, child in children(node)),
    )


def _short(text: str) -> str:
    """One line; signs that would tell the terminal to do something are left out."""
    text = "".join(sign for sign in " ".join(text.split()) if sign.isprintable())
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


_DETAILS: Final[dict[type[Step], Callable[[Any], str]]] = {
    Call: lambda node: node.model,
    Function: lambda node: node.call,
    Approve: lambda node: node.title if node.title != "approve" else "",
    Escalate: lambda node: node.reason,
    Use: lambda node: node.flow,
    Parallel: lambda node: f"each {node.as_} of {node.over}" if node.over is not None else "",
    Route: lambda node: ", ".join(_deciders(node)),
    MapReduce: lambda node: f"{node.variant}, each {node.as_} of {node.over}",
    Ladder: lambda node: f"up to {node.threshold:g}",
    Orchestrate: lambda node: f"at most {node.most} tasks",
    Retry: lambda node: f"{node.attempts} runs",
    Timeout: lambda node: f"{node.seconds:g} s",
    Budget: lambda node: ", ".join(_bounds(node)),
}


def _detail(node: Step) -> str:
    said = _DETAILS.get(type(node))
    return said(node) if said is not None else ""


def _deciders(node: Route) -> Iterator[str]:
    if node.rules:
        yield f"{len(node.rules)} rule{'s' if len(node.rules) > 1 else ''}"
    if node.model is not None:
        yield f"asks {node.model}"
    yield f"else {node.generalist}"


def _bounds(node: Budget) -> Iterator[str]:
    if node.max_cost is not None:
        yield f"${node.max_cost:g}"
    if node.max_calls is not None:
        yield f"{node.max_calls} calls"
    if node.max_tokens is not None:
        yield f"{node.max_tokens} tokens"


# Mermaid --------------------------------------------------------------------------------------------------------------

_SHAPES: Final = {
    "approve": ("{{", "}}"),
    "function": ("[/", "/]"),
    "value": ("(", ")"),
    "escalate": ("([", "])"),
    "use": ("[[", "]]"),
}
_ENTITIES: Final = {"#": "#35;", '"': "#quot;", "&": "#amp;", "<": "#lt;", ">": "#gt;", "`": "#96;", "\\": "#92;"}


def mermaid(flow: Flow) -> str:
    """The workflow as a Mermaid flowchart: a box for each step, a frame for one with steps inside."""
    return _Drawing().text(tree(flow))


def escaped(text: str) -> str:
    """Text as a label in quotes shows it, whatever is in it: Mermaid writes entities with `#`."""
    return "".join(_ENTITIES.get(sign, sign) for sign in " ".join(text.split()))


class _Drawing:
    """Lines of boxes and frames, and the arrows, which come last: a box belongs to the frame that names it first."""

    def __init__(self) -> None:
        self._lines = ["flowchart TD"]
        self._arrows: list[str] = []
        self._count = 0
        self._flows: dict[str, str] = {}
        self._uses: list[tuple[str, str, str]] = []

    def text(self, whole: Branch) -> str:
        """All of it."""
        for branch in whole.branches:
            if branch.place[0] == "flows":
                name = str(branch.place[1])
                frame = self._flows[name] = self._new("f")
                self._open(frame, f"flow {name}", 1)
                self._draw(branch, 2, inside=name)
                self._lines.append("  end")
            else:
                self._draw(branch, 1, inside="")
        for box, flow, inside in self._uses:
            if flow in self._flows and flow != inside:  # no arrow leads from a box to the frame around it
                self._arrow(box, self._flows[flow], dotted=True)
        return "\n".join([*self._lines, *self._arrows]) + "\n"

    def _new(self, letter: str) -> str:
        self._count += 1
        return f"{letter}{self._count}"

    def _open(self, frame: str, label: str, depth: int) -> None:
        self._lines.append(f'{"  " * depth}subgraph {frame}["{escaped(label)}"]')

    def _arrow(self, start: str, end: str, label: str = "", *, dotted: bool = False) -> None:
        line = "-.->" if dotted else "-->"
        said = f'|"{escaped(label)}"|' if label else ""
        self._arrows.append(f"  {start} {line}{said} {end}")

    def _draw(self, branch: Branch, depth: int, *, inside: str) -> str:
        """Draws a step and all below; the name of its box or frame."""
        label = f"{branch.role}: {branch.title}" if branch.place[0] in _NAMED[:3] else branch.title
        within = [one for one in branch.branches if one.place[0] not in _ASIDE]
        if within:
            name = self._new("s")
            self._open(name, label, depth)
            drawn = [(one, self._draw(one, depth + 1, inside=inside)) for one in within]
            self._connect(branch, drawn, depth + 1)
            self._lines.append(f"{'  ' * depth}end")
        else:
            name = self._new("n")
            left, right = _SHAPES.get(branch.kind, ("[", "]"))
            self._lines.append(f'{"  " * depth}{name}{left}"{escaped(label)}"{right}')
        if branch.kind == "use":
            self._uses.append((name, branch.detail, inside))
        for one in branch.branches:
            if one.place[0] in _ASIDE:
                self._arrow(name, self._draw(one, depth, inside=inside), one.role, dotted=True)
        return name

    # How the steps inside one lead to each other ----------------------------------------------------------------------

    def _connect(self, branch: Branch, drawn: Sequence[tuple[Branch, str]], depth: int) -> None:
        by_place: dict[str, list[tuple[Branch, str]]] = {}
        for one, name in drawn:
            by_place.setdefault(str(one.place[0]), []).append((one, name))
        if branch.kind == "chain":
            self._in_a_row(by_place["steps"], lambda one: f"unless {one.gate}" if one.gate else "")
        elif branch.kind == "ladder":
            self._in_a_row(by_place["rungs"], lambda _: "not good enough")
            self._all_to(by_place["rungs"][:-1], by_place.get("quality", ()), "how good?", dotted=True)
        elif branch.kind == "route":
            self._route(by_place, depth)
        else:
            for start, end, label in _ARROWS.get(branch.kind, ()):
                self._all_to(by_place.get(start, ()), by_place.get(end, ()), label)

    def _in_a_row(self, drawn: Sequence[tuple[Branch, str]], label: Callable[[Branch], str]) -> None:
        for (one, start), (_, end) in itertools.pairwise(drawn):
            self._arrow(start, end, label(one))

    def _all_to(
        self,
        starts: Sequence[tuple[Branch, str]],
        ends: Sequence[tuple[Branch, str]],
        label: str,
        *,
        dotted: bool = False,
    ) -> None:
        for _, start in starts:
            for _, end in ends:
                self._arrow(start, end, label, dotted=dotted)

    def _route(self, by_place: dict[str, list[tuple[Branch, str]]], depth: int) -> None:
        """From what decides to the branches; what they hand up goes to `escalate`."""
        if "classifier" in by_place:
            [(_, decides)] = by_place["classifier"]
        else:
            decides = self._new("d")
            self._lines.append(f'{"  " * depth}{decides}{{"which?"}}')
        for one, name in by_place["branches"]:
            self._arrow(decides, name, one.role)
        self._all_to(by_place["branches"], by_place.get("escalate", ()), "escalates", dotted=True)


_ARROWS: Final = {
    "parallel": (("branches", "then", ""), ("each", "then", "")),
    "map_reduce": (
        ("map", "collapse", "groups"),
        ("collapse", "reduce", ""),
        ("map", "reduce", "parts"),
        ("map", "judge", "ties"),
    ),
    "consensus": (("voters", "ensemble", "where they differ"),),
    "evaluate": (("generate", "evaluate", "draft"), ("evaluate", "generate", "not accepted")),
    "orchestrate": (("plan", "workers", "task"), ("workers", "then", "")),
}
