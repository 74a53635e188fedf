"""OpenAI's embeddings, also in Azure's form: vectors in which texts that share words are near each other.

Source: platform.openai.com/docs/api-reference/embeddings.
"""

import base64
import math
import re
import struct
import zlib
from typing import Any, ClassVar

import orjson

from .dialect import Dialect, Event, PathKind, Stamp, Target
from .dialect_azure import Azure
from .dialect_openai import OpenAI, read_model
from .request import BadRequestError, Reply, Request, assemble, count_tokens, positive, read_object

_DIMENSIONS = 64
_WORD = re.compile(r"\w+")


class _Embeddings(Dialect):
    kind: ClassVar[PathKind] = "embeddings"

    def read(self, body: bytes, target: Target) -> Request:
        """See `Dialect`."""
        data = read_object(body)
        model = target.model or read_model(data)
        texts = _read_input(data.get("input"))
        request = assemble(model, [("user", text) for text in texts], max_tokens=None, stream=False)
        request.prompt_tokens = sum(count_tokens(text) for text in texts)
        request.inputs = texts
        request.dimensions = positive(data, "dimensions")
        request.base64 = data.get("encoding_format") == "base64"
        return request

    def answer(self, request: Request, reply: Reply, stamp: Stamp) -> bytes:  # noqa: ARG002
        """A list of embeddings."""
        vectors = [embed(text, request.dimensions or _DIMENSIONS) for text in request.inputs]
        data = [
            {"object": "embedding", "index": index, "embedding": _packed(vector) if request.base64 else vector}
            for index, vector in enumerate(vectors)
        ]
        used = {"prompt_tokens": request.prompt_tokens, "total_tokens": request.prompt_tokens}
        return orjson.dumps({"object": "list", "data": data, "model": request.model, "usage": used})

    def events(self, request: Request, reply: Reply, stamp: Stamp, chunk_chars: int) -> list[Event]:
        """Never asked for: embeddings do not stream."""
        raise NotImplementedError


class OpenAIEmbeddings(_Embeddings, OpenAI):
    """``POST /v1/embeddings``."""


class AzureEmbeddings(_Embeddings, Azure):
    """``POST /openai/deployments/{model}/embeddings?api-version=``."""


def embed(text: str, dimensions: int) -> list[float]:
    """A unit vector of the text's hashed words (feature hashing, Weinberger et al., 2009)."""
    vector = [0.0] * dimensions
    for word in _WORD.findall(text.lower()) or [text]:
        hashed = zlib.crc32(word.encode())
        vector[hashed % dimensions] += 1.0 if hashed & 0x8000_0000 else -1.0
    norm = math.sqrt(sum(x * x for x in vector))
    if not norm:
        vector[0] = norm = 1.0
    return [x / norm for x in vector]


def _packed(vector: list[float]) -> str:
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()


def _read_input(given: Any) -> list[str]:
    """Texts; a list of token numbers is a text of four characters a token."""
    if isinstance(given, str) and given:
        return [given]
    if isinstance(given, list) and given:
        if all(isinstance(text, str) and text for text in given):
            return given
        if all(isinstance(token, int) for token in given):
            return [_detokenized(given)]
        if all(isinstance(tokens, list) and tokens for tokens in given):
            return [_detokenized(tokens) for tokens in given]
    raise BadRequestError("input must be a text, a list of texts, or tokens; none of them empty.", "input")


def _detokenized(tokens: list[int]) -> str:
    return "".join(f"{token:>4}"[-4:] for token in tokens)
