"""Judging a client by the provider's books: windows, money, duplicates, patience.

Everything is computed from the records alone, by definitions a reader can check by hand, and never from the
limiter's state: a fault of the limiter shows here. Works on a live ledger and on a downloaded one.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import NamedTuple

import msgspec

from .ledger import Record
from .settings import Quota

_SHOWN_DUPLICATES = 20


class WindowCheck(msgspec.Struct, frozen=True, kw_only=True):
    """One quota against what it accepted; ``model`` None is the key's quota over all models.

    ``max_*``: the most that any window (t - window_s, t] held. ``utilisation_*``: mean over time of what the
    window held divided by its limit, from the first full window to the last arrival; None without a limit or
    a full window. ``max_concurrency``: the most that were open at one time. ``over``: accepted requests that
    ended a window above a limit of requests or tokens; ``over_concurrency``: True if too many were open.
    """

    key: str
    model: str | None
    window_s: float
    requests: int
    max_requests: int
    limit_requests: int | None
    utilisation_requests: float | None
    max_tokens: int
    limit_tokens: int | None
    utilisation_tokens: float | None
    max_concurrency: int
    limit_concurrency: int | None
    over: int
    over_concurrency: bool


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """The totals of a ledger.

    ``prompt_tokens`` and ``completion_tokens`` are of the replies that left in whole (outcome ok),
    ``accepted_tokens`` of all that passed the quotas. ``cost``: dollars, exact. ``violations``: the sum of
    the windows' ``over``, and one for each with too many open. ``duplicate_calls``: ok replies beyond the
    first to the same user messages; ``duplicates`` shows the most repeated ones by content hash.
    ``early_calls``: requests that came before a Retry-After their key had been told. ``lost``: requests past
    the ledger's cap, in no other number here.
    """

    requests: int
    lost: int
    outcomes: dict[str, int]
    accepted: int
    refused_429: int
    prompt_tokens: int
    completion_tokens: int
    accepted_tokens: int
    cost: str
    windows: list[WindowCheck]
    violations: int
    peak_concurrency: int
    duplicate_calls: int
    duplicates: dict[str, int]
    early_calls: int


def summarise(
    records: Sequence[Record],
    quota: Quota,
    model_quotas: Mapping[str, Quota] | None = None,
    *,
    lost: int = 0,
    slack_s: float = 0.05,
) -> Summary:
    """Judge records against the quotas they were served under; ``slack_s`` is for ``early_calls``."""
    answered = [record for record in records if record.outcome == "ok"]
    accepted = [record for record in records if record.accepted]
    windows = check_windows(accepted, quota, model_quotas or {})
    repeats = {hashed: n for hashed, n in Counter(r.content_hash for r in answered).most_common() if n > 1}
    outcomes = Counter(record.outcome for record in records)
    return Summary(
        requests=len(records),
        lost=lost,
        outcomes={str(outcome): count for outcome, count in sorted(outcomes.items())},
        accepted=len(accepted),
        refused_429=outcomes["refused_429"],
        prompt_tokens=sum(record.prompt_tokens for record in answered),
        completion_tokens=sum(record.completion_tokens for record in answered),
        accepted_tokens=sum(record.prompt_tokens + record.completion_tokens for record in accepted),
        cost=format(sum((Decimal(record.cost) for record in records), Decimal(0)), "f"),
        windows=windows,
        violations=sum(window.over + window.over_concurrency for window in windows),
        peak_concurrency=peak_concurrency(accepted),
        duplicate_calls=sum(count - 1 for count in repeats.values()),
        duplicates=dict(list(repeats.items())[:_SHOWN_DUPLICATES]),
        early_calls=len(early_calls(records, slack_s=slack_s)),
    )


def check_windows(accepted: Iterable[Record], quota: Quota, model_quotas: Mapping[str, Quota]) -> list[WindowCheck]:
    """One check a key, and one a key and model that has a quota of its own."""
    by_scope: dict[tuple[str, str | None], list[Record]] = {}
    for record in sorted(accepted, key=lambda record: record.t):
        by_scope.setdefault((record.key, None), []).append(record)
        if record.model in model_quotas:
            by_scope.setdefault((record.key, record.model), []).append(record)
    return [
        _check(key, model, members, quota if model is None else model_quotas[model])
        for (key, model), members in by_scope.items()
    ]


def _check(key: str, model: str | None, records: list[Record], quota: Quota) -> WindowCheck:
    load = _sweep(records, quota)
    most_open = peak_concurrency(records)
    return WindowCheck(
        key=key,
        model=model,
        window_s=quota.window_s,
        requests=len(records),
        max_requests=load.max_requests,
        limit_requests=quota.rpm,
        utilisation_requests=utilisation([(r.t, 1) for r in records], quota.rpm, quota.window_s),
        max_tokens=load.max_tokens,
        limit_tokens=quota.tpm,
        utilisation_tokens=utilisation([(r.t, _tokens(r)) for r in records], quota.tpm, quota.window_s),
        max_concurrency=most_open,
        limit_concurrency=quota.concurrency,
        over=load.over,
        over_concurrency=_passes(most_open, quota.concurrency),
    )


class _Load(NamedTuple):
    max_requests: int
    max_tokens: int
    over: int


def _sweep(records: list[Record], quota: Quota) -> _Load:
    """Slide the window (t - W, t] over every arrival t of records in order of time."""
    start = tokens = max_requests = max_tokens = over = 0
    for index, record in enumerate(records):
        tokens += _tokens(record)
        while records[start].t <= record.t - quota.window_s:
            tokens -= _tokens(records[start])
            start += 1
        requests = index - start + 1
        max_requests = max(max_requests, requests)
        max_tokens = max(max_tokens, tokens)
        over += _passes(requests, quota.rpm) or _passes(tokens, quota.tpm)
    return _Load(max_requests, max_tokens, over)


def _passes(load: int, limit: int | None) -> bool:
    return limit is not None and load > limit


def _tokens(record: Record) -> int:
    return record.prompt_tokens + record.completion_tokens


def utilisation(arrivals: Sequence[tuple[float, int]], limit: int | None, window_s: float) -> float | None:
    """Mean of (what the sliding window holds / limit) over [first arrival + window, last arrival].

    ``arrivals``: (t, weight) in order of time. Exact: an arrival at t is in the window during [t, t +
    window), so the integral is the sum of the overlaps of those intervals with the time looked at.
    """
    if not limit or not arrivals:
        return None
    begin, end = arrivals[0][0] + window_s, arrivals[-1][0]
    if end <= begin:
        return None
    held = sum(max(0.0, min(t + window_s, end) - max(t, begin)) * weight for t, weight in arrivals)
    return held / (end - begin) / limit


def peak_concurrency(accepted: Iterable[Record]) -> int:
    """The most accepted requests that were open at one time; one without an end is open for ever."""
    changes: list[tuple[float, int]] = []
    for record in accepted:
        changes.append((record.t, 1))
        if record.t_end is not None:
            # An answer in the same tick of the clock still was one open request.
            changes.append((max(record.t_end, record.t + 1e-9), -1))
    open_now = peak = 0
    for _, change in sorted(changes):
        open_now += change
        peak = max(peak, open_now)
    return peak


def early_calls(records: Sequence[Record], *, slack_s: float) -> list[Record]:
    """Requests of a key that came in the time a 429 had told it to wait, less ``slack_s`` at both ends.

    The slack after the refusal lets go what was on its way while the 429 travelled; the slack before its end
    is the clocks' and the loop's.
    """
    early: list[Record] = []
    for key in {record.key for record in records if record.retry_after_s is not None}:
        early += _early_of_key(sorted((r for r in records if r.key == key), key=lambda r: r.t), slack_s)
    return sorted(early, key=lambda record: record.ordinal)


def _early_of_key(records: list[Record], slack_s: float) -> list[Record]:
    bans = sorted(
        ((r.t if r.t_end is None else r.t_end) + slack_s, r.t + r.retry_after_s - slack_s)
        for r in records
        if r.retry_after_s is not None
    )
    early: list[Record] = []
    begun, until = 0, float("-inf")
    for record in records:
        while begun < len(bans) and bans[begun][0] < record.t:
            until = max(until, bans[begun][1])
            begun += 1
        if record.t < until:
            early.append(record)
    return early


def summary_to_json(summary: Summary) -> bytes:
    """A summary as one JSON object."""
    return msgspec.json.encode(summary)


def summary_from_json(data: bytes) -> Summary:
    """The summary in such an object. Raises msgspec.ValidationError for anything else."""
    return msgspec.json.decode(data, type=Summary)
