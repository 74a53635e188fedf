"""Workflows of all kinds, made by Hypothesis: right in their form, whatever they mean."""

from typing import Any

from hypothesis import strategies as st

from understudy.protocols.workflow.nodes import Flow

Nodes = st.SearchStrategy[Any]
WORDS = ("alpha", "beta", "gamma", "delta")
IDS = st.sampled_from(WORDS)
ODD = (
    "",
    "no",
    "010",
    "1e3",
    "~",
    "2024-01-01",
    "a: b",
    "- x",
    "one\ntwo\n",
    "a\n\n  b\n\n",
    " x\ny",
    "x \ny",
    "#",
    "'",
)
TEXTS = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), max_size=40) | st.sampled_from(ODD)
SCALARS = st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False, allow_infinity=False)
VALUES = st.recursive(
    SCALARS | TEXTS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3), max_leaves=6
)
SCHEMAS = st.sampled_from([{"type": "object", "properties": {"score": {"type": "number"}}}, "module:Model", {}])


def built(kind: str, needs: dict[str, Nodes], **may: Nodes) -> Nodes:
    """Steps of a kind."""
    return st.fixed_dictionaries({"kind": st.just(kind), **needs}, optional=may)


def leaves() -> Nodes:
    """Steps with none inside."""
    turns = st.lists(st.fixed_dictionaries({"role": st.just("user"), "content": TEXTS}), min_size=1, max_size=2)
    asked = {"system": TEXTS, "output": SCHEMAS, "model": IDS, "max_tokens": st.integers(1, 9), "cache": st.booleans()}
    return st.one_of(
        built("call", {"prompt": TEXTS}, **asked),
        built("call", {"messages": turns}, documents=TEXTS),
        built("function", {"call": st.just("module:function")}, args=st.dictionaries(TEXTS, VALUES, max_size=2)),
        built("value", {"value": VALUES}),
        built("approve", {}, title=TEXTS, show=TEXTS, value=VALUES, edit=st.booleans()),
        built("escalate", {"reason": TEXTS}, value=VALUES),
        built("use", {"flow": IDS}, **{"with": VALUES}),
    )


def routes(node: Nodes) -> Nodes:
    """Routes, by a classifier or a model."""
    decided = node.map(lambda it: {"classifier": it}) | st.just({"model": "alpha"})
    branches = st.dictionaries(IDS, node, min_size=2, max_size=3)
    handed = st.fixed_dictionaries({}, optional={"escalate": node})
    return st.tuples(branches, decided, handed).map(
        lambda made: {"kind": "route", "branches": made[0], "generalist": min(made[0]), **made[1], **made[2]}
    )


def around(node: Nodes) -> Nodes:
    """Steps with others inside."""
    named = st.dictionaries(IDS, node, min_size=2, max_size=3)
    several = st.lists(node, min_size=2, max_size=3)
    quality = st.one_of(node.map(lambda it: {"judge": it}), st.just({"rule": "0.5"}), st.just({"samples": 3}))
    merged = {"chunk": st.just({"tokens": 100}), "variant": st.sampled_from(["reduce", "tree", "refine"])}
    return st.one_of(
        built("chain", {"steps": several}, output=VALUES.filter(lambda it: it is not None)),
        built("parallel", {"branches": named}, then=node, concurrency=st.integers(1, 5), quorum=st.integers(1, 2)),
        built("parallel", {"over": TEXTS, "each": node}, **{"as": IDS}),
        routes(node),
        built("map_reduce", {"map": node, "reduce": node}, **merged),
        built("map_reduce", {"map": node, "variant": st.just("rerank")}, judge=node, top=st.integers(1, 3)),
        built("ladder", {"rungs": several, "quality": quality}, threshold=st.sampled_from([0.0, 0.25, 1.0])),
        built("consensus", {"voters": named}, ensemble=node),
        built("evaluate", {"generate": node, "evaluate": node}, accept=TEXTS, rounds=st.integers(1, 20)),
        built("orchestrate", {"plan": node, "workers": named}, then=node),
        built("retry", {"node": node}, attempts=st.integers(1, 5)),
        built("timeout", {"node": node, "seconds": st.sampled_from([0.5, 3.0])}),
        built("budget", {"node": node, "max_cost": st.sampled_from([0.01, 1e-07])}),
    )


def policies(node: Nodes) -> Nodes:
    """What every step may have."""
    on_error = st.one_of(
        st.sampled_from(["fail", "skip", "compensate"]),
        st.fixed_dictionaries({}, optional={"retries": st.integers(0, 3)}),
        VALUES.map(lambda it: {"then": "default", "default": it}),
        node.map(lambda it: {"then": "alternative", "alternative": it}),
    )
    gate = st.just({"stop": "it", "reason": "so"})
    may = {"id": IDS, "when": TEXTS, "on_error": on_error, "undo": node, "gate": gate}
    return st.fixed_dictionaries({}, optional=may)


def with_policy(node: Nodes) -> Nodes:
    """Steps of which some have a policy."""
    simple = leaves()
    return st.tuples(node, st.just({}) | policies(simple)).map(lambda both: {**both[0], **both[1]})


def nodes() -> Nodes:
    """Steps, some of them with others inside, as a file has them."""
    return st.recursive(with_policy(leaves()), lambda inner: with_policy(around(inner)), max_leaves=6)


def flows() -> st.SearchStrategy[Flow]:
    """Workflows."""
    given = st.fixed_dictionaries(
        {"run": nodes()},
        optional={
            "name": IDS,
            "description": TEXTS,
            "input": SCHEMAS,
            "flows": st.dictionaries(IDS, nodes(), max_size=2),
            "max_cost": st.sampled_from([0.5, 2.0]),
        },
    )
    return given.map(Flow.model_validate)
