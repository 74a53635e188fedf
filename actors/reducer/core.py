"""Which nodes of a reduce tree can be merged now."""

from collections.abc import Sequence


class TreeCore:
    """Readiness of a tree's nodes: a node is ready when each of its children has an answer, good or bad.

    Args:
        tree: the children of each node; a child's id is smaller than its parent's. The last node is the root.
    """

    def __init__(self, tree: Sequence[Sequence[int]]) -> None:
        self.children = [tuple(children) for children in tree]
        self._parent = [-1] * len(tree)
        for node, children in enumerate(self.children):
            for child in children:
                self._parent[child] = node
        #: Children that each node still waits for.
        self._missing = [len(children) for children in self.children]
        self._answered = bytearray(len(tree))
        self._given = bytearray(len(tree))
        self.left = len(tree)

    def answered(self, node: int) -> bool:
        """True when the node has an answer."""
        return bool(self._answered[node])

    def absorb(self, node: int) -> list[int]:
        """The node has an answer; returns the nodes that became ready by it. A node told twice counts once."""
        if self._answered[node]:
            return []
        self._answered[node] = 1
        self.left -= 1
        parent = self._parent[node]
        if parent < 0:
            return []
        self._missing[parent] -= 1
        if self._missing[parent] or self._given[parent] or self._answered[parent]:
            return []
        self._given[parent] = 1
        return [parent]

    @property
    def finished(self) -> bool:
        """True when every node has an answer."""
        return self.left == 0

    def validate(self) -> None:
        """Asserts the invariants; called after each test."""
        assert self.left == len(self.children) - sum(self._answered)
        for node, children in enumerate(self.children):
            assert self._missing[node] == sum(not self._answered[child] for child in children)
