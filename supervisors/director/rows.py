"""What the Director writes about jobs that wait: rows that follow from what was handed in, and how it ended."""

import random
from typing import Final

import msgspec

from ...protocols.errors import UsageError
from ...protocols.jobs import LIVE, JobSpec
from ...protocols.journal import Append, BlockRow, JobRow, NoteRow, SpecRow
from ...protocols.messages import JobEnded
from ...protocols.queue import Submission
from .queue import LOWEST, Queued, QueueSettings

AGAIN: Final = 3
"""Attempts that a job gets when it is taken out of the dead letters."""
OVER: Final = ("done", "failed", "cancelled")


def spec_of(submission: Submission) -> JobSpec:
    """The job of a submission; what waits is always journaled.

    Raises:
        UsageError: it can't be queued; the text says why.
    """
    try:
        spec = msgspec.msgpack.decode(submission.spec, type=JobSpec)
    except msgspec.MsgspecError as error:
        raise UsageError(f"a job that was handed in can't be read: {error}") from None
    if not 0 <= submission.priority <= LOWEST:
        raise UsageError(f"job {spec.id}: priority {submission.priority} is not between 0 (first) and {LOWEST} (last)")
    if submission.attempts < 1:
        raise UsageError(f"job {spec.id}: {submission.attempts} attempts are none: give 1 or more")
    if not submission.delay_s >= 0:
        raise UsageError(f"job {spec.id}: a delay of {submission.delay_s} s is none: give 0 or more")
    if spec.parent:
        raise UsageError(f"job {spec.id} works for {spec.parent}: only a job of its own can be queued")
    return spec if spec.journal != "off" else msgspec.structs.replace(spec, journal="ahead")


def handed_in(submission: Submission, spec: JobSpec, *, owner: str, now: float) -> Append:
    """All rows of a job that is queued now."""
    row = JobRow(
        spec.id,
        "queued",
        owner=owner,
        title=spec.title,
        tenant=spec.tenant,
        key=submission.key,
        priority=submission.priority,
        attempts=submission.attempts,
        due=now + submission.delay_s,
        created=now,
        updated=now,
        total=sum(count for count, _ in submission.blocks),
        trace=spec.trace,
    )
    return Append(
        jobs=(row,),
        specs=(SpecRow(spec.id, msgspec.msgpack.encode(spec), submission.nodes, submission.meta),),
        blocks=tuple(BlockRow(spec.id, place, count, data) for place, (count, data) in enumerate(submission.blocks)),
        notes=(NoteRow(spec.id, 0, 0, "sealed"),),
    )


def joined(appends: list[Append]) -> Append:
    """Rows that are written together."""
    return Append(
        jobs=tuple(row for one in appends for row in one.jobs),
        specs=tuple(row for one in appends for row in one.specs),
        blocks=tuple(row for one in appends for row in one.blocks),
        notes=tuple(row for one in appends for row in one.notes),
    )


def place_of(row: JobRow) -> Queued:
    """Where a queued job stands: it ages from when it could begin."""
    return Queued(row.id, row.tenant, row.priority, max(row.created, row.due))


def begun(row: JobRow, *, owner: str, now: float) -> JobRow:
    """It is the job's turn."""
    return msgspec.structs.replace(row, state="open", owner=owner, attempt=row.attempt + 1, updated=now, error="")


def back_off(attempt: int, settings: QueueSettings, rng: random.Random) -> float:
    """Seconds until a job is begun again that has failed `attempt` times: the half of them is a matter of chance."""
    whole = min(settings.delay_s * 3.0 ** min(attempt - 1, 64), settings.delay_max_s)
    return whole * rng.uniform(0.5, 1.0)


def after(
    row: JobRow, ended: JobEnded, *, queued: bool, settings: QueueSettings, now: float, rng: random.Random
) -> JobRow | None:
    """What becomes of a job that is over: the row of one that is tried again, or is dead; None where it stays so.

    Args:
        row: as its Supervisor has set it.
        ended: what the Supervisor has told.
        queued: it came out of the queue. One that a driver has begun and that failed is left to the person who sees
            it fail; only answers that stand in for others are asked for again.
        settings: of the queue.
        now: seconds since 1970.
        rng: what the wait varies by.
    """
    if row.state not in ("done", "failed") or row.parent:
        return None
    broken = queued and (ended.failed > 0 or ended.state == "failed")
    if not broken and not ended.standing:
        return None
    attempt = max(row.attempt, 1)
    attempts = row.attempts if queued else attempt + settings.standing_attempts
    cause = ended.error if broken else f"{ended.standing} answers stand in for models that could not be asked"
    if attempt >= attempts:
        return msgspec.structs.replace(row, state="dead", attempt=attempt, attempts=attempts, updated=now, error=cause)
    wait = back_off(attempt, settings, rng) if broken else settings.standing_s
    return msgspec.structs.replace(
        row, state="queued", attempt=attempt, attempts=attempts, due=now + wait, updated=now, error=cause
    )


def again(row: JobRow, *, attempts: int, delay_s: float, owner: str, now: float) -> JobRow:
    """A job that is over, dead, or another cluster's is queued, for so many attempts; what is finished stays so.

    Raises:
        UsageError: it runs.
    """
    if row.state in LIVE:
        raise UsageError(f"job {row.id} is {row.state}: `understudy resume {row.id}` follows it")
    tried = max(row.attempt, 1) if row.state in (*OVER, "dead") else row.attempt
    return msgspec.structs.replace(
        row, state="queued", owner=owner, attempt=tried, attempts=tried + attempts, due=now + delay_s, updated=now
    )


def cancelled(row: JobRow, *, now: float) -> JobRow:
    """A job that waits, or is dead, is not wanted any more."""
    return msgspec.structs.replace(row, state="cancelled", updated=now)
