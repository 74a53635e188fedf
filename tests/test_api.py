"""The Python API without a cluster: what is imported when, what is refused before anything starts, and its types."""

import asyncio
import datetime as dt
import json
import subprocess
import sys
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from pydantic import BaseModel

import understudy as us
from understudy.cluster import api
from understudy.cluster.flows import reader, setting
from understudy.cluster.flows.job import KEPT, WATCHED, flow_spec
from understudy.cluster.flows.reader import Results
from understudy.cluster.flows.results import Result
from understudy.protocols.config import Config
from understudy.protocols.errors import ConfigError, StepFailed, UnderstudyError, UsageError
from understudy.protocols.jobs import ApprovalAsk, Bill, Page, Verdict, Waiting
from understudy.protocols.messages import ItemDone, StepEvent
from understudy.protocols.workflow import Flow
from understudy.protocols.workflow.result import FlowResult
from understudy.protocols.workflow.spec import FlowSpec

PRICE = {"input": 1.0, "output": 2.0}
CONFIG = Config.model_validate(
    {
        "accounts": {"a": {"api_key": "${NO_SUCH_KEY_HERE}"}, "free": {"kind": "embedded"}},
        "models": {
            "keyed": [{"account": "a", "model": "m", "price": PRICE}],
            "open": [{"account": "free", "model": "extractive"}],
        },
    }
)


class Answer(BaseModel):
    """A typed output."""

    number: int


# Imports --------------------------------------------------------------------------------------------------------------


def fresh(code: str) -> Any:
    """What a process of its own prints as JSON."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    return json.loads(done.stdout)


def test_importing_the_package_imports_nothing_heavy() -> None:
    """`import understudy` alone brings neither pydantic nor Ray nor asyncio; a builder brings no Ray."""
    heavy = "[name for name in ('pydantic', 'ray', 'aiohttp', 'asyncio', 'rich', 'ruamel') if name in sys.modules]"
    assert fresh(f"import sys, json, understudy; print(json.dumps({heavy}))") == []
    code = f"import sys, json, understudy as us; us.call('x'); us.run; print(json.dumps({heavy}))"
    assert not {"ray", "ruamel"} & set(fresh(code))


def test_every_public_name_is_there() -> None:
    """Each name of `__all__` and `dir` resolves, is documented, and is kept; others are an AttributeError."""
    assert sorted(us.__all__) == dir(us)
    for name in us.__all__:
        assert getattr(us, name).__doc__, name
        assert getattr(us, name) is getattr(us, name)
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = us.nonsense


# What is refused ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("flow", "how", "says"),
    [
        (us.call("{{ nowhere }}", model="open"), {}, "run.prompt: .*nowhere"),
        (us.call("x", model="opne"), {}, "run.model: .*did you mean 'open'"),
        (us.chain(us.function("no.such_module:f")), {}, r"run.steps\[0\].call: .*no"),
        (us.call("x", model="keyed"), {}, "NO_SUCH_KEY_HERE"),
        (us.call("x", model="open"), {"max_cost": 0}, "max_cost must be more than 0"),
        (us.call("x", model="open"), {"max_cost": float("nan")}, "max_cost must be more than 0"),
        (us.call("x", model="open"), {"concurrency": 0}, "concurrency must be at least 1"),
        (us.call("x", model="open"), {"config": {"accounts": {"a": {"kind": "nonsense"}}}}, "config: accounts.a.kind"),
        (us.call("x", model="open"), {"config": "/no/such/file.yaml"}, "/no/such/file.yaml"),
        (us.use("nowhere"), {}, "nowhere"),
    ],
)
def test_mistakes_are_told_before_a_cluster_is_looked_for(flow: Any, how: dict[str, Any], says: str) -> None:
    """A wrong workflow, configuration or argument: one line; a unit test that started Ray would fail here."""
    with pytest.raises(UsageError, match=says) as refused:
        us.run(flow, **({"config": CONFIG} | how))
    assert "\n" not in str(refused.value)


def test_functions_beside_a_loaded_file_are_found(tmp_path: Path) -> None:
    """A workflow of another folder is checked with that folder's modules, and runs with them."""
    (tmp_path / "beside_the_loaded_file.py").write_text("def work():\n    return 1\n")
    path = tmp_path / "flow.yaml"
    path.write_text("run: {kind: function, call: 'beside_the_loaded_file:work'}\n")
    flow = us.load(path)
    assert str(tmp_path) in api._folders()
    with setting.importable(*api._folders()):
        setting.check_flow(flow, CONFIG)


def test_inputs_are_checked_by_a_model_beside_the_file(tmp_path: Path) -> None:
    """Each as it is taken; the first that does not fit is told by its number."""
    code = "from pydantic import BaseModel\n\n\nclass Case(BaseModel):\n    number: int\n"
    (tmp_path / "model_beside_the_file.py").write_text(code)
    (tmp_path / "flow.yaml").write_text("input: model_beside_the_file:Case\nrun: {kind: value, value: 1}\n")
    flow = us.load(tmp_path / "flow.yaml")
    checked = api.checked(flow, [{"number": 1}, {"number": "x"}])
    assert next(checked) == {"number": 1}
    with pytest.raises(UsageError, match=r"^input 1: .*number"):
        next(checked)


def test_inputs_are_whatever_json_can_say() -> None:
    """Models, dates and sets are written as JSON has them; what can't be is told by its number."""
    flow = Flow(run=us.value(1))
    given = ["ä", 1, None, Answer(number=2), {"day": dt.date(2024, 2, 29), "both": (1, 2)}]
    assert list(api.checked(flow, given)) == ["ä", 1, None, {"number": 2}, {"day": "2024-02-29", "both": [1, 2]}]
    circle: list[Any] = []
    circle.append(circle)
    for wrong in (object(), circle, b"\xff"):
        checked = api.checked(flow, [1, wrong])
        assert next(checked) == 1
        with pytest.raises(UsageError, match=r"^input 1: can't be written as JSON: "):
            next(checked)


def test_a_file_with_a_mistake_names_line_and_column(tmp_path: Path) -> None:
    """As on the command line."""
    path = tmp_path / "flow.yaml"
    path.write_text("run:\n  kind: call\n  promt: x\n")
    with pytest.raises(ConfigError, match=rf"^{path}:\d:\d+: .*did you mean 'prompt'"):
        us.load(path)


# A job's specification ------------------------------------------------------------------------------------------------


def specified(flow: Flow, **how: Any) -> tuple[Any, FlowSpec]:
    """The job's specification and the workflow's in it."""
    spec = flow_spec(flow, CONFIG, **({"inputs": 1, "width": 4} | how))
    return spec, msgspec.msgpack.decode(spec.spec, type=FlowSpec)


def test_a_run_is_bounded_by_the_smaller_of_its_budgets() -> None:
    """The workflow's own `max_cost`, and what a run may take of the job's; -1 where there is none."""
    plain, bounded = Flow(run=us.value(1)), Flow(run=us.value(1), max_cost=0.5)
    assert specified(plain)[1].cost == -1
    assert specified(bounded)[1].cost == 5 * 10**11
    assert specified(bounded, max_cost=10**12, item_cost=10**11)[1].cost == 10**11
    assert specified(plain, max_cost=10**12)[1].cost == -1


def test_one_run_may_take_the_whole_budget_and_no_more() -> None:
    """`max_cost` of one run bounds its steps, too; of many it is shared out by what a run may cost at most."""
    flow = Flow(run=us.call("x", model="keyed", max_tokens=100))
    assert api._item_cost(flow, CONFIG, ["x"], 1, 10**9) == 10**9
    assert api._item_cost(flow, CONFIG, ["x"], 1, -1) == 0
    assert 0 < api._item_cost(flow, CONFIG, ["x"] * 5, 5, 10**15) < 10**10
    assert api._item_cost(flow, CONFIG, iter(()), -1, 10**15) > 0


def test_large_jobs_are_not_kept_and_not_watched() -> None:
    """A million results are not held for another reader, nor their steps told; nobody knows how many counts as many."""
    flow = Flow(run=us.value(1))
    kept = [specified(flow, inputs=count)[0] for count in (1, WATCHED, WATCHED + 1, KEPT, KEPT + 1, -1)]
    assert [spec.keep for spec in kept] == [True, True, True, True, False, False]
    assert [spec.watch for spec in kept] == [True, True, False, False, False, False]


def test_two_jobs_have_two_names() -> None:
    """The workflow's name, for people, and what makes it unique."""
    first, second = (specified(Flow(name="story", run=us.value(1)))[0].id for _ in range(2))
    assert first != second
    assert first.startswith("story-")


def test_the_routes_of_a_flow_are_those_its_calls_name() -> None:
    """Sub-workflows, classifiers and the default (the first of the configuration) are among them, each once."""
    run = us.chain("x", us.route({"a": us.use("f")}, generalist="a", model="open"))
    flow = Flow(run=run, flows={"f": us.call("x", model="open")})
    assert setting.routes_of(flow, CONFIG) == ("keyed", "open")
    assert setting.leaves_this_machine(flow, CONFIG)
    assert not setting.leaves_this_machine(Flow(run=us.call("x", model="open")), CONFIG)


# Results as they come -------------------------------------------------------------------------------------------------


class Job:
    """Stands for a `FlowJob`: gives pages that a test has written."""

    def __init__(self, pages: Iterable[Page]) -> None:
        self._pages = pages
        self.cancelled = 0
        self.answers: list[tuple[int, str, Verdict]] = []
        self.session = None
        self.spec = type("Spec", (), {"id": "job-1"})

    def pages(self, inputs: Iterator[Any]) -> Iterator[Page]:
        """Takes all inputs, then gives the pages."""
        list(inputs)
        yield from self._pages

    def cancel(self) -> None:
        """Counts."""
        self.cancelled += 1

    def answer(self, item: int, path: str, verdict: Verdict) -> None:
        """Notes it."""
        self.answers.append((item, path, verdict))


def done(number: int) -> ItemDone:
    """A run that came to its number."""
    return ItemDone(number, msgspec.msgpack.encode(FlowResult(str(number).encode())))


def page(state: Any = "running", *numbers: int, **more: Any) -> Page:
    """News of a job."""
    items = tuple(done(number) for number in numbers)
    return Page(state, 0, 0, True, 0, 0, 0, 0, Bill(), items=items, **more)


def results(job: Job, **how: Any) -> Results:
    """The results of a job that is written down."""
    return Results(job, iter(()), **how)  # type: ignore[arg-type]


def test_results_come_page_by_page() -> None:
    """All of them, in the order they came; a job that is over is not cancelled."""
    job = Job([page("open"), page("running", 2, 0), page("done", 1)])
    assert [one.output for one in results(job)] == [2, 0, 1]
    assert job.cancelled == 0


def test_leaving_the_loop_cancels_the_job_once() -> None:
    """Also where the iterator is dropped without a word; not where the job was over with that page."""
    job = Job([page("running", 0, 1), page("done")])
    for one in results(job):
        assert one.output == 0
        break
    assert job.cancelled == 1
    over = Job([page("done", 0, 1)])
    kept = results(over)
    next(kept)
    kept.close()
    assert over.cancelled == 0
    assert list(kept) == []


def test_a_job_that_can_not_go_on_is_an_error_after_its_results() -> None:
    """What came is given out, then the error says why; cancelled by another is told as well."""
    for state, says in (("failed", "the job failed: budget"), ("cancelled", "the job was cancelled")):
        job = Job([page(state, 0, error="budget" if state == "failed" else "")])
        found = results(job)
        assert next(found).output == 0
        with pytest.raises(UnderstudyError, match=f"^{says}$"):
            next(found)
        assert job.cancelled == 0


def test_words_are_told_as_they_come() -> None:
    """Events of text, and None where they begin anew; other events are not for this ear."""
    heard: list[str | None] = []
    events = tuple(StepEvent(0, "run", "call", state, note=note) for state, note in _SAID)
    list(results(Job([page("done", 0, events=events)]), on_text=heard.append))
    assert heard == ["The ", None, "show"]


_SAID: list[tuple[Any, str]] = [("began", "no"), ("text", "The "), ("text", "\x00"), ("text", "show")]


def test_asks_are_answered_each_by_its_path(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a page says is parked is asked of the function; an error of its own cancels the job."""
    asks = (ApprovalAsk("run/0", "a", ""), ApprovalAsk("run/1", "b", ""))
    monkeypatch.setattr(reader, "approvals", lambda *_: [Waiting("job-1", 4, "t", 0.0, asks)])
    job = Job([page("waiting", parked=1), page("done", 4)])
    answered = results(job, on_approval=lambda ask: Verdict(ask.title == "a"))
    assert [one.output for one in answered] == [4]
    assert [(item, path, verdict.approved) for item, path, verdict in job.answers] == [
        (4, "run/0", True),
        (4, "run/1", False),
    ]
    failing = Job([page("waiting", parked=1), page("done", 4)])
    with pytest.raises(ZeroDivisionError):
        list(results(failing, on_approval=lambda _: 1 // 0))
    assert failing.cancelled == 1


def test_another_thread_may_close_results_that_somebody_waits_for() -> None:
    """Who waits for the next page is let go with it, and the job is cancelled: how a cancelled task ends its run."""
    closing: list[threading.Thread] = []

    def slow() -> Iterator[Page]:
        closing.append(threading.Thread(target=found.close))
        closing[0].start()
        assert found._closed.wait(10)
        yield page("running", 0)
        raise AssertionError("nobody reads on")

    job = Job(slow())
    found = results(job)
    assert next(found, None) is None
    closing[0].join(10)
    assert job.cancelled == 1


async def test_many_runs_wait_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """More of them than the loop's own pool has threads: none keeps another from going on."""
    together = threading.Barrier(40)

    class Slow:
        """Gives one result, when all others are asked for theirs."""

        def __init__(self) -> None:
            self._left = [Result(1)]

        def __next__(self) -> Result[int]:
            if not self._left:
                raise StopIteration
            together.wait(20)
            return self._left.pop()

        def close(self) -> None:
            """Nothing to end."""

    monkeypatch.setattr(api, "run_many", lambda *_, **__: Slow())
    found = await asyncio.gather(*(us.arun("x") for _ in range(together.parties)))
    assert [one.output for one in found] == [1] * together.parties


# Types ----------------------------------------------------------------------------------------------------------------


def test_an_output_is_made_to_its_model_or_refused_in_one_line() -> None:
    """The model's object; else where and why."""
    typed = api._typed(Result({"number": 3}, number=7), Answer)
    assert (typed.output, typed.number) == (Answer(number=3), 7)
    with pytest.raises(StepFailed, match=r"^the output is no Answer: at number: [^\n]*$"):
        api._typed(Result({"number": "x"}), Answer)
    with pytest.raises(StepFailed, match="at the top"):
        api._typed(Result("words"), Answer)
