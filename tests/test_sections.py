"""Taking an answer about several documents apart, as models really write it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from understudy.supervisors.digest.sections import sections

names = st.lists(
    st.from_regex(r"[a-z]{1,5}(/[a-z]{1,5}){0,2}\.[a-z]{1,3}", fullmatch=True), min_size=2, max_size=6, unique=True
)
texts = st.text(st.sampled_from("ab c.\n#"), max_size=40).filter(lambda text: "# " not in text)


@given(
    names.flatmap(lambda all_: st.tuples(st.just(all_), st.permutations(all_), st.lists(texts, min_size=6, max_size=6)))
)
def test_each_section_goes_to_its_name(case: tuple[list[str], list[str], list[str]]) -> None:
    """Whatever the order of the sections, each text comes back at its document's place."""
    wanted, written, bodies = case
    body = dict(zip(written, bodies, strict=False))
    answer = "Here it is:\n" + "\n".join(f"## {name}\n{body[name]}" for name in written)
    assert sections(answer, wanted) == [body[name].strip() for name in wanted]


@pytest.mark.parametrize(
    "heading", ["# a.py", "## a.py", "#### a.py", "## `a.py`", "## **a.py**", '## "a.py"', "##  a.py  ", "## a.py ##"]
)
def test_headings_as_models_write_them(heading: str) -> None:
    """Levels one to four, with quotes, backticks, stars or closing marks."""
    assert sections(f"{heading}\nDoes A.\n\n## b.py\nDoes B.", ["a.py", "b.py"]) == ["Does A.", "Does B."]


def test_other_headings_belong_to_the_text() -> None:
    """A heading that names no document stays where it stands."""
    assert sections("## a.py\nDoes A.\n### Details\nMore.\n## b.py\nB.", ["a.py", "b.py"]) == [
        "Does A.\n### Details\nMore.",
        "B.",
    ]


def test_what_is_missing_is_empty() -> None:
    """A document without a section has an empty one; an answer without headings has none at all."""
    assert sections("## b.py\nB.", ["a.py", "b.py"]) == ["", "B."]
    assert sections("All of it does things.", ["a.py", "b.py"]) == ["", ""]


def test_one_document_needs_no_heading() -> None:
    """A single answer is whole, and loses its heading if it has one."""
    assert sections("  Does A.  ", ["a.py"]) == ["Does A."]
    assert sections("## `a.py`\nDoes A.", ["a.py"]) == ["Does A."]
    assert sections("## Other\nDoes A.", ["a.py"]) == ["## Other\nDoes A."]


def test_two_of_one_name_are_told_apart_by_order() -> None:
    """Documents with equal names get their sections in order; a third section of the name is dropped."""
    assert sections("## x\n1\n## x\n2\n## x\n3", ["x", "x"]) == ["1", "2"]


@given(st.text(), st.lists(st.text(min_size=1), min_size=1, max_size=4))
def test_any_text_gives_a_section_for_each_name(text: str, wanted: list[str]) -> None:
    """Whatever a model answers, there is one text for each document."""
    assert len(sections(text, wanted)) == len(wanted)
