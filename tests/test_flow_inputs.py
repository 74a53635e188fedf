"""Inputs of a workflow: words, JSON, files and standard input; each mistake is told with its place."""

import io
import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from understudy.cluster.flows import inputs
from understudy.protocols.errors import UsageError

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(st.characters(exclude_categories=["Cs"])),
    lambda below: st.lists(below, max_size=4) | st.dictionaries(st.text("abc", max_size=3), below, max_size=4),
    max_leaves=8,
)


def fine(_: Any) -> str:
    """Takes every input."""
    return ""


def flaw_of_two(value: Any) -> str:
    """Refuses the number 2."""
    return "must not be 2" if value == 2 else ""


def written(folder: Path, text: str | bytes, name: str = "in.jsonl") -> Path:
    """A file."""
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


# One ------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("My invoice is wrong", "My invoice is wrong"),
        ('{"a": [1, 2]}', {"a": [1, 2]}),
        (' ["x"]', ["x"]),
        ("{ this is no JSON }", "{ this is no JSON }"),
        ("42", "42"),
        ("", ""),
        ("[1, 2", "[1, 2"),
    ],
)
def test_words_are_words_and_json_is_json(text: str, value: Any) -> None:
    """What begins with a brace or a bracket and is JSON is taken as such; all else is words."""
    assert inputs.one(text, fine) == value


def test_a_file_is_named_by_an_at_sign(tmp_path: Path) -> None:
    """`@FILE`: text, or JSON where it is JSON; a .json file may hold any JSON value."""
    assert inputs.one(f"@{written(tmp_path, 'long text', 'a.txt')}", fine) == "long text"
    assert inputs.one(f"@{written(tmp_path, '[1]', 'b.txt')}", fine) == [1]
    assert inputs.one(f"@{written(tmp_path, '7', 'c.json')}", fine) == 7


def test_a_json_file_that_is_none_names_line_and_column(tmp_path: Path) -> None:
    """`FILE.json:line:column`, and what is wrong."""
    path = written(tmp_path, '{"a": 1,\n  "b" 2}\n', "bad.json")
    with pytest.raises(UsageError, match=rf"^{path}:2:\d+: not JSON: "):
        inputs.one(f"@{path}", fine)


def test_a_file_that_cant_be_read_is_named(tmp_path: Path) -> None:
    """No such file, a folder, bytes that are no text: one line, with the path and the remedy."""
    with pytest.raises(UsageError, match=r"nowhere.txt: No such file or directory; check the path"):
        inputs.one(f"@{tmp_path}/nowhere.txt", fine)
    with pytest.raises(UsageError, match=r"Is a directory"):
        inputs.one(f"@{tmp_path}", fine)
    with pytest.raises(UsageError, match=r"latin.txt: not UTF-8 text \(byte 3\)"):
        inputs.one("@" + str(written(tmp_path, b"caf\xe9", "latin.txt")), fine)


def test_an_input_that_is_far_too_large_is_refused_unread(tmp_path: Path) -> None:
    """A sparse file of a gigabyte is never read."""
    path = tmp_path / "huge.txt"
    with path.open("wb") as file:
        file.truncate(1_000_000_000)
    with pytest.raises(UsageError, match="larger than 200,000,000 bytes; give it in parts"):
        inputs.one(f"@{path}", fine)


def test_a_hyphen_is_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    """`-` reads words or JSON; bytes that are no text are refused in one line."""
    for data, value in ((b"two\nlines\n", "two\nlines\n"), (b"[1, 2]", [1, 2]), ("ä".encode(), "ä")):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data), encoding="utf-8"))
        assert inputs.one("-", fine) == value
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"caf\xe9"), encoding="utf-8"))
    with pytest.raises(UsageError, match=r"^standard input: not UTF-8 text \(byte 3\)"):
        inputs.one("-", fine)


def test_words_that_are_no_text_are_refused() -> None:
    """A shell hands over bytes that are no UTF-8 as lone surrogates, which no JSON can hold."""
    with pytest.raises(UsageError, match="--input: not UTF-8 text"):
        inputs.one("caf\udce9", fine)


def test_what_the_workflow_doesnt_take_is_told() -> None:
    """The check's words, behind where the input is from."""
    with pytest.raises(UsageError, match=r"^--input: must be a list$"):
        inputs.one("words", lambda value: "" if isinstance(value, list) else "must be a list")


# Many -----------------------------------------------------------------------------------------------------------------


@given(values=st.lists(VALUES, min_size=1, max_size=12), gaps=st.lists(st.sampled_from(["", "\n", " \n", "\r\n"])))
def test_lines_are_the_values_of_a_naive_reading(
    tmp_path_factory: pytest.TempPathFactory, values: list[Any], gaps: list[str]
) -> None:
    """Any JSON values, with empty lines between: counted, and the same each time they are gone through."""
    text = "".join(json.dumps(value) + "\n" + gap for value, gap in zip(values, [*gaps, *[""] * 12], strict=False))
    lines = inputs.Lines(written(tmp_path_factory.mktemp("lines"), text), fine)
    assert lines.count == len(values)
    assert list(lines) == list(lines) == values


def test_a_last_line_without_an_end_counts(tmp_path: Path) -> None:
    """As editors leave it."""
    assert list(inputs.Lines(written(tmp_path, "1\n2"), fine)) == [1, 2]


def test_a_byte_order_mark_is_no_mistake(tmp_path: Path) -> None:
    """As Windows' editors write it before the first line."""
    assert list(inputs.Lines(written(tmp_path, b'\xef\xbb\xbf"a"\n"b"\n'), fine)) == ["a", "b"]


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ('{"a": 1}\n{"a" 1}\n', r":2:6: not JSON: .*; one value a line$"),
        ("1\n\nwords\n", r":3:1: not JSON"),
        ('{\n  "a": 1\n}\n', r":1:\d+: not JSON"),
        ("1\nNaN\n", r":2:1: not JSON"),
        ("1\n2\n3\n", r":2: must not be 2$"),
        (b'1\n"\xff"\n', r":2:\d+: not JSON"),
        ("\n \n", r": holds no inputs; write one JSON value a line$"),
        ("", r": holds no inputs"),
    ],
)
def test_a_bad_line_names_its_place(tmp_path: Path, text: str | bytes, place: str) -> None:
    """`FILE:line:column`, before any input is given out."""
    path = written(tmp_path, text)
    with pytest.raises(UsageError, match=f"^{path}{place}"):
        inputs.Lines(path, flaw_of_two)


def test_a_file_of_inputs_that_cant_be_read_is_named(tmp_path: Path) -> None:
    """No such file, or a folder."""
    with pytest.raises(UsageError, match=r"No such file or directory; check the path given to --inputs"):
        inputs.Lines(tmp_path / "nowhere.jsonl", fine)
    with pytest.raises(UsageError, match="Is a directory"):
        inputs.Lines(tmp_path, fine)


def test_what_can_be_read_only_once_is_refused(tmp_path: Path) -> None:
    """A pipe would be empty the second time, and the job would have no inputs: it is told before that."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(UsageError, match=r"can't be read twice; save the inputs as a file"):
        inputs.Lines(pipe, fine)


def test_many_inputs_are_never_held(tmp_path: Path) -> None:
    """Lines are read as they are asked for: what is taken of a large file costs no more than that."""
    path = written(tmp_path, "".join(f"{number}\n" for number in range(50_000)))
    lines = inputs.Lines(path, fine)
    taken = iter(lines)
    assert [next(taken) for _ in range(3)] == [0, 1, 2]
    assert lines.count == 50_000
    assert not any(isinstance(value, list) for value in vars(lines).values())
