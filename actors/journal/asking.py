"""What goes over the wire between `JournalClient` and the Journal actor."""

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from ...protocols.journal import (
    AnswerRow,
    Append,
    BlockRow,
    JobRow,
    JobsAsk,
    JournalStats,
    NoteRow,
    Recalled,
    SpecRow,
    SpentRow,
    StepRow,
    Swept,
)


class Appended(msgspec.Struct, frozen=True, array_like=True):
    """What became of appends that were sent together.

    Attributes:
        paused: why none was written, where it is to be tried again; empty when they were.
        refused: those that can never be written, by place, and why.
    """

    paused: str = ""
    refused: dict[int, str] = {}


class Ask(msgspec.Struct, frozen=True, array_like=True):
    """A method of `Journal` that reads, and its arguments as MessagePack, in order."""

    method: str
    arguments: msgspec.Raw


class Answered(msgspec.Struct, frozen=True, array_like=True):
    """What the method returned as MessagePack; or why it raised: `paused` or `error`."""

    data: bytes = b""
    paused: str = ""
    error: str = ""


_READS: Final[dict[str, tuple[Any, Any]]] = {
    "jobs": (tuple[JobsAsk], list[JobRow]),
    "spec": (tuple[str], SpecRow | None),
    "specs": (tuple[list[str]], list[SpecRow]),
    "blocks": (tuple[str, int, bool], list[BlockRow]),
    "blocks_of": (tuple[list[str], int], list[BlockRow]),
    "block": (tuple[str, int], BlockRow | None),
    "answers": (tuple[str, int], list[AnswerRow]),
    "notes": (tuple[str], list[NoteRow]),
    "begun": (tuple[str], list[int]),
    "steps": (tuple[str, list[int]], list[StepRow]),
    "recall": (tuple[list[bytes]], list[Recalled | None]),
    "values": (tuple[str], dict[str, bytes]),
    "spent": (tuple[int], list[SpentRow]),
    "sweep": (tuple[float, list[str], int], Swept),
}
"""By method: the types of its arguments and of what it returns."""

NAMED: Final = {"blocks": ("data",), "sweep": ("jobs", "most")}
"""The last arguments of these are given by name."""

_ARGUMENTS: Final = {method: msgspec.msgpack.Decoder(types[0]) for method, types in _READS.items()}
_RESULTS: Final = {method: msgspec.msgpack.Decoder(types[1]) for method, types in _READS.items()}
_ASK: Final = msgspec.msgpack.Decoder(Ask)
_ANSWERED: Final = msgspec.msgpack.Decoder(Answered)
_BATCH: Final = msgspec.msgpack.Decoder(list[Append])
_APPENDED: Final = msgspec.msgpack.Decoder(Appended)
_STATS: Final = msgspec.msgpack.Decoder(JournalStats)

encode: Final = msgspec.msgpack.encode


def pack_ask(method: str, *arguments: Any) -> bytes:
    """A question, as the actor reads it."""
    return encode(Ask(method, msgspec.Raw(encode(arguments))))


def unpack_ask(data: bytes) -> tuple[str, list[Any], dict[str, Any]]:
    """The method, and its arguments by order and by name. Raises `msgspec.ValidationError`, `KeyError`."""
    ask = _ASK.decode(data)
    arguments = list(_ARGUMENTS[ask.method].decode(ask.arguments))
    named = NAMED.get(ask.method, ())
    first = len(arguments) - len(named)
    return ask.method, arguments[:first], dict(zip(named, arguments[first:], strict=True))


def unpack_answer(data: bytes) -> Answered:
    """What the actor said."""
    return _ANSWERED.decode(data)


def unpack_result(method: str, data: bytes) -> Any:
    """What the method returned."""
    return _RESULTS[method].decode(data)


def pack_batch(batch: Sequence[bytes]) -> bytes:
    """Appends that are sent together, each as MessagePack."""
    return encode([msgspec.Raw(one) for one in batch])


def unpack_batch(data: bytes) -> list[Append]:
    """Appends that were sent together."""
    return _BATCH.decode(data)


def unpack_appended(data: bytes) -> Appended:
    """What became of them."""
    return _APPENDED.decode(data)


def unpack_stats(data: bytes) -> JournalStats:
    """What the actor has done."""
    return _STATS.decode(data)
