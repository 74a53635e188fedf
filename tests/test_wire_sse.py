"""Server-sent events: the published examples of the specification, its line ends, and its bounds."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from understudy.protocols.errors import InvalidReply
from understudy.protocols.wire.sse import MAX_EVENT, Event, Splitter


def events(*pieces: bytes) -> list[Event]:
    splitter = Splitter()
    return [event for piece in pieces for event in splitter.feed(piece)]


def naive(stream: bytes) -> list[Event]:
    """The specification's algorithm over the whole text at once."""
    text = stream.removeprefix(b"\xef\xbb\xbf").replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    found: list[Event] = []
    name, data = b"", list[bytes]()
    for line in text.split(b"\n")[:-1]:
        if not line:
            if data:
                found.append(Event(name.decode("utf-8", "replace") or "message", b"\n".join(data)))
            name, data = b"", []
        elif not line.startswith(b":"):
            field, _, value = line.partition(b":")
            value = value[1:] if value[:1] == b" " else value
            if field == b"data":
                data.append(value)
            elif field == b"event":
                name = value
    return found


@pytest.mark.parametrize(
    ("stream", "expected"),
    [
        (b"data: This is the first message.\n\n", [Event("message", b"This is the first message.")]),
        (b"data: YHOO\ndata: +2\ndata: 10\n\n", [Event("message", b"YHOO\n+2\n10")]),
        (
            b": test stream\n\ndata: first\nid: 1\n\ndata:second\nid\n\n",
            [("message", b"first"), ("message", b"second")],
        ),
        (b"data\n\ndata\ndata\n\ndata:", [("message", b""), ("message", b"\n")]),
        (b"data:test\n\ndata: test\n\n", [("message", b"test"), ("message", b"test")]),
        (b"event: add\ndata: 73857293\n\nevent: lost\n\ndata: x\n\n", [("add", b"73857293"), ("message", b"x")]),
        (b"\xef\xbb\xbfdata: bom\n\n", [("message", b"bom")]),
        (b"retry: 5\rdata: cr\r\rdata: crlf\r\n\r\n", [("message", b"cr"), ("message", b"crlf")]),
        (b"data: cut off", []),
        (b"", []),
    ],
)
def test_examples_of_the_specification(stream: bytes, expected: list[Event]) -> None:
    """WHATWG HTML §9.2.6's own examples, whole and byte by byte."""
    assert events(stream) == expected
    assert events(*(stream[at : at + 1] for at in range(len(stream)))) == expected


@given(
    st.lists(
        st.sampled_from(
            [b"data", b"data: x", b"event", b":", b" ", b"\n", b"\r", b"\r\n", b"x", b"\xc3", b"\xa9", b"\xef\xbb\xbf"]
        ),
        max_size=60,
    ),
    st.data(),
)
def test_any_bytes_in_any_pieces(parts: list[bytes], data: st.DataObject) -> None:
    """However the bytes are cut, the events are those of the naive reading of all at once."""
    stream = b"".join(parts)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=10)))
    expected = naive(stream)
    assert events(*(stream[begin:end] for begin, end in pairwise([0, *cuts, len(stream)]))) == expected
    for cut in range(len(stream)):
        assert events(stream[:cut], stream[cut:]) == expected


def test_lines_and_events_are_bounded() -> None:
    """One line, and one event of many lines, end at `MAX_EVENT`; what came before in the same piece is given out."""
    splitter = Splitter()
    found = splitter.feed(b"data: ok\n\ndata: " + b"x" * MAX_EVENT + b"\n\n")
    assert next(found) == Event("message", b"ok")
    with pytest.raises(InvalidReply, match="refused"):
        next(found)
    with pytest.raises(InvalidReply, match="refused"):
        events(*[b"x" * 1_000_000] * 5)
    with pytest.raises(InvalidReply, match="refused"):
        events(*[b"data: " + b"x" * 1_000_000 + b"\n"] * 5)
