"""What one run of each kind of node comes to, by the laws of its pattern: the mirrors of `supervisors/patterns`."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final

from ...protocols.workflow.basic import Approve, Call, Escalate, Function, Use, Value
from ...protocols.workflow.patterns import Chain, Consensus, Evaluate, Ladder, Orchestrate, Parallel, Route
from ...protocols.workflow.wrappers import Budget, Retry, Timeout
from .plan_guess import Both, Guess, repeated
from .plan_load import Planned, Span, at_once, copies, makespan, mean, sequence
from .plan_many import many
from .plan_maps import map_reduce
from .plan_scope import filled, size, truth
from .plan_step import Law, Place, Planner, either
from .settling import MOST

Made = tuple[Planned, Both]

FUNCTION: Final = (100, 1000)
"""Tokens of what a function returns: nobody knows."""
ACCEPTED: Final = 0.7
"""Share of the answers that a rung of a ladder is taken for, where nobody has measured it."""
ROUNDS: Final = 2
"""Drafts until one is accepted."""


def _made(kind: str, at: Place, load: Span, inside: Sequence[Planned], output: Both) -> Made:
    return Planned(at.path, kind, load, inside=tuple(inside)), output


# Small ones -----------------------------------------------------------------------------------------------------------


def call(node: Call, at: Place, planner: Planner) -> Made:
    """One request; at most also those that mend its answer."""
    load, output = planner.desk.call(node, at.names)
    return Planned(at.path, "call", load, model=planner.desk.route(node)), output


def value(node: Value, at: Place, planner: Planner) -> Made:  # noqa: ARG001 - a law
    """Nothing."""
    return _made("value", at, Span(), (), filled(node.value, at.names))


def function(node: Function, at: Place, planner: Planner) -> Made:  # noqa: ARG001 - a law
    """Nothing that is known of."""
    planner.bounded = False
    return _made("function", at, Span(), (), Both.text(*FUNCTION))


def approve(node: Approve, at: Place, planner: Planner) -> Made:  # noqa: ARG001 - a law
    """Nothing; a person's time is not counted."""
    shown = filled(node.value, at.names)
    return _made("approve", at, Span(), (), dataclasses.replace(shown, known=shown.known and not node.edit))


def escalate(node: Escalate, at: Place, planner: Planner) -> Made:  # noqa: ARG001 - a law
    """Nothing here: what takes the case is the route's."""
    return _made("escalate", at, Span(), (), filled(node.value, at.names))


def use(node: Use, at: Place, planner: Planner) -> Made:
    """What the sub-workflow comes to."""
    given = filled(node.with_, at.names)
    inner = planner.within(node.flow, at)
    alone = dataclasses.replace(inner, names={"input": given, "previous": given, "steps": planner.states})
    planned, output = planner.step(planner.flow.flows[node.flow], alone)
    return _made("use", at, planned.load, (planned,), output)


# Chains and branches --------------------------------------------------------------------------------------------------


def chain(node: Chain, at: Place, planner: Planner) -> Made:
    """The sum of its steps; a gate that is known to end it does."""
    here, inside = at, []
    output = at.names.get("previous", Both.sure(None))
    for place, step in enumerate(node.steps):
        planned, output = planner.step(step, here.below(place))
        inside.append(planned)
        here = here.bind(previous=output, **({step.id: output} if step.id else {}))
        if step.gate is not None and truth(step.gate.stop, here.bind(it=output).names):
            gated = "output" in step.gate.model_fields_set
            output = filled(step.gate.output, here.bind(it=output).names) if gated else output
            return _made("chain", at, sequence(inside), inside, output)
    return _made(
        "chain", at, sequence(inside), inside, output if node.output is None else filled(node.output, here.names)
    )


def parallel(node: Parallel, at: Place, planner: Planner) -> Made:
    """The sum in money, the slowest in time; then what is made of the results."""
    load, inside, results = _each(node, at, planner) if node.each is not None else _branches(node, at, planner)
    if node.then is None:
        return _made("parallel", at, load, inside, results)
    below = at.below("then", results=results, errors=Both.sure({}), previous=results)
    then, output = planner.step(node.then, below)
    return _made("parallel", at, load + then.load, (*inside, then), output)


def _branches(node: Parallel, at: Place, planner: Planner) -> tuple[Span, list[Planned], Both]:
    made = {name: planner.step(step, at.below(name)) for name, step in node.branches.items()}
    inside = [planned for planned, _ in made.values()]
    load = _beside(inside, node.concurrency)
    if node.enough is not None:
        first = sorted(one.load.typical.seconds for one in inside)[: node.enough]
        load = Span.of(load.typical.lasting(makespan(first, node.concurrency or len(first))), load.most)
    return load, inside, _named({name: output for name, (_, output) in made.items()})


def _each(node: Parallel, at: Place, planner: Planner) -> tuple[Span, list[Planned], Both]:
    assert node.over is not None
    assert node.each is not None
    items = planner.listed(node.over, at)
    found = many(planner, node.each, items, at.below("each"), bind=node.as_, width=node.concurrency or MOST)
    return found.load, [found.step], found.outputs


def _beside(inside: Sequence[Planned], width: int | None = None) -> Span:
    return Span.of(
        at_once([one.load.typical for one in inside], width), at_once([one.load.most for one in inside], width)
    )


def _named(outputs: Mapping[str, Both]) -> Both:
    return Both(
        {name: one.typical for name, one in outputs.items()},
        {name: one.most for name, one in outputs.items()},
        known=all(one.known for one in outputs.values()),
    )


# Routes ---------------------------------------------------------------------------------------------------------------


def route(node: Route, at: Place, planner: Planner) -> Made:
    """Whoever classifies, and one of the branches; with feedback again, and what takes the cases that are handed up."""
    here = at.bind(history=Both.sure([]))
    names, asks = _choices(node, here)
    inside: list[Planned] = []
    round_ = Span()
    if asks and (classifier := _classifier(node, here, planner)) is not None:
        inside.append(classifier)
        round_ += classifier.load
    taken = [planner.step(node.branches[name], here.below(name, route=Both.sure(name))) for name in names]
    branches = [planned for planned, _ in taken]
    if len(names) > 1:
        planner.assume(at.path, f"each of {len(names)} branches is as likely as the others")
    round_ += either(branches)
    inside += [one.run(1 / len(branches), 1) for one in branches]
    outputs = [output for _, output in taken]
    if node.escalate is not None:
        case = Both(_case(_ERROR.typical), _case(_ERROR.most))
        above, output = planner.step(node.escalate, here.below("escalate", escalation=case, route=Both.sure("")))
        round_ = Span.of(round_.typical, round_.most + above.load.most)
        inside.append(above.run(0, 1))
        outputs.append(output)
    rounds = node.feedback.rounds if node.feedback is not None else 1
    inside = [one.run(one.typical_runs, one.most_runs * rounds) for one in inside]
    return _made("route", at, round_.times(1, rounds), inside, _one_of(outputs))


def _case(text: str) -> dict[str, Any]:
    return {"reason": text, "value": text, "branch": "", "path": ""}


def _choices(node: Route, at: Place) -> tuple[list[str], bool]:
    """(the branches it may be, whether a classifier may be asked): rules over what is known decide before the run."""
    possible: list[str] = []
    for rule in node.rules:
        holds = truth(rule.when, at.names)
        if holds:
            return list(dict.fromkeys([*possible, rule.to])), False
        if holds is None:
            possible.append(rule.to)
    if node.classifier is None and node.model is None:
        assert node.generalist is not None
        return list(dict.fromkeys([*possible, node.generalist])), False
    return list(node.branches), True


def _classifier(node: Route, at: Place, planner: Planner) -> Planned | None:
    if node.classifier is not None:
        return planner.step(node.classifier, at.below("classifier"))[0]
    if node.model is None:
        return None
    choices = {name: node.descriptions.get(name, name) for name in node.branches}
    load = planner.desk.question(node.model, filled(node.question, at.names), choices)
    return Planned(f"{at.path}/classifier", "call", load, model=node.model)


def _one_of(outputs: Sequence[Both]) -> Both:
    """Of several outputs one: the one of the middle size, and the largest."""
    if len(outputs) == 1:
        return outputs[0]
    usual = sorted((one.typical for one in outputs), key=size)[(len(outputs) - 1) // 2]
    return Both(usual, max((one.most for one in outputs), key=size))


# Quality --------------------------------------------------------------------------------------------------------------


def ladder(node: Ladder, at: Place, planner: Planner) -> Made:
    """Rung after rung, each judged; typically most answers are those of the first."""
    inside: list[Planned] = []
    outputs: list[Both] = []
    load, reached, last = Span(), 1.0, len(node.rungs) - 1
    planner.assume(at.path, f"{ACCEPTED:.0%} of the answers of each rung are good enough")
    for place, rung in enumerate(node.rungs):
        planned, output = planner.step(rung, at.below(place))
        samples = node.quality.samples if node.quality.samples is not None and place < last else 1
        own = Span.of(copies(planned.load.typical, samples, MOST), copies(planned.load.most, samples, MOST))
        inside.append(planned.run(reached * samples, samples))
        if node.quality.judge is not None and place < last:
            judge, _ = planner.step(node.quality.judge, at.below(place).below("judge", answer=output, previous=output))
            own += judge.load
            inside.append(judge.run(reached, 1))
        load += own.times(reached, 1)
        outputs.append(output)
        reached *= 1 - ACCEPTED
    return _made("ladder", at, load, inside, Both(outputs[0].typical, max((one.most for one in outputs), key=size)))


def consensus(node: Consensus, at: Place, planner: Planner) -> Made:
    """All voters at once; at most also the one that makes one answer of theirs."""
    made = {name: planner.step(voter, at.below(name)) for name, voter in node.voters.items()}
    inside = [planned for planned, _ in made.values()]
    load, votes = _beside(inside), _named({name: output for name, (_, output) in made.items()})
    answer = _one_of([output for _, output in made.values()])
    if node.ensemble is not None:
        ensemble, output = planner.step(node.ensemble, at.below("ensemble", votes=votes, previous=votes))
        load = Span.of(load.typical, load.most + ensemble.load.most)
        inside.append(ensemble.run(0, 1))
        answer = Both(answer.typical, max(answer.most, output.most, key=size))
    told = _agreed(answer.typical, votes.typical), _agreed(answer.most, votes.most)
    return _made("consensus", at, load, inside, Both(told[0], told[1]))


def _agreed(answer: Any, votes: Any) -> dict[str, Any]:
    return {"answer": answer, "agreement": 1.0, "review": False, "votes": votes}


def evaluate(node: Evaluate, at: Place, planner: Planner) -> Made:
    """Draft and verdict, for so many rounds; prompts of later rounds hold the draft and the verdict before."""
    nothing = Both.sure(None)
    first, draft, verdict = _round(node, at.bind(draft=nothing, verdict=nothing, round=Both.sure(1)), planner)
    later, draft, verdict = _round(node, at.bind(draft=draft, verdict=verdict, round=Both(2, node.rounds)), planner)
    rounds = min(ROUNDS, node.rounds)
    if node.rounds > 1:
        planner.assume(at.path, f"a draft is accepted in round {rounds}")
    inside = []
    for early, late in zip(first, later, strict=True):
        typical = mean([early.load.typical, *[late.load.typical] * (rounds - 1)])
        at_most = mean([early.load.most, *[late.load.most] * (node.rounds - 1)])
        inside.append(dataclasses.replace(late, load=Span.of(typical, at_most)).run(rounds, node.rounds))
    return _made("evaluate", at, sequence(inside), inside, draft)


def _round(node: Evaluate, at: Place, planner: Planner) -> tuple[list[Planned], Both, Both]:
    generate, draft = planner.step(node.generate, at.below("generate"))
    judge, verdict = planner.step(node.evaluate, at.below("evaluate", draft=draft, previous=draft))
    return [generate, judge], draft, verdict


def orchestrate(node: Orchestrate, at: Place, planner: Planner) -> Made:
    """The plan, so many workers at once, and what puts their results together."""
    plan, planned = planner.step(node.plan, at.below("plan"))
    tasks = [_tasks(one, node.most) for one in (planned.typical, planned.most)]
    typical, largest = len(tasks[0]), max(len(tasks[1]), len(tasks[0]))
    if not planned.known:
        planner.assume(at.path, f"{typical} tasks are planned, at most {largest}")
    task = Both(tasks[0][0] if tasks[0] else "", max(tasks[1], key=size, default=""))
    names = {"task": task, "previous": task, "index": Both(0, largest)}
    made = [planner.step(step, at.below(name, **names)) for name, step in node.workers.items()]
    workers = [one for one, _ in made]
    one, width = either(workers), node.concurrency or MOST
    load = plan.load + Span.of(copies(one.typical, typical, width), copies(one.most, largest, width))
    inside = [plan, *(worker.run(typical / len(workers), largest) for worker in workers)]
    output = _one_of([output for _, output in made])
    results = Both(repeated(output.typical, typical), repeated(output.most, largest))
    if node.then is None:
        return _made("orchestrate", at, load, inside, results)
    told = Both(tasks[0], tasks[1], known=planned.known)
    below = at.below("then", tasks=told, results=results, errors=Both.sure({}), previous=results)
    then, output = planner.step(node.then, below)
    return _made("orchestrate", at, load + then.load, (*inside, then), output)


def _tasks(planned: Any, bound: int) -> list[Any]:
    """The tasks of a plan; where nobody has seen it as many as it may have."""
    if isinstance(planned, Guess):
        found = planned if planned.guessed_schema.get("type") == "array" else planned.guessed_field("tasks")
        if not isinstance(found, Guess):
            return []
        return found.guessed_items(bound if found.guessed_most else 0)[:bound]
    planned = planned.get("tasks") if isinstance(planned, dict) else planned
    return list(planned)[:bound] if isinstance(planned, list | tuple) else []


# Wrappers -------------------------------------------------------------------------------------------------------------


def retry(node: Retry, at: Place, planner: Planner) -> Made:
    """Typically one run; at most all."""
    planned, output = planner.step(node.node, at.below("node"))
    runs = planned.run(1, node.attempts)
    return _made("retry", at, planned.load.times(1, node.attempts), (runs,), output)


def timeout(node: Timeout, at: Place, planner: Planner) -> Made:
    """What is inside, in no more time."""
    planned, output = planner.step(node.node, at.below("node"))
    load = Span.of(planned.load.typical.within(seconds=node.seconds), planned.load.most.within(seconds=node.seconds))
    return _made("timeout", at, load, (planned,), output)


def budget(node: Budget, at: Place, planner: Planner) -> Made:
    """What is inside, as far as it is within the bounds."""
    planned, output = planner.step(node.node, at.below("node"))
    bounds = {
        "cost": math.inf if node.max_cost is None else node.max_cost * 10**12,
        "tokens": math.inf if node.max_tokens is None else float(node.max_tokens),
    }
    calls = math.inf if node.max_calls is None else float(node.max_calls)
    load = Span.of(
        planned.load.typical.within(calls=calls, **bounds),
        # A logical call may be followed by one request that mends its answer.
        planned.load.most.within(calls=calls * 2, **bounds),
    )
    return _made("budget", at, load, (planned,), output)


_ERROR: Final = Both.text(30, 120)

LAWS: Final[Mapping[str, Law]] = MappingProxyType(
    {
        "call": call,
        "function": function,
        "value": value,
        "approve": approve,
        "escalate": escalate,
        "use": use,
        "chain": chain,
        "parallel": parallel,
        "route": route,
        "map_reduce": map_reduce,
        "ladder": ladder,
        "consensus": consensus,
        "evaluate": evaluate,
        "orchestrate": orchestrate,
        "retry": retry,
        "timeout": timeout,
        "budget": budget,
    }
)
