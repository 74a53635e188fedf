"""Packing: every chunk once, within the budget, in few packs, neighbours together."""

from hypothesis import given
from hypothesis import strategies as st

from understudy.protocols.digest import Chunk, Pack
from understudy.supervisors.digest.pack import MOST_FILES, header, pack

BUDGET = 1000


def chunk(path: str, tokens: int, number: int = 1, of: int = 1) -> Chunk:
    return Chunk(path, number, of, 1, 1, tokens, "text", f"{path} {number}")


def naive(chunks: list[Chunk], budget: int) -> int:
    """Packs that next-fit in tree order needs, a chunk of a split file alone."""
    packs = files = held = 0
    for each in chunks:
        cost = each.tokens + header(each.path)
        if each.of > 1:
            packs += 1
        elif not files or files == MOST_FILES or held + cost > budget:
            packs, files, held = packs + 1, 1, cost
        else:
            files, held = files + 1, held + cost
    return packs


def paths(packs: list[Pack]) -> list[list[str]]:
    return [[each.path for each in held.chunks] for held in packs]


_FOLDERS = st.sampled_from(["", "a/", "a/b/", "a/b/c/", "d/", "d/e/", "f/"])
_TOKENS = st.integers(0, 120) | st.integers(0, 960)


@st.composite
def corpora(draw: st.DrawFn) -> list[Chunk]:
    """Chunks in tree order; some files are split."""
    files = draw(st.dictionaries(st.tuples(_FOLDERS, st.integers(0, 99)), st.lists(_TOKENS, min_size=1, max_size=3)))
    return [
        chunk(f"{folder}{name:02}", tokens, number, len(sizes))
        for (folder, name), sizes in sorted(files.items(), key=lambda file: file[0])
        for number, tokens in enumerate(sizes, 1)
    ]


@given(corpora())
def test_every_chunk_once_within_the_budget(chunks: list[Chunk]) -> None:
    """Nothing is lost, doubled or over the bounds; chunks of a split file are alone; order is the tree's."""
    packs = pack(chunks, BUDGET)
    held = [each for each_pack in packs for each in each_pack.chunks]
    assert sorted(held, key=chunks.index) == chunks
    assert len(held) == len(chunks)
    for number, each in enumerate(packs):
        assert each.id == number
        assert each.tokens == sum(one.tokens + header(one.path) for one in each.chunks) <= BUDGET
        assert len(each.chunks) <= MOST_FILES
        assert len(each.chunks) == 1 or all(one.of == 1 for one in each.chunks)
        assert list(each.chunks) == sorted(each.chunks, key=chunks.index)
    firsts = [chunks.index(each.chunks[0]) for each in packs]
    assert firsts == sorted(firsts)


@given(corpora())
def test_no_more_packs_than_next_fit(chunks: list[Chunk]) -> None:
    """Keeping neighbours together costs no call."""
    assert len(pack(chunks, BUDGET)) <= naive(chunks, BUDGET)


def test_files_of_a_folder_share_a_pack() -> None:
    """Folders that fill a pack each aren't mixed."""
    chunks = [chunk(f"{folder}/{name}", 400) for folder in "ab" for name in ("x", "y")]
    assert paths(pack(chunks, BUDGET)) == [["a/x", "a/y"], ["b/x", "b/y"]]


def test_leftovers_of_siblings_share_a_pack() -> None:
    """Small folders are read together rather than in a call each."""
    chunks = [chunk(f"{folder}/x", 100) for folder in "abcdef"]
    assert paths(pack(chunks, BUDGET)) == [[f"{folder}/x" for folder in "abcdef"]]


def test_at_most_forty_files_a_pack() -> None:
    """A model has to answer for each file."""
    sizes = [len(each.chunks) for each in pack([chunk(f"{name:03}", 1) for name in range(100)], 4000)]
    assert sizes == [40, 40, 20]


def test_a_chunk_over_the_budget_is_alone() -> None:
    """A chunk nobody could fit is kept, not dropped."""
    assert paths(pack([chunk("a", 10), chunk("b", 5000), chunk("c", 10)], BUDGET)) == [["a", "c"], ["b"]]


def test_nothing_gives_no_packs() -> None:
    """No chunks, no packs."""
    assert pack([], BUDGET) == []
