"""Turns a plan and its answers into a report; pure."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from ...protocols.digest import DigestPlan, Node, Skipped, SourceFile, Summary
from ...protocols.report import Accounting, Bill, Entry, Failure, Language, Report, State

_EMPTY = "the answer was empty"
_NO_ANSWER = "no answer came"
_STOPPED = "the digest was stopped before it was read"


class Facts(NamedTuple):
    """What is known of a digest beside its plan and its answers; see `Report` for each."""

    title: str
    started: str
    seconds: float
    question: str | None = None
    notice: str = ""
    cancelled: bool = False
    version: str = ""


class _Outcome(NamedTuple):
    """What became of a node, its own and what is below it."""

    state: State
    text: str
    error: str
    model: str
    parts: int = 1
    lost: tuple[Failure, ...] = ()  # failures that the node itself adds to the report's list


def build(plan: DigestPlan, summaries: Mapping[int, Summary], bill: Bill, facts: Facts) -> Report:
    """The report of `plan`, with a text or a cause for each file and folder.

    Args:
        plan: what was to be read.
        summaries: answers by the node's id; a node without one has failed, since somebody stopped or died.
        bill: what the calls cost; see `understudy.protocols.report.total`.
        facts: when, how long, and what was asked.
    """
    tree = _Tree(plan, summaries, _STOPPED if facts.cancelled else _NO_ANSWER)
    entries, failures = tree.entries()
    files = [entry for entry in entries if entry.kind == "file"]
    states = Counter(entry.state for entry in files)
    question = None if facts.question is None else printable(facts.question)
    reasons = Counter(it.reason for it in plan.skipped)
    return Report(
        **{**facts._asdict(), "title": printable(facts.title), "question": question},
        root=printable(plan.root),
        summary=entries[0].text,
        complete=not facts.cancelled and not failures,
        map_calls=sum(not pack.known for pack in plan.packs),
        tokens=sum(file.tokens for file in plan.files),
        lines=sum(file.lines for file in plan.files),
        size=sum(file.size for file in plan.files),
        accounting=Accounting(
            text_files=len(plan.files),
            summarised=states["summarised"],
            packed=states["packed"],
            failed=states["failed"],
            skipped=len(plan.skipped),
            reasons=dict(reasons.most_common()),
        ),
        languages=_languages(plan.files),
        bill=bill,
        failures=tuple(failures),
        skipped=tuple(
            Skipped(path=printable(it.path), reason=it.reason, detail=printable(it.detail)) for it in plan.skipped
        ),
        entries=tuple(entries),
    )


def printable(text: str) -> str:
    """`text` as valid UTF-8: a lone surrogate, as file names that aren't UTF-8 have, becomes its escape."""
    return text.encode("utf-8", "backslashreplace").decode()


def _languages(files: tuple[SourceFile, ...]) -> tuple[Language, ...]:
    by_name: defaultdict[str, list[SourceFile]] = defaultdict(list)
    for file in files:
        by_name[file.language].append(file)
    rows = [
        Language(
            name=name,
            files=len(those),
            tokens=sum(file.tokens for file in those),
            lines=sum(file.lines for file in those),
        )
        for name, those in by_name.items()
    ]
    return tuple(sorted(rows, key=lambda row: (-row.tokens, row.name)))


class _Tree:
    """The nodes of a plan without their chunks: files and folders, each with its outcome."""

    def __init__(self, plan: DigestPlan, summaries: Mapping[int, Summary], no_answer: str) -> None:
        self._plan = plan
        self._summaries = summaries
        self._no_answer = no_answer
        self._files = {file.path: file for file in plan.files}

    def entries(self) -> tuple[list[Entry], list[Failure]]:
        """All entries, each folder before what is in it, and the failures in the same order."""
        order = list(self._preorder())
        place = {node.id: number for number, node in enumerate(order)}
        built: dict[int, Entry] = {}
        lost: dict[int, tuple[Failure, ...]] = {}
        for node in reversed(order):
            children = node.children if node.kind == "folder" else ()
            below = [built[child] for child in children]
            outcome = self._outcome(node, below)
            lost[node.id] = outcome.lost
            built[node.id] = self._entry(node, outcome, below, tuple(place[child] for child in children))
        return [built[node.id] for node in order], [failure for node in order for failure in lost[node.id]]

    def _preorder(self) -> Iterator[Node]:
        """Iterative: a tree may be deeper than Python's stack."""
        waiting = [self._plan.nodes[-1]]
        while waiting:
            node = waiting.pop()
            yield node
            if node.kind == "folder":
                waiting.extend(self._plan.nodes[child] for child in reversed(node.children))

    def _entry(self, node: Node, outcome: _Outcome, below: list[Entry], children: tuple[int, ...]) -> Entry:
        file = self._files.get(node.path) if node.kind != "folder" else None
        return Entry(
            path=printable(node.path),
            kind="folder" if file is None else "file",
            state=outcome.state,
            text=printable(outcome.text),
            error=printable(outcome.error),
            model=outcome.model,
            language=file.language if file else "",
            files=1 if file else sum(entry.files for entry in below),
            failed=int(outcome.state == "failed") if file else sum(entry.failed for entry in below),
            tokens=file.tokens if file else sum(entry.tokens for entry in below),
            lines=file.lines if file else sum(entry.lines for entry in below),
            parts=outcome.parts,
            children=children,
        )

    def _outcome(self, node: Node, below: list[Entry]) -> _Outcome:
        if node.kind == "folder":
            return self._of_folder(node, below)
        return self._of_large_file(node) if node.kind == "file" else self._of_small_file(node)

    def _of_small_file(self, node: Node) -> _Outcome:
        summary, error = self._answer(node)
        if error:
            return _Outcome("failed", "", error, "", lost=(self._failure(node.path, error),))
        pack = self._plan.packs[node.pack]
        # Of a text that was known: as it was read then, not whom it stands beside now.
        shared = summary.shared if pack.known else len({chunk.path for chunk in pack.chunks}) > 1
        state: State = "packed" if shared else "summarised"
        return _Outcome(state, summary.text, "", summary.model)

    def _of_large_file(self, node: Node) -> _Outcome:
        """A file of several chunks has failed when no text came of it; else its lost chunks are told."""
        summary, error = self._answer(node)
        parts = len(node.children)
        lost = tuple(
            self._failure(self._part(child), cause) for child in node.children if (cause := self._answer_at(child))
        )
        if error:
            known = lost if len(lost) < parts else ()  # where all parts are lost, the file's own line says it
            return _Outcome("failed", "", error, "", parts, (*known, self._failure(node.path, error)))
        missing = f"{len(lost)} of {parts} parts are missing: {lost[0].cause}" if lost else ""
        return _Outcome("summarised", summary.text, missing, summary.model, parts, lost)

    def _of_folder(self, node: Node, below: list[Entry]) -> _Outcome:
        """A folder in which every file failed has failed with them, and isn't a failure of its own."""
        summary, error = self._answer(node)
        if error:
            own = any(entry.state != "failed" for entry in below)
            return _Outcome("failed", "", error, "", lost=(self._failure(node.path, error),) if own else ())
        passed = len(node.children) == 1 and not summary.model
        return _Outcome("passed" if passed else "summarised", summary.text, "", summary.model)

    def _answer(self, node: Node) -> tuple[Summary, str]:
        """The node's summary, and in one line why it has none (or an empty text)."""
        summary = self._summaries.get(node.id) or Summary(node=node.id, text="", error=self._no_answer)
        return summary, " ".join(summary.error.split()) or ("" if summary.text.strip() else _EMPTY)

    def _answer_at(self, node: int) -> str:
        return self._answer(self._plan.nodes[node])[1]

    def _part(self, node: int) -> str:
        leaf = self._plan.nodes[node]
        chunk = self._plan.packs[leaf.pack].chunks[leaf.place]
        return f"{chunk.path} (lines {chunk.first_line}-{chunk.last_line})"

    @staticmethod
    def _failure(path: str, cause: str) -> Failure:
        return Failure(path=printable(path), cause=printable(cause))
