"""The table of the conformance suite: every pattern, what it makes of its parts, and the law of its latency.

Each pattern is built around one of its steps, the victim; scenarios replace it by one that fails, waits or hangs.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from flow_tools import HEDGE_S, Ran, call, chain, says

AROUND: Final = {"outer", "beside"}
"""Models of steps around a pattern."""
FAILS: Final = "the pattern fails"
Node = dict[str, Any]
Law = Callable[[Ran], float]


@dataclasses.dataclass(frozen=True)
class Pattern:
    """A row.

    Attributes:
        name: for people.
        build: the pattern around the victim.
        victim: a step that is well.
        law: seconds it takes, from what each reply took by the ledger.
        asked: the models that are asked when all is well, sorted.
        value: what comes of it, from the victim's output; None where the victim was skipped.
        fails: what comes of it when the victim fails, or `FAILS`.
        undoes: a victim that compensates undoes what was done before the pattern, since its failure is the pattern's.
        flows: sub-workflows, from the victim.
        lost: chunks that are missing when the victim has no output.
    """

    name: str
    build: Callable[[Node], Node]
    victim: Node
    law: Law
    asked: Sequence[str]
    value: Callable[[Any], Any]
    fails: Any = FAILS
    undoes: bool = False
    flows: Callable[[Node], Mapping[str, Node]] = lambda _: {}
    lost: int = 0

    def __str__(self) -> str:
        return self.name

    @property
    def output(self) -> Any:
        """What the victim gives when it is well."""
        return self.victim["output"]["const"]

    @property
    def again(self) -> list[str]:
        """The models that are asked once more when the victim is run again."""
        model = self.victim["model"]
        return {"fallback": ["middling"], "hedged": ["quick", "slow"]}.get(model, [model])


def total(*models: str) -> Law:
    """One after the other: the sum of all replies of these models, of all in the pattern where none is named."""
    return lambda ran: sum(sum(ran.latencies(model)) for model in models or {*ran.asked} - AROUND)


def longest(*models: str) -> Law:
    """At once: the longest reply of these models."""
    return lambda ran: max(max(ran.latencies(model)) for model in models)


def after(*laws: Law) -> Law:
    """One law after the other."""
    return lambda ran: sum(law(ran) for law in laws)


def same(value: Any) -> Any:
    """What the victim gives is what comes of it."""
    return value


def always(value: Any) -> Callable[[Any], Any]:
    """The same, whatever the victim gives."""
    return lambda _: value


ONE: Final = says("quick", "one", id="one")


def only_for(condition: str, victim: Node, other: Node) -> Node:
    """The victim where a condition holds, else the other step."""
    rules = [{"when": condition, "to": "victim"}]
    return {"kind": "route", "rules": rules, "generalist": "other", "branches": {"victim": victim, "other": other}}


def mapped(variant: str, victim: Node, other: Node, chunks: str, mark: str, **fields: Any) -> Node:
    """A map-reduce over `chunks` whose map is the victim for the chunk that `mark` tells."""
    inner = only_for(mark, victim, other)
    return {"kind": "map_reduce", "variant": variant, "over": chunks, "map": inner, **fields}


def _votes(value: Any) -> dict[str, Any]:
    votes = {"a": value, "b": "alike", "c": "alike"} if value is not None else {"b": "alike", "c": "alike"}
    agree = 1.0 if value in (None, "alike") else 0.3333
    return {"answer": "alike", "agreement": agree, "review": agree < 1, "votes": votes}


def _best(value: Any) -> dict[str, Any]:
    if isinstance(value, dict):
        return {"answer": value, "score": 0.9, "source": "2"}
    return {"answer": {"score": 0.5}, "score": 0.5, "source": "1"}


LONG: Final = "word " * 99 + "word"
"""About 100 tokens: two of them fill a merge's budget of 256."""
FOLDERS: Final = "[{'name': 'a/x', 'text': '1'}, {'name': 'a/y', 'text': '2'}, {'name': 'b/z', 'text': '3'}]"
MERGE: Final = "merge {{ parts }}"
TWO: Final = says("middling", "two")

SINGLE: Final = (
    Pattern("call", same, ONE, total(), ["quick"], same, undoes=True),
    Pattern("fallback", same, says("fallback", "one"), total("middling"), ["middling"], same, undoes=True),
    Pattern(
        "hedged",
        same,
        says("hedged", "one"),
        lambda ran: HEDGE_S + ran.latencies("quick")[0],
        ["quick", "slow"],
        same,
        undoes=True,
    ),
    Pattern(
        "use",
        lambda _: {"kind": "use", "flow": "sub"},
        ONE,
        total(),
        ["quick"],
        same,
        undoes=True,
        flows=lambda victim: {"sub": victim},
    ),
    Pattern(
        "retry", lambda it: {"kind": "retry", "attempts": 2, "backoff_s": 0, "node": it}, ONE, total(), ["quick"], same
    ),
    Pattern(
        "timeout",
        lambda it: {"kind": "timeout", "seconds": 20, "node": it},
        ONE,
        total(),
        ["quick"],
        same,
        undoes=True,
    ),
    Pattern(
        "budget", lambda it: {"kind": "budget", "max_calls": 9, "node": it}, ONE, total(), ["quick"], same, undoes=True
    ),
)

MANY: Final = (
    Pattern(
        "chain",
        lambda it: chain({**it, "id": "first"}, {**TWO, "id": "second"}, output=["{{ first }}", "{{ second }}"]),
        ONE,
        total(),
        ["middling", "quick"],
        lambda value: [value, "two"],
    ),
    Pattern(
        "parallel",
        lambda it: {"kind": "parallel", "branches": {"a": it, "b": says("slow", "two")}},
        ONE,
        longest("slow"),
        ["quick", "slow"],
        lambda value: {"a": value, "b": "two"},
        fails={"a": None, "b": "two"},
    ),
    Pattern(
        "parallel_then",
        lambda it: {"kind": "parallel", "branches": {"a": it, "b": says("slow", "two")}, "then": TWO},
        ONE,
        after(longest("slow"), total("middling")),
        ["middling", "quick", "slow"],
        always("two"),
        fails="two",
    ),
    Pattern(
        "race",
        lambda it: {"kind": "parallel", "branches": {"a": it, "b": says("slow", "two")}, "enough": 1},
        ONE,
        total("quick"),
        ["quick", "slow"],
        lambda value: {"a": value, "b": None},
        fails={"a": None, "b": "two"},
    ),
    Pattern(
        "route",
        lambda it: {
            "kind": "route",
            "classifier": says("quick", {"route": "b"}),
            "generalist": "a",
            "branches": {"a": says("quick", "general"), "b": it},
        },
        says("middling", "one"),
        total(),
        ["middling", "quick"],
        same,
        undoes=True,
    ),
    Pattern(
        "route_classifier",
        lambda it: {
            "kind": "route",
            "classifier": it,
            "generalist": "a",
            "branches": {"a": says("slow", "general"), "b": TWO},
        },
        says("quick", {"route": "b"}),
        total(),
        ["middling", "quick"],
        lambda value: "two" if isinstance(value, dict) else "general",
        fails="general",
    ),
    Pattern(
        "escalate",
        lambda it: {
            "kind": "route",
            "rules": [{"when": "true", "to": "a"}],
            "generalist": "a",
            "branches": {"a": chain(it, {"kind": "escalate", "reason": "too hard", "value": "{{ previous }}"})},
            "escalate": says("middling", "taken", "{{ escalation.reason }}"),
        },
        ONE,
        total(),
        ["middling", "quick"],
        always("taken"),
    ),
    Pattern(
        "ladder",
        lambda it: {
            "kind": "ladder",
            "rungs": [it, says("slow", "two")],
            "quality": {"judge": says("middling", 0.3, "how good is {{ answer }}?")},
        },
        ONE,
        total(),
        ["middling", "quick", "slow"],
        always("two"),
        fails="two",
    ),
    Pattern(
        "ladder_low",
        lambda it: {
            "kind": "ladder",
            "rungs": [it, says("slow", "two")],
            "quality": {"judge": says("middling", 0.9, "how good is {{ answer }}?")},
        },
        ONE,
        total(),
        ["middling", "quick"],
        lambda value: value if value is not None else "two",
        fails="two",
    ),
    Pattern(
        "consensus",
        lambda it: {
            "kind": "consensus",
            "voters": {"a": it, "b": says("middling", "alike"), "c": says("slow", "alike")},
        },
        says("quick", "alike"),
        longest("slow"),
        ["middling", "quick", "slow"],
        _votes,
        fails=_votes(None),
    ),
    Pattern(
        "evaluate",
        lambda it: {
            "kind": "evaluate",
            "generate": it,
            "evaluate": says("middling", {"good": False}, "judge {{ draft }}"),
            "accept": "round == 2",
        },
        ONE,
        total(),
        ["middling", "middling", "quick", "quick"],
        same,
        undoes=True,
    ),
    Pattern(
        "orchestrate",
        lambda it: {
            "kind": "orchestrate",
            "plan": says("quick", ["t1", "t2"]),
            "workers": {"w": only_for("index == 0", it, TWO)},
            "then": says("quick", "together"),
        },
        says("slow", "one"),
        after(total("quick"), longest("slow")),
        ["middling", "quick", "quick", "slow"],
        always("together"),
        fails="together",
    ),
    Pattern(
        "orchestrate_plan",
        lambda it: {"kind": "orchestrate", "plan": it, "workers": {"w": says("middling", "two", "do {{ task }}")}},
        says("quick", ["t1", "t2"]),
        after(total("quick"), longest("middling")),
        ["middling", "middling", "quick"],
        lambda value: ["two", "two"] if isinstance(value, list) else FAILS,
        undoes=True,
    ),
)

REDUCING: Final = (
    Pattern(
        "reduce",
        lambda it: mapped(
            "reduce", it, says("quick", "m"), "['a', 'b', 'c']", "chunk == 'b'", reduce=says("middling", "r", MERGE)
        ),
        says("slow", "one"),
        after(longest("slow"), total("middling")),
        ["middling", "quick", "quick", "slow"],
        always("r"),
        fails="r",
        lost=1,
    ),
    Pattern(
        "collapse",
        lambda it: mapped(
            "collapse",
            it,
            says("quick", LONG),
            "[1, 2, 3, 4]",
            "chunk == 4",
            collapse=says("middling", LONG, MERGE),
            reduce=says("quick", "r", MERGE),
            budget=256,
        ),
        says("slow", LONG),
        lambda ran: longest("slow")(ran) + ran.latencies("middling")[-1] + ran.latencies("quick")[-1],
        ["middling", "middling", "quick", "quick", "quick", "quick", "slow"],
        always("r"),
        fails="r",
        lost=1,
    ),
    Pattern(
        "tree",
        lambda it: mapped(
            "tree", it, says("quick", "m"), FOLDERS, "chunk.name == 'a/x'", reduce=says("middling", "r", MERGE)
        ),
        says("slow", "one"),
        after(longest("slow"), total("middling")),
        ["middling", "middling", "quick", "quick", "slow"],
        always("r"),
        fails="r",
        lost=1,
    ),
    Pattern(
        "rerank",
        lambda it: mapped("rerank", it, says("quick", {"score": 0.5}), "['a', 'b', 'c']", "chunk == 'b'", tie=0),
        says("slow", {"score": 0.9}),
        longest("slow"),
        ["quick", "quick", "slow"],
        _best,
        fails=_best(None),
        lost=1,
    ),
    Pattern(
        "refine",
        lambda it: {
            "kind": "map_reduce",
            "variant": "refine",
            "over": "['a', 'b', 'c']",
            "map": says("quick", "m", "begin with {{ chunk }}"),
            "reduce": only_for("index == 1", it, says("quick", "r", "{{ draft }} {{ chunk }}")),
        },
        says("middling", "one", "{{ draft }} {{ chunk }}"),
        total(),
        ["middling", "quick", "quick"],
        always("r"),
        fails="r",
        lost=1,
    ),
)

PATTERNS: Final = (*SINGLE, *MANY, *REDUCING)


HANGING: Final = call("asleep", "say {{ input }}")
"""A victim that is never answered."""
