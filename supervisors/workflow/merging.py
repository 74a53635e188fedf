"""One merge of a map-reduce: parts in, one value out, and what is missing in it."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec
import orjson

from ...actors.call.cutting import both_ends
from ...actors.embedded.tokens import count
from ...actors.reducer.growing import Merge, items_of, level_of
from ...protocols.errors import StepFailed
from ...protocols.messages import ItemDone
from ...protocols.workflow.result import FlowResult
from ...protocols.workflow.spec import Part
from ...protocols.workflow.step import Step
from .frame import Frame
from .step import branch

HEADER: Final = 12
"""Tokens of what introduces a part."""

Missing = tuple[int, int, str]


def text_of(value: Any) -> str:
    """A part as a prompt shows it."""
    return value if isinstance(value, str) else orjson.dumps(value).decode()


def part_of(done: ItemDone) -> Part:
    """What an item's answer, or a merged node's, holds."""
    if level_of(done.item):
        return msgspec.msgpack.decode(done.data, type=Part)
    return Part(msgspec.msgpack.decode(done.data, type=FlowResult).output)


def size_of(done: ItemDone) -> int:
    """Tokens of a part in a merge."""
    return count(text_of(msgspec.json.decode(part_of(done).value))) + HEADER


async def merged(node: Step, merge: Merge, children: Mapping[int, ItemDone], at: Frame, **names: Any) -> Part:
    """The parts as one. Raises `StepFailed` when the step does."""
    parts, missing = [], []
    for number, child in children.items():
        if child.error:
            items = items_of(number)
            missing.append((items.start, items.stop, child.error))
            continue
        part = part_of(child)
        missing += part.missing
        value = msgspec.json.decode(part.value)
        parts.append({"name": name_of(number), "value": cut(value, merge.cut) if merge.cut else value})
    value = await branch(node, at.bind(parts=parts, previous=parts, **names))
    if value is None:
        raise StepFailed("the merge was skipped: it has no output")
    return Part(msgspec.json.encode(value), compact(missing))


def name_of(number: int) -> str:
    """How a part is introduced: the chunks it stands for, from 1."""
    items = items_of(number)
    return f"{items.start + 1}" if len(items) == 1 else f"{items.start + 1}-{items.stop}"


def cut(value: Any, tokens: int) -> str:
    """A part that is too large for its merge, cut in its middle, with a mark that says how much is left out."""
    text = text_of(value)
    return both_ends(text, max(tokens - HEADER, 1), count) or text[: max(tokens - HEADER, 1)]


def compact(missing: Iterable[Missing]) -> tuple[Missing, ...]:
    """Neighbours that are missing for one cause as one stretch."""
    compacted: list[Missing] = []
    for first, stop, cause in sorted(missing):
        if compacted and compacted[-1][1] == first and compacted[-1][2] == cause:
            compacted[-1] = (compacted[-1][0], stop, cause)
        else:
            compacted.append((first, stop, cause))
    return tuple(compacted)


def covered(total: int, missing: Sequence[Missing]) -> tuple[tuple[int, int], ...]:
    """The stretches of `total` items that are not missing."""
    stretches, at = [], 0
    for first, stop, _ in sorted(missing):
        if first > at:
            stretches.append((at, first))
        at = max(at, stop)
    return (*stretches, (at, total)) if at < total else tuple(stretches)
