"""A workflow that shows what every rung of a ladder makes of an input: the ladder's own, cut where it ends. Pure.

Steps before the ladder run as they do; in its place all rungs answer at once, and each answer but the last rung's is
scored as the ladder scores it. What comes after is left out, and so are budgets and time limits around it: to see all
rungs costs more than to climb them.
"""

import dataclasses
import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

import orjson

from ...protocols.errors import StepFailed, UsageError
from ...protocols.suggest import did_you_mean
from ...protocols.workflow.basic import Call, Use, Value
from ...protocols.workflow.nodes import ADAPTER, Flow, walk
from ...protocols.workflow.patterns import Chain, Ladder, Parallel, Quality, Route
from ...protocols.workflow.result import FlowResult
from ...protocols.workflow.step import OnError, Step
from ...protocols.workflow.wrappers import Budget, Retry, Timeout
from ..patterns.agreement import agreement
from ..patterns.call import SAMPLING
from ..patterns.ladder import number

ID: Final = "calibrated"
"""The step that stands in the ladder's place; its output is a mapping with this one key."""

_Place = tuple[str | int, ...]
_Built = tuple[Step, dict[str, Step]]
_Build = Callable[[Step], _Built]
"""(a node with another one in the ladder's place, sub-workflows that are new)."""


@dataclasses.dataclass(frozen=True, slots=True)
class Spot:
    """Where a ladder stands.

    Attributes:
        path: as in a run's records.
        place: keys that lead to it in the workflow's file.
        ladder: the node.
        build: puts another node in its place.
    """

    path: str
    place: _Place
    ladder: Ladder
    build: _Build = dataclasses.field(repr=False)


@dataclasses.dataclass(frozen=True, slots=True)
class Seen:
    """What one rung made of an input.

    Attributes:
        answer: what it said; None where it failed.
        score: of the answer; None for the last rung's, and where there is no answer.
        cost: picodollars of the call and of judging it, -1 where a price is not known.
    """

    answer: Any
    score: float | None
    cost: int


def spots(flow: Flow) -> list[Spot]:
    """The ladders that every input comes to once at most; those inside loops and other ladders are not among them."""
    return list(_spots(flow, flow.run, _Way("run", ("run",), lambda new: (new, {}))))


def choose(flow: Flow, path: str) -> Spot:
    """The ladder at a path, or the only one there is. Raises `UsageError` that names those there are."""
    found = {spot.path: spot for spot in spots(flow)}
    named = ", ".join(found)
    if path:
        if path not in found:
            raise UsageError(
                f"--step {path!r}: there is no ladder{did_you_mean(path, found)}; there is {named or 'none'}"
            )
        return found[path]
    if not found:
        loops = any(isinstance(node, Ladder) for root in (flow.run, *flow.flows.values()) for _, node in walk(root))
        why = "stands inside a loop or another step; make it a workflow of its own" if loops else "is not in it"
        raise UsageError(f"{flow.name}: a ladder that can be calibrated {why}")
    if len(found) > 1:
        raise UsageError(f"{flow.name} has several ladders; name one by --step: {named}")
    return next(iter(found.values()))


@dataclasses.dataclass(frozen=True, slots=True)
class _Way:
    """How a node is come to: see `Spot`; `used` are the sub-workflows around it."""

    path: str
    place: _Place
    build: _Build
    used: tuple[str, ...] = ()

    def below(self, part: str | int, place: _Place, inner: _Build) -> "_Way":
        """The way to a node inside, that `inner` puts into this one."""

        def build(new: Step) -> _Built:
            node, more = inner(new)
            whole, others = self.build(node)
            return whole, {**others, **more}

        return _Way(f"{self.path}/{part}", place, build, self.used)


def _spots(flow: Flow, node: Step, way: _Way) -> Iterator[Spot]:
    if isinstance(node, Ladder):
        yield Spot(way.path, way.place, node, way.build)
        return
    for part, keys, child, inner in _below(node):
        yield from _spots(flow, child, way.below(part, (*way.place, *keys), inner))
    if isinstance(node, Use) and node.flow in flow.flows and node.flow not in way.used:
        inside = way.below(node.flow, ("flows", node.flow), _in_flow(node))
        inside = dataclasses.replace(inside, used=(*way.used, node.flow))
        yield from _spots(flow, flow.flows[node.flow], inside)


def _below(node: Step) -> Iterator[tuple[str | int, _Place, Step, _Build]]:
    """(part of the path, keys in the file, child, how the node is built anew) of what runs once where the node does."""
    if isinstance(node, Chain):
        for number_, child in enumerate(node.steps):
            yield number_, ("steps", number_), child, _in_chain(node, number_)
    elif isinstance(node, Parallel):
        for name, child in node.branches.items():
            yield name, ("branches", name), child, lambda new: (new, {})
    elif isinstance(node, Route):
        for name, child in node.branches.items():
            yield name, ("branches", name), child, _in_route(node, name)
    elif isinstance(node, Retry | Timeout | Budget):
        yield "node", ("node",), node.node, lambda new: (new, {})


def _in_chain(node: Chain, place: int) -> _Build:
    return lambda new: (node.model_copy(update={"steps": (*node.steps[:place], new), "output": None}), {})


def _in_route(node: Route, name: str) -> _Build:
    others = {other: Value(value=None) for other in node.branches if other != name}
    return lambda new: (node.model_copy(update={"branches": {name: new, **others}, "feedback": None}), {})


def _in_flow(node: Use) -> _Build:
    name = f"{node.flow}.{ID}"  # earlier steps may use the same one as it is
    return lambda new: (node.model_copy(update={"flow": name}), {name: new})


# The probe ------------------------------------------------------------------------------------------------------------


def probe(flow: Flow, spot: Spot) -> Flow:
    """The workflow that runs all rungs of a ladder."""
    branches: dict[str, Step] = {}
    last = len(spot.ladder.rungs) - 1
    for place, rung in enumerate(spot.ladder.rungs):
        samples = spot.ladder.quality.samples if place < last else None
        for sample in range(samples or 1):
            quality = None if samples or place == last else spot.ladder.quality
            branches[f"rung_{place}_{sample}"] = _asked(_sampled(rung, sample), quality)
    rungs = Parallel.model_validate({"branches": branches})
    step = Chain(id=ID, when=spot.ladder.when, steps=(rungs,), output={ID: "{{ previous }}"})
    run, more = spot.build(step)
    update = {"run": run, "flows": {**flow.flows, **more}, "max_cost": None, "deadline_s": None}
    return flow.model_copy(update=update)


def _sampled(rung: Step, sample: int) -> Step:
    """The rung whose calls differ from those of its other samples, as the ladder makes them differ."""
    if not sample:
        return rung
    said: Any = rung.model_dump(mode="json", exclude_unset=True, by_alias=True)
    for path, node in walk(rung):
        if isinstance(node, Call):
            call: Any = functools.reduce(lambda value, key: value[key], path, said)
            call |= {"temperature": node.temperature or SAMPLING, "seed": (node.seed or 0) + sample}
    return ADAPTER.validate_json(orjson.dumps(said))


def _asked(rung: Step, quality: Quality | None) -> Step:
    """A rung's answer and its score; nothing where it fails."""
    steps: list[Step] = [rung.model_copy(update={"id": "answer", "gate": None})]
    output = {"answer": "{{ answer }}"}
    if quality is not None:
        steps.append(_scoring(quality))
        output["score"] = "{{ score }}"
    return Chain.model_validate({"steps": tuple(steps), "output": output, "on_error": OnError(then="skip")})


def _scoring(quality: Quality) -> Step:
    if quality.rule is not None:
        return Value(id="score", value=f"{{{{ {quality.rule} }}}}")
    assert quality.judge is not None
    # A judge that fails finds nothing good, as in the ladder.
    return Retry(id="score", node=quality.judge, attempts=1, on_error=OnError(then="default", default=0.0))


def seen(result: FlowResult, ladder: Ladder) -> list[Seen] | None:
    """What each rung made of an input; None where the input did not come to the ladder."""
    value = result.value
    if not isinstance(value, dict) or set(value) != {ID}:
        return None
    base = next(record.path for record in reversed(result.steps) if record.id == ID)
    costs = _costs(result, f"{base}/0/rung_", len(ladder.rungs))
    return [_rung(value[ID], place, ladder, costs[place]) for place in range(len(ladder.rungs))]


def _rung(said: Mapping[str, Any], place: int, ladder: Ladder, cost: int) -> Seen:
    if ladder.quality.samples is not None and place < len(ladder.rungs) - 1:
        names = [f"rung_{place}_{sample}" for sample in range(ladder.quality.samples)]
        return Seen(*_agreed([said.get(name) for name in names]), cost)
    found = said.get(f"rung_{place}_0")
    if found is None or found["answer"] is None:
        return Seen(None, None, cost)
    return Seen(found["answer"], _score(found["score"]) if "score" in found else None, cost)


def _score(value: Any) -> float:
    try:
        return number(value.get("score") if isinstance(value, dict) else value)
    except StepFailed:
        return 0.0


def _agreed(samples: Sequence[Any]) -> tuple[Any, float | None]:
    """As the ladder does: the answer that most samples agree on, and how far all agree."""
    good = [one["answer"] for one in samples if one is not None and one["answer"] is not None]
    if not good:
        return None, None
    found = agreement(good)
    return good[found.groups[0][0]], found.score * len(good) / len(samples)


def _costs(result: FlowResult, prefix: str, rungs: int) -> list[int]:
    costs = [0] * rungs
    for record in result.steps:
        if record.path.startswith(prefix):
            place = int(record.path[len(prefix) :].split("_", 1)[0])
            costs[place] = -1 if costs[place] < 0 or record.cost < 0 else costs[place] + record.cost
    return costs
