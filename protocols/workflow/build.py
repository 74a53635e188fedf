"""Workflows in Python: a function for each kind of node. A text stands for a call that says it.

```python
import understudy as us

flow = us.chain(
    us.call("Translate into German: {{ input }}", id="draft"),
    us.call("Correct what is wrong in this translation: {{ draft }}"),
)
print(us.run(flow, "The show goes on.").output)
```
"""

import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from ..errors import UsageError
from .basic import Approve, Call, Escalate, Function, Use, Value
from .nodes import Node
from .patterns import (
    Chain,
    Consensus,
    Evaluate,
    Ladder,
    MapReduce,
    Orchestrate,
    Parallel,
    Route,
)
from .step import OnError
from .wrappers import Budget, Retry, Timeout

Output = Mapping[str, Any] | type[BaseModel] | str
"""JSON Schema, a pydantic model, or the import path of one."""

Like = Node | str
"""A step, or what a call of a model says."""


def node(step: Like) -> Node:
    """The step; a text as a call of the first route."""
    return Call(prompt=step) if isinstance(step, str) else step


def call(prompt: str, *, output: Output | None = None, **fields: Any) -> Call:
    """One call of a model; `output` is what its answer has to be. Other fields are those of `Call`."""
    if output is not None:
        fields["output"] = dict(output) if isinstance(output, Mapping) else output
    return Call(prompt=prompt, **fields)


def chain(*steps: Like, **fields: Any) -> Chain:
    """Steps one after the other."""
    return Chain(steps=tuple(node(step) for step in steps), **fields)


def parallel(branches: Mapping[str, Like] | None = None, **fields: Any) -> Parallel:
    """Branches at once: a mapping, or keyword arguments that are steps (`parallel(a=..., b=..., quorum=1)`)."""
    named = {name: node(step) for name, step in (branches or {}).items()}
    named |= {name: node(fields.pop(name)) for name in list(fields) if _is_branch(name, fields[name], Parallel)}
    return Parallel(branches=named, **_nodes(fields))


def each(over: str, step: Like, **fields: Any) -> Parallel:
    """One step for each item of a list: `over` is an expression, templates know the item as `item`."""
    return Parallel(over=over, each=node(step), **_nodes(fields))


def route(
    branches: Mapping[str, Like], *, generalist: str, rules: Sequence[tuple[str, str]] = (), **fields: Any
) -> Route:
    """One of several branches; `rules` are pairs of an expression and the branch it leads to."""
    told = tuple({"when": when, "to": to} for when, to in rules)
    named = {name: node(step) for name, step in branches.items()}
    return Route(branches=named, generalist=generalist, rules=told, **_nodes(fields))  # type: ignore[arg-type]


def map_reduce(map: Like, reduce: Like | None = None, **fields: Any) -> MapReduce:  # noqa: A002 - the pattern's name
    """A step for each chunk of `over`, and one answer of all."""
    return MapReduce(map=node(map), **({} if reduce is None else {"reduce": node(reduce)}), **_nodes(fields))  # type: ignore[arg-type]


def ladder(*rungs: Like, quality: Mapping[str, Any], **fields: Any) -> Ladder:
    """Cheap first; `quality` is one of {"judge": step}, {"rule": expression}, {"samples": number}."""
    return Ladder(rungs=tuple(node(rung) for rung in rungs), quality=_nodes(dict(quality)), **fields)  # type: ignore[arg-type]


def consensus(voters: Mapping[str, Like], **fields: Any) -> Consensus:
    """Several models, one question."""
    return Consensus(voters={name: node(voter) for name, voter in voters.items()}, **_nodes(fields))


def evaluate(generate: Like, judge: Like, **fields: Any) -> Evaluate:
    """Evaluator-optimizer: drafts until `judge` accepts one."""
    return Evaluate(generate=node(generate), evaluate=node(judge), **fields)


def orchestrate(plan: Like, workers: Mapping[str, Like], **fields: Any) -> Orchestrate:
    """Orchestrator-workers: tasks as they are planned, done at once."""
    return Orchestrate(plan=node(plan), workers={name: node(one) for name, one in workers.items()}, **_nodes(fields))


def function(work: Callable[..., Any] | str, **fields: Any) -> Function:
    """A Python function, or its import path; `args` are its keyword arguments."""
    return Function(call=work if isinstance(work, str) else import_path(work), **fields)


def value(of: Any, **fields: Any) -> Value:
    """A value made of others."""
    return Value(value=of, **fields)


def approve(title: str = "approve", **fields: Any) -> Approve:
    """Waits for a person."""
    return Approve(title=title, **fields)


def escalate(reason: str, **fields: Any) -> Escalate:
    """Hands the case up to the nearest route that takes it."""
    return Escalate(reason=reason, **fields)


def use(flow: str, given: Any = "{{ input }}", **fields: Any) -> Use:
    """Runs a named sub-workflow on `given`."""
    return Use(flow=flow, with_=given, **fields)


def retry(step: Like, attempts: int = 3, **fields: Any) -> Retry:
    """Runs a step again when it fails."""
    return Retry(node=node(step), attempts=attempts, **fields)


def timeout(step: Like, seconds: float, **fields: Any) -> Timeout:
    """Ends a step in time."""
    return Timeout(node=node(step), seconds=seconds, **fields)


def budget(step: Like, **fields: Any) -> Budget:
    """Bounds what is spent inside: `max_cost` (dollars), `max_calls`, `max_tokens`."""
    return Budget(node=node(step), **fields)


def fallback(*steps: Like) -> Node:
    """The first of several steps that succeeds: each is the alternative of the one before."""
    last: Node = node(steps[-1])
    for step in reversed(steps[:-1]):
        policy = OnError(then="alternative", alternative=last)
        last = node(step).model_copy(update={"on_error": policy})
        last.model_fields_set.add("on_error")
    return last


def import_path(work: Callable[..., Any]) -> str:
    """The import path of a function; of one in the script that is run, by the script's own name.

    Raises:
        UsageError: other processes can't import it: it is a lambda, a bound method, defined inside another function, or
            without a file.
    """
    module, name = getattr(work, "__module__", None) or "", getattr(work, "__qualname__", None) or ""
    if not name or "<" in name or _named(module, name) != work:
        raise UsageError(f"{name or work!r} can't be imported by other processes: define it at the top of a module")
    if module == "__main__":
        module = _own_name(sys.modules[module])
        if not module:
            raise UsageError(f"{name} can't be imported by other processes: it has no file; put it into a module")
    return f"{module}:{name}"


def _named(module: str, name: str) -> Any:
    """What other processes find there; None where there is nothing."""
    found: Any = sys.modules.get(module)
    for part in name.split("."):
        found = getattr(found, part, None)
    return found


def _own_name(main: Any) -> str:
    """`python -m package.module` knows its whole name; a script is found by its file's."""
    spec, file = getattr(main, "__spec__", None), getattr(main, "__file__", None)
    return str(spec.name) if spec is not None else Path(file).stem if file else ""


_STEPS = ("then", "each", "classifier", "escalate", "collapse", "judge", "ensemble", "undo")
"""Fields that hold a step, in which a text stands for a call."""


def _nodes(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: node(one) if name in _STEPS and isinstance(one, str) else one for name, one in fields.items()}


def _is_branch(name: str, given: Any, model: type[BaseModel]) -> bool:
    return name not in model.model_fields and (isinstance(given, str) or hasattr(given, "kind"))
