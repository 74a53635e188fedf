"""The verdict: from the provider's own ledger, the monkey's list and the report. Pure; times are monotonic seconds."""

import bisect
import dataclasses
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from understudy.cluster.simulator import Quota, Record, summarise


@dataclasses.dataclass(frozen=True, slots=True)
class Kill:
    """A process that was killed: when, which role, its id, and what it was called."""

    t: float
    role: str
    pid: int
    name: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class Consequence:
    """What a kill cost.

    Attributes:
        kill: the kill.
        in_flight: requests that were at the provider at that moment.
        again: of those, requests whose content was sent once more later.
        pause_s: until the next request arrived; -1 when none came any more.
    """

    kill: Kill
    in_flight: int
    again: int
    pause_s: float


@dataclasses.dataclass(frozen=True, slots=True)
class Paid:
    """What was paid for.

    Attributes:
        contents: distinct requests.
        accepted: requests that the provider took on, whether their answer was heard or not.
        answered_twice: answers that left in whole, beyond the first to the same content.
        accepted_twice: requests taken on beyond the first of the same content: the stricter count.
    """

    contents: int
    accepted: int
    answered_twice: int
    accepted_twice: int


def paid(records: Iterable[Record]) -> Paid:
    """Counts what was paid once and what again."""
    taken = [record for record in records if record.accepted]
    answered = Counter(record.content_hash for record in taken if record.outcome == "ok")
    accepted = Counter(record.content_hash for record in taken)
    return Paid(
        contents=len(accepted),
        accepted=len(taken),
        answered_twice=sum(answered.values()) - len(answered),
        accepted_twice=sum(accepted.values()) - len(accepted),
    )


def consequences(records: Sequence[Record], kills: Sequence[Kill]) -> list[Consequence]:
    """What followed each kill, in the order of the kills."""
    taken = sorted((record for record in records if record.accepted), key=lambda record: record.t)
    arrivals = [record.t for record in taken]
    last = {record.content_hash: record.t for record in taken}
    return [_consequence(kill, taken, arrivals, last) for kill in kills]


COSTLY: Final = ("mapper", "reducer", "node")
"""Whose death may cost calls: they have them in hand. All others' work is on disk, or can be asked for."""


def unexplained(records: Iterable[Record], kills: Sequence[Kill]) -> int:
    """Requests that were sent again though nobody of `COSTLY` was killed since the same content was sent before."""
    times = sorted(kill.t for kill in kills if kill.role in COSTLY)
    before: dict[str, float] = {}
    count = 0
    for one in sorted((record for record in records if record.accepted), key=lambda record: record.t):
        if one.content_hash in before:
            place = bisect.bisect_left(times, before[one.content_hash])
            count += place == len(times) or times[place] > one.t
        before[one.content_hash] = one.t
    return count


def out_of_sight(records: Sequence[Record], kills: Sequence[Kill]) -> int:
    """Requests that were sent again though none of that content was at the provider at any kill.

    Their answers had left the provider and were not written down yet: what the bar of the sums does not see. It is a
    figure and no bar: an answer is told after 50 ms at most and then written, and who dies within that takes it along.
    """
    taken = sorted((record for record in records if record.accepted), key=lambda record: record.t)
    times = sorted(kill.t for kill in kills)
    seen: set[str] = set()
    hidden = 0
    open_once = {one.content_hash for one in taken if _met(one, times)}
    for one in taken:
        hidden += one.content_hash in seen and one.content_hash not in open_once
        seen.add(one.content_hash)
    return hidden


def _met(record: Record, times: Sequence[float]) -> bool:
    """A kill fell into the time that the request was at the provider."""
    place = bisect.bisect_left(times, record.t)
    return place < len(times) and (record.t_end is None or times[place] < record.t_end)


def _consequence(
    kill: Kill, taken: Sequence[Record], arrivals: Sequence[float], last: Mapping[str, float]
) -> Consequence:
    after = bisect.bisect_right(arrivals, kill.t)
    open_ = [one for one in taken[:after] if one.t_end is None or kill.t < one.t_end]
    return Consequence(
        kill=kill,
        in_flight=len(open_),
        again=sum(last[one.content_hash] > one.t for one in open_),
        pause_s=arrivals[after] - kill.t if after < len(arrivals) else -1.0,
    )


def passed_quota(records: Sequence[Record], quota: Quota) -> int:
    """Requests that ended a sliding window above a limit, plus those that the provider had to refuse for it."""
    summary = summarise(records, quota)
    return summary.violations + summary.refused_429


def fullest_window(records: Sequence[Record], quota: Quota) -> int:
    """The most requests that any sliding window held."""
    return max((window.max_requests for window in summarise(records, quota).windows), default=0)


def lost_and_doubled(report: Mapping[str, Any], paths: Iterable[str]) -> tuple[int, int]:
    """Files without a summary of their own in the report, and files that stand in it more than once."""
    files = [entry for entry in report["entries"] if entry["kind"] == "file"]
    told = {entry["path"] for entry in files if entry["state"] == "summarised" and entry["path"] in entry["text"]}
    lost = sum(path not in told for path in set(paths))
    return lost, len(files) - len({entry["path"] for entry in files})


def bars(
    cost: Paid,
    followed: Sequence[Consequence],
    *,
    needless: int,
    quota: int,
    lost: int,
    doubled: int,
    codes: Sequence[int],
) -> dict[str, bool]:
    """What has to hold.

    Args:
        cost: what was paid.
        followed: what followed each kill.
        needless: calls paid twice that no death explains, as `unexplained` counts them.
        quota: requests beyond a limit.
        lost: files without a summary.
        doubled: files that stand in the result twice.
        codes: of the drivers that ended by themselves; the last one finished the job.
    """
    in_flight = sum(one.in_flight for one in followed)
    return {
        "driver ends with 0": bool(codes) and codes[-1] == 0,
        "no driver gave up by itself": len(codes) == 1,
        "0 items lost": lost == 0,
        "0 items twice in the result": doubled == 0,
        "calls paid twice <= in flight at kills": cost.accepted_twice <= in_flight,
        "only a mapper's, reducer's or node's death costs calls": needless == 0,
        "no quota passed": quota == 0,
    }
