"""What runs of a workflow will come to, before anything is spent: calls, tokens, dollars and time, step by step. Pure.

Each step is planned by the law of its pattern: sequential work is a sum, work side by side is a sum in money and the
slowest in time, of branches one is taken. Prompts are made by the workflow's own templates, out of the input where it
is given and of guesses of the right size where nobody has seen a value yet (half of a call's `max_tokens` typically,
all of it at most). Two figures each:

- *typical*: nothing fails; a branch of a route is any of them; most answers are good enough on a ladder's first rung;
- *at most*: every rung, round, retry, alternative and turn that mends an answer; the dearest branch at the dearest
  candidate. Requests that providers fail to answer, and hedges, are not in it: they are bounded by `attempts` and
  `budgets.call`. Where a list's length is only guessed, `Plan.assumed` says so.
"""

import dataclasses
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from ...actors.prices import PriceBook
from ...protocols.config import Config
from ...protocols.workflow.nodes import Flow
from ...protocols.workflow.step import Step
from ..forecast import Demand, asked_first, bounds
from .names import names_used
from .plan_calls import Desk
from .plan_guess import Both, guessed
from .plan_laws import LAWS
from .plan_load import Load, Planned, Span, blended
from .plan_many import stretches
from .plan_step import Planner

INPUT_TOKENS: Final = 1_000
"""Tokens of an input where nobody says."""
_SEEN: Final = 16
"""Stretches by size that many inputs are cut into; two of each are planned."""


@dataclasses.dataclass(frozen=True, slots=True)
class Sum:
    """What work comes to: requests, tokens, picodollars (None: a price is not known), seconds."""

    calls: float
    input_tokens: int
    output_tokens: int
    cost: int | None
    seconds: float


@dataclasses.dataclass(frozen=True, slots=True)
class Row:
    """One step, over all inputs.

    Attributes:
        path: as in a run's records, without the numbers of items and rounds.
        kind: of the node.
        id: its name to templates; empty where it has none.
        model: the route that its own calls take; empty where it makes none.
        typical: with all that is inside; `seconds` are those of one run of it.
        most: the same, at most.
        deep: how many steps are around it.
    """

    path: str
    kind: str
    id: str
    model: str
    typical: Sum
    most: Sum
    deep: int


@dataclasses.dataclass(frozen=True, slots=True)
class Plan:
    """What all runs of a workflow will come to.

    Attributes:
        name: of the workflow.
        inputs: how many runs.
        rows: the steps, those around before those inside.
        typical: of all runs together, in the time they take side by side.
        most: the same, at most.
        bound: what the typical time is bound by.
        assumed: what is not known before the run, each in a line.
        unpriced: candidates (`account/model`) without a known price.
        dearest: picodollars that one run may cost at most; None where a price is not known.
        bounded: False where the most is a guess, too: of an input that was not given, of what a function returns, or of
            how long a list will be. `dearest` is then good for a reservation, and not as a limit.
    """

    name: str
    inputs: int
    rows: tuple[Row, ...]
    typical: Sum
    most: Sum
    bound: str
    assumed: tuple[str, ...] = ()
    unpriced: tuple[str, ...] = ()
    dearest: int | None = None
    bounded: bool = True

    @property
    def typical_cost(self) -> int | None:
        """Picodollars of all runs, typically; None where a price is not known."""
        return self.typical.cost


def plan(
    flow: Flow,
    config: Config,
    prices: PriceBook,
    *,
    values: Sequence[Any] = (),
    input_tokens: int = INPUT_TOKENS,
    inputs: int | None = None,
    width: int = 64,
) -> Plan:
    """What runs of `flow` will come to; see the module.

    Args:
        flow: the workflow, checked already.
        config: models and accounts.
        prices: of its candidates.
        values: inputs as they will be given, all of them or some; none where they are not known.
        input_tokens: tokens of an input, where no value is given.
        inputs: how many runs; default: as many as there are values, and at least one.
        width: runs at once.

    Raises:
        ConfigError: a call's model is not defined, or sub-workflows use each other.
    """
    planner = _planner(flow, config, prices, width)
    runs = max(1, len(values)) if inputs is None else inputs
    typical, large = _trees(planner, values, input_tokens)
    tree = _blended(typical, large)
    cap = math.inf if flow.max_cost is None else flow.max_cost * 10**12
    one = _capped(tree.load, cap, flow.deadline_s)
    dear = max((_capped(one.load, cap, flow.deadline_s).most.cost for _, one in large), default=one.most.cost)
    seconds, bound = _time(tree, one.typical, config, runs, width)
    slowest, _ = _time(tree, one.most, config, runs, width, at_most=True)
    return Plan(
        flow.name,
        runs,
        tuple(_rows(tree, runs)),
        _sum(one.typical.times(runs).lasting(seconds)),
        _sum(one.most.times(runs).lasting(max(seconds, slowest))),
        bound,
        tuple(planner.assumed),
        prices.unpriced,
        None if one.most.unpriced else math.ceil(dear),
        planner.bounded and bool(values),
    )


def dearest(
    work: Flow | Step,
    config: Config,
    prices: PriceBook,
    *,
    input_tokens: int = INPUT_TOKENS,
    flows: Mapping[str, Any] | None = None,
) -> int:
    """Picodollars that one run may cost at most, for a budget's reservation; -1 where a price is not known.

    Args:
        work: a workflow, or a step that knows variables of any name, each of `input_tokens`.
        config: models and accounts.
        prices: of its candidates.
        input_tokens: of the input; of each variable, for a step.
        flows: sub-workflows that a step may use.
    """
    if isinstance(work, Flow):
        found = plan(work, config, prices, input_tokens=input_tokens).dearest
        return -1 if found is None else found
    flow = Flow.model_construct(_fields_set={"flows", "run"}, name="flow", flows=dict(flows or {}), run=work)
    planner = _planner(flow, config, prices, 1)
    guess = Both.text(input_tokens, input_tokens)
    place = planner.root({name: guess for name in names_used(work) if name != "steps"})
    most = planner.step(work, place)[0].load.most
    return -1 if most.unpriced else math.ceil(most.cost)


# Runs -----------------------------------------------------------------------------------------------------------------


def _planner(flow: Flow, config: Config, prices: PriceBook, width: int) -> Planner:
    return Planner(flow, Desk(flow, config, prices), LAWS, width=width)


_Trees = list[tuple[int, Planned]]


def _trees(planner: Planner, values: Sequence[Any], tokens: int) -> tuple[_Trees, _Trees]:
    """(runs as they typically are, runs that are the largest of their like), each with how many it stands for."""
    if not values:
        guess = _guess(planner.flow, tokens)
        tree = _run(planner, guess)
        return [(1, tree)], [(1, tree)]
    found = stretches(values, _SEEN)
    typical = [(one.count, _run(planner, Both.sure(one.middle[1]))) for one in found]
    if all(one.middle is one.largest for one in found):
        return typical, typical
    return typical, [(one.count, _run(planner, Both.sure(one.largest[1]))) for one in found]


def _run(planner: Planner, value: Both) -> Planned:
    place = planner.root({"input": value, "previous": value})
    return planner.step(planner.flow.run, place)[0]


def _guess(flow: Flow, tokens: int) -> Both:
    schema = flow.input if isinstance(flow.input, dict) else {}
    return Both(guessed(schema, tokens, generous=False), guessed(schema, tokens, generous=True))


def _blended(typical: _Trees, large: _Trees) -> Planned:
    if typical is large and len(typical) == 1:
        return typical[0][1]
    return blended([(float(n), 0.0, one) for n, one in typical] + [(0.0, float(n), one) for n, one in large])


def _capped(load: Span, cost: float, seconds: float | None) -> Span:
    bound = math.inf if seconds is None else seconds
    return Span.of(load.typical.within(cost=cost, seconds=bound), load.most.within(cost=cost, seconds=bound))


# Time -----------------------------------------------------------------------------------------------------------------


def _time(
    tree: Planned, one: Load, config: Config, runs: int, width: int, *, at_most: bool = False
) -> tuple[float, str]:
    """(seconds of all runs, what they are bound by): the steps of a run, or the limits of accounts."""
    waves = math.ceil(runs / width)
    name = "the steps one after the other" if waves == 1 else f"{width} runs at once"
    found = {name: one.seconds * waves}
    demands: dict[tuple[str, ...], Demand] = {}
    for route, load in _called(tree, runs, at_most=at_most):
        accounts = tuple(sorted({it.account for it in asked_first(config, route)}))
        demands[accounts] = demands.get(accounts, Demand()).plus(
            Demand(load.calls, load.input + load.output, load.seconds)
        )
    for accounts, demand in demands.items():
        limits = [config.accounts[account].limits for account in accounts]
        found |= bounds(limits, demand, ", ".join(accounts))
    longest = max(found, key=lambda name: found[name])
    return found[longest], longest


def _called(tree: Planned, runs: float, *, at_most: bool) -> Iterator[tuple[str, Load]]:
    """Each step that calls a model: its route, and all its calls, their seconds summed."""
    runs *= tree.most_runs if at_most else tree.typical_runs
    if tree.model:
        yield tree.model, (tree.load.most if at_most else tree.load.typical).times(runs)
    for one in tree.inside:
        yield from _called(one, runs, at_most=at_most)


# Rows -----------------------------------------------------------------------------------------------------------------


def _rows(tree: Planned, typical: float, most: float | None = None, deep: int = 0) -> Iterator[Row]:
    most = (typical if most is None else most) * tree.most_runs
    typical *= tree.typical_runs
    sums = Span.of(
        tree.load.typical.times(typical).lasting(tree.load.typical.seconds),
        tree.load.most.times(most).lasting(tree.load.most.seconds),
    )
    yield Row(tree.path, tree.kind, tree.id, tree.model, _sum(sums.typical), _sum(sums.most), deep)
    for one in tree.inside:
        yield from _rows(one, typical, most, deep + 1)


def _sum(load: Load) -> Sum:
    cost = None if load.unpriced else math.ceil(load.cost - 1e-6)
    return Sum(round(load.calls, 3), round(load.input), round(load.output), cost, round(load.seconds, 3))
