"""Splitting: lossless, within the budget, at syntax boundaries, in bounded time."""

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from understudy.protocols.digest import Chunk
from understudy.supervisors.digest.split import SMALLEST_BUDGET, split
from understudy.supervisors.digest.tokens import count

LANGUAGES = [
    "bash",
    "c",
    "cpp",
    "c-sharp",
    "go",
    "html",
    "java",
    "javascript",
    "json",
    "php",
    "python",
    "ruby",
    "rust",
    "tsx",
    "typescript",
    "markdown",
    "text",
    "yaml",
]
PIECES = [
    "def f(x):\n",
    "    return x\n",
    "\n",
    "\r\n",
    "class A:\r\n",
    "\t",
    "# heading\n",
    "\U0001f469\u200d\U0001f467",
    "\u6f22\u5b57\u3002",
    "e\u0301",
    "{",
    "}",
    "<a",
    "'",
    '"""',
    "aGVsbG8gd29ybGQ" * 9,
    " " * 40,
    "<|endoftext|>",
    "\0",
    "\x0c",
    "\u2028",
    "word ",
]
TEXTS = st.lists(st.sampled_from(PIECES) | st.text(max_size=8), max_size=60).map("".join)


def check(text: str, chunks: list[Chunk], budget: int) -> None:
    """What holds of any split, against the definition of each field."""
    assert "".join(chunk.text for chunk in chunks) == text
    assert [(chunk.number, chunk.of) for chunk in chunks] == [(n, len(chunks)) for n in range(1, len(chunks) + 1)]
    offset = 0
    for chunk in chunks:
        assert chunk.tokens == count(chunk.text) <= budget
        assert chunk.text or not text
        offset += len(chunk.text)
        last = max(offset - 1, 0)
        assert chunk.first_line == text[: offset - len(chunk.text)].count("\n") + 1
        assert chunk.last_line == text[:last].count("\n") + 1


@given(TEXTS, st.sampled_from(LANGUAGES), st.integers(SMALLEST_BUDGET, 200))
@settings(deadline=None)
def test_chunks_are_lossless_and_fit(text: str, language: str, budget: int) -> None:
    """Joined they give the text; each is within the budget, and its lines are exact."""
    check(text, split("a", text, language, budget), budget)


def test_a_small_file_is_one_chunk() -> None:
    """What fits isn't split."""
    assert split("a.py", "x = 1\n", "python", 16) == [Chunk("a.py", 1, 1, 1, 1, 5, "python", "x = 1\n")]


def test_an_empty_text_is_one_empty_chunk() -> None:
    """A file without text still has a place in the plan."""
    assert [chunk.text for chunk in split("a", "", "text", 100)] == [""]


def test_code_is_cut_between_definitions() -> None:
    """Each chunk of a module of small functions begins with a function."""
    text = "".join(f"def f{n}(a, b):\n    if a:\n        return b\n\n    return a\n\n\n" for n in range(100))
    chunks = split("a.py", text, "python", 300)
    assert len(chunks) > 5
    assert all(chunk.text.startswith("def f") for chunk in chunks)


def test_methods_keep_their_indentation() -> None:
    """A cut inside a class falls on the edge of a line."""
    body = "".join(f"    def f{n}(self):\n        return {n}\n\n" for n in range(200))
    chunks = split("a.py", "class A:\n" + body, "python", 200)
    assert all(chunk.text.startswith(("class A", "    def f")) for chunk in chunks)


def test_chunks_are_of_like_size() -> None:
    """No chunk is a mere tail."""
    text = "".join(f"x{n} = {n}\n" for n in range(1000))
    tokens = [chunk.tokens for chunk in split("a.py", text, "python", 1000)]
    assert min(tokens) > max(tokens) / 2


def test_a_single_long_line_is_cut_inside() -> None:
    """No boundary at all is no excuse."""
    text = "a1," * 20_000
    chunks = split("a.json", text, "json", 500)
    check(text, chunks, 500)
    assert {chunk.first_line for chunk in chunks} == {1}


def test_a_budget_too_small_is_refused() -> None:
    """Below the bound a single character might not fit."""
    with pytest.raises(ValueError, match="too small"):
        split("a", "text", "text", SMALLEST_BUDGET - 1)


@pytest.mark.parametrize("language", ["c-sharp", "cpp", "javascript", "bash", "rust", "markdown"])
@pytest.mark.parametrize(
    "text",
    [
        "[" * 200_000,
        "<a\n" * 100_000,
        "[]\n" * 100_000,
        '"' * 200_000,
        "\u6f22\u5b57" * 100_000,
        "".join(" " * min(n, 300) + "if x:\n" for n in range(1000)),
        "".join(f"({n}\n" for n in range(30_000)),
    ],
    ids=["brackets", "tags", "pairs", "quotes", "one line of kanji", "indentation", "open"],
)
def test_hostile_text_takes_bounded_time(text: str, language: str) -> None:
    """Nesting, errors and unbroken lines, on which parsers alone take up to minutes, take seconds of CPU."""
    before = time.process_time()
    check(text, split("a", text, language, 4000), 4000)
    assert time.process_time() - before < 8
