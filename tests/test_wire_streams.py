"""Streams of all formats: the same whatever way the bytes are cut, and the same as the whole answer."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from wire_vectors import (
    ANTHROPIC_TEXT,
    GEMINI_TEXT,
    OPENAI_LAST,
    OPENAI_TEXT,
    VECTORS,
    Vector,
    anthropic_stream,
    anthropic_whole,
    data_events,
    dumped,
    gemini_response,
    json_deltas,
    named_events,
    openai_chunk,
)

from understudy.protocols.chat import ChatReply
from understudy.protocols.errors import (
    AuthRejected,
    BadRequest,
    CallError,
    ConnectionFault,
    ContentFiltered,
    InvalidReply,
    RateLimited,
    ServerFault,
)
from understudy.protocols.wire import anthropic, gemini, openai
from understudy.protocols.wire.codec import Codec, StreamDecoder
from understudy.protocols.wire.reading import MAX_REPLY


def fed(codec: Codec, stream: bytes, cuts: list[int] | None = None) -> tuple[ChatReply, list[str]]:
    """The reply of a stream that comes in pieces, and the texts it gave on the way."""
    decoder = codec.stream()
    places = [0, *sorted(cuts or ()), len(stream)]
    texts = [decoder.feed(stream[begin:end]) for begin, end in pairwise(places)]
    reply = decoder.finish()
    assert decoder.text == "".join(texts) == reply.text
    assert decoder.usage == reply.usage
    return reply, texts


@pytest.mark.parametrize("vector", VECTORS.values(), ids=VECTORS)
def test_a_published_answer_means_the_same_whole_and_streamed(vector: Vector) -> None:
    """The whole reply and the stream of the same answer decode to the same, down to usage and tool calls."""
    assert vector.codec.decode(vector.whole) == vector.reply
    assert fed(vector.codec, vector.stream)[0] == vector.reply


@pytest.mark.parametrize("vector", VECTORS.values(), ids=VECTORS)
def test_every_byte_alone(vector: Vector) -> None:
    """Characters, lines and events cut anywhere are put together again."""
    assert fed(vector.codec, vector.stream, list(range(len(vector.stream))))[0] == vector.reply


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_any_split_gives_the_same(data: st.DataObject) -> None:
    """How the network cuts the bytes changes nothing, nor does the kind of line end."""
    vector = data.draw(st.sampled_from(list(VECTORS.values())))
    plain = vector.stream.replace(b"\r\n", b"\n")
    stream = plain.replace(b"\n", data.draw(st.sampled_from([b"\n", b"\r", b"\r\n"])))
    cuts = data.draw(st.lists(st.integers(0, len(stream)), max_size=12))
    assert fed(vector.codec, stream, cuts)[0] == vector.reply


@pytest.mark.parametrize("vector", VECTORS.values(), ids=VECTORS)
def test_a_cut_stream_is_no_reply(vector: Vector) -> None:
    """Wherever the bytes end too soon: `ConnectionFault`, and what came stays; never a shortened answer."""
    for end in range(0, len(vector.stream) - 1, 7):
        decoder = vector.codec.stream()
        came = decoder.feed(vector.stream[:end])
        assert decoder.text == came
        assert vector.reply.text.startswith(came)
        try:
            assert decoder.finish() == vector.reply  # only what tells nothing new is missing
        except ConnectionFault:
            assert end < len(vector.stream) - 2


def test_openai_without_done_is_whole_when_the_usage_came() -> None:
    """A server that forgets `[DONE]` is understood; one that ends before the usage is not believed."""
    ended = [openai_chunk({"content": "x"}), openai_chunk({}, "stop")]
    assert fed(openai.CODEC, data_events(*ended, OPENAI_LAST))[0].text == "x"
    with pytest.raises(ConnectionFault):
        fed(openai.CODEC, data_events(*ended))
    assert fed(openai.CODEC, data_events(*ended, done=True))[0].usage.total == 0


def test_openai_refusals_are_streamed_like_text() -> None:
    """A refusal is the answer's text, as it is in a whole reply; without any words of it a filter's cut is an error."""
    pieces = [openai_chunk({"refusal": "I can't "}), openai_chunk({"refusal": "help."}), openai_chunk({}, "stop")]
    assert fed(openai.CODEC, data_events(*pieces, OPENAI_LAST, done=True))[0].text == "I can't help."
    with pytest.raises(ContentFiltered):
        fed(openai.CODEC, data_events(openai_chunk({}, "content_filter"), OPENAI_LAST, done=True))


def test_other_choices_are_not_mixed_in() -> None:
    """Only the first answer is read, should a server send more."""
    other = openai_chunk({"content": "other"})
    other["choices"][0]["index"] = 1
    stream = data_events(openai_chunk({"content": "mine"}), other, openai_chunk({}, "stop"), done=True)
    assert fed(openai.CODEC, stream)[0].text == "mine"


@pytest.mark.parametrize(
    ("codec", "before", "event", "kind"),
    [
        (openai.CODEC, OPENAI_TEXT, data_events({"error": {"message": "x", "type": "server_error"}}), ServerFault),
        (openai.CODEC, OPENAI_TEXT, data_events({"error": {"message": "x", "code": 429}}), RateLimited),
        (
            openai.CODEC,
            OPENAI_TEXT,
            data_events({"error": {"message": "x", "code": "rate_limit_exceeded"}}),
            RateLimited,
        ),
        (
            openai.CODEC,
            OPENAI_TEXT,
            data_events({"error": {"message": "x", "code": "content_filter"}}),
            ContentFiltered,
        ),
        (openai.CODEC, OPENAI_TEXT, data_events({"error": "x"}), ServerFault),
        (openai.CODEC, OPENAI_TEXT, b"data: {half\n\n", InvalidReply),
        (openai.CODEC, OPENAI_TEXT, b'data: {"choices": [{"delta": {"content": "\xff"}}]}\n\n', InvalidReply),
        *(
            (
                anthropic.CODEC,
                ANTHROPIC_TEXT,
                named_events({"type": "error", "error": {"type": name, "message": "x"}}),
                kind,
            )
            for name, kind in {
                "overloaded_error": ServerFault,
                "api_error": ServerFault,
                "rate_limit_error": RateLimited,
                "authentication_error": AuthRejected,
                "invalid_request_error": BadRequest,
                "invented_error": ServerFault,
            }.items()
        ),
        (anthropic.CODEC, ANTHROPIC_TEXT, b"event: error\ndata: Overloaded\n\n", ServerFault),
        (anthropic.CODEC, ANTHROPIC_TEXT, b"data: []\n\n", InvalidReply),
        (
            gemini.CODEC,
            GEMINI_TEXT,
            data_events({"error": {"code": 503, "status": "UNAVAILABLE", "message": "x"}}),
            ServerFault,
        ),
        (gemini.CODEC, GEMINI_TEXT, data_events({"error": {"code": 429, "message": "x"}}), RateLimited),
        (gemini.CODEC, GEMINI_TEXT, b"data: \n\n", InvalidReply),
    ],
)
def test_errors_in_mid_stream(codec: Codec, before: Vector, event: bytes, kind: type[CallError]) -> None:
    """What goes wrong after the first words is an error by its own code; the words before it are kept."""
    separator = b"\r\n\r\n" if b"\r" in before.stream else b"\n\n"
    events = [one + separator for one in before.stream.split(separator) if one]
    first = b"".join(events[: len(events) * 3 // 4 + 1])
    for cut in (0, len(first), len(first) + 5):
        decoder = codec.stream()
        data = first + event + b"".join(events[len(events) * 3 // 4 + 1 :])
        with pytest.raises(kind) as error:
            feed_all(decoder, data[:cut], data[cut:])
        assert type(error.value) is kind
        assert error.value.status == 200
        assert before.reply.text.startswith(decoder.text)
        assert decoder.text
        with pytest.raises(kind):
            decoder.feed(b"data: {}\n\n")
        with pytest.raises(kind):
            decoder.finish()


def feed_all(decoder: StreamDecoder, *pieces: bytes) -> None:
    for piece in pieces:
        decoder.feed(piece)


def test_a_forced_format_is_streamed_as_text() -> None:
    """Where a format had to be a tool of Anthropic's, its arguments are the text, and nobody asks for a tool."""
    name = "understudy_format_answer"
    whole = anthropic_whole(
        [{"type": "tool_use", "id": "toolu_1", "name": name, "input": {"a": [1, 2]}}], "tool_use", 9
    )
    reply = anthropic.decode(dumped(whole))
    assert (reply.text, reply.finish, reply.tool_calls) == ('{"a":[1,2]}', "stop", ())
    block = {"type": "tool_use", "id": "toolu_1", "name": name, "input": {}}
    streamed, texts = fed(anthropic.CODEC, anthropic_stream("tool_use", 9, (block, json_deltas("", '{"a":', "[1,2]}"))))
    assert streamed == reply
    assert "".join(texts) == reply.text


def test_gemini_withholds_in_a_stream_too() -> None:
    """A blocked prompt and a withheld answer are errors, a cut one says that it was filtered."""
    with pytest.raises(ContentFiltered, match="SAFETY"):
        fed(gemini.CODEC, data_events({"promptFeedback": {"blockReason": "SAFETY"}}))
    with pytest.raises(ContentFiltered, match="RECITATION"):
        fed(gemini.CODEC, data_events({"candidates": [{"finishReason": "RECITATION"}]}))
    cut = data_events(gemini_response([{"text": "Half"}]), {"candidates": [{"finishReason": "SAFETY"}]})
    assert fed(gemini.CODEC, cut)[0].finish == "filtered"


@pytest.mark.parametrize("codec", [openai.CODEC, anthropic.CODEC, gemini.CODEC])
def test_a_stream_without_end_is_refused(codec: Codec) -> None:
    """Neither endless comments, nor one endless line, nor one endless event fill the memory."""
    for piece in ((b": " + b"x" * 998 + b"\n\n") * 1000, b"x" * 1_000_000, (b"data: " + b"x" * 993 + b"\n") * 1000):
        decoder = codec.stream()
        with pytest.raises(InvalidReply, match="refused"):
            feed_all(decoder, *[piece] * (MAX_REPLY // len(piece) + 2))
        with pytest.raises(InvalidReply):
            decoder.finish()


def test_too_many_tools_are_refused() -> None:
    """A stream that asks for tools without end is no answer."""
    calls = [openai_chunk({"tool_calls": [{"index": place, "id": str(place)}]}) for place in range(200)]
    with pytest.raises(InvalidReply, match="tools"):
        fed(openai.CODEC, data_events(*calls, done=True))
    blocks = [({"type": "tool_use", "id": str(place), "name": "t"}, json_deltas("{}")) for place in range(200)]
    with pytest.raises(InvalidReply, match="tools"):
        fed(anthropic.CODEC, anthropic_stream("tool_use", 1, *blocks))
    parts = [{"functionCall": {"name": "t"}}] * 200
    with pytest.raises(InvalidReply, match="tools"):
        fed(gemini.CODEC, data_events(gemini_response(parts, "STOP")))
