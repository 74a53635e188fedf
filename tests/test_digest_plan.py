"""The plan: everything found is in it, and its estimate counts the calls that will be made."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from understudy.protocols.config import DigestSettings
from understudy.protocols.digest import DigestPlan, Skipped
from understudy.protocols.errors import SourceError
from understudy.supervisors.digest.plan import Found, Planner, TextFile, estimate

SETTINGS = DigestSettings(map_budget=256, reduce_budget=1024)


def plan(*items: Found, config: DigestSettings = SETTINGS) -> DigestPlan:
    planner = Planner("root", config)
    for item in items:
        planner.add(item)
    return planner.finish()


def file(path: str, lines: int = 3) -> TextFile:
    text = "".join(f"value_{n} = {n}\n" for n in range(lines))
    return TextFile(path, text, len(text))


def test_files_are_described() -> None:
    """Size, lines, tokens and language of each file are in the plan."""
    made = plan(TextFile("a.py", "x = 1\r\ny = 2", 12), Skipped("b.bin", "binary"))
    (only,) = made.files
    assert (only.path, only.size, only.lines, only.tokens, only.language) == ("a.py", 12, 2, 9, "python")
    assert made.skipped == (Skipped("b.bin", "binary"),)
    assert made.root == "root"


_PATHS = st.lists(st.sampled_from(["a", "b", "c"]), max_size=3).map(lambda parts: "/".join([*parts, "x.py"]))


@given(st.dictionaries(_PATHS, st.integers(1, 120), min_size=1))
@settings(deadline=None)
def test_numbers_add_up(sizes: dict[str, int]) -> None:
    """Files, chunks, packs and leaves all hold the same texts; the running totals agree."""
    items = [file(path, lines) for path, lines in sizes.items()]
    planner = Planner("root", SETTINGS)
    for item in items:
        planner.add(item)
    made = planner.finish()
    chunks = [chunk for pack in made.packs for chunk in pack.chunks]
    for item, described in zip(items, made.files, strict=True):
        mine = sorted((chunk for chunk in chunks if chunk.path == item.path), key=lambda chunk: chunk.number)
        assert "".join(chunk.text for chunk in mine) == item.text
        assert described.tokens == sum(chunk.tokens for chunk in mine)
    assert all(pack.tokens <= SETTINGS.map_budget for pack in made.packs)
    assert sum(node.kind == "chunk" for node in made.nodes) == len(chunks) == planner.totals.chunks
    assert planner.totals.tokens == sum(described.tokens for described in made.files)
    assert planner.totals.bytes == sum(item.size for item in items)
    assert planner.totals.files == len(items)


@pytest.mark.parametrize(
    ("items", "words"),
    [
        ([], "the folder is empty"),
        ([Skipped("a.bin", "binary")], "a.bin is binary"),
        ([Skipped("a", "symlink")], "a is a symlink"),
        ([Skipped("a", "unreadable", "Permission denied")], r"a is unreadable \(Permission denied\)"),
        ([Skipped("a", "empty"), Skipped("b", "empty"), Skipped("c", "binary")], r"\(1 binary, 2 empty\)"),
    ],
)
def test_nothing_to_read_is_refused(items: list[Found], words: str) -> None:
    """One line says what was found instead."""
    with pytest.raises(SourceError, match=words) as caught:
        plan(*items)
    assert "\n" not in str(caught.value)


def test_a_very_long_path_leaves_room_for_text() -> None:
    """A path that takes most of the budget is bad luck, not an error."""
    made = plan(file("qz7/" * 200 + "a.py", lines=100))
    assert len(made.packs) > 1


def test_calls_are_counted_by_the_tree() -> None:
    """An only child is passed through; the root always gets a call; a folder of two gets one."""
    one = estimate(plan(file("a.py")), SETTINGS)
    assert (one.map_calls, one.reduce_calls, one.calls) == (1, 1, 2)
    chain = estimate(plan(file("a/b/c/d.py")), SETTINGS)
    assert (chain.map_calls, chain.reduce_calls) == (1, 1)
    two = estimate(plan(file("a/b.py"), file("a/c.py"), file("d.py")), SETTINGS)
    assert (two.map_calls, two.reduce_calls) == (1, 2)
    large = estimate(plan(file("a/b.py", lines=60), file("c.py")), SETTINGS)
    assert large.map_calls > 2
    assert large.reduce_calls == 2


def test_wide_folders_are_merged_in_rounds() -> None:
    """What doesn't fit one reduce call takes one for each group and one for the groups."""
    items = [file(f"{n:02}.py", lines=30) for n in range(20)]
    wide = estimate(plan(*items), SETTINGS)
    narrow = estimate(plan(*items), DigestSettings(map_budget=256, reduce_budget=100_000))
    assert narrow.reduce_calls == 1
    assert wide.reduce_calls > 3


def test_tokens_are_bounded_by_the_settings() -> None:
    """No answer is guessed longer than it may be, and all that is read is counted."""
    made = plan(*(file(f"{folder}/{n}.py", lines=20) for folder in "abc" for n in range(5)))
    guess = estimate(made, SETTINGS)
    assert guess.map_output_tokens <= guess.map_calls * SETTINGS.map_answer
    assert guess.reduce_output_tokens <= guess.reduce_calls * SETTINGS.reduce_answer
    assert guess.map_input_tokens > sum(described.tokens for described in made.files)
    assert guess.input_tokens == guess.map_input_tokens + guess.reduce_input_tokens
    assert guess.output_tokens == guess.map_output_tokens + guess.reduce_output_tokens
