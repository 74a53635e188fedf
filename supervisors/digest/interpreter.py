"""What a digest means to Mappers and Reducers.

A pack is mapped to a summary of each of its chunks; a node of the tree merges its children.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import msgspec

from ...actors.call.outcome import CallOutcome
from ...actors.used import by_candidate
from ...protocols.chat import ChatRequest, render_message
from ...protocols.digest import Node, Pack, Summary
from ...protocols.jobs import JobSpec
from ...protocols.messages import ItemDone
from .collapse import groups
from .prompts import map_request, reduce_request
from .sections import passages, sections
from .tokens import count

if TYPE_CHECKING:  # a driver reads answers and calls nobody: aiohttp's and the channels' import is not its to pay
    from ...actors.call.caller import Caller


class DigestSpec(msgspec.Struct, frozen=True):
    """A digest's own settings, as they travel in `JobSpec.spec`; tokens, and the reduce tree.

    `cache`: an earlier answer to the same request will do, and answers may be kept.
    """

    map_model: str
    reduce_model: str
    map_answer: int
    reduce_answer: int
    reduce_budget: int
    question: str
    nodes: tuple[Node, ...]
    cache: bool = False


class Answer(msgspec.Struct, frozen=True, array_like=True):
    """What `ItemDone.data` holds: of an item, a text for each chunk of its pack; of a node, its one text.

    `shared` where one text stands for several chunks, because the answer could not be taken apart or was given in one
    call; `failed` names children that are missing.
    """

    texts: tuple[str, ...]
    shared: bool = False
    failed: tuple[str, ...] = ()


def pack_item(pack: Pack) -> bytes:
    """A pack as an item of a job."""
    return msgspec.msgpack.encode(pack)


def read(done: ItemDone) -> Answer:
    """The answer in an item or node without an error."""
    return msgspec.msgpack.decode(done.data, type=Answer)


def summary(done: ItemDone) -> Summary:
    """A finished node for people."""
    if done.error:
        return Summary(done.item, "", error=done.error)
    answer = read(done)
    return Summary(done.item, answer.texts[0], model=done.model, shared=answer.shared, failed=answer.failed)


class DigestInterpreter:
    """See `understudy.actors.interpreter.Interpreter`."""

    def __init__(self, spec: JobSpec) -> None:
        self._spec = msgspec.msgpack.decode(spec.spec, type=DigestSpec)
        #: The leaf of each chunk: (pack, place) -> node.
        self._leaf = {(node.pack, node.place): node.id for node in self._spec.nodes if node.kind == "chunk"}
        self._packs: dict[int, int] = {}
        for pack, _ in self._leaf:
            self._packs[pack] = self._packs.get(pack, 0) + 1

    # Map --------------------------------------------------------------------------------------------------------------

    async def map(self, number: int, item: bytes, caller: "Caller") -> ItemDone:
        """Summarises the chunks of a pack in one call."""
        spec = self._spec
        pack = msgspec.msgpack.decode(item, type=Pack)
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
        return _done(number, outcome, Answer(tuple(parts), shared=len(names) > 1))

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
        answers = {child: read(children[child]) for child in good}
        parts = [(self._spec.nodes[child].path, answers[child].texts[0]) for child in good if answers[child].texts[0]]
        if len(here.children) == 1 and here.path != "./":
            data = msgspec.structs.replace(answers[good[0]], failed=failed)
            return ItemDone(node, msgspec.msgpack.encode(data))
        return await self._merge(node, here.path, parts, failed, caller)

    async def _merge(
        self, node: int, path: str, parts: list[tuple[str, str]], failed: tuple[str, ...], caller: "Caller"
    ) -> ItemDone:
        """Merges in as many rounds as the budget needs; the bill of all rounds is the node's."""
        total = CallOutcome()
        while True:
            sizes = [count(text) + 12 for _, text in parts]
            batches = groups(sizes, self._spec.reduce_budget)
            merged = []
            for batch in batches:
                outcome = await self._call(path, [parts[place] for place in batch], caller)
                _add(total, outcome)
                if outcome.reply is None:
                    total.error, total.rung = outcome.error, outcome.rung
                    return _done(node, total)
                # A partial summary bears the name of the whole: that tells a reader of the next round what it is.
                merged.append((path, outcome.reply.text.strip()))
            if len(merged) == 1:
                total.model, total.reply = outcome.model, outcome.reply
                return _done(node, total, Answer((merged[0][1],), failed=failed))
            parts = merged

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


def _done(number: int, outcome: CallOutcome, answer: Answer | None = None) -> ItemDone:
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
    )
