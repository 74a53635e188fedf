"""The reduce tree: it follows the folders, children first."""

import posixpath

from hypothesis import given
from hypothesis import strategies as st

from understudy.protocols.digest import Chunk, Node, Pack
from understudy.supervisors.digest.tree import build


def packs_of(files: dict[str, int], share: int = 1) -> list[Pack]:
    """Packs of `share` chunks each over files of so many chunks."""
    chunks = [
        Chunk(path, number, of, number, number, 1, "text", f"{path}{number}")
        for path, of in files.items()
        for number in range(1, of + 1)
    ]
    cuts = range(0, len(chunks), share)
    return [Pack(n, tuple(chunks[cut : cut + share]), share) for n, cut in enumerate(cuts)]


def drawn(nodes: tuple[Node, ...]) -> list[str]:
    """One line a node, indented by its depth, from the root."""

    def lines(node: Node, depth: int) -> list[str]:
        head = "  " * depth + f"{node.kind} {node.path}"
        return [head, *(line for child in node.children for line in lines(nodes[child], depth + 1))]

    return lines(nodes[-1], 0)


def test_the_tree_follows_the_folders() -> None:
    """Files stand before subfolders; a large file has a node of its own; the root is last."""
    nodes = build(packs_of({"b/z.py": 1, "b/a/x.py": 2, "z.py": 1, "a.py": 1}, share=2))
    assert drawn(nodes) == [
        "folder ./",
        "  chunk a.py",
        "  chunk z.py",
        "  folder b/",
        "    chunk b/z.py",
        "    folder b/a/",
        "      file b/a/x.py",
        "        chunk b/a/x.py",
        "        chunk b/a/x.py",
    ]


def test_a_single_file_has_a_root() -> None:
    """Whoever digests one file still asks about a whole."""
    assert drawn(build(packs_of({"a.py": 1}))) == ["folder ./", "  chunk a.py"]


def test_a_folder_and_a_file_of_like_names_stay_apart() -> None:
    """`a` and `a/` and `a.py` are three names."""
    nodes = build(packs_of({"a/b": 1, "a.py": 1, "a-b/c": 1}))
    assert drawn(nodes) == [
        "folder ./",
        "  chunk a.py",
        "  folder a/",
        "    chunk a/b",
        "  folder a-b/",
        "    chunk a-b/c",
    ]


def test_files_printed_alike_stay_apart() -> None:
    """Two files of one printed path are two children, each with its own chunks."""
    packs = [*packs_of({"a": 2}), *packs_of({"a": 1})]
    packs = [Pack(n, each.chunks, 1) for n, each in enumerate(packs)]
    assert drawn(build(packs)) == ["folder ./", "  chunk a", "  file a", "    chunk a", "    chunk a"]


def test_depth_is_no_bound() -> None:
    """A path of two thousand folders is built without recursion."""
    nodes = build(packs_of({"d/" * 2000 + "a": 1}))
    assert [node.path for node in nodes[:2]] == ["d/" * 2000 + "a", "d/" * 2000]
    assert len(nodes) == 2002


_PATHS = st.lists(st.sampled_from(["a", "b", "c.py", "a.b", "z"]), min_size=1, max_size=4)


@given(st.dictionaries(_PATHS.map("/".join), st.integers(1, 3), min_size=1), st.integers(1, 4))
def test_ids_children_and_leaves_hold(files: dict[str, int], share: int) -> None:
    """Ids are dense, children come first and have one parent, and each chunk has exactly one leaf."""
    folders = {parent + "/" for path in files for parent in _above(path)}
    files = {path: of for path, of in files.items() if path + "/" not in folders}
    packs = packs_of(files, share)
    nodes = build(packs)
    assert [node.id for node in nodes] == list(range(len(nodes)))
    assert all(child < node.id for node in nodes for child in node.children)
    assert sorted(child for node in nodes for child in node.children) == list(range(len(nodes) - 1))
    assert {node.path for node in nodes if node.kind == "folder"} == folders | {"./"}
    assert {node.path for node in nodes if node.kind == "file"} == {path for path, of in files.items() if of > 1}
    seats = sorted((node.pack, node.place) for node in nodes if node.kind == "chunk")
    assert seats == [(each.id, place) for each in packs for place in range(len(each.chunks))]
    for node in nodes:
        assert bool(node.children) == (node.kind != "chunk")
        if node.kind == "chunk":
            assert packs[node.pack].chunks[node.place].path == node.path
        if node.kind == "file":
            numbers = [packs[nodes[child].pack].chunks[nodes[child].place].number for child in node.children]
            assert numbers == list(range(1, files[node.path] + 1))


def _above(path: str) -> list[str]:
    parent = posixpath.dirname(path)
    return [parent, *_above(parent)] if parent else []
