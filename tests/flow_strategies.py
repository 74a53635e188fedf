"""Random workflows of nodes that ask no model, and interpreters for them that need no provider."""

from typing import Any, Final

import msgspec
from flow_tools import chain, function
from hypothesis import strategies as st

from understudy.protocols.config import Config, encode
from understudy.protocols.jobs import JobSpec
from understudy.protocols.workflow import Flow
from understudy.protocols.workflow import encode as encode_flow
from understudy.protocols.workflow.spec import FlowSpec
from understudy.supervisors.patterns.interpreter import PATH, FlowInterpreter

Node = dict[str, Any]
NOBODY: Any = None
"""The caller of workflows that call nobody."""
CONFIG: Final = encode(Config())


def interpreter(node: Node, **flow: Any) -> FlowInterpreter:
    """Of a workflow, without a host."""
    spec = FlowSpec(encode_flow(Flow.model_validate({"run": node, **flow})))
    return FlowInterpreter(JobSpec("j", "t", PATH, msgspec.msgpack.encode(spec), CONFIG))


def value(what: Any = "{{ previous }}") -> Node:
    """A value."""
    return {"kind": "value", "value": what}


APPROVE: Final[Node] = {"kind": "approve", "title": "go on?"}
BOOK: Final = "random"
"""Where functions of random workflows note that they were called."""

_leaves = st.one_of(
    st.sampled_from(["a", "bb", "ccc"]).map(value),
    st.sampled_from(["x", "y", "z"]).map(lambda what: function("anote", book=BOOK, what=what)),
    st.sampled_from([1, 5, 20]).map(lambda turns: function("later", book=BOOK, what="later", turns=turns)),
    st.just(APPROVE),
    st.just(APPROVE),
    st.just(function("afail", book=BOOK, what="fails")),
)

_policies: Final = (
    {"on_error": "skip"},
    {"on_error": {"then": "default", "default": "D"}},
    {"on_error": {"then": "alternative", "alternative": chain(value("alt"), APPROVE)}},
    {"on_error": {"then": "default", "default": "again", "retries": 1, "backoff_s": 0}},
    {"on_error": "compensate"},
    {"undo": function("anote", book=BOOK, what="undone {{ it }}")},
    {"when": "false"},
)


def _with_policy(nodes: st.SearchStrategy[Node]) -> st.SearchStrategy[Node]:
    return st.one_of(nodes, st.tuples(nodes, st.sampled_from(_policies)).map(lambda both: {**both[0], **both[1]}))


def _composite(inner: st.SearchStrategy[Node]) -> st.SearchStrategy[Node]:
    some = st.lists(inner, min_size=1, max_size=3)
    two = st.tuples(inner, inner)
    return st.one_of(
        some.map(lambda steps: chain(*steps)),
        two.map(lambda both: _saga(chain(_DONE, both[0]), both[1])),
        two.map(lambda both: _saga(_DONE, *both)),
        some.map(lambda steps: {"kind": "parallel", "branches": {f"b{at}": one for at, one in enumerate(steps)}}),
        two.map(
            lambda both: {
                "kind": "parallel",
                "over": "[1, 2, 3]",
                "each": _only("index == 1", *both),
                "concurrency": 2,
            }
        ),
        two.map(lambda both: _only("previous == 'a'", *both)),
        two.map(lambda both: {"kind": "ladder", "rungs": list(both), "quality": {"rule": "answer == 'a'"}}),
        two.map(
            lambda both: {"kind": "consensus", "voters": {"a": both[0], "b": both[1], "c": value("a")}, "threshold": 1}
        ),
        two.map(
            lambda both: {
                "kind": "evaluate",
                "generate": both[0],
                "evaluate": both[1],
                "accept": "verdict == 'a'",
                "rounds": 2,
            }
        ),
        two.map(
            lambda both: {"kind": "orchestrate", "plan": value(["t", "u"]), "workers": {"w": both[0]}, "then": both[1]}
        ),
        inner.map(lambda one: {"kind": "retry", "attempts": 2, "backoff_s": 0, "node": one}),
        inner.map(lambda one: {"kind": "budget", "max_calls": 3, "node": one}),
        st.tuples(inner, inner, st.sampled_from(["reduce", "tree", "refine"])).map(_map_reduce),
    )


_DONE: Final = {**value("done"), "undo": function("anote", book=BOOK, what="undone {{ it }}")}


def _saga(*steps: Node) -> Node:
    """Steps that are undone in the end; something stands in for all of them."""
    last = {**function("afail", book=BOOK), "on_error": "compensate"}
    return chain(*steps, last, on_error={"then": "default", "default": "undone"})


def _only(condition: str, victim: Node, other: Node) -> Node:
    rules = [{"when": condition, "to": "victim"}]
    return {"kind": "route", "rules": rules, "generalist": "other", "branches": {"victim": victim, "other": other}}


def _map_reduce(parts: tuple[Node, Node, str]) -> Node:
    one, merge, variant = parts
    items = "[{'name': 'a/x', 'text': 'one'}, {'name': 'a/y', 'text': 'two'}, {'name': 'b/z', 'text': 'three'}]"
    return {
        "kind": "map_reduce",
        "variant": variant,
        "over": items,
        "map": _only("chunk.text == 'two'", one, value("{{ chunk.text }}")),
        "reduce": chain(value("{{ parts is defined and parts | length }}"), merge),
    }


leaves: Final = _leaves


def composed(leaves: st.SearchStrategy[Node]) -> st.SearchStrategy[Node]:
    """Workflows of all patterns over such leaves."""
    return st.recursive(_with_policy(leaves), lambda inner: _with_policy(_composite(inner)), max_leaves=12)


nodes: st.SearchStrategy[Node] = composed(_leaves)
"""Workflows with approvals, failures, policies and all patterns; none in which what is first is a matter of chance."""
