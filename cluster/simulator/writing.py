"""Plans put into bytes: answers whole and streamed, with the faults that leave a part of them, and errors."""

import math

from . import wire
from .dialect import Event, Failure, FailureKind, Spoken
from .ledger import Outcome
from .plan import Plan
from .quota import Limiter, Refusal, Standing
from .request import CHARS_PER_TOKEN, Reply, Request
from .settings import FaultKind, RetryAfterForm, Settings

_FAILURES: dict[FaultKind, FailureKind] = {
    "auth": "revoked",
    "not_found": "not_found",
    "bad_request": "bad_request",
    "context": "context",
    "insufficient_quota": "insufficient_quota",
    "refused_429": "refused_429",
    "overloaded": "overloaded",
    "error_500": "error_500",
    "error_503": "error_503",
    "stream_error": "error_500",
}
_REFUSED: dict[FailureKind, Outcome] = {
    "auth": "refused_401",
    "not_found": "refused_404",
    "bad_request": "refused_400",
    "context": "refused_400",
    "too_large": "refused_413",
}


def write_answer(plan: Plan, request: Request, reply: Reply, fault: FaultKind | None, *, cut_at: float) -> None:
    """A whole reply, or what a fault leaves of it. ``plan.delay_s`` already holds the generation's time."""
    body = plan.dialect.answer(request, reply, plan.stamp)
    if fault == "malformed":
        body = body[: len(body) // 2]
    # What it was worked on at least: the reply leaves when that is over, or a little later.
    lines = _lines(plan) + (plan.dialect.worked(plan.delay_s) if plan.delay_s else "")
    head = wire.head(200, len(body), lines)
    if fault == "cut":
        plan.action = "cut"
        body = body[: int(len(body) * cut_at)]
    plan.parts = [head + body]


def write_stream(
    plan: Plan, request: Request, reply: Reply, fault: FaultKind | None, *, settings: Settings, cut_at: float
) -> None:
    """A stream of events, or what a fault leaves of it."""
    chunk_chars = settings.stream_chunk_tokens * CHARS_PER_TOKEN
    events = plan.dialect.events(request, reply, plan.stamp, chunk_chars)
    plan.pause_s /= len(events)
    plan.action = "stream"
    if fault == "malformed":
        middle = len(events) // 2
        events[middle] = events[middle]._replace(data=_broken(events[middle].data))
    elif fault in ("cut", "stream_error"):
        events = events[: int(len(events) * cut_at)]
    elif fault == "stall":
        events = events[: _first_words(events)]
    if fault == "stream_error":
        events.append(Event(plan.dialect.error_event(plan.stamp)))
    head = wire.head(200, None, _lines(plan))
    plan.parts = [head, *[wire.chunked(event.data) for event in events]]
    plan.marks = _marks(events)
    if fault == "cut":
        plan.action = "cut"
    elif fault == "stall":
        plan.action, plan.hold_s = "stall", settings.timeout_cap_s
    else:
        plan.parts.append(wire.LAST_CHUNK)
        plan.marks.append(plan.marks[-1])


def write_block(plan: Plan, request: Request) -> None:
    """The refusal of a prompt by the provider's filter."""
    spoken = plan.dialect.blocked(request, plan.stamp)
    if request.stream and spoken.status == 200:  # no error but an answer without text, and so an event
        event = wire.chunked(b"data: " + spoken.body + b"\r\n\r\n")
        plan.action, plan.parts = "stream", [wire.head(200, None, _lines(plan)), event, wire.LAST_CHUNK]
    else:
        say(plan, spoken)


def write_failure(plan: Plan, kind: FaultKind, *, settings: Settings, window: int, after_s: float) -> None:
    """A failure without any part of an answer."""
    if kind in ("timeout", "stall"):
        plan.action, plan.status, plan.delay_s = "hang", 0, settings.timeout_cap_s
    elif kind == "drop":
        plan.action, plan.status = "drop", 0
    elif kind == "refused_429":
        write_refusal(plan, Refusal("requests", after_s), form=settings.retry_after)
    else:
        tokens = max(plan.record.prompt_tokens, window + 1) if kind == "context" else 0
        failure = Failure(_FAILURES[kind], model=plan.record.model, prompt_tokens=tokens, window=window)
        say(plan, plan.dialect.error(failure, plan.stamp))


def write_mistake(plan: Plan, failure: Failure) -> Plan:
    """The answer to a request that is at fault itself."""
    plan.outcome = _REFUSED[failure.kind]
    say(plan, plan.dialect.error(failure, plan.stamp))
    return plan


def write_refusal(plan: Plan, refusal: Refusal, *, form: RetryAfterForm) -> Plan:
    """A 429 that says when to come back, unless that is never."""
    record, dialect = plan.record, plan.dialect
    line, wait_s = "", None
    if math.isfinite(refusal.wait_s):
        line, wait_s = dialect.come_back(form, refusal.wait_s, wall=record.wall)
    record.retry_after_s = wait_s
    failure = Failure("refused_429", model=record.model, limit=refusal.limit, wait_s=wait_s)
    plan.outcome = "refused_429" if plan.outcome != "outage" else plan.outcome
    say(plan, dialect.error(failure, plan.stamp), line)
    return plan


def say(plan: Plan, spoken: Spoken, line: str = "") -> None:
    """Make a plan one of a single short reply."""
    plan.action, plan.status = "reply", spoken.status
    plan.parts = [wire.head(spoken.status, len(spoken.body), _lines(plan) + line) + spoken.body]


def _lines(plan: Plan) -> str:
    return plan.dialect.headers(_standing(plan.limiters, plan.record.t), plan.stamp)


def _standing(limiters: list[Limiter], now: float) -> Standing | None:
    """That of the limiter with the least left: the one a client has to heed. None without limits."""
    least = None
    for limiter in limiters:
        if limiter.told:
            standing = limiter.standing(now=now)
            least = standing if least is None or standing.headroom < least.headroom else least
    return least


def _broken(event: bytes) -> bytes:
    """An event whose data ends in the middle."""
    at = event.find(b"data: ") + len(b"data: ")
    return event[: at + (len(event) - at) // 2] + b"\n\n"


def _first_words(events: list[Event]) -> int:
    """How many events there are up to the first that brings tokens."""
    return next((index + 1 for index, event in enumerate(events) if event.tokens), 1)


def _marks(events: list[Event]) -> list[int]:
    marks, total = [0], 0
    for event in events:
        total += event.tokens
        marks.append(total)
    return marks
