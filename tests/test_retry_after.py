"""Retry-After in its three forms, and in every form that is none."""

import math
import time
from email.utils import formatdate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from understudy.protocols.retry_after import LONGEST_S, retry_after

WALL = 1_795_000_000.25


def date(seconds: float) -> str:
    return formatdate(seconds, usegmt=True)


@pytest.mark.parametrize(
    ("headers", "wait"),
    [
        ({}, None),
        ({"retry-after": "7"}, 7.0),
        ({"retry-after": "0.5"}, 0.5),
        ({"retry-after": " 3 "}, 3.0),
        ({"retry-after-ms": "1500"}, 1.5),
        ({"retry-after-ms": "1500", "retry-after": "9"}, 1.5),
        ({"retry-after-ms": "soon", "retry-after": "9"}, 9.0),
        ({"retry-after": date(math.ceil(WALL) + 10)}, 10.75),
        ({"retry-after": date(WALL - 60)}, 0.0),
        ({"retry-after": "1000000"}, LONGEST_S),
        ({"retry-after": "-1"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after": ""}, None),
        ({"retry-after": "tomorrow"}, None),
        ({"retry-after": "Sun, 99 Nov 2026 99:99:99 GMT"}, None),
    ],
)
def test_forms(headers: dict[str, str], wait: float | None) -> None:
    """Seconds, milliseconds and dates are read; milliseconds go first; what is none of them says nothing."""
    told = retry_after(headers, wall=WALL)
    assert told == (None if wait is None else pytest.approx(wait, abs=1e-3))


def test_a_date_is_taken_by_the_servers_own_clock() -> None:
    """Where the server's clock is minutes off, the two dates of its reply are compared with each other."""
    skewed = WALL - 600
    assert retry_after({"retry-after": date(skewed + 20), "date": date(skewed)}, wall=WALL) == 20.0


def test_a_date_without_a_zone_is_utc(monkeypatch: pytest.MonkeyPatch) -> None:
    """RFC 5322's -0000 says nothing about the place; HTTP dates are always UTC, wherever this machine stands."""
    monkeypatch.setenv("TZ", "America/New_York")
    time.tzset()
    text = date(math.ceil(WALL) + 10).replace("GMT", "-0000")
    told = retry_after({"retry-after": text}, wall=WALL)
    monkeypatch.undo()
    time.tzset()
    assert told == pytest.approx(10.75)


@given(
    st.dictionaries(
        st.sampled_from(["retry-after", "retry-after-ms", "date"]), st.text() | st.from_regex(r"[0-9 :,A-Za-z+-]{0,40}")
    ),
    st.floats(0, 4e9),
)
def test_any_header_is_a_wait_or_nothing(headers: dict[str, str], wall: float) -> None:
    """Whatever stands there: a number of seconds up to a day, or None."""
    told = retry_after(headers, wall=wall)
    assert told is None or 0.0 <= told <= LONGEST_S
