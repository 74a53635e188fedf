"""Cutting texts for map-reduce: lossless, within the budget, never needlessly, with marked overlap, packed."""

from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from understudy.supervisors.chunking import Piece, bundles, chunks
from understudy.supervisors.digest.pack import MOST_FILES, header
from understudy.supervisors.digest.tokens import count

LINES = ["def f(x):\n", "    return x\n", "\n", "# heading\n", "word " * 30 + "\n", "漢字。", "aGVsbG8" * 40, "x\r\n"]
TEXTS = st.lists(st.sampled_from(LINES) | st.text(max_size=8), max_size=80).map("".join)
NAMES = st.sampled_from(["a.py", "src/b.md", "src/c.txt", "d"])
BUDGETS = st.tuples(st.integers(32, 200), st.integers(0, 16))


@settings(deadline=None)
@given(st.lists(st.tuples(NAMES, TEXTS), max_size=6), BUDGETS)
def test_pieces_are_lossless_and_fit(texts: list[tuple[str, str]], budget: tuple[int, int]) -> None:
    """Pieces without their overlap give each text back, in order; none passes the budget; what fits is not cut."""
    tokens, overlap = budget
    left = chunks(texts, tokens=tokens, overlap=overlap)
    assert all(piece.tokens == count(piece.text) <= tokens for piece in left)
    for name, text in texts:
        mine, left = left[: left[0].of], left[left[0].of :]
        assert "".join(piece.own for piece in mine) == text
        assert {(piece.name, piece.of) for piece in mine} == {(name, len(mine))}
        assert [piece.number for piece in mine] == list(range(1, len(mine) + 1))
        assert (len(mine) == 1) == (count(text) <= tokens)
    assert left == []


@settings(deadline=None)
@given(TEXTS, st.integers(1, 16))
def test_overlap_is_the_end_of_the_piece_before(text: str, overlap: int) -> None:
    """What a piece repeats is the end of the one before it, of at most so many tokens; the first repeats nothing."""
    pieces = chunks(text, tokens=40, overlap=overlap)
    assert pieces[0].overlap_chars == 0
    for before, piece in pairwise(pieces):
        front = piece.text[: piece.overlap_chars]
        assert before.own.endswith(front)
        assert count(front) <= overlap + 2  # a cut inside a character sequence may count otherwise
    assert [piece.text for piece in chunks(text, tokens=40)] == [piece.own for piece in chunks(text, tokens=40)]


def test_overlap_begins_with_a_line() -> None:
    """Of lines, whole ones are repeated, about as many tokens as were asked for; lines are numbered without them."""
    text = "".join(f"the line with number {number} says nothing\n" for number in range(100))
    pieces = chunks([("notes.txt", text)], tokens=200, overlap=40)
    assert len(pieces) > 5
    for before, piece in pairwise(pieces):
        front = piece.text[: piece.overlap_chars]
        assert front.startswith("the line with number")
        assert 20 <= count(front) <= 40
        assert piece.first_line == before.last_line + 1
        assert piece.own.startswith(f"the line with number {piece.first_line - 1} ")
    assert pieces[1].label == f"notes.txt (lines {pieces[1].first_line}-{pieces[1].last_line})"
    assert chunks("short", tokens=32)[0].label == ""
    assert chunks(text, tokens=200)[0].label.startswith("lines 1-")


@settings(deadline=None)
@given(st.lists(st.tuples(NAMES, TEXTS), max_size=60))
def test_small_texts_share_a_call(texts: list[tuple[str, str]]) -> None:
    """Each piece is in one bundle; a bundle fits the budget with its names, unless it is one piece alone."""
    pieces = chunks(texts, tokens=100)
    packed = bundles(pieces, tokens=100)
    flat = [piece for bundle in packed for piece in bundle]
    assert Counter(map(id, flat)) == Counter(map(id, pieces))
    for bundle in packed:
        cost = sum(piece.tokens + header(piece.name) for piece in bundle)
        assert len(bundle) == 1 or (cost <= 100 and all(piece.of == 1 for piece in bundle))
        assert len(bundle) <= MOST_FILES
    assert len(packed) <= max(len(pieces), 1)


def test_micro_files_cost_few_calls() -> None:
    """Two hundred files of ten tokens are a handful of calls."""
    texts = [(f"src/part{number}.py", f"x{number} = {number}\n") for number in range(200)]
    packed = bundles(chunks(texts, tokens=4000), tokens=4000)
    assert len(packed) == 5
    assert sum(map(len, packed)) == 200


@pytest.mark.parametrize(("tokens", "overlap"), [(15, 0), (40, 21), (30, 15), (40, -1)])
def test_impossible_budgets_are_refused(tokens: int, overlap: int) -> None:
    """A budget that leaves no room, or an overlap of more than half, is told at once, with what would do."""
    with pytest.raises(ValueError, match="tokens are too few with an overlap of"):
        chunks("text", tokens=tokens, overlap=overlap)


def test_nothing_is_nothing() -> None:
    """No texts have no pieces; an empty one has an empty piece."""
    assert chunks([], tokens=100) == []
    assert chunks("", tokens=100) == [Piece("", 1, 1, 1, 1, 0, 0, "")]
    assert bundles([], tokens=100) == []
