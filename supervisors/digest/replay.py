"""Makes a digest again from what the Journal holds of it, calling nobody: all has to follow from what was given.

Each answer is known by a hash of what it was made from. A replay makes these hashes anew, from the chunks that were
handed in and, up the tree, from the texts that were answered below: so the first one that differs is the first step
that was given something else than the Journal says, or was asked otherwise than today's program would ask.
"""

from collections.abc import Iterable, Sequence

import msgspec

from ...protocols.config import Config
from ...protocols.digest import Node, Pack
from ...protocols.jobs import JobSpec
from ...protocols.journal import AnswerRow, BlockRow
from ...protocols.messages import ItemDone
from ..replay import Divergence
from .answer import read
from .interpreter import DigestSpec
from .keys import Asked, bases, chunk_key, node_key
from .known import node_parts


def replay(spec: JobSpec, blocks: Sequence[BlockRow], answers: Sequence[AnswerRow]) -> Divergence | None:
    """The first place where the digest differs from what was recorded; None where it comes out the same.

    Args:
        spec: the job's.
        blocks: all its items, with their data.
        answers: all its answers, in order; of an item that was tried again the later counts.
    """
    return _Replay(spec, blocks, answers).run()


class _Replay:
    def __init__(self, spec: JobSpec, blocks: Iterable[BlockRow], answers: Iterable[AnswerRow]) -> None:
        self._job = spec
        self._spec = msgspec.msgpack.decode(spec.spec, type=DigestSpec)
        self._packs = list(_packs(blocks))
        self._items: dict[int, ItemDone] = {}
        self._nodes: dict[int, ItemDone] = {}
        self._by_key: dict[bytes, str] = {}
        for row in answers:
            done = msgspec.msgpack.decode(row.data, type=ItemDone)
            (self._nodes if row.node else self._items)[row.item] = done
            texts = read(done).texts if done.data and not done.error else ()
            self._by_key.update({key: text for key, text in zip(done.keys, texts, strict=False) if key})
        #: Of each node the text that follows from what is below it; absent where it has failed.
        self._texts: dict[int, str] = {}

    def run(self) -> Divergence | None:
        """See `replay`."""
        if self._spec.bases.chunk and self._spec.bases != bases(self._config(), self._asked()):
            why = "the prompts, or what is told of the models, are others than those of the program that did the work"
            return Divergence(-1, "", why)
        leaves = [node for node in self._spec.nodes if node.kind == "chunk"]
        several = [self._item(pack) for pack in self._packs] + [self._leaf(leaf) for leaf in leaves]
        found = next((one for one in several if one is not None), None)
        if found is not None:
            return found
        merges = (self._node(node) for node in self._spec.nodes if node.kind != "chunk")
        return next((one for one in merges if one is not None), None)

    def _config(self) -> Config:
        return Config.model_validate_json(self._job.config)

    def _asked(self) -> Asked:
        spec = self._spec
        return Asked(
            map_model=spec.map_model,
            reduce_model=spec.reduce_model,
            map_answer=spec.map_answer,
            reduce_answer=spec.reduce_answer,
            reduce_budget=spec.reduce_budget,
            question=spec.question,
            tenant=self._job.tenant,
        )

    def _item(self, pack: Pack) -> Divergence | None:
        """Whether an item's answer is there, and was made from its chunks."""
        path = pack.chunks[0].path if pack.chunks else ""
        done = self._items.get(pack.id)
        if done is None:
            return Divergence(pack.id, path, "it has no answer in the journal")
        if done.error:
            return None
        texts = read(done).texts
        if pack.known and texts != pack.known:
            return Divergence(pack.id, path, "its answers are others than those it was handed in with")
        keys = pack.keys if pack.known else self._chunk_keys(pack)
        for place, (key, recorded) in enumerate(zip(keys, done.keys, strict=False)):
            if recorded and key != recorded:
                path = pack.chunks[place].path if pack.chunks else ""
                return Divergence(pack.id, path, "its answer was made from another text, or asked for otherwise")
        return None

    def _chunk_keys(self, pack: Pack) -> list[bytes]:
        asked = bool(self._spec.question)
        return [chunk_key(self._spec.bases.chunk, chunk, asked=asked) for chunk in pack.chunks]

    def _leaf(self, leaf: Node) -> Divergence | None:
        done = self._items.get(leaf.pack)
        if done is None:
            return Divergence(leaf.pack, leaf.path, "its item was never handed in")
        if not done.error:
            texts = read(done).texts
            if leaf.place >= len(texts):
                return Divergence(leaf.pack, leaf.path, "its item's answer has no text for it")
            self._texts[leaf.id] = texts[leaf.place]
        return None

    def _node(self, node: Node) -> Divergence | None:
        """Whether a node's answer is what follows from the texts below it."""
        done = self._nodes.get(node.id)
        if done is None:
            return Divergence(-1, node.path, "it has no answer in the journal")
        if done.error:
            return None
        text = self._rebuilt(node, done)
        if text is None:
            return Divergence(
                -1, node.path, "it was merged from other texts than those below it, or asked for otherwise"
            )
        if text != read(done).texts[0]:
            return Divergence(-1, node.path, "its text is not the one that follows from those below it")
        self._texts[node.id] = text
        return None

    def _rebuilt(self, node: Node, done: ItemDone) -> str | None:
        if len(node.children) == 1 and node.path != "./":
            return self._texts.get(node.children[0])
        if not done.keys:  # an older answer that stands in, or nothing is remembered: it is taken as it is
            return read(done).texts[0]
        return self._by_key.get(
            node_key(self._spec.bases.node, node.path, node_parts(self._spec.nodes, node, self._texts))
        )


def _packs(blocks: Iterable[BlockRow]) -> Iterable[Pack]:
    for block in sorted(blocks, key=lambda one: one.number):
        _, items = msgspec.msgpack.decode(block.data, type=tuple[int, list[bytes]])
        yield from (msgspec.msgpack.decode(item, type=Pack) for item in items)
