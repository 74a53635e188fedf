"""What a run has used, summed over its calls and its child jobs. Tokens and picodollars."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ...protocols.messages import ItemDone, Used

if TYPE_CHECKING:  # the Supervisor sums bills and calls nobody: the call engine's 0.06 s are not its start's to pay
    from ...actors.call.outcome import CallOutcome


class Tally:
    """Sums by candidate (`account/model`), and what is no candidate's: hedges, whether something stood in."""

    def __init__(self) -> None:
        self.calls = 0
        self.hedges = 0
        self.degraded = False
        #: A declared or an older answer stood in, because nobody could be asked.
        self.standing = False
        #: Who answered or failed last.
        self.model = ""
        self._lines: dict[str, Used] = {}

    def call(self, outcome: "CallOutcome", *, billed: bool = False) -> None:
        """A logical call has ended. `billed`: what it used stands on another bill already."""
        self.calls += 1
        self.degraded |= outcome.degraded
        self.standing |= outcome.degraded
        self.model = outcome.model or self.model
        if billed:
            return
        self.hedges += outcome.hedges
        for one in outcome.log:
            if one.sent or one.cost or one.open_cost:
                usage = one.usage
                line = Used(
                    one.candidate, int(one.sent), usage.input_tokens, usage.output_tokens, one.cost, one.open_cost
                )
                self._line(line)

    def item(self, done: ItemDone) -> None:
        """An item of a child job has ended, or a node of its tree."""
        self.calls += bool(done.attempts)
        self.hedges += done.hedges
        self.degraded |= done.degraded
        self.standing |= done.standing
        whole = Used(done.model, done.attempts, done.input_tokens, done.output_tokens, done.cost, done.open_cost)
        for line in done.used or ((whole,) if done.attempts or done.cost or done.open_cost else ()):
            self._line(line)

    @property
    def lines(self) -> tuple[Used, ...]:
        """What was used, by candidate."""
        return tuple(self._lines.values())

    def of_child(self, whole: "Tally", told: Sequence[Used], hedges: int) -> None:
        """A child job has used so much in all, of which `told` (and so many `hedges`) stand on a bill already."""
        self.hedges += max(0, whole.hedges - hedges)
        self.degraded |= whole.degraded
        before = {line.model: line for line in told}
        for line in whole.lines:
            self._line(_more(line, before.get(line.model, Used(line.model))))

    def _line(self, more: Used) -> None:
        line = self._lines.get(more.model, Used(more.model))
        self._lines[more.model] = Used(
            more.model,
            line.attempts + more.attempts,
            line.input_tokens + more.input_tokens,
            line.output_tokens + more.output_tokens,
            -1 if line.cost < 0 or more.cost < 0 else line.cost + more.cost,
            line.open_cost + more.open_cost,
        )

    @property
    def spent(self) -> int:
        """Picodollars that count against budgets: what is known to be charged, and what may have been."""
        return sum(max(line.cost, 0) + line.open_cost for line in self._lines.values())

    def done(self, number: int, **fields: object) -> ItemDone:
        """The item's answer with all that was used on it; `fields` are the rest of `ItemDone`."""
        lines = self.lines
        model = self.model if self.model or not lines else lines[-1].model
        return ItemDone(
            number,
            model=model,
            attempts=sum(line.attempts for line in lines),
            input_tokens=sum(line.input_tokens for line in lines),
            output_tokens=sum(line.output_tokens for line in lines),
            cost=-1 if any(line.cost < 0 for line in lines) else sum(line.cost for line in lines),
            hedges=self.hedges,
            open_cost=sum(line.open_cost for line in lines),
            standing=self.standing,
            used=() if [line.model for line in lines] in ([], [model]) else lines,
            **fields,  # type: ignore[arg-type]
        )


def _more(line: Used, told: Used) -> Used:
    """What a line has more than was told of it. A price that is not known is not known of the rest either."""
    attempts = max(0, line.attempts - told.attempts)
    unknown = line.cost < 0 and (attempts or told.cost >= 0)
    return Used(
        line.model,
        attempts,
        max(0, line.input_tokens - told.input_tokens),
        max(0, line.output_tokens - told.output_tokens),
        -1 if unknown else max(0, line.cost - max(told.cost, 0)),
        max(0, line.open_cost - told.open_cost),
    )
