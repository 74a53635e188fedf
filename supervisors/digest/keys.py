"""What an answer is known by: a hash of all that it was made from, so that a later digest finds it again.

A chunk's key names its text and its path, what is asked of whom, and for which tenant. A node's key names the texts of
its children: they stand for all that is below, so an edited chunk changes the keys on its way to the root and no
others. Where the chunk stood among others (its pack, its line, how the rest of the file was cut) is in no key.
"""

from collections.abc import Iterable, Sequence
from hashlib import blake2b
from typing import Any, Final

import msgspec

from ...protocols.chat import ChatRequest
from ...protocols.config import Config
from ...protocols.digest import Chunk
from .prompts import map_request, reduce_request

SIZE: Final = 16
"""Bytes of a key: among 10^12 answers two share one by chance with a probability of 10^-15."""
_FORMAT: Final = 1  # raised when what is hashed below changes its meaning
_EXTRACTION: Final = "extraction 1"  # raised when `actors.embedded` answers otherwise than before


class Bases(msgspec.Struct, frozen=True, array_like=True):
    """What all chunks of a digest have in common, and all nodes; empty where nothing is to be remembered."""

    chunk: bytes = b""
    node: bytes = b""


class Asked(msgspec.Struct, frozen=True):
    """What a digest asks, and of whom: the part of its settings that shapes its answers."""

    map_model: str
    reduce_model: str
    map_answer: int
    reduce_answer: int
    reduce_budget: int
    question: str
    tenant: str = ""


def bases(config: Config, asked: Asked) -> Bases:
    """What is common to the keys of a digest by these settings.

    Prompts are in it as they are sent, so that other words make other keys and nobody has to think of a version. What
    one tenant was answered is never given to another.
    """
    maps = map_request((), model=asked.map_model, max_tokens=asked.map_answer, question=asked.question)
    path = "/"  # a node's own path is in its key; this one shows the words around it
    merges = reduce_request(path, (), model=asked.reduce_model, max_tokens=asked.reduce_answer, question=asked.question)
    return Bases(_base(config, asked, maps), _base(config, asked, merges, asked.reduce_budget))


def _base(config: Config, asked: Asked, request: ChatRequest, *more: object) -> bytes:
    parts = (_FORMAT, asked.tenant, bool(asked.question), request, _route(config, request.model), more)
    return _hash((msgspec.msgpack.encode(parts),))


def _route(config: Config, name: str) -> list[Any]:
    """Who may answer under that name, and what may be done to the request first; not what it costs or how fast."""
    route = config.models[name]
    described: list[Any] = [route.overflow, route.filtered]
    for place, one in enumerate(route.candidates):
        account = config.accounts[one.account]
        # Extraction is our own code; a server is known by its address.
        where = _EXTRACTION if account.kind == "embedded" else account.base_url
        rank = place if one.rank is None else one.rank
        described.append([account.kind, where, one.model, one.max_output, one.window, rank])
    return described


def chunk_key(base: bytes, chunk: Chunk, *, asked: bool) -> bytes:
    """The key of a chunk's answer; empty without a base.

    Args:
        base: of the digest.
        chunk: what is read.
        asked: there is a question: its answers name lines, so a chunk that has moved in its file is another one.
    """
    if not base:
        return b""
    line = chunk.first_line if asked else 0
    return _hash((base, b"chunk", str(line).encode(), _text(chunk.path), _text(chunk.text)))


def node_key(base: bytes, path: str, parts: Sequence[tuple[str, str]]) -> bytes:
    """The key of what was merged from `(path, text)` parts into the summary of `path`; empty without a base."""
    if not base:
        return b""
    return _hash((base, b"node", _text(path), *(_text(word) for part in parts for word in part)))


def _text(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")  # names of files may hold what is no UTF-8


def _hash(parts: Iterable[bytes]) -> bytes:
    """Each part with its length before it, so that no two lists of parts are the same bytes."""
    sink = blake2b(digest_size=SIZE)
    for part in parts:
        sink.update(len(part).to_bytes(8, "big"))
        sink.update(part)
    return sink.digest()
