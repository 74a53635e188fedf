"""OpenAI's embeddings: requests, both forms of vectors, and what is none."""

import base64
import json
import struct
from typing import Any

import pytest

from understudy.protocols.chat import Usage
from understudy.protocols.errors import InvalidReply, RateLimited
from understudy.protocols.wire.embeddings import EmbeddingReply, EmbeddingRequest, classify, decode, encode

ASKED = EmbeddingRequest("route", ("The food was delicious", "and the waiter…"), dimensions=3)


def replied(*vectors: Any, **more: Any) -> bytes:
    """As in OpenAI's API reference, *Embeddings*, "Create embeddings"."""
    data = [{"object": "embedding", "embedding": vector, "index": index} for index, vector in enumerate(vectors)]
    usage = {"prompt_tokens": 8, "total_tokens": 8}
    body = {"object": "list", "data": data, "model": "text-embedding-3-small", "usage": usage, **more}
    return json.dumps(body).encode()


def packed(*numbers: float) -> str:
    return base64.b64encode(struct.pack(f"<{len(numbers)}f", *numbers)).decode()


def test_the_request() -> None:
    """Texts, the form, and the width where one is asked for."""
    body = {"model": "m", "input": list(ASKED.texts), "encoding_format": "base64", "dimensions": 3}
    assert json.loads(encode(ASKED, "m", form="base64")) == body
    assert json.loads(encode(EmbeddingRequest("route", ("x",)), "m")) == {
        "model": "m",
        "input": ["x"],
        "encoding_format": "float",
    }


def test_both_forms_say_the_same() -> None:
    """Numbers and base64 decode alike, in the order of the texts whatever the order they came in."""
    expected = EmbeddingReply(((0.5, -0.25, 2.0), (1.0, 0.0, -1.0)), Usage(8), "text-embedding-3-small")
    assert decode(replied([0.5, -0.25, 2.0], [1, 0, -1]), texts=2) == expected
    assert decode(replied(packed(0.5, -0.25, 2.0), packed(1, 0, -1))) == expected
    turned = json.loads(replied([0.5, -0.25, 2.0], [1, 0, -1]))
    turned["data"].reverse()
    assert decode(json.dumps(turned).encode()) == expected
    assert decode(replied([1.0], usage=None, model=None)) == EmbeddingReply(((1.0,),), Usage(), "")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b"[]",
        replied([1.0]),
        replied([1.0], [1.0], [1.0]),
        replied([1.0], [1.0, 2.0]),
        replied([], []),
        replied(["x"], [1.0]),
        replied("!", "!"),
        replied("", ""),
        replied(packed(1.0), "AAAA"),
        replied(packed(float("nan")), packed(1.0)),
        replied([1.0], [1.0]).replace(b"1.0", b"1e999"),
        replied([1.0], [1.0]).replace(b'"index": 1', b'"index": 0'),
        replied([1.0], [1.0]).replace(b'"index": 1', b'"index": -1'),
        replied([1.0] * 70_000, [1.0] * 70_000),
    ],
    ids=range(16),
)
def test_what_is_no_answer_is_an_invalid_reply(body: bytes) -> None:
    """Missing, doubled, ragged, broken, infinite or endless vectors: one error, in one line."""
    with pytest.raises(InvalidReply) as error:
        decode(body, texts=2)
    assert "\n" not in str(error.value)


def test_errors_are_those_of_chat() -> None:
    """A refusal is classified as a chat completion's."""
    error = classify(429, {"retry-after-ms": "1500"}, b'{"error": {"message": "slow down"}}', wall=0.0)
    assert (type(error), error.retry_after) == (RateLimited, 1.5)
