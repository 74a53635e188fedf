"""What the decoders of all streamed formats share."""

from ..chat import ChatReply, Usage
from ..errors import CallError, InvalidReply
from .reading import MAX_REPLY
from .sse import Event, Splitter


class EventStream:
    """A `StreamDecoder` over server-sent events: a format says what an event means, and what the whole comes to.

    What went wrong once is said again by every later call.
    """

    def __init__(self) -> None:
        self.usage = Usage()
        self.text = ""
        self._splitter = Splitter()
        self._size = 0
        self._fresh: list[str] = []
        self._failed: CallError | None = None

    def feed(self, data: bytes) -> str:
        """See `StreamDecoder.feed`."""
        if self._failed is not None:
            raise self._failed
        self._size += len(data)
        try:
            if self._size > MAX_REPLY:
                raise InvalidReply(f"the stream has more than {MAX_REPLY} bytes, which are refused", status=200)
            for event in self._splitter.feed(data):
                self._take(event)
        except CallError as error:
            self._failed = error
            raise
        finally:
            fresh = "".join(self._fresh)
            self._fresh.clear()
            if fresh:
                self.text += fresh
        return fresh

    def finish(self) -> ChatReply:
        """See `StreamDecoder.finish`."""
        if self._failed is not None:
            raise self._failed
        return self._reply()

    def _say(self, text: str | None) -> None:
        """Adds to the answer's text."""
        if text:
            self._fresh.append(text)

    def _take(self, event: Event) -> None:
        """Understands one event. Raises `CallError`."""
        raise NotImplementedError

    def _reply(self) -> ChatReply:
        """The whole reply. Raises `CallError` where there is none."""
        raise NotImplementedError
