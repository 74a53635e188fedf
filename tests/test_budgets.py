"""Budgets of a day, against a naive reference that adds everything up each time."""

from hypothesis import given
from hypothesis import strategies as st

from understudy.supervisors.budgets import NO_LIMIT, Purse, Spending

LIMITS = st.sampled_from([-1, 0, 5, 30])
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["reserve", "reserve", "settle"]),
        st.integers(0, 2),
        st.integers(0, 12),
        st.integers(0, 1),
        st.integers(0, 20),
    ),
    max_size=60,
)
TENANTS = ("a", "a", "b")


@given(st.tuples(LIMITS, LIMITS), LIMITS, STEPS)
def test_reservations_are_those_of_a_naive_book(
    own: tuple[int, int], everybody: int, steps: list[tuple[str, int, int, int, int]]
) -> None:
    """A reservation is given exactly when what is counted and reserved, added up anew, leaves room in both budgets."""
    spending = Spending()
    limits = {"a": own[0], "b": own[1]}
    purses = [Purse(spending, tenant, own=limits[tenant], everybody=everybody) for tenant in TENANTS]
    open_ones: list[tuple[int, int, int]] = []  # (purse, day, amount)
    counted: list[tuple[str, int, int]] = []  # (tenant, day, amount)

    def total(tenant: str | None, day: int) -> int:
        held = sum(amount for who, when, amount in open_ones if when == day and tenant in (None, TENANTS[who]))
        return held + sum(amount for who, when, amount in counted if when == day and tenant in (None, who))

    for act, number, amount, day, pick in steps:
        if act == "reserve":
            tenant = TENANTS[number]
            rooms = [
                limit - total(who, day) for who, limit in ((tenant, limits[tenant]), (None, everybody)) if limit >= 0
            ]
            given_out = purses[number].reserve(amount, day=day)
            assert given_out == (amount == 0 or all(amount <= room for room in rooms))
            if given_out:
                open_ones.append((number, day, amount))
        elif open_ones:
            who, when, reserved = open_ones.pop(pick % len(open_ones))
            spent = min(amount, reserved)
            purses[who].settle(reserved, spent, day=when)
            counted.append((TENANTS[who], when, spent))
        for day_seen in (0, 1):
            for scope in ("a", "b", None):
                assert spending.spent(scope, day=day_seen) == sum(
                    cost for who_paid, when, cost in counted if when == day_seen and scope in (None, who_paid)
                )


def test_what_is_lacking_is_named() -> None:
    """The tenant's budget is named before everybody's, and reservations of others are hoped for."""
    spending = Spending()
    purse = Purse(spending, "search", own=3 * 10**12, everybody=5 * 10**12)
    assert purse.reserve(3 * 10**12, day=1)
    assert not purse.reserve(1, day=1)
    assert purse.lack(10**12, day=1) == ""
    purse.settle(3 * 10**12, 3 * 10**12, day=1)
    assert purse.lack(1, day=1) == "the day's budget of $3.0000 of tenant 'search' is used up"
    other = Purse(spending, "other", everybody=5 * 10**12)
    assert other.left(day=1) == 2 * 10**12
    assert other.lack(3 * 10**12, day=1) == "the day's budget of $5.0000 is used up"


def test_a_settlement_that_is_dearer_closes_the_purse() -> None:
    """Retries can cost more than was reserved: it is counted, and nothing more is given."""
    purse = Purse(Spending(), "t", own=10)
    assert purse.reserve(4, day=0)
    purse.settle(4, 12, day=0)
    assert purse.left(day=0) == 0
    assert not purse.reserve(1, day=0)
    assert purse.reserve(0, day=0)


def test_no_limit() -> None:
    """Without bounds everything is given, and still counted for those who have one."""
    spending = Spending()
    free = Purse(spending)
    assert free.left(day=0) == NO_LIMIT
    assert free.reserve(10**15, day=0)
    free.settle(10**15, 10**15, day=0)
    assert Purse(spending, everybody=10).left(day=0) == 0


def test_days_before_yesterday_are_forgotten() -> None:
    """Memory holds two days; an answer that comes later still changes nothing and breaks nothing."""
    spending = Spending()
    purse = Purse(spending, "t", own=10)
    for day in range(100, 110):
        assert purse.reserve(5, day=day)
        purse.settle(5, 5, day=day)
    assert [day for day in range(100, 110) if spending.spent("t", day=day)] == [108, 109]
    purse.settle(5, 5, day=101)
    assert spending.spent("t", day=101) == 0
