"""The smallest interpreters: one whose items are prompts, and one that calls nobody."""

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from ..protocols.chat import ChatRequest, Message, Text
from ..protocols.jobs import JobSpec
from ..protocols.messages import ItemDone
from .call.caller import Caller
from .reducer.growing import GrowingTree, Merge, level_of

MIRROR_BUDGET: Final = 1000
"""Answers that `Mirror` merges at once: each counts one."""


class EchoSpec(msgspec.Struct, frozen=True):
    """What `JobSpec.spec` holds: the route, and the most tokens of an answer."""

    model: str
    max_tokens: int = 64


def prompt_item(text: str, tokens: int) -> bytes:
    """A prompt that was counted as `tokens` tokens, as an item of a job."""
    return msgspec.msgpack.encode((tokens, text))


class Echo:
    """See `understudy.actors.interpreter.Interpreter`. One call an item, nothing to reduce."""

    def __init__(self, spec: JobSpec) -> None:
        self._spec = msgspec.msgpack.decode(spec.spec, type=EchoSpec)

    async def map(self, number: int, item: bytes, caller: Caller) -> ItemDone:
        """Sends the prompt as the user's one message."""
        tokens, text = msgspec.msgpack.decode(item, type=tuple[int, str])
        message = Message("user", (Text(text),))
        request = ChatRequest(self._spec.model, (message,), max_tokens=self._spec.max_tokens)
        outcome = await caller.call(request, tokens=tokens)
        return ItemDone(
            number,
            outcome.reply.text.encode() if outcome.reply is not None else b"",
            error="" if outcome.reply is not None else outcome.error or "no answer",
            model=outcome.model,
            attempts=outcome.attempts,
            input_tokens=outcome.input_tokens,
            output_tokens=outcome.output_tokens,
            cost=outcome.cost,
        )

    def tree(self) -> Sequence[Sequence[int]]:
        """Nothing is reduced."""
        return ()

    def leaves(self, done: ItemDone) -> Sequence[ItemDone]:  # noqa: ARG002 - the protocol's
        """Nothing is reduced."""
        return ()

    async def reduce(self, node: int, children: Mapping[int, ItemDone], caller: Caller) -> ItemDone:
        """Nothing is reduced: raises `NotImplementedError`."""
        raise NotImplementedError


class Mirror(Echo):
    """Answers an item with its first bytes, without any call: what is left is what actors cost.

    Its trees grow; a node's answer is how many items it covers, so that the root's is how many there were.
    """

    def __init__(self, spec: JobSpec) -> None:
        self._most = int(spec.spec or b"64")

    async def map(self, number: int, item: bytes, caller: Caller) -> ItemDone:  # noqa: ARG002 - the protocol's
        """The item's first bytes: as many as `JobSpec.spec` says, 64 by default."""
        return ItemDone(number, item[: self._most])

    def growing(self) -> GrowingTree:
        """See `understudy.actors.reducer.merging.Growing`."""
        return GrowingTree(MIRROR_BUDGET)

    def size(self, done: ItemDone) -> int:  # noqa: ARG002 - the protocol's
        """All answers are alike."""
        return 1

    async def merge(self, merge: Merge, children: Mapping[int, ItemDone], caller: Caller) -> ItemDone:  # noqa: ARG002
        """How many items the node covers, as a number in ASCII."""
        covered = sum(int(done.data) if level_of(node) else 1 for node, done in children.items())
        return ItemDone(merge.node, b"%d" % covered)
