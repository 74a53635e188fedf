"""Groups for merging: consecutive, complete, within the budget where that is possible, and always fewer."""

from hypothesis import given
from hypothesis import strategies as st

from understudy.supervisors.digest.collapse import groups


@given(st.lists(st.integers(0, 50), max_size=60), st.integers(1, 120))
def test_groups_cover_everything_in_order(sizes: list[int], budget: int) -> None:
    """Each place is in exactly one group, in order; a group of three or more fits the budget."""
    found = groups(sizes, budget)
    assert [place for group in found for place in group] == list(range(len(sizes)))
    for group in found:
        if len(group) > 2:
            assert sum(sizes[place] for place in group) <= budget
    for group in found[:-1]:
        assert len(group) >= 2
    if sum(sizes) <= budget:
        assert len(found) == 1


@given(st.lists(st.integers(0, 500), min_size=2, max_size=200), st.integers(1, 100), st.integers(1, 500))
def test_merging_in_rounds_ends(sizes: list[int], budget: int, answer: int) -> None:
    """However large the answers are, merging group by group leads to one."""
    for _ in range(20):
        found = groups(sizes, budget)
        if len(found) == 1:
            return
        assert len(found) < len(sizes)
        sizes = [answer] * len(found)
    raise AssertionError("merging does not end")
