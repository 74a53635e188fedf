"""What the attempts of an item came to, by candidate: the lines of a bill."""

from collections.abc import Sequence

from ..protocols.call import Attempt
from ..protocols.messages import Used


def by_candidate(attempts: Sequence[Attempt], model: str) -> tuple[Used, ...]:
    """A line for each candidate that something was sent to, in the order of their first attempts.

    Nothing where it was `model` alone: then the sums of the item are its line. Tokens and picodollars; the cost of a
    candidate without a known price is -1 and leaves the others' as they are.
    """
    if len(attempts) == 1 and attempts[0].candidate == model:
        return ()
    lines: dict[str, Used] = {}
    for one in attempts:
        if not (one.sent or one.cost or one.open_cost):
            continue
        line = lines.get(one.candidate, Used(one.candidate))
        lines[one.candidate] = Used(
            one.candidate,
            line.attempts + one.sent,
            line.input_tokens + one.usage.input_tokens,
            line.output_tokens + one.usage.output_tokens,
            -1 if line.cost < 0 or one.cost < 0 else line.cost + one.cost,
            line.open_cost + one.open_cost,
        )
    return () if list(lines) in ([], [model]) else tuple(lines.values())
