"""Ten thousand broken replies for each format and mode: an answer or a `CallError`, never anything else."""

import functools
import json
import random
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import pytest
from wire_vectors import VECTORS, dumped

from understudy.protocols.chat import ChatReply
from understudy.protocols.errors import CallError
from understudy.protocols.wire import anthropic, azure, embeddings, gemini, openai
from understudy.protocols.wire.codec import Codec, StreamDecoder

T = TypeVar("T")

ROUNDS = 10_000
SEED = 20_261_121
CODECS: dict[str, Codec] = {
    "openai": openai.CODEC,
    "azure": azure.CODEC,
    "anthropic": anthropic.CODEC,
    "gemini": gemini.CODEC,
}
VALUES: list[Any] = [
    None,
    True,
    0,
    -1,
    1.5,
    1e308,
    10**30,
    float("nan"),
    "",
    "x",
    "\ud800",
    "\x00\n\r",
    [],
    {},
    [[]],
    [None],
    {"message": {}},
    {"type": "error"},
    "9" * 300,
]
SPLICES = [
    b"[" * 3000,
    b'{"a":' * 3000,
    b"\xff\xfe",
    b"\xed\xa0\x80",
    b"1" * 400,
    b"\n\n",
    b"\r",
    b"data: ",
    b"\x00",
    b"null",
    b"1e999",
]
REFUSALS = [
    {"error": {"message": "no", "type": "t", "param": None, "code": "model_not_found", "innererror": {"code": "x"}}},
    {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}, "request_id": "req_1"},
    {"error": {"code": 429, "message": "no", "status": "RESOURCE_EXHAUSTED", "details": [{"retryDelay": "34s"}]}},
]


def mutate(value: Any, rng: random.Random) -> Any:
    """The same JSON with something in it replaced, dropped, added or doubled."""
    if isinstance(value, dict) and value and rng.random() < 0.9:
        key = rng.choice(list(value))
        if rng.random() < 0.15:
            return {other: one for other, one in value.items() if other != key}
        return {**value, key: mutate(value[key], rng)}
    if isinstance(value, list) and value and rng.random() < 0.9:
        place = rng.randrange(len(value))
        return [*value[:place], mutate(value[place], rng), *value[place + (rng.random() < 0.8) :]]
    return rng.choice(VALUES)


def garble(data: bytes, rng: random.Random) -> bytes:
    """The same bytes with some replaced, cut out, put in or doubled."""
    for _ in range(rng.randint(1, 3)):
        at = rng.randrange(len(data) + 1)
        match rng.randrange(5):
            case 0:
                data = data[:at] + rng.randbytes(1) + data[at + 1 :]
            case 1:
                data = data[:at]
            case 2:
                data = data[:at] + data[at + rng.randrange(40) :]
            case 3:
                data = data[:at] + rng.choice(SPLICES) + data[at:]
            case _:
                data = data[:at] + data[max(at - rng.randrange(400), 0) :]
    return data


def broken_whole(body: bytes, rng: random.Random) -> bytes:
    told = json.loads(body)
    for _ in range(rng.randint(1, 2)):
        told = mutate(told, rng)
    mutated = json.dumps(told).encode()
    return garble(mutated, rng) if rng.random() < 0.4 else mutated


def broken_stream(stream: bytes, rng: random.Random) -> bytes:
    """Events mutated in their data, dropped, doubled, in another order; or the bytes themselves."""
    if rng.random() < 0.4:
        return garble(stream, rng)
    separator = b"\r\n\r\n" if b"\r" in stream else b"\n\n"
    events = stream.split(separator)[:-1]
    place = rng.randrange(len(events))
    head, _, data = events[place].partition(b"data: ")
    if data.startswith(b"{") and rng.random() < 0.7:
        events[place] = head + b"data: " + json.dumps(mutate(json.loads(data), rng)).encode()
    else:
        other = rng.randrange(len(events))
        events[place : place + 1] = rng.choice([[], [events[place]] * 2, [events[other]]])
    return separator.join([*events, b""])


def outcome(attempt: Callable[[], T]) -> T | CallError:
    try:
        return attempt()
    except CallError as raised:
        error = raised
    text = str(error)
    assert "\n" not in text
    assert len(text) <= 400
    return error


def played(decoder: StreamDecoder, pieces: Iterable[bytes], texts: list[str]) -> ChatReply:
    texts.extend(decoder.feed(piece) for piece in pieces)
    return decoder.finish()


def check(reply: ChatReply) -> None:
    """An answer has the types it says, and can be written."""
    usage = reply.usage
    counts = [getattr(usage, name) for name in usage.__struct_fields__]
    assert all(type(number) is int and number >= 0 for number in counts)
    said = [reply.text, reply.model, reply.id]
    for call in reply.tool_calls:
        said += [call.id, call.name, call.arguments, call.signature]
    assert all(isinstance(text, str) for text in said)
    "".join(said).encode()


@pytest.mark.parametrize("name", CODECS)
def test_ten_thousand_broken_replies(name: str) -> None:
    """Whole replies: mutated JSON and mutated bytes."""
    rng, codec = random.Random(SEED), CODECS[name]
    bodies = [vector.whole for vector in VECTORS.values() if type(vector.codec) is type(codec)]
    read = 0
    for number in range(ROUNDS):
        body = broken_whole(bodies[number % len(bodies)], rng)
        reply = outcome(functools.partial(codec.decode, body))
        if isinstance(reply, ChatReply):
            check(reply)
            read += 1
    assert ROUNDS / 20 < read < ROUNDS * 19 / 20, "the mutations are neither harmless nor hopeless"


@pytest.mark.parametrize("name", CODECS)
def test_ten_thousand_broken_streams(name: str) -> None:
    """Streams: mutated events and mutated bytes, in two pieces; the text on the way is the text in the end."""
    rng, codec = random.Random(SEED), CODECS[name]
    streams = [vector.stream for vector in VECTORS.values() if type(vector.codec) is type(codec)]
    read = 0
    for number in range(ROUNDS):
        stream = broken_stream(streams[number % len(streams)], rng)
        cut, decoder = rng.randrange(len(stream) + 1), codec.stream()
        texts: list[str] = []
        reply = outcome(functools.partial(played, decoder, (stream[:cut], stream[cut:]), texts))
        if isinstance(reply, ChatReply):
            check(reply)
            assert reply.text == decoder.text == "".join(texts)
            read += 1
    assert ROUNDS / 50 < read < ROUNDS * 19 / 20, "the mutations are neither harmless nor hopeless"


@pytest.mark.parametrize("name", CODECS)
def test_ten_thousand_broken_refusals(name: str) -> None:
    """Error bodies and headers: always a `CallError` of one bounded line, and a wait that can be waited."""
    rng, codec = random.Random(SEED), CODECS[name]
    for number in range(ROUNDS):
        body = broken_whole(dumped(REFUSALS[number % 3]), rng)
        status = rng.choice([100, 200, 302, 400, 401, 404, 418, 429, 500, 599])
        headers = {"retry-after": body[:20].decode("latin-1"), "retry-after-ms": str(rng.choice(VALUES))}
        error = codec.classify(status, headers, body, wall=0.0)
        assert isinstance(error, CallError)
        assert "\n" not in str(error)
        assert len(str(error)) <= 320
        assert error.retry_after is None or 0 <= error.retry_after <= 86_400


def test_ten_thousand_broken_embeddings() -> None:
    """Vectors: finite numbers of one width, or a `CallError`."""
    rng = random.Random(SEED)
    entries = [{"embedding": [0.5, 1.0], "index": 0}, {"embedding": "AAAAPwAAgD8=", "index": 1}]
    whole = dumped({"data": entries, "model": "m", "usage": {"prompt_tokens": 8}})
    read = 0
    for _ in range(ROUNDS):
        body = broken_whole(whole, rng)
        reply = outcome(functools.partial(embeddings.decode, body))
        if isinstance(reply, embeddings.EmbeddingReply):
            assert len({len(vector) for vector in reply.vectors}) <= 1
            read += 1
    assert read > ROUNDS / 50
