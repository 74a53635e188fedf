"""What `understudy run` notes about itself, so that `understudy resume` can finish its work."""

from pathlib import Path
from typing import Any

import msgspec

from ..jobs.meta import Meta, encode
from .inputs import Lines
from .options import Options


class RunNotes(msgspec.Struct, frozen=True):
    """A run's own side.

    Attributes:
        flow: the workflow's name, for people.
        total: how many inputs there are.
        inputs: path of the file of many inputs; empty for one input.
        digest: of the inputs, see `Lines.digest`.
        out: path of the file of results; empty for one input.
    """

    flow: str
    total: int
    inputs: str = ""
    digest: bytes = b""
    out: str = ""


def notes(options: Options, given: Any, total: int) -> bytes:
    """The notes of a run that begins, as `SpecRow.meta`."""
    if not isinstance(given, Lines) or options.inputs is None:
        told = RunNotes(options.flow.name, total)
    else:
        inputs, out = _absolute(options.inputs), _absolute(options.out)
        told = RunNotes(options.flow.name, total, inputs, given.digest, out)
    return encode(Meta("run", msgspec.msgpack.encode(told)))


def _absolute(path: Path) -> str:
    return str(path.absolute())
