"""What an item or a node of a digest answers."""

import msgspec

from ...protocols.digest import Summary
from ...protocols.messages import ItemDone


class Answer(msgspec.Struct, frozen=True, array_like=True):
    """What `ItemDone.data` holds: of an item, a text for each chunk of its pack; of a node, its text.

    Where a node was merged in rounds, the texts of its rounds follow: a later digest may find them again. `shared`
    where one text stands for several chunks, because the answer could not be taken apart or was given in one call;
    `failed` names children that are missing.
    """

    texts: tuple[str, ...]
    shared: bool = False
    failed: tuple[str, ...] = ()


def read(done: ItemDone) -> Answer:
    """The answer in an item or node without an error."""
    return msgspec.msgpack.decode(done.data, type=Answer)


def summary(done: ItemDone) -> Summary:
    """A finished node for people."""
    if done.error:
        return Summary(done.item, "", error=done.error)
    answer = read(done)
    return Summary(done.item, answer.texts[0], model=done.model, shared=answer.shared, failed=answer.failed)
