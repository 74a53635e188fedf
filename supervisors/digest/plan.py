"""From what a walk finds to the plan of a digest, and what the plan will cost in calls and tokens."""

from collections.abc import Iterable, Mapping
from typing import Final

import msgspec

from ...actors.embedded.languages import detect
from ...protocols.config import DigestSettings
from ...protocols.digest import Chunk, DigestPlan, Node, Pack, Skipped, SourceFile
from ...protocols.errors import SourceError
from .collapse import groups
from .keys import chunk_key
from .known import Earlier, Known, known_by_key, packs_of_answers
from .pack import header, pack
from .prompts import ANSWER_A_FILE
from .split import split
from .tokens import count
from .tree import build

_LEAST_TEXT: Final = 64  # tokens of text a chunk may hold however long its path is
_MAP_PROMPT: Final = 250  # tokens of instructions a map call carries
_REDUCE_PROMPT: Final = 250
_SUMMARY_HEADER: Final = 12  # tokens of the line that introduces a child's summary


class TextFile(msgspec.Struct, frozen=True):
    """A file that a walk could read: path relative to the root, text, and size on disk in bytes."""

    path: str
    text: str
    size: int


Found = TextFile | Skipped


class Totals(msgspec.Struct):
    """What was planned so far."""

    files: int = 0
    skipped: int = 0
    chunks: int = 0
    tokens: int = 0
    bytes: int = 0


class Estimate(msgspec.Struct, frozen=True):
    """Calls and tokens of a digest, guessed above the middle: most runs should stay below.

    Input is what is read (counted for maps, guessed for reduces) plus 250 tokens of instructions a call. A
    map answer is guessed at 80 tokens a file plus an eighth of what is read, a reduce answer at 100 tokens
    plus a third of what is read, each at most what the settings allow. Retries are not in it.
    """

    map_calls: int = 0
    map_input_tokens: int = 0
    map_output_tokens: int = 0
    reduce_calls: int = 0
    reduce_input_tokens: int = 0
    reduce_output_tokens: int = 0

    @property
    def calls(self) -> int:
        """Map and reduce calls together."""
        return self.map_calls + self.reduce_calls

    @property
    def input_tokens(self) -> int:
        """Tokens read by all calls."""
        return self.map_input_tokens + self.reduce_input_tokens

    @property
    def output_tokens(self) -> int:
        """Tokens answered by all calls."""
        return self.map_output_tokens + self.reduce_output_tokens


class Planner:
    """Plans a digest while its walk is still under way: `add` each thing found, then `finish`.

    Attributes:
        totals: running sums for a live display.
    """

    def __init__(self, root: str, settings: DigestSettings) -> None:
        self.totals = Totals()
        self._root = root
        self._settings = settings
        self._files: list[SourceFile] = []
        self._skipped: list[Skipped] = []
        self._chunks: list[Chunk] = []

    def add(self, item: Found) -> None:
        """Take in what the walk found next; a text is counted and split here, at 6 MB/s or more."""
        if isinstance(item, Skipped):
            self._skipped.append(item)
            self.totals.skipped += 1
            return
        budget = self._settings.map_budget - header(item.path)
        language = detect(item.path, item.text)
        chunks = split(item.path, item.text, language, max(budget, _LEAST_TEXT))
        tokens = sum(chunk.tokens for chunk in chunks)
        self._files.append(SourceFile(item.path, item.size, chunks[-1].last_line, tokens, language))
        self._chunks += chunks
        self.totals.files += 1
        self.totals.chunks += len(chunks)
        self.totals.tokens += tokens
        self.totals.bytes += item.size

    def finish(self, earlier: Earlier | None = None) -> DigestPlan:
        """The plan over all that was added; what `earlier` digests have answered is in packs of its own.

        So one edited file is one call: what stands beside it in a pack is never read again for its sake. Packs that
        need a call come first.

        Raises:
            SourceError: if no text was among it; the text says what was found instead.
        """
        if not self._files:
            raise SourceError(self._nothing())
        news, answers = (self._chunks, []) if earlier is None else _parted(self._chunks, earlier)
        packs = pack(news, self._settings.map_budget)
        packs += packs_of_answers(answers, len(packs))
        return DigestPlan(self._root, tuple(self._files), tuple(self._skipped), tuple(packs), build(packs))

    def _nothing(self) -> str:
        if not self._skipped:
            return f"{self._root}: the folder is empty: give a folder that holds text files"
        if len(self._skipped) == 1:
            only = self._skipped[0]
            detail = f" ({only.detail})" if only.detail else ""
            said = f"{only.path} is {_said(only.reason)}{detail}"
            return f"{self._root}: nothing to read: {said}: give another path"
        reasons: dict[str, int] = {}
        for skipped in self._skipped:
            reasons[skipped.reason] = reasons.get(skipped.reason, 0) + 1
        found = ", ".join(f"{number} {reason}" for reason, number in sorted(reasons.items()))
        return f"{self._root}: no text to read, all is left out ({found}): give a folder that holds text files"


def _parted(chunks: Iterable[Chunk], earlier: Earlier) -> tuple[list[Chunk], list[tuple[Chunk, bytes, Known]]]:
    """Chunks that nobody has read, and those that were, with their keys and answers."""
    keyed = [(chunk, chunk_key(earlier.bases.chunk, chunk, asked=earlier.asked)) for chunk in chunks]
    known = known_by_key([key for _, key in keyed], earlier.recall)
    return [chunk for chunk, key in keyed if key not in known], [
        (chunk, key, known[key]) for chunk, key in keyed if key in known
    ]


def files_known(plan: DigestPlan) -> int:
    """Files of which nothing has to be read."""
    read = {chunk.path for pack in plan.packs if not pack.known for chunk in pack.chunks}
    return sum(file.path not in read for file in plan.files)


def calls_to_read(plan: DigestPlan) -> int:
    """Packs that need a call."""
    return sum(not pack.known for pack in plan.packs)


def _said(reason: str) -> str:
    return f"a {reason}" if reason in {"symlink", "special file"} else reason


def estimate(plan: DigestPlan, settings: DigestSettings, known: Mapping[int, str] | None = None) -> Estimate:
    """What the calls of `plan` will read and answer; see `Estimate` for how it is guessed.

    What is `known` (texts by node, see `known_nodes`) costs nothing.
    """
    known = known or {}
    news = [pack for pack in plan.packs if not pack.known]
    answers = {pack.id: _map_answer(pack, settings) for pack in news}
    reduces = _Reduces(settings)
    sizes: list[int] = []
    for node in plan.nodes:
        if node.id in known:
            sizes.append(count(known[node.id]))
        elif node.kind == "chunk":
            sizes.append(_leaf(plan.packs[node.pack], node.place, answers))
        else:
            sizes.append(reduces.merge([sizes[child] for child in node.children], needed=_is_root(node, plan)))
    return Estimate(
        map_calls=len(news),
        map_input_tokens=sum(pack.tokens + _MAP_PROMPT for pack in news),
        map_output_tokens=sum(answers.values()),
        reduce_calls=reduces.calls,
        reduce_input_tokens=reduces.input_tokens,
        reduce_output_tokens=reduces.output_tokens,
    )


def _leaf(pack: Pack, place: int, answers: Mapping[int, int]) -> int:
    """Tokens of a chunk's summary: of one that is there, or its part of what the pack's call may answer."""
    return count(pack.known[place]) if pack.known else -(-answers[pack.id] // len(pack.chunks))


def _is_root(node: Node, plan: DigestPlan) -> bool:
    return node.id == plan.nodes[-1].id


def _map_answer(pack: Pack, settings: DigestSettings) -> int:
    most = max(settings.map_answer, ANSWER_A_FILE * len(pack.chunks))
    return min(most, 80 * len(pack.chunks) + pack.tokens // 8)


class _Reduces:
    """Sums over the reduce calls of a tree."""

    def __init__(self, settings: DigestSettings) -> None:
        self.calls = 0
        self.input_tokens = 0
        self.output_tokens = 0
        self._settings = settings

    def merge(self, sizes: list[int], *, needed: bool) -> int:
        """Tokens of the summary of a node whose children's are `sizes`.

        An only child is passed through without a call, unless one is `needed`. Children that don't fit one
        call are merged in groups first, at least two to a group.
        """
        if len(sizes) == 1 and not needed:
            return sizes[0]
        sizes = [size + _SUMMARY_HEADER for size in sizes]
        while len(batches := groups(sizes, self._settings.reduce_budget)) > 1:
            sizes = [self._batch([sizes[place] for place in batch]) for batch in batches]
        return self._call(sizes)

    def _batch(self, sizes: list[int]) -> int:
        return sizes[0] if len(sizes) == 1 else self._call(sizes) + _SUMMARY_HEADER

    def _call(self, sizes: list[int]) -> int:
        read = sum(sizes)
        answer = min(self._settings.reduce_answer, 100 + read // 3)
        self.calls += 1
        self.input_tokens += read + _REDUCE_PROMPT
        self.output_tokens += answer
        return answer
