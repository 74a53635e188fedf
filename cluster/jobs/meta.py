"""What the driver that handed a job in would need to finish its own work, so that another can: `SpecRow.meta`."""

from typing import Literal

import msgspec


class Meta(msgspec.Struct, frozen=True):
    """Whose job it is, and that driver's own notes.

    Attributes:
        kind: `digest`: `understudy digest`, which writes a report. `run`: `understudy run`, which writes results.
            `call`: a program of the user's own, which reads the answers itself.
        data: what only that kind of driver can read.
    """

    kind: Literal["digest", "run", "call"]
    data: bytes = b""


def encode(meta: Meta) -> bytes:
    """As it stands in the Journal."""
    return msgspec.msgpack.encode(meta)


def decode(data: bytes) -> Meta:
    """The reverse; a job without notes is a program's own."""
    return msgspec.msgpack.decode(data, type=Meta) if data else Meta("call")
