"""The report as Markdown that reads well in a terminal and on a forge."""

import re
from collections.abc import Iterator

from ...protocols.report import Bill, Entry, ModelBill, Report

_PASSAGE = re.compile(r"^(?:[-*] )?\[\d+(?:\.\d+)?\] (.+?:\d+): ?(.*)$")
_HEADING = re.compile(r"^#{1,6}\s+(.*?)\s*#*$")
_CODE = re.compile(r"(`+)(?:.+?)\1")
_MARKUP = re.compile(r"<(?=[A-Za-z/!?])|!(?=\[)")
_DUNDER = re.compile(r"(?<![\w./-])[\w./-]*__\w+__(?:[\w./-]*[\w/])?")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def render(report: Report) -> str:
    """The whole document; text of answers can neither open markup nor load an image."""
    blocks = [
        f"# {_plain(report.title)}",
        _facts(report),
        *_lead(report),
        "## Bill",
        *_bill(report.bill),
        "## Files",
        *_tree(report),
        *_failures(report),
        *_skipped(report),
    ]
    return _CONTROL.sub("\ufffd", "\n\n".join(block for block in blocks if block)) + "\n"


def duration(seconds: float) -> str:
    """`8.3 s`, `48 s`, `3 min 08 s`."""
    if seconds < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s"


def _facts(report: Report) -> str:
    count = report.accounting
    size = f"{count.text_files:,} text files, {report.lines:,} lines, {report.tokens:,} tokens"
    own = f"{count.summarised:,} summarised by calls of their own"
    rest = f"{count.packed:,} packed with others into one call, {count.failed:,} failed"
    lines = [
        f"{size}; digested {report.started} in {duration(report.seconds)}.",
        f"{own}, {rest}; {count.skipped:,} paths skipped.",
    ]
    if report.notice:
        lines.append(f"_{_plain(report.notice)}_")
    if report.cancelled:
        lines.append("**Stopped before it was finished.**")
    return "  \n".join(lines)


def _lead(report: Report) -> Iterator[str]:
    if report.question is None:
        yield "## Summary"
    else:
        yield "## Question"
        yield "> " + _plain(" ".join(report.question.split()))
        yield "## Answer"
    yield text_block(report.summary) or f"**None:** {_plain(report.entries[0].error)}"


def _bill(bill: Bill) -> Iterator[str]:
    rows = [
        "| model | calls | attempts | tokens read | tokens written | cost |",
        "|---|--:|--:|--:|--:|--:|",
        *(_row(_cell(row.model), row) for row in bill.models),
        _row("**total**", bill),
    ]
    yield "\n".join(rows)
    if bill.unpriced:
        yield f"No price is known for {', '.join(_code(name) for name in bill.unpriced)}: not in the total."
    if bill.hedges:
        yield f"{bill.hedges:,} of the attempts were second requests beside a late first one."
    if float(bill.open_cost):
        yield f"Requests whose reply was never seen to its end may have cost {_dollars(bill.open_cost)} besides."


def _row(name: str, row: Bill | ModelBill) -> str:
    counts = (row.calls, row.attempts, row.input_tokens, row.output_tokens)
    return f"| {name} | {' | '.join(f'{count:,}' for count in counts)} | {_dollars(row.cost)} |"


def _tree(report: Report) -> Iterator[str]:
    """A heading for each folder that has a text of its own or files, then a bullet for each of its files."""
    for entry in report.entries:
        if entry.kind != "folder":
            continue
        inside = [report.entries[child] for child in entry.children]
        listed = [child for child in inside if child.kind == "file"]
        own = entry.path != "./" and entry.state != "passed"
        if not own and not listed:
            continue
        yield f"### {_code(entry.path)} ({entry.files:,} {'file' if entry.files == 1 else 'files'})"
        if own:
            yield text_block(entry.text) or f"**Failed:** {_plain(entry.error)}"
        yield "\n".join(_bullet(child) for child in listed)


def _bullet(entry: Entry) -> str:
    facts = ", ".join(part for part in (entry.language, f"{entry.lines:,} lines") if part)
    first = f"- **{_code(entry.path)}** ({facts})"
    if entry.error:
        first += f" **{'failed' if entry.state == 'failed' else 'incomplete'}:** {_plain(entry.error)}"
    text = text_block(entry.text)
    return first if not text else first + "  \n" + "\n".join(f"  {line}".rstrip() for line in text.split("\n"))


def _failures(report: Report) -> Iterator[str]:
    if report.failures:
        yield f"## Failures ({len(report.failures):,})"
        yield "\n".join(f"- {_code(it.path)}: {_plain(it.cause)}" for it in report.failures)


def _skipped(report: Report) -> Iterator[str]:
    if report.skipped:
        yield f"## Skipped ({len(report.skipped):,})"
    for reason in report.accounting.reasons:
        those = [it for it in report.skipped if it.reason == reason]
        yield f"### {reason} ({len(those):,})"
        yield "\n".join(f"- {_code(it.path)}{': ' + _plain(it.detail) if it.detail else ''}" for it in those)


def text_block(text: str) -> str:
    """An answer as Markdown: its headings become bold lines, its markup text, its passages quoted lines."""
    out: list[str] = []
    fenced = quoting = False
    for line in text.strip().splitlines():
        passage, heading = _PASSAGE.match(line), _HEADING.match(line)
        if line.lstrip().startswith("```"):
            fenced = not fenced
            out.append(line)
        elif fenced:
            out.append(line)
        elif passage:
            quoting = True
            gap = [""] if out and out[-1] else []
            out += [*gap, _code(passage[1]), "", f"    {passage[2]}"]
        elif quoting and line.strip():
            out.append(f"    {line}")
        else:
            quoting = False
            out.append(f"**{_plain(heading[1])}**" if heading else _plain(line))
    return "\n".join([*out, "```"] if fenced else out).strip("\n")


def _plain(line: str) -> str:
    """`line` with everything that could open markup escaped, code spans left as they are."""
    out: list[str] = []
    last = 0
    for span in _CODE.finditer(line):
        out += [_escape(line[last : span.start()]), span[0]]
        last = span.end()
    return "".join(out) + _escape(line[last:])


def _escape(text: str) -> str:
    """`__init__.py` becomes a code span: a forge would take its underscores for bold."""
    return _DUNDER.sub(r"`\g<0>`", _MARKUP.sub(r"\\\g<0>", text))


def _code(text: str) -> str:
    """A code span that holds `text` whatever it is, on one line."""
    text = text.replace("\n", "\\n").replace("\r", "\\r")
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    fence = "`" * (longest + 1)
    return f"{fence} {text} {fence}" if longest else f"`{text}`"


def _cell(text: str) -> str:
    return _code(text).replace("|", "\\|")


def _dollars(cost: str | None) -> str:
    return "?" if cost is None else f"${cost}"
