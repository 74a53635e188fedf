"""What is said about a finished digest: one structure behind the Markdown, the HTML and the JSON report."""

from collections import Counter
from collections.abc import Iterable
from decimal import Decimal
from typing import Literal

import msgspec

from .digest import Skipped

State = Literal["summarised", "packed", "passed", "failed"]


class ModelBill(msgspec.Struct, frozen=True):
    """What one model (`provider/model`) was used for.

    `cost` is decimal dollars, None if unknown; `open_cost` is what may have been charged besides, for requests whose
    reply was never seen to its end (a hedge that came second, a time-out).
    """

    model: str
    calls: int
    attempts: int
    input_tokens: int
    output_tokens: int
    cost: str | None
    open_cost: str = "0.00"


class Bill(msgspec.Struct, frozen=True):
    """What the digest cost: the sum of `models`.

    Attributes:
        calls: logical calls that were answered.
        attempts: requests that were sent for them, retries, fallbacks and hedges included.
        cost: dollars as a decimal, over the models whose price is known; None where none is.
        unpriced: models whose price isn't known, so that `cost` is less than what is paid.
        open_cost: dollars as a decimal that may have been charged besides `cost`; see `ModelBill`.
        hedges: how many of the attempts were second requests beside a late first one.
    """

    calls: int = 0
    attempts: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost: str | None = "0.00"
    models: tuple[ModelBill, ...] = ()
    unpriced: tuple[str, ...] = ()
    open_cost: str = "0.00"
    hedges: int = 0


def total(models: Iterable[ModelBill], *, hedges: int = 0) -> Bill:
    """The bill over these models, the dearest first; `hedges` of the attempts were hedges."""
    rows = sorted(models, key=lambda row: (-Decimal(row.cost or 0), -row.input_tokens, row.model))
    priced = [row.cost for row in rows if row.cost is not None]
    return Bill(
        calls=sum(row.calls for row in rows),
        attempts=sum(row.attempts for row in rows),
        input_tokens=sum(row.input_tokens for row in rows),
        output_tokens=sum(row.output_tokens for row in rows),
        cost=_sum(priced) if priced or not rows else None,
        models=tuple(rows),
        unpriced=tuple(row.model for row in rows if row.cost is None),
        open_cost=_sum(row.open_cost for row in rows),
        hedges=hedges,
    )


def _sum(amounts: Iterable[str]) -> str:
    return f"{sum(map(Decimal, amounts), Decimal('0.00')):f}"


class Entry(msgspec.Struct, frozen=True):
    """A file or folder of the report's tree.

    Attributes:
        path: relative to the root; a folder ends in `/`, the root is `./`.
        kind: `file` or `folder`.
        state: `summarised` by calls of its own, `packed` into a call with other files, `passed` (a
            folder with one entry, whose text it shows), or `failed`.
        text: the summary; with a question, what answers it here.
        error: why there is no summary, or what is missing from it.
        model: who answered; empty where nobody was asked.
        language: of a file.
        files: text files at or below; `failed` is how many of them failed.
        tokens: of the source at or below.
        lines: of the source at or below.
        parts: how many chunks a file was cut into.
        children: places in `Report.entries`, files first.
    """

    path: str
    kind: Literal["file", "folder"]
    state: State
    text: str
    error: str = ""
    model: str = ""
    language: str = ""
    files: int = 1
    failed: int = 0
    tokens: int = 0
    lines: int = 0
    parts: int = 1
    children: tuple[int, ...] = ()


class Failure(msgspec.Struct, frozen=True):
    """A file, a part of a file, or a folder that has no summary, with its cause."""

    path: str
    cause: str


class Accounting(msgspec.Struct, frozen=True):
    """Where each path went: a text file is summarised, packed or failed; all else is skipped."""

    text_files: int
    summarised: int
    packed: int
    failed: int
    skipped: int
    reasons: dict[str, int]


class Language(msgspec.Struct, frozen=True):
    """How much of the source is in one language."""

    name: str
    files: int
    tokens: int
    lines: int


class Report(msgspec.Struct, frozen=True):
    """A digest, ready to be written.

    Attributes:
        title: the root's name.
        root: the root as it was given.
        started: when the digest began, ISO 8601.
        seconds: how long it took.
        question: what was asked, or None.
        summary: the root's text; with a question, the answer.
        notice: what a reader has to know about the answers, or empty.
        complete: every text file is in it and every folder has a text.
        cancelled: somebody stopped it.
        map_calls: calls planned to read source.
        entries: the tree, each folder before what is in it; the root is first.
    """

    title: str
    root: str
    started: str
    seconds: float
    question: str | None
    summary: str
    notice: str
    complete: bool
    cancelled: bool
    map_calls: int
    tokens: int
    lines: int
    size: int
    accounting: Accounting
    languages: tuple[Language, ...]
    bill: Bill
    failures: tuple[Failure, ...]
    skipped: tuple[Skipped, ...]
    entries: tuple[Entry, ...]
    version: str = ""

    def check(self) -> tuple[str, ...]:
        """What doesn't add up, one line each; empty when every count agrees with what it counts."""
        count, bill = self.accounting, self.bill
        files = [entry for entry in self.entries if entry.kind == "file"]
        states = Counter(entry.state for entry in files)
        pairs = [
            (
                "text files, and their states",
                count.text_files,
                count.summarised + count.packed + count.failed,
            ),
            ("text files, and files in the tree", count.text_files, len(files)),
            ("summarised files", count.summarised, states["summarised"]),
            ("packed files", count.packed, states["packed"]),
            ("failed files", count.failed, states["failed"]),
            ("skipped paths", count.skipped, len(self.skipped)),
            ("skipped paths, and their reasons", count.skipped, sum(count.reasons.values())),
            ("files by language", count.text_files, sum(language.files for language in self.languages)),
            ("tokens by language", self.tokens, sum(language.tokens for language in self.languages)),
            ("tokens of the files", self.tokens, sum(entry.tokens for entry in files)),
            ("files below the root", count.text_files, self.entries[0].files),
            ("calls by model", bill.calls, sum(row.calls for row in bill.models)),
            ("attempts by model", bill.attempts, sum(row.attempts for row in bill.models)),
            ("input tokens by model", bill.input_tokens, sum(row.input_tokens for row in bill.models)),
            ("output tokens by model", bill.output_tokens, sum(row.output_tokens for row in bill.models)),
            ("dollars by model", bill.cost, total(bill.models).cost),
            ("open dollars by model", bill.open_cost, total(bill.models).open_cost),
            ("hedges among the attempts", bill.hedges, min(bill.hedges, bill.attempts)),
        ]
        return tuple(f"{what}: {first} and {second}" for what, first, second in pairs if first != second)
