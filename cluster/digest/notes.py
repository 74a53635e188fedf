"""What `understudy digest` notes about itself, so that `understudy resume` can finish its work: write the report."""

import zlib
from hashlib import blake2b
from pathlib import Path

import msgspec

from ...protocols.digest import DigestPlan, Node, Pack
from ..jobs.meta import Meta, encode


class Case(msgspec.Struct, frozen=True):
    """A digest's own side, beside its plan.

    Attributes:
        title: the folder's name, for people.
        started: when it began, ISO 8601.
        out: folder of the report.
        question: what was asked, or empty.
        path: what was digested.
        embedded: every answer is by extraction.
    """

    title: str
    started: str
    out: str
    question: str = ""
    path: str = ""
    embedded: bool = False


class _Notes(msgspec.Struct, frozen=True, array_like=True):
    case: Case
    plan: DigestPlan


def notes(case: Case, plan: DigestPlan) -> bytes:
    """The notes of a digest that begins, as `SpecRow.meta`.

    Without what is in the job anyhow: the answers that were known, the tree, and the texts of the chunks. Their marks
    stand in their place.
    """
    bare = msgspec.structs.replace(plan, nodes=(), packs=tuple(map(_bare, plan.packs)))
    absolute = msgspec.structs.replace(case, out=str(Path(case.out).absolute()), path=str(Path(case.path).absolute()))
    return encode(Meta("digest", zlib.compress(msgspec.msgpack.encode(_Notes(absolute, bare)))))


def _bare(pack: Pack) -> Pack:
    chunks = tuple(msgspec.structs.replace(chunk, text=mark(chunk.text)) for chunk in pack.chunks)
    return msgspec.structs.replace(pack, chunks=chunks, known=("",) * len(pack.known), keys=())


def read(data: bytes, nodes: tuple[Node, ...]) -> tuple[Case, DigestPlan]:
    """The reverse of `notes`, from `Meta.data`; the plan's chunks have marks for their texts."""
    found = msgspec.msgpack.decode(zlib.decompress(data), type=_Notes)
    return found.case, msgspec.structs.replace(found.plan, nodes=nodes)


def mark(text: str) -> str:
    """What a text is told by from another one at the same place: whether a file is still what it was."""
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()
