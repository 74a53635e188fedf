"""A job that is made again from its rows is the job that wrote them, whatever happened before."""

import dataclasses
import random
from functools import partial
from typing import Any

import msgspec
from hypothesis import example, given, settings
from hypothesis import strategies as st

from understudy.actors.journal.testing import MemoryJournal
from understudy.actors.mailbox.untaken import LIFE_BITS
from understudy.actors.reducer.growing import node_id
from understudy.protocols.jobs import ApprovalAsk, JobSpec, Verdict
from understudy.protocols.journal import JobRow, SpecRow, StepRow
from understudy.protocols.messages import Absorb, ItemDone, NodesDone
from understudy.supervisors.budgets import Spending
from understudy.supervisors.supervisor.core import JobCore
from understudy.supervisors.supervisor.job import Job
from understudy.supervisors.supervisor.paper import HEARD, Paper
from understudy.supervisors.supervisor.restoring import Restoring

ASKS = msgspec.msgpack.encode([ApprovalAsk("a", "", ""), ApprovalAsk("b", "", "")])


def restored(journal: MemoryJournal, *, live: bool = True, spending: Spending | None = None) -> Job:
    """The job `j` from all its rows."""
    [row], spec = journal._jobs.values(), journal._specs["j"]
    restoring = Restoring(row, spec, live=live, spending=spending)
    restoring.blocks([one for _, one in sorted(journal._blocks.get("j", {}).items())])
    restoring.notes([one for _, one in sorted(journal._notes.get("j", {}).items())])
    for _, answer in sorted(journal._answers.get("j", {}).items()):
        restoring.answer(answer)
    return restoring.finish(counted={one.day: one.amount for one in journal._spent.values()})


def face(job: Job) -> dict[str, Any]:
    """What a job is, as far as anybody can see."""
    core = job.core
    return {
        "bill": core.bill,
        "marks": bytes(core.book.marks),
        "counts": (core.done, core.failed, core.book.standing, core.total, core.sealed),
        "eras": core.book.eras,
        "parked": sorted(core.parking),
        "asked": [
            (one.item, one.asks) for one in sorted(core.parking.waiting("", "", now=0), key=lambda one: one.item)
        ],
        "states": {item: core.parking.state(item) for item in core.parking.resumed()},
        "nodes": (core.nodes.done, core.nodes.root, core.nodes._spent),
        "unmerged": {done.item: done for done in job.unmerged},
        "cursor": job.log.end,
    }


@dataclasses.dataclass
class Life:
    """A job, its Journal, and a Supervisor that writes all at once and may die after that."""

    spec: JobSpec
    rng: random.Random
    journal: MemoryJournal = dataclasses.field(default_factory=MemoryJournal)
    paid: int = 0

    def __post_init__(self) -> None:
        paper = Paper(JobRow("j", "open"))
        encoded = msgspec.msgpack.encode(self.spec)
        paper.spec(encoded, 0, b"")
        self.job = Job(JobCore(self.spec), encoded, "r", paper=paper)
        self.job.core.mapper_up("m")
        self.out: list[int] = []
        self.write()

    def write(self) -> None:
        """All is written, and then done."""
        paper = self.job.paper
        assert paper is not None
        while paper.waits:
            cut = paper.cut(self.job.row(owner="o", now=1.0), self.job.core.counted())
            self.journal.write(cut.rows)
            for act in cut.acts:
                act()

    def die(self) -> None:
        """A successor takes over; the Mapper has what it had."""
        before = face(self.job)
        self.job = restored(self.journal)
        self.job.core.validate()
        assert face(self.job) == before
        self.job.core.held("m", self.out, day=0)  # type: ignore[attr-defined]
        self.job.core.validate()

    def hand_out(self) -> None:
        """The Mapper is given what it has room for."""
        for send in self.job.core.hand_out():
            first = self.job.core.book.firsts[send.piece.block]
            self.out += range(first + send.piece.start, first + send.piece.stop)

    def show(self, answers: list[ItemDone]) -> None:
        """Readers may know of these; there is no Reducer to be told."""
        assert all(isinstance(one, Absorb) for one in self.job.take(answers))

    def answer(self, done: ItemDone) -> None:
        """The Mapper answers; what was answered is shown when it is written."""
        self.paid += done.cost
        outcome = self.job.core.judge("m", [done])
        assert self.job.paper is not None
        self.job.paper.outcome(outcome)
        self.job.paper.then(partial(self.show, outcome.answers))
        self.write()

    def step(self, act: str) -> None:
        """Something happens."""
        job, paper, rng = self.job, self.job.paper, self.rng
        assert paper is not None
        if act == "block" and not job.core.sealed:
            count = rng.randint(0, 5)
            paper.block(job.core.add_block(count), count, b"")
        elif act == "seal" and not job.core.sealed:
            job.core.seal()
            paper.note("sealed")
        elif act in ("answer", "park") and self.out:
            item = self.out.pop(rng.randrange(len(self.out)))
            cost = rng.choice([-1, 0, 3])
            common = {"attempts": rng.randint(0, 2), "cost": cost, "model": rng.choice(["", "a/x"])}
            self.paid += cost < 0
            if act == "park":
                self.answer(ItemDone(item, ASKS, parked=b"memo", **common))  # type: ignore[arg-type]
            else:
                wrong, stands = rng.choice([("", False), ("bad", False), ("", True)])
                self.answer(ItemDone(item, b"x", error=wrong, standing=stands, **common))  # type: ignore[arg-type]
        elif act == "twice" and job.core.done:
            self.answer(ItemDone(rng.choice(job.core.book.picked(["failed"]) or [0]), b"y", attempts=1, cost=2))
        elif act == "approve" and len(job.core.parking):
            [waiting, *_] = job.core.parking.waiting("", "", now=0.0)
            said = (waiting.item, rng.choice(waiting.asks).path, Verdict(approved=True))
            paper.note("verdict", said)
            job.core.resume(*said)
        elif act == "again":
            picked = job.core.book.picked([rng.choice(["failed", "standing"])])
            if picked:
                paper.note("again", picked)
                job.tried_again(picked)
        self.write()
        self.hand_out()
        self.job.core.validate()


@settings(max_examples=200)
@example(["again", "answer", "twice", "answer"], 786_084)  # told twice, of unknown price, and asked for nothing
@given(
    st.lists(
        st.sampled_from(["block", "answer", "answer", "park", "approve", "approve", "twice", "again", "die", "seal"])
    ),
    st.integers(0, 1 << 30),
)
def test_a_restored_job_is_the_job_that_was(script: list[str], seed: int) -> None:
    """Whatever was answered, parked, approved, or tried again: counts, bill, eras and questions are the same."""
    life = Life(JobSpec("j", "t", "m:C", b"", b"", width=2, journal="ahead"), random.Random(seed))
    life.step("block")
    for act in script:
        if act == "die":
            life.die()
        else:
            life.step(act)
    life.die()


def grown() -> Life:
    """A job of four items whose tree grows."""
    spec = JobSpec("j", "t", "m:C", b"", b"", reduces=True, grows=True, keep=False, journal="ahead")
    life = Life(spec, random.Random(0))
    assert life.job.paper is not None
    life.job.paper.block(life.job.core.add_block(4), 4, b"")
    life.write()
    life.hand_out()
    return life


def merge(life: Life, *told: NodesDone) -> None:
    """A Reducer tells of nodes."""
    for message in told:
        new, extra = life.job.judge(message)
        assert life.job.paper is not None
        life.job.paper.merged(new, extra, grows=life.job.core.spec.grows)
        life.write()
        life.job.settle(new)


LOW, TOP = node_id(1, 0, 2), node_id(2, 0, 4)


def test_a_tree_that_grows_is_restored_at_each_moment() -> None:
    """What is not merged is known to a new Reducer; nodes told twice are billed and count once; the root ends it."""
    life = grown()
    life.die()
    for item in range(4):
        life.answer(ItemDone(item, b"%d" % item, attempts=1, cost=1))
        life.die()
    low = NodesDone("j", (ItemDone(LOW, b"low", attempts=1, cost=1),), children=((0, 1),))
    top = NodesDone("j", (ItemDone(TOP, b"top", attempts=1, cost=1),), children=((LOW, 2, 3),), root=TOP)
    for message in (low, low, top):
        merge(life, message)
        life.die()
    life.step("seal")
    assert (life.job.core.finished, life.job.core.nodes.root, life.job.core.bill.cost) == (True, TOP, 7)


def test_a_growing_trees_root_may_be_known_later() -> None:
    """It is told once more when the job is sealed; that is a row of its own and costs nothing."""
    life = grown()
    for item in range(4):
        life.answer(ItemDone(item, b"x", attempts=1, cost=1))
    merge(life, NodesDone("j", (ItemDone(TOP, b"top", attempts=1, cost=1),), children=((0, 1, 2, 3),)))
    life.step("seal")
    merge(life, NodesDone("j", (ItemDone(TOP, b"top"),), children=((TOP,),), root=TOP))
    life.die()
    assert (life.job.core.nodes.root, life.job.core.bill.cost, life.job.log.end) == (TOP, 5, 6)


def drawn() -> Life:
    """A job of two items whose tree of two nodes was drawn before."""
    spec = JobSpec("j", "t", "m:C", b"", b"", reduces=True, journal="ahead")
    life = Life(spec, random.Random(0))
    life.journal._specs["j"] = SpecRow("j", life.job.spec, nodes=2)
    assert life.job.paper is not None
    life.job.paper.block(life.job.core.add_block(2), 2, b"")
    life.write()
    life.hand_out()
    return life


def test_a_drawn_trees_answers_are_told_again() -> None:
    """Nodes from the root down, then items; of what was tried again the last answer, and no node from before."""
    life = drawn()
    life.answer(ItemDone(0, b"a", cost=1))
    life.answer(ItemDone(1, error="bad"))
    merge(life, NodesDone("j", (ItemDone(7, b"n", cost=1),)))
    job = restored(life.journal)
    told = [one for one in job.retold() if isinstance(one, Absorb)]
    assert [[done.item for done in one.nodes] for one in told] == [[7], []]
    assert [[done.item for done in one.items] for one in told] == [[], [0, 1]]
    assert life.job.paper is not None
    life.job.paper.note("again", [1])
    life.job.tried_again([1])
    life.write()
    job = restored(life.journal)
    told = [one for one in job.retold() if isinstance(one, Absorb)]
    assert [[done.item for done in one.items] for one in told] == [[0]]
    assert (job.core.nodes.done, job.core.bill.cost, job.core.book.eras) == (0, 2, {1: 1})


def test_answers_that_were_told_twice_are_passed_over() -> None:
    """By their serials; those of an earlier life of the sender are taken, and don't hide what follows."""
    paper = Paper(JobRow("j", "open"), serials={"m": 4})
    assert paper.skip("m", 3, 4) == 3
    assert paper.skip("m", 3, 5) == 2
    assert paper.skip("m", 2, 40) == 0
    assert paper.skip("m", 1, 6) == 0
    assert paper.skip("m", 2, 6) == 2
    assert paper.skip("n", 2, 0) == 0
    paper.forget("m")
    assert paper.skip("m", 1, 1) == 0
    paper.touch()
    row = JobRow("j", "running", updated=1.0)
    assert [(one.name, one.value) for one in paper.cut(row, {}).rows.values] == [(f"{HEARD}j/m", b"1")]
    paper.end(lambda: None)
    done = paper.cut(msgspec.structs.replace(row, state="done"), {}).rows
    assert [(one.name, one.value) for one in done.values] == [(f"{HEARD}j/m", b"")]
    assert [one.state for one in done.jobs] == ["done"]


def test_a_later_life_of_a_sender_hides_nothing_and_is_not_hidden() -> None:
    """A job that begins anew hears late answers of its earlier life first: those that follow count all the same."""
    paper = Paper(JobRow("j", "open"))
    old, new = 7 << LIFE_BITS, 8 << LIFE_BITS
    assert paper.skip("m", 2, old + 2) == 0
    assert paper.skip("m", 1, new + 1) == 0
    assert paper.skip("m", 2, new + 2) == 1
    assert paper.skip("m", 1, old + 3) == 0
    assert paper.skip("m", 3, new + 3) == 2
    paper.forget("m")
    assert paper.skip("m", 1, new + 9) == 0
    assert paper.skip("m", 2, new + 10) == 1


def test_an_unknown_price_is_written_though_nothing_else_was_used() -> None:
    """An item that waited for people and went on without a request is on the bill again as it was."""
    life = Life(JobSpec("j", "t", "m:C", b"", b"", journal="ahead"), random.Random(1))
    for act in ("block", "park", "approve", "approve"):
        life.step(act)
        life.hand_out()
    for item in list(life.out):
        life.out.remove(item)
        life.answer(ItemDone(item, b"x", cost=-1))
    life.die()


def test_a_day_s_spending_is_counted_once() -> None:
    """What the job has spent is written as a whole, without what is held back for merging."""
    life = Life(
        JobSpec("j", "t", "m:C", b"", b"", item_cost=5, held_back=0, tenant="t", journal="ahead"), random.Random(1)
    )
    life.step("block")
    life.step("block")
    for item in list(life.out)[:2]:
        life.answer(ItemDone(item, b"", attempts=1, cost=3))
    [spent] = life.journal._spent.values()
    assert spent.amount == 6
    spending = Spending()
    spending.load("", 6, day=spent.day)
    job = restored(life.journal, spending=spending)
    assert job.core.counted() == {spent.day: 6}
    assert spending.spent(None, day=spent.day) == 6


def test_items_that_were_begun_are_said_to_be() -> None:
    """Whoever is given them looks for steps that are finished."""
    life = Life(JobSpec("j", "t", "m:C", b"", b"", width=9, journal="ahead"), random.Random(5))
    assert life.job.paper is not None
    life.job.paper.block(life.job.core.add_block(3), 3, b"")
    life.write()
    steps = [StepRow("j", 1, 0, "p", b"", b"")]
    job = restored(life.journal)
    job.core.begin_anew({}, [step.item for step in steps])  # type: ignore[attr-defined]
    job.core.mapper_up("m")
    [send] = job.core.hand_out()
    assert send.piece.eras == {1: 0}
