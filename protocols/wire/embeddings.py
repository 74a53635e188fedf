"""The OpenAI embeddings format.

Source: OpenAI's API reference, *Embeddings*, "Create embeddings"; spoken by vLLM, Ollama, Azure and many others.
Errors are those of chat completions.
"""

import binascii
import math
import struct
from typing import Any, Final, Literal

import msgspec
import orjson

from ..chat import Usage
from ..errors import InvalidReply
from .openai_reply import classify
from .reading import Count, count, read

__all__ = ["PATH", "EmbeddingReply", "EmbeddingRequest", "Vector", "classify", "decode", "encode"]

PATH: Final = "/embeddings"
MAX_WIDTH: Final = 65_536

Vector = tuple[float, ...]


class EmbeddingRequest(msgspec.Struct, frozen=True):
    """What is asked: a vector for each text, of `dimensions` numbers where the model can shorten them."""

    model: str
    texts: tuple[str, ...]
    dimensions: int | None = None


class EmbeddingReply(msgspec.Struct, frozen=True):
    """What came back: the vectors in the order of the texts, all of one width; output tokens there are none."""

    vectors: tuple[Vector, ...]
    usage: Usage
    model: str


class _Entry(msgspec.Struct):
    embedding: list[float] | str
    index: Count


class _Usage(msgspec.Struct):
    prompt_tokens: Count | None = 0


class _Embeddings(msgspec.Struct):
    data: list[_Entry]
    model: str | None = ""
    usage: _Usage | None = None


_DECODER: Final = msgspec.json.Decoder(_Embeddings)


def encode(request: EmbeddingRequest, model: str, *, form: Literal["float", "base64"] = "float") -> bytes:
    """The body for `model`. `base64` takes a quarter of the bytes on the wire; not every server knows it."""
    body: dict[str, Any] = {"model": model, "input": list(request.texts), "encoding_format": form}
    if request.dimensions is not None:
        body["dimensions"] = request.dimensions
    return orjson.dumps(body)


def decode(body: bytes, *, texts: int | None = None) -> EmbeddingReply:
    """The vectors in a 200's body, whichever form they have.

    Args:
        body: as it came.
        texts: how many were asked for, where that is to be checked.

    Raises:
        InvalidReply: the body holds no such vectors, or one for each text they are not.
    """
    told = read(_DECODER, body, "a list of embeddings")
    entries = sorted(told.data, key=lambda entry: entry.index)
    if [entry.index for entry in entries] != list(range(texts if texts is not None else len(entries))):
        raise InvalidReply(f"the reply has {len(entries)} vectors, not one for each text", status=200)
    vectors = tuple(_vector(entry.embedding) for entry in entries)
    if len({len(vector) for vector in vectors}) > 1:
        raise InvalidReply("the vectors are not of one width", status=200)
    used = Usage(count(told.usage.prompt_tokens)) if told.usage else Usage()
    return EmbeddingReply(vectors, used, told.model or "")


def _vector(told: list[float] | str) -> Vector:
    vector = _unpacked(told) if isinstance(told, str) else tuple(told)
    if not 0 < len(vector) <= MAX_WIDTH or not all(map(math.isfinite, vector)):
        raise InvalidReply(f"a vector is no list of 1 to {MAX_WIDTH} finite numbers", status=200)
    return vector


def _unpacked(text: str) -> Vector:
    """Little-endian floats of 32 bits, in base64."""
    try:
        data = binascii.a2b_base64(text, strict_mode=True)
        return struct.unpack(f"<{len(data) // 4}f", data)
    except (ValueError, struct.error):
        raise InvalidReply("a vector is no base64 of 32-bit floats", status=200) from None
