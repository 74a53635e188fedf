"""The decision table says what the design says."""

from typing import get_args

import pytest

from understudy.protocols import errors
from understudy.protocols.decisions import TABLE
from understudy.protocols.errors import CallError, FailureKind


def kinds() -> dict[str, type[CallError]]:
    return {
        one.kind: one
        for one in vars(errors).values()
        if isinstance(one, type) and issubclass(one, CallError) and one is not CallError
    }


def test_every_kind_has_a_row_and_an_error() -> None:
    """Kinds, rows and error classes are the same set."""
    assert set(TABLE) == set(get_args(FailureKind)) == set(kinds())


@pytest.mark.parametrize(
    ("kind", "retries", "backoff", "counts", "charged", "elsewhere", "down"),
    [
        ("rate_limited", 0, False, False, False, True, False),
        ("timeout", 0, False, True, True, True, False),
        ("server", 2, True, True, True, True, False),
        ("connection", 2, True, True, True, True, False),
        ("invalid_reply", 1, False, True, True, True, False),
        ("context_too_long", 0, False, False, True, True, False),
        ("filtered", 0, False, False, True, True, False),
        ("auth", 0, False, False, True, True, True),
        ("not_found", 0, False, False, True, True, False),
        ("bad_request", 0, False, False, True, False, False),
        ("quota_impossible", 0, False, False, True, True, False),
    ],
)
def test_rows(
    kind: FailureKind, retries: int, *, backoff: bool, counts: bool, charged: bool, elsewhere: bool, down: bool
) -> None:
    """Each row: retries, back-off, counted by the breaker, charged, tried elsewhere, marking the account down."""
    row = TABLE[kind]
    assert (row.retries, row.backoff, row.counts, row.charged) == (retries, backoff, counts, charged)
    assert (row.next_candidate, row.account_down) == (elsewhere, down)


def test_the_table_can_not_be_changed() -> None:
    """It is data for all: nobody writes to it."""
    with pytest.raises(TypeError):
        TABLE["server"] = TABLE["auth"]  # type: ignore[index]
