"""No merge drops a chunk silently, whatever fails; and what is reported of it is what happened."""

import asyncio
import re
from itertools import pairwise
from typing import Any

import msgspec
import pytest
from flow_strategies import NOBODY, Node, interpreter, value
from flow_tools import chain, function
from hypothesis import given, settings
from hypothesis import strategies as st

from understudy.protocols.errors import StepFailed
from understudy.protocols.messages import ItemDone
from understudy.protocols.workflow import MapReduce
from understudy.protocols.workflow.result import FlowResult
from understudy.protocols.workflow.spec import item
from understudy.supervisors.patterns.chunks import Chunk, chunked
from understudy.supervisors.patterns.map_rerank import tied
from understudy.supervisors.patterns.map_tree import folders
from understudy.supervisors.workflow.merging import compact, covered, cut, name_of

FOLDERS = ("", "a/", "a/b/", "c/")


def run(node: Node, items: list[Any]) -> tuple[ItemDone, FlowResult]:
    """What comes of a workflow that asks nobody."""
    done = asyncio.run(interpreter(node).map(0, item(items), NOBODY))
    return done, msgspec.msgpack.decode(done.data, type=FlowResult)


def _merges(variant: str, fails_at: int) -> Node:
    texts = "{{ [draft, chunk.text] }}" if variant == "refine" else "{{ parts }}"
    return function("marks", texts=texts, fails_at=fails_at)


def _maps(broken: set[int], skipped: set[int]) -> Node:
    rules = [{"when": f"index in {sorted(broken)}", "to": "broken"}]
    good = {**value("{{ chunk.text }}"), "when": f"index not in {sorted(skipped)}"}
    return {
        "kind": "route",
        "rules": rules,
        "generalist": "good",
        "branches": {"broken": function("afail"), "good": good},
    }


def _depth(result: FlowResult) -> int:
    """Levels of merges that were made, by what each of them covers: those that lie in one another."""
    found = [re.fullmatch(r"run/reduce/(\d+)-(\d+)", step.path) for step in result.steps]
    spans = [range(int(one[1]), int(one[2])) for one in found if one]
    return max(
        (sum(outer.start <= span.start and span.stop <= outer.stop for outer in spans) for span in spans), default=0
    )


@settings(max_examples=150)
@given(
    st.lists(st.tuples(st.sampled_from(FOLDERS), st.integers(1, 300)), min_size=1, max_size=14),
    st.sampled_from(["reduce", "collapse", "tree", "refine"]),
    st.sets(st.integers(0, 13), max_size=5),
    st.sets(st.integers(0, 13), max_size=3),
    st.sampled_from([0, 0, 2, 3, 4]),
    st.sampled_from([256, 400, 2000]),
    st.sampled_from([1.0, 0.5, 0.0]),
)
def test_covered_and_missing_are_all_chunks_once(  # noqa: PLR0917 - one argument for each strategy
    texts: list[tuple[str, int]],
    variant: str,
    broken: set[int],
    skipped: set[int],
    fails_at: int,
    budget: int,
    tolerate: float,
) -> None:
    """What the answer holds is exactly what is said to be covered; all else is missing by name, with a cause."""
    items = [{"name": f"{folder}{at}", "text": f"<{at}> " + "word " * size} for at, (folder, size) in enumerate(texts)]
    node: Node = {
        "kind": "map_reduce",
        "variant": variant,
        "map": _maps(broken, skipped),
        "reduce": _merges(variant, fails_at),
        "budget": budget,
        "tolerate": tolerate,
    }
    done, result = run(node, items)
    bad = len([at for at in range(len(items)) if at in broken | skipped])
    if done.error:
        assert not result.coverage
        assert bad or fails_at or tolerate < 1
        return
    [one] = result.coverage
    missing = [number for number, _, _ in one.missing]
    found = [number for first, stop in one.covered for number in range(first, stop)]
    assert sorted(missing + found) == list(range(len(items)))
    assert sorted(int(mark) for mark in re.findall(r"<(\d+)>", str(result.value))) == found
    assert all(items[number]["name"] == name and cause for number, name, cause in one.missing)
    assert len(missing) <= tolerate * len(items)
    assert done.degraded == bool(missing)
    if variant in ("reduce", "collapse"):
        assert one.depth == _depth(result)
        made = [step for step in result.steps if step.path.startswith("run/reduce/") and step.path.count("/") == 2]
        assert one.merges == len(made)


def test_a_tree_is_merged_along_its_folders() -> None:
    """Each folder's merge reads what is in it; a folder with one thing in it hands that on."""
    names = ["a/b/1", "a/b/2", "a/3", "c/4", "5"]
    node = {
        "kind": "map_reduce",
        "variant": "tree",
        "map": value("{{ chunk.text }}"),
        "reduce": value("{{ folder }}({{ parts | map(attribute='value') | join(' ') }})"),
    }
    _, result = run(node, [{"name": name, "text": name} for name in names])
    assert result.value == "./(5 a/(a/3 a/b/(a/b/1 a/b/2)) c/4)"
    assert (result.coverage[0].depth, result.coverage[0].merges) == (3, 3)


def test_candidates_that_are_tied_are_compared() -> None:
    """The judge sees all of them at once and only their order is changed; the answer cites what it is from."""
    node = {
        "kind": "map_reduce",
        "variant": "rerank",
        "map": value({"score": "{{ chunk.s }}", "n": "{{ chunk.name }}"}),
        "judge": value({"scores": "{{ candidates | map(attribute='name') | map('int') | list }}"}),
        "top": 2,
        "tie": 0.05,
    }
    items = [{"name": str(at), "s": score} for at, score in enumerate([0.1, 0.9, 0.87, 0.88, 0.5])]
    _, result = run(node, items)
    assert [one["source"] for one in result.value] == ["3", "2"]  # type: ignore[attr-defined]
    assert result.coverage[0].cites == ("3", "2")
    items[1]["s"] = 0.99
    _, result = run(node, items)
    assert [one["source"] for one in result.value] == ["1", "3"]  # type: ignore[attr-defined]


@given(st.lists(st.sampled_from([0.1, 0.12, 0.5, 0.52, 0.9]), min_size=0, max_size=8), st.integers(1, 4))
def test_tied_are_those_whose_order_at_the_edge_is_by_chance(scores: list[float], top: int) -> None:
    """They are neighbours, hold the last of the best, and differ from it by less than the tie."""
    scored = [(score, at, None) for at, score in enumerate(sorted(scores, reverse=True))]
    places = tied(scored, top, 0.05)
    if not places:
        edge = scored[min(top, len(scored)) - 1][0] if scored else 0.0
        assert sum(abs(one[0] - edge) < 0.05 for one in scored) <= 1 or len(scored) <= 1
        return
    edge = scored[min(top, len(scored)) - 1][0]
    assert min(top, len(scored)) - 1 in places
    assert [at for at, one in enumerate(scored) if abs(one[0] - edge) < 0.05] == list(places)


@given(st.lists(st.integers(0, 30), max_size=12, unique=True), st.data())
def test_stretches_are_put_together(numbers: list[int], data: st.DataObject) -> None:
    """Compacting changes neither what is missing nor why, and what is covered is all the rest."""
    causes = {number: data.draw(st.sampled_from("ab")) for number in numbers}
    stretches = compact((number, number + 1, causes[number]) for number in numbers)
    assert {at: cause for first, stop, cause in stretches for at in range(first, stop)} == causes
    assert all(one[1] < two[0] or one[2] != two[2] for one, two in pairwise(stretches))
    rest = {at for first, stop in covered(31, stretches) for at in range(first, stop)}
    assert rest == set(range(31)) - set(numbers)


@given(st.lists(st.sampled_from(["x", "a/x", "a/b/x", "a/b/c/x", "d/x"]), min_size=1, max_size=10))
def test_each_chunk_stands_in_its_folder_once(names: list[str]) -> None:
    """The tree holds every chunk exactly once, in the folder that its name tells."""
    top = folders([Chunk(name, {"name": name}) for name in names])
    assert sorted(top.places) == list(range(len(names)))
    waiting = [top]
    while waiting:
        folder = waiting.pop()
        waiting += folder.folders.values()
        assert all(
            f"./{names[number]}".rpartition("/")[0] + "/" in (folder.path, f"./{folder.path}")
            for number in folder.chunks
        )


def test_parts_are_introduced_by_the_chunks_they_stand_for() -> None:
    """From 1, as people count."""
    assert name_of(0) == "1"
    node = chain(
        {
            "kind": "map_reduce",
            "over": "[1, 2, 3]",
            "map": value("v"),
            "reduce": value("{{ parts | map(attribute='name') | list }}"),
        }
    )
    _, result = run(node, [])
    assert result.value == ["1", "2", "3"]


@given(st.text(max_size=400), st.integers(13, 60))
def test_a_cut_part_fits(text: str, tokens: int) -> None:
    """A part that is cut for its merge has no more characters than it had, and is never empty unless it was."""
    assert bool(cut(text, tokens)) == bool(text)


@pytest.mark.parametrize(
    ("over", "says"), [("5", "nothing to map in a int"), ("[]", "is empty"), ("'text'", "in a str")]
)
def test_what_can_not_be_mapped_is_told(over: str, says: str) -> None:
    """One line says what it is and what it should be."""
    done, _ = run({"kind": "map_reduce", "over": over, "map": value(1), "reduce": value(1)}, [])
    assert says in done.error


async def test_texts_are_cut_and_packed() -> None:
    """A long text makes several chunks that overlap, small ones share one; all of it is in them."""
    node = MapReduce.model_validate(
        {"map": value(1), "reduce": value(1), "chunk": {"tokens": 100, "overlap": 10}, "variant": "reduce"}
    )
    long = "\n".join(f"line {number} of a long text" for number in range(200))
    found = await chunked(node, {"long": long, "s1": "small one", "s2": "small two"})
    assert found[-1].value["names"] == ["s1", "s2"]
    pieces = [one.value for one in found[:-1]]
    assert "".join(one["text"][one["overlap_chars"] :] for one in pieces) == long
    assert all(one["tokens"] <= 100 for one in pieces)
    with pytest.raises(StepFailed, match="item 2 of `over` is no text"):
        await chunked(node, ["text", 5])


def test_more_lost_than_tolerated_is_a_failure() -> None:
    """The line says how many, and why."""
    node = {"kind": "map_reduce", "map": _maps({1, 2}, set()), "reduce": value(1), "tolerate": 0.3}
    done, _ = run(node, [{"name": "n", "text": "t"}] * 4)
    assert re.match(r"2 of 4 chunks failed: flow_functions:afail: RuntimeError: out of paper", done.error)
