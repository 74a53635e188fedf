"""Server-sent events out of bytes, incrementally.

Source: WHATWG HTML, §9.2.6 "Interpreting an event stream". Lines end in LF, CR or CRLF; a byte order mark at the start
is dropped; an event that the end of the stream cuts off is none. `id` and `retry` are for clients that reconnect: they
are ignored here. Data stays bytes: a line is only looked at when it is whole, so no character is ever cut in two.
"""

from collections.abc import Iterator
from typing import Final, NamedTuple

from ..errors import InvalidReply

MAX_EVENT: Final = 4 * 1024 * 1024
"""Most bytes of one line, and of the data of one event."""
_BOM: Final = b"\xef\xbb\xbf"


class Event(NamedTuple):
    """One event: its name, `message` where none was given, and its data, lines joined by LF."""

    name: str
    data: bytes


class Splitter:
    """Splits one stream into its events."""

    def __init__(self) -> None:
        self._begun: list[bytes] = []  # pieces of a line that has not ended
        self._begun_size = 0
        self._after_cr = False  # a LF that comes next belongs to the CR before it
        self._first = True
        self._name = b""
        self._data: list[bytes] = []
        self._data_size = 0

    def feed(self, data: bytes) -> Iterator[Event]:
        """The events that `data` completes. Nothing is read before the iterator is run to its end.

        Raises:
            InvalidReply: a line or an event has more than `MAX_EVENT` bytes.
        """
        if self._after_cr and data:
            data = data.removeprefix(b"\n")
            self._after_cr = False
        if b"\r" in data:
            self._after_cr = data.endswith(b"\r")
            data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        line, *lines = data.split(b"\n")
        for following in lines:
            event = self._line(self._whole(line))
            if event is not None:
                yield event
            line = following
        self._begin(line)

    def _begin(self, piece: bytes) -> None:
        self._begun_size += len(piece)
        if self._begun_size > MAX_EVENT:
            raise InvalidReply(f"a line of the stream has more than {MAX_EVENT} bytes, which are refused", status=200)
        if piece:
            self._begun.append(piece)

    def _whole(self, end: bytes) -> bytes:
        self._begin(end)
        line = b"".join(self._begun)
        self._begun.clear()
        self._begun_size = 0
        if self._first:
            self._first = False
            line = line.removeprefix(_BOM)
        return line

    def _line(self, line: bytes) -> Event | None:
        if not line:
            return self._dispatch()
        field, _, value = line.partition(b":")  # a comment is a line whose field is empty
        value = value.removeprefix(b" ")
        if field == b"data":
            self._data.append(value)
            self._data_size += len(value) + 1
            if self._data_size > MAX_EVENT:
                raise InvalidReply(f"an event has more than {MAX_EVENT} bytes, which are refused", status=200)
        elif field == b"event":
            self._name = value
        return None

    def _dispatch(self) -> Event | None:
        name, self._name = self._name, b""
        if not self._data:
            return None
        data = self._data[0] if len(self._data) == 1 else b"\n".join(self._data)
        self._data.clear()
        self._data_size = 0
        return Event(name.decode("utf-8", "replace") or "message", data)
