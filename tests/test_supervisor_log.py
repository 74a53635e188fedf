"""What a Supervisor keeps of a job's answers, events and merges: each told once, in order, and no more than needed."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from understudy.protocols.errors import UnderstudyError
from understudy.protocols.jobs import JobSpec
from understudy.protocols.messages import Absorb, ItemDone, NodesDone, ReduceOpen, Sealed, StepEvent
from understudy.supervisors.supervisor import unmerged as unmerged_module
from understudy.supervisors.supervisor.core import JobCore
from understudy.supervisors.supervisor.job import TELL_BYTES, Job, batches, weight
from understudy.supervisors.supervisor.log import PAGE_BYTES, PAGE_ITEMS, UNREAD_BYTES, UNREAD_MOST, AnswerLog, EventLog
from understudy.supervisors.supervisor.unmerged import Unmerged


@given(st.lists(st.one_of(st.integers(1, 3000), st.just("read"), st.just("again")), max_size=30), st.booleans())
def test_a_reader_reads_each_answer_once_in_order(script: list[int | str], keep: bool) -> None:
    """Whatever the rhythm of writing and reading; also when a page is asked for again, since its reply was lost."""
    log, written, read, cursor = AnswerLog(keep=keep), 0, list[int](), 0
    for act in [*script, *["read"] * 50]:
        if isinstance(act, int):
            for _ in range(act):
                log.add(ItemDone(written, b"x"), node=written % 2 == 0)
                written += 1
            continue
        log.let_go(cursor)
        page = log.read(cursor)
        assert len(page) <= PAGE_ITEMS
        if act == "read":
            read += [done.item for _, done in page]
            cursor += len(page)
        assert len(log) == (written if keep else written - cursor + (len(page) if act == "read" else 0))
    assert read == list(range(log.end)) == list(range(written))


def test_a_page_is_bounded_in_bytes() -> None:
    """Large answers come a few at a time; one that is larger than a page comes alone."""
    log = AnswerLog()
    for size in (PAGE_BYTES + 1, PAGE_BYTES // 2, PAGE_BYTES // 2, 1):
        log.add(ItemDone(0, bytes(size)))
    assert [len(log.read(0)), len(log.read(1)), len(log.read(3))] == [1, 2, 1]


@pytest.mark.parametrize(("count", "size"), [(UNREAD_MOST + 1, 0), (9, UNREAD_BYTES // 8)])
def test_a_log_is_full_by_count_or_bytes(count: int, size: int) -> None:
    """Until it is read; one that keeps all is never full, as nobody need read it."""
    log, kept = AnswerLog(keep=False), AnswerLog()
    for one in range(count):
        assert not log.full
        log.add(ItemDone(one, bytes(size)))
        kept.add(ItemDone(one, bytes(size)))
    assert (log.full, kept.full) == (True, False)
    assert log.let_go(1)
    assert not log.full
    assert not log.let_go(1)


def test_what_was_let_go_is_not_told_as_nothing() -> None:
    """A reader that begins anew where nothing is kept hears why it can't."""
    log = AnswerLog(keep=False)
    log.add(ItemDone(0))
    log.let_go(1)
    with pytest.raises(UnderstudyError, match="answers before 1 were read and let go, 0 is asked for"):
        log.read(0)


@given(st.lists(st.one_of(st.integers(1, 30), st.just("hear")), max_size=40), st.integers(1, 40))
def test_events_come_once_and_lost_ones_are_counted(script: list[int | str], most: int) -> None:
    """Who listens hears the newest `most`, in order, and how many it has missed."""
    log, told, heard, missed, events = EventLog(most), 0, 0, 0, list[int]()
    for act in [*script, "hear"]:
        if isinstance(act, int):
            log.add(StepEvent(told + one, "p", "call", "began") for one in range(act))
            told += act
            continue
        page, heard, gone = log.since(heard)
        missed += gone
        events += [event.item for event in page]
    assert len(events) + missed == heard == told
    assert events == sorted(set(events))


@given(st.lists(st.tuples(st.integers(0, 5), st.booleans()), max_size=40))
def test_what_is_merged_is_kept_no_longer(script: list[tuple[int, bool]]) -> None:
    """Answers that a finished node has merged are gone; the node told twice is no news, whatever came between."""
    kept, reference, number = Unmerged(), dict[int, int](), 0
    nodes: list[tuple[int, tuple[int, ...]]] = []
    for many, again in script:
        for _ in range(many):
            kept.add(ItemDone(number, bytes(number % 7)))
            reference[number] = number
            number += 1
        if again and nodes:
            assert not kept.merge(ItemDone(nodes[-1][0]), nodes[-1][1])
        elif children := tuple(list(reference)[:3]):
            node = 1 << 40 | len(nodes)
            assert kept.merge(ItemDone(node), children)
            nodes.append((node, children))
            reference = {one: one for one in reference if one not in children} | {node: node}
        assert sorted(done.item for done in kept) == sorted(reference)


def test_unmerged_bytes_stop_the_mapping(monkeypatch: pytest.MonkeyPatch) -> None:
    """A job whose answers come faster than they are merged hands out nothing until they are."""
    monkeypatch.setattr(unmerged_module, "FULL_BYTES", 10)
    job = grown()
    list(job.take([ItemDone(0, bytes(6)), ItemDone(1, bytes(6))]))
    assert job.held
    job.merged(NodesDone("j", (ItemDone(99, b"x"),), children=((0, 1),)))
    assert not job.held


def grown(**fields: object) -> Job:
    """A job of four items whose tree grows."""
    spec = JobSpec("j", "a job", "m:C", b"", b"", reduces=True, grows=True, keep=False, **fields)  # type: ignore[arg-type]
    job = Job(JobCore(spec), msgspec.msgpack.encode(spec), "reducer-0")
    job.core.mapper_up("a")
    job.core.add_block(4)
    job.core.hand_out()
    return job


def test_a_tree_that_grows_ends_with_its_root() -> None:
    """The job is over when its root is told; the reader is told which node that is, and its answer."""
    job = grown(quiet=True)
    new = job.core.answered("a", [ItemDone(item, b"%d" % item, attempts=1, cost=1) for item in range(4)])
    assert list(job.take(new)) == [Absorb("j", tuple(new))]
    job.core.seal()
    over = [job.core.finished]
    job.merged(NodesDone("j", (ItemDone(10, b"low", attempts=1, cost=1),), children=((0, 1),)))
    top = ItemDone(20, b"top", attempts=1, cost=1)
    job.merged(NodesDone("j", (top,), children=((10, 2, 3),), root=20))
    job.merged(NodesDone("j", (top,), children=((10, 2, 3),), root=20))
    over.append(job.core.finished)
    page = job.page(0, -1, ())
    assert over == [False, True]
    assert (page.root, page.nodes_done, page.bill.cost) == (20, 2, 7)
    assert [done.data for done in page.items] == [b""] * 4
    assert [done.data for done in page.nodes] == [b"", b"top"]


def test_a_node_may_turn_out_to_be_the_root() -> None:
    """When the job is sealed after its last merge, that node is told again: it counts once, and comes whole."""
    job = grown(quiet=True)
    list(job.take(job.core.answered("a", [ItemDone(item) for item in range(4)])))
    job.merged(NodesDone("j", (ItemDone(10, b"top", attempts=1, cost=1),), children=((0, 1, 2, 3),)))
    job.core.seal()
    job.merged(NodesDone("j", (ItemDone(10, b"top"),), children=((10,),), root=10))
    page = job.page(0, -1, ())
    assert (job.core.finished, page.root, page.nodes_done, page.bill.cost) == (True, 10, 1, 1)
    assert [done.data for done in page.nodes] == [b"", b"top"]


def test_a_new_reducer_is_told_what_is_not_merged() -> None:
    """Unmerged answers of items and nodes, then the total when it is known; nothing that is merged already."""
    job = grown()
    list(job.take(job.core.answered("a", [ItemDone(item) for item in range(4)])))
    job.merged(NodesDone("j", (ItemDone(10),), children=((0, 1),)))
    told = list(job.retold())
    assert told[0] == ReduceOpen("j")
    assert [done.item for absorb in told[1:] if isinstance(absorb, Absorb) for done in absorb.items] == [2, 3, 10]
    job.core.seal()
    assert list(job.retold())[-1] == Sealed("j", 4)


def test_an_empty_job_needs_no_root() -> None:
    """Nothing was mapped, so nothing is merged."""
    spec = JobSpec("j", "a job", "m:C", b"", b"", reduces=True, grows=True)
    core = JobCore(spec)
    core.seal()
    assert core.finished


def test_money_for_merging_goes_with_what_merging_costs() -> None:
    """Nobody knows how many nodes there will be: what is held back shrinks by what they cost, and ends at the root."""
    spec = JobSpec("j", "a job", "m:C", b"", b"", grows=True, max_cost=20, item_cost=2, held_back=10)
    core = JobCore(spec)
    core.add_block(10)
    assert core._payable() == 5
    core.node_answered(ItemDone(10, attempts=1, cost=4))
    assert core._payable() == 5
    core.node_answered(ItemDone(20, attempts=1, cost=2))
    core.rooted(20)
    assert core._payable() == 7


@given(st.lists(st.integers(0, 50_000), max_size=40))
def test_answers_are_told_in_bounded_batches(sizes: list[int]) -> None:
    """In order, each once; a batch is bounded unless it is one answer."""
    found = list(batches(ItemDone(number, bytes(size)) for number, size in enumerate(sizes)))
    assert [done.item for some in found for done in some] == list(range(len(sizes)))
    assert all(len(some) == 1 or sum(map(weight, some)) <= TELL_BYTES for some in found)
