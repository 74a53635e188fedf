"""The arithmetic of $47,000 -> $12,000: what a help desk's month costs on one model, and routed with a ladder.

    python examples/ladder_arithmetic.py

Given are the first bill, the second one, and the models' prices for a thousand tokens. From these follows how much is
asked in a month; the shares of the kinds of questions are the ones that `ladder_workload` makes.
"""

import dataclasses
import sys

BEFORE = 47_000
"""Dollars a month, all on the best model."""
PRICES = {
    "gpt-4-turbo": 0.03,
    "claude-3-sonnet": 0.015,
    "gpt-3.5-turbo": 0.002,
    "gemini-pro": 0.00025,
}
"""Dollars for a thousand tokens, in or out."""
BEST = "gpt-4-turbo"
TOKENS = 1_000
"""Of one request: the question, what stands around it, and the answer."""
JUDGED_TOKENS = 1_100
"""Of one judgement: the same, the judge's instructions, and its score."""

LOOKUP, REASONING, CREATIVE = 0.78, 0.15, 0.07
"""Shares of the questions."""
ESCALATED = 0.065
"""Share of the lookups whose answer the judge finds wanting: they are asked again, of the best model."""


@dataclasses.dataclass(frozen=True)
class Line:
    """One line of a bill: what is asked, of whom, how often in a month, and with how many tokens each time."""

    what: str
    model: str
    requests: float
    tokens: int

    @property
    def dollars(self) -> float:
        """What it costs in a month."""
        return self.requests * self.tokens / 1_000 * PRICES[self.model]


def requests_a_month() -> float:
    """How many questions the first bill stands for: 47,000 / 0.03 = 1,566,667 thousand tokens."""
    return BEFORE / PRICES[BEST] / (TOKENS / 1_000)


def before() -> list[Line]:
    """The bill when the best model is asked everything."""
    return [Line("every question", BEST, requests_a_month(), TOKENS)]


def after(*, escalated: float = ESCALATED) -> list[Line]:
    """The bill with a router and a ladder; `escalated` is the share of lookups that climb it."""
    month = requests_a_month()
    lookups = LOOKUP * month
    return [
        Line("lookups, first rung", "gpt-3.5-turbo", lookups, TOKENS),
        Line("their judge", "gemini-pro", lookups, JUDGED_TOKENS),
        Line("lookups, second rung", BEST, escalated * lookups, TOKENS),
        Line("reasoning", "claude-3-sonnet", REASONING * month, TOKENS),
        Line("creative", BEST, CREATIVE * month, TOKENS),
    ]


def total(lines: list[Line]) -> float:
    """Dollars a month."""
    return sum(line.dollars for line in lines)


def table(title: str, lines: list[Line]) -> str:
    """A bill as text, at most 80 columns."""
    head = f"{title}\n{'':22} {'model':16} {'requests':>10} {'tokens':>7} {'$/1K':>8} {'dollars':>9}"
    rows = [
        f"{line.what:22} {line.model:16} {line.requests:>10,.0f} {line.tokens:>7,} {PRICES[line.model]:>8} "
        f"{line.dollars:>9,.0f}"
        for line in lines
    ]
    return "\n".join([head, *rows, f"{'a month':67} {total(lines):>9,.0f}", ""])


def main() -> None:
    """Prints both bills and what is saved."""
    old, new = before(), after()
    saved = 1 - total(new) / total(old)
    last = f"saved: {total(old) - total(new):,.0f} dollars a month, {saved:.1%} of the bill\n"
    sys.stdout.write("\n".join([table("Before: one model", old), table("After: a router and a ladder", new), last]))


if __name__ == "__main__":
    main()
