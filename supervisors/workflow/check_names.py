"""Do the templates of a workflow name only what is there when they are filled in?"""

import dataclasses
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any, Final

from jinja2.defaults import DEFAULT_NAMESPACE

from ...protocols.errors import ConfigError
from ...protocols.strict import hint
from ...protocols.suggest import did_you_mean
from ...protocols.workflow.fields import templated
from ...protocols.workflow.nodes import Flow, children, walk
from ...protocols.workflow.patterns import (
    Chain,
    Consensus,
    Evaluate,
    Ladder,
    MapReduce,
    Orchestrate,
    Parallel,
    Route,
)
from ...protocols.workflow.step import EXPR, Step
from . import templates
from .check_shape import ANY, LIST, MAPPING, NUMBER, TEXT, Shape, Shapes, has, mapping, of_schema
from .flaw import Flaw, Place, roots

Known = Mapping[str, Shape]
"""The variables that templates know at a place."""

_GLOBALS: Final = frozenset(DEFAULT_NAMESPACE)
_CHUNK: Final = mapping(
    *("name", "names", "text", "number", "of", "first_line", "last_line", "tokens", "overlap_chars")
)
_ESCALATION: Final = mapping("reason", "value", "branch", "path")
_STEPS: Final = "steps"


def check_names(flow: Flow, *, importing: bool) -> Iterator[Flaw]:
    """Each name that is not known where it is used, each id that hides another name, and what is no template."""
    names = _Names(flow, importing=importing)
    given = of_schema(flow.input, importing=importing, closed=False)
    yield from names.flaws(flow.run, ("run",), _root(given))
    for name, node in flow.flows.items():
        yield from names.flaws(node, ("flows", name), _root(ANY))


def _root(given: Shape) -> Known:
    return {"input": given, "previous": given, _STEPS: ANY}


@dataclasses.dataclass(frozen=True, slots=True)
class _Inside:
    """A step inside another: where it stands, and what it knows."""

    path: Place
    node: Step
    known: Known


class _Names:
    def __init__(self, flow: Flow, *, importing: bool) -> None:
        self._shapes = Shapes(importing=importing)
        self._ids = frozenset(node.id for root in roots(flow).values() for _, node in walk(root) if node.id)

    def flaws(self, node: Step, path: Place, known: Known) -> Iterator[Flaw]:
        """Those of a step, and of all inside it."""
        for place, mark, value in templated(node):
            yield from self._of_field(path + place, mark, value, {**known, **self._here(node, place, known)})
        for inside in self._inside(node, known):
            yield from self.flaws(inside.node, path + inside.path, inside.known)
        if isinstance(node, Chain):
            yield from self._hidden(node, path, known)
        if isinstance(node, MapReduce) and node.variant == "refine" and node.as_ == "draft":
            yield Flaw((*path, "as"), "can't be 'draft': with `variant: refine` that is the draft; choose another name")

    # What is known where ----------------------------------------------------------------------------------------------

    def _here(self, node: Step, place: Place, known: Known) -> Known:
        """What a field of the step knows besides."""
        more: Known = {}
        match node, place[0]:
            case _, "gate":
                more = {**self._own(node), "it": self._shapes.of(node), "previous": self._shapes.of(node)}
            case _, "on_error":
                more = {"error": TEXT}
            case Chain(), "output":
                more = self._after(node, known)
            case Route(), "rules" | "question":
                more = {"history": LIST}
            case Route(), "feedback":
                more = {"history": LIST, "it": ANY}
            case MapReduce(), "score":
                more = {"it": self._shapes.of(node.map) if node.variant == "rerank" else ANY}
            case Ladder(), "quality":
                more = self._answer(node)
            case Evaluate(), "accept":
                more = self._drafts(node)
        return more

    def _own(self, node: Step) -> Known:
        return {node.id: self._shapes.of(node)} if node.id else {}

    def _after(self, node: Chain, known: Known) -> dict[str, Shape]:
        """What is known after the last step of a chain."""
        after = dict(known)
        for step in node.steps:
            after.update(self._own(step))
            after["previous"] = self._shapes.of(step)
        return after

    def _answer(self, node: Ladder) -> Known:
        shape = self._shapes.of(node.rungs[0])
        shape = shape if all(self._shapes.of(rung) == shape for rung in node.rungs) else ANY
        return {"answer": shape, "previous": shape}

    def _drafts(self, node: Evaluate) -> Known:
        return {
            "draft": self._shapes.of(node.generate),
            "verdict": self._shapes.of(node.evaluate),
            "round": NUMBER,
        }

    def _inside(self, node: Step, known: Known) -> Iterator[_Inside]:
        """The steps right below, in the order they are written."""
        so_far = dict(known)
        for path, child in children(node):
            if path[0] == "undo":
                more: Known = {**self._own(node), "it": self._shapes.of(node)}
            elif path[0] == "on_error":
                more = {"error": TEXT}
            elif isinstance(node, Chain):
                yield _Inside(path, child, MappingProxyType(dict(so_far)))
                so_far.update(self._own(child))
                so_far["previous"] = self._shapes.of(child)
                continue
            else:
                more = self._below(node, path)
            yield _Inside(path, child, {**known, **more})

    def _below(self, node: Step, path: Place) -> Known:
        """What a step inside one that is no chain knows besides."""
        more: Known = {}
        match node, path[0]:
            case Parallel(), _:
                more = _parallel(node, path)
            case Route(), _:
                more = _route(path)
            case MapReduce(), _:
                more = _map_reduce(node, path)
            case Ladder(), "quality":
                more = self._answer(node)
            case Consensus(), "ensemble":
                more = {"votes": mapping(*node.voters), "previous": mapping(*node.voters)}
            case Evaluate(), "generate":
                more = self._drafts(node)
            case Evaluate(), "evaluate":
                more = {**self._drafts(node), "previous": self._shapes.of(node.generate)}
            case Orchestrate(), "workers":
                more = {"task": ANY, "index": NUMBER, "previous": ANY}
            case Orchestrate(), "then":
                more = {"tasks": LIST, "results": LIST, "errors": MAPPING, "previous": LIST}
        return more

    # What is wrong ----------------------------------------------------------------------------------------------------

    def _of_field(self, path: Place, mark: str, value: Any, known: Known) -> Iterator[Flaw]:
        texts = [value] if mark == EXPR else templates.texts_in(value)
        for text in texts:
            try:
                wanted = templates.names_in_expression(text) if mark == EXPR else templates.names_in(text)
            except ConfigError as error:
                yield Flaw(path, _no_template(str(error), text, mark))
                continue
            for name in sorted(wanted - known.keys() - _GLOBALS):
                yield Flaw(path, self._unknown(name, known))
            whole = f"{{{{ ({text}) }}}}" if mark == EXPR else text
            for name, attribute in sorted(templates.attributes_in(whole)):
                if name in wanted and name in known:
                    yield from self._of_attribute(path, name, attribute, known[name])

    def _unknown(self, name: str, known: Known) -> str:
        text = f"no step defines {name!r}{hint(name, known)}"
        if name in self._ids:
            text += "; a step has this id, but only later steps of the same chain, and what is inside them, know it"
        return text

    def _of_attribute(self, path: Place, name: str, attribute: str, shape: Shape) -> Iterator[Flaw]:
        if name == _STEPS:
            if attribute not in self._ids and not hasattr(dict, attribute):
                yield Flaw(path, f"no step has the id {attribute!r}{hint(attribute, self._ids)}")
        elif not has(shape, attribute):
            told = f"`{name}.{attribute}`: {name!r} "
            if shape.kind != "mapping":
                mend = "; give its step an `output` that has it" if shape.kind == "text" else ""
                yield Flaw(path, f"{told}is a {shape.kind} and has no {attribute!r}{mend}")
            elif shape.closed or did_you_mean(attribute, shape.names or ()):
                yield Flaw(path, f"{told}has no {attribute!r}{hint(attribute, shape.names or ())}")

    def _hidden(self, node: Chain, path: Place, known: Known) -> Iterator[Flaw]:
        taken = dict.fromkeys(known, "already the name of something here")
        for place, step in enumerate(node.steps):
            if step.id is None:
                continue
            if step.id in taken:
                yield Flaw((*path, "steps", place, "id"), f"{step.id!r} is {taken[step.id]}; choose another")
            taken.setdefault(step.id, f"the id of steps[{place}] as well")


def _parallel(node: Parallel, path: Place) -> Known:
    if path[0] == "each":
        return {node.as_: ANY, "index": NUMBER, "previous": ANY}
    if path[0] == "then":
        results = LIST if node.each is not None else mapping(*node.branches)
        return {"results": results, "errors": MAPPING, "previous": results}
    return {}


def _route(path: Place) -> Known:
    if path[0] == "branches":
        return {"route": TEXT, "history": LIST}
    if path[0] == "escalate":
        return {"route": TEXT, "history": LIST, "escalation": _ESCALATION, "previous": ANY}
    return {"history": LIST}


def _map_reduce(node: MapReduce, path: Place) -> Known:
    item: dict[str, Shape] = {node.as_: _CHUNK if node.chunk is not None else ANY, "index": NUMBER, "previous": ANY}
    if node.variant == "refine":
        return {**item, "draft": ANY}
    if path[0] == "map":
        return item
    if path[0] == "judge":
        return {"candidates": LIST, "previous": LIST}
    return {"parts": LIST, "previous": LIST, **({"folder": TEXT} if node.variant == "tree" else {})}


def _no_template(said: str, text: str, mark: str) -> str:
    if mark == EXPR and "{{" in text:
        return "must be an expression without braces: write  x == 1  and not  {{ x == 1 }}"
    return said
