"""What a digest means to Mappers and Reducers.

A pack is mapped to a summary of each of its chunks; a node of the tree merges its children. What earlier digests have
answered is looked up by its contents before anybody is called.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import msgspec

from ...actors.call.outcome import CallOutcome
from ...actors.used import by_candidate
from ...protocols.chat import ChatRequest, render_message
from ...protocols.digest import Node, Pack
from ...protocols.jobs import JobSpec
from ...protocols.messages import ItemDone
from .answer import Answer, read
from .collapse import groups
from .keys import Bases, chunk_key, node_key
from .known import Known, found, node_parts
from .prompts import map_request, reduce_request
from .sections import apart, passages, sections
from .tokens import count

if TYPE_CHECKING:  # a driver reads answers and calls nobody: aiohttp's and the channels' import is not its to pay
    from ...actors.call.caller import Caller
    from ...actors.interpreter import Memory


class DigestSpec(msgspec.Struct, frozen=True):
    """A digest's own settings, as they travel in `JobSpec.spec`; tokens, and the reduce tree.

    `cache`: an earlier answer to the same request will do, and answers may be kept by the process. `bases`: what is
    common to the keys of its answers; empty where no digest is to find them again. `looks`: nodes are looked up, too.
    """

    map_model: str
    reduce_model: str
    map_answer: int
    reduce_answer: int
    reduce_budget: int
    question: str
    nodes: tuple[Node, ...]
    cache: bool = False
    bases: Bases = Bases()
    looks: bool = True


def pack_item(pack: Pack) -> bytes:
    """A pack as an item of a job; one of answers travels without the text that was read for them."""
    return msgspec.msgpack.encode(msgspec.structs.replace(pack, chunks=()) if pack.known else pack)


class DigestInterpreter:
    """See `Interpreter` and `Remembering` in `understudy.actors.interpreter`."""

    def __init__(self, spec: JobSpec) -> None:
        self._spec = msgspec.msgpack.decode(spec.spec, type=DigestSpec)
        #: The leaf of each chunk: (pack, place) -> node.
        self._leaf = {(node.pack, node.place): node.id for node in self._spec.nodes if node.kind == "chunk"}
        self._memory: Memory | None = None
        self._packs: dict[int, int] = {}
        for pack, _ in self._leaf:
            self._packs[pack] = self._packs.get(pack, 0) + 1

    def remember(self, memory: "Memory") -> None:
        """Earlier answers are found there."""
        self._memory = memory if self._spec.looks else None

    # Map --------------------------------------------------------------------------------------------------------------

    async def map(self, number: int, item: bytes, caller: "Caller") -> ItemDone:
        """Summarises the chunks of a pack in one call, or in none where the pack holds the answers."""
        spec = self._spec
        pack = msgspec.msgpack.decode(item, type=Pack)
        if pack.known:
            data = msgspec.msgpack.encode(Answer(pack.known, pack.shared))
            return ItemDone(number, data, model=pack.model, keys=pack.keys, recalled=True)
        request = map_request(pack.chunks, model=spec.map_model, max_tokens=spec.map_answer, question=spec.question)
        outcome = await self._ask(request, pack.tokens + 250, caller)
        if outcome.reply is None:
            return _done(number, outcome)
        names = [chunk.path for chunk in pack.chunks]
        text = outcome.reply.text
        parts = passages(text, names) if spec.question else sections(text, names)
        if not any(parts):
            parts[0] = text.strip()
        if not any(parts):
            outcome.error = "the model answered with an empty text"
            return _done(number, outcome)
        keys = self._chunk_keys(pack, apart(text, names, parts, asked=bool(spec.question)))
        return _done(number, outcome, Answer(tuple(parts), shared=len(names) > 1), keys)

    def _chunk_keys(self, pack: Pack, own: Sequence[bool]) -> tuple[bytes, ...]:
        """What the texts are known by; empty for one that stands for several chunks, or for none."""
        base, asked = self._spec.bases.chunk, bool(self._spec.question)
        return tuple(
            chunk_key(base, chunk, asked=asked) if alone else b"" for chunk, alone in zip(pack.chunks, own, strict=True)
        )

    # Reduce -----------------------------------------------------------------------------------------------------------

    def tree(self) -> Sequence[Sequence[int]]:
        """Children of each node."""
        return [node.children for node in self._spec.nodes]

    def leaves(self, done: ItemDone) -> Sequence[ItemDone]:
        """One answer for each chunk of the pack."""
        places = range(self._packs.get(done.item, 0))
        nodes = [self._leaf[done.item, place] for place in places]
        if done.error:
            return [ItemDone(node, error=done.error) for node in nodes]
        answer = read(done)
        return [
            ItemDone(node, msgspec.msgpack.encode(Answer((text,), answer.shared)), model=done.model)
            for node, text in zip(nodes, answer.texts, strict=True)
        ]

    async def reduce(self, node: int, children: Mapping[int, ItemDone], caller: "Caller") -> ItemDone:
        """Merges the children of a node; a node with one good child passes it through without a call."""
        here = self._spec.nodes[node]
        good = [child for child in here.children if not children[child].error]
        failed = tuple(self._spec.nodes[child].path for child in here.children if children[child].error)
        if not good:
            causes = sorted({children[child].error for child in here.children})
            return ItemDone(node, error=f"all {len(failed)} parts failed: {causes[0]}"[:500])
        if len(here.children) == 1 and here.path != "./":
            answer = read(children[good[0]])
            return ItemDone(node, msgspec.msgpack.encode(Answer(answer.texts[:1], answer.shared, failed)))
        texts = {child: read(children[child]).texts[0] for child in good}
        parts = node_parts(self._spec.nodes, here, texts)
        if not parts:
            return ItemDone(node, error="no part of it has a text")
        key = node_key(self._spec.bases.node, here.path, parts)
        [known] = await self._recall([key])
        if known is not None:
            data = msgspec.msgpack.encode(Answer((known.text,), failed=failed))
            return ItemDone(node, data, model=known.model, keys=(key,), recalled=True)
        total, rounds = CallOutcome(), _Rounds()
        text = await self._merge(here.path, parts, total, rounds, caller)
        if not text:
            return _done(node, total)
        return _done(node, total, Answer((text, *rounds.texts), failed=failed), (key, *rounds.keys))

    async def _merge(
        self, path: str, parts: list[tuple[str, str]], total: CallOutcome, rounds: "_Rounds", caller: "Caller"
    ) -> str:
        """Merges in as many rounds as the budget needs; all are on the node's bill. Empty where one of them failed."""
        while True:
            sizes = [count(text) + 12 for _, text in parts]
            batches = [[parts[place] for place in batch] for batch in groups(sizes, self._spec.reduce_budget)]
            if len(batches) == 1:
                return await self._merged(path, parts, total, caller)
            keys = [node_key(self._spec.bases.node, path, batch) for batch in batches]
            earlier = await self._recall(keys)
            parts = []
            for batch, key, known in zip(batches, keys, earlier, strict=True):
                text = known.text if known is not None else await self._merged(path, batch, total, caller)
                if not text:
                    return ""
                rounds.add(text, key)
                # A partial summary bears the name of the whole: that tells a reader of the next round what it is.
                parts.append((path, text))

    async def _merged(self, path: str, parts: list[tuple[str, str]], total: CallOutcome, caller: "Caller") -> str:
        """One call; its text, or nothing where it failed."""
        outcome = await self._call(path, parts, caller)
        _add(total, outcome)
        text = outcome.reply.text.strip() if outcome.reply is not None else ""
        if not text:
            total.error = outcome.error or "the model answered with an empty text"
            total.rung = outcome.rung
        total.model, total.reply = outcome.model, outcome.reply
        return text

    async def _recall(self, keys: Sequence[bytes]) -> list[Known | None]:
        """What is there already, for each of the keys."""
        if self._memory is None or not all(keys):
            return [None] * len(keys)
        return [found(one) for one in await self._memory.recall(keys)]

    async def _call(self, path: str, parts: Sequence[tuple[str, str]], caller: "Caller") -> CallOutcome:
        spec = self._spec
        request = reduce_request(
            path, parts, model=spec.reduce_model, max_tokens=spec.reduce_answer, question=spec.question
        )
        return await self._ask(request, _prompt_tokens(request), caller)

    async def _ask(self, request: ChatRequest, tokens: int, caller: "Caller") -> CallOutcome:
        """A call whose reply is a model's: a declared answer says nothing about the documents and is no summary."""
        options = msgspec.structs.replace(caller.defaults, cache=True) if self._spec.cache else None
        outcome = await caller.call(request, tokens=tokens, options=options)
        if outcome.rung == "degraded":
            outcome.reply = None
            outcome.error = f"only the declared answer was left: {outcome.error or 'nobody could be called'}"
        return outcome


class _Rounds:
    """The texts of a merge's rounds before the last, and what they are known by."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.keys: list[bytes] = []

    def add(self, text: str, key: bytes) -> None:
        """One more."""
        self.texts.append(text)
        self.keys.append(key)


def _prompt_tokens(request: ChatRequest) -> int:
    return sum(count(render_message(message)) + 4 for message in request.messages)


def _add(total: CallOutcome, one: CallOutcome) -> None:
    total.attempts += one.attempts
    total.hedges += one.hedges
    total.input_tokens += one.input_tokens
    total.output_tokens += one.output_tokens
    total.open_cost += one.open_cost
    total.cost = -1 if total.cost < 0 or one.cost < 0 else total.cost + one.cost
    total.rung = "stale" if "stale" in (total.rung, one.rung) else one.rung
    total.log += one.log


def _done(number: int, outcome: CallOutcome, answer: Answer | None = None, keys: tuple[bytes, ...] = ()) -> ItemDone:
    """An answer is known by its keys only where it is a model's own: an older one must not pass for one of today."""
    reply = outcome.reply if outcome.rung in ("cache", "stale") else None
    model = reply.model if reply is not None else outcome.model
    return ItemDone(
        number,
        msgspec.msgpack.encode(answer) if answer is not None else b"",
        error="" if answer is not None else outcome.error or "no answer",
        model=model,
        attempts=outcome.attempts,
        input_tokens=outcome.input_tokens,
        output_tokens=outcome.output_tokens,
        cost=outcome.cost,
        degraded=outcome.degraded,
        hedges=outcome.hedges,
        open_cost=outcome.open_cost,
        used=by_candidate(outcome.log, model),
        keys=keys if answer is not None and any(keys) and not outcome.degraded else (),
        standing=answer is not None and outcome.rung == "stale",
    )
