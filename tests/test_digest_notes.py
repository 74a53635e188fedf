"""What a digest's driver leaves behind, so that another can finish its work: notes, what is left, and the report."""

from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_digest_recall import BASES, SETTINGS, Model, Remembered, digested, planned

from understudy.cluster.digest.earlier import Lookup
from understudy.cluster.digest.gather import Gathered
from understudy.cluster.digest.notes import Case, notes, read
from understudy.cluster.digest.rest import rest
from understudy.cluster.digest.submit import blocks
from understudy.cluster.jobs.meta import decode
from understudy.protocols.digest import DigestPlan, Pack
from understudy.protocols.errors import JournalPaused, UsageError
from understudy.protocols.jobs import Bill, JobSpec, Page
from understudy.protocols.journal import Recalled
from understudy.protocols.messages import ItemDone
from understudy.supervisors.digest.answer import Answer
from understudy.supervisors.digest.interpreter import DigestSpec, pack_item
from understudy.supervisors.digest.known import Earlier
from understudy.supervisors.digest.plan import TextFile

FILES = {f"{folder}/{name}.txt": f"{name} in {folder}\n" * 30 for folder in "ab" for name in "cdef"}
CASE = Case("repo", "2026-11-25T01:00:00+00:00", "out", "Why?", "repo")
EMPTY = Earlier(BASES, lambda keys: [None] * len(keys))


def noted(plan: DigestPlan) -> DigestPlan:
    return read(decode(notes(CASE, plan)).data, plan.nodes)[1]


def files(texts: dict[str, str]) -> list[TextFile]:
    return [TextFile(path, text, len(text)) for path, text in texts.items()]


def test_notes_hold_what_a_report_needs_and_no_text() -> None:
    """Files, tree, places and lines come back; the source itself is in no note, and paths are found from anywhere."""
    plan = planned(FILES)
    case, found = read(decode(notes(CASE, plan)).data, plan.nodes)
    assert (found.files, found.skipped, found.nodes) == (plan.files, plan.skipped, plan.nodes)
    for ours, theirs in zip(found.packs, plan.packs, strict=True):
        assert [msgspec.structs.replace(chunk, text="") for chunk in ours.chunks] == [
            msgspec.structs.replace(chunk, text="") for chunk in theirs.chunks
        ]
        assert not any("in a" in chunk.text for chunk in ours.chunks)
    assert (case.title, case.question) == ("repo", "Why?")
    assert Path(case.out).is_absolute()
    assert Path(case.path).is_absolute()


@given(st.integers(0, 20))
def test_what_was_not_handed_in_is_made_again(handed_in: int) -> None:
    """The same items as the first driver would have handed in."""
    plan = planned(FILES)
    made = rest(noted(plan), handed_in, SETTINGS, lambda: files(FILES), EMPTY)
    assert [pack_item(pack) for pack in made] == [pack_item(pack) for pack in plan.packs[handed_in:]]


async def test_answers_that_were_not_handed_in_are_looked_up_again() -> None:
    """So is a pack of answers; where one is forgotten there is nothing to hand in."""
    memory = Remembered()
    await digested(FILES, memory, Model())
    earlier = Earlier(BASES, memory.look)
    plan = planned(FILES, earlier)
    made = rest(noted(plan), 0, SETTINGS, lambda: files(FILES), earlier)
    assert [pack_item(pack) for pack in made] == [pack_item(pack) for pack in plan.packs]
    with pytest.raises(UsageError, match="digest the folder again"):
        rest(noted(plan), 0, SETTINGS, lambda: files(FILES), EMPTY)


def test_a_file_that_has_changed_is_not_handed_in() -> None:
    """One line says which, and that nothing is paid for twice; what was handed in already may change."""
    plan = planned(FILES)
    last = plan.packs[-1].chunks[0].path
    with pytest.raises(UsageError, match=f"{last} is not what it was"):
        rest(noted(plan), 0, SETTINGS, lambda: files(FILES | {last: "another\n" * 30}), EMPTY)
    first = plan.packs[0].chunks[0].path
    assert rest(noted(plan), 1, SETTINGS, lambda: files(FILES | {first: "another\n" * 30}), EMPTY)
    assert rest(noted(plan), len(plan.packs), SETTINGS, lambda: files({}), EMPTY) == ()


@given(st.lists(st.integers(0, 400_000), min_size=1, max_size=8), st.booleans(), st.integers(0, 5))
def test_blocks_hold_each_pack_once(sizes: list[int], later: bool, first: int) -> None:
    """In order and by their numbers, whether they come first or later."""
    packs = [Pack(first + place, (), 0, ("x" * size,)) for place, size in enumerate(sizes)]
    items: dict[int, bytes] = {}
    for count, data in blocks(packs, later=later):
        start, held = msgspec.msgpack.decode(data, type=tuple[int, list[bytes]])
        assert count == len(held)
        items |= dict(enumerate(held, start))
    assert items == {pack.id: pack_item(pack) for pack in packs}


def page(*items: ItemDone, nodes: Sequence[ItemDone] = ()) -> Page:
    return Page("running", 1, 1, True, 1, 0, 0, 0, Bill(), items=items, nodes=tuple(nodes))


def answered(number: int, text: str, **fields: object) -> ItemDone:
    data = msgspec.msgpack.encode(Answer((text,)))
    return ItemDone(number, data, model="a/m", attempts=1, input_tokens=10, cost=5, **fields)  # type: ignore[arg-type]


def test_the_later_answer_counts_and_all_are_paid_for() -> None:
    """An item that was tried again, and the node above it that was merged again."""
    plan = planned({"a.txt": "one\n"})
    spec = DigestSpec("maps", "merges", 600, 900, 12_000, "", plan.nodes)
    gathered = Gathered(plan, JobSpec("j", "a digest", "m:C", msgspec.msgpack.encode(spec), b""))
    gathered.take(page(ItemDone(0, error="it failed", attempts=2, input_tokens=7, cost=3, model="a/m")))
    gathered.take(page(nodes=[ItemDone(1, error="all 1 parts failed: it failed")]))
    assert gathered.root is not None
    assert gathered.root.error
    gathered.take(page(answered(0, "An older one.", degraded=True), nodes=[answered(1, "Old.", degraded=True)]))
    assert gathered.stale == 2
    gathered.take(page(answered(0, "A new one."), nodes=[answered(1, "New.")]))
    assert (gathered.stale, gathered.root.text, gathered.summaries[0].text) == (0, "New.", "A new one.")
    bill = gathered.bill()
    assert (bill.calls, bill.attempts, bill.input_tokens, bill.cost) == (4, 6, 47, "0.000000000023")


def test_a_journal_that_can_not_be_read_is_told_once() -> None:
    """Then all is asked anew: a look-up never stops a digest."""
    asked: list[int] = []
    warned: list[str] = []

    def ask(_: object) -> list[Recalled | None]:
        asked.append(1)
        raise JournalPaused("journal: file locked")

    lookup = Lookup(ask, warned.append)
    assert [list(lookup([b"k"])), list(lookup([b"k", b"l"]))] == [[None], [None, None]]
    assert len(asked) == 1
    assert warned == ["earlier answers can't be read, all is asked anew: journal: file locked"]
