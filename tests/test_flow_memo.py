"""What a run has finished is kept by path, travels as bytes, and is let go with what is inside it."""

from hypothesis import given
from hypothesis import strategies as st

from understudy.protocols.workflow.result import StepRecord
from understudy.supervisors.workflow.memo import Memo, Undone

paths = st.lists(st.sampled_from(["/0", "/1", "/10", "#1", "~1"]), max_size=4).map(lambda parts: "run" + "".join(parts))
json = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**53), 2**53), st.text(max_size=5), st.lists(st.integers(0, 9))
)


def inside(path: str, outer: str) -> bool:
    """Whether a step stands in another one, by its parts."""
    split = path.replace("#", "/#").replace("~", "/~").split("/")
    around = outer.replace("#", "/#").replace("~", "/~").split("/")
    return split[: len(around)] == around and split != around


@given(st.lists(st.tuples(paths, json, st.booleans()), max_size=12))
def test_what_is_kept_is_what_was_finished_last(steps: list[tuple[str, object, bool]]) -> None:
    """A step's end takes the place of all that was kept inside it, and of nothing else; all survives its travel."""
    memo = Memo()
    naive: dict[str, object] = {}
    for path, what, fails in steps:
        if path in naive:
            continue  # a step that is kept does not end again
        naive = {known: one for known, one in naive.items() if not inside(known, path)}
        naive[path] = "failed: it" if fails else what
        if fails:
            memo.keep_failure(path, "failed: it", [Undone(b"{}", path, b"{}")])
        else:
            memo.keep(path, what, [Undone(b"{}", path, b"{}")])
    again = Memo(memo.encoded([], [], degraded=True, review=False))
    assert {path for path in naive if path in again} == set(naive)
    assert {*again.kept.values, *again.kept.failures} == set(naive)
    assert {path: again.failure(path) or again.value(path) for path in naive} == naive
    assert {*again.kept.undo} == set(naive)
    assert (again.kept.degraded, again.kept.review) == (True, False)


def test_nothing_is_kept_where_nobody_goes_on() -> None:
    """A run without approvals does not pay for what it would never use."""
    memo = Memo(keeps=False)
    memo.keep("run", 1)
    memo.keep_failure("run/0", "why")
    assert "run" not in memo
    assert "run/0" not in memo


def test_records_travel_with_it() -> None:
    """How steps ended is still known when the run goes on."""
    record = StepRecord("run/0", "call", "skipped", 0.5, 0.25, "draft")
    memo = Memo(Memo().encoded([record], [], degraded=False, review=True))
    assert memo.kept.records == [record]
    assert memo.kept.review
