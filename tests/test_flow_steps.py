"""What every step has, in workflows that ask no model: conditions, gates, policies, undoing, escalation, names."""

from typing import Any

import msgspec
import pytest
from flow_functions import CALLS
from flow_strategies import NOBODY, Node, interpreter, value
from flow_tools import chain, function

from understudy.protocols.messages import ItemDone
from understudy.protocols.workflow.result import FlowResult
from understudy.protocols.workflow.spec import item


async def run(node: Node, given: Any = "x", **flow: Any) -> tuple[ItemDone, FlowResult]:
    """What comes of a workflow."""
    done = await interpreter(node, **flow).map(0, item(given), NOBODY)
    return done, msgspec.msgpack.decode(done.data, type=FlowResult)


def states(result: FlowResult) -> dict[str, str]:
    """How each step ended."""
    return {step.path: step.state for step in result.steps}


@pytest.fixture
def book(request: pytest.FixtureRequest) -> str:
    """Where the functions of a test note that they were called."""
    name = str(request.node.name)
    CALLS[name].clear()
    return name


def undone(book: str, name: str, **fields: Any) -> Node:
    """A step whose undoing is noted."""
    return {**value(name), "undo": function("anote", book=book, what="{{ it }}"), **fields}


def failing(policy: Any = "fail") -> Node:
    """A step that fails."""
    return {**function("afail"), "on_error": policy}


# Undoing --------------------------------------------------------------------------------------------------------------


async def test_steps_are_undone_in_reverse_order(book: str) -> None:
    """The last one first, through nested chains and branches that are over; each once, and the result says so."""
    branches = {"a": chain(undone(book, "3"), undone(book, "4")), "b": undone(book, "5")}
    node = chain(
        undone(book, "1"),
        chain(undone(book, "2")),
        {"kind": "parallel", "branches": branches, "concurrency": 1},
        undone(book, "6"),
        failing("compensate"),
    )
    done, result = await run(node)
    assert CALLS[book] == ["6", "5", "4", "3", "2", "1"]
    assert "out of paper" in done.error
    assert [step.path for step in result.steps if step.state == "undone"] == [
        "run/3/undo",
        "run/2/b/undo",
        "run/2/a/1/undo",
        "run/2/a/0/undo",
        "run/1/0/undo",
        "run/0/undo",
    ]


async def test_what_did_not_happen_is_not_undone(book: str) -> None:
    """A step that was skipped, that failed, or for which something stood in did nothing that could be undone."""
    undo = {"undo": function("anote", book=book, what="{{ it }}")}
    node = chain(
        {**value("a"), **undo, "when": "false"},
        {**failing("skip"), **undo},
        {**failing({"then": "default", "default": "d"}), **undo},
        {**failing({"then": "alternative", "alternative": undone(book, "alternative")}), **undo},
        {"kind": "retry", "attempts": 2, "backoff_s": 0, "node": {**failing(), **undo}, "on_error": "skip"},
        failing("compensate"),
    )
    await run(node)
    assert CALLS[book] == ["alternative"]


async def test_a_step_that_can_not_be_undone_is_named(book: str) -> None:
    """It stands in the result as failed, and all others are undone nevertheless."""
    broken = {**value("b"), "undo": function("afail", book=book, what="b")}
    done, result = await run(chain(undone(book, "a"), broken, undone(book, "c"), failing("compensate")))
    assert CALLS[book] == ["c", "b", "a"]
    assert states(result)["run/1/undo"] == "failed"
    assert done.degraded


async def test_undoing_stays_where_the_failure_is(book: str) -> None:
    """A branch whose failure is not that of the whole undoes what it did itself, and nothing that was done before."""
    branch = chain(undone(book, "in the branch"), failing("compensate"))
    inner: list[Node] = [
        {"kind": "parallel", "branches": {"a": branch, "b": undone(book, "beside")}},
        {"kind": "consensus", "voters": {"a": branch, "b": value("v"), "c": value("v")}},
        {"kind": "ladder", "rungs": [branch, value("v")], "quality": {"rule": "1"}},
        {"kind": "retry", "attempts": 1, "node": branch, "on_error": "skip"},
        {"kind": "orchestrate", "plan": value([1, 2]), "workers": {"w": {**branch, "when": "task == 1"}}},
        {"kind": "map_reduce", "over": "[1, 2]", "map": only(branch), "reduce": value("r")},
        {"kind": "route", "classifier": branch, "branches": {"g": value("g")}, "generalist": "g"},
    ]
    for node in inner:
        CALLS[book].clear()
        done, _ = await run(chain(undone(book, "before"), node))
        assert (done.error, CALLS[book]) == ("", ["in the branch"])


def only(node: Node) -> Node:
    """A map that is the node for the first chunk."""
    return {
        "kind": "route",
        "rules": [{"when": "chunk == 1", "to": "a"}],
        "generalist": "b",
        "branches": {"a": node, "b": value("m")},
    }


async def test_what_maps_did_is_undone(book: str) -> None:
    """A step behind a map-reduce undoes what its maps and its merges did, in every variant."""
    for variant in ("reduce", "collapse", "tree", "refine", "rerank"):
        CALLS[book].clear()
        node: Node = {"kind": "map_reduce", "variant": variant, "over": "[1, 2]", "map": undone(book, "m")}
        if variant == "rerank":
            node |= {"score": "1"}
        else:
            node["reduce"] = undone(book, "r")
        await run(chain(node, failing("compensate")))
        assert sorted(CALLS[book]) == {"rerank": ["m", "m"], "refine": ["m", "r"]}.get(variant, ["m", "m", "r"])


async def test_an_undo_knows_what_its_step_knew(book: str) -> None:
    """The step's output by its id and as `it`, and the outputs of the steps before it."""
    step = {
        **value("second"),
        "id": "second",
        "undo": function("anote", book=book, what="{{ first }} {{ second }} {{ it }}"),
    }
    await run(chain({**value("first"), "id": "first"}, step, value("third"), failing("compensate")))
    assert CALLS[book] == ["first second second"]


# Conditions, gates, policies ------------------------------------------------------------------------------------------


async def test_a_gate_ends_the_chain_early() -> None:
    """Its reason stands in the result, its output is the chain's, and no later step is run."""
    gate = {"stop": "it == 'spam'", "reason": "it is {{ it }}", "output": {"verdict": "{{ it }}"}}
    node = chain({**value("{{ input }}"), "gate": gate}, value("answered"))
    done, result = await run(node, "spam")
    assert (done.error, result.value, result.stopped) == ("", {"verdict": "spam"}, "it is spam")
    assert states(result) == {"run/0": "done", "run": "stopped"}
    assert not done.degraded
    _, result = await run(node, "a question")
    assert (result.value, result.stopped) == ("answered", "")


async def test_a_gate_ends_only_the_chain_it_is_in() -> None:
    """What is around goes on with the inner chain's output."""
    inner = chain({**value("enough"), "gate": {"stop": "true"}}, value("more"))
    _, result = await run(chain(inner, value("after {{ previous }}")))
    assert (result.value, result.stopped) == ("after enough", "")
    assert states(result)["run/0"] == "stopped"


async def test_a_condition_that_can_not_be_told_is_a_failure_of_its_step() -> None:
    """What is said about the step's failure holds for it as well, and the step is named."""
    step = {**value("a"), "when": "input.colour == 'red'", "on_error": {"then": "default", "default": "D"}}
    done, result = await run(chain(step, value("{{ previous }}")))
    assert (done.error, result.value) == ("", "D")
    assert states(result)["run/0"] == "degraded"
    assert "input.colour" in result.steps[0].note


async def test_a_default_knows_the_cause() -> None:
    """So that what stands in can say why."""
    _, result = await run(chain(failing({"then": "default", "default": "sorry: {{ error }}"})))
    assert "sorry: flow_functions:afail: RuntimeError: out of paper" in str(result.value)


async def test_retries_come_before_what_stands_in(book: str) -> None:
    """A step is run so often again, and each run that failed is named."""
    step = function("fail_first", book=book, times=2)
    _, result = await run({**step, "on_error": {"retries": 2, "backoff_s": 0}})
    assert result.value == "at last"
    assert states(result) == {"run": "failed", "run~1": "failed", "run~2": "done"}


async def test_templates_know_how_steps_ended() -> None:
    """`steps` tells the state of each step with an id, also of one that was skipped."""
    node = chain({**value("a"), "id": "first", "when": "false"}, value("{{ steps.first.state }}"))
    _, result = await run(node)
    assert result.value == "skipped"


async def test_a_function_that_returns_no_json_has_failed() -> None:
    """The line says which one, and why."""
    done, _ = await run(function("nothing"))
    assert "flow_functions:nothing returned what is no JSON" in done.error


async def test_a_sub_workflow_sees_its_input_and_nothing_else() -> None:
    """What is around it is not known in it; its input is what `with` says."""
    node = chain({**value("a"), "id": "first"}, {"kind": "use", "flow": "sub", "with": {"n": "{{ first }}"}})
    _, result = await run(node, flows={"sub": value("{{ input.n }}")})
    assert result.value == "a"
    done, _ = await run(node, flows={"sub": value("{{ first }}!")})
    assert "'first' is undefined" in done.error


# Escalation and feedback ----------------------------------------------------------------------------------------------


def route(branch: Node, **fields: Any) -> Node:
    """A route with one branch."""
    rules = [{"when": "true", "to": "a"}]
    return {"kind": "route", "rules": rules, "generalist": "a", "branches": {"a": branch}, **fields}


HANDS_UP: Node = chain(
    {"kind": "escalate", "reason": "{{ input }} is too hard", "value": {"case": "{{ input }}"}}, value(1)
)
TAKEN = value("{{ escalation.reason }} | {{ escalation.value.case }} | {{ escalation.branch }} | {{ escalation.path }}")


async def test_the_nearest_route_takes_what_is_handed_up() -> None:
    """Through steps and routes that take nothing, to the first around them that does; what it says is the answer."""
    for around in (
        lambda inner: inner,
        lambda inner: chain(route(inner)),
        lambda inner: {"kind": "retry", "attempts": 3, "node": {"kind": "parallel", "branches": {"p": inner}}},
        lambda inner: {"kind": "timeout", "seconds": 9, "node": chain(inner, on_error="skip")},
    ):
        node = route(around(HANDS_UP), escalate=TAKEN)
        done, result = await run(chain(route(node, escalate=value("too far")), value("{{ previous }}")))
        assert done.error == ""
        reason, case, branch, path = str(result.value).split(" | ")
        assert (reason, case, branch) == ("x is too hard", "x", "a")
        assert states(result)[path] == "stopped"
        assert {state for at, state in states(result).items() if path.startswith(f"{at}/")} <= {"stopped", "done"}


async def test_a_taker_may_hand_up_itself() -> None:
    """To the next route above."""
    inner = route(HANDS_UP, escalate={"kind": "escalate", "reason": "me too: {{ escalation.reason }}"})
    _, result = await run(route(inner, escalate=value("{{ escalation.reason }}")))
    assert result.value == "me too: x is too hard"


async def test_what_nobody_takes_fails_by_name() -> None:
    """The reason is told."""
    done, _ = await run(route(HANDS_UP))
    assert done.error == "escalated, and no route takes it: x is too hard"


async def test_a_route_is_taken_again_until_it_is_enough() -> None:
    """Each round knows what came before; when the rounds are over the last one stands in, marked as degraded."""
    branch = value("{{ history | length }} {{ history | map(attribute='output') | join('+') }}")
    node = route(branch, feedback={"until": "it.startswith('2')", "rounds": 4})
    done, result = await run(node)
    assert (result.value, done.degraded) == ("2 0 +1 0 ", False)
    done, result = await run({**node, "feedback": {"until": "false", "rounds": 2}})
    assert (result.value, done.degraded) == ("1 0 ", True)
    assert "not enough after 2 rounds" in result.steps[-1].note


# Votes and chunks that were skipped -----------------------------------------------------------------------------------


async def test_a_voter_that_was_skipped_has_no_vote() -> None:
    """It is named, and does not spoil the agreement of the others."""
    voters = {"a": {**value("a"), "when": "false"}, "b": value("yes"), "c": value("yes")}
    done, result = await run({"kind": "consensus", "voters": voters})
    assert result.value == {"answer": "yes", "agreement": 1.0, "review": False, "votes": {"b": "yes", "c": "yes"}}
    assert done.degraded
    assert "a: skipped" in result.steps[-1].note


@pytest.mark.parametrize("variant", ["reduce", "collapse", "tree", "refine", "rerank"])
async def test_a_skipped_chunk_is_missing_by_name(variant: str) -> None:
    """No chunk is dropped without a word, however its map came to have no output; a draft is not lost by it."""
    items = [{"name": f"n{number}", "text": "t"} for number in range(4)]
    step = {**value({"score": "{{ index }}", "i": "{{ index }}"}), "when": "index not in (1, 2)"}
    reduce: Node = {**value("{{ draft }}, {{ index }}"), "when": "index not in (1, 2)"}
    if variant != "refine":
        reduce = value("{{ parts | length }}")
    node = {"kind": "map_reduce", "variant": variant, "map": step} | ({} if variant == "rerank" else {"reduce": reduce})
    done, result = await run(node, items)
    [one] = result.coverage
    assert [(number, name) for number, name, _ in one.missing] == [(1, "n1"), (2, "n2")]
    assert one.covered == ((0, 1), (3, 4))
    assert all("skipped" in cause for _, _, cause in one.missing)
    assert done.degraded
    wanted = {
        "rerank": {"answer": {"score": 3, "i": 3}, "score": 3.0, "source": "n3"},
        "refine": '{"score":0,"i":0}, 3',
    }
    assert result.value == wanted.get(variant, 2)


@pytest.mark.parametrize("variant", ["reduce", "tree"])
async def test_a_skipped_merge_is_a_failed_one(variant: str) -> None:
    """What it would have merged is missing, instead of being covered by nothing."""
    node = {
        "kind": "map_reduce",
        "variant": variant,
        "over": "[1, 2]",
        "map": value("m"),
        "reduce": {**value(1), "when": "false"},
    }
    done, _ = await run(node)
    assert "the merge was skipped" in done.error
