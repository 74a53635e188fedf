"""How long a provider asks to wait, in every form it is said."""

import datetime as dt
import email.utils
import math
from collections.abc import Mapping
from typing import Final

LONGEST_S: Final = 86_400.0
"""A provider that asks for more than a day is not believed: the rest is waited for when it says so again."""


def retry_after(headers: Mapping[str, str], *, wall: float) -> float | None:
    """Seconds to wait by `retry-after-ms`, or `Retry-After` in seconds or as an HTTP date; None where nothing is said.

    Args:
        headers: of the reply; looked up without regard to case by the caller's mapping.
        wall: seconds since the epoch, for the date form. The reply's own `Date` is preferred to it, because the two
            clocks need not agree.

    Source: RFC 9110 §10.2.3; `retry-after-ms` as OpenAI and Azure send it.
    """
    millis = _number(headers.get("retry-after-ms"))
    if millis is not None:
        return min(millis / 1000, LONGEST_S)
    value = headers.get("retry-after")
    seconds = _number(value)
    if seconds is not None:
        return min(seconds, LONGEST_S)
    at = _date(value)
    if at is None:
        return None
    # A date has whole seconds. Rounded up at both ends, so that nobody calls a fraction of a second too soon.
    said = _date(headers.get("date"))
    now = wall if said is None or abs(said - wall) < 2 else said
    return min(max(0.0, at - now), LONGEST_S)


def _number(text: str | None) -> float | None:
    try:
        value = float(text) if text is not None else None
    except ValueError:
        return None
    return value if value is not None and math.isfinite(value) and value >= 0 else None


def _date(text: str | None) -> float | None:
    if not text:
        return None
    try:
        at = email.utils.parsedate_to_datetime(text)
        # RFC 5322's zone -0000 comes without one; an HTTP date is always UTC.
        return (at if at.tzinfo is not None else at.replace(tzinfo=dt.UTC)).timestamp()
    except (ValueError, TypeError, OverflowError):
        return None
