"""What a running workflow shows, what is said of it in the end, and how results are read; without a cluster."""

import io
import json
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from understudy.cluster.flows import ending
from understudy.cluster.flows.results import Result, read
from understudy.cluster.flows.show import Progress, Steps, line
from understudy.protocols.errors import StepFailed
from understudy.protocols.jobs import ApprovalAsk, Bill, Page, Waiting
from understudy.protocols.messages import ItemDone, StepEvent
from understudy.protocols.workflow.result import Coverage, FlowResult, StepRecord

PARTS = st.lists(st.sampled_from(["0", "1", "a", "b"]), max_size=3)


def event(path: str, state: Any = "done", note: str = "", **more: Any) -> StepEvent:
    """Something that happened to a step."""
    return StepEvent(0, path, "call", state, note=note, **more)


def drawn(steps: Steps) -> list[str]:
    """The tree as lines without colours, the title first."""
    console = Console(file=io.StringIO(), width=100, color_system=None)
    with console.capture() as captured:
        console.print(steps.tree("title"))
    return [told.rstrip() for told in captured.get().splitlines()]


def told(*events: StepEvent) -> list[str]:
    """The tree after these events."""
    steps = Steps()
    for one in events:
        steps.hear(one)
    return drawn(steps)


def page(**more: Any) -> Page:
    """News of a job."""
    facts: dict[str, Any] = {
        "state": "running",
        "cursor": 0,
        "total": 3,
        "sealed": True,
        "done": 1,
        "failed": 0,
        "running": 2,
        "nodes_done": 0,
        "bill": Bill(),
    }
    return Page(**(facts | more))


# The tree of steps ----------------------------------------------------------------------------------------------------


def test_steps_stand_below_what_is_around_them() -> None:
    """The path says where, in whatever order they are told; a step is one line, as it was last told of."""
    shown = told(event("run", "began"), event("run/0", "began"), event("run/0/a", "failed"), event("run/0"))
    assert shown == ["title", "└── … run call", "    └── ✓ 0 call", "        └── ✗ a call"]


def test_a_step_between_that_was_never_told_of_is_left_out() -> None:
    """A step stands below the nearest one around it that is known."""
    assert told(event("run", "began"), event("run/2/b"))[1:] == ["└── … run call", "    └── ✓ b call"]
    assert told(event("elsewhere/x"))[1:] == ["└── ✓ x call"]


@pytest.mark.parametrize("mark", ["#", "~"])
def test_rounds_and_attempts_stand_in_the_same_place(mark: str) -> None:
    """What is inside a round or an attempt stands below the step; a round that ends is a line beside it."""
    shown = told(event("run", "began"), event("run/0", "began"), event(f"run/0{mark}1/x"), event(f"run/0{mark}1"))
    assert shown[1:] == ["└── … run call", "    ├── … 0 call", "    │   └── ✓ x call", f"    └── ✓ 0{mark}1 call"]


def test_a_crowd_is_cut_and_counted() -> None:
    """Of more than nine beside each other eight are shown, and the others counted by what they are doing."""
    states = ["done"] * 8 + ["began", "failed", "began"]
    shown = told(event("run", "began"), *(event(f"run/{number}", state) for number, state in enumerate(states)))
    assert len(shown) == 2 + 8 + 1
    assert shown[-1] == "    └── … 3 more: 2 running, 1 failed"
    nine = told(event("run", "began"), *(event(f"run/{number}") for number in range(9)))
    assert len(nine) == 2 + 9


@given(paths=st.lists(PARTS, max_size=12))
def test_every_step_told_of_is_in_the_tree_once(paths: list[list[str]]) -> None:
    """Against a naive reference: the set of paths, each below the longest path before it that was told of."""
    steps, known = Steps(), dict.fromkeys("/".join(["run", *parts]) for parts in paths)
    for path in ["/".join(["run", *parts]) for parts in paths]:
        steps.hear(event(path))

    def below(seen: dict[str, Any], around: str) -> list[str]:
        found = []
        for path, one in seen.items():
            assert path.startswith(f"{around}/" if around else "run")
            found += [path, *below(one.below, path)]
        return found

    assert sorted(below(steps._root, "")) == sorted(known)


def test_words_are_the_last_that_were_said() -> None:
    """Words come as they are said; after what is begun anew only the new ones, and never more than 400 letters."""
    steps = Steps()
    for note in ("The ", "sh", "\x00", "The show"):
        steps.hear(event("run", "text", note))
    assert steps.words == "The show"
    assert drawn(steps) == ["title"]
    steps.hear(event("run", "text", "x" * 1000))
    assert len(steps.words) == 400


def test_a_line_tells_time_cost_model_and_why() -> None:
    """Facts stand behind the name; notes are cut; what looks like markup is text; an unknown price is a ?."""
    one = event("run/0", "degraded", "[red]" + "x" * 100, took_s=1.25, cost=2_500_000_000, model="sim/m")
    assert line(one).plain == f"≈ 0 call  1.2 s  $0.0025  sim/m  [red]{'x' * 55}…"
    assert line(event("run/0", cost=-1)).plain == "✓ 0 call  ?"


def test_a_display_that_nobody_looks_at_is_plain_lines() -> None:
    """Where it is piped: a line for each stage, no escape codes; with `quiet` nothing at all."""
    for quiet, expected in ((False, "starting Ray\nrunning [3]\n"), (True, "")):
        console = Console(file=io.StringIO(), width=80)
        with Progress(console, "title", total=1, quiet=quiet) as progress:
            progress.stage("starting Ray")
            progress.take(page(events=(event("run", "began"),)))
            progress.stage("running [3]")
        assert console.file.getvalue() == expected  # type: ignore[attr-defined]


def test_a_terminal_sees_steps_or_a_bar_and_nothing_in_the_end() -> None:
    """One input: its steps; many: a bar with counts. Both are wiped away when it is over."""
    for total, expected in ((1, "✓ 0 call"), (3, "1/3")):
        console = Console(file=io.StringIO(), width=80, force_terminal=True, color_system=None, legacy_windows=False)
        with Progress(console, "title", total=total, quiet=False) as progress:
            progress.stage("running")
            progress.take(page(events=(event("run", "began"), event("run/0")), failed=1, parked=1))
            console.print(progress.draw())
        shown = console.file.getvalue()  # type: ignore[attr-defined]
        assert expected in shown
        assert "waiting for people 1" in shown
        assert "failed 1" in shown
        assert shown.endswith("\x1b[?25h") or shown.rstrip().endswith("\x1b[2K")


# Results --------------------------------------------------------------------------------------------------------------


def answer(result: FlowResult | None = None, **more: Any) -> ItemDone:
    """An item's answer."""
    facts: dict[str, Any] = {"item": 7, "data": msgspec.msgpack.encode(result or FlowResult()), "cost": 1_500_000_000}
    return ItemDone(**(facts | more))


STEPS = (
    StepRecord("run/0", "call", "done", 0.0, 1.0, calls=2, attempts=3, cost=5),
    StepRecord("run/1", "call", "degraded", 1.0, 0.5, calls=1, note="the default stands in: dead"),
    StepRecord("run/2", "call", "skipped", 1.5, 0.0, note="not input"),
    StepRecord("run/3", "call", "skipped", 1.5, 0.0, note="dead"),
    StepRecord("run", "chain", "failed", 0.0, 1.5, note="no more"),
)


def test_a_result_is_what_the_item_says() -> None:
    """Calls are those of all steps; money is exact dollars; the number is the input's."""
    coverage = Coverage("run", 3, ((0, 2),), ((2, "c", "dead"),), depth=1, merges=1)
    found = read(answer(FlowResult(b'{"a": [1]}', STEPS, degraded=True, coverage=(coverage,), review=True)))
    assert found.output == {"a": [1]}
    assert (found.calls, found.number, found.degraded, found.review) == (3, 7, True, True)
    assert found.cost == Decimal("0.0015")
    plain = json.loads(json.dumps(found.plain()))
    assert plain["bill"]["dollars"] == "0.0015"
    assert plain["coverage"][0]["missing"] == [[2, "c", "dead"]]
    assert [step["path"] for step in plain["steps"]] == [step.path for step in STEPS]


def test_a_result_without_a_known_price_costs_none() -> None:
    """Not 0: nobody knows."""
    found = read(answer(cost=-1))
    assert found.cost is None
    assert found.plain()["bill"]["dollars"] is None


def test_a_failed_run_is_told_as_such_also_where_nothing_came_back() -> None:
    """A budget that was used up leaves no data; `check` raises what failed."""
    found = read(answer(data=b"", error="the budget is used up"))
    assert found.output is None
    with pytest.raises(StepFailed, match=r"^the budget is used up$"):
        found.check()
    assert read(answer()).check().error == ""


@given(amount=st.integers(0, 10**18))
def test_dollars_are_written_out_exactly(amount: int) -> None:
    """No exponent and no rounding: what is written reads back as the same amount."""
    text = read(answer(cost=amount)).plain()["bill"]["dollars"]
    assert "E" not in text.upper()
    assert Decimal(text).scaleb(12) == amount
    total = ending.totals(page(bill=Bill(cost=amount)))["dollars"]
    assert "E" not in total.upper()
    assert Decimal(total).scaleb(12) == amount


# What is said in the end ----------------------------------------------------------------------------------------------


def said(show: Any, *given: Any) -> str:
    """What is printed on a terminal without colours."""
    console = Console(file=io.StringIO(), width=100, color_system=None)
    show(console, *given)
    return console.file.getvalue()  # type: ignore[attr-defined, no-any-return]


def test_an_outcome_shows_the_output_as_it_is() -> None:
    """Text letter by letter, also what looks like markup; all else as JSON."""
    assert "[bold]x[/bold]" in said(ending.show_result, Result("[bold]x[/bold]"), 1.0)
    assert '"a": [' in said(ending.show_result, Result({"a": [1]}), 1.0)


def test_an_outcome_says_what_stood_in_and_what_it_cost() -> None:
    """Degraded, failed and given up steps are named, skipped ones only where a failure skipped them."""
    result = Result("x", steps=STEPS, stopped="abusive", review=True, calls=3, cost=None, open_cost=Decimal("0.5"))
    shown = said(ending.show_result, result, 2.0)
    assert "degraded: run/1: the default stands in: dead" in shown
    assert "skipped: run/3: dead" in shown
    assert "run/2" not in shown
    assert "ended early: abusive" in shown
    assert "a person should look at it" in shown
    assert "3 calls" in shown
    assert "? + up to $0.5" in shown


def test_a_failure_is_said_without_an_output() -> None:
    """The cause, and no `null`."""
    shown = said(ending.show_result, Result(None, error="run/1: [dead]"), 1.0)
    assert "failed: run/1: [dead]" in shown
    assert "null" not in shown


def test_many_runs_are_counted() -> None:
    """How many came to what, unknown prices, and where the results are."""
    shown = said(ending.show_many, page(failed=1, bill=Bill(attempts=5, unpriced=1)), 1.0, "[results].jsonl")
    assert "1 of 3, 1 failed" in shown
    assert "unknown prices" in shown
    assert "[results].jsonl" in shown


def test_what_waits_is_shown_with_how_it_is_answered() -> None:
    """The ask, what is to be seen, and the commands; machines are told the same."""
    ask = ApprovalAsk("run/1", "Send it?", "two\nlines [x]", b'"v"')
    waiting = [Waiting("job-1", 0, "run f", 3.0, (ask, ApprovalAsk("run/2", "And this?", "", b"")))]
    shown = said(ending.show_waiting, waiting)
    assert "  | two\n  | lines [x]\n" in shown
    assert "understudy approve job-1    understudy reject job-1" in shown
    [told_of] = ending.waiting_as_json(waiting)
    assert [(one["value"], one["editable"]) for one in told_of["asks"]] == [("v", True), (None, False)]
