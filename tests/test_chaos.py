"""The chaos harness judged by hand-made ledgers: a judge that can't fail proves nothing."""

import itertools
import json
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaos import judge, plan, processes
from chaos.driver import job_of
from understudy.cluster.simulator import Quota, Record
from understudy.cluster.simulator.ledger import Outcome
from understudy.protocols.config import DigestSettings
from understudy.supervisors.digest.plan import Planner, TextFile


def _record(ordinal: int, content: str, t: float, end: float | None, outcome: Outcome = "ok", **more: bool) -> Record:
    accepted = more.get("accepted", True)
    return Record(
        ordinal=ordinal, t=t, wall=0.0, key="k", content_hash=content, t_end=end, outcome=outcome, accepted=accepted
    )


_ENDS: tuple[Outcome, ...] = ("ok", "cancelled")
_SPANS = st.lists(
    st.tuples(st.sampled_from("abcdef"), st.floats(0, 100), st.floats(0, 20), st.sampled_from(_ENDS)),
    max_size=30,
)


@given(spans=_SPANS, times=st.lists(st.floats(0, 110), max_size=6))
def test_consequences_are_what_a_reader_would_count(
    spans: list[tuple[str, float, float, Outcome]], times: list[float]
) -> None:
    """In flight, sent again and the pause after each kill agree with a count over all records."""
    records = [_record(at, one, t, t + took, end) for at, (one, t, took, end) in enumerate(spans)]
    kills = [judge.Kill(t, "mapper", 1) for t in sorted(times)]
    for found, kill in zip(judge.consequences(records, kills), kills, strict=True):
        open_ = [one for one in records if one.t <= kill.t and one.t_end is not None and kill.t < one.t_end]
        assert found.in_flight == len(open_)
        assert found.again == sum(
            any(other.content_hash == one.content_hash and other.t > one.t for other in records) for one in open_
        )
        later = [one.t - kill.t for one in records if one.t > kill.t]
        assert found.pause_s == (min(later) if later else -1.0)


def test_paid_twice_counts_also_what_was_never_heard() -> None:
    """A request that was taken on and cut counts as paid; one that was refused does not."""
    records = [
        _record(0, "a", 0, 1),
        _record(1, "a", 2, 3),
        _record(2, "b", 0, 1, "cancelled"),
        _record(3, "b", 2, 3),
        _record(4, "c", 0, 1, "refused_429", accepted=False),
        _record(5, "c", 2, 3),
    ]
    assert judge.paid(records) == judge.Paid(contents=3, accepted=5, answered_twice=1, accepted_twice=2)


def test_answer_that_was_lost_between_provider_and_journal_is_seen() -> None:
    """What is sent again though it was not in flight at a kill is counted apart."""
    records = [_record(0, "a", 0, 1), _record(1, "a", 2, 3), _record(2, "b", 0, 5), _record(3, "b", 6, 7)]
    assert judge.out_of_sight(records, [judge.Kill(1.5, "mapper", 1)]) == 1
    assert judge.out_of_sight(records, [judge.Kill(0.5, "mapper", 1)]) == 0
    assert judge.out_of_sight(records, []) == 2


def test_what_no_death_explains_is_seen() -> None:
    """Sent again after a Mapper's death is explained; after a Journal's, before any, or long after one it is not."""
    records = [_record(0, "a", 0, 1), _record(1, "a", 2, 3), _record(2, "a", 6, 7), _record(3, "b", 1, 5)]
    assert judge.unexplained(records, []) == 2
    assert judge.unexplained(records, [judge.Kill(1.5, "journal", 1), judge.Kill(4.0, "supervisor", 1)]) == 2
    assert judge.unexplained(records, [judge.Kill(1.5, "mapper", 1)]) == 1
    assert judge.unexplained(records, [judge.Kill(1.5, "mapper", 1), judge.Kill(4.0, "node", 1)]) == 0


@given(spans=_SPANS, times=st.lists(st.floats(0, 110), max_size=6))
def test_explained_is_what_a_reader_would_call_so(
    spans: list[tuple[str, float, float, Outcome]], times: list[float]
) -> None:
    """The count agrees with one that looks at each pair of neighbours of one content."""
    records = [_record(at, one, t, t + took, end) for at, (one, t, took, end) in enumerate(spans)]
    kills = [judge.Kill(t, "reducer", 1) for t in times]
    naive = 0
    for content in {one.content_hash for one in records}:
        mine = sorted(one.t for one in records if one.content_hash == content)
        naive += sum(not any(a <= t <= b for t in times) for a, b in itertools.pairwise(mine))
    assert judge.unexplained(records, kills) == naive


def test_quota_that_was_passed_is_seen() -> None:
    """Three requests within a window of two are one too many; a refusal counts, too."""
    records = [_record(at, str(at), float(at), at + 0.5) for at in range(3)]
    assert judge.passed_quota(records, Quota(rpm=2, window_s=10.0)) == 1
    assert judge.passed_quota(records, Quota(rpm=3, window_s=10.0)) == 0
    assert judge.fullest_window(records, Quota(rpm=3, window_s=10.0)) == 3
    refused = [*records, _record(3, "x", 3.0, 3.1, "refused_429", accepted=False)]
    assert judge.passed_quota(refused, Quota(rpm=3, window_s=10.0)) == 1


def test_lost_and_doubled_files_are_seen() -> None:
    """A file without a text that names it is lost; one that stands there twice is doubled."""

    def entry(path: str, state: str = "summarised", text: str = "") -> dict[str, str]:
        return {"path": path, "kind": "file", "state": state, "text": text or f"about {path}"}

    root = {"path": "", "kind": "folder", "state": "summarised", "text": "all"}
    whole = {"entries": [root, entry("a"), entry("b")]}
    assert judge.lost_and_doubled(whole, ["a", "b"]) == (0, 0)
    assert judge.lost_and_doubled({"entries": []}, ["a", "b"]) == (2, 0)
    wrong = {"entries": [entry("a"), entry("a"), entry("b", "failed"), entry("c", text="of another")]}
    assert judge.lost_and_doubled(wrong, ["a", "b", "c"]) == (2, 1)


def test_each_bar_can_be_missed() -> None:
    """What is wrong alone misses its own bar, and no other."""
    followed = [judge.Consequence(judge.Kill(1.0, "mapper", 1), in_flight=5, again=1, pause_s=0.1)]
    fine = judge.Paid(10, 12, 0, 2)

    def missed(
        cost: judge.Paid = fine,
        *,
        needless: int = 0,
        quota: int = 0,
        lost: int = 0,
        doubled: int = 0,
        codes: tuple[int, ...] = (0,),
    ) -> list[str]:
        bars = judge.bars(cost, followed, needless=needless, quota=quota, lost=lost, doubled=doubled, codes=codes)
        return [bar for bar, met in bars.items() if not met]

    assert missed() == []
    assert missed(judge.Paid(10, 16, 0, 6)) == ["calls paid twice <= in flight at kills"]
    assert missed(needless=1) == ["only a mapper's, reducer's or node's death costs calls"]
    assert missed(quota=1) == ["no quota passed"]
    assert missed(lost=1) == ["0 items lost"]
    assert missed(doubled=1) == ["0 items twice in the result"]
    assert missed(codes=(1, 0)) == ["no driver gave up by itself"]
    assert missed(codes=(3,)) == ["driver ends with 0"]
    assert "driver ends with 0" in missed(codes=())


@given(seed=st.integers(0, 2**32))
def test_timetable_is_the_seed_s(seed: int) -> None:
    """The same seed kills the same roles at the same times; every pause is 3 to 8 s."""
    drawn = [list(itertools.islice(plan.kills(random.Random(seed), plan.ROLES), 50)) for _ in range(2)]
    assert drawn[0] == drawn[1]
    assert all(3.0 <= pause <= 8.0 and role in plan.ROLES for pause, role in drawn[0])


@pytest.mark.parametrize(("seconds", "items"), [(600.0, 10_000), (90.0, 1_500), (900.0, 10_000), (3.0, 100)])
def test_work_lasts_as_long_as_wanted(seconds: float, items: int) -> None:
    """The quota alone makes the map calls take the seconds that were asked for, to a tenth."""
    made = plan.plan(seconds, 1)
    assert made.items == items
    assert made.items / made.rpm * plan.WINDOW_S == pytest.approx(seconds, rel=0.1)


def test_unknown_role_is_named() -> None:
    """A role that is not there, and no time at all, are refused."""
    with pytest.raises(ValueError, match="no such role: poet"):
        plan.plan(60.0, 1, roles=["poet"])
    with pytest.raises(ValueError, match="more than 0"):
        plan.plan(0.0, 1)
    with pytest.raises(ValueError, match="more than 0"):
        plan.plan(60.0, 1, node_s=0.0)


def test_second_node_is_for_long_runs_or_who_asks() -> None:
    """A run of ten minutes has one, a shorter one where it is said; it dies every two minutes unless told otherwise."""
    assert plan.plan(600.0, 1).node_s == plan.NODE_S
    assert plan.plan(90.0, 1).node_s == 0.0
    assert plan.plan(600.0, 1, node=False).node_s == 0.0
    assert plan.plan(90.0, 1, node=True, node_s=45.0).node_s == 45.0


def test_files_are_all_different() -> None:
    """No two files are alike, in path or text, so that a content names an item."""
    made = list(plan.files(2_500))
    assert len({path for path, _ in made}) == len({text for _, text in made}) == 2_500


def test_each_file_is_one_call() -> None:
    """Small numbers and large ones: a file fills a pack of its own, and none is cut in two."""
    planner = Planner("tree", DigestSettings(map_budget=256, map_answer=100))
    for path, text in itertools.islice(plan.files(10_000), 900, 1_300):
        planner.add(TextFile(path, text, len(text)))
    packs = planner.finish().packs
    assert len(packs) == 400
    assert {len(pack.chunks) for pack in packs} == {1}


@pytest.mark.parametrize(
    ("title", "role"),
    [
        ("ray::Mapper", "mapper"),
        ("ray::Mapper.watch   ", "mapper"),
        ("ray::JournalActor.append", "journal"),
        ("ray::Director", "director"),
        ("ray::IDLE", ""),
        ("ray::MapperOfOthers", ""),
        ("python -m mapper", ""),
    ],
)
def test_role_is_told_by_the_title(title: str, role: str) -> None:
    """Only processes that Ray has titled as our actors are anybody's prey."""
    assert processes.role_of(title) == role


def test_job_is_found_among_the_listed() -> None:
    """The digest's id, in a list or under a key; none yet; several are an error."""
    listed = [{"id": "digest-1", "state": "open"}, {"id": "louder-2"}]
    assert job_of(json.dumps(listed).encode()) == "digest-1"
    assert job_of(json.dumps({"jobs": listed}).encode()) == "digest-1"
    assert job_of(b"[]") == ""
    with pytest.raises(ValueError, match="several"):
        job_of(json.dumps([*listed, {"id": "digest-3"}]).encode())
