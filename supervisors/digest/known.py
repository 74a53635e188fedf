"""What earlier digests have found: which chunks and nodes of a plan need nobody to be called."""

from collections.abc import Callable, Iterator, Sequence
from typing import Final, NamedTuple

import msgspec

from ...protocols.digest import Chunk, DigestPlan, Node, Pack
from ...protocols.journal import Recalled
from ...protocols.messages import ItemDone
from .answer import Answer, read
from .keys import Bases, node_key

Recall = Callable[[Sequence[bytes]], Sequence[Recalled | None]]
"""For each of the keys the newest answer that has it, if there is one."""

ITEM_BYTES: Final = 10_000
"""Of answers to an item. Whoever looks one of them up gets all of the item's: ten of them are a fair price for it."""
_ASKED: Final = 500
"""Keys to a look-up: what is found for them is 5 MB."""


class Earlier(NamedTuple):
    """Where earlier answers are found: what is common to the keys, who looks them up, and whether there is a question.

    A question's answers name lines, see `chunk_key`.
    """

    bases: Bases
    recall: Recall
    asked: bool = False


class Known(msgspec.Struct, frozen=True):
    """A text that was found: who answered, and whether it was one of several files' answers to one call."""

    text: str
    model: str
    shared: bool = False


def found(recalled: Recalled | None) -> Known | None:
    """What was recalled, where it is an answer at all."""
    if recalled is None:
        return None
    done = msgspec.msgpack.decode(recalled.data, type=ItemDone)
    answer = read(done) if done.data and not done.error else Answer(())
    if recalled.part >= len(answer.texts) or not answer.texts[recalled.part]:
        return None
    return Known(answer.texts[recalled.part], done.model, answer.shared)


def known_by_key(keys: Sequence[bytes], recall: Recall) -> dict[bytes, Known]:
    """The answers that are there, by key."""
    asked = [key for key in dict.fromkeys(keys) if key]
    return {key: one for key, one in _looked_up(asked, recall) if one is not None}


def _looked_up(keys: Sequence[bytes], recall: Recall) -> Iterator[tuple[bytes, Known | None]]:
    for start in range(0, len(keys), _ASKED):
        some = keys[start : start + _ASKED]
        yield from zip(some, map(found, recall(some)), strict=True)


def packs_of_answers(chunks: Sequence[tuple[Chunk, bytes, Known]], first: int) -> Iterator[Pack]:
    """Packs that need no call, numbered from `first`; each holds the answers of one model, `ITEM_BYTES` at most."""
    open_ones: dict[tuple[str, bool], list[tuple[Chunk, bytes, Known]]] = {}
    sizes: dict[tuple[str, bool], int] = {}
    for chunk, key, known in chunks:
        kind, size = (known.model, known.shared), len(known.text.encode("utf-8", "surrogatepass")) + 2 * len(key)
        if kind in open_ones and sizes[kind] + size > ITEM_BYTES:
            yield _pack(first, open_ones.pop(kind))
            first, sizes[kind] = first + 1, 0
        open_ones.setdefault(kind, []).append((chunk, key, known))
        sizes[kind] = sizes.get(kind, 0) + size
    for rest in open_ones.values():
        yield _pack(first, rest)
        first += 1


def _pack(number: int, held: Sequence[tuple[Chunk, bytes, Known]]) -> Pack:
    chunks, keys, answers = zip(*held, strict=True)
    texts = tuple(known.text for known in answers)
    return Pack(number, chunks, 0, texts, keys, answers[0].model, answers[0].shared)


def known_nodes(plan: DigestPlan, earlier: Earlier) -> dict[int, str]:
    """The texts of nodes that are known, by node; also of chunks, and of nodes that pass their only child on.

    Level by level, since a node's key is made of its children's texts: it is known only where they all are.
    """
    texts: dict[int, str] = {}
    for level in _levels(plan.nodes):
        asked: dict[int, bytes] = {}
        for node in level:
            if node.kind == "chunk":
                pack = plan.packs[node.pack]
                texts |= {node.id: pack.known[node.place]} if pack.known else {}
            elif all(child in texts for child in node.children):
                if len(node.children) == 1 and node.path != "./":
                    texts[node.id] = texts[node.children[0]]
                else:
                    asked[node.id] = node_key(earlier.bases.node, node.path, node_parts(plan.nodes, node, texts))
        if asked and earlier.bases.node:
            answers = known_by_key(list(asked.values()), earlier.recall)
            texts |= {node: answers[key].text for node, key in asked.items() if key in answers}
    return texts


def node_parts(nodes: Sequence[Node], node: Node, texts: dict[int, str]) -> list[tuple[str, str]]:
    """What a node merges: path and text of each child that has one, in order."""
    return [(nodes[child].path, texts[child]) for child in node.children if texts.get(child)]


def _levels(nodes: Sequence[Node]) -> Iterator[list[Node]]:
    """Nodes by their height over the leaves, leaves first."""
    heights: list[int] = []
    levels: dict[int, list[Node]] = {}
    for node in nodes:
        heights.append(1 + max((heights[child] for child in node.children), default=-1))
        levels.setdefault(heights[-1], []).append(node)
    return (levels[height] for height in sorted(levels))
