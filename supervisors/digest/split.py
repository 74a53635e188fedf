"""Cutting a file into chunks that fit a budget, at syntax boundaries, without loss.

A file over its budget is cut into pieces of at most half a budget, and neighbours are joined again while they
fit. Measured on the 517 files of the Python standard library over 4,000 tokens (25.6 MB, ideal 1,892 chunks):

    splitter told to fill the budget, by characters     2,777 chunks, 305 of them over the budget, 6.7 MB/s
    the same with a token-counting callback             2,792 chunks,                              4.1 MB/s
    pieces of half a budget, joined (chosen)            2,145 chunks,                              6.0 MB/s
    pieces of a fifth of a budget, joined               2,000 chunks,                              4.7 MB/s
"""

import re
import zlib
from collections.abc import Callable
from functools import cache
from importlib import import_module
from itertools import accumulate, pairwise
from typing import Any, Final

from semantic_text_splitter import CodeSplitter, MarkdownSplitter, TextSplitter

from ...protocols.digest import Chunk
from .tokens import count

SMALLEST_BUDGET: Final = 16  # a code point takes at most 4 tokens, so any text can be cut to this

# The 14 grammars that are installed by default, as module and function.
_GRAMMARS: Final = {
    "bash": ("tree_sitter_bash", "language"),
    "c": ("tree_sitter_c", "language"),
    "cpp": ("tree_sitter_cpp", "language"),
    "c-sharp": ("tree_sitter_c_sharp", "language"),
    "go": ("tree_sitter_go", "language"),
    "html": ("tree_sitter_html", "language"),
    "java": ("tree_sitter_java", "language"),
    "javascript": ("tree_sitter_javascript", "language"),
    "json": ("tree_sitter_json", "language"),
    "php": ("tree_sitter_php", "language_php"),
    "python": ("tree_sitter_python", "language"),
    "ruby": ("tree_sitter_ruby", "language"),
    "rust": ("tree_sitter_rust", "language"),
    "tsx": ("tree_sitter_typescript", "language_tsx"),
    "typescript": ("tree_sitter_typescript", "language_typescript"),
}

# The code splitter is quadratic in nesting, and tree-sitter in errors: 400 kB of `<a` lines take minutes as
# C#, 570 kB of ever deeper `if x:` lines 6 s as JavaScript, 200 kB of `[]` 82 s as Bash. So it is given
# blocks, and only such as neither nest deeply nor repeat themselves: zlib makes source 3 to 8 times smaller,
# those inputs over 100 times.
_BLOCK: Final = 64_000
_DEEPEST: Final = 200
_REPETITIVE: Final = 20
# Word boundaries inside a line cost 25 µs a character in scripts without blanks: 15 s for 600,000 characters
# on one line. Longer lines are cut by count.
_LONGEST_LINE: Final = 8_000
_BRACKET: Final = re.compile(r"[(\[{<>}\])]")
_STEPS: Final = {bracket: 1 if bracket in "([{<" else -1 for bracket in "([{<>}])"}


def split(path: str, text: str, language: str, budget: int) -> list[Chunk]:
    """The chunks of a file, in order: one if it fits `budget` tokens, else pieces cut at syntax boundaries.

    The chunks joined give back `text`; each holds at most `budget` tokens and none is empty unless `text` is.

    Raises:
        ValueError: if `budget` is below `SMALLEST_BUDGET`.
    """
    if budget < SMALLEST_BUDGET:
        raise ValueError(f"a budget of {budget} tokens is too small to split text: use {SMALLEST_BUDGET} or more")
    total = count(text)
    pieces = [(text, total)] if total <= budget else _pieces(text, total, language, budget)
    chunks: list[Chunk] = []
    line = 1
    for number, (piece, tokens) in enumerate(pieces, 1):
        ends = piece.count("\n")
        last = line + ends - (1 if piece.endswith("\n") else 0)
        chunks.append(Chunk(path, number, len(pieces), line, last, tokens, language, piece))
        line += ends
    return chunks


def _pieces(text: str, total: int, language: str, budget: int) -> list[tuple[str, int]]:
    capacity = max(1, len(text) * budget // (2 * total))
    cuts = {0, len(text)}
    for start, block in _blocks(text):
        cuts.add(start)
        for offset in _boundaries(block, language, capacity):
            cuts.add(_at_line_edge(text, start + offset))
    offsets = sorted(cuts)
    small = [part for a, b in pairwise(offsets) for part in _fit(text[a:b], budget)]
    return _join(small, budget)


def _blocks(text: str) -> list[tuple[int, str]]:
    """Runs of whole lines and their offsets; a line longer than `_LONGEST_LINE` is a run of its own."""
    blocks: list[tuple[int, str]] = []
    start = 0
    while start < len(text):
        end = _block_end(text, start)
        blocks.append((start, text[start:end]))
        start = end
    return blocks


def _block_end(text: str, start: int) -> int:
    end, best = start, 0
    while end < len(text):
        stop = text.find("\n", end) + 1 or len(text)
        if stop - end > _LONGEST_LINE:
            return stop if end == start else end
        if stop - start > _BLOCK:
            return best or end
        end = stop
        # A line that isn't indented most likely begins a definition: the best place to part two blocks.
        if end - start > _BLOCK // 2 and end < len(text) and not text[end].isspace():
            best = end
    return end


def _boundaries(block: str, language: str, capacity: int) -> list[int]:
    if len(block) > _LONGEST_LINE and block.find("\n") in (-1, len(block) - 1):
        return list(range(capacity, len(block), capacity))
    splitter = _splitter(language if language not in _GRAMMARS or _tame(block) else "text", capacity)
    return list(accumulate(map(len, splitter(block))))[:-1]


def _splitter(language: str, capacity: int) -> Callable[[str], list[str]]:
    if language == "markdown":
        return MarkdownSplitter(capacity, trim=False).chunks
    if language in _GRAMMARS:
        return CodeSplitter(_grammar(language), capacity, trim=False).chunks
    return TextSplitter(capacity, trim=False).chunks


@cache
def _grammar(language: str) -> Any:
    module, function = _GRAMMARS[language]
    return getattr(import_module(module), function)()


def _tame(block: str) -> bool:
    """False where the code splitter might take out of all proportion to the block's length."""
    data = block.encode()
    if len(data) > _REPETITIVE * len(zlib.compress(data, 1)):
        return False
    depths = accumulate(map(_STEPS.__getitem__, _BRACKET.findall(block)))
    return max(depths, default=0) <= _DEEPEST


def _at_line_edge(text: str, cut: int) -> int:
    """The cut moved to the edge of its line, where only blanks stand between.

    The code splitter cuts where a syntax node begins, after its indentation.
    """
    before = text.rfind("\n", 0, cut) + 1
    if not text[before:cut].strip():
        return before
    after = text.find("\n", cut) + 1 or len(text)
    return cut if text[cut:after].strip() else after


def _fit(piece: str, budget: int) -> list[tuple[str, int]]:
    """The piece, halved until its parts fit: where the text is denser in tokens than its file is."""
    tokens = count(piece)
    if tokens <= budget:
        return [(piece, tokens)]
    half = _middle(piece)
    return _fit(piece[:half], budget) + _fit(piece[half:], budget)


def _middle(piece: str) -> int:
    half, quarter = len(piece) // 2, len(piece) // 4
    for mark in ("\n", " "):
        if (place := piece.rfind(mark, quarter, half)) >= 0:
            return place + 1
    return half


def _join(pieces: list[tuple[str, int]], budget: int) -> list[tuple[str, int]]:
    """Neighbours joined into as few chunks as fit, of about equal size: no chunk is a mere tail."""
    sizes = [tokens for _, tokens in pieces]
    limit = _even_limit(sizes, budget)
    joined: list[tuple[str, int]] = []
    for group in _groups(sizes, limit):
        text = "".join(piece for piece, _ in pieces[group])
        tokens = count(text)
        # Tokens may differ where pieces meet: the sum is a good guess, never a promise.
        joined += [(text, tokens)] if tokens <= budget else pieces[group]
    return joined


def _groups(sizes: list[int], limit: int) -> list[slice]:
    groups, start, held = [], 0, 0
    for place, size in enumerate(sizes):
        if place > start and held + size > limit:
            groups.append(slice(start, place))
            start, held = place, 0
        held += size
    return [*groups, slice(start, len(sizes))]


def _even_limit(sizes: list[int], budget: int) -> int:
    """The smallest limit with as few groups as `budget` gives: linear partition, by bisection."""
    fewest = len(_groups(sizes, budget))
    low, high = max(*sizes, sum(sizes) // fewest), budget
    while low < high:
        limit = (low + high) // 2
        if len(_groups(sizes, limit)) > fewest:
            low = limit + 1
        else:
            high = limit
    return high
