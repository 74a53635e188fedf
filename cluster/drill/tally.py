"""What a scenario came to: of the calls as their makers saw them, and of the providers' own books."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal

import msgspec

from ...protocols.call import CallResult
from ..simulator.ledger import Record


class Tally(msgspec.Struct, frozen=True, kw_only=True):
    """One row.

    Attributes:
        scenario: its name; `title` is what happened.
        calls: logical calls that were made.
        answered: of them, by whomever; `stale` and `degraded` are those that no model answered.
        p50_s: seconds to an answer, as a user would have seen them; -1 where nothing was answered.
        requests: what the providers' books hold; `extra_calls` is how many more than calls that reached anybody.
        cost: dollars by the providers' books; None where a price is unknown.
        extra_cost: how much more than in the calm, as a share of it; None where it isn't known.
        answered_by: calls by the account that answered, the most first; `cache` and `degraded` are none.
        met: attempts that failed, by cause.
        unanswered: calls without an answer, by their error.
    """

    scenario: str
    title: str = ""
    calls: int = 0
    answered: int = 0
    stale: int = 0
    degraded: int = 0
    p50_s: float = -1.0
    p95_s: float = -1.0
    p99_s: float = -1.0
    requests: int = 0
    extra_calls: int = 0
    cost: Decimal | None = None
    extra_cost: float | None = None
    answered_by: dict[str, int] = {}
    met: dict[str, int] = {}
    unanswered: dict[str, int] = {}


def tally(
    scenario: str,
    title: str,
    results: Sequence[CallResult],
    ledgers: Mapping[str, Sequence[Record]],
    *,
    speed: float,
    priced: bool,
    calm: Tally | None,
) -> Tally:
    """The row of a scenario whose seconds were divided by `speed`.

    `ledgers` are the records of each account's provider, `calm` is the row to compare the cost with.
    """
    answered = [one for one in results if one.reply is not None]
    seconds = sorted(one.took_s * speed for one in answered)
    records = [record for ledger in ledgers.values() for record in ledger]
    cost = sum((Decimal(record.cost) for record in records), Decimal(0)) if priced else None
    return Tally(
        scenario=scenario,
        title=title,
        calls=len(results),
        answered=len(answered),
        stale=sum(one.rung in ("cache", "stale") for one in answered),
        degraded=sum(one.rung == "degraded" for one in answered),
        p50_s=quantile(seconds, 0.5),
        p95_s=quantile(seconds, 0.95),
        p99_s=quantile(seconds, 0.99),
        requests=len(records),
        extra_calls=extra(records),
        cost=cost,
        extra_cost=_more(cost, calm.cost if calm is not None else None),
        answered_by=_count(_who(one) for one in answered),
        met=_count(try_.outcome for one in results for try_ in one.attempts if try_.outcome not in ("ok", "cancelled")),
        unanswered=_count(cause(one) for one in results if one.reply is None),
    )


def extra(records: Sequence[Record]) -> int:
    """Requests beyond the first to the same user messages, on whatever account; the calls' messages all differ."""
    return len(records) - len({record.content_hash for record in records})


def quantile(rising: Sequence[float], share: float) -> float:
    """The nearest-rank quantile of sorted values; -1 of nothing."""
    return rising[max(0, math.ceil(share * len(rising)) - 1)] if rising else -1.0


def cause(result: CallResult) -> str:
    """Why a call has no answer: how its last attempt ended, else what its error says."""
    last = next((one.outcome for one in reversed(result.attempts) if one.outcome not in ("ok", "cancelled")), None)
    return str(last) if last else (result.error.split(":", 1)[0][:40] or "unknown")


def _who(result: CallResult) -> str:
    return result.model.partition("/")[0] if result.rung == "model" else result.rung


def _more(cost: Decimal | None, calm: Decimal | None) -> float | None:
    return float(cost / calm - 1) if cost is not None and calm else None


def _count(words: Iterable[str]) -> dict[str, int]:
    return dict(Counter(words).most_common())
