"""The reduce tree: it follows the folder tree, leaves first.

A leaf is a chunk; a `file` node merges the chunks of a large file; a `folder` node merges what stands in a
folder. The shape depends on paths alone, so that an edited file changes only the nodes above it.
"""

from collections.abc import Iterable, Iterator
from itertools import groupby

from ...protocols.digest import Chunk, Node, Pack

_Leaf = tuple[Chunk, int, int]  # a chunk, its pack, its place there


def build(packs: Iterable[Pack]) -> tuple[Node, ...]:
    """The nodes of the tree over `packs`, children before parents, the root `./` last.

    Within a folder, files stand before subfolders, each sorted by name. Two files of equal path (names that
    are printed alike) stay two children.
    """
    leaves = [(chunk, pack.id, place) for pack in packs for place, chunk in enumerate(pack.chunks)]
    leaves.sort(key=lambda leaf: (_key(leaf[0].path), leaf[0].number))
    growth = _Growth()
    for path, group in groupby(leaves, key=lambda leaf: leaf[0].path):
        growth.enter(path.split("/")[:-1])
        for file in _files(group):
            growth.add_file(path, file)
    growth.enter([])
    growth.close()
    return tuple(growth.nodes)


def _key(path: str) -> tuple[tuple[bool, str], ...]:
    *folders, name = path.split("/")
    return (*((True, folder) for folder in folders), (False, name))


def _files(leaves: Iterable[_Leaf]) -> Iterator[list[_Leaf]]:
    """The leaves of one path by file; more than one file only where two names are printed alike."""
    alike = list(leaves)
    if alike[0][0].of == len(alike):
        yield alike
        return
    for _, same in groupby(sorted(alike, key=lambda leaf: leaf[0].of), key=lambda leaf: leaf[0].of):
        chunks = list(same)
        copies = len(chunks) // chunks[0][0].of or 1
        for copy in range(copies):
            yield chunks[copy::copies]


class _Growth:
    """Nodes so far, and the folders still open from the root down, each with its children so far."""

    def __init__(self) -> None:
        self.nodes: list[Node] = []
        self._open: list[tuple[str, list[int]]] = [("./", [])]

    def enter(self, folders: list[str]) -> None:
        """Close the open folders that don't lead to `folders`, and open those that do."""
        names = [name for name, _ in self._open[1:]]
        shared = 0
        while shared < min(len(names), len(folders)) and names[shared] == folders[shared]:
            shared += 1
        while len(self._open) > shared + 1:
            self.close()
        self._open += [(name, []) for name in folders[shared:]]

    def close(self) -> None:
        """Turn the innermost open folder into a node, a child of the one around it."""
        path = "/".join(name for name, _ in self._open[1:]) + "/"
        _, children = self._open.pop()
        node = self._append("folder", path if self._open else "./", tuple(children))
        if self._open:
            self._open[-1][1].append(node)

    def add_file(self, path: str, leaves: list[_Leaf]) -> None:
        """Add the leaves of a file to the innermost folder, under a node of their own if several."""
        first = len(self.nodes)
        self.nodes += [
            Node(first + place, "chunk", path, pack=pack, place=seat) for place, (_, pack, seat) in enumerate(leaves)
        ]
        ids = tuple(range(first, len(self.nodes)))
        self._open[-1][1].append(ids[0] if len(ids) == 1 else self._append("file", path, ids))

    def _append(self, kind: str, path: str, children: tuple[int, ...]) -> int:
        node = len(self.nodes)
        self.nodes.append(Node(node, "folder" if kind == "folder" else "file", path, children))
        return node
