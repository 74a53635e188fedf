"""A budget that many calls share is never passed by what is given out, however they come and go."""

import dataclasses

from hypothesis import given
from hypothesis import strategies as st

from understudy.supervisors.workflow.memo import Memo
from understudy.supervisors.workflow.money import NO_LIMIT, Allowance

bounds = st.one_of(st.just(NO_LIMIT), st.integers(0, 40))


@dataclasses.dataclass
class Naive:
    """The same with a list of what is out, summed each time."""

    cost: int
    calls: int
    tokens: int
    spent: list[tuple[int, int, int]] = dataclasses.field(default_factory=list)
    out: list[tuple[int, int]] = dataclasses.field(default_factory=list)

    def fits(self, cost: int, tokens: int) -> bool:
        """Whether it would still keep all bounds if all that is out were spent in full."""
        return (
            len(self.out) + sum(one[2] for one in self.spent) + 1 <= self.calls
            and sum(one[1] for one in (*self.spent, *self.out)) + tokens <= self.tokens
            and sum(one[0] for one in (*self.spent, *self.out)) + cost <= self.cost
        )

    def never(self, cost: int, tokens: int) -> bool:
        """Whether it would not fit even if all that is out came back unspent."""
        return not Naive(self.cost, self.calls, self.tokens, self.spent).fits(cost, tokens)


@given(bounds, bounds, bounds, st.data())
def test_a_budget_is_never_passed(cost: int, calls: int, tokens: int, data: st.DataObject) -> None:
    """Under any interleaving of calls and bills: the same answers as the naive books, and no bound is passed."""
    allowance, naive = Allowance(cost, calls, tokens, "the budget"), Naive(cost, calls, tokens)
    for _ in range(data.draw(st.integers(0, 25))):
        back = data.draw(st.booleans())
        if naive.out and back:
            held = naive.out.pop(data.draw(st.integers(0, len(naive.out) - 1)))
            used = data.draw(st.integers(0, held[0])), data.draw(st.integers(0, held[1])), data.draw(st.integers(0, 1))
            allowance.settle(*held, *used[:2], calls=used[2])
            naive.spent.append(used)
        else:
            wanted = data.draw(st.integers(0, 20)), data.draw(st.integers(0, 20))
            assert allowance.fits(*wanted) == naive.fits(*wanted)
            assert bool(allowance.lack(*wanted)) == naive.never(*wanted)
            if allowance.fits(*wanted):
                allowance.reserve(*wanted)
                naive.out.append(wanted)
        allowance.validate()
        assert allowance.spent_cost + allowance.held_cost <= cost
        assert allowance.spent_calls + allowance.out <= calls
        assert allowance.spent_tokens + allowance.held_tokens <= tokens
        assert allowance.left_cost == cost - allowance.spent_cost - allowance.held_cost
    assert (allowance.spent_cost, allowance.out) == (sum(one[0] for one in naive.spent), len(naive.out))


@given(st.integers(0, 40), st.lists(st.integers(0, 20), max_size=6))
def test_a_bill_that_is_dearer_than_expected_ends_the_budget(cost: int, bills: list[int]) -> None:
    """A bill may pass what was reserved for it; then nothing more is given, and nothing is less than nothing."""
    allowance = Allowance(cost)
    for bill in bills:
        if not allowance.fits(1, 0):
            break
        allowance.reserve(1, 0)
        allowance.settle(1, 0, bill, 0)
    assert allowance.left_cost == max(0, cost - allowance.spent_cost)
    assert allowance.fits(1, 0) == (allowance.spent_cost < cost)


def test_what_is_lacking_is_named() -> None:
    """Each bound with its number."""
    assert Allowance(calls=0, name="the budget at run").lack(1, 1) == "the budget at run of 0 calls is used up"
    assert Allowance(tokens=5).lack(1, 6) == "the budget of 5 tokens has no room for 6 more"
    assert Allowance(cost=10**6).lack(10**7, 1) == "the budget of $0.000001 has no room for a call of up to $0.000010"
    assert Allowance().lack(10**12, 10**6) == ""


def test_books_are_kept_over_a_wait() -> None:
    """A budget goes on with what it has spent; other budgets are not touched."""
    memo = Memo()
    first = memo.budget("run", cost=10, name="a")
    first.reserve(4, 7)
    first.settle(4, 7, 3, 6)
    memo.keep_spent("run", first)
    again = Memo(memo.encoded([], [], degraded=False, review=False))
    second = again.budget("run", cost=10, name="a")
    assert (second.spent_cost, second.spent_calls, second.spent_tokens) == (3, 1, 6)
    assert again.budget("run/0", cost=10).spent_cost == 0
