"""Quotas as replies tell them in their headers.

Sources: OpenAI, *Rate limits*, "Rate limits in headers"; Groq, *Rate limits*; Anthropic, *Rate limits*, "Response
headers".
"""

import datetime as dt
import math
import re
from collections.abc import Mapping
from typing import Final

from .codec import LimitsTold

_UNITS: Final = {"d": 86_400.0, "h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}
_PART: Final = re.compile(r"(\d{1,12}(?:\.\d{1,12})?)(ms|us|µs|ns|d|h|m|s)", re.ASCII)
_LONGEST: Final = 32
_MINUTE_AT_MOST_S: Final = 600.0


def duration(text: str | None) -> float:
    """Seconds of `6m0s`, `20ms`, `1m30.951s` or a plain number; -1 where it is none of these."""
    if not text or len(text) > _LONGEST:
        return -1.0
    seconds, at = 0.0, 0
    while part := _PART.match(text, at):
        seconds += float(part[1]) * _UNITS[part[2]]
        at = part.end()
    if at == len(text):
        return seconds
    try:
        seconds = float(text)
    except ValueError:
        return -1.0
    return seconds if math.isfinite(seconds) and seconds >= 0 else -1.0


def number(text: str | None) -> int:
    """A count of a header; -1 where it is none."""
    return int(text) if text is not None and len(text) <= 15 and text.isascii() and text.isdigit() else -1


def openai_limits(headers: Mapping[str, str]) -> LimitsTold | None:
    """`x-ratelimit-{limit,remaining,reset}-{requests,tokens}`.

    Groq says its requests a *day* under the same name. Such a window gives itself away: what was used divided by the
    time until it is all there again is the rate. A limit that is surely none of a minute is left out.
    """
    get = headers.get
    told = LimitsTold(
        requests=number(get("x-ratelimit-limit-requests")),
        requests_left=number(get("x-ratelimit-remaining-requests")),
        requests_reset_s=duration(get("x-ratelimit-reset-requests")),
        tokens=number(get("x-ratelimit-limit-tokens")),
        tokens_left=number(get("x-ratelimit-remaining-tokens")),
        tokens_reset_s=duration(get("x-ratelimit-reset-tokens")),
    )
    if told == LimitsTold():
        return None
    used = told.requests - told.requests_left
    if told.requests_left >= 0 and used > 0 and told.requests_reset_s * told.requests / used > _MINUTE_AT_MOST_S:
        return LimitsTold(-1, -1, -1.0, told.tokens, told.tokens_left, told.tokens_reset_s)
    return told


def anthropic_limits(headers: Mapping[str, str], *, wall: float) -> LimitsTold | None:
    """`anthropic-ratelimit-{requests,tokens,input-tokens,output-tokens}-{limit,remaining,reset}`.

    Input and output tokens have quotas of their own; ours is one for both, so they are added, and none is left when one
    of them is used up. Only where they are not told apart, `tokens` is taken, which is the tightest of all quotas.
    """
    requests = _bucket(headers, "requests", wall)
    pair = [_bucket(headers, name, wall) for name in ("input-tokens", "output-tokens")]
    if all(limit >= 0 for limit, _, _ in pair):
        left = [one[1] for one in pair]
        total = 0 if 0 in left else sum(left) if min(left) > 0 else -1
        tokens = (pair[0][0] + pair[1][0], total, max(one[2] for one in pair))
    else:
        tokens = _bucket(headers, "tokens", wall)
    told = LimitsTold(*requests, *tokens)
    return None if told == LimitsTold() else told


def _bucket(headers: Mapping[str, str], name: str, wall: float) -> tuple[int, int, float]:
    prefix = f"anthropic-ratelimit-{name}-"
    reset = _seconds_until(headers.get(prefix + "reset"), wall)
    return number(headers.get(prefix + "limit")), number(headers.get(prefix + "remaining")), reset


def _seconds_until(text: str | None, wall: float) -> float:
    """Seconds until an RFC 3339 time; -1 where it is none."""
    if not text or len(text) > _LONGEST + 8:
        return -1.0
    try:
        at = dt.datetime.fromisoformat(text)
        return max(0.0, (at if at.tzinfo is not None else at.replace(tzinfo=dt.UTC)).timestamp() - wall)
    except (ValueError, OverflowError):
        return -1.0
