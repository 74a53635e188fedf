"""What a map-reduce maps: chunks of texts, packed where they are small, or values as they are."""

import asyncio
import dataclasses
from collections.abc import Sequence
from typing import Any, Final

from ...protocols.errors import StepFailed
from ...protocols.workflow.patterns import Chunking, MapReduce
from ..chunking import Piece, bundles, chunks

_AT_ONCE: Final = 200_000
"""Characters that are cut in the loop itself; more are cut in a thread."""


@dataclasses.dataclass(frozen=True, slots=True)
class Chunk:
    """One item of the map: what a person calls it, and the value that templates know."""

    name: str
    value: Any


async def chunked(node: MapReduce, value: Any) -> list[Chunk]:
    """The items. Raises `StepFailed` for what is neither a text nor a list."""
    if node.chunk is None or rough_size(value) <= _AT_ONCE:
        return chunks_of(node, value)
    return await asyncio.to_thread(chunks_of, node, value)


def chunks_of(node: MapReduce, value: Any) -> list[Chunk]:
    """The same at once. Raises as `chunked` does."""
    if node.chunk is None:
        return _as_they_are(value)
    return _cut([_named(one, number) for number, one in enumerate(_list_of(value), 1)], node.chunk)


def rough_size(value: Any) -> int:
    """Characters of a value, about."""
    if isinstance(value, str):
        return len(value)
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else ()
    return 8 + sum(map(rough_size, inner))


def _list_of(value: Any) -> Sequence[Any]:
    if isinstance(value, list | tuple):
        return value
    if isinstance(value, dict) and "text" not in value:
        return [{"name": name, "text": text} for name, text in value.items()]
    return [value]


def _as_they_are(value: Any) -> list[Chunk]:
    if not isinstance(value, list | tuple | dict):
        raise StepFailed(f"there is nothing to map in a {type(value).__name__}: give a list, or `chunk` to cut a text")
    return [Chunk(_name(one, number), one) for number, one in enumerate(_list_of(value), 1)]


def _name(value: Any, number: int) -> str:
    return str(value.get("name") or number) if isinstance(value, dict) else str(number)


def _named(value: Any, number: int) -> tuple[str, str]:
    if isinstance(value, str):
        return f"text {number}", value
    if isinstance(value, dict) and isinstance(value.get("text"), str):
        return _name(value, number), value["text"]
    raise StepFailed(f"item {number} of `over` is no text and no mapping with `text`, so it can't be cut into chunks")


def _cut(named: list[tuple[str, str]], how: Chunking) -> list[Chunk]:
    pieces = [piece for piece in chunks(named, tokens=how.tokens, overlap=how.overlap) if piece.text]
    if not how.pack:
        return [_single(piece) for piece in pieces]
    return [
        _single(bundle[0]) if len(bundle) == 1 else _several(bundle) for bundle in bundles(pieces, tokens=how.tokens)
    ]


def _single(piece: Piece) -> Chunk:
    value = {
        "name": piece.label,
        "names": [piece.name],
        "text": piece.text,
        "number": piece.number,
        "of": piece.of,
        "first_line": piece.first_line,
        "last_line": piece.last_line,
        "tokens": piece.tokens,
        "overlap_chars": piece.overlap_chars,
    }
    return Chunk(piece.label, value)


def _several(bundle: tuple[Piece, ...]) -> Chunk:
    """Small texts that share a call, each introduced by a line with its name."""
    names = [piece.name for piece in bundle]
    text = "\n\n".join(f"=== {piece.name}\n{piece.text}" for piece in bundle)
    name = ", ".join(names)
    value = {
        "name": name,
        "names": names,
        "text": text,
        "number": 1,
        "of": 1,
        "first_line": 1,
        "last_line": sum(piece.last_line for piece in bundle),
        "tokens": sum(piece.tokens for piece in bundle),
        "overlap_chars": 0,
    }
    return Chunk(name, value)
