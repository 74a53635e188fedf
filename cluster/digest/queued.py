"""A digest that is put into the queue instead of being followed: it is worked on when it is its turn."""

from collections.abc import Callable
from datetime import UTC, datetime

import msgspec

from ...protocols.queue import Submission
from .earlier import lookup
from .notes import notes
from .options import Options
from .planning import Planning
from .submit import blocks, merged_nodes


def submission(
    options: Options,
    warn: Callable[[str], None],
    *,
    key: str = "",
    priority: int = 5,
    delay_s: float = 0.0,
    attempts: int = 3,
) -> Submission:
    """Reads and plans a digest, and makes of it what the Director's queue takes.

    Its report is written by whoever follows it to its end: `understudy resume`.

    Args:
        options: of the digest.
        warn: told in one line what a person should know.
        key: see `Submission`.
        priority: see `Submission`.
        delay_s: see `Submission`.
        attempts: see `Submission`.

    Raises:
        UsageError: bad input, or it costs more than is allowed; nothing was spent.
    """
    planning = Planning(options)
    planning.read()
    hurried = planning.models.embedded
    planning.finish(lookup(options, None, warn, hurried=hurried) if planning.remembers else None)
    planning.afford()
    started = datetime.now(tz=UTC).isoformat(timespec="seconds")
    return Submission(
        msgspec.msgpack.encode(planning.spec(options.settings().mappers)),
        tuple(blocks(planning.plan.packs)),
        nodes=merged_nodes(planning.plan.nodes),
        key=key,
        priority=priority,
        delay_s=delay_s,
        attempts=attempts,
        meta=notes(planning.case(started), planning.plan),
    )
