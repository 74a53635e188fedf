"""Jobs as commands read them: found by prefix, shown as tables, told as lines; from a journal in memory."""

import io
import tempfile
from pathlib import Path
from typing import Any

import msgspec
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from understudy.actors.journal.testing import MemoryJournal
from understudy.cluster.api_jobs import gathered
from understudy.cluster.flows.again import left_over
from understudy.cluster.flows.approvals import _named
from understudy.cluster.flows.following import Following
from understudy.cluster.flows.inputs import Lines
from understudy.cluster.flows.job import is_dear, trace_context
from understudy.cluster.flows.notes import RunNotes, notes
from understudy.cluster.flows.options import Options
from understudy.cluster.flows.show import Progress, record_tree
from understudy.cluster.flows.sink import Sink
from understudy.cluster.jobs import logs, showing, tables
from understudy.cluster.jobs.finding import choose, find, seconds
from understudy.cluster.jobs.history import gather
from understudy.cluster.jobs.meta import Meta, decode, encode
from understudy.cluster.jobs.submitting import When, made
from understudy.cluster.jobs.tables import Whose
from understudy.protocols.config import Config
from understudy.protocols.errors import UnderstudyError, UsageError
from understudy.protocols.jobs import ApprovalAsk, Bill, JobSpec, Page, Waiting
from understudy.protocols.journal import AnswerRow, Append, JobRow, NoteRow, SpecRow, StepRow
from understudy.protocols.messages import ItemDone
from understudy.protocols.workflow import Flow
from understudy.protocols.workflow.build import approve, call, function, node, value
from understudy.protocols.workflow.result import FlowResult, StepRecord
from understudy.supervisors.patterns.interpreter import PATH
from understudy.supervisors.workflow.finished import Finished, Tried
from understudy.supervisors.workflow.finished import encode as finished

NOW = 1_000_000.0


def row(name: str, **fields: Any) -> JobRow:
    """A job's row."""
    usual: dict[str, Any] = {"state": "done", "created": NOW - 100, "updated": NOW - 50, "total": 2, "done": 2}
    return JobRow(name, **(usual | fields))


def console() -> Console:
    """One that writes 80 columns into memory, as a pipe does."""
    return Console(file=io.StringIO(), width=80)


def text(of: Console) -> str:
    """What was written."""
    assert isinstance(of.file, io.StringIO)
    return of.file.getvalue()


def spec(name: str, interpreter: str = PATH) -> SpecRow:
    """What a job is."""
    return SpecRow(name, msgspec.msgpack.encode(JobSpec(name, "a title", interpreter, b"", b"{}")))


def answer(name: str, place: int, done: ItemDone, *, is_node: bool = False) -> AnswerRow:
    """An answer's row."""
    return AnswerRow(name, place, is_node, done.item, msgspec.msgpack.encode(done))


def flow_data(output: Any = "out", *steps: StepRecord) -> bytes:
    """What a run's answer holds."""
    return msgspec.msgpack.encode(FlowResult(orjson.dumps(output), steps))


# Finding --------------------------------------------------------------------------------------------------------------


@given(st.lists(st.text("ab-1", min_size=1, max_size=6), unique=True, max_size=12), st.text("ab-1", max_size=6))
def test_a_prefix_means_the_only_job_that_begins_so(names: list[str], name: str) -> None:
    """`choose` agrees with the naive rule: one job fits, or it is an error that names what could be meant."""
    fits = [one for one in names if name and one.startswith(name)]
    rows = [row(one) for one in names]
    if len(fits) == 1:
        assert choose(name, rows).id == fits[0]
        return
    with pytest.raises(UsageError) as error:
        choose(name, rows)
    assert all(one in str(error.value) for one in fits[:5])


async def test_a_whole_id_is_found_though_others_begin_so() -> None:
    """An id that begins another is no ambiguity; children are found by their whole names."""
    journal = MemoryJournal()
    journal.write(Append(jobs=(row("run-1"), row("run-12"), row("run-1.0.x", parent="run-1"))))
    assert (await find(journal, "run-1")).id == "run-1"
    assert (await find(journal, "run-12")).id == "run-12"
    assert (await find(journal, "run-1.0")).id == "run-1.0.x"
    with pytest.raises(UsageError, match=r"there is no job 'run-3'.*did you mean"):
        await find(journal, "run-3")


def test_a_prefix_passes_over_jobs_that_work_for_others() -> None:
    """A job's children begin with its id: what people mean is the job."""
    rows = [row("run-ab"), row("run-ab.0.c", parent="run-ab")]
    assert choose("run-a", rows).id == "run-ab"


@pytest.mark.parametrize(("told", "meant"), [("90s", 90), ("15m", 900), ("12h", 43_200), ("30d", 2_592_000), ("7", 7)])
def test_durations_as_people_write_them(told: str, meant: float) -> None:
    """A number and a unit."""
    assert seconds(told) == meant


@pytest.mark.parametrize("wrong", ["", "d", "-3d", "3 days", "1e3s"])
def test_what_is_no_duration_is_told(wrong: str) -> None:
    """Anything else is bad input, with examples of what is right."""
    with pytest.raises(UsageError, match="30d"):
        seconds(wrong)


def test_meta_is_read_as_it_was_written() -> None:
    """Notes of a driver survive; a job without notes is a program's own."""
    assert decode(encode(Meta("digest", b"x"))) == Meta("digest", b"x")
    assert decode(b"").kind == "call"


# Tables ---------------------------------------------------------------------------------------------------------------


def test_a_table_of_jobs_fits_a_terminal() -> None:
    """No line is wider than 80 columns, and no escape code goes into a pipe."""
    shown = console()
    rows = [
        row("a-very-long-name-of-a-workflow-that-somebody-chose-0123abcd", state="running", failed=1_234, parked=12),
        row("run-1", cost=12_345_678_901_234, total=1_000_000, done=999_999),
    ]
    tables.show_jobs(shown, rows, Whose(), now=NOW)
    lines = text(shown).splitlines()
    assert max(map(len, lines)) <= 80
    assert "\x1b" not in text(shown)
    assert "999,999/1,000,000" in text(shown)


def test_a_job_whose_cluster_is_gone_is_interrupted() -> None:
    """Set before this cluster began, or owned by another: it is not running any more; what is over stays what it is."""
    running = row("run-1", state="running", owner="old")
    assert Whose(owner="new").state(running) == "interrupted"
    assert Whose(owner="old").state(running) == "running"
    assert Whose(since=NOW).state(running) == "interrupted"
    assert Whose(since=NOW - 60).state(running) == "running"
    assert Whose(since=NOW).state(row("run-2")) == "done"


def test_dead_letters_tell_cause_and_trace() -> None:
    """Each has its cause and the id of its trace, not the whole trace context."""
    shown = console()
    dead = row("run-1", state="dead", attempt=3, error="503 from sim", trace="00-" + "ab" * 16 + "-" + "cd" * 8 + "-01")
    tables.show_dead(shown, [dead], now=NOW)
    assert "3 attempts" in text(shown)
    assert "503 from sim" in text(shown)
    assert f"trace {'ab' * 16}\n" in text(shown)


# One job --------------------------------------------------------------------------------------------------------------


async def history(journal: MemoryJournal, item: int = -1) -> Any:
    """What is known of `run-1`."""
    return await gather(journal, await find(journal, "run-1"), item=item)


async def test_failures_are_counted_by_their_causes() -> None:
    """Items that failed alike are told together; one that was tried again with success has not failed."""
    journal = MemoryJournal()
    told = [ItemDone(number, error="503" if number < 7 else "other", attempts=2) for number in range(9)]
    told.append(ItemDone(0, data=flow_data(), attempts=1))
    journal.write(Append(jobs=(row("run-1", total=9, done=9, failed=8),), specs=(spec("run-1"),)))
    journal.write(Append(answers=tuple(answer("run-1", place, done) for place, done in enumerate(told))))
    found = await history(journal)
    assert [(one.cause, one.count, one.items) for one in found.failed] == [
        ("503", 6, [1, 2, 3, 4, 5]),
        ("other", 2, [7, 8]),
    ]
    assert found.attempts == 19


async def test_a_run_is_shown_with_its_steps() -> None:
    """The tree has each step once, below the one around it, with its requests and why it failed."""
    journal = MemoryJournal()
    steps = (
        StepRecord("run/0", "call", "done", 0.0, 1.0, "draft", 1, 3, 10**9, "sim-small"),
        StepRecord("run/1", "function", "failed", 1.0, 0.1, note="RuntimeError: out of paper"),
        StepRecord("run", "chain", "failed", 0.0, 1.1),
    )
    done = ItemDone(0, data=flow_data(None, *steps), error="out of paper")
    journal.write(Append(jobs=(row("run-1", total=1, done=1, failed=1),), specs=(spec("run-1"),)))
    journal.write(Append(answers=(answer("run-1", 0, done),)))
    shown = console()
    showing.show(shown, await history(journal), Whose(), now=NOW)
    lines = text(shown).splitlines()
    assert sum("draft" in line for line in lines) == 1
    assert "3 requests" in text(shown)
    assert "understudy retry run-1" in text(shown)
    assert max(map(len, lines)) <= 80
    assert showing.as_json(await history(journal), Whose())["items"][0]["steps"][0]["attempts"] == 3


async def test_steps_of_a_run_that_is_not_done_are_shown() -> None:
    """What will not be run again when it goes on is named, with what it cost."""
    journal = MemoryJournal()
    step = finished(Finished("text", model="sim/small", tried=(Tried("sim/small", cost=3 * 10**9),)))
    journal.write(
        Append(
            jobs=(row("run-1", state="running", total=1, done=0),),
            specs=(spec("run-1"),),
            steps=(StepRow("run-1", 0, 0, "run/0", b"h", step),),
        )
    )
    shown = console()
    showing.show(shown, await history(journal), Whose(since=NOW), now=NOW)
    assert "run/0" in text(shown)
    assert "understudy resume run-1" in text(shown)
    assert showing.as_json(await history(journal), Whose())["unfinished"]["0"][0]["dollars"] == "0.003"


def test_a_tree_has_the_tenth_step_after_the_ninth() -> None:
    """Steps come in the order of the workflow, not of their names as words."""
    records = [StepRecord(f"run/{number}", "call", "done", 0.0, 0.0, f"s{number}") for number in (10, 9, 2)]
    shown = console()
    shown.print(record_tree("flow", [*records, StepRecord("run", "chain", "done", 0.0, 0.0)]))
    told = text(shown)
    assert told.index("s2") < told.index("s9") < told.index("s10")


# Lines ----------------------------------------------------------------------------------------------------------------


async def test_lines_are_told_in_the_order_things_happened() -> None:
    """Notes stand between the answers they stood between."""
    journal = MemoryJournal()
    journal.write(Append(jobs=(row("run-1"),), specs=(spec("run-1"),)))
    journal.write(Append(answers=(answer("run-1", 0, ItemDone(0, error="503")),)))
    journal.write(Append(notes=(NoteRow("run-1", 0, 0, "sealed"), NoteRow("run-1", 1, 1, "again"))))
    journal.write(Append(answers=(answer("run-1", 1, ItemDone(0)), answer("run-1", 2, ItemDone(4), is_node=True))))
    lines, cursor = await logs.past(journal, row("run-1"))
    assert cursor == 3
    assert [line.text.split("  ")[0] for line in lines] == [
        "handed in: ",
        "all inputs are handed in",
        "item 0 failed: 503",
        "items are tried again",
        "item 0 done",
        "node 4 done",
        "done",
    ]


def test_news_is_told_once() -> None:
    """A restart, a pause and a state are lines when they change, not with each page."""
    watch = logs.Watch("running")
    page = Page("running", 0, 1, True, 0, 0, 1, 0, Bill(), restarts=1, paused="disk full")
    assert [line.what for line in watch.lines(page, at=1.0)] == ["restart", "paused"]
    assert list(watch.lines(page, at=2.0)) == []
    over = msgspec.structs.replace(page, state="done", paused="", items=(ItemDone(0),))
    assert [line.what for line in watch.lines(over, at=3.0)] == ["item", "paused", "state"]


# Results --------------------------------------------------------------------------------------------------------------


@given(st.lists(st.integers(0, 5), max_size=20))
def test_each_run_is_one_line_of_results(order: list[int]) -> None:
    """However often runs were tried again, the file holds each once, with its newest result."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out.jsonl"
        sink = Sink(out, Path(folder) / "in.jsonl")
        for place, number in enumerate(order):
            sink.write(ItemDone(number, data=flow_data(place)))
        sink.close()
        told = {one["number"]: one["output"] for one in map(orjson.loads, out.read_bytes().splitlines())}
        assert len(out.read_bytes().splitlines()) == len(told)
    assert told == {number: place for place, number in enumerate(order)}


def test_results_never_go_into_the_file_of_inputs(tmp_path: Path) -> None:
    """The inputs are still needed."""
    path = tmp_path / "lines.jsonl"
    path.write_text("1\n")
    with pytest.raises(UsageError, match="file of the inputs"):
        Sink(path, path)


def test_a_run_notes_what_another_needs_to_finish_it(tmp_path: Path) -> None:
    """Paths are absolute, since nobody knows from where the job is gone on with."""
    path = tmp_path / "in.jsonl"
    path.write_text("1\n2\n")
    lines = Lines(path, lambda _: "")
    told = decode(notes(Options(Path("flow.yaml"), inputs=path, out=Path("out.jsonl")), lines, 2))
    found = msgspec.msgpack.decode(told.data, type=RunNotes)
    assert (told.kind, found.total, found.inputs) == ("run", 2, str(path))
    assert Path(found.out).is_absolute()
    path.write_text("1\n3\n")
    assert Lines(path, lambda _: "").digest != found.digest


def test_what_must_not_be_done_twice_is_journaled_ahead() -> None:
    """A function, a person's answer and a paid call are; what costs nothing to do again is not."""
    paid = Config.model_validate(
        {
            "accounts": {"sim": {"base_url": "http://127.0.0.1:9/v1", "api_key": "${SIM_KEY}"}},
            "models": {"small": [{"account": "sim", "model": "m"}]},
        }
    )
    assert is_dear(Flow(run=node(call("hi", model="small"))), paid)
    assert is_dear(Flow(run=node(function("os:getcwd"))), Config())
    assert is_dear(Flow(run=node(approve("Sure?"))), Config())
    assert not is_dear(Flow(run=node(value("x"))), paid)
    assert not is_dear(Flow(run=node(call("hi"))), Config())


# Submitting -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("wrong", [{"priority": 10}, {"priority": -1}, {"delay_s": -1.0}, {"attempts": 0}])
def test_how_a_job_waits_is_checked(wrong: dict[str, Any]) -> None:
    """Out of range is bad input before anything is queued."""
    with pytest.raises(UsageError, match=next(iter(wrong)).removesuffix("_s")):
        When(**wrong)


def test_a_submission_holds_all_its_items() -> None:
    """Blocks are numbered through, and what is journaled is journaled ahead."""
    values = [{"text": "x" * 1000, "number": number} for number in range(1200)]
    told = made(JobSpec("j", "", PATH, b"", b"{}", watch=True), values, When("k", 2, 1.5, 4), b"meta")
    assert (told.key, told.priority, told.delay_s, told.attempts, told.meta) == ("k", 2, 1.5, 4, b"meta")
    decoded = [msgspec.msgpack.decode(data, type=tuple[int, list[bytes]]) for _, data in told.blocks]
    assert sum(count for count, _ in told.blocks) == 1200
    assert [first for first, _ in decoded] == [
        sum(count for count, _ in told.blocks[:at]) for at in range(len(decoded))
    ]
    job = msgspec.msgpack.decode(told.spec, type=JobSpec)
    assert (job.journal, job.watch) == ("ahead", False)


# Following ------------------------------------------------------------------------------------------------------------


class Stopped:
    """Stands for a job of one input: gives pages that a test has written, then perhaps Ctrl-C."""

    def __init__(self, *pages: Page, interrupted: bool = False) -> None:
        self._pages = pages
        self._interrupted = interrupted
        self.cancelled = False
        self.spec = JobSpec("run-1", "", PATH, b"", b"{}")

    def pages(self) -> Any:
        """All pages."""
        yield from self._pages
        if self._interrupted:
            raise KeyboardInterrupt

    def cancel(self) -> None:
        """Somebody stops it."""
        self.cancelled = True

    def rest(self) -> Any:
        """Nothing more comes."""
        return iter(())


def followed(job: Any, *, owns: bool = True) -> tuple[int, str]:
    """A job followed to its end: the exit code, and what people were told."""
    shown = console()
    following = Following(shown, json=False, stay=False, owns=owns)
    with Progress(shown, "flow", total=1, quiet=False) as progress:
        code = following.work(job, job.pages(), progress, 1)
    return following.end(code, "run-1"), text(shown)


def page(state: Any = "done", **fields: Any) -> Page:
    """A page of a job of one input."""
    return msgspec.structs.replace(Page(state, 1, 1, True, 1, 0, 0, 0, Bill()), **fields)


def test_answers_that_stand_in_are_told_at_the_end() -> None:
    """The run ended well, and says that a model will be asked again."""
    code, told = followed(Stopped(page(items=(ItemDone(0, data=flow_data(), standing=True),), standing=1)))
    assert code == 0
    assert "1 answer stands in" in " ".join(told.split())
    assert "understudy show run-1" in " ".join(told.split())


def test_a_pause_of_the_journal_is_shown_once() -> None:
    """A line says why nothing goes on, not each page anew."""
    paused = page("running", paused="journal: disk full")
    code, told = followed(Stopped(paused, paused, page(items=(ItemDone(0, data=flow_data()),))))
    assert code == 0
    assert told.count("waits: journal: disk full") == 1


def test_ctrl_c_stops_a_job_of_ones_own_and_leaves_others() -> None:
    """Who began the job cancels it; who came back to it leaves it running, and is told how to return."""
    own, others = Stopped(page("running"), interrupted=True), Stopped(page("running"), interrupted=True)
    assert followed(own)[0] == 130
    assert own.cancelled
    code, told = followed(others, owns=False)
    assert code == 130
    assert not others.cancelled
    assert "the job goes on" in told
    assert "understudy cancel run-1" in told


def run_notes(path: Path) -> RunNotes:
    """Of a run of the inputs in a file."""
    lines = Lines(path, lambda _: "")
    return RunNotes("flow.yaml", lines.count, str(path), lines.digest, "out.jsonl")


def test_what_is_left_of_the_inputs_is_handed_in(tmp_path: Path) -> None:
    """All after those that the job has; nothing where it has all, was sealed, or is over."""
    path = tmp_path / "in.jsonl"
    path.write_text("1\n2\n3\n")
    known, live = run_notes(path), row("run-1", state="running")
    assert list(left_over(live, known, items=1, sealed=False) or ()) == [2, 3]
    assert list(left_over(live, known, items=3, sealed=False) or ()) == []
    assert left_over(live, known, items=3, sealed=True) is None
    assert left_over(row("run-1"), known, items=1, sealed=False) is None


def test_inputs_that_have_changed_are_not_mixed(tmp_path: Path) -> None:
    """The file is another by now: nothing is handed in, and the way out is told."""
    path = tmp_path / "in.jsonl"
    path.write_text("1\n2\n3\n")
    known, live = run_notes(path), row("run-1", state="running")
    path.write_text("1\n2\n4\n")
    with pytest.raises(UsageError, match=r"has changed since job run-1 began.*--no-more"):
        left_over(live, known, items=1, sealed=False)
    with pytest.raises(UsageError, match="--no-more"):
        left_over(live, None, items=1, sealed=False)
    assert list(left_over(live, known, items=1, sealed=False, no_more=True) or ()) == []


# From Python ----------------------------------------------------------------------------------------------------------


async def test_results_come_in_the_order_of_inputs() -> None:
    """Whatever order runs were done in, and the newest of a run that was tried again."""
    journal = MemoryJournal()
    told = [ItemDone(1, data=flow_data("b")), ItemDone(0, error="503"), ItemDone(0, data=flow_data("a"))]
    journal.write(Append(jobs=(row("run-1"),), specs=(spec("run-1"),)))
    journal.write(Append(answers=tuple(answer("run-1", place, done) for place, done in enumerate(told))))
    assert [one.output for one in await gathered(journal, "run-1", None, "here")] == ["a", "b"]


@pytest.mark.parametrize(
    ("fields", "error", "told"),
    [
        ({"state": "running", "owner": "there"}, UnderstudyError, "understudy resume run-1"),
        ({"state": "running", "owner": "here"}, TimeoutError, "it is running"),
        ({"state": "dead", "error": "503", "owner": "here"}, UnderstudyError, "dead letter: 503"),
        ({"state": "cancelled", "owner": "here"}, UnderstudyError, "was cancelled"),
    ],
)
async def test_results_that_do_not_come_are_told(fields: dict[str, Any], error: type[Exception], told: str) -> None:
    """Its cluster is gone, it takes too long, or it ended without results: an error that says what to do."""
    journal = MemoryJournal()
    journal.write(Append(jobs=(row("run-1", **fields),), specs=(spec("run-1"),)))
    with pytest.raises(error, match=told):
        await gathered(journal, "run-1", 0.0, "here")


async def test_a_job_that_runs_no_workflow_has_no_results() -> None:
    """A digest's result is its report."""
    journal = MemoryJournal()
    journal.write(Append(jobs=(row("run-1"),), specs=(spec("run-1", "a.b:C"),)))
    with pytest.raises(UsageError, match="runs no workflow"):
        await gathered(journal, "run-1", None, "here")


def test_a_job_has_the_trace_it_was_begun_in(monkeypatch: pytest.MonkeyPatch) -> None:
    """What began this process names the trace; nobody did, or not in its form: a new one."""
    given = f"00-{'ab' * 16}-{'cd' * 8}-01"
    monkeypatch.setenv("TRACEPARENT", given)
    assert trace_context() == given
    monkeypatch.setenv("TRACEPARENT", "nonsense")
    made_up = trace_context()
    assert made_up != trace_context()
    assert len(tables.trace_id(made_up)) == 32


def test_a_verdict_names_what_it_is_about() -> None:
    """Where one question is meant it is named, so that said again it answers no other; else the choice is left open."""
    one, two = ApprovalAsk("run/1", "t", "s"), ApprovalAsk("run/2", "t", "s")
    single = [Waiting("j", 3, "t", 1.0, (one,))]
    assert _named(single, -1, "") == (3, "run/1")
    several = [*single, Waiting("j", 4, "t", 1.0, (one, two))]
    assert _named(several, -1, "") == (-1, "")
    assert _named(several, 4, "run/2") == (4, "run/2")
    assert _named(several, 3, "") == (3, "run/1")
    assert _named([], 7, "x") == (7, "x")
